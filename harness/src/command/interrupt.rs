//! SIGINT, SIGTERM and SIGHUP: what is half done is removed before the program ends by the signal.
//!
//! Converters and machines end by themselves when the harness does: their helpers see its socket
//! close, and QEMU asks the kernel to be killed. What would stay are folders on the disk.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};

use crate::runner::contain::remove_tree;

/// The folders and files that an interrupted command must not leave behind.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// The number of the signal that has come; 0 if none has.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
/// Whether a signal has come.
static ARRIVED: AtomicBool = AtomicBool::new(false);
/// Whether the command cleans up by itself as soon as it sees [`ARRIVED`].
static LEFT_TO_COMMAND: AtomicBool = AtomicBool::new(false);

/// How often removing is tried: threads of this process may still write there.
const TRIES: usize = 50;

/// Something that is removed if the program is interrupted while this lives. Whoever made it still
/// removes it in the ordinary case.
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    /// Remembers a path.
    pub(super) fn new(path: &Path) -> Unfinished {
        lock().push(path.to_owned());
        Unfinished(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut paths = lock();
        if let Some(index) = paths.iter().position(|path| *path == self.0) {
            paths.swap_remove(index);
        }
    }
}

/// Waits for the signals in a thread of its own. It must be called before any other thread starts, so
/// that none of them takes a signal; children start with no signal blocked.
pub(super) fn watch() -> anyhow::Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            // A signal that the parent had ignored (nohup) never arrives here.
            while let Ok(signal) = signals.wait() {
                SIGNAL.store(signal as i32, Ordering::SeqCst);
                let is_first = !ARRIVED.swap(true, Ordering::SeqCst);
                if is_first && LEFT_TO_COMMAND.load(Ordering::SeqCst) {
                    continue;
                }
                remove_unfinished(signal);
                end_by(signal, &signals);
            }
        })?;
    Ok(())
}

/// Leaves the cleaning up after the first signal to the command: it must look at the returned flag, and
/// call [`end_if_arrived`] when it is done.
pub(super) fn leave_to_command() -> &'static AtomicBool {
    LEFT_TO_COMMAND.store(true, Ordering::SeqCst);
    &ARRIVED
}

/// Exits as after a signal if one has come.
pub(super) fn end_if_arrived() {
    if ARRIVED.load(Ordering::SeqCst) {
        let number = SIGNAL.load(Ordering::SeqCst);
        super::complain(&format!("stopped by signal {number}"));
        std::process::exit(128 + number);
    }
}

/// Removes what is unfinished.
fn remove_unfinished(signal: Signal) {
    super::complain(&format!("stopped by {signal}"));
    // Never unlocked: nothing unfinished can be begun any more.
    let paths = std::mem::ManuallyDrop::new(lock());
    for path in paths.iter() {
        let is_there = || std::fs::symlink_metadata(path).is_ok();
        for _ in 0..TRIES {
            if remove_tree(path).is_ok() && !is_there() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if is_there() {
            super::complain(&format!("could not remove `{}`", path.display()));
        }
    }
}

/// Dies of the signal, so that a shell sees it.
fn end_by(signal: Signal, signals: &SigSet) {
    // Should either fail, the exit code tells as much.
    let _ = signals.thread_unblock();
    let _ = raise(signal);
    std::process::exit(128 + signal as i32);
}

fn lock() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
