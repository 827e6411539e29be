//! Layers looked at as a stack, which the translation needs where a layer's paths lead through links of
//! the layers below it, and for the attributes of directories that a layer changes but does not name.
//!
//! This is overlayfs's lookup in a few lines, not the model's. What it gets wrong shows, as the kernel
//! makes the tree that is compared.

use bstr::BString;
use harness::image::erofs::{Filesystem, Inode, InodeId, Kind};

/// The links Linux follows in one path.
const LINKS_MAX: usize = 40;

/// The attribute by which a directory hides what is below it.
pub(super) const OPAQUE: &str = "trusted.overlay.opaque";

/// The layers, top first.
pub(super) struct View<'a>(pub(super) Vec<&'a Filesystem>);

/// An inode of one of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Which layer, from the top.
    pub(super) layer: usize,
    pub(super) id: InodeId,
}

/// What a path stands for.
pub(super) enum Found {
    /// A directory: those it is merged from, top first.
    Dir(Vec<At>),
    Leaf(At),
}

impl View<'_> {
    pub(super) fn inode(&self, at: At) -> &Inode {
        self.0[at.layer].get(at.id)
    }

    pub(super) fn root(&self) -> Vec<At> {
        let roots = self.0.iter().enumerate();
        roots
            .map(|(layer, tree)| At {
                layer,
                id: tree.root(),
            })
            .collect()
    }

    /// The names in a merged directory, whiteouts left out.
    pub(super) fn names(&self, dir: &[At]) -> Vec<BString> {
        let mut names: Vec<BString> = Vec::new();
        for at in dir {
            if let Kind::Dir(own) = &self.inode(*at).kind {
                names.extend(own.keys().cloned());
            }
        }
        names.sort();
        names.dedup();
        names.retain(|name| self.step(dir, name).is_some());
        names
    }

    /// What a name stands for in a merged directory.
    pub(super) fn step(&self, dir: &[At], name: &[u8]) -> Option<Found> {
        let mut merged = Vec::new();
        for at in dir {
            let Some(id) = self.0[at.layer].child(at.id, name) else {
                continue;
            };
            let at = At {
                layer: at.layer,
                id,
            };
            let inode = self.inode(at);
            match &inode.kind {
                Kind::Dir(_) => merged.push(at),
                kind if is_whiteout(kind) => break,
                _ if merged.is_empty() => return Some(Found::Leaf(at)),
                _ => break,
            }
            if inode.xattrs.contains_key(bstr::BStr::new(OPAQUE)) {
                break;
            }
        }
        (!merged.is_empty()).then_some(Found::Dir(merged))
    }

    /// What a path without links in it stands for.
    pub(super) fn find(&self, path: &[BString]) -> Option<Found> {
        let mut found = Found::Dir(self.root());
        for name in path {
            match found {
                Found::Dir(dir) => found = self.step(&dir, name)?,
                Found::Leaf(_) => return None,
            }
        }
        Some(found)
    }

    /// Where a path leads once its links are followed inside the root; none for a link to nowhere.
    pub(super) fn follow(&self, path: &[BString]) -> Option<Vec<BString>> {
        let mut left: Vec<BString> = path.iter().rev().cloned().collect();
        let mut at: Vec<BString> = Vec::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            if let Found::Leaf(leaf) = self.find(&at)?
                && let Kind::Symlink(target) = &self.inode(leaf).kind
            {
                links += 1;
                if links > LINKS_MAX {
                    return None;
                }
                at.pop();
                if target.starts_with(b"/") {
                    at.clear();
                }
                left.extend(super::names_of(target).into_iter().rev());
            }
        }
        Some(at)
    }
}

pub(super) fn is_whiteout(kind: &Kind) -> bool {
    matches!(kind, Kind::Char(device) if device.major == 0 && device.minor == 0)
}
