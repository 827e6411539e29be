//! Files that no converter has any business with, and what became of them.
//!
//! One tree stands beside the output on the host's own file system, where no overlay catches a
//! write and where hard links to it are possible.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::escape::Found;
use super::{EscapeKind, Leftover, tree};

/// The name of the tree, beside the output and in the container's root directory.
pub(super) const NAME: &str = "victim";

/// Everything in the tree is this old, so that a new date shows.
const AGE: Duration = Duration::from_secs(1_000_000_000);

/// Plants the tree in an empty directory.
pub(super) fn plant(victim: &Path) -> io::Result<()> {
    let sub = victim.join("sub");
    fs::create_dir(victim)?;
    fs::create_dir(&sub)?;
    for (file, text, mode) in [
        (victim.join("hello"), "hello\n", 0o644),
        (victim.join("canary"), "sings\n", 0o644),
        (victim.join("secret"), "not for you\n", 0o600),
        (sub.join("deep"), "deep\n", 0o644),
    ] {
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        age(&file)?;
    }
    symlink("hello", victim.join("link"))?;
    for dir in [&sub, victim] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        age(dir)?;
    }
    Ok(())
}

fn age(path: &Path) -> io::Result<()> {
    let then = SystemTime::UNIX_EPOCH + AGE;
    fs::File::open(path)?.set_times(fs::FileTimes::new().set_modified(then).set_accessed(then))
}

/// A tree as it was at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<PathBuf, State>);

#[derive(Debug, PartialEq, Eq)]
struct State {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    time: (i64, i64),
    links: u64,
    /// A device number is part of the content.
    content: (u64, Vec<u8>),
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl State {
    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }
}

/// Takes a snapshot of the tree in its parent directory; a missing tree is an empty snapshot.
pub(super) fn snapshot(parent: BorrowedFd<'_>) -> rustix::io::Result<Snapshot> {
    let mut states = BTreeMap::new();
    add(parent, &c_name(), PathBuf::from(NAME), &mut states, 0)?;
    Ok(Snapshot(states))
}

fn c_name() -> std::ffi::CString {
    std::ffi::CString::new(NAME).unwrap_or_default()
}

fn add(
    dir: BorrowedFd<'_>,
    name: &CStr,
    path: PathBuf,
    states: &mut BTreeMap<PathBuf, State>,
    depth: usize,
) -> rustix::io::Result<()> {
    // A hostile tree may be endless; what is planted is small.
    if depth > 8 || states.len() > 1000 {
        return Ok(());
    }
    let Some(stat) = tree::stat(dir, name)? else {
        return Ok(());
    };
    let is_dir = tree::is_dir(&stat);
    let content = match tree::file_type(&stat) {
        rustix::fs::FileType::RegularFile => digest(dir, name),
        rustix::fs::FileType::Symlink => {
            rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes()
        }
        _ => Vec::new(),
    };
    let state = State {
        inode: stat.st_ino,
        mode: stat.st_mode,
        owner: (stat.st_uid, stat.st_gid),
        time: (stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
        // File systems disagree about the links of directories; their listing says it all.
        links: if is_dir { 1 } else { stat.st_nlink },
        content: (stat.st_rdev, content),
        xattrs: tree::xattrs(dir, name),
    };
    states.insert(path.clone(), state);
    if is_dir {
        let dir = tree::open_dir(dir, name)?;
        for child in tree::names(dir.as_fd())? {
            add(
                dir.as_fd(),
                &child,
                path.join(tree::os(&child)),
                states,
                depth + 1,
            )?;
        }
    }
    Ok(())
}

/// The planted files are a few bytes long, so more than that need not be read to see a change.
fn digest(dir: BorrowedFd<'_>, name: &CStr) -> Vec<u8> {
    let mut bytes = Vec::new();
    match tree::open_file(dir, name) {
        Ok(file) => {
            let _ = io::Read::read_to_end(&mut io::Read::take(file, 64 << 10), &mut bytes);
            Sha256::digest(&bytes).to_vec()
        }
        Err(error) => error.to_string().into_bytes(),
    }
}

/// Adds what changed between two snapshots; `inside` is where the parent is seen.
pub(super) fn compare(before: &Snapshot, after: &Snapshot, inside: &Path, found: &mut Found) {
    for (path, old) in &before.0 {
        match after.0.get(path) {
            None => found.escape(&inside.join(path), EscapeKind::Removed),
            Some(new) => compare_one(
                &inside.join(path),
                old,
                new,
                changed_below(before, after, path),
                found,
            ),
        }
    }
    for path in after.0.keys().filter(|path| !before.0.contains_key(*path)) {
        found.escape(&inside.join(path), EscapeKind::Created);
    }
}

/// Whether a directory gained or lost a child, or has another in its place, which explains a new time.
fn changed_below(before: &Snapshot, after: &Snapshot, dir: &Path) -> bool {
    let children = |snapshot: &Snapshot| -> Vec<(PathBuf, u64, u32)> {
        let all = snapshot
            .0
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        all.map(|(path, state)| (path.clone(), state.inode, state.kind()))
            .collect()
    };
    children(before) != children(after)
}

fn compare_one(path: &Path, old: &State, new: &State, new_children: bool, found: &mut Found) {
    if (old.kind(), old.inode) != (new.kind(), new.inode) {
        return found.escape(path, EscapeKind::Replaced);
    }
    if new.links > old.links {
        found.escape(path, EscapeKind::LinkedTo);
    }
    let same_looks = (old.mode, old.owner, &old.xattrs) == (new.mode, new.owner, &new.xattrs)
        && (new_children || old.time == new.time);
    if old.content != new.content {
        found.escape(path, EscapeKind::Modified);
    } else if !same_looks {
        found.escape(path, EscapeKind::AttributesChanged);
    }
}

/// Adds everything beside the output that is neither the output nor the victim.
pub(super) fn siblings(
    parent: BorrowedFd<'_>,
    out: &OsStr,
    inside: &Path,
    found: &mut Found,
) -> rustix::io::Result<()> {
    for name in tree::names(parent)? {
        let name = tree::os(&name);
        if name == out || name == NAME {
            continue;
        }
        let path = inside.join(name);
        if looks_temporary(name, out) {
            found.leftovers.push(Leftover::TemporaryFile(path));
        } else {
            found.escape(&path, EscapeKind::Created);
        }
    }
    Ok(())
}

/// A tool that makes `.out.tmp` and renames it is untidy when it leaves it; one that makes `etc` beside
/// its output has escaped. Only the name tells them apart.
fn looks_temporary(name: &OsStr, out: &OsStr) -> bool {
    let (name, out) = (name.as_bytes().to_ascii_lowercase(), out.as_bytes());
    let contains = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    name.starts_with(b".")
        || name.ends_with(b"~")
        || contains(b"tmp")
        || contains(b"temp")
        || [&b".lock"[..], b".partial", b".part"]
            .iter()
            .any(|end| name.ends_with(end))
        || (out.len() > 2 && contains(&out.to_ascii_lowercase()))
}
