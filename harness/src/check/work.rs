//! The folder for the work in progress of one run: its own, and gone at the end however that comes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use anyhow::Context as _;
use fs_err as fs;
use rustix::fs::{FlockOperation, IFlags, flock, ioctl_getflags, ioctl_setflags};

use crate::runner::contain::remove_tree;

/// What the folders' names begin with.
const PREFIX: &str = "run-";

/// A run's folder. It is locked while it lives, so that a later run knows what a killed one left.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    /// Removes what killed runs left in `parent`, and makes a folder of this run.
    ///
    /// # Errors
    ///
    /// Of making or removing folders there.
    pub fn create(parent: &Path) -> anyhow::Result<WorkFolder> {
        WorkFolder::make(parent, || {
            let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
            made.map(tempfile::TempDir::keep)
        })
    }

    fn make(
        parent: &Path,
        make: impl FnOnce() -> std::io::Result<PathBuf>,
    ) -> anyhow::Result<WorkFolder> {
        fs::create_dir_all(parent)?;
        let shown = parent.display();
        let gate = File::open(parent).with_context(|| format!("failed to open `{shown}`"))?;
        // Else a folder could be taken for abandoned between its making and its locking.
        flock(&gate, FlockOperation::LockExclusive)
            .with_context(|| format!("failed to lock `{shown}`"))?;
        remove_abandoned(parent)?;
        let path = make().with_context(|| format!("failed to make a folder in `{shown}`"))?;
        let lock = File::open(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("failed to lock `{}`", path.display()))?;
        spread(&lock);
        Ok(WorkFolder { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now the next run removes.
        let _ = remove_tree(&self.path);
    }
}

/// A folder that the runs of a process have in common. It is there as long as one of them has it, always at the same path.
#[derive(Debug, Default)]
pub struct SharedFolder {
    path: OnceLock<PathBuf>,
    folder: Mutex<Weak<WorkFolder>>,
}

impl SharedFolder {
    /// None so far.
    #[must_use]
    pub const fn new() -> SharedFolder {
        SharedFolder {
            path: OnceLock::new(),
            folder: Mutex::new(Weak::new()),
        }
    }

    /// The folder, which is made if nobody has it; the first time in `parent`.
    ///
    /// # Errors
    ///
    /// As [`WorkFolder::create`].
    pub fn get(&self, parent: &Path) -> anyhow::Result<Arc<WorkFolder>> {
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = folder.upgrade() {
            return Ok(folder);
        }
        let made = match self.path.get() {
            None => WorkFolder::create(parent)?,
            Some(path) => {
                let parent = path.parent().unwrap_or(path);
                WorkFolder::make(parent, || fs::create_dir(path).map(|()| path.clone()))?
            }
        };
        self.path.get_or_init(|| made.path.clone());
        let made = Arc::new(made);
        *folder = Arc::downgrade(&made);
        Ok(made)
    }
}

/// Tells the filesystem that what is made in a folder by one trial has nothing to do with the next's, as `chattr +T`
/// does. Without a journal ext4 gives the number of a removed inode to nobody for a minute or more, and looks at
/// all such numbers nearby for every file that it makes: half of the time of a run went into that.
fn spread(folder: &File) {
    // A hint, which other filesystems do not take.
    if let Ok(flags) = ioctl_getflags(folder) {
        let _ = ioctl_setflags(folder, flags | IFlags::TOPDIR);
    }
}

/// Removes the folders of runs that do not live any more.
fn remove_abandoned(parent: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(PREFIX) {
            continue;
        }
        let shown = path.display();
        // A run that ends removes its own without asking anybody.
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_tree(&path).with_context(|| {
                format!("failed to remove `{shown}`, which a killed run left behind")
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SharedFolder, WorkFolder};

    #[test]
    fn what_runs_share_is_there_as_long_as_one_of_them_is_and_comes_back_at_its_place() {
        let parent = tempfile::tempdir().unwrap();
        let shared = SharedFolder::new();
        let first = shared.get(parent.path()).unwrap();
        let path = first.path().to_owned();
        let second = shared.get(parent.path()).unwrap();
        assert_eq!(second.path(), path);
        drop(first);
        assert!(path.is_dir());
        drop(second);
        assert!(!path.exists());
        let third = shared.get(parent.path()).unwrap();
        assert!(third.path() == path && path.is_dir());
    }

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let abandoned = parent.path().join("run-abandoned");
        let other = parent.path().join("keep");
        std::fs::create_dir_all(abandoned.join("trial-1/out")).unwrap();
        std::fs::create_dir(&other).unwrap();
        let first = WorkFolder::create(parent.path()).unwrap();
        assert!(!abandoned.exists());
        let second = WorkFolder::create(parent.path()).unwrap();
        assert!(first.path().exists() && second.path().exists() && other.exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}
