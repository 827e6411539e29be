//! Random stacks of small layers: three names, three levels, every kind of file, whiteouts of both kinds.
//!
//! With so few names nearly every entry meets another: what a stack tests is that they meet.

use std::collections::BTreeMap;
use std::fmt;

use bstr::{BString, ByteSlice as _};
use harness::case::{Case, Content, Device, Entry, Kind, Layer, Time, parse};
use harness::tree::{InodeKind, Tree, apply_layers};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample;

/// Layers, lowest first, shown in one line each.
#[derive(Clone)]
pub(super) struct Stack(pub(super) Vec<Layer>);

impl fmt::Debug for Stack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in &self.0 {
            let entries = layer.entries.iter().map(line).collect::<Vec<_>>();
            writeln!(out, "[{}]", entries.join(", "))?;
        }
        Ok(())
    }
}

fn line(entry: &Entry) -> String {
    let path = &entry.path;
    let kind = match &entry.kind {
        Kind::Dir(_) => format!("dir {path}"),
        Kind::Symlink(target) => format!("symlink {path} -> {target}"),
        Kind::Hardlink(target, _) => format!("hardlink {path} = {target}"),
        Kind::File(_) => format!("file {path}"),
        _ => format!("special {path}"),
    };
    let xattrs = if entry.xattrs.is_empty() {
        ""
    } else {
        " xattr"
    };
    let (mode, uid, time) = (entry.mode, entry.uid, entry.mtime);
    format!(
        "{kind} {mode:o} {uid} {}.{}{xattrs}",
        time.seconds, time.nanos
    )
}

/// Layers on which the spec speaks: in each, no path twice, nothing below what is no directory, hard links
/// to files of the layer itself that come before, whiteouts whose paths go through no link, and opaque ones
/// in directories that are there.
pub(super) fn proper() -> impl Strategy<Value = Stack> {
    vec(vec(entry(), 0..8), 1..5).prop_map(|layers| {
        placed(
            layers
                .into_iter()
                .map(|entries| layer(tidy(entries)))
                .collect(),
        )
    })
}

/// Takes out the whiteouts of places that are not there.
fn placed(layers: Vec<Layer>) -> Stack {
    let mut stack: Vec<Layer> = Vec::new();
    for mut layer in layers {
        if let Ok(lower) = apply_layers(&stack, false) {
            let all = layer.entries.clone();
            let keep = |entry: &Entry| !is_marker(entry) || is_placed(entry, &lower, &all);
            layer.entries.retain(keep);
        }
        stack.push(layer);
    }
    Stack(stack)
}

/// As [`proper`], and no path of the whole stack goes through a symbolic link of any layer.
pub(super) fn literal() -> impl Strategy<Value = Stack> {
    proper().prop_map(|Stack(mut layers)| {
        let all: Vec<BString> = entries(&layers).map(|entry| entry.path.clone()).collect();
        for entry in layers.iter_mut().flat_map(|layer| &mut layer.entries) {
            let is_walked = all.iter().any(|path| is_below(path, &entry.path));
            if is_walked && matches!(entry.kind, Kind::Symlink(_)) {
                entry.kind = Kind::Fifo;
            }
        }
        placed(layers)
    })
}

/// As [`literal`], without hard links.
pub(super) fn without_links() -> impl Strategy<Value = Stack> {
    literal().prop_map(|Stack(mut layers)| {
        for layer in &mut layers {
            layer
                .entries
                .retain(|entry| !matches!(entry.kind, Kind::Hardlink(..)));
        }
        placed(layers)
    })
}

/// Whether a whiteout's path goes through no link, of lower layers or its own, and an opaque one's directory
/// is there: by a lower layer that the whiteout's own does not take it from, or by an entry before it.
fn is_placed(marker: &Entry, lower: &Tree, own: &[Entry]) -> bool {
    let (dir, name) = split(&marker.path);
    let links = own
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Symlink(_)));
    let links: Vec<&[u8]> = links.map(|entry| entry.path.as_slice()).collect();
    let kind = |path: &[u8]| lower.get(path).map(|inode| &inode.kind);
    let is_link =
        |path: &[u8]| matches!(kind(path), Some(InodeKind::Symlink(_))) || links.contains(&path);
    let mut ends = dir.find_iter("/").chain([dir.len()]);
    if ends.any(|end| is_link(&dir[..end])) {
        return false;
    }
    let hidden = own
        .iter()
        .any(|other| is_marker(other) && hides(&other.path, dir));
    let in_lower = kind(dir) == Some(&InodeKind::Dir) && !hidden;
    let mut before = own.iter().take_while(|entry| entry.path != marker.path);
    let in_own = before.any(|entry| {
        let is_it = entry.path == dir && matches!(entry.kind, Kind::Dir(_));
        is_it || is_below(&entry.path, dir) && !is_marker(entry)
    });
    name != b".wh..wh..opq" || in_lower || in_own
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.rsplit_once_str("/").unwrap_or((b"", path))
}

/// The case of layers that must give a tree.
pub(super) fn case(layers: Vec<Layer>) -> Case {
    let text =
        "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n[expect]\ntree = 'golden'\n";
    Case {
        layers,
        ..parse("name/random", text, &|_| None).unwrap()
    }
}

pub(super) fn layer(entries: Vec<Entry>) -> Layer {
    Layer {
        entries,
        ..Layer::default()
    }
}

pub(super) fn entries(layers: &[Layer]) -> impl Iterator<Item = &Entry> {
    layers.iter().flat_map(|layer| &layer.entries)
}

pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with(b"/") || dir.is_empty() && !path.is_empty())
}

pub(super) fn is_marker(entry: &Entry) -> bool {
    entry
        .path
        .rsplit_str("/")
        .next()
        .is_some_and(|name| name.starts_with(b".wh."))
}

/// Whether a whiteout hides what lower layers have at a path.
pub(super) fn hides(marker: &[u8], path: &[u8]) -> bool {
    let (dir, name) = split(marker);
    if name == b".wh..wh..opq" {
        return is_below(path, dir);
    }
    let name = name.strip_prefix(b".wh.").unwrap_or(name);
    let hidden = match dir.is_empty() {
        true => name.to_vec(),
        false => [dir, b"/", name].concat(),
    };
    hidden == path || is_below(path, &hidden)
}

/// Takes out what the spec does not speak on, in archive order.
fn tidy(entries: Vec<Entry>) -> Vec<Entry> {
    let mut kept: BTreeMap<BString, bool> = BTreeMap::new();
    let mut result = Vec::new();
    for entry in entries {
        let path = &entry.path;
        let is_dir = matches!(entry.kind, Kind::Dir(_));
        let clashes = kept.iter().any(|(other, other_is_dir)| {
            other == path
                || is_below(path, other) && !other_is_dir
                || is_below(other, path) && !is_dir
        });
        let own_file =
            |target: &BString| kept.get(target) == Some(&false) && !target.contains_str(".wh.");
        let links_badly = match &entry.kind {
            Kind::Hardlink(target, _) => !own_file(target),
            _ => false,
        };
        if !clashes && !links_badly {
            kept.insert(path.clone(), is_dir);
            result.push(entry);
        }
    }
    result
}

fn path() -> impl Strategy<Value = String> {
    vec(sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn entry() -> impl Strategy<Value = Entry> {
    let file = || {
        (0..3_u8).prop_map(|byte| Kind::File(Content::Bytes(vec![b'0' + byte; usize::from(byte)])))
    };
    let target = prop_oneof![
        path(),
        path().prop_map(|path| format!("/{path}")),
        Just("../c".to_owned())
    ];
    let kind = prop_oneof![
        4 => Just(Kind::Dir(None)),
        4 => file(),
        2 => target.prop_map(|target| Kind::Symlink(target.into())),
        2 => path().prop_map(|target| Kind::Hardlink(target.into(), None)),
        1 => Just(Kind::Fifo),
        1 => Just(Kind::Char(Device { major: 1, minor: 3 })),
    ];
    let named = (kind, path(), attributes()).prop_map(|(kind, path, change)| {
        let mut entry = Entry::new(kind, path);
        change.onto(&mut entry);
        entry
    });
    let marker = (path(), any::<bool>()).prop_map(|(path, opaque)| {
        let (parent, name) = path
            .rsplit_once('/')
            .map_or(("", path.as_str()), |parts| parts);
        let slash = if parent.is_empty() { "" } else { "/" };
        let marked = match opaque {
            true => format!("{path}/.wh..wh..opq"),
            false => format!("{parent}{slash}.wh.{name}"),
        };
        Entry::new(Kind::File(Content::Bytes(Vec::new())), marked)
    });
    prop_oneof![5 => named, 1 => marker].prop_map(|mut entry| {
        // Written in a case file, as far as anybody asks: else it would be taken for a base.
        entry.line = 1;
        entry
    })
}

#[derive(Debug, Clone)]
struct Attributes {
    mode: Option<u32>,
    uid: u64,
    mtime: i64,
    nanos: u32,
    xattr: bool,
}

impl Attributes {
    fn onto(&self, entry: &mut Entry) {
        // A hard link's header says nothing of its own: the target's attributes are the link's.
        if matches!(entry.kind, Kind::Hardlink(..)) {
            return;
        }
        let is_link = matches!(entry.kind, Kind::Symlink(_));
        entry.mode = self.mode.filter(|_| !is_link).unwrap_or(entry.mode);
        entry.uid = self.uid;
        entry.mtime = Time {
            seconds: self.mtime,
            nanos: self.nanos,
        };
        if self.xattr && matches!(entry.kind, Kind::Dir(_) | Kind::File(_)) {
            entry.xattrs.insert("user.k".into(), "v".into());
        }
    }
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let mode = proptest::option::of(sample::select(vec![0o700, 0o4711, 0o1777, 0]));
    let rest = (
        0..3_u64,
        0..4_i64,
        prop_oneof![9 => Just(0), 1 => Just(5)],
        proptest::bool::weighted(0.1),
    );
    (mode, rest).prop_map(|(mode, (uid, mtime, nanos, xattr))| Attributes {
        mode,
        uid,
        mtime,
        nanos,
        xattr,
    })
}
