//! What comes back or moves by a fault: buried children, times of directories, overlay attributes.

use super::Applier;
use super::walk::{Place, parts};
use crate::name::Name;
use crate::rootfs::Id;
use crate::tar::Entry;
use crate::{Fault, Refusal};

impl Applier {
    /// Takes note of a directory that loses its name, where a fault brings its children back.
    pub(super) fn bury(&mut self, dir: Id, name: &[u8]) {
        let Some(old) = self.rootfs.child(dir, name) else {
            return;
        };
        let buries =
            self.is(Fault::DirectoryMergedAcrossFile) || self.is(Fault::WhiteoutSparesRecreated);
        if buries && self.rootfs.node(old).content.is_dir() {
            self.buried.insert((dir, name.to_vec()), old);
        }
    }

    /// Gives a directory that is made anew the children of the one that had its name.
    pub(super) fn unbury(&mut self, dir: Id, name: &[u8], id: Id) {
        let Some(old) = self.buried.remove(&(dir, name.to_vec())) else {
            return;
        };
        let is_own = self.is(Fault::WhiteoutSparesRecreated)
            && !self
                .own
                .hidden
                .iter()
                .any(|path| path.last().is_some_and(|last| last == name));
        if is_own {
            return;
        }
        let children = self.rootfs.children(old).clone();
        if let Some(own) = self.rootfs.children_mut(id) {
            own.extend(children);
        }
    }

    /// A directory whose children change, where a fault lets its time move.
    pub(super) fn touch(&mut self, dir: Id) {
        if self.is(Fault::DirectoryTimeBeforeChildren) {
            self.rootfs.node_mut(dir).attributes.seconds = self.surroundings.now;
        }
    }

    /// What overlayfs does with its own attributes on a file: it is a whiteout, or a lower file shows through.
    pub(super) fn is_hidden_by_overlay(&mut self, dir: Id, name: &[u8], entry: &Entry) -> bool {
        let xattrs = &entry.attributes.xattrs;
        if xattrs.contains_key(&b"trusted.overlay.whiteout"[..]) {
            self.rootfs.unlink(dir, name);
            return true;
        }
        xattrs.contains_key(&b"trusted.overlay.metacopy"[..])
            && self.rootfs.child(dir, name).is_some()
    }

    /// What overlayfs does with its own attributes on a directory.
    pub(super) fn obey_overlay(&mut self, id: Id, entry: &Entry) -> Result<(), Refusal> {
        if !self.is(Fault::OverlayXattrsObeyed) {
            return Ok(());
        }
        let value = |name: &[u8]| entry.attributes.xattrs.get(name);
        if value(b"trusted.overlay.opaque").is_some()
            && let Some(children) = self.rootfs.children_mut(id)
        {
            children.clear();
        }
        if let Some(to) = value(b"trusted.overlay.redirect") {
            let path: Vec<Name> = parts(to).map(<[u8]>::to_vec).collect();
            if let Place::Directory(source) = self.find_parents(&path) {
                let children = self.rootfs.children(source).clone();
                if let Some(own) = self.rootfs.children_mut(id) {
                    own.extend(children);
                }
            }
        }
        Ok(())
    }
}
