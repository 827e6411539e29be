//! Removes a directory tree of any depth with a bounded number of descriptors and no recursion.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, fchmod, openat, unlinkat};
use rustix::io::Errno;

/// Removes the directory `root`, which is `name` in `parent`, and everything below it. The tree is ours
/// alone, so `..` leads back.
pub(super) fn remove_tree(parent: impl AsFd, name: &str, root: &OwnedFd) -> Result<(), Errno> {
    fchmod(root, Mode::RWXU)?;
    let mut current = open_dir(root, b".")?;
    let mut names: Vec<Vec<u8>> = Vec::new();
    loop {
        match remove_entries(&current)? {
            Some(subdirectory) => {
                current = open_closed_dir(&current, &subdirectory)?;
                names.push(subdirectory);
            }
            None => {
                let Some(done) = names.pop() else { break };
                current = open_dir(&current, b"..")?;
                unlinkat(&current, done.as_slice(), AtFlags::REMOVEDIR)?;
            }
        }
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Removes what can be removed directly; the name of a directory that is not empty, if there is one.
fn remove_entries(dir: &OwnedFd) -> Result<Option<Vec<u8>>, Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = match entry.file_type() {
            FileType::Directory => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        match unlinkat(dir, name, flags) {
            Ok(()) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => {
                return Ok(Some(name.to_bytes().to_vec()));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// Opens a directory, even one that its own mode closes to us.
fn open_closed_dir(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
    open_dir(parent, name)
}

fn open_dir(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}
