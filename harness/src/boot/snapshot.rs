//! The saved state of a guest that waits for its job.
//!
//! The guest's memory is a file that QEMU maps: shared by the machine that is saved, privately by
//! each one that is restored, which so reads no more of it than its guest touches. The state of the
//! devices is a migration stream without that memory, some hundred kilobytes.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::cache::{self, Entry, Key};
use super::conversation::wait_ready;
use super::drive::Drive;
use super::error::Error;
use super::kernel::Kernel;
use super::qemu::{MEMORY_MIB, Process, Qemu, Start, path_of};
use super::qmp::Qmp;

/// How long saving or beginning to restore may take.
const CONTROL_TIME_LIMIT: Duration = Duration::from_secs(60);

const MEMORY: &str = "memory";
const STATE: &str = "state";

/// A snapshot on disk, in use.
#[derive(Debug)]
pub(super) struct Snapshot {
    entry: Entry,
}

impl Snapshot {
    /// Takes the snapshot of this key from the cache, or boots a guest with so many disks and makes it.
    pub(super) fn get(
        cache: &Path,
        key: &Key,
        qemu: &Qemu,
        kernel: &Kernel,
        drives: usize,
        ready_time_limit: Duration,
    ) -> Result<Snapshot, Error> {
        let entry = cache::entry(cache, key, |directory| {
            let memory = directory.join(MEMORY);
            let file = create(&memory)?;
            file.set_len(MEMORY_MIB << 20)
                .map_err(Error::io("make the guest's memory"))?;
            let state = create(&directory.join(STATE))?;
            let process = qemu.start(&kernel.start(Some(memory)), &Drive::nothing(drives))?;
            process
                .after(|process| {
                    wait_ready(&mut process.port(ready_time_limit))?;
                    save(process, qemu, &state)
                })
                .map(drop)
        })?;
        Ok(Snapshot { entry })
    }

    /// What was found wrong with an older snapshot, if one had to be made again.
    pub(super) fn note(&self) -> Option<&str> {
        self.entry.note.as_deref()
    }

    /// Starts a machine from the snapshot, with disks of its own, and lets it go on.
    pub(super) fn start(&self, qemu: &Qemu, drives: &[Drive]) -> Result<Process, Error> {
        let state = File::open(self.entry.file(STATE)).map_err(Error::io("open the snapshot"))?;
        let start = Start::Saved {
            memory: self.entry.file(MEMORY),
        };
        qemu.start(&start, drives)?
            .after(|process| restore(process, qemu, &state))
    }

    /// Has the next run make the snapshot again, as this one proved to be of no use.
    pub(super) fn condemn(&self) {
        self.entry.condemn();
    }
}

fn create(path: &Path) -> Result<File, Error> {
    let file = fs_err::OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .open(path);
    file.map(|file| file.into_parts().0)
        .map_err(Error::io("write to the cache"))
}

fn save(process: &Process, qemu: &Qemu, state: &File) -> Result<(), Error> {
    let mut qmp = process.control(CONTROL_TIME_LIMIT)?;
    qmp.leave_out_memory()?;
    let uri = stream(&mut qmp, qemu, state)?;
    qmp.save(&uri)
}

fn restore(process: &Process, qemu: &Qemu, state: &File) -> Result<(), Error> {
    let mut qmp = process.control(CONTROL_TIME_LIMIT)?;
    qmp.leave_out_memory()?;
    let uri = stream(&mut qmp, qemu, state)?;
    qmp.restore(&uri)
}

/// How QEMU is told of the file for the devices' state: a file is no proper `fd:` any more where
/// there is `file:`.
fn stream(qmp: &mut Qmp<'_>, qemu: &Qemu, state: &File) -> Result<String, Error> {
    if qemu.version_number >= (8, 2) {
        return Ok(format!("file:{}", path_of(state)));
    }
    qmp.give(state, STATE)?;
    Ok(format!("fd:{STATE}"))
}
