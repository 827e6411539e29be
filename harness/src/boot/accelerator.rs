//! Whether KVM really runs a guest on this host.
//!
//! `/dev/kvm` can be there, can be opened, and still stop a guest in its first instructions (seen
//! under nested virtualisation). So the answer is found by booting a guest, saving and restoring
//! it, once; it is kept in the cache.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::cache;
use super::error::{Error, Missing};
use super::machine::{Attempt, Life, Parts};
use super::qemu::Qemu;
use super::{Accel, Arrangement, Job};
use crate::runner::Profile;

/// A guest that KVM runs at all is ready within two seconds.
const PROBE_TIME_LIMIT: Duration = Duration::from_secs(10);

const DEVICE: &str = "/dev/kvm";
const ANSWER: &str = "answer";
const YES: &str = "yes";

/// Chooses what executes the guest: the name that QEMU gives it, and a phrase that says why.
pub(super) fn choose(wanted: Accel, parts: &Parts) -> Result<(&'static str, String), Missing> {
    let why_not = match wanted {
        Accel::Tcg => "as asked".to_owned(),
        Accel::Auto | Accel::Kvm => match ask(parts) {
            Ok(()) => return Ok(("kvm", "kvm".to_owned())),
            Err(why) => why,
        },
    };
    if wanted == Accel::Kvm {
        return Err(Missing {
            what: format!("no KVM: {why_not}"),
            tried: vec![DEVICE.to_owned()],
            hint: "run with emulation, or on a host where KVM works".to_owned(),
        });
    }
    Ok(("tcg", format!("emulation ({why_not})")))
}

/// What stands against KVM, from the cache where it has been tried before.
fn ask(parts: &Parts) -> Result<(), String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(|error| format!("{DEVICE}: {error}"))?;
    let parts = Parts {
        qemu: Qemu {
            accelerator: "kvm",
            ..parts.qemu.clone()
        },
        kernel: Arc::clone(&parts.kernel),
        cache: parts.cache.clone(),
        ready_time_limit: PROBE_TIME_LIMIT,
    };
    let key = parts.qemu.identify(parts.kernel.key_of_image("kvm"), 1);
    let entry = cache::entry(&parts.cache, &key, |directory| {
        let answer = match probe(&parts, directory) {
            Ok(()) => YES.to_owned(),
            Err(error) => format!("KVM does not run a guest here: {error}"),
        };
        fs_err::write(directory.join(ANSWER), answer).map_err(Error::io("write to the cache"))
    })
    .map_err(|error| error.to_string())?;
    match fs_err::read_to_string(entry.file(ANSWER)) {
        Ok(answer) if answer == YES => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}

/// Boots a guest, saves it, restores it, and has it refuse an empty image.
fn probe(parts: &Parts, directory: &Path) -> Result<(), Error> {
    let image = directory.join("image");
    fs_err::write(&image, vec![0; 64 << 10]).map_err(Error::io("write to the cache"))?;
    let snapshot = Life::Snapshot(Arc::new(parts.snapshot(1)?));
    let job = Job {
        images: &[image],
        arrangement: Arrangement::Single,
        filesystem: "ext4",
        profile: Profile::Ro,
        upper: None,
        walk: false,
        stacks: &[],
        commands: &[],
        transcript: &directory.join("transcript"),
        time_limit: PROBE_TIME_LIMIT,
    };
    for life in [Life::Cold, snapshot] {
        match parts.boot(&life, &job) {
            Attempt::Boot(_) => {}
            Attempt::Unstarted(error) | Attempt::Failed(error) => return Err(error),
        }
    }
    Ok(())
}
