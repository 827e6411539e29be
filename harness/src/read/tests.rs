//! Artifacts that are odd, hostile or wrong.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use bstr::ByteSlice as _;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mkdirat, mknodat, setxattr};

use super::{dir, tar};
use crate::case::{Content, Entry, Kind, Layer};
use crate::image::write_archive;
use crate::tree::{InodeKind, Tree};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[track_caller]
fn kind<'a>(tree: &'a Tree, path: &str) -> &'a InodeKind {
    &tree
        .get(path.as_bytes())
        .unwrap_or_else(|| panic!("no {path}"))
        .kind
}

#[test]
fn a_directory_is_read_as_it_is() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("d")).unwrap();
    fs::write(path("d/f"), "text").unwrap();
    fs::set_permissions(path("d/f"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::hard_link(path("d/f"), path("same")).unwrap();
    fs::write(path("copy"), "text").unwrap();
    symlink("/etc/passwd", path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    symlink("d", path("to-dir")).unwrap();
    let flags = XattrFlags::empty();
    setxattr(path("copy"), "user.k", b"\0v", flags).unwrap();
    let tree = dir(folder.path()).unwrap();

    let paths: Vec<String> = tree.iter().map(|(path, ..)| path.to_string()).collect();
    assert_eq!(
        paths,
        ["", "copy", "d", "d/f", "dangling", "link", "same", "to-dir"]
    );
    assert_eq!(tree.id(b"d/f"), tree.id(b"same"));
    assert_ne!(tree.id(b"d/f"), tree.id(b"copy"));
    assert_eq!(tree.get(b"d/f").unwrap().mode, Some(0o4750));
    assert_eq!(kind(&tree, "d/f"), kind(&tree, "copy"));
    assert_eq!(
        kind(&tree, "link"),
        &InodeKind::Symlink("/etc/passwd".into())
    );
    assert_eq!(
        tree.get(b"copy").unwrap().xattrs[b"user.k".as_bstr()],
        b"\0v".as_bstr()
    );
}

/// Opening a pipe waits for a writer that never comes.
#[test]
fn a_pipe_or_socket_is_looked_at_and_never_opened() {
    let folder = folder();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    let tree = dir(folder.path()).unwrap();
    assert_eq!(kind(&tree, "pipe"), &InodeKind::Fifo);
    assert_eq!(kind(&tree, "socket"), &InodeKind::Socket);
}

#[test]
fn an_output_that_is_a_link_is_not_followed() {
    let folder = folder();
    let out = folder.path().join("out");
    symlink("/etc", &out).unwrap();
    let error = dir(&out).unwrap_err();
    assert_eq!(error.path, ".");
    fs::remove_file(&out).unwrap();
    fs::write(&out, "").unwrap();
    assert!(dir(&out).is_err());
    fs::remove_file(&out).unwrap();
    assert!(dir(&out).is_err());
}

#[test]
fn content_beyond_the_limit_is_not_read() {
    let folder = folder();
    let file = fs::File::create(folder.path().join("huge")).unwrap();
    file.set_len(super::CONTENT_BYTES_MAX + 1).unwrap();
    let error = dir(folder.path()).unwrap_err();
    assert_eq!(error.path, "./huge");
    assert!(error.cause.contains("bytes of content in all"), "{error}");
}

#[test]
fn depth_beyond_the_longest_path_is_read() {
    let folder = folder();
    let mut at = rustix::fs::open(folder.path(), rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    let name = "n".repeat(200);
    for _ in 0..100 {
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::PATH, Mode::empty()).unwrap();
    }
    let tree = dir(folder.path()).unwrap();
    assert_eq!(tree.len(), 101);
    assert_eq!(
        tree.iter().map(|(path, ..)| path.len()).max(),
        Some(100 * 201 - 1)
    );
}

/// The tree of an archive of these entries.
fn archived(entries: Vec<Entry>) -> Result<Tree, String> {
    let folder = folder();
    let path = folder.path().join("archive");
    let layer = Layer {
        entries,
        ..Layer::default()
    };
    write_archive(&layer, &mut fs::File::create(&path).unwrap()).unwrap();
    tar(&path).map_err(|error| error.to_string())
}

fn file(path: &str, text: &str) -> Entry {
    Entry::new(Kind::File(Content::Bytes(text.into())), path)
}

#[test]
fn an_archive_is_read_as_it_is() {
    let link = Entry::new(Kind::Hardlink("./a".into(), None), "b");
    let entries = || {
        vec![
            Entry::new(Kind::Dir(None), "./"),
            file("a", "old"),
            file("./a", "newer"),
            file(".wh.a", ""),
            link.clone(),
        ]
    };
    let tree = archived(entries()).unwrap();
    let paths: Vec<String> = tree.iter().map(|(path, ..)| path.to_string()).collect();
    assert_eq!(paths, ["", ".wh.a", "a", "b"]);
    assert!(matches!(kind(&tree, "a"), InodeKind::File { size: 5, .. }));
    assert_eq!(tree.id(b"a"), tree.id(b"b"));
}

#[test]
fn an_archive_that_is_no_tree_is_unreadable() {
    let root = || Entry::new(Kind::Dir(None), "./");
    let link = || Entry::new(Kind::Hardlink("a".into(), None), "b");
    let mut owned = file("a", "");
    owned.uid = 1 << 32;
    for (entries, what) in [
        (
            vec![root(), link()],
            "`./b`: the hard link's target is not there before it",
        ),
        (
            vec![root(), link(), file("a", "")],
            "`./b`: the hard link's target",
        ),
        (
            vec![root(), file("d/a", "")],
            "`./d/a`: its directory has no entry",
        ),
        (vec![file("a", "")], "`./a`: its directory has no entry"),
        (
            vec![root(), file("d", ""), file("d/a", "")],
            "`./d/a`: its directory has no entry",
        ),
        (
            vec![root(), owned],
            "`./a`: the owner 4294967296 is out of range",
        ),
        (
            vec![Entry::new(Kind::Raw(Content::Bytes(b"x".repeat(700))), "")],
            "`.`: ",
        ),
    ] {
        let error = archived(entries).unwrap_err();
        assert!(error.starts_with(what), "{error}");
    }
    assert!(
        tar(Path::new("/nowhere"))
            .unwrap_err()
            .cause
            .contains("No such file")
    );
}
