//! EROFS filesystem images, uncompressed and written byte by byte.
//!
//! They are the blobs of layers of the media type `application/vnd.erofs`, and the disk on which the
//! guest's kernel is given the layers of the second oracle. The same tree gives the same bytes
//! everywhere: inodes stand in the order in which they are met, all of them in the extended form, no
//! clock and no identifier is in them. The format is that of the kernel's
//! `Documentation/filesystems/erofs.rst` and `fs/erofs/erofs_fs.h`.

mod directory;
mod layer;
mod place;
mod superblock;
#[cfg(test)]
mod tests;
mod xattr;

use std::collections::BTreeMap;

use bstr::BString;

pub use self::layer::{layer_blob, layer_tree};
use self::place::{Place, places};
use super::tar::write_content;
use crate::case::escape::escape;
use crate::case::{Content, Device, Time};

/// The bytes of a block.
const BLOCK: usize = 4096;
/// The bytes of an inode in the extended form, without its attributes.
const INODE: usize = 64;
/// Inodes are numbered by the place they stand at, in units of this many bytes.
const SLOT: usize = 32;
/// The longest name that Linux looks up.
const NAME_MAX: usize = 255;

/// A tree to be written. The root is there from the beginning.
#[derive(Debug, Clone, PartialEq)]
pub struct Filesystem {
    inodes: Vec<Inode>,
}

/// An inode of a [`Filesystem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InodeId(usize);

/// What an inode is, and its attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The modification time.
    pub mtime: Time,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<BString, BString>,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A directory with its names.
    Dir(BTreeMap<BString, InodeId>),
    /// A regular file.
    File(Content),
    /// A symbolic link with its target.
    Symlink(BString),
    /// A character device; 0:0 is a whiteout of overlayfs.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
}

/// Why a tree cannot be written: the format cannot hold it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write an EROFS image: `{path}`: {what}")]
pub struct ErofsError {
    /// The path, escaped; empty for the root.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
}

impl Filesystem {
    /// A tree of nothing but its root.
    ///
    /// # Panics
    ///
    /// Where the root is no directory.
    pub fn new(root: Inode) -> Filesystem {
        assert!(matches!(root.kind, Kind::Dir(_)), "the root is a directory");
        Filesystem { inodes: vec![root] }
    }

    /// The root.
    pub fn root(&self) -> InodeId {
        InodeId(0)
    }

    /// Adds an inode that has no name yet; one that never gets a name is not written.
    pub fn add(&mut self, inode: Inode) -> InodeId {
        self.inodes.push(inode);
        InodeId(self.inodes.len() - 1)
    }

    /// Every inode, those without a name included.
    pub fn inodes(&self) -> impl Iterator<Item = &Inode> {
        self.inodes.iter()
    }

    /// An inode.
    pub fn get(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0]
    }

    /// An inode, to change it.
    pub fn get_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.0]
    }

    /// The inode of this name in a directory; none where that is no directory.
    pub fn child(&self, directory: InodeId, name: &[u8]) -> Option<InodeId> {
        match &self.get(directory).kind {
            Kind::Dir(names) => names.get(bstr::BStr::new(name)).copied(),
            _ => None,
        }
    }

    /// Gives an inode a name; what had it before loses it.
    ///
    /// # Panics
    ///
    /// Where `directory` is none.
    pub fn link(&mut self, directory: InodeId, name: impl Into<BString>, id: InodeId) {
        self.names_mut(directory).insert(name.into(), id);
    }

    /// Takes a name out of a directory.
    ///
    /// # Panics
    ///
    /// Where `directory` is none.
    pub fn unlink(&mut self, directory: InodeId, name: &[u8]) {
        self.names_mut(directory).remove(bstr::BStr::new(name));
    }

    fn names_mut(&mut self, directory: InodeId) -> &mut BTreeMap<BString, InodeId> {
        match &mut self.get_mut(directory).kind {
            Kind::Dir(names) => names,
            _ => panic!("no directory"),
        }
    }

    /// Adds all inodes of another tree; what was its root has no name here yet.
    pub fn graft(&mut self, tree: &Filesystem) -> InodeId {
        let first = self.inodes.len();
        for inode in &tree.inodes {
            let mut inode = inode.clone();
            if let Kind::Dir(names) = &mut inode.kind {
                names.values_mut().for_each(|id| id.0 += first);
            }
            self.inodes.push(inode);
        }
        InodeId(first)
    }

    /// The image: superblock and inodes first, then whole blocks of data.
    ///
    /// # Errors
    ///
    /// What the format cannot hold, by path.
    pub fn write(&self) -> Result<Vec<u8>, ErofsError> {
        let places = places(self)?;
        let end = places.values().map(Place::end).max().unwrap_or_default();
        let mut image = vec![0; end.next_multiple_of(BLOCK)];
        for (id, place) in &places {
            place.write(self.get(*id), &mut image);
        }
        superblock::write(&mut image, places[&self.root()].nid(), places.len());
        Ok(image)
    }
}

/// An error at a path.
fn error(path: &[u8], what: impl Into<String>) -> ErofsError {
    ErofsError {
        path: escape(path),
        what: what.into(),
    }
}

/// The bytes of a file.
fn bytes_of(content: &Content, path: &[u8]) -> Result<Vec<u8>, ErofsError> {
    let mut bytes = Vec::new();
    write_content(content, &mut bytes).map_err(|cause| error(path, cause.to_string()))?;
    Ok(bytes)
}

/// Replaces the bytes at `offset`.
fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}
