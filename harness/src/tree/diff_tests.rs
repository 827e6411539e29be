//! Each attribute that differs is a difference, what is open is none, and nothing is reported twice.

use bstr::BString;

use super::{Device, Difference, Inode, InodeKind, Key, Time, Tree, diff};

/// A root, a directory `d`, and `f`, which is `kind`, with every attribute set.
fn tree(kind: InodeKind) -> Tree {
    let inode = |kind| Inode {
        kind,
        mode: Some(0o644),
        uid: Some(1),
        gid: Some(2),
        mtime: Some(Time {
            seconds: 3,
            nanos: 0,
        }),
        xattrs: [("user.k".into(), "v".into())].into(),
    };
    let mut tree = Tree::new();
    tree.insert("", inode(InodeKind::Dir));
    tree.insert("d", inode(InodeKind::Dir));
    tree.insert("f", inode(kind));
    tree
}

fn file() -> InodeKind {
    InodeKind::File {
        size: 1,
        sha256: [7; 32],
    }
}

/// `f` changed by `change`: the one difference there must be, as key, wanted and actual value.
#[track_caller]
fn check(kind: InodeKind, change: impl Fn(&mut Inode), key: Key, want: &str, got: &str) {
    let wanted = tree(kind);
    let mut actual = wanted.clone();
    change(actual.get_mut(b"f").unwrap());
    let modified = |want: &str, got: &str| Difference::Modified {
        path: "f".into(),
        key,
        want: want.to_owned(),
        got: got.to_owned(),
    };
    assert_eq!(diff(&wanted, &actual), [modified(want, got)]);
    assert_eq!(diff(&actual, &wanted), [modified(got, want)]);
}

#[test]
fn every_attribute_that_differs_is_seen() {
    let device = |major, minor| Device { major, minor };
    check(file(), |f| f.mode = Some(0o4755), Key::Mode, "0644", "4755");
    check(file(), |f| f.uid = Some(9), Key::Uid, "1", "9");
    check(file(), |f| f.gid = Some(9), Key::Gid, "2", "9");
    let later = Time {
        seconds: 3,
        nanos: 1,
    };
    let set_time = |f: &mut Inode| f.mtime = Some(later);
    check(file(), set_time, Key::Time, "3.0", "3.000000001");
    let other = |f: &mut Inode| {
        f.xattrs.insert("user.k".into(), "w\n".into());
    };
    check(file(), other, Key::Xattr, "user.k=v", "user.k=w\\012");
    let none = |f: &mut Inode| f.xattrs.clear();
    check(file(), none, Key::Xattr, "user.k=v", "no user.k");
    check(
        file(),
        |f| f.kind = InodeKind::Dir,
        Key::Type,
        "file",
        "dir",
    );
    let kind = |kind: InodeKind| move |f: &mut Inode| f.kind = kind.clone();
    let (one, two) = (
        InodeKind::Symlink("a".into()),
        InodeKind::Symlink("b".into()),
    );
    check(one, kind(two), Key::Link, "a", "b");
    let (one, two) = (InodeKind::Char(device(1, 3)), InodeKind::Char(device(1, 5)));
    check(one.clone(), kind(two), Key::Device, "1,3", "1,5");
    check(
        one,
        kind(InodeKind::Block(device(1, 3))),
        Key::Type,
        "char",
        "block",
    );
    let grown = InodeKind::File {
        size: 2,
        sha256: [8; 32],
    };
    check(file(), kind(grown), Key::Size, "1", "2");
    let other = InodeKind::File {
        size: 1,
        sha256: [8; 32],
    };
    check(
        file(),
        kind(other),
        Key::Sha256,
        &"07".repeat(32),
        &"08".repeat(32),
    );
}

#[test]
fn what_is_wanted_open_is_not_compared() {
    let mut wanted = tree(file());
    let open = wanted.get_mut(b"f").unwrap();
    (open.mode, open.uid, open.gid, open.mtime) = (None, None, None, None);
    assert_eq!(diff(&wanted, &tree(file())), []);
    let open = wanted.get_mut(b"f").unwrap();
    open.xattrs.clear();
    assert_eq!(
        diff(&wanted, &tree(file())).len(),
        1,
        "attributes are never open"
    );
}

#[test]
fn missing_and_extra_stand_where_their_path_does() {
    let mut actual = tree(file());
    actual.remove(b"d");
    let link = actual.get(b"f").unwrap().clone();
    actual.insert("e", link);
    actual.get_mut(b"f").unwrap().mode = Some(0);
    let differences = diff(&tree(file()), &actual);
    let paths: Vec<&BString> = differences.iter().map(Difference::path).collect();
    assert_eq!(paths, ["d", "e", "f"]);
    assert_eq!(differences[0], Difference::Missing("d".into()));
    assert_eq!(differences[1], Difference::Extra("e".into()));
}

#[test]
fn hard_links_are_identity() {
    let linked = |names: &[&str]| {
        let mut tree = tree(file());
        let id = tree.id(b"f").unwrap();
        for name in names {
            tree.link(*name, id);
        }
        tree
    };
    let mut copied = linked(&["g"]);
    let copy = copied.get(b"f").unwrap().clone();
    copied.insert("g", copy);
    let differences = diff(&linked(&["g"]), &copied);
    let key = |difference: &Difference| match difference {
        Difference::Modified { key, want, got, .. } => (*key, want.clone(), got.clone()),
        other => panic!("{other:?}"),
    };
    let both = (Key::Hardlink, "./f = ./g".to_owned(), "alone".to_owned());
    assert_eq!(
        differences.iter().map(key).collect::<Vec<_>>(),
        [both.clone(), both]
    );
    let differences = diff(&copied, &linked(&["g"]));
    assert_eq!(differences.len(), 2);

    // A name that is missing or extra is that, and not a difference of the names that are left.
    let differences = diff(&linked(&["g", "h"]), &linked(&["g"]));
    assert_eq!(differences, [Difference::Missing("h".into())]);
}
