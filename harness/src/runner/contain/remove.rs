//! Removes a hostile directory tree, however deep it is and whatever its modes are.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::tree;

/// Removes a file or a directory with all that is in it, without following links.
///
/// `std::fs::remove_dir_all` keeps one file open for each level, so a tree of a few thousand levels
/// stops it. This lifts nested directories up beside the tree before it empties them, and so
/// needs three open files and no recursion.
///
/// # Errors
///
/// The first thing that cannot be removed. That `path` does not exist is none.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("it has no parent"));
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let parent = std::fs::File::open(parent)?;
    Ok(remove(parent.as_fd(), c_name(name)?)?)
}

fn c_name(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(io::Error::other)
}

fn remove(parent: BorrowedFd<'_>, name: CString) -> rustix::io::Result<()> {
    let mut count = 0_u64;
    let mut waiting = vec![name];
    while let Some(name) = waiting.pop() {
        if unlink(parent, &name)? {
            continue;
        }
        // Neither to read it nor to move what is in it may be forbidden to its owner.
        rustix::fs::chmodat(parent, &name, Mode::RWXU, AtFlags::empty())?;
        let dir = tree::open_dir(parent, &name)?;
        let mut lifted = Vec::new();
        for child in tree::names(dir.as_fd())? {
            if unlink(dir.as_fd(), &child)? {
                continue;
            }
            rustix::fs::chmodat(&dir, &child, Mode::RWXU, AtFlags::empty())?;
            lifted.push(lift(dir.as_fd(), &child, parent, &mut count)?);
        }
        waiting.push(name);
        waiting.extend(lifted);
    }
    Ok(())
}

/// Removes a file or an empty directory; false if it is a directory that holds something.
fn unlink(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a directory up to `parent`, under a name that is not taken, and returns the name.
fn lift(
    dir: BorrowedFd<'_>,
    name: &CString,
    parent: BorrowedFd<'_>,
    count: &mut u64,
) -> rustix::io::Result<CString> {
    loop {
        *count += 1;
        let free = CString::new(format!(".remove-{}-{count}", std::process::id()))
            .map_err(|_| Errno::INVAL)?;
        match rustix::fs::renameat_with(
            dir,
            name,
            parent,
            &free,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Err(Errno::EXIST) => {}
            result => return result.map(|()| free),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::remove_tree;

    #[test]
    fn a_tree_of_many_levels_closed_directories_and_links_goes() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        let kept = dir.path().join("kept");
        std::fs::write(&kept, "kept").unwrap();
        std::fs::create_dir(&top).unwrap();
        let mut at = std::fs::File::open(&top).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "down", rustix::fs::Mode::RWXU).unwrap();
            at = rustix::fs::openat(
                &at,
                "down",
                rustix::fs::OFlags::RDONLY,
                rustix::fs::Mode::empty(),
            )
            .unwrap()
            .into();
        }
        let closed = top.join("closed");
        std::fs::create_dir_all(closed.join("below")).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        symlink(&kept, top.join("link")).unwrap();
        remove_tree(&top).unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["kept"]);
        assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept");
    }

    #[test]
    fn what_does_not_exist_is_removed_already() {
        let dir = tempfile::tempdir().unwrap();
        remove_tree(&dir.path().join("nothing")).unwrap();
    }
}
