//! A directory on the host as a tree.
//!
//! Everything is relative to a directory descriptor, so the depth of a path does not matter, and the
//! last component is never followed. A named pipe or device is looked at, never opened: opening one
//! can block for ever or act on the host.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use bstr::{BString, ByteSlice as _};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::process::{Resource, Rlimit};
use sha2::{Digest as _, Sha256};

use super::{CONTENT_BYTES_MAX, Unreadable};
use crate::tree::{Device, Inode, InodeId, InodeKind, Time, Tree, mtree};

/// Reads the directory `root` and everything below it.
///
/// # Errors
///
/// The first path that cannot be read, or contents of more than [`CONTENT_BYTES_MAX`].
pub fn dir(root: &Path) -> Result<Tree, Unreadable> {
    raise_descriptor_limit();
    let mut walk = Walk {
        tree: Tree::new(),
        seen: BTreeMap::new(),
        left: CONTENT_BYTES_MAX,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).map_err(|e| unreadable(b"", e))?;
    let stat = rustix::fs::statx(&top, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|error| unreadable(b"", error))?;
    let xattrs = xattrs(&format!("/proc/self/fd/{}", top.as_raw_fd()).into_bytes())
        .map_err(|error| unreadable(b"", error))?;
    walk.tree.insert("", inode(&stat, InodeKind::Dir, xattrs));
    walk.descend(top)?;
    Ok(walk.tree)
}

struct Walk {
    tree: Tree,
    /// The inode of each file with several names, by device and inode number.
    seen: BTreeMap<(u32, u32, u64), InodeId>,
    /// How many bytes of content may still be read.
    left: u64,
}

/// A directory being listed: its descriptor, its path, and the names still to be looked at.
struct Level {
    descriptor: OwnedFd,
    path: BString,
    names: Vec<BString>,
}

impl Walk {
    /// Depth first with a stack of our own: a tree can be deeper than ours is large.
    fn descend(&mut self, top: OwnedFd) -> Result<(), Unreadable> {
        let mut levels = vec![level(top, BString::default())?];
        while let Some(at) = levels.last_mut() {
            let Some(name) = at.names.pop() else {
                levels.pop();
                continue;
            };
            let mut path = at.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if let Some(below) = self.look(at.descriptor.as_fd(), &name, &path)? {
                levels.push(level(below, path)?);
            }
        }
        Ok(())
    }

    /// Takes one name into the tree; gives its descriptor if it is a directory.
    fn look(
        &mut self,
        at: BorrowedFd<'_>,
        name: &BString,
        path: &BString,
    ) -> Result<Option<OwnedFd>, Unreadable> {
        let fail = |error| unreadable(path, error);
        let stat = rustix::fs::statx(
            at,
            name.as_slice(),
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        )
        .map_err(fail)?;
        let key = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
        let file_type = FileType::from_raw_mode(stat.stx_mode.into());
        if file_type != FileType::Directory
            && let Some(id) = self.seen.get(&key)
        {
            self.tree.link(path.clone(), *id);
            return Ok(None);
        }
        let device = Device {
            major: stat.stx_rdev_major,
            minor: stat.stx_rdev_minor,
        };
        let mut below = None;
        let kind = match file_type {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(at, name.as_slice(), flags, Mode::empty());
                below = Some(opened.map_err(fail)?);
                InodeKind::Dir
            }
            FileType::RegularFile => self
                .file(at, name, &stat)
                .map_err(|e| unreadable(path, e))?,
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(at, name.as_slice(), Vec::new()).map_err(fail)?;
                InodeKind::Symlink(target.into_bytes().into())
            }
            FileType::CharacterDevice => InodeKind::Char(device),
            FileType::BlockDevice => InodeKind::Block(device),
            FileType::Fifo => InodeKind::Fifo,
            _ => InodeKind::Socket,
        };
        let mut place = format!("/proc/self/fd/{}/", at.as_raw_fd()).into_bytes();
        place.extend_from_slice(name);
        let xattrs = xattrs(&place).map_err(fail)?;
        let id = self.tree.insert(path.clone(), inode(&stat, kind, xattrs));
        if file_type != FileType::Directory && stat.stx_nlink > 1 {
            self.seen.insert(key, id);
        }
        Ok(below)
    }

    fn file(&mut self, at: BorrowedFd<'_>, name: &BString, stat: &Statx) -> io::Result<InodeKind> {
        let size = stat.stx_size;
        self.left = self.left.checked_sub(size).ok_or_else(|| {
            io::Error::other(format!(
                "more than {CONTENT_BYTES_MAX} bytes of content in all"
            ))
        })?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(
            at,
            name.as_slice(),
            flags,
            Mode::empty(),
        )?);
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
        Ok(InodeKind::File {
            size,
            sha256: hash.finalize().into(),
        })
    }
}

fn level(descriptor: OwnedFd, path: BString) -> Result<Level, Unreadable> {
    let fail = |error| unreadable(&path, error);
    let mut names = Vec::new();
    for entry in Dir::read_from(&descriptor).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(BString::from(name));
        }
    }
    // Popped from the end, so that a failure is met at the same path every time.
    names.sort_by(|a, b| b.cmp(a));
    Ok(Level {
        descriptor,
        path,
        names,
    })
}

fn inode(stat: &Statx, kind: InodeKind, xattrs: BTreeMap<BString, BString>) -> Inode {
    let mtime = Time {
        seconds: stat.stx_mtime.tv_sec,
        nanos: stat.stx_mtime.tv_nsec,
    };
    Inode {
        kind,
        mode: Some(u32::from(stat.stx_mode) & 0o7777),
        uid: Some(stat.stx_uid),
        gid: Some(stat.stx_gid),
        mtime: Some(mtime),
        xattrs,
    }
}

/// The extended attributes at a path below `/proc/self/fd`, which stands in for the `lgetxattrat` that
/// older kernels lack.
fn xattrs(place: &[u8]) -> rustix::io::Result<BTreeMap<BString, BString>> {
    let place = Path::new(std::ffi::OsStr::from_bytes(place));
    let names = match grow(|buffer| rustix::fs::llistxattr(place, buffer)) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(BTreeMap::new()),
        names => names?,
    };
    let mut values = BTreeMap::new();
    for name in names.split_str(b"\0").filter(|name| !name.is_empty()) {
        let key = std::ffi::OsStr::from_bytes(name);
        let value = grow(|buffer| rustix::fs::lgetxattr(place, key, buffer))?;
        values.insert(BString::from(name), BString::from(value));
    }
    Ok(values)
}

/// Calls with a buffer large enough for whatever Linux can answer (64 KiB).
fn grow(
    mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Err(rustix::io::Errno::RANGE) if buffer.len() < 1 << 17 => {
                buffer.resize(buffer.len() * 4, 0);
            }
            result => {
                buffer.truncate(result?);
                return Ok(buffer);
            }
        }
    }
}

/// A tree 3,000 directories deep needs as many descriptors at once.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where this is refused, a very deep tree is reported as unreadable, with the path.
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    }
}

fn unreadable(path: &[u8], cause: impl ToString) -> Unreadable {
    Unreadable {
        path: mtree::name(path),
        cause: cause.to_string(),
    }
}
