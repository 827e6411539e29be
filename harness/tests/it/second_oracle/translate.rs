//! Layer changesets as directories that overlayfs stacks: explicit whiteouts become character devices
//! 0:0, opaque ones the attribute `trusted.overlay.opaque`.
//!
//! Shared with the model: nothing. Left to the kernel: what the layers are together. Done here, as
//! overlayfs has no notion of it: what the entries of one layer are together (the last one of a path
//! stands), through which links a layer's paths lead, and copies of what a layer changes in part (a
//! directory it does not name, the target of a hard link).

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;
use harness::case::{Device, Entry, Kind as EntryKind, Layer, Time};
use harness::image::erofs::{Filesystem, Inode, InodeId, Kind};

use super::names_of;
use super::view::{At, Found, OPAQUE, View, is_whiteout};

/// Why something cannot be translated.
pub(crate) type Why = &'static str;

/// The directories of an image's layers, base layer first; an error is one of the image, or of this
/// translation.
pub(crate) fn translate(layers: &[Layer]) -> Result<Vec<Filesystem>, Why> {
    let mut below = Vec::new();
    for layer in layers {
        let own = Translator::new(&below).layer(layer)?;
        below.push(own);
    }
    Ok(below)
}

struct Translator<'a> {
    below: &'a [Filesystem],
    own: Filesystem,
    /// What is in this layer as a copy of a lower one's, for a hard link.
    copied: BTreeSet<InodeId>,
}

impl Translator<'_> {
    fn new(below: &[Filesystem]) -> Translator<'_> {
        let root = match below.last() {
            Some(last) => attributes_of(last.get(last.root())),
            None => plain(Kind::Dir(BTreeMap::new()), 0o755),
        };
        Translator {
            below,
            own: Filesystem::new(root),
            copied: BTreeSet::new(),
        }
    }

    fn layer(mut self, layer: &Layer) -> Result<Filesystem, Why> {
        let mut markers = Vec::new();
        let mut entries = Vec::new();
        for entry in &layer.entries {
            if let EntryKind::Global | EntryKind::Raw(_) = entry.kind {
                continue;
            }
            let path = path_of(&entry.path)?;
            match path.iter().any(|name| name.starts_with(b".wh.")) {
                true => markers.push(path),
                false => entries.push((entry, path)),
            }
        }
        let own_dirs: BTreeSet<&[BString]> = entries
            .iter()
            .filter(|(entry, _)| matches!(entry.kind, EntryKind::Dir(_)))
            .map(|(_, path)| path.as_slice())
            .collect();
        for path in &markers {
            self.marker(path, &own_dirs)?;
        }
        for (entry, path) in &entries {
            self.entry(entry, path)?;
        }
        Ok(self.own)
    }

    fn view(&self) -> View<'_> {
        let below = self.below.iter().rev();
        View(std::iter::once(&self.own).chain(below).collect())
    }

    fn marker(&mut self, path: &[BString], own_dirs: &BTreeSet<&[BString]>) -> Result<(), Why> {
        let (name, dir) = path.split_last().expect("a marker has a name");
        if dir.iter().any(|name| name.starts_with(b".wh.")) {
            return Err("a directory whose name begins `.wh.`");
        }
        let view = self.view();
        let replaced = (1..=dir.len()).map(|length| &dir[..length]).any(|part| {
            let is_link = matches!(view.find(part), Some(Found::Leaf(at))
                if matches!(view.inode(at).kind, Kind::Symlink(_)));
            is_link && own_dirs.contains(part)
        });
        let place = view.follow(dir).filter(|_| !replaced);
        let Some((place, Found::Dir(merged))) =
            place.and_then(|place| view.find(&place).map(|found| (place, found)))
        else {
            return Ok(());
        };
        let hidden = match name.strip_prefix(b".wh.").unwrap_or_default() {
            b".wh..opq" if !place.is_empty() => {
                let id = self.own_dir(&place);
                let dir = self.own.get_mut(id);
                dir.kind = Kind::Dir(BTreeMap::new());
                dir.xattrs.insert(OPAQUE.into(), "y".into());
                return Ok(());
            }
            // Overlayfs merges roots whatever attributes they have.
            b".wh..opq" => view.names(&merged),
            b"" | b"." | b".." => return Err("a whiteout of no name"),
            name if view.step(&merged, name).is_some() => vec![name.into()],
            _ => return Ok(()),
        };
        let dir = self.own_dir(&place);
        for name in hidden {
            let none = Device { major: 0, minor: 0 };
            let whiteout = self.own.add(plain(Kind::Char(none), 0));
            self.own.link(dir, name, whiteout);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, path: &[BString]) -> Result<(), Why> {
        let Some((name, parent)) = path.split_last() else {
            let EntryKind::Dir(_) = entry.kind else {
                return Err("the root is a directory");
            };
            let id = self.own.root();
            return self.set_attributes(id, entry);
        };
        let mut place = self.parents(parent)?;
        if let EntryKind::Hardlink(target, _) = &entry.kind {
            return self.hardlink(&place, name, target);
        }
        let dir = self.own_dir(&place);
        place.push(name.clone());
        let id = match kind_of(entry) {
            Kind::Dir(_) => self.directory(&place),
            kind => {
                let id = self.own.add(plain(kind, 0));
                self.own.link(dir, name.clone(), id);
                id
            }
        };
        self.set_attributes(id, entry)
    }

    /// A directory of this layer: merged with what the layers below have there, unless this layer has
    /// already hidden that.
    fn directory(&mut self, path: &[BString]) -> InodeId {
        if let Some(Found::Dir(_)) = self.view().find(path) {
            return self.own_dir(path);
        }
        let (name, parent) = path.split_last().expect("not the root");
        let parent = self.own_dir(parent);
        let mut dir = plain(Kind::Dir(BTreeMap::new()), 0o755);
        if self.own.child(parent, name).is_some() {
            dir.xattrs.insert(OPAQUE.into(), "y".into());
        }
        let id = self.own.add(dir);
        self.own.link(parent, name.clone(), id);
        id
    }

    /// Where an entry goes: links on the way are followed, what is missing is made.
    fn parents(&mut self, parent: &[BString]) -> Result<Vec<BString>, Why> {
        let mut at: Vec<BString> = Vec::new();
        for name in parent {
            at.push(name.clone());
            let view = self.view();
            match view.find(&at) {
                Some(Found::Dir(_)) => {}
                Some(Found::Leaf(leaf)) if matches!(view.inode(leaf).kind, Kind::Symlink(_)) => {
                    at = view.follow(&at).ok_or("a parent is a link to nowhere")?;
                    let Some(Found::Dir(_)) = view.find(&at) else {
                        return Err("a parent is a link to no directory");
                    };
                }
                Some(Found::Leaf(leaf)) if leaf.layer == 0 && !self.copied.contains(&leaf.id) => {
                    return Err("a parent is a file of the same layer");
                }
                _ => {
                    self.directory(&at);
                }
            }
        }
        Ok(at)
    }

    /// The target is copied up where it is not of this layer, as overlayfs does on `link(2)`.
    fn hardlink(&mut self, dir: &[BString], name: &BString, target: &[u8]) -> Result<(), Why> {
        let target = path_of(target)?;
        let (target_name, target_parent) = target.split_last().ok_or("a link to the root")?;
        let view = self.view();
        let mut target = view.follow(target_parent).ok_or("no target")?;
        target.push(target_name.clone());
        let Some(Found::Leaf(at)) = view.find(&target) else {
            return Err("a hard link to nothing or to a directory");
        };
        let At { layer, mut id } = at;
        if layer > 0 {
            let copy = view.inode(at).clone();
            id = self.own.add(copy);
            self.copied.insert(id);
            let parent = self.own_dir(&target[..target.len() - 1]);
            self.own.link(parent, target_name.clone(), id);
        }
        let dir = self.own_dir(dir);
        self.own.link(dir, name.clone(), id);
        Ok(())
    }

    /// The directory of this layer at a path where the stack has one; made as a copy where the layer
    /// does not name it.
    fn own_dir(&mut self, path: &[BString]) -> InodeId {
        let mut id = self.own.root();
        for (depth, name) in path.iter().enumerate() {
            id = match self.own.child(id, name) {
                Some(child) if !is_whiteout(&self.own.get(child).kind) => child,
                _ => {
                    let view = self.view();
                    let copy = match view.find(&path[..=depth]) {
                        Some(Found::Dir(merged)) => attributes_of(view.inode(merged[0])),
                        _ => unreachable!("the caller has seen the directory"),
                    };
                    let child = self.own.add(copy);
                    self.own.link(id, name.clone(), child);
                    child
                }
            };
        }
        id
    }

    fn set_attributes(&mut self, id: InodeId, entry: &Entry) -> Result<(), Why> {
        let number = |id: u64| u32::try_from(id).map_err(|_| "an owner beyond 32 bits");
        let inode = self.own.get_mut(id);
        inode.mode = entry.mode;
        inode.uid = number(entry.uid)?;
        inode.gid = number(entry.gid)?;
        inode.mtime = entry.mtime;
        let opaque = inode.xattrs.remove_entry(bstr::BStr::new(OPAQUE));
        inode.xattrs = entry.xattrs.clone();
        inode.xattrs.extend(opaque);
        Ok(())
    }
}

/// Why an image is not for overlayfs, if so: it would take for its own what the image carries.
pub(super) fn not_for_overlayfs(layers: &[Layer]) -> Option<Why> {
    let is_mark = |name: &BString| name.starts_with(b"trusted.overlay.");
    let none = EntryKind::Char(Device { major: 0, minor: 0 });
    let entries = || layers.iter().flat_map(|layer| &layer.entries);
    if layers.is_empty() {
        Some("no layers are no stack")
    } else if entries().any(|entry| entry.xattrs.keys().any(is_mark)) {
        Some("the image carries attributes of overlayfs")
    } else if entries().any(|entry| entry.kind == none) {
        Some("the image carries a whiteout of overlayfs")
    } else {
        None
    }
}

fn path_of(path: &[u8]) -> Result<Vec<BString>, Why> {
    let mut names = names_of(path);
    names.retain(|name| name != ".");
    match names.iter().any(|name| name == "..") {
        true => Err("`..` in a path"),
        false => Ok(names),
    }
}

fn kind_of(entry: &Entry) -> Kind {
    match &entry.kind {
        EntryKind::File(content) => Kind::File(content.clone()),
        EntryKind::Dir(_) => Kind::Dir(BTreeMap::new()),
        EntryKind::Symlink(target) => Kind::Symlink(target.clone()),
        EntryKind::Char(device) => Kind::Char(*device),
        EntryKind::Block(device) => Kind::Block(*device),
        EntryKind::Fifo => Kind::Fifo,
        EntryKind::Hardlink(..) | EntryKind::Global | EntryKind::Raw(_) => {
            unreachable!("no inode of its own")
        }
    }
}

/// An empty directory with another one's attributes.
fn attributes_of(inode: &Inode) -> Inode {
    let mut copy = inode.clone();
    copy.kind = Kind::Dir(BTreeMap::new());
    copy.xattrs.remove(bstr::BStr::new(OPAQUE));
    copy
}

fn plain(kind: Kind, mode: u32) -> Inode {
    Inode {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: BTreeMap::new(),
    }
}
