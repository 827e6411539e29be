//! Markers: layer.md#whiteouts, layer.md#opaque-whiteout.

use super::Applier;
use super::walk::Place;
use crate::name::Name;
use crate::rootfs::{Content, Id, ROOT, neutral_directory};
use crate::{Fault, Refusal};

impl Applier {
    /// An explicit whiteout.
    pub(super) fn hide(&mut self, dir: &[Name], name: &[u8]) -> Result<(), Refusal> {
        if name == b".." {
            return self.hide_above(dir);
        }
        let mut path = dir.to_vec();
        path.push(name.to_vec());
        let is_below = (1..path.len()).any(|end| self.own.hidden.contains(&path[..end]));
        if is_below && self.is(Fault::WhiteoutBelowWhiteoutRefused) {
            return Err(Refusal::new("not a directory"));
        }
        self.own.hidden.insert(path);
        let parent = self.marked(dir);
        let found = parent.and_then(|parent| Some((parent, self.rootfs.child(parent, name)?)));
        let Some((parent, id)) = found else {
            return match self.is(Fault::WhiteoutOfAbsentRefused) {
                true => Err(Refusal::new("there is no such file")),
                false => Ok(()),
            };
        };
        if !self.rootfs.children(id).is_empty() && self.is(Fault::WhiteoutNotRecursive) {
            return Err(Refusal::new("the directory is not empty"));
        }
        let target = match &self.rootfs.node(id).content {
            Content::Symlink(target) => Some(target.clone()),
            _ => None,
        };
        if let Some(target) = target.filter(|_| self.is(Fault::WhiteoutFollowsLink)) {
            return self.hide_target(dir, &target);
        }
        self.bury(parent, name);
        self.rootfs.unlink(parent, name);
        self.touch_marked(parent);
        Ok(())
    }

    /// What a link leads to on the host is deleted.
    fn hide_target(&mut self, dir: &[Name], target: &[u8]) -> Result<(), Refusal> {
        match self.on_host(dir, target) {
            Err(path) => self.outside.push(path),
            Ok(None) => {}
            Ok(Some(id)) => self.unlink_everywhere(id),
        }
        Ok(())
    }

    fn hide_above(&mut self, dir: &[Name]) -> Result<(), Refusal> {
        match dir {
            [] => self.outside.push("/..".to_owned()),
            [_] => self.hide_children(&[])?,
            [above @ .., parent, _] => self.hide(above, &parent.clone())?,
        }
        Ok(())
    }

    fn unlink_everywhere(&mut self, gone: Id) {
        for dir in 0..gone.max(self.lower) {
            if let Some(children) = self.rootfs.children_mut(dir) {
                children.retain(|_, id| *id != gone);
            }
        }
    }

    /// An opaque whiteout.
    pub(super) fn hide_children(&mut self, dir: &[Name]) -> Result<(), Refusal> {
        let is_ignored =
            self.is(Fault::OpaqueIgnored) || dir.is_empty() && self.is(Fault::OpaqueOfRootIgnored);
        if is_ignored {
            return Ok(());
        }
        let Some(marked) = self.marked(dir) else {
            return match self.is(Fault::OpaqueOfAbsentRefused) {
                true => Err(Refusal::new("there is no such directory")),
                false => Ok(()),
            };
        };
        if self.is(Fault::OpaqueResetsDirectory) {
            self.rootfs.node_mut(marked).attributes = neutral_directory().attributes;
        }
        match self.is(Fault::OpaqueSparesExplicitOnly) {
            true => self.keep_explicit(marked),
            false => {
                if let Some(children) = self.rootfs.children_mut(marked) {
                    children.clear();
                }
            }
        }
        self.touch_marked(marked);
        Ok(())
    }

    /// Takes away, at any depth, what no entry of this layer names. A directory that entries only imply goes
    /// with all that is in it.
    fn keep_explicit(&mut self, dir: Id) {
        let mut left = vec![dir];
        while let Some(dir) = left.pop() {
            let explicit = &self.own.explicit;
            if let Some(children) = self.rootfs.children_mut(dir) {
                children.retain(|_, id| explicit.contains(id));
                left.extend(children.values());
            }
        }
    }

    /// The directory of the lower layers that a marker stands in. Where this layer puts a directory in a
    /// link's place, what the link led to is not meant.
    fn marked(&mut self, path: &[Name]) -> Option<Id> {
        if self.is_link_replaced(path) && !self.is(Fault::OpaqueFollowsReplacedLink) {
            return None;
        }
        match self.find_parents(path) {
            Place::Directory(id) => Some(id),
            Place::Nowhere => None,
            Place::Outside(path) => {
                self.outside.push(path);
                None
            }
        }
    }

    fn is_link_replaced(&self, path: &[Name]) -> bool {
        let mut dir = ROOT;
        for (at, name) in path.iter().enumerate() {
            let Some(id) = self.rootfs.child(dir, name) else {
                return false;
            };
            let is_link = matches!(self.rootfs.node(id).content, Content::Symlink(_));
            if is_link && self.own.directories.contains(&path[..=at]) {
                return true;
            }
            dir = id;
        }
        false
    }

    fn touch_marked(&mut self, dir: Id) {
        if self.is(Fault::WhiteoutTouchesParent) {
            self.rootfs.node_mut(dir).attributes.seconds = self.surroundings.now;
        }
    }
}
