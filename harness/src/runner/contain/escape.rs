//! Finds everything that a container changed in an overlay of its root.
//!
//! It reads the upper directories when the last process of the container is dead, so nothing moves.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::{Escape, EscapeKind, Leftover, tree};

/// More than this are counted, not listed.
const LISTED_MAX: usize = 4096;

/// One overlay: where it stands inside, and what it is made of.
pub(super) struct Overlay {
    /// `/`, or a directory with an overlay of its own.
    pub(super) inside: PathBuf,
    pub(super) upper: OwnedFd,
    /// From the topmost down.
    pub(super) lowers: Vec<OwnedFd>,
    /// What its root directory was when nothing had happened yet.
    before: (Stat, BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Overlay {
    /// Notes the state of an overlay that is mounted but not in use yet.
    pub(super) fn new(
        inside: PathBuf,
        upper: OwnedFd,
        lowers: Vec<OwnedFd>,
    ) -> rustix::io::Result<Self> {
        let before = (
            rustix::fs::fstat(&upper)?,
            tree::xattrs(upper.as_fd(), c"."),
        );
        Ok(Self {
            inside,
            upper,
            lowers,
            before,
        })
    }
}

/// Collects what was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) escapes: Vec<Escape>,
    pub(super) omitted: u64,
    pub(super) leftovers: Vec<Leftover>,
}

impl Found {
    /// Adds one escape, or counts it when there are too many.
    pub(super) fn escape(&mut self, path: &Path, kind: EscapeKind) {
        if self.escapes.len() < LISTED_MAX {
            self.escapes.push(Escape {
                path: path.to_owned(),
                kind,
            });
        } else {
            self.omitted += 1;
        }
    }

    /// Adds everything directly in a directory that ought to be empty.
    pub(super) fn temporaries(&mut self, inside: &Path, dir: BorrowedFd<'_>) {
        for name in tree::names(dir).unwrap_or_default().iter().take(LISTED_MAX) {
            self.leftovers
                .push(Leftover::TemporaryFile(inside.join(tree::os(name))));
        }
    }

    /// Adds all that the upper directory of an overlay holds.
    pub(super) fn overlay(&mut self, overlay: &Overlay) -> rustix::io::Result<()> {
        let lowers: Vec<_> = overlay.lowers.iter().map(AsFd::as_fd).collect();
        let upper = overlay.upper.as_fd();
        let children = self.children(&overlay.inside, upper, &lowers, 0)?;
        let (now, (before, xattrs)) = (rustix::fs::fstat(upper)?, &overlay.before);
        let differ = !tree::same_owner_and_mode(&now, before)
            || children == 0 && !tree::same_attributes(&now, before)
            || tree::xattrs(upper, c".") != *xattrs;
        if differ {
            self.escape(&overlay.inside, EscapeKind::AttributesChanged);
        }
        Ok(())
    }

    /// Compares the children of one upper directory and returns how many there are.
    fn children(
        &mut self,
        inside: &Path,
        upper: BorrowedFd<'_>,
        lowers: &[BorrowedFd<'_>],
        depth: usize,
    ) -> rustix::io::Result<usize> {
        let names = tree::names(upper)?;
        for name in &names {
            let path = inside.join(tree::os(name));
            let Some(now) = tree::stat(upper, name)? else {
                continue;
            };
            match lower(lowers, name)? {
                None => self.created(&path, upper, name, &now, depth)?,
                Some(_) if is_whiteout(&now) => self.escape(&path, EscapeKind::Removed),
                Some(before) => self.changed(&path, (upper, &now), before, lowers, name, depth)?,
            }
        }
        Ok(names.len())
    }

    /// Adds a new thing and all in it.
    fn created(
        &mut self,
        path: &Path,
        upper: BorrowedFd<'_>,
        name: &CStr,
        now: &Stat,
        depth: usize,
    ) -> rustix::io::Result<()> {
        self.escape(path, EscapeKind::Created);
        self.below(path, upper, name, now, depth)
    }

    fn below(
        &mut self,
        path: &Path,
        upper: BorrowedFd<'_>,
        name: &CStr,
        now: &Stat,
        depth: usize,
    ) -> rustix::io::Result<()> {
        if tree::is_dir(now) && depth < tree::DEPTH_MAX {
            self.children(path, tree::open_dir(upper, name)?.as_fd(), &[], depth + 1)?;
        }
        Ok(())
    }

    /// Adds a thing that was copied up because of some change.
    fn changed(
        &mut self,
        path: &Path,
        now: (BorrowedFd<'_>, &Stat),
        before: (BorrowedFd<'_>, Stat),
        lowers: &[BorrowedFd<'_>],
        name: &CStr,
        depth: usize,
    ) -> rustix::io::Result<()> {
        let (upper, stat) = now;
        if tree::file_type(stat) != tree::file_type(&before.1) {
            self.escape(path, EscapeKind::Replaced);
            return self.below(path, upper, name, stat, depth);
        }
        if tree::is_dir(stat) {
            return self.directory(path, now, before, lowers, name, depth);
        }
        if stat.st_nlink > 1 && tree::file_type(stat) == FileType::RegularFile {
            self.escape(path, EscapeKind::LinkedTo);
        }
        if !tree::same_content(now, (before.0, &before.1), name) {
            self.escape(path, EscapeKind::Modified);
        } else if !same_looks(now, (before.0, &before.1), name) {
            self.escape(path, EscapeKind::AttributesChanged);
        } else if stat.st_nlink == 1 {
            self.escape(path, EscapeKind::Touched);
        }
        Ok(())
    }

    /// A directory is also copied up for the sake of its children, which changes its time.
    fn directory(
        &mut self,
        path: &Path,
        now: (BorrowedFd<'_>, &Stat),
        before: (BorrowedFd<'_>, Stat),
        lowers: &[BorrowedFd<'_>],
        name: &CStr,
        depth: usize,
    ) -> rustix::io::Result<()> {
        let (upper, stat) = now;
        if tree::is_opaque(upper, name) {
            self.escape(path, EscapeKind::Replaced);
            return self.below(path, upper, name, stat, depth);
        }
        if depth >= tree::DEPTH_MAX {
            self.escape(path, EscapeKind::Modified);
            return Ok(());
        }
        let dir = tree::open_dir(upper, name)?;
        let merged: Vec<_> = merged(lowers, name)?;
        let lowers: Vec<_> = merged.iter().map(AsFd::as_fd).collect();
        let children = self.children(path, dir.as_fd(), &lowers, depth + 1)?;
        let looks = if children == 0 {
            same_looks(now, (before.0, &before.1), name)
        } else {
            tree::same_owner_and_mode(stat, &before.1)
                && tree::xattrs(upper, name) == tree::xattrs(before.0, name)
        };
        if !looks {
            self.escape(path, EscapeKind::AttributesChanged);
        } else if children == 0 {
            self.escape(path, EscapeKind::Touched);
        }
        Ok(())
    }
}

fn same_looks(a: (BorrowedFd<'_>, &Stat), b: (BorrowedFd<'_>, &Stat), name: &CStr) -> bool {
    tree::same_attributes(a.1, b.1) && tree::xattrs(a.0, name) == tree::xattrs(b.0, name)
}

/// An overlay marks what is gone with a character device 0:0.
fn is_whiteout(stat: &Stat) -> bool {
    tree::file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The topmost lower layer that has a name, and what it is there.
fn lower<'a>(
    lowers: &[BorrowedFd<'a>],
    name: &CStr,
) -> rustix::io::Result<Option<(BorrowedFd<'a>, Stat)>> {
    for &dir in lowers {
        if let Some(stat) = tree::stat(dir, name)? {
            return Ok(Some((dir, stat)));
        }
    }
    Ok(None)
}

/// The directories that are merged under a name. The skeleton's directories are opaque.
fn merged(lowers: &[BorrowedFd<'_>], name: &CStr) -> rustix::io::Result<Vec<OwnedFd>> {
    let mut dirs = Vec::new();
    for &dir in lowers {
        match tree::stat(dir, name)? {
            None => continue,
            Some(stat) if !tree::is_dir(&stat) => break,
            Some(_) => dirs.push(tree::open_dir(dir, name)?),
        }
        if tree::is_opaque(dir, name) {
            break;
        }
    }
    Ok(dirs)
}
