//! The writer; `tests/it/erofs.rs` has other programs read what it writes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Filesystem, Inode, Kind, layer_blob, layer_tree};
use crate::case::{Content, Device, Layer, Time, parse};

fn inode(kind: Kind) -> Inode {
    Inode {
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: BTreeMap::new(),
    }
}

fn empty() -> Filesystem {
    Filesystem::new(inode(Kind::Dir(BTreeMap::new())))
}

fn with(name: &[u8], changed: Inode) -> Filesystem {
    let mut tree = empty();
    let id = tree.add(changed);
    tree.link(tree.root(), name, id);
    tree
}

#[test]
fn an_image_is_the_same_everywhere() {
    let mut tree = with(
        b"device",
        inode(Kind::Char(Device {
            major: 1,
            minor: 259,
        })),
    );
    let mut file = inode(Kind::File(Content::Pattern {
        seed: 1,
        size: 5000,
    }));
    file.xattrs.insert("user.k".into(), "v".into());
    file.mtime = Time {
        seconds: -2,
        nanos: 500_000_000,
    };
    let file = tree.add(file);
    tree.link(tree.root(), "a", file);
    tree.link(tree.root(), "b", file);
    let image = tree.write().unwrap();
    assert_eq!(image.len(), 2 * super::BLOCK);
    assert_eq!(image, tree.clone().write().unwrap());
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(&image));
    assert_eq!(
        digest,
        "034f0d1c25cf5f90419a4aca311d8e2f49db66b14b378903bec9430422971f26"
    );
}

#[track_caller]
fn refused(tree: &Filesystem, because: &str) {
    assert_eq!(tree.write().unwrap_err().to_string(), because);
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let long = "n".repeat(256);
    refused(
        &with(long.as_bytes(), inode(Kind::Fifo)),
        &format!("write an EROFS image: `{long}`: a name of over 255 bytes"),
    );
    refused(
        &with(b"a/b", inode(Kind::Fifo)),
        "write an EROFS image: `a/b`: is no name",
    );
    let with_xattr = |name: &str, size| {
        let mut file = inode(Kind::File(Content::Bytes(Vec::new())));
        file.xattrs.insert(name.into(), vec![0; size].into());
        with(b"a", file)
    };
    refused(
        &with_xattr("other.k", 1),
        "write an EROFS image: `a`: the attribute `other.k` has no prefix the format knows",
    );
    refused(
        &with_xattr("user.k", 65536),
        "write an EROFS image: `a`: the attribute `user.k` is of over 65,535 bytes",
    );
    let content = Content::Digest {
        size: 0,
        sha256: [0; 32],
    };
    let by_digest = with(b"a", inode(Kind::File(content))).write().unwrap_err();
    assert!(by_digest.what.contains("known by digest"), "{by_digest}");
    let mut twice = with(b"a", inode(Kind::Dir(BTreeMap::new())));
    let directory = twice.child(twice.root(), b"a").unwrap();
    twice.link(twice.root(), "b", directory);
    refused(
        &twice,
        "write an EROFS image: `b`: a directory with two names",
    );
}

/// An EROFS layer of these entries, with more keys.
fn layer(format: &str, entries: &str, keys: &str) -> Layer {
    let text = format!(
        "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n[[layer]]\n\
         format = '{format}'\nentries = [{entries}]\n{keys}\n[expect]\nrecord = 'x'\n"
    );
    parse("layout/x", &text, &|_| None)
        .unwrap()
        .layers
        .remove(0)
}

#[test]
fn whiteouts_of_a_layer_are_those_of_overlayfs() {
    let text = "{ dir = 'd', xattrs = { 'user.k' = 'v' } }, { opaque = 'd' }, { whiteout = 'd/x' }";
    let tree = layer_tree(&layer("erofs", text, "")).unwrap();
    let dir = tree.child(tree.root(), b"d").unwrap();
    let xattrs: Vec<_> = tree.get(dir).xattrs.iter().collect();
    let expected = [("trusted.overlay.opaque", "y"), ("user.k", "v")];
    let expected = expected.map(|(name, value)| (name.into(), value.into()));
    assert_eq!(
        xattrs,
        expected.iter().map(|(n, v)| (n, v)).collect::<Vec<_>>()
    );
    let whiteout = tree.child(dir, b"x").unwrap();
    let none = Device { major: 0, minor: 0 };
    assert_eq!(tree.get(whiteout).kind, Kind::Char(none));

    let text = "{ file = '.wh.x' }, { char = 'c', major = 0, minor = 0 }, \
                { dir = 'd', xattrs = { 'trusted.overlay.opaque' = 'y' } }";
    let tree = layer_tree(&layer("erofs-literal", text, "")).unwrap();
    let names = [&b".wh.x"[..], b"c", b"d"];
    assert!(
        names
            .iter()
            .all(|name| tree.child(tree.root(), name).is_some())
    );
}

#[test]
fn what_a_layer_cannot_say_is_refused() {
    for (entries, because) in [
        (
            "{ file = 'd/a' }",
            "its parent directory is not named before it",
        ),
        (
            "{ file = 'a' }, { file = 'a/b' }",
            "its parent directory is not named before it",
        ),
        ("{ file = 'a' }, { file = './a' }", "names each path once"),
        ("{ file = 'a' }, { whiteout = 'a' }", "names each path once"),
        ("{ hardlink = 'a', to = 'b' }", "has not named before it"),
        ("{ file = '../a' }", "`..` is no name"),
        ("{ file = '/' }", "the root is a directory"),
        ("{ file = 'a', uid = 4294967296 }", "beyond 32 bits"),
        ("{ file = 'a', dialect = 'gnu' }", "no tar headers"),
        ("{ file = 'a', header = { name = 'b' } }", "no tar headers"),
        ("{ raw = true, text = 'a' }", "no tar headers"),
        ("{ global = { 'a' = 'b' } }", "no tar headers"),
        ("{ char = 'a', major = 0, minor = 0 }", "say `whiteout`"),
        (
            "{ dir = 'a', xattrs = { 'trusted.overlay.opaque' = 'y' } }",
            "say `opaque`",
        ),
    ] {
        let error = layer_tree(&layer("erofs", entries, "")).expect_err(entries);
        assert!(error.what.contains(because), "{entries}: {error}");
    }
}

#[test]
fn a_patched_image_has_a_right_checksum_unless_it_is_patched() {
    let image = |patch: &str| layer_blob(&layer("erofs", "{ file = 'a' }", patch)).unwrap();
    let whole = image("");
    let mut sealed = image("patch = [{ at = 2000, hex = '0a' }]");
    assert_ne!(sealed[1028..1032], whole[1028..1032]);
    sealed[2000] = 0;
    sealed[1028..1032].copy_from_slice(&whole[1028..1032]);
    assert_eq!(sealed, whole);
    let broken = image("patch = [{ at = 1030, hex = '00' }, { at = 2000, hex = '0a' }]");
    assert_eq!(broken[1028..1030], whole[1028..1030]);
    let beyond = layer(
        "erofs",
        "{ file = 'a' }",
        "patch = [{ at = 4095, hex = '0000' }]",
    );
    let error = layer_blob(&beyond).unwrap_err();
    assert!(error.what.contains("beyond the end"), "{error}");
}
