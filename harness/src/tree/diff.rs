//! What differs between the expected and the actual tree, in go-mtree's words.

use std::collections::BTreeMap;

use bstr::BString;

use super::{Inode, InodeKind, Tree};
use crate::case::escape::escape;

/// One difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The path is expected and not there.
    Missing(BString),
    /// The path is there and not expected.
    Extra(BString),
    /// The path is there and one of its attributes is not as expected.
    Modified {
        /// The path.
        path: BString,
        /// The attribute.
        key: Key,
        /// Its expected value, as in mtree(5).
        want: String,
        /// Its actual value.
        got: String,
    },
}

/// An attribute that can differ; the words are mtree(5)'s where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the mtree keyword of the same name")]
pub enum Key {
    Type,
    Uid,
    Gid,
    Mode,
    Size,
    Time,
    Link,
    Device,
    Sha256,
    /// The set of names of the same inode.
    Hardlink,
    /// The extended attributes.
    Xattr,
}

impl Key {
    /// The word used in reports.
    pub fn word(self) -> &'static str {
        match self {
            Key::Type => "type",
            Key::Uid => "uid",
            Key::Gid => "gid",
            Key::Mode => "mode",
            Key::Size => "size",
            Key::Time => "time",
            Key::Link => "link",
            Key::Device => "device",
            Key::Sha256 => "sha256",
            Key::Hardlink => "hardlink",
            Key::Xattr => "xattr",
        }
    }
}

impl Difference {
    /// The path that differs.
    pub fn path(&self) -> &BString {
        match self {
            Difference::Missing(path) | Difference::Extra(path) => path,
            Difference::Modified { path, .. } => path,
        }
    }
}

/// Every difference, in bytewise order of path, then in the order of [`Key`]. What `want` leaves open
/// is not compared.
pub fn diff(want: &Tree, got: &Tree) -> Vec<Difference> {
    let (want_groups, got_groups) = (Groups::of(want), Groups::of(got));
    let mut links = Links::default();
    let mut differences = Vec::new();
    for (path, _, wanted) in want.iter() {
        let Some(actual) = got.get(path) else {
            differences.push(Difference::Missing(path.clone()));
            continue;
        };
        let mut modified = |key, want: String, got: String| {
            if want != got {
                differences.push(Difference::Modified {
                    path: path.clone(),
                    key,
                    want,
                    got,
                });
            }
        };
        modify(wanted, actual, &mut modified);
        let (wanted, actual) = (want_groups.find(path), got_groups.find(path));
        let differ = links.entry((wanted.map(|(id, _)| id), actual.map(|(id, _)| id)));
        let (wanted, actual) = (wanted.map(|(_, all)| all), actual.map(|(_, all)| all));
        if *differ.or_insert_with(|| wanted != actual && wanted_names_stand(wanted, got)) {
            modified(Key::Hardlink, names(wanted), names(actual));
        }
    }
    let extra = got.iter().filter(|(path, ..)| want.id(path).is_none());
    differences.extend(extra.map(|(path, ..)| Difference::Extra(path.clone())));
    differences.sort_by(|a, b| a.path().cmp(b.path()));
    differences
}

fn modify(want: &Inode, got: &Inode, modified: &mut dyn FnMut(Key, String, String)) {
    if want.kind.word() != got.kind.word() {
        modified(
            Key::Type,
            want.kind.word().to_owned(),
            got.kind.word().to_owned(),
        );
        return;
    }
    let mut number = |key, want: Option<u32>, got: Option<u32>| {
        if let (Some(want), Some(got)) = (want, got) {
            modified(key, want.to_string(), got.to_string());
        }
    };
    number(Key::Uid, want.uid, got.uid);
    number(Key::Gid, want.gid, got.gid);
    if let (Some(want), Some(got)) = (want.mode, got.mode) {
        modified(Key::Mode, format!("{want:04o}"), format!("{got:04o}"));
    }
    if let (Some(want), Some(got)) = (want.mtime, got.mtime) {
        modified(Key::Time, super::mtree::time(want), super::mtree::time(got));
    }
    modify_kind(&want.kind, &got.kind, modified);
    let keys = want
        .xattrs
        .keys()
        .chain(got.xattrs.keys().filter(|k| !want.xattrs.contains_key(*k)));
    for key in keys {
        let show = |inode: &Inode| match inode.xattrs.get(key) {
            Some(value) => format!("{}={}", escape(key), escape(value)),
            None => format!("no {}", escape(key)),
        };
        modified(Key::Xattr, show(want), show(got));
    }
}

fn modify_kind(want: &InodeKind, got: &InodeKind, modified: &mut dyn FnMut(Key, String, String)) {
    match (want, got) {
        (
            InodeKind::File {
                size: want_size,
                sha256: want_hash,
            },
            InodeKind::File {
                size: got_size,
                sha256: got_hash,
            },
        ) => {
            modified(Key::Size, want_size.to_string(), got_size.to_string());
            if want_size == got_size {
                let hex = |hash| data_encoding::HEXLOWER.encode(hash);
                modified(Key::Sha256, hex(want_hash), hex(got_hash));
            }
        }
        (InodeKind::Symlink(want), InodeKind::Symlink(got)) => {
            modified(Key::Link, escape(want), escape(got));
        }
        (
            InodeKind::Char(want) | InodeKind::Block(want),
            InodeKind::Char(got) | InodeKind::Block(got),
        ) => {
            let show = |device: &super::Device| format!("{},{}", device.major, device.minor);
            modified(Key::Device, show(want), show(got));
        }
        _ => {}
    }
}

/// Whether a wanted and an actual group differ: looked at once, since a group can have thousands of names.
type Links = BTreeMap<(Option<usize>, Option<usize>), bool>;

/// The groups of names that share an inode, and the group of each such name; directories have one name
/// each.
struct Groups<'a> {
    all: Vec<Vec<&'a BString>>,
    of: BTreeMap<&'a BString, usize>,
}

impl<'a> Groups<'a> {
    fn of(tree: &'a Tree) -> Groups<'a> {
        let groups = tree.groups().into_values();
        let all: Vec<_> = groups.filter(|names| names.len() > 1).collect();
        let numbered = all.iter().enumerate();
        let of = numbered
            .flat_map(|(id, names)| names.iter().map(move |name| (*name, id)))
            .collect();
        Groups { all, of }
    }

    fn find(&self, name: &BString) -> Option<(usize, &[&'a BString])> {
        let id = *self.of.get(name)?;
        Some((id, &self.all[id]))
    }
}

/// A missing or extra name is reported once, as such, not again for each name of its group.
fn wanted_names_stand(wanted: Option<&[&BString]>, got: &Tree) -> bool {
    wanted.is_none_or(|names| names.iter().all(|name| got.id(name).is_some()))
}

fn names(group: Option<&[&BString]>) -> String {
    match group {
        None => "alone".to_owned(),
        Some(names) => {
            let words: Vec<String> = names
                .iter()
                .map(|name| format!("./{}", escape(name)))
                .collect();
            words.join(" = ")
        }
    }
}
