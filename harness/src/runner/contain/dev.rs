//! The host's loop and device-mapper devices, which no namespace separates.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Leftover, Powers};

/// Watches the devices of the host while one converter that may mount runs.
pub(super) struct Watch {
    before: Devices,
    /// Devices belong to all, so one that sees them runs by itself, and any that sees none beside others
    /// of its kind: the lock lies on a file that is there anyway.
    _turn: Option<File>,
}

#[derive(Default, PartialEq, Eq)]
struct Devices {
    loops: BTreeMap<String, PathBuf>,
    mapped: BTreeMap<String, String>,
}

impl Watch {
    /// Waits for its turn and notes which devices there are.
    pub(super) fn begin(powers: Powers) -> Self {
        let lock = match powers {
            Powers::Loop => File::lock,
            _ => File::lock_shared,
        };
        let turn = File::open("/dev/loop-control")
            .ok()
            .filter(|file| lock(file).is_ok());
        Self {
            before: Devices::now(),
            _turn: turn,
        }
    }

    /// The devices that were left, which it also takes down.
    pub(super) fn finish(self) -> Vec<Leftover> {
        let now = Devices::now();
        let mut left = Vec::new();
        for (name, dm) in now
            .mapped
            .into_iter()
            .filter(|(key, _)| !self.before.mapped.contains_key(key))
        {
            take_down("dmsetup", &["remove", "--retry", &name]);
            left.push(Leftover::DeviceMapper(format!("{name} ({dm})")));
        }
        for (name, file) in now
            .loops
            .into_iter()
            .filter(|(key, _)| !self.before.loops.contains_key(key))
        {
            take_down("losetup", &["--detach", &format!("/dev/{name}")]);
            left.push(Leftover::LoopDevice(name, file));
        }
        left
    }
}

impl Devices {
    fn now() -> Self {
        let mut devices = Self::default();
        for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let device = entry.file_name().to_string_lossy().into_owned();
            let read = |file| fs::read_to_string(entry.path().join(file)).ok();
            if let Some(file) = read("loop/backing_file") {
                devices.loops.insert(device, file.trim_end().into());
            } else if let Some(name) = read("dm/name") {
                devices.mapped.insert(name.trim_end().to_owned(), device);
            }
        }
        devices
    }
}

/// A tool that is missing leaves the device; the finding says so.
fn take_down(tool: &str, args: &[&str]) {
    let _ = Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
