//! A directory on the host as the tree of a filesystem image, with all its bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use bstr::ByteSlice as _;
use rustix::fs::{Mode, OFlags};

use super::{Unreadable, dir};
use crate::case::Content;
use crate::image::erofs::{self, Filesystem, InodeId};
use crate::tree::{Inode, InodeId as TreeId, InodeKind, mtree};

/// The most bytes of content that a layer may have: all of it is in memory for a while.
const LAYER_BYTES_MAX: u64 = 1 << 30;

/// Reads the layer's directory `root` as it is, for the guest's kernel to make of it what it does.
///
/// # Errors
///
/// The first path that cannot be read, a socket, which no image holds, or more than a gibibyte.
pub fn layer(root: &Path) -> Result<Filesystem, Unreadable> {
    let tree = dir(root)?;
    let top = rustix::fs::open(root, DIRECTORY, Mode::empty()).map_err(|e| unreadable(b"", e))?;
    let mut left = LAYER_BYTES_MAX;
    let mut ids: BTreeMap<TreeId, InodeId> = BTreeMap::new();
    let mut paths: BTreeMap<&[u8], InodeId> = BTreeMap::new();
    let mut image: Option<Filesystem> = None;
    for (path, id, inode) in tree.iter() {
        let Some(image) = &mut image else {
            let root = kind(&top, path, inode, &mut left).map(|kind| plain(inode, kind));
            let new = Filesystem::new(root.map_err(|error| unreadable(path, error))?);
            ids.insert(id, new.root());
            paths.insert(path, new.root());
            image = Some(new);
            continue;
        };
        let known = ids.get(&id).copied();
        let new = match known {
            Some(new) => new,
            None => {
                let kind = kind(&top, path, inode, &mut left);
                let kind = kind.map_err(|error| unreadable(path, error))?;
                image.add(plain(inode, kind))
            }
        };
        ids.insert(id, new);
        paths.insert(path, new);
        let (parent, name) = split(path);
        image.link(paths[parent], name, new);
    }
    image.ok_or_else(|| unreadable(b"", "it has no root"))
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn plain(inode: &Inode, kind: erofs::Kind) -> erofs::Inode {
    erofs::Inode {
        kind,
        mode: inode.mode.unwrap_or_default(),
        uid: inode.uid.unwrap_or_default(),
        gid: inode.gid.unwrap_or_default(),
        mtime: inode.mtime.unwrap_or_default(),
        xattrs: inode.xattrs.clone(),
    }
}

fn kind(top: &OwnedFd, path: &[u8], inode: &Inode, left: &mut u64) -> io::Result<erofs::Kind> {
    Ok(match &inode.kind {
        InodeKind::Dir => erofs::Kind::Dir(BTreeMap::new()),
        InodeKind::File { size, .. } => {
            *left = left
                .checked_sub(*size)
                .ok_or_else(|| io::Error::other("more than 1 GiB of content in a layer"))?;
            erofs::Kind::File(Content::Bytes(bytes(top, path)?))
        }
        InodeKind::Symlink(target) => erofs::Kind::Symlink(target.clone()),
        InodeKind::Char(device) => erofs::Kind::Char(*device),
        InodeKind::Block(device) => erofs::Kind::Block(*device),
        InodeKind::Fifo => erofs::Kind::Fifo,
        InodeKind::Socket => return Err(io::Error::other("a socket")),
    })
}

/// The bytes of a file, however deep it lies; no link is followed.
fn bytes(top: &OwnedFd, path: &[u8]) -> io::Result<Vec<u8>> {
    let (parent, name) = split(path);
    let mut at: Option<OwnedFd> = None;
    for part in parent.split_str(b"/").filter(|part| !part.is_empty()) {
        let from = at.as_ref().unwrap_or(top);
        at = Some(rustix::fs::openat(from, part, DIRECTORY, Mode::empty())?);
    }
    let from = at.as_ref().unwrap_or(top).as_fd();
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut bytes = Vec::new();
    let file = File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
    file.take(LAYER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The directory of a path, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.rfind_byte(b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

fn unreadable(path: &[u8], cause: impl ToString) -> Unreadable {
    Unreadable {
        path: mtree::name(path),
        cause: cause.to_string(),
    }
}
