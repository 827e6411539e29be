//! Names taken away: layer.md#whiteouts, #opaque-whiteout, and whatever an entry replaces.

use super::refusal::Refusal;
use super::{Applier, Whiteouts};
use crate::attributes::Attributes;
use crate::name::Target;
use crate::sink::{Sink, Spot};
use crate::tree::{Followed, Ino, Inode, Walk};

/// Why something is removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    /// An entry of the layer takes its place.
    Replaced,
    /// A whiteout of the layer hides it.
    Hidden,
}

/// When a whiteout is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// As it is met.
    Met,
    /// After all entries of its layer.
    Last,
}

impl<S: Sink> Applier<S> {
    /// Applies a whiteout. It means a path as the lower layers have it; if that goes through one of
    /// their symbolic links, the layer may yet replace the link, so it waits until that is known.
    pub(super) fn hide(&mut self, name: &[u8], moment: Moment) -> Result<(), Refusal> {
        let target = Target::parse(name)?;
        let (Target::Whiteout { parent: path, .. } | Target::Opaque { directory: path }) = &target
        else {
            return Ok(());
        };
        let mut followed = Followed::default();
        let walk = self.tree.walk(path, &mut followed);
        let by_own_link = followed.links.iter().any(|link| self.is_own(*link));
        match (by_own_link, moment) {
            (true, Moment::Met) => return Err(Refusal::WhiteoutTooLate),
            // This layer put a link in the place of what the whiteout means.
            (true, Moment::Last) => return Ok(()),
            (false, Moment::Met) if !followed.links.is_empty() => return self.deferred.add(name),
            (false, _) => {}
        }
        match target {
            Target::Whiteout { name, .. } => self.hide_name(&walk, name),
            _ => self.hide_content(&walk, path),
        }
    }

    /// An explicit whiteout hides what lower layers brought under a name. A path that is not there, or
    /// cannot be, has nothing to hide.
    fn hide_name(&mut self, walk: &Walk, name: &[u8]) -> Result<(), Refusal> {
        let parent = match *walk {
            Walk::Reached(dir) => dir,
            Walk::Loop => return Err(Refusal::ParentLoop),
            _ => return Ok(()),
        };
        let Some(dirent) = self.tree.lookup(parent, name) else {
            return Ok(());
        };
        match self.tree.as_dir(dirent.ino) {
            Some(directory) if directory.touched == self.layer => {
                if !self.is_own(dirent) {
                    self.reset(parent, name, dirent.ino)?;
                }
                self.hide_lower(dirent.ino)
            }
            _ if self.is_own(dirent) => Ok(()),
            _ => self.remove(parent, name, Because::Hidden),
        }
    }

    /// An opaque whiteout hides what lower layers brought in a directory. The marker is in it, so the
    /// layer has the directory, as it has the parents of any entry; unless another entry replaced it.
    fn hide_content(&mut self, walk: &Walk, path: &[&[u8]]) -> Result<(), Refusal> {
        if let Walk::NotDirectory { dir, at } = *walk
            && self
                .tree
                .lookup(dir, path[at])
                .is_some_and(|dirent| self.is_own(dirent))
        {
            return Ok(());
        }
        let directory = self.make_parents(path)?;
        self.tree.touch(directory, self.layer);
        self.hide_lower(directory)
    }

    /// Hides everything below `dir` that lower layers brought, and leaves what this layer brought.
    fn hide_lower(&mut self, dir: Ino) -> Result<(), Refusal> {
        let mut pending = vec![dir];
        while let Some(dir) = pending.pop() {
            // Seen already: this layer's entries can bring back nothing of a lower layer.
            if self.tree.dir(dir).cleared == self.layer {
                continue;
            }
            self.tree.dir_mut(dir).cleared = self.layer;
            let mut hidden = Vec::new();
            let mut implied = Vec::new();
            for (name, dirent) in &self.tree.dir(dir).entries {
                let own = self.is_own(*dirent);
                match self.tree.as_dir(dirent.ino) {
                    Some(directory) if directory.touched == self.layer => {
                        pending.push(dirent.ino);
                        if !own {
                            implied.push((name.clone(), dirent.ino));
                        }
                    }
                    _ if own => {}
                    _ => hidden.push(name.clone()),
                }
            }
            for (name, ino) in implied {
                self.reset(dir, &name, ino)?;
            }
            for name in hidden {
                self.remove(dir, &name, Because::Hidden)?;
            }
        }
        Ok(())
    }

    /// Makes a directory of a lower layer one that this layer only implies.
    fn reset(&mut self, parent: Ino, name: &[u8], ino: Ino) -> Result<(), Refusal> {
        self.check_hidden(ino)?;
        self.tree.dir_mut(ino).attributes = Attributes::implied();
        self.set_layer(parent, name);
        Ok(())
    }

    /// Nothing that an earlier entry of the layer was led by may be hidden.
    fn check_hidden(&self, ino: Ino) -> Result<(), Refusal> {
        match self.tree.is_followed(ino, self.layer) {
            true => Err(Refusal::WhiteoutTooLate),
            false => Ok(()),
        }
    }

    /// Removes a name with everything below it, without recursion.
    pub(super) fn remove(
        &mut self,
        parent: Ino,
        name: &[u8],
        because: Because,
    ) -> Result<(), Refusal> {
        let Some(dirent) = self.tree.lookup(parent, name) else {
            return Ok(());
        };
        let mut stack: Vec<(Ino, Box<[u8]>, Ino)> = vec![(parent, name.into(), dirent.ino)];
        while let Some((parent, name, ino)) = stack.last() {
            // What replaces a link that led an entry makes it forgotten, and a whiteout may yet come.
            if because == Because::Hidden || self.whiteouts == Whiteouts::InOrder {
                self.check_hidden(*ino)?;
            }
            let spot = Spot {
                parent: *parent,
                name,
            };
            match self.tree.inode(*ino) {
                Inode::Directory(directory) => {
                    if let Some((child, dirent)) = directory.entries.first_key_value() {
                        let below = (*ino, child.clone(), dirent.ino);
                        stack.push(below);
                        continue;
                    }
                    self.sink.remove_dir(&self.tree, spot, *ino)?;
                }
                Inode::Leaf(_) => {
                    self.sink.remove_leaf(&self.tree, spot)?;
                }
            }
            self.tree.remove(*parent, name);
            stack.pop();
        }
        Ok(())
    }
}
