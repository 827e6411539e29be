//! What failing trials made, kept for a person to look at, within limits: images of some converters take 60 MB each, and
//! a converter can fail at every case.

use std::fs::FileTimes;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use walkdir::WalkDir;

use crate::runner::contain::remove_tree;

/// What one run keeps, and what it leaves there of earlier ones, in bytes on disk.
const BYTES_MAX: u64 = 2 << 30;

/// The folder where what failing trials made is kept: at most 2 GiB of one run, and as much of those before it.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    bytes_max: u64,
    /// How much this run may still keep; unknown before it keeps anything.
    left: Mutex<Option<u64>>,
}

impl Kept {
    /// In this folder, which need not be there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Kept {
        Kept {
            folder,
            bytes_max: BYTES_MAX,
            left: Mutex::new(None),
        }
    }

    /// Moves a trial's folder `made` to where the trial's name says, in the place of what an earlier run kept there.
    /// Where there is no room left for it, it is removed, and there is no answer.
    ///
    /// # Errors
    ///
    /// Of removing or moving.
    pub(super) fn keep(&self, trial: &str, made: &Path) -> anyhow::Result<Option<PathBuf>> {
        let kept = self.folder.join(trial);
        let bytes = bytes_on_disk(made);
        {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let before = match *left {
                Some(left) => left,
                None => self.begin()?,
            };
            remove_tree_if_any(&kept)?;
            let after = bytes.and_then(|bytes| before.checked_sub(bytes));
            *left = Some(after.unwrap_or(before));
            if after.is_none() {
                remove_tree(made)?;
                return Ok(None);
            }
        }
        fs::create_dir_all(kept.parent().expect("it has a parent"))?;
        fs::rename(made, &kept)?;
        Ok(Some(kept))
    }

    /// Makes room for a run: says how much.
    fn begin(&self) -> anyhow::Result<u64> {
        let is_small = bytes_on_disk(&self.folder).is_some_and(|bytes| bytes <= self.bytes_max);
        if !is_small {
            remove_tree_if_any(&self.folder)?;
        }
        Ok(self.bytes_max)
    }
}
