//! A flattened tar archive as a tree.

use std::io::BufReader;
use std::path::Path;

use bstr::{BString, ByteSlice as _};

use super::Unreadable;
use crate::case::{Content, Entry, Kind};
use crate::image::read_entries;
use crate::tree::{Inode, InodeKind, Tree, mtree};

/// Reads the archive at `path`. Nothing is applied: an entry is what it says, a later one replaces an
/// earlier one of the same name, and a name that begins `.wh.` is a name.
///
/// # Errors
///
/// An archive the `tar` crate does not take, a hard link to a name that is not there before it, or
/// a directory that no entry names.
pub fn tar(path: &Path) -> Result<Tree, Unreadable> {
    let unreadable = |path: &[u8], cause: String| Unreadable {
        path: mtree::name(path),
        cause,
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(b"", error.to_string()))?;
    let entries =
        read_entries(BufReader::new(file)).map_err(|error| unreadable(b"", error.to_string()))?;
    let mut tree = Tree::new();
    for entry in entries {
        let name = normal(&entry.path);
        take(&mut tree, &name, entry).map_err(|cause| unreadable(&name, cause))?;
    }
    for (name, ..) in tree.iter() {
        let parent = name
            .rfind_byte(b'/')
            .map_or(&b""[..], |slash| &name[..slash]);
        let parent = tree.get(parent).map(|inode| &inode.kind);
        if !name.is_empty() && parent != Some(&InodeKind::Dir) {
            return Err(unreadable(name, "its directory has no entry".to_owned()));
        }
    }
    Ok(tree)
}

fn take(tree: &mut Tree, name: &BString, entry: Entry) -> Result<(), String> {
    let id = |id: u64| u32::try_from(id).map_err(|_| format!("the owner {id} is out of range"));
    let kind = match entry.kind {
        Kind::File(Content::Digest { size, sha256 }) => InodeKind::File { size, sha256 },
        Kind::Dir(_) => InodeKind::Dir,
        Kind::Symlink(to) => InodeKind::Symlink(to),
        Kind::Char(device) => InodeKind::Char(device),
        Kind::Block(device) => InodeKind::Block(device),
        Kind::Fifo => InodeKind::Fifo,
        Kind::Hardlink(to, _) => {
            let target = normal(&to);
            let id = tree
                .id(&target)
                .ok_or("the hard link's target is not there before it")?;
            tree.link(name.clone(), id);
            return Ok(());
        }
        Kind::File(_) | Kind::Global | Kind::Raw(_) => return Err("no entry of a tree".to_owned()),
    };
    let inode = Inode {
        mode: Some(if matches!(kind, InodeKind::Symlink(_)) {
            0o777
        } else {
            entry.mode
        }),
        kind,
        uid: Some(id(entry.uid)?),
        gid: Some(id(entry.gid)?),
        mtime: Some(entry.mtime),
        xattrs: entry.xattrs,
    };
    tree.insert(name.clone(), inode);
    Ok(())
}

fn normal(path: &[u8]) -> BString {
    let names = path
        .split_str("/")
        .filter(|name| !name.is_empty() && *name != b".");
    bstr::join("/", names).into()
}
