//! Looks at hostile directories: never follows a link, never recurses without a bound, never
//! trusts a path.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Directories nested deeper than this are not entered. Each level costs open files, so the bound
/// keeps a hostile tree from using them up.
pub(super) const DEPTH_MAX: usize = 200;

/// The names in a directory, bytewise sorted, without `.` and `..`.
pub(super) fn names(dir: BorrowedFd<'_>) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What a name in a directory is; `None` where there is nothing.
pub(super) fn stat(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        result => result.map(Some),
    }
}

/// Opens a directory in a directory.
pub(super) fn open_dir(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// The name as it is printed in paths.
pub(super) fn os(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    file_type(stat) == FileType::Directory
}

/// Mode, owner and time of last change of content.
pub(super) fn same_attributes(a: &Stat, b: &Stat) -> bool {
    same_owner_and_mode(a, b) && (a.st_mtime, a.st_mtime_nsec) == (b.st_mtime, b.st_mtime_nsec)
}

pub(super) fn same_owner_and_mode(a: &Stat, b: &Stat) -> bool {
    (a.st_mode, a.st_uid, a.st_gid) == (b.st_mode, b.st_uid, b.st_gid)
}

/// Whether two things of the same type hold the same: bytes, target or device number.
pub(super) fn same_content(
    a: (BorrowedFd<'_>, &Stat),
    b: (BorrowedFd<'_>, &Stat),
    name: &CStr,
) -> bool {
    match file_type(a.1) {
        FileType::RegularFile => a.1.st_size == b.1.st_size && same_bytes(a.0, b.0, name),
        FileType::Symlink => {
            let target = |dir| rustix::fs::readlinkat(dir, name, Vec::new()).ok();
            target(a.0).is_some_and(|found| Some(found) == target(b.0))
        }
        FileType::BlockDevice | FileType::CharacterDevice => a.1.st_rdev == b.1.st_rdev,
        _ => true,
    }
}

/// Files that cannot be read count as different: better a finding too many.
fn same_bytes(a: BorrowedFd<'_>, b: BorrowedFd<'_>, name: &CStr) -> bool {
    let open = |dir| open_file(dir, name).ok().map(std::io::BufReader::new);
    let (Some(mut a), Some(mut b)) = (open(a), open(b)) else {
        return false;
    };
    let mut pieces = [[0; 8192]; 2];
    loop {
        let [left, right] = &mut pieces;
        let (Ok(n), Ok(m)) = (fill(&mut a, left), fill(&mut b, right)) else {
            return false;
        };
        if left[..n] != right[..m] {
            return false;
        }
        if n == 0 {
            return true;
        }
    }
}

/// Opens a regular file without waiting for the other end of a pipe that has taken its place.
pub(super) fn open_file(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).map(Into::into)
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

/// The extended attributes of a name, without those by which overlayfs keeps its books.
pub(super) fn xattrs(dir: BorrowedFd<'_>, name: &CStr) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = all_xattrs(dir, name).unwrap_or_default();
    let own =
        |key: &Vec<u8>| key.starts_with(b"trusted.overlay.") || key.starts_with(b"user.overlay.");
    all.into_iter().filter(|(key, _)| !own(key)).collect()
}

/// Whether overlayfs marked a directory of an upper layer as hiding all below it.
pub(super) fn is_opaque(dir: BorrowedFd<'_>, name: &CStr) -> bool {
    let all = all_xattrs(dir, name).unwrap_or_default();
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|key| all.get(key.as_bytes()).is_some_and(|value| value == b"y"))
}

/// There is no `listxattrat`; the way through `/proc` reads what the handle holds, even a link.
fn all_xattrs(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    let path = magic(handle.as_fd());
    let mut list = vec![0; 64 << 10];
    let length = rustix::fs::listxattr(&path, &mut list[..])?;
    let mut found = BTreeMap::new();
    for key in list[..length]
        .split(|&byte| byte == 0)
        .filter(|key| !key.is_empty())
    {
        let mut value = vec![0; 64 << 10];
        if let Ok(length) = rustix::fs::getxattr(&path, key, &mut value[..]) {
            value.truncate(length);
            found.insert(key.to_vec(), value);
        }
    }
    Ok(found)
}

/// The path in `/proc` that leads to what a handle of this process holds.
pub(super) fn magic(handle: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}
