//! The directory tree as it stands: names, kinds, directory attributes, and which layer brought what.
//!
//! Everything that decides where an entry goes is here, in memory: no decision is ever left to the
//! kernel's path resolution. Content of files is not here.

use std::collections::BTreeMap;

use crate::attributes::Attributes;
use crate::limits;

/// Index of an inode. Reused after the inode is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ino(u32);

/// The root directory.
pub(crate) const ROOT: Ino = Ino(0);

/// Number of a layer, the base layer is 1.
pub(crate) type LayerNumber = u32;

/// A root filesystem. `R` is what the output remembers of an inode that is not a directory.
pub(crate) struct Tree<R> {
    inodes: Vec<Option<Inode<R>>>,
    free: Vec<Ino>,
    names: u64,
}

/// One inode.
pub(crate) enum Inode<R> {
    Directory(Directory),
    Leaf(Leaf<R>),
}

/// A directory.
pub(crate) struct Directory {
    pub(crate) parent: Ino,
    pub(crate) name: Box<[u8]>,
    pub(crate) attributes: Attributes,
    pub(crate) entries: BTreeMap<Box<[u8]>, Dirent>,
    /// The last layer with an entry for this directory or for anything below it.
    pub(crate) touched: LayerNumber,
    /// The last layer from whose point of view nothing below here is from a lower layer.
    pub(crate) cleared: LayerNumber,
    /// The last layer with an entry that a symbolic link leads through this directory.
    pub(crate) followed: LayerNumber,
}

/// Anything but a directory.
pub(crate) struct Leaf<R> {
    pub(crate) links: u32,
    /// The target, if this is a symbolic link.
    pub(crate) target: Option<Box<[u8]>>,
    /// The last layer with an entry that this symbolic link leads to its place.
    pub(crate) followed: LayerNumber,
    pub(crate) record: R,
}

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Dirent {
    pub(crate) ino: Ino,
    /// The layer that brought the name, or last described the directory it names.
    pub(crate) layer: LayerNumber,
}

/// What a path depends on besides its own components.
#[derive(Default)]
pub(crate) struct Followed {
    /// Symbolic links.
    pub(crate) links: Vec<Dirent>,
    /// Directories that their targets name.
    directories: Vec<Ino>,
}

/// How far a path could be walked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// All components are directories.
    Reached(Ino),
    /// The component with this index is not in the directory.
    Missing { dir: Ino, at: usize },
    /// The component with this index is there and is neither directory nor symbolic link.
    NotDirectory { dir: Ino, at: usize },
    /// A symbolic link on the way leads nowhere.
    Dangling,
    /// A symbolic link on the way leads to something that is not a directory.
    LinkToFile,
    /// Too many symbolic links.
    Loop,
}

impl<R> Tree<R> {
    /// A tree with nothing but the root.
    pub(crate) fn new() -> Self {
        let root = Directory::new(ROOT, b"", Attributes::implied(), 0);
        Self {
            inodes: vec![Some(Inode::Directory(root))],
            free: Vec::new(),
            names: 0,
        }
    }

    pub(crate) fn inode(&self, ino: Ino) -> &Inode<R> {
        self.inodes[ino.0 as usize]
            .as_ref()
            .expect("inodes are freed with their last name")
    }

    fn inode_mut(&mut self, ino: Ino) -> &mut Inode<R> {
        self.inodes[ino.0 as usize]
            .as_mut()
            .expect("inodes are freed with their last name")
    }

    /// The directory `ino`, which must be one.
    pub(crate) fn dir(&self, ino: Ino) -> &Directory {
        self.as_dir(ino)
            .expect("only directories are asked for entries")
    }

    pub(crate) fn dir_mut(&mut self, ino: Ino) -> &mut Directory {
        match self.inode_mut(ino) {
            Inode::Directory(directory) => directory,
            Inode::Leaf(_) => unreachable!("only directories are asked for entries"),
        }
    }

    pub(crate) fn as_dir(&self, ino: Ino) -> Option<&Directory> {
        match self.inode(ino) {
            Inode::Directory(directory) => Some(directory),
            Inode::Leaf(_) => None,
        }
    }

    pub(crate) fn lookup(&self, dir: Ino, name: &[u8]) -> Option<Dirent> {
        self.dir(dir).entries.get(name).copied()
    }

    /// The path of a directory, without a slash at either end.
    pub(crate) fn path(&self, dir: Ino) -> Vec<u8> {
        let mut names = Vec::new();
        let mut ino = dir;
        while ino != ROOT {
            let directory = self.dir(ino);
            names.push(&*directory.name);
            ino = directory.parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Whether one more name is within the limit.
    pub(crate) fn has_room(&self) -> bool {
        self.names < limits::TREE_NAMES
    }

    /// Adds an empty directory.
    pub(crate) fn add_dir(
        &mut self,
        parent: Ino,
        name: &[u8],
        attributes: Attributes,
        layer: LayerNumber,
    ) -> Ino {
        let directory = Directory::new(parent, name, attributes, layer);
        let ino = self.allocate(Inode::Directory(directory));
        self.add_name(parent, name, Dirent { ino, layer });
        ino
    }

    /// Adds a file, symbolic link, device or fifo.
    pub(crate) fn add_leaf(
        &mut self,
        parent: Ino,
        name: &[u8],
        target: Option<Box<[u8]>>,
        record: R,
        layer: LayerNumber,
    ) {
        let ino = self.allocate(Inode::Leaf(Leaf {
            links: 1,
            target,
            followed: 0,
            record,
        }));
        self.add_name(parent, name, Dirent { ino, layer });
    }

    /// Adds a further name for a leaf.
    pub(crate) fn add_link(&mut self, parent: Ino, name: &[u8], ino: Ino, layer: LayerNumber) {
        if let Inode::Leaf(leaf) = self.inode_mut(ino) {
            leaf.links += 1;
        }
        self.add_name(parent, name, Dirent { ino, layer });
    }

    /// Takes a name away. A directory must be empty.
    pub(crate) fn remove(&mut self, parent: Ino, name: &[u8]) {
        let Some(dirent) = self.dir_mut(parent).entries.remove(name) else {
            return;
        };
        self.names -= 1;
        let gone = match self.inode_mut(dirent.ino) {
            Inode::Directory(_) => true,
            Inode::Leaf(leaf) => {
                leaf.links -= 1;
                leaf.links == 0
            }
        };
        if gone {
            self.inodes[dirent.ino.0 as usize] = None;
            self.free.push(dirent.ino);
        }
    }

    /// Notes that `layer` has an entry in or for the directory.
    pub(crate) fn touch(&mut self, dir: Ino, layer: LayerNumber) {
        let mut ino = dir;
        loop {
            let directory = self.dir_mut(ino);
            // Whoever touched it last has touched all its parents.
            if directory.touched == layer {
                return;
            }
            directory.touched = layer;
            ino = directory.parent;
        }
    }

    /// Notes what the place of an entry of `layer` depends on.
    pub(crate) fn mark_followed(&mut self, followed: &Followed, layer: LayerNumber) {
        let links = followed.links.iter().map(|link| link.ino);
        for ino in links.chain(followed.directories.iter().copied()) {
            match self.inode_mut(ino) {
                Inode::Directory(directory) => directory.followed = layer,
                Inode::Leaf(leaf) => leaf.followed = layer,
            }
        }
    }

    /// Whether the place of an entry of `layer` depends on an inode.
    pub(crate) fn is_followed(&self, ino: Ino, layer: LayerNumber) -> bool {
        match self.inode(ino) {
            Inode::Directory(directory) => directory.followed == layer,
            Inode::Leaf(leaf) => leaf.followed == layer,
        }
    }

    /// Whether `ino` is `ancestor` or below it.
    pub(crate) fn is_within(&self, ino: Ino, ancestor: Ino) -> bool {
        let mut ino = ino;
        while ino != ancestor {
            if ino == ROOT {
                return false;
            }
            ino = self.dir(ino).parent;
        }
        true
    }

    /// Walks a path from the root. Symbolic links are followed inside the root: an absolute target
    /// begins at the root, and `..` stops there.
    pub(crate) fn walk(&self, path: &[&[u8]], followed: &mut Followed) -> Walk {
        let mut dir = ROOT;
        for (at, name) in path.iter().enumerate() {
            let Some(dirent) = self.lookup(dir, name) else {
                return Walk::Missing { dir, at };
            };
            dir = match self.inode(dirent.ino) {
                Inode::Directory(_) => dirent.ino,
                Inode::Leaf(Leaf {
                    target: Some(target),
                    ..
                }) => match self.follow(dir, target, dirent, followed) {
                    Ok(dir) => dir,
                    Err(walk) => return walk,
                },
                Inode::Leaf(_) => return Walk::NotDirectory { dir, at },
            };
        }
        Walk::Reached(dir)
    }

    /// The directory a symbolic link in `dir` leads to.
    fn follow(
        &self,
        dir: Ino,
        target: &[u8],
        link: Dirent,
        followed: &mut Followed,
    ) -> Result<Ino, Walk> {
        let mut dir = dir;
        let mut pending: Vec<_> = Vec::new();
        let mut next = Some((target, link));
        loop {
            if let Some((target, link)) = next.take() {
                followed.links.push(link);
                if followed.links.len() > limits::SYMLINKS_FOLLOWED {
                    return Err(Walk::Loop);
                }
                if target.starts_with(b"/") {
                    dir = ROOT;
                }
                pending.push(target.split(|&byte| byte == b'/'));
            }
            let Some(components) = pending.last_mut() else {
                return Ok(dir);
            };
            match components.next() {
                None => drop(pending.pop()),
                Some(b"" | b".") => {}
                Some(b"..") => dir = self.dir(dir).parent,
                Some(name) => {
                    let dirent = self.lookup(dir, name).ok_or(Walk::Dangling)?;
                    match self.inode(dirent.ino) {
                        Inode::Directory(_) => {
                            dir = dirent.ino;
                            followed.directories.push(dir);
                        }
                        Inode::Leaf(leaf) => {
                            let target = leaf.target.as_deref().ok_or(Walk::LinkToFile)?;
                            next = Some((target, dirent));
                        }
                    }
                }
            }
        }
    }

    fn allocate(&mut self, inode: Inode<R>) -> Ino {
        match self.free.pop() {
            Some(ino) => {
                self.inodes[ino.0 as usize] = Some(inode);
                ino
            }
            None => {
                let ino = u32::try_from(self.inodes.len()).expect("names are limited");
                self.inodes.push(Some(inode));
                Ino(ino)
            }
        }
    }

    fn add_name(&mut self, parent: Ino, name: &[u8], dirent: Dirent) {
        self.names += 1;
        let old = self.dir_mut(parent).entries.insert(name.into(), dirent);
        debug_assert!(
            old.is_none(),
            "names are removed before they are used again"
        );
    }
}

impl Directory {
    fn new(parent: Ino, name: &[u8], attributes: Attributes, layer: LayerNumber) -> Self {
        let name = name.into();
        let entries = BTreeMap::new();
        Self {
            parent,
            name,
            attributes,
            entries,
            touched: layer,
            cleared: layer,
            followed: 0,
        }
    }
}
