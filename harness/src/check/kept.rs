//! What failing trials made, kept for a person to look at, within limits: images of some converters take 60 MB each, and
//! a converter can fail at every case.

use std::os::unix::fs::MetadataExt as _;
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

    /// Moves what a trial made to where the trial's name says, in the place of what an earlier run kept there. Where
    /// there is no room left for it, it is removed, and there is no answer. To what is no news half of the room is
    /// closed: those trials are many, and whoever wants to see one can ask for it alone.
    ///
    /// # Errors
    ///
    /// Of removing or moving.
    pub(super) fn keep(
        &self,
        trial: &str,
        made: &Path,
        is_news: bool,
    ) -> anyhow::Result<Option<PathBuf>> {
        let kept = self.folder.join(trial);
        if !self.has_room_for(bytes_on_disk(made), is_news)? {
            remove_tree(made)?;
            return Ok(None);
        }
        fs::create_dir_all(kept.parent().expect("it has a parent"))?;
        remove_tree(&kept)?;
        fs::rename(made, &kept)?;
        Ok(Some(kept))
    }

    /// Whether so many bytes may be kept, too; if so they are counted. The first time it removes what earlier runs
    /// kept, if that is more than one may.
    fn has_room_for(&self, bytes: u64, is_news: bool) -> anyhow::Result<bool> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_none() && bytes_on_disk(&self.folder) > self.bytes_max {
            remove_tree(&self.folder)?;
        }
        let before = left.unwrap_or(self.bytes_max);
        let closed = if is_news { 0 } else { self.bytes_max / 2 };
        let after = before.checked_sub(bytes).filter(|after| *after >= closed);
        *left = Some(after.unwrap_or(before));
        Ok(after.is_some())
    }
}

/// What is below a path takes, in bytes. Paths that are too long to be looked at count nothing.
fn bytes_on_disk(path: &Path) -> u64 {
    let entries = WalkDir::new(path).into_iter().filter_map(Result::ok);
    let blocks = entries.filter_map(|entry| Some(entry.metadata().ok()?.blocks()));
    blocks.sum::<u64>() * 512
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;

    use super::Kept;

    /// What a trial made: a file of so many MiB.
    fn make(folder: &Path, mebibytes: usize) -> std::path::PathBuf {
        let made = folder.join("made");
        fs::create_dir(&made).unwrap();
        fs::write(made.join("image"), vec![7; mebibytes << 20]).unwrap();
        made
    }

    fn kept(folder: &Path, mebibytes: u64) -> Kept {
        Kept {
            bytes_max: mebibytes << 20,
            ..Kept::new(folder.join("kept"))
        }
    }

    #[test]
    fn a_run_keeps_what_it_has_room_for_and_drops_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let kept = kept(folder, 5);
        let keep = |name: &str, mebibytes: usize, is_news: bool| {
            kept.keep(name, &make(folder, mebibytes), is_news).unwrap()
        };
        let place = keep("chain/group/first", 2, true).expect("there is room");
        assert_eq!(place, folder.join("kept/chain/group/first"));
        assert!(place.join("image").is_file());
        assert_eq!(keep("chain/group/large", 4, true), None);
        assert!(!folder.join("made").exists() && !folder.join("kept/chain/group/large").exists());
        assert_eq!(keep("chain/group/known", 2, false), None);
        assert!(keep("chain/group/second", 2, true).is_some() && place.is_dir());
    }

    #[test]
    fn what_is_no_news_is_kept_in_half_of_the_room() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let kept = kept(folder, 6);
        let keep = |name: &str, mebibytes: usize| {
            kept.keep(name, &make(folder, mebibytes), false).unwrap()
        };
        assert!(keep("first", 2).is_some() && keep("second", 2).is_none());
    }

    #[test]
    fn what_earlier_runs_kept_is_replaced_and_removed_where_it_is_more_than_one_may_keep() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let keep = |limit: u64, name: &str, mebibytes: usize| {
            let made = make(folder, mebibytes);
            kept(folder, limit)
                .keep(name, &made, true)
                .unwrap()
                .expect("room")
        };
        let first = keep(5, "first", 3);
        let second = keep(5, "second", 3);
        assert_eq!(keep(9, "first", 1), first);
        let size = |path: &Path| fs::metadata(path.join("image")).unwrap().len();
        assert_eq!((size(&first), size(&second)), (1 << 20, 3 << 20));
        let third = keep(3, "third", 1);
        assert!(third.is_dir() && !first.exists() && !second.exists());
    }
}
