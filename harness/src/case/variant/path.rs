//! Paths of entries as names in a tree, by their text alone.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};

use crate::case::{Entry, Kind, Layer};

/// The prefix that makes an entry a whiteout (layer.md, *Whiteouts*).
const WHITEOUT: &[u8] = b".wh.";
/// The marker of an opaque whiteout (layer.md, *Opaque Whiteout*).
const OPAQUE: &[u8] = b".wh..wh..opq";

/// A path without empty and `.` components, the root being empty; `None` where it has no such form.
pub(super) fn normal(path: &[u8]) -> Option<BString> {
    if path.is_empty() || path.contains(&0) {
        return None;
    }
    let names: Vec<&[u8]> = path
        .split_str("/")
        .filter(|name| !name.is_empty() && *name != b".")
        .collect();
    let climbs = names.contains(&b"..".as_slice());
    (!climbs).then(|| bstr::join("/", names).into())
}

/// The normal path of an entry that has one.
pub(super) fn of(entry: &Entry) -> Option<BString> {
    match entry.kind {
        Kind::Raw(_) | Kind::Global => None,
        _ => normal(&entry.path),
    }
}

/// The normal path of what a hard link links to.
pub(super) fn target(entry: &Entry) -> Option<BString> {
    match &entry.kind {
        Kind::Hardlink(target, _) => normal(target),
        _ => None,
    }
}

pub(super) fn is_dir(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Dir(_))
}

pub(super) fn is_marker(path: &[u8]) -> bool {
    split(path).1.starts_with(WHITEOUT)
}

/// Whether a marker of a layer takes `path` away from the layers below.
pub(super) fn hides(marker: &[u8], path: &[u8]) -> bool {
    let (parent, name) = split(marker);
    if name == OPAQUE {
        return is_below(path, parent);
    }
    match name.strip_prefix(WHITEOUT) {
        Some(name) => {
            let hidden = join(parent, name);
            hidden == path || is_below(path, &hidden)
        }
        None => false,
    }
}

pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
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

/// The directories above a path, the root first; none above the root.
pub(super) fn ancestors(path: &[u8]) -> Vec<&[u8]> {
    let mut above = Vec::new();
    let mut at = path;
    while !at.is_empty() {
        at = split(at).0;
        above.push(at);
    }
    above.reverse();
    above
}

pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    ancestors(path).contains(&dir)
}

/// Whether one of two paths is the other or stands above it.
pub(super) fn is_related(a: &[u8], b: &[u8]) -> bool {
    a == b || is_below(a, b) || is_below(b, a)
}

/// Whether an entry of the last of these layers goes through a path that any of them makes a symbolic
/// link, or has no normal path.
pub(super) fn walks_links(layers: &[Layer]) -> bool {
    let Some(last) = layers.last() else {
        return false;
    };
    let links: BTreeSet<BString> = layers
        .iter()
        .flat_map(|layer| &layer.entries)
        .filter(|entry| matches!(entry.kind, Kind::Symlink(_)))
        .filter_map(of)
        .collect();
    let walks = |path: Option<BString>| {
        path.is_none_or(|path| {
            let mut above = ancestors(&path).into_iter();
            above.any(|dir| links.contains(dir.as_bstr()))
        })
    };
    last.entries.iter().any(|entry| match &entry.kind {
        Kind::Raw(_) | Kind::Global => false,
        Kind::Hardlink(target, _) => walks(of(entry)) || walks(normal(target)),
        _ => walks(of(entry)),
    })
}
