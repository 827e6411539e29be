//! The temporary sibling that becomes the output.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, mkdirat, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use super::remove::remove_tree;
use crate::Format;
use crate::error::Error;

/// Names tried before giving up; they are random, so the first one serves.
const ATTEMPTS: usize = 16;

/// An output that does not exist yet. Dropped without [`Output::publish`], it leaves nothing.
pub(crate) struct Output {
    path: PathBuf,
    name: OsString,
    /// The directory both names are in, so that the working directory plays no part.
    parent: OwnedFd,
    sibling: String,
    fd: OwnedFd,
    format: Format,
    published: bool,
}

impl Output {
    /// Makes the sibling: a directory or a file that only its owner may enter or read.
    pub(crate) fn create(path: &Path, format: Format) -> Result<Self, Error> {
        let error = |e: Errno| Error::io("create", path, io::Error::from(e));
        let name = path
            .file_name()
            .ok_or_else(|| error(Errno::INVAL))?
            .to_owned();
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty())
            .map_err(|e| Error::io("open", parent, io::Error::from(e)))?;
        check_absent(&parent, &name).map_err(error)?;
        for _ in 0..ATTEMPTS {
            let sibling = format!(".native-{:016x}", random());
            match make(&parent, &sibling, format) {
                Ok(fd) => {
                    let path = path.to_owned();
                    let output = Self {
                        path,
                        name,
                        parent,
                        sibling,
                        fd,
                        format,
                        published: false,
                    };
                    return Ok(output);
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(error(e)),
            }
        }
        Err(error(Errno::EXIST))
    }

    /// The sibling.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// A file without a name, on the filesystem of the output.
    pub(crate) fn spool(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let made = match openat(&self.parent, ".", flags, Mode::RUSR | Mode::WUSR) {
            // Not every filesystem can; make one with a name and take the name away.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let name = format!("{}-spool", self.sibling);
                make(&self.parent, &name, Format::Tar).and_then(|fd| {
                    unlinkat(&self.parent, &name, AtFlags::empty())?;
                    Ok(fd)
                })
            }
            other => other,
        };
        made.map_err(|e| Error::io("make room next to", &self.path, io::Error::from(e)))
    }

    /// Where the output goes, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the sibling its name, if nobody has taken it meanwhile.
    pub(crate) fn publish(mut self) -> Result<(), Error> {
        if self.format == Format::Tar {
            // A name that stands for data must not outlive it when the power fails. A directory would
            // need that for each of its files; whoever depends on it calls sync(1).
            rustix::fs::fsync(&self.fd)
                .map_err(|e| Error::io("flush", &self.path, io::Error::from(e)))?;
        }
        let (parent, sibling) = (&self.parent, self.sibling.as_str());
        let renamed = renameat_with(parent, sibling, parent, &self.name, RenameFlags::NOREPLACE);
        let renamed = match renamed {
            // Some network filesystems cannot do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) => check_absent(parent, &self.name)
                .and_then(|()| renameat(parent, sibling, parent, &self.name)),
            other => other,
        };
        renamed.map_err(|e| Error::io("rename the result to", &self.path, io::Error::from(e)))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // There is nobody left to tell; the caller already has the error that led here.
        let _ = match self.format {
            Format::Dir => remove_tree(&self.parent, &self.sibling, &self.fd),
            Format::Tar => unlinkat(&self.parent, &self.sibling, AtFlags::empty()),
        };
    }
}

fn make(parent: &OwnedFd, sibling: &str, format: Format) -> Result<OwnedFd, Errno> {
    match format {
        Format::Dir => {
            mkdirat(parent, sibling, Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(parent, sibling, flags, Mode::empty())
        }
        Format::Tar => {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(parent, sibling, flags, Mode::RUSR | Mode::WUSR)
        }
    }
}

fn check_absent(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// The standard library seeds its hash maps from the system's random numbers.
fn random() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
