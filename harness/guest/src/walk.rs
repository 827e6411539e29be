//! The guest kernel's own view of the image: every path, every attribute, every byte.
//!
//! The walk keeps one open descriptor per directory between the root and where it stands, so that
//! no path is ever resolved twice and no depth is too much, and it keeps no more of the tree in
//! memory than the names of those directories and the inodes that have several paths. A file's line
//! does not carry its digest but the number of its content, which is sent before.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxFlags, openat};
use rustix::io::Errno;

use crate::contents::{CONTRADICTION, Contents};
use crate::mtree::{self, Entry};
use crate::port::Conversation;
use crate::wire::{Kind, encode_error};

/// The kernel's limit for an attribute, and for a list of their names.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// A frame is sent when this many bytes of lines are waiting.
const FRAME_BYTES: usize = 64 << 10;

/// Walks the tree under `root` and sends it.
///
/// # Errors
///
/// Only what stops the conversation itself; what the image makes of a path is sent as a read
/// error.
pub fn walk(root: OwnedFd, to: &mut Conversation) -> io::Result<()> {
    let mut walk = Walk {
        to,
        entries: Vec::new(),
        xattrs: Vec::new(),
        count: 0,
        directories: BTreeSet::new(),
        linked: BTreeMap::new(),
        buffer: vec![0; ATTRIBUTE_BYTES_MAX],
        contents: Contents::new()?,
    };
    walk.tree(root)?;
    walk.finish()
}

struct Walk<'a> {
    to: &'a mut Conversation,
    entries: Vec<u8>,
    xattrs: Vec<u8>,
    count: u64,
    /// The inodes of all directories met, for an image that links one twice.
    directories: BTreeSet<Identity>,
    /// The inodes with several links: their content and their paths so far.
    linked: BTreeMap<Identity, Linked>,
    buffer: Vec<u8>,
    contents: Contents,
}

/// What an inode is known by. The layers of a stack have numbers of their own, and devices.
type Identity = (u32, u32, u64);

/// What [`said`] is where nothing is said.
const UNSAID: u8 = 0;

struct Linked {
    content: Option<u64>,
    paths: Vec<Vec<u8>>,
}

/// A directory being walked: what is still to do in it, next one last.
struct Level {
    fd: OwnedFd,
    path_length: usize,
    steps: Vec<Step>,
}

/// Ordering the steps of a directory by bytes gives the order of full paths: `a`, `a!`, `a/b`, `a0`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    /// The name; with a slash at its end for the step into the directory.
    key: Vec<u8>,
    /// What the directory says of the type.
    said: u8,
}

impl Walk<'_> {
    fn tree(&mut self, root: OwnedFd) -> io::Result<()> {
        let mut path = Vec::new();
        match rustix::fs::statx(&root, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
            Ok(stat) => {
                self.directories.insert(identity(&stat));
                self.line(&path, &stat, None, None)?;
                self.attributes(&path, &root, b".")?;
            }
            Err(errno) => return self.error(&path, errno),
        }
        let mut levels = vec![self.level(root, &path)?];
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path_length);
            let Some(step) = level.steps.pop() else {
                levels.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            if let Some(name) = step.key.strip_suffix(b"/") {
                path.extend(name);
                if let Some(fd) = self.enter(&level.fd, name, &path)? {
                    let next = self.level(fd, &path)?;
                    levels.push(next);
                }
            } else {
                path.extend(&step.key);
                self.inode(&level.fd, &step, &path)?;
            }
        }
        Ok(())
    }

    /// Lists a directory. What could not be listed is an error of the directory; what could is
    /// walked all the same.
    fn level(&mut self, fd: OwnedFd, path: &[u8]) -> io::Result<Level> {
        let mut steps: Vec<Step> = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 32 << 10];
        let mut list = RawDir::new(&fd, &mut buffer);
        while let Some(entry) = list.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    self.error(path, errno)?;
                    break;
                }
            };
            let key = entry.file_name().to_bytes().to_vec();
            if key != b"." && key != b".." {
                steps.push(Step {
                    key,
                    said: said(entry.file_type()),
                });
            }
        }
        steps.sort();
        for pair in steps.windows(2) {
            if pair[0].key == pair[1].key {
                self.error(&join(path, &pair[0].key), CONTRADICTION)?;
            }
        }
        steps.dedup_by(|a, b| a.key == b.key);
        let inner: Vec<Step> = steps
            .iter()
            .filter(|step| is_directory(&fd, step))
            .map(|step| Step {
                key: [&step.key, &b"/"[..]].concat(),
                said: step.said,
            })
            .collect();
        steps.extend(inner);
        steps.sort_by(|a, b| b.cmp(a));
        Ok(Level {
            fd,
            path_length: path.len(),
            steps,
        })
    }

    /// Opens a directory to list it, unless it has been listed under another path already.
    fn enter(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> io::Result<Option<OwnedFd>> {
        let fresh = look_up(parent, name).map(|stat| self.directories.insert(identity(&stat)));
        let opened = match fresh {
            Ok(true) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                open(parent, name, flags)
            }
            Ok(false) => Err(CONTRADICTION),
            Err(errno) => Err(errno),
        };
        match opened {
            Ok(fd) => Ok(Some(fd)),
            Err(errno) => self.error(path, errno).map(|()| None),
        }
    }

    fn inode(&mut self, parent: &OwnedFd, step: &Step, path: &[u8]) -> io::Result<()> {
        let name = step.key.as_slice();
        let stat = match look_up(parent, name) {
            Ok(stat) => stat,
            Err(errno) => return self.error(path, errno),
        };
        let kind = kind(&stat);
        if kind == FileType::Unknown {
            return self.error(path, CONTRADICTION);
        }
        if step.said != UNSAID && step.said != said(kind) {
            self.error(path, CONTRADICTION)?;
        }
        let first = self.first_path(&stat, kind, path);
        match kind {
            FileType::RegularFile => {
                let content = self.content(parent, name, &stat, path, first)?;
                self.line(path, &stat, None, content)?;
            }
            FileType::Symlink => match rustix::fs::readlinkat(parent, name, Vec::new()) {
                Ok(target) => self.line(path, &stat, Some(target.to_bytes()), None)?,
                Err(errno) => {
                    self.error(path, errno)?;
                    self.line(path, &stat, None, None)?;
                }
            },
            _ => self.line(path, &stat, None, None)?,
        }
        if first {
            self.attributes(path, parent, name)
        } else {
            Ok(())
        }
    }

    /// Notes a path of an inode with several, and says whether it is the first one met.
    fn first_path(&mut self, stat: &Statx, kind: FileType, path: &[u8]) -> bool {
        if kind == FileType::Directory || stat.stx_nlink < 2 {
            return true;
        }
        let linked = self.linked.entry(identity(stat)).or_insert_with(|| Linked {
            content: None,
            paths: Vec::new(),
        });
        linked.paths.push(path.to_vec());
        linked.paths.len() == 1
    }

    /// Sends a file's content; its number there. The second path of an inode is not read again.
    fn content(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        stat: &Statx,
        path: &[u8],
        first: bool,
    ) -> io::Result<Option<u64>> {
        if !first {
            return Ok(self
                .linked
                .get(&identity(stat))
                .and_then(|linked| linked.content));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let sent = match open(parent, name, flags) {
            Ok(file) => self.contents.send(&file, stat.stx_size, self.to)?,
            Err(errno) => Err(errno),
        };
        let number = match sent {
            Ok(number) => Some(number),
            Err(errno) => self.error(path, errno).map(|()| None)?,
        };
        if let Some(linked) = self.linked.get_mut(&identity(stat)) {
            linked.content = number;
        }
        Ok(number)
    }

    /// Sends the extended attributes of an inode. There is no system call for those of a name in an
    /// open directory, so that directory becomes the current one.
    fn attributes(&mut self, path: &[u8], parent: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let listed = rustix::process::fchdir(parent)
            .and_then(|()| rustix::fs::llistxattr(name, &mut self.buffer[..]));
        let length = match listed {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
            Ok(length) => length,
            Err(errno) => return self.error(path, errno),
        };
        let list = self.buffer[..length].to_vec();
        let mut names: Vec<&[u8]> = list
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .collect();
        names.sort_unstable();
        for attribute in names {
            match rustix::fs::lgetxattr(name, attribute, &mut self.buffer[..]) {
                Ok(length) => {
                    mtree::xattr(path, attribute, &self.buffer[..length], &mut self.xattrs);
                }
                Err(errno) => self.error(path, errno)?,
            }
        }
        if self.xattrs.len() > FRAME_BYTES {
            self.flush_xattrs()
        } else {
            Ok(())
        }
    }

    fn line(
        &mut self,
        path: &[u8],
        stat: &Statx,
        target: Option<&[u8]>,
        content: Option<u64>,
    ) -> io::Result<()> {
        self.count += 1;
        Entry {
            path,
            stat,
            target,
            content,
        }
        .line(&mut self.entries);
        if self.entries.len() > FRAME_BYTES {
            self.flush_entries()
        } else {
            Ok(())
        }
    }

    fn error(&mut self, path: &[u8], errno: Errno) -> io::Result<()> {
        self.to
            .send(Kind::ReadError, &encode_error(errno.raw_os_error(), path))
    }

    fn flush_entries(&mut self) -> io::Result<()> {
        self.contents.flush(self.to)?;
        self.to
            .send(Kind::Entries, &std::mem::take(&mut self.entries))
    }

    fn flush_xattrs(&mut self) -> io::Result<()> {
        self.to
            .send(Kind::Xattrs, &std::mem::take(&mut self.xattrs))
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush_entries()?;
        self.flush_xattrs()?;
        let mut groups: Vec<Vec<Vec<u8>>> = std::mem::take(&mut self.linked)
            .into_values()
            .map(|linked| linked.paths)
            .filter(|paths| paths.len() > 1)
            .collect();
        groups.sort();
        let mut lines = Vec::new();
        for paths in &groups {
            mtree::hardlink(paths, &mut lines);
            if lines.len() > FRAME_BYTES {
                self.to.send(Kind::Hardlinks, &std::mem::take(&mut lines))?;
            }
        }
        self.to.send(Kind::Hardlinks, &lines)?;
        self.to.send(Kind::WalkDone, &self.count.to_le_bytes())
    }
}

/// Whether a step is to be followed by one into it. A filesystem may leave types to be looked up;
/// where it tells one that is not the inode's, that is found when the inode is looked at.
fn is_directory(parent: &OwnedFd, step: &Step) -> bool {
    match step.said {
        UNSAID => look_up(parent, &step.key).is_ok_and(|stat| kind(&stat) == FileType::Directory),
        said_type => said_type == said(FileType::Directory),
    }
}

/// Opens a name without a trace in its access time. That Linux refuses where the owner is a number that is none, to
/// root too.
fn open(parent: &OwnedFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    match openat(parent, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(parent, name, flags, Mode::empty()),
        opened => opened,
    }
}

fn look_up(parent: &OwnedFd, name: &[u8]) -> Result<Statx, Errno> {
    rustix::fs::statx(
        parent,
        name,
        AtFlags::SYMLINK_NOFOLLOW,
        StatxFlags::BASIC_STATS,
    )
}

fn identity(stat: &Statx) -> Identity {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

/// A number per file type, so that steps can be ordered.
fn said(kind: FileType) -> u8 {
    match kind {
        FileType::Unknown => UNSAID,
        FileType::RegularFile => 1,
        FileType::Directory => 2,
        FileType::Symlink => 3,
        FileType::Fifo => 4,
        FileType::Socket => 5,
        FileType::CharacterDevice => 6,
        FileType::BlockDevice => 7,
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        name.to_vec()
    } else {
        [path, b"/", name].concat()
    }
}
