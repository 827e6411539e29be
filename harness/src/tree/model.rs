//! The reference model: layer application as layer.md describes it, on in-memory trees.
//!
//! About the simplest code that can be right. A layer is applied in three steps, which is how the
//! spec's rules about order read once they are put side by side:
//!
//! 1. Every whiteout and opaque whiteout of the layer is applied to the tree of the lower layers. They
//!    "MUST only apply to resources in lower/parent layers" (layer.md, *Whiteouts*), and opaque
//!    whiteouts hide "regardless of the ordering in which the whiteout file was encountered" (*Opaque
//!    Whiteout*), so nothing of the layer's own can be touched when they go first.
//! 2. The other entries are applied in archive order, "like a regular tar archive" (*Applying
//!    Changesets*).
//! 3. Times of directories that the layer names are as it says, however their children came.
//!
//! Where the spec is silent and moby, containerd and umoci agree, the model does as they do: parent
//! directories that are links are followed, inside the root only, and an absolute target starts at it.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};
use sha2::{Digest as _, Sha256};

use super::{Inode, InodeId, InodeKind, Tree};
use crate::case::{Content, Entry, Kind, Layer};
use crate::image::write_content;

/// The links Linux follows in one path (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;
/// The prefix that makes an entry a whiteout (layer.md, *Whiteouts*).
const WHITEOUT: &[u8] = b".wh.";
/// The marker of an opaque whiteout (layer.md, *Opaque Whiteout*).
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why the model has no tree for a case: the entry has no meaning in the spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{path}`: {what}")]
pub struct ModelError {
    /// The line of the case file, 0 where there is none.
    pub line: usize,
    /// The entry's path, escaped.
    pub path: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// The root filesystem that results from applying layer changesets to an empty directory, base layer
/// first (manifest.md, *layers*; layer.md, *Applying Changesets*).
///
/// The root's own attributes "are unspecified" (manifest.md) until a layer names it, so they are open.
/// A directory's time is open when a later layer changes its children without naming it, unless
/// `parent_mtime_kept`: extracting an archive moves it, and the spec does not say whether it is put back.
///
/// # Errors
///
/// An entry that has no defined effect: a case that contains one must expect a rejection.
pub fn apply_layers(layers: &[Layer], parent_mtime_kept: bool) -> Result<Tree, ModelError> {
    let mut tree = Tree::new();
    tree.insert("", implied_dir());
    for layer in layers {
        apply_layer(&mut tree, layer, parent_mtime_kept)?;
    }
    Ok(tree)
}

/// Applies one layer changeset on top of the tree of the layers below it; see [`apply_layers`].
///
/// # Errors
///
/// As [`apply_layers`].
pub fn apply_layer(
    tree: &mut Tree,
    layer: &Layer,
    parent_mtime_kept: bool,
) -> Result<(), ModelError> {
    let mut step = Step {
        tree,
        own: BTreeSet::new(),
        touched: BTreeSet::new(),
    };
    let own_dirs = directories_of(layer)?;
    for entry in &layer.entries {
        if let Some(path) = path_of(entry)? {
            step.whiteout(&path, &own_dirs)
                .map_err(|what| error(entry, what))?;
        }
    }
    for entry in &layer.entries {
        if let Some(path) = path_of(entry)?
            && marker(&path).is_none()
        {
            step.entry(entry, &path)
                .map_err(|what| error(entry, what))?;
        }
    }
    if !parent_mtime_kept {
        step.open_parent_times();
    }
    Ok(())
}

/// One layer being applied.
struct Step<'a> {
    tree: &'a mut Tree,
    /// The paths this layer has brought, as they are after resolving parents.
    own: BTreeSet<BString>,
    /// The directories whose children this layer changed.
    touched: BTreeSet<BString>,
}

type Rule<T> = Result<T, &'static str>;

impl Step<'_> {
    /// layer.md, *Whiteouts* and *Opaque Whiteout*, against the lower layers only: step 1 of three.
    /// A whiteout of what is not there hides nothing and creates nothing.
    fn whiteout(&mut self, path: &[u8], own_dirs: &BTreeSet<BString>) -> Rule<()> {
        let Some(marker) = marker(path) else {
            return Ok(());
        };
        let place = self.marked_dir(split(path).0, own_dirs);
        match (marker, place) {
            (Marker::Malformed(what), _) => return Err(what),
            (_, None) => {}
            (Marker::Opaque, Some(dir)) => {
                for child in self.tree.below(&dir) {
                    self.remove(&child);
                }
            }
            (Marker::Explicit(name), Some(dir)) => self.remove(&join(&dir, name)),
        }
        Ok(())
    }

    /// The directory of the lower layers that a marker stands in. A link on the way is followed, but
    /// not where this layer puts a directory of its own in the link's place: below that name the lower
    /// layers have nothing, and what the link leads to is another directory.
    fn marked_dir(&self, dir: &[u8], own_dirs: &BTreeSet<BString>) -> Option<BString> {
        let mut literal = BString::default();
        for name in components(dir) {
            literal = join(&literal, &name);
            let is_link = matches!(self.kind(&literal), Some(InodeKind::Symlink(_)));
            if is_link && own_dirs.contains(&literal) {
                return None;
            }
        }
        resolve(self.tree, dir).ok().filter(|dir| self.is_dir(dir))
    }

    /// layer.md, *Applying Changesets*: step 2 of three.
    fn entry(&mut self, entry: &Entry, path: &[u8]) -> Rule<()> {
        let (parent, name) = split(path);
        let parent = self.make_parents(parent)?;
        let path = if name.is_empty() {
            BString::default()
        } else {
            join(&parent, name)
        };
        if path.is_empty() && !matches!(entry.kind, Kind::Dir(_)) {
            return Err("the root is a directory");
        }
        if let Kind::Hardlink(target, _) = &entry.kind {
            return self.hardlink(&path, target);
        }
        let inode = inode_of(entry)?;
        // layer.md, *Changeset over existing files*: a directory over a directory replaces its
        // attributes; anything else is removed first.
        let both_dirs = inode.kind == InodeKind::Dir && self.is_dir(&path);
        if both_dirs {
            *self.tree.get_mut(&path).expect("a directory") = inode;
        } else {
            self.remove(&path);
            self.tree.insert(path.clone(), inode);
            self.touched.insert(parent);
        }
        self.own.insert(path);
        Ok(())
    }

    /// layer.md, *Hardlinks*: "all file types except directories"; the link is one more name of the
    /// target's inode, so the entry's own attributes have nothing to apply to.
    fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Rule<()> {
        let target = normal(target)?;
        let (parent, name) = split(&target);
        let parent = resolve(self.tree, parent)?;
        let target = join(&parent, name);
        let id: InodeId = self
            .tree
            .id(&target)
            .ok_or("the hard link's target does not exist")?;
        if self.is_dir(&target) {
            return Err("a hard link to a directory");
        }
        if target.as_slice() == path {
            return Ok(());
        }
        self.remove(path);
        self.tree.link(path, id);
        self.touched.insert(split(path).0.into());
        self.own.insert(path.into());
        Ok(())
    }

    /// The directory an entry goes into, made where no layer names it. The spec is silent on the
    /// attributes of such a directory, so they are open. A lower layer's file in the way is replaced
    /// (*Changeset over existing files*); the layer's own is a contradiction.
    fn make_parents(&mut self, parent: &[u8]) -> Rule<BString> {
        let mut at = BString::default();
        for name in components(parent) {
            let next = join(&at, &name);
            let is_link = matches!(self.kind(&next), Some(InodeKind::Symlink(_)));
            let next = if is_link {
                resolve(self.tree, &next)?
            } else {
                next
            };
            match self.kind(&next) {
                Some(InodeKind::Dir) => {}
                None if is_link => return Err("a parent is a link to nowhere"),
                Some(_) if is_link => {
                    return Err("a parent is a link to something that is no directory");
                }
                Some(_) if self.own.contains(&next) => {
                    return Err("a parent is a file of the same layer");
                }
                _ => {
                    self.remove(&next);
                    self.tree.insert(next.clone(), implied_dir());
                    self.touched.insert(at.clone());
                    self.own.insert(next.clone());
                }
            }
            at = next;
        }
        Ok(at)
    }

    /// Step 3 of three, for the directories this layer does *not* name: their time is open.
    fn open_parent_times(&mut self) {
        for path in &self.touched {
            if !self.own.contains(path)
                && let Some(inode) = self.tree.get_mut(path)
            {
                inode.mtime = None;
            }
        }
    }

    fn remove(&mut self, path: &[u8]) {
        if self.tree.id(path).is_some() {
            self.tree.remove(path);
            self.touched.insert(split(path).0.into());
        }
    }

    fn is_dir(&self, path: &[u8]) -> bool {
        self.kind(path) == Some(&InodeKind::Dir)
    }

    fn kind(&self, path: &[u8]) -> Option<&InodeKind> {
        self.tree.get(path).map(|inode| &inode.kind)
    }
}

/// The directories a layer names.
fn directories_of(layer: &Layer) -> Result<BTreeSet<BString>, ModelError> {
    let dirs = layer
        .entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Dir(_)));
    Ok(dirs
        .map(path_of)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// What an entry whose name begins `.wh.` asks for.
enum Marker<'a> {
    Opaque,
    Explicit(&'a [u8]),
    Malformed(&'static str),
}

/// layer.md, *Whiteouts*: the base name decides. A bare `.wh.` names nothing (image-spec PR 1314 makes
/// that an error in words); `.wh..` and `.wh...` would name the directory itself and its parent.
fn marker(path: &[u8]) -> Option<Marker<'_>> {
    let (parent, name) = split(path);
    let in_parent = parent.split_str("/").any(|name| name.starts_with(WHITEOUT));
    if name == OPAQUE && !in_parent {
        return Some(Marker::Opaque);
    }
    if in_parent {
        return Some(Marker::Malformed("a directory whose name begins `.wh.`"));
    }
    match name.strip_prefix(WHITEOUT)? {
        b"" => Some(Marker::Malformed("a whiteout without a name")),
        b"." => Some(Marker::Malformed("a whiteout of `.`")),
        b".." => Some(Marker::Malformed("a whiteout of `..`")),
        name => Some(Marker::Explicit(name)),
    }
}

/// The path with every link resolved, inside the root: an absolute target starts at the root and `..`
/// stops at it. Missing components stay as they are.
pub(super) fn resolve(tree: &Tree, path: &[u8]) -> Rule<BString> {
    let mut left: Vec<BString> = components(path);
    left.reverse();
    let mut at = BString::default();
    let mut links = 0;
    while let Some(name) = left.pop() {
        match name.as_slice() {
            b"." => {}
            b".." => at = split(&at).0.into(),
            name => {
                let next = join(&at, name);
                match tree.get(&next).map(|inode| &inode.kind) {
                    Some(InodeKind::Symlink(target)) => {
                        links += 1;
                        if links > LINKS_MAX {
                            return Err("too many links in a path");
                        }
                        if target.starts_with(b"/") {
                            at = BString::default();
                        }
                        left.extend(components(target).into_iter().rev());
                    }
                    Some(InodeKind::Dir) | None => at = next,
                    Some(_) if left.is_empty() => at = next,
                    Some(_) => return Err("a parent is no directory"),
                }
            }
        }
    }
    Ok(at)
}

fn components(path: &[u8]) -> Vec<BString> {
    path.split_str("/")
        .filter(|name| !name.is_empty())
        .map(BString::from)
        .collect()
}

/// The normal form of an entry's path, or `None` for an entry without one.
fn path_of(entry: &Entry) -> Result<Option<BString>, ModelError> {
    match entry.kind {
        Kind::Raw(_) | Kind::Global => Ok(None),
        _ => normal(&entry.path)
            .map(Some)
            .map_err(|what| error(entry, what)),
    }
}

/// A path without leading, double and trailing slashes and without `.`; `..` has no meaning in a
/// changeset, whose paths are relative to the root.
fn normal(path: &[u8]) -> Rule<BString> {
    if path.is_empty() {
        return Err("an empty path");
    }
    if path.contains(&0) {
        return Err("a NUL byte in a path");
    }
    let mut names = components(path);
    names.retain(|name| name != ".");
    if names.iter().any(|name| name == "..") {
        return Err("`..` in a path");
    }
    Ok(bstr::join("/", names).into())
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.rfind_byte(b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

fn join(parent: &[u8], name: &[u8]) -> BString {
    if parent.is_empty() {
        name.into()
    } else {
        [parent, b"/", name].concat().into()
    }
}

fn implied_dir() -> Inode {
    Inode {
        kind: InodeKind::Dir,
        mode: None,
        uid: None,
        gid: None,
        mtime: None,
        xattrs: std::collections::BTreeMap::new(),
    }
}

/// layer.md, *File Attributes*: mtime, uid, gid, mode and xattrs; user and group names are not used.
fn inode_of(entry: &Entry) -> Rule<Inode> {
    let id = |id: u64| u32::try_from(id).map_err(|_| "an owner beyond 32 bits");
    let kind = match &entry.kind {
        Kind::File(content) => file(content),
        Kind::Dir(_) => InodeKind::Dir,
        Kind::Symlink(target) if target.is_empty() => return Err("a link with an empty target"),
        Kind::Symlink(target) => InodeKind::Symlink(target.clone()),
        Kind::Char(device) | Kind::Block(device)
            if device.major >= 1 << 12 || device.minor >= 1 << 20 =>
        {
            return Err("a device number beyond 12 and 20 bits");
        }
        Kind::Char(device) => InodeKind::Char(*device),
        Kind::Block(device) => InodeKind::Block(*device),
        Kind::Fifo => InodeKind::Fifo,
        Kind::Hardlink(..) | Kind::Raw(_) | Kind::Global => return Err("no inode of its own"),
    };
    // The mode of a link cannot be set on Linux; what its header says otherwise is open.
    let mode_is_open = matches!(kind, InodeKind::Symlink(_)) && entry.mode != 0o777;
    Ok(Inode {
        kind,
        mode: (!mode_is_open).then_some(entry.mode),
        uid: Some(id(entry.uid)?),
        gid: Some(id(entry.gid)?),
        mtime: Some(entry.mtime),
        xattrs: entry.xattrs.clone(),
    })
}

fn file(content: &Content) -> InodeKind {
    if let Content::Digest { size, sha256 } = content {
        return InodeKind::File {
            size: *size,
            sha256: *sha256,
        };
    }
    let mut hash = Hash(Sha256::new());
    let size = write_content(content, &mut hash).expect("hashing cannot fail");
    InodeKind::File {
        size,
        sha256: hash.0.finalize().into(),
    }
}

struct Hash(Sha256);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn error(entry: &Entry, what: &'static str) -> ModelError {
    ModelError {
        line: entry.line,
        path: crate::case::escape::escape(&entry.path),
        what,
    }
}
