//! A layer changeset as an EROFS image, as the draft erofs-image-spec has it: §3.6 *Whiteouts* and §3.7
//! *Hardlinks*.
//!
//! The image is a filesystem, not a sequence: every path is named once, and every directory on the way
//! to it, as an EROFS image has no directory without attributes.

use std::collections::BTreeMap;

use bstr::{BStr, BString, ByteSlice as _};

use super::{ErofsError, Filesystem, Inode, InodeId, Kind, error, put, superblock};
use crate::case::{Device, Time};
use crate::case::{Dialect, Entry, HeaderFields, Kind as EntryKind, Layer, LayerFormat};

/// The attribute of an opaque directory.
const OPAQUE: &str = "trusted.overlay.opaque";
/// The whiteout of overlayfs.
const WHITEOUT: Device = Device { major: 0, minor: 0 };

/// The bytes of an EROFS layer: its image, patched. The superblock's checksum is made anew unless a patch
/// is about it.
///
/// # Errors
///
/// As [`layer_tree`], and a patch beyond the image's end.
pub fn layer_blob(layer: &Layer) -> Result<Vec<u8>, ErofsError> {
    let mut image = layer_tree(layer)?.write()?;
    for (at, bytes) in &layer.patch {
        if at + bytes.len() > image.len() {
            return Err(error(b"", format!("the patch at {at} is beyond the end")));
        }
        put(&mut image, *at, bytes);
    }
    let sum = superblock::CHECKSUM..superblock::CHECKSUM + 4;
    let is_about_sum =
        |(at, bytes): &(usize, Vec<u8>)| *at < sum.end && at + bytes.len() > sum.start;
    if !layer.patch.iter().any(is_about_sum) {
        superblock::seal(&mut image);
    }
    Ok(image)
}

/// The tree of an EROFS layer. Explicit whiteouts are character devices 0:0 in it and opaque ones an
/// attribute, unless the layer is literal.
///
/// # Errors
///
/// An entry that an EROFS layer cannot say.
pub fn layer_tree(layer: &Layer) -> Result<Filesystem, ErofsError> {
    let mut builder = Builder {
        tree: Filesystem::new(plain(Kind::Dir(BTreeMap::new()), 0o755)),
        literal: layer.format == LayerFormat::ErofsLiteral,
    };
    for entry in &layer.entries {
        builder
            .entry(entry)
            .map_err(|what| error(&entry.path, what))?;
    }
    Ok(builder.tree)
}

type Rule<T> = Result<T, &'static str>;

struct Builder {
    tree: Filesystem,
    literal: bool,
}

impl Builder {
    fn entry(&mut self, entry: &Entry) -> Rule<()> {
        let is_plain = entry.dialect == Dialect::default()
            && entry.pax.is_empty()
            && entry.header == HeaderFields::default();
        if !is_plain || matches!(entry.kind, EntryKind::Global | EntryKind::Raw(_)) {
            return Err("an EROFS layer has no tar headers");
        }
        let names = names(&entry.path)?;
        let Some((name, parent)) = names.split_last() else {
            let root = self.tree.root();
            return match entry.kind {
                EntryKind::Dir(None) => self.set_attributes(root, entry),
                _ => Err("the root is a directory"),
            };
        };
        let parent = self
            .find(parent)
            .filter(|id| matches!(self.tree.get(*id).kind, Kind::Dir(_)))
            .ok_or("its parent directory is not named before it")?;
        match name.strip_prefix(b".wh.") {
            Some(b".wh..opq") if !self.literal => {
                let xattrs = &mut self.tree.get_mut(parent).xattrs;
                xattrs.insert(OPAQUE.into(), "y".into());
                Ok(())
            }
            Some(hidden) if !self.literal => {
                let whiteout = self.tree.add(plain(Kind::Char(WHITEOUT), 0));
                self.name(parent, hidden, whiteout)
            }
            _ => self.inode(parent, name, entry),
        }
    }

    fn inode(&mut self, parent: InodeId, name: &[u8], entry: &Entry) -> Rule<()> {
        if let EntryKind::Hardlink(target, None) = &entry.kind {
            let target = self.find(&names(target)?);
            let target = target.ok_or("a hard link to what the layer has not named before it")?;
            return self.name(parent, name, target);
        }
        let kind = match &entry.kind {
            EntryKind::File(content) => Kind::File(content.clone()),
            EntryKind::Dir(None) => Kind::Dir(BTreeMap::new()),
            EntryKind::Symlink(target) => Kind::Symlink(target.clone()),
            EntryKind::Char(WHITEOUT) if !self.literal => {
                return Err("a whiteout of overlayfs; say `whiteout`, or format erofs-literal");
            }
            EntryKind::Char(device) => Kind::Char(*device),
            EntryKind::Block(device) => Kind::Block(*device),
            EntryKind::Fifo => Kind::Fifo,
            EntryKind::Hardlink(..) | EntryKind::Dir(_) | EntryKind::Global | EntryKind::Raw(_) => {
                return Err("an EROFS layer has no tar headers");
            }
        };
        let id = self.tree.add(plain(kind, 0));
        self.name(parent, name, id)?;
        self.set_attributes(id, entry)
    }

    fn name(&mut self, parent: InodeId, name: &[u8], id: InodeId) -> Rule<()> {
        if self.tree.child(parent, name).is_some() {
            return Err("an EROFS layer names each path once");
        }
        self.tree.link(parent, name, id);
        Ok(())
    }

    fn find(&self, names: &[BString]) -> Option<InodeId> {
        let root = self.tree.root();
        names
            .iter()
            .try_fold(root, |id, name| self.tree.child(id, name))
    }

    fn set_attributes(&mut self, id: InodeId, entry: &Entry) -> Rule<()> {
        let is_mark = |name: &BString| name.starts_with(b"trusted.overlay.");
        if !self.literal && entry.xattrs.keys().any(is_mark) {
            return Err("an attribute of overlayfs; say `opaque`, or format erofs-literal");
        }
        let number = |id: u64| u32::try_from(id).map_err(|_| "an owner beyond 32 bits");
        let inode = self.tree.get_mut(id);
        inode.mode = entry.mode;
        inode.uid = number(entry.uid)?;
        inode.gid = number(entry.gid)?;
        inode.mtime = entry.mtime;
        let opaque = inode.xattrs.remove_entry(BStr::new(OPAQUE));
        inode.xattrs = entry.xattrs.clone();
        inode.xattrs.extend(opaque);
        Ok(())
    }
}

fn names(path: &[u8]) -> Rule<Vec<BString>> {
    let mut names: Vec<BString> = path.split_str("/").map(BString::from).collect();
    names.retain(|name| !name.is_empty() && name != ".");
    match names.iter().any(|name| name == "..") {
        true => Err("`..` is no name"),
        false => Ok(names),
    }
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
