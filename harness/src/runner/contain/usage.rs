//! How much disk an output takes, measured while a hostile program is writing it.
//!
//! Why not a file system of its own for the output: a tmpfs would have to be copied out (or
//! held in memory by whoever reads it), a loop device needs root, and project quotas need a file
//! system made for them. So the output lies on the host's file system, no file can grow beyond
//! `RLIMIT_FSIZE`, and this meter is read many times a second; what is written between two readings
//! is all that can exceed the limit. It is read once more at the end, so the verdict does
//! not depend on when the readings fell.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::StatVfs;

use super::tree;

/// The meter of one output directory.
pub(super) struct Meter {
    dir: OwnedFd,
    /// What the file system said when the directory was last walked.
    seen: Option<(u64, u64)>,
    /// No walk before this, so that walking never takes more than a tenth of the time.
    rest_until: Instant,
}

/// What an output takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// Every inode costs at least this much, so that a million empty files count.
const INODE_BYTES: u64 = 1024;

impl Usage {
    /// What to hold against the limit.
    pub(super) fn charge(self) -> u64 {
        self.bytes
            .saturating_add(self.files.saturating_mul(INODE_BYTES))
    }
}

impl Meter {
    pub(super) fn new(dir: OwnedFd) -> Self {
        Self {
            dir,
            seen: None,
            rest_until: Instant::now(),
        }
    }

    /// The usage, or `None` when nothing was written to the file system since, or too little time has passed.
    pub(super) fn glance(&mut self) -> Option<Usage> {
        if Instant::now() < self.rest_until {
            return None;
        }
        let free = |vfs: StatVfs| (vfs.f_bfree, vfs.f_ffree);
        let now = rustix::fs::fstatvfs(&self.dir).ok().map(free);
        if now.is_some() && now == self.seen {
            return None;
        }
        self.seen = now;
        let begin = Instant::now();
        let usage = self.read();
        self.rest_until = Instant::now() + begin.elapsed() * 9;
        Some(usage)
    }

    /// The usage now.
    pub(super) fn read(&self) -> Usage {
        let mut usage = Usage::default();
        walk(self.dir.as_fd(), &mut usage, &mut BTreeSet::new(), 0);
        usage
    }
}

/// What vanishes or is moved while we look is not counted; the reading at the end is exact.
fn walk(dir: BorrowedFd<'_>, usage: &mut Usage, linked: &mut BTreeSet<(u64, u64)>, depth: usize) {
    for name in tree::names(dir).unwrap_or_default() {
        let Ok(Some(stat)) = tree::stat(dir, &name) else {
            continue;
        };
        let is_dir = tree::is_dir(&stat);
        if !is_dir && stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino)) {
            continue;
        }
        usage.files += 1;
        usage.bytes = usage
            .bytes
            .saturating_add(stat.st_blocks.cast_unsigned() * 512);
        let enter = is_dir && depth < tree::DEPTH_MAX;
        if enter && let Ok(dir) = tree::open_dir(dir, &name) {
            walk(dir.as_fd(), usage, linked, depth + 1);
        }
    }
}
