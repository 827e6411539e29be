//! The writer; `tests/it/erofs.rs` has other programs read what it writes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{Filesystem, Inode, Kind};
use crate::case::{Content, Device, Time};

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
