//! The machine that the tests share.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use harness::boot::{Accel, Boot, Machine, Missing, Mode, Options};
use harness::check::Reason;

use super::images::Image;
use crate::require::missing;

/// Enough for any of the small images here on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Where `ci setup` unpacks a kernel, and where the host has its own.
pub(crate) fn options(cache: &Path, mode: Mode) -> Options {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Options {
        qemu: None,
        kernel: None,
        modules: None,
        roots: vec![workspace.join("target/kernel"), PathBuf::from("/")],
        cache: cache.to_path_buf(),
        mode,
        // Whether KVM works is another question, and asking it takes long where it does not.
        accel: Accel::Tcg,
    }
}

/// A machine with the cache that all tests share, or `None` where there can be none.
#[track_caller]
pub(crate) fn machine(mode: Mode) -> Option<&'static Machine> {
    static MACHINES: [OnceLock<Result<Machine, Missing>>; 2] = [const { OnceLock::new() }; 2];
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot");
    let found = MACHINES[usize::from(mode == Mode::Cold)]
        .get_or_init(|| Machine::find(&options(&cache, mode)));
    // Not in a closure, where the caller would be this file.
    match found {
        Ok(machine) => Some(machine),
        Err(missing) => {
            not_checked(&missing.to_string());
            None
        }
    }
}

/// A machine with a cache of its own.
#[track_caller]
pub(crate) fn with_cache(cache: &Path, mode: Mode) -> Option<Machine> {
    match Machine::find(&options(cache, mode)) {
        Ok(machine) => Some(machine),
        Err(missing) => {
            not_checked(&missing.to_string());
            None
        }
    }
}

/// Says that a test could not check what it is for. `HARNESS_REQUIRE=boot` makes it an error.
#[track_caller]
pub(crate) fn not_checked(why: &str) {
    let caller = std::panic::Location::caller();
    let what = format!("{}:{}", caller.file(), caller.line());
    missing(Reason::Boot, &what, why);
}

/// Boots an image, walks it and runs commands in it.
#[track_caller]
pub(crate) fn boot(machine: &Machine, image: &Image, commands: &[&str]) -> Boot {
    let commands: Vec<Vec<u8>> = commands
        .iter()
        .map(|command| command.as_bytes().into())
        .collect();
    machine.boot(&image.job(&commands)).unwrap()
}
