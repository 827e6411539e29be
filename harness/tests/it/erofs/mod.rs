//! The EROFS images that we write, read by erofs-utils and by the guest's kernel.

mod layers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use bstr::{BString, ByteSlice as _};
use fs_err as fs;
use harness::boot::{Arrangement, Boot, Job, Mode};
use harness::case::{Content, Device, Time};
use harness::image::erofs::{Filesystem, Inode, InodeId, Kind};
use harness::runner::Profile;
use harness::tree::{self, InodeKind, Tree, diff, mtree};
use sha2::{Digest as _, Sha256};

use crate::boot::machine::{LONG, machine};
use crate::require::tool;

fn inode(kind: Kind) -> Inode {
    Inode {
        kind,
        mode: 0o640,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: BTreeMap::new(),
    }
}

fn dir() -> Kind {
    Kind::Dir(BTreeMap::new())
}

fn file(bytes: impl Into<Vec<u8>>) -> Kind {
    Kind::File(Content::Bytes(bytes.into()))
}

fn add(tree: &mut Filesystem, parent: InodeId, name: &[u8], inode: Inode) -> InodeId {
    let id = tree.add(inode);
    tree.link(parent, name, id);
    id
}

/// A tree of all that the writer can write, at the sizes where its layout changes.
fn whole() -> Filesystem {
    let mut tree = Filesystem::new(inode(dir()));
    let root = tree.root();
    for (name, kind) in [
        ("link", Kind::Symlink("a/b".into())),
        ("link of a block", Kind::Symlink("x".repeat(4095).into())),
        (
            "char",
            Kind::Char(Device {
                major: 4095,
                minor: 0xF_FFFF,
            }),
        ),
        (
            "block",
            Kind::Block(Device {
                major: 8,
                minor: 257,
            }),
        ),
        ("fifo", Kind::Fifo),
        ("dir", dir()),
    ] {
        add(&mut tree, root, name.as_bytes(), inode(kind));
    }
    for size in [
        0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 8191, 8192, 100_000,
    ] {
        let content = Content::Pattern { seed: size, size };
        let name = format!("file-{size}");
        add(&mut tree, root, name.as_bytes(), inode(Kind::File(content)));
    }
    attributes(&mut tree);
    names(&mut tree);
    tree
}

fn attributes(tree: &mut Filesystem) {
    let root = tree.root();
    let mut odd = inode(file("odd\n"));
    (odd.mode, odd.uid, odd.gid) = (0o7777, u32::MAX - 1, 70_000);
    odd.mtime = Time {
        seconds: -2,
        nanos: 999_999_999,
    };
    let mut attribute = |name: &str, value: &[u8]| odd.xattrs.insert(name.into(), value.into());
    attribute("user.empty", b"");
    attribute("user.large", &[7; 5000]);
    attribute("trusted.k", b"\0\xff");
    attribute(
        "security.capability",
        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    let odd = add(tree, root, b"odd", odd);
    tree.link(root, "odd again", odd);
    let mut late = inode(dir());
    late.mtime = Time {
        seconds: 1 << 33,
        nanos: 0,
    };
    late.xattrs
        .insert("trusted.overlay.opaque".into(), "y".into());
    let late = add(tree, root, b"late", late);
    tree.link(late, "odd", odd);
}

/// Directories of several blocks, names that sort before `.` and behind ASCII, a block that names fill to
/// its last byte.
fn names(tree: &mut Filesystem) {
    let root = tree.root();
    let many = add(tree, root, b"many", inode(dir()));
    for number in 0..600 {
        let name = format!("{number:0>200}");
        add(tree, many, name.as_bytes(), inode(Kind::Fifo));
    }
    let odd = add(tree, root, b"\xff names \n", inode(dir()));
    for name in [&b"!"[..], b"-", b"..a", b"\x7f", b"\x80", b"\xff", b"0"] {
        add(tree, odd, name, inode(file(name)));
    }
    // `.` and `..` take 27 bytes, each of these 271 - 4 = 267 and the last one what is left.
    let full = add(tree, root, b"full", inode(dir()));
    for number in 0..15 {
        let name = format!("{number:0>255}");
        add(tree, full, name.as_bytes(), inode(Kind::Fifo));
    }
    add(
        tree,
        full,
        "z".repeat(4096 - 27 - 15 * 267 - 12).as_bytes(),
        inode(Kind::Fifo),
    );
}

/// The tree as the judge knows trees.
fn as_tree(of: &Filesystem) -> Tree {
    let mut tree = Tree::new();
    let mut known = BTreeMap::new();
    let mut left = vec![(BString::default(), of.root())];
    while let Some((path, id)) = left.pop() {
        if let Some(known) = known.get(&id) {
            tree.link(path, *known);
            continue;
        }
        let inode = of.get(id);
        if let Kind::Dir(names) = &inode.kind {
            for (name, child) in names {
                let below = if path.is_empty() {
                    name.to_vec()
                } else {
                    [&path, &b"/"[..], name].concat()
                };
                left.push((below.into(), *child));
            }
        }
        known.insert(id, tree.insert(path, as_inode(inode)));
    }
    tree
}

fn as_inode(inode: &Inode) -> tree::Inode {
    let kind = match &inode.kind {
        Kind::Dir(_) => InodeKind::Dir,
        Kind::File(content) => {
            let mut bytes = Vec::new();
            harness::image::write_content(content, &mut bytes).unwrap();
            InodeKind::File {
                size: bytes.len() as u64,
                sha256: Sha256::digest(&bytes).into(),
            }
        }
        Kind::Symlink(target) => InodeKind::Symlink(target.clone()),
        Kind::Char(device) => InodeKind::Char(*device),
        Kind::Block(device) => InodeKind::Block(*device),
        Kind::Fifo => InodeKind::Fifo,
    };
    tree::Inode {
        kind,
        mode: Some(inode.mode),
        uid: Some(inode.uid),
        gid: Some(inode.gid),
        mtime: Some(inode.mtime),
        xattrs: inode.xattrs.clone(),
    }
}

#[test]
fn the_guest_kernel_reads_what_was_written() {
    let whole = whole();
    let bytes = whole.write().unwrap();
    let Some(boot) = boot_of(&bytes, &[]) else {
        return;
    };
    assert_eq!((boot.failure, boot.read_errors), (None, Vec::new()));
    let got = mtree::parse(boot.mtree.unwrap().to_str().unwrap()).unwrap();
    assert_eq!(diff(&as_tree(&whole), &got), []);
    for offset in [1024, 1028, 1038] {
        let boot = boot_of(&flipped(&bytes, offset), &[]);
        let failure = boot.and_then(|boot| boot.failure);
        assert!(failure.is_some(), "byte {offset}");
    }
}

/// What the guest makes of an image; nothing where there is no machine.
#[track_caller]
fn boot_of(bytes: &[u8], commands: &[Vec<u8>]) -> Option<Boot> {
    let machine = machine(Mode::Snapshot)?;
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.erofs");
    fs::write(&image, bytes).unwrap();
    let job = Job {
        images: &[image],
        arrangement: Arrangement::Single,
        filesystem: "erofs",
        profile: Profile::Ro,
        upper: None,
        walk: true,
        stacks: &[],
        commands,
        transcript: &folder.path().join("transcript"),
        time_limit: LONG,
    };
    Some(machine.boot(&job).unwrap())
}

fn flipped(bytes: &[u8], offset: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[offset] ^= 0xff;
    bytes
}

fn run(program: &Path, arguments: &[&Path]) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("timeout")
        .arg("20")
        .arg(program)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    (status.success() && !text.contains("<E>"), text)
}

#[test]
fn erofs_utils_find_no_fault() {
    let what = "EROFS images of ours";
    let (Some(fsck), Some(dump)) = (tool("fsck.erofs", what), tool("dump.erofs", what)) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("whole.erofs");
    let bytes = whole().write().unwrap();
    fs::write(&image, &bytes).unwrap();
    let check = |fsck: &Path| run(fsck, &[Path::new("-d3"), Path::new("--extract"), &image]);
    let (clean, text) = check(&fsck);
    assert!(clean, "{text}");
    assert!(text.contains("No errors found"), "{text}");
    let (clean, text) = run(&dump, &[Path::new("-s"), &image]);
    assert!(clean, "{text}");
    let inodes = as_tree(&whole()).groups().len();
    for line in [
        "Filesystem magic number:                      0xE0F5E1E2".to_owned(),
        format!("Filesystem inode count:                       {inodes}"),
        "Filesystem features:                          sb_csum mtime".to_owned(),
    ] {
        assert!(text.contains(&line), "no `{line}` in\n{text}");
    }
    for offset in [1024, 1028, 1038] {
        fs::write(&image, flipped(&bytes, offset)).unwrap();
        let (clean, text) = check(&fsck);
        assert!(!clean, "byte {offset}: {text}");
    }
}
