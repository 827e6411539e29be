//! A root filesystem as a value, and the reference model that computes it.
//!
//! A [`Tree`] knows names and inodes and nothing of tar, images or disks. Hard links are identity: two
//! names of one inode. What is open (an attribute the spec leaves to the converter) is `None`, which in
//! mtree(5) is an absent keyword and means "not compared".

mod diff;
#[cfg(test)]
mod diff_tests;
mod model;
#[cfg(test)]
mod model_tests;
pub mod mtree;
#[cfg(test)]
mod mtree_tests;

use std::collections::BTreeMap;

use bstr::{BString, ByteSlice as _};

pub use diff::{Difference, Key, diff};
pub use model::{ModelError, apply_layer, apply_layers};

pub use crate::case::{Device, Time};

/// The names of a root filesystem and the inodes they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Every path, relative to the root, without a leading slash; the root itself is the empty path.
    names: BTreeMap<BString, InodeId>,
    inodes: Vec<Inode>,
}

/// The place of an inode in its tree's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(usize);

/// A file, directory, link or special file with its attributes. `None` is open: not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: InodeKind,
    /// The twelve permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The modification time.
    pub mtime: Option<Time>,
    /// Extended attributes by full name; compared always.
    pub xattrs: BTreeMap<BString, BString>,
}

/// What an inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InodeKind {
    /// A regular file, by size in bytes and SHA-256 of its content.
    File {
        /// The size in bytes.
        size: u64,
        /// The SHA-256 of the content.
        sha256: [u8; 32],
    },
    /// A directory.
    Dir,
    /// A symbolic link with its target.
    Symlink(BString),
    /// A character device.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl InodeKind {
    /// The word of mtree(5) for the type.
    pub fn word(&self) -> &'static str {
        match self {
            InodeKind::File { .. } => "file",
            InodeKind::Dir => "dir",
            InodeKind::Symlink(_) => "link",
            InodeKind::Char(_) => "char",
            InodeKind::Block(_) => "block",
            InodeKind::Fifo => "fifo",
            InodeKind::Socket => "socket",
        }
    }
}

impl Tree {
    /// A tree without even a root.
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Gives `path` a new inode; what stood there keeps its other names.
    pub fn insert(&mut self, path: impl Into<BString>, inode: Inode) -> InodeId {
        let id = InodeId(self.inodes.len());
        self.inodes.push(inode);
        self.names.insert(path.into(), id);
        id
    }

    /// Gives an inode one more name.
    pub fn link(&mut self, path: impl Into<BString>, id: InodeId) {
        self.names.insert(path.into(), id);
    }

    /// Takes a name away, and every name below it.
    pub fn remove(&mut self, path: &[u8]) {
        self.names.remove(path.as_bstr());
        for below in self.below(path) {
            self.names.remove(&below);
        }
    }

    /// The inode a name stands for, without following links.
    pub fn id(&self, path: &[u8]) -> Option<InodeId> {
        self.names.get(path.as_bstr()).copied()
    }

    /// The inode a name stands for, without following links.
    pub fn get(&self, path: &[u8]) -> Option<&Inode> {
        self.id(path).map(|id| &self.inodes[id.0])
    }

    /// The inode a name stands for, to change it.
    pub fn get_mut(&mut self, path: &[u8]) -> Option<&mut Inode> {
        self.id(path).map(|id| &mut self.inodes[id.0])
    }

    /// Every path with its inode, in bytewise order.
    pub fn iter(&self) -> impl Iterator<Item = (&BString, InodeId, &Inode)> {
        self.names
            .iter()
            .map(|(path, id)| (path, *id, &self.inodes[id.0]))
    }

    /// The number of paths, the root included.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is not even a root.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The paths below a directory, at any depth, in bytewise order.
    pub fn below(&self, path: &[u8]) -> Vec<BString> {
        if path.is_empty() {
            return self
                .names
                .keys()
                .filter(|name| !name.is_empty())
                .cloned()
                .collect();
        }
        let prefix = BString::from([path, b"/"].concat());
        self.names
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The names of each inode, by the first of them in bytewise order.
    pub fn groups(&self) -> BTreeMap<&BString, Vec<&BString>> {
        let mut by_inode: BTreeMap<InodeId, Vec<&BString>> = BTreeMap::new();
        for (path, id) in &self.names {
            by_inode.entry(*id).or_default().push(path);
        }
        by_inode
            .into_values()
            .map(|paths| (paths[0], paths))
            .collect()
    }

    /// Whether `/bin/sh` leads, through links inside the root, to a regular file somebody may execute.
    pub fn has_shell(&self) -> bool {
        let resolved = model::resolve(self, b"bin/sh");
        resolved
            .ok()
            .and_then(|path| self.get(&path))
            .is_some_and(|inode| {
                matches!(inode.kind, InodeKind::File { size, .. } if size > 0)
                    && inode.mode.is_some_and(|mode| mode & 0o111 != 0)
            })
    }
}
