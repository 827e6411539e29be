//! Entries at their names: layer.md#changeset-over-existing-files, #hardlinks.

use super::Applier;
use super::hide::Because;
use super::refusal::Refusal;
use crate::attributes::Attributes;
use crate::limits;
use crate::name::components;
use crate::sink::{Node, Sink, Spot};
use crate::tar::{Entry, Kind, Reader};
use crate::tree::{Dirent, Followed, Ino, ROOT, Walk};

impl<S: Sink> Applier<S> {
    /// Describes the root directory.
    pub(super) fn root(&mut self, entry: &Entry) -> Result<(), Refusal> {
        if entry.kind != Kind::Directory {
            return Err(Refusal::RootKind);
        }
        self.describe(ROOT, &entry.attributes)
    }

    /// Puts an entry at a name, in place of whatever is there.
    pub(super) fn place(
        &mut self,
        parent: Ino,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<'_>,
    ) -> Result<(), Refusal> {
        match &entry.kind {
            Kind::Directory => self.place_dir(parent, name, &entry.attributes),
            Kind::HardLink(target) => self.place_link(parent, name, target),
            kind => {
                self.remove(parent, name, Because::Replaced)?;
                self.place_leaf(parent, name, kind, &entry.attributes, reader)
            }
        }
    }

    /// A directory over a directory replaces its attributes and leaves what is in it.
    fn place_dir(
        &mut self,
        parent: Ino,
        name: &[u8],
        attributes: &Attributes,
    ) -> Result<(), Refusal> {
        let existing = self.tree.lookup(parent, name);
        if let Some(dirent) = existing.filter(|dirent| self.tree.as_dir(dirent.ino).is_some()) {
            self.describe(dirent.ino, attributes)?;
            self.set_layer(parent, name);
            self.tree.touch(dirent.ino, self.layer);
            return Ok(());
        }
        self.remove(parent, name, Because::Replaced)?;
        let ino = self.make_dir(parent, name)?;
        self.describe(ino, attributes)
    }

    fn place_leaf(
        &mut self,
        parent: Ino,
        name: &[u8],
        kind: &Kind,
        attributes: &Attributes,
        reader: &mut Reader<'_>,
    ) -> Result<(), Refusal> {
        self.check_room()?;
        if S::HOLDS_XATTRS {
            self.hold_xattrs(attributes)?;
        }
        let spot = Spot { parent, name };
        let mut target = None;
        let record = match kind {
            Kind::File(size) => {
                self.bytes += size;
                self.sink.file(&self.tree, spot, attributes, reader)?
            }
            Kind::Symlink(to) => {
                target = Some(to.as_slice().into());
                self.sink
                    .node(&self.tree, spot, attributes, &Node::Symlink(to))?
            }
            Kind::CharDevice(major, minor) => {
                let node = Node::CharDevice(*major, *minor);
                self.sink.node(&self.tree, spot, attributes, &node)?
            }
            Kind::BlockDevice(major, minor) => {
                let node = Node::BlockDevice(*major, *minor);
                self.sink.node(&self.tree, spot, attributes, &node)?
            }
            Kind::Fifo => self.sink.node(&self.tree, spot, attributes, &Node::Fifo)?,
            Kind::Directory | Kind::HardLink(_) => unreachable!("placed elsewhere"),
        };
        self.tree.add_leaf(parent, name, target, record, self.layer);
        Ok(())
    }

    /// A further name for an inode of this layer or of a lower one; the entry's own attributes mean
    /// nothing. Parents of the target are followed, the target itself is not.
    fn place_link(&mut self, parent: Ino, name: &[u8], target: &[u8]) -> Result<(), Refusal> {
        let shown = || target.escape_ascii().to_string();
        let mut path = components(target)?;
        let last = path
            .pop()
            .ok_or_else(|| Refusal::LinkToDirectory(shown()))?;
        let Walk::Reached(dir) = self.walk(&path) else {
            return Err(Refusal::LinkTarget(shown()));
        };
        let source = self
            .tree
            .lookup(dir, last)
            .ok_or_else(|| Refusal::LinkTarget(shown()))?;
        if self.tree.as_dir(source.ino).is_some() {
            return Err(Refusal::LinkToDirectory(shown()));
        }
        if (dir, last) == (parent, name) {
            return Ok(());
        }
        if let Some(existing) = self.tree.lookup(parent, name) {
            if self.tree.as_dir(existing.ino).is_some() && self.tree.is_within(dir, existing.ino) {
                return Err(Refusal::LinkReplacesTarget);
            }
            self.remove(parent, name, Because::Replaced)?;
        }
        self.check_room()?;
        let (from, to) = (
            Spot {
                parent: dir,
                name: last,
            },
            Spot { parent, name },
        );
        self.sink.link(&self.tree, from, to)?;
        self.tree.add_link(parent, name, source.ino, self.layer);
        Ok(())
    }

    /// The directory a path leads to. What is missing is made with neutral attributes; a lower layer's
    /// file in the way makes room. What is there keeps its attributes.
    pub(super) fn make_parents(&mut self, path: &[&[u8]]) -> Result<Ino, Refusal> {
        let (mut dir, at) = match self.walk(path) {
            Walk::Reached(dir) => return Ok(dir),
            Walk::Missing { dir, at } => (dir, at),
            Walk::NotDirectory { dir, at } => {
                if self
                    .tree
                    .lookup(dir, path[at])
                    .is_some_and(|dirent| self.is_own(dirent))
                {
                    return Err(Refusal::ParentNotDirectory);
                }
                self.remove(dir, path[at], Because::Replaced)?;
                (dir, at)
            }
            Walk::Dangling => return Err(Refusal::ParentDangling),
            Walk::LinkToFile => return Err(Refusal::ParentLinkToFile),
            Walk::Loop => return Err(Refusal::ParentLoop),
        };
        for name in &path[at..] {
            let made = self.make_dir(dir, name)?;
            self.tree.touch(dir, self.layer);
            dir = made;
        }
        Ok(dir)
    }

    /// Walks a path for an entry, and notes what its place depends on.
    fn walk(&mut self, path: &[&[u8]]) -> Walk {
        let mut followed = Followed::default();
        let walk = self.tree.walk(path, &mut followed);
        self.tree.mark_followed(&followed, self.layer);
        walk
    }

    fn make_dir(&mut self, parent: Ino, name: &[u8]) -> Result<Ino, Refusal> {
        self.check_room()?;
        self.sink.directory(&self.tree, Spot { parent, name })?;
        Ok(self
            .tree
            .add_dir(parent, name, Attributes::implied(), self.layer))
    }

    fn describe(&mut self, dir: Ino, attributes: &Attributes) -> Result<(), Refusal> {
        self.hold_xattrs(attributes)?;
        self.tree.dir_mut(dir).attributes = attributes.clone();
        Ok(())
    }

    pub(super) fn set_layer(&mut self, parent: Ino, name: &[u8]) {
        if let Some(dirent) = self.tree.dir_mut(parent).entries.get_mut(name) {
            dirent.layer = self.layer;
        }
    }

    pub(super) fn is_own(&self, dirent: Dirent) -> bool {
        dirent.layer == self.layer
    }

    fn check_room(&self) -> Result<(), Refusal> {
        self.tree
            .has_room()
            .then_some(())
            .ok_or(Refusal::TooManyNames)
    }

    fn hold_xattrs(&mut self, attributes: &Attributes) -> Result<(), Refusal> {
        self.xattr_bytes += attributes.xattr_bytes();
        match self.xattr_bytes > limits::XATTR_BYTES_HELD {
            true => Err(Refusal::TooManyXattrs),
            false => Ok(()),
        }
    }
}
