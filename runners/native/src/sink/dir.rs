//! A directory as output.
//!
//! Every operation is on one plain name in one directory descriptor; descriptors are opened one
//! component at a time and never through a symbolic link. Directories stay private to their owner
//! until the end, when all of them get their attributes, children first.

use std::os::fd::AsRawFd;
use std::rc::Rc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::content::write_content;
use super::output::Output;
use super::{Node, Sink, SinkError, Spot};
use crate::attributes::{Attributes, Timestamp};
use crate::error::Error;
use crate::tar::Reader;
use crate::tree::{Ino, ROOT, Tree};

/// Directory descriptors kept open. Layers are mostly in tree order, so few serve.
const OPEN_DIRECTORIES: usize = 64;

type Result<T, E = SinkError> = std::result::Result<T, E>;

/// Writes into the sibling of an [`Output`].
pub(crate) struct DirSink<'a> {
    output: &'a Output,
    /// Least recently used first.
    open: Vec<(Ino, Rc<OwnedFd>)>,
    root: Rc<OwnedFd>,
    /// The owner that new files get by themselves.
    owner: (u32, u32),
    /// Whether the filesystem keeps nanoseconds.
    keeps_nanoseconds: bool,
}

/// An inode to describe.
enum Inode<'a> {
    /// A file or directory that is open.
    Open(BorrowedFd<'a>),
    /// A name in a directory: a symbolic link, device or fifo, never to be opened.
    Named(BorrowedFd<'a>, &'a [u8]),
}

impl<'a> DirSink<'a> {
    pub(crate) fn new(output: &'a Output) -> Result<Self, Error> {
        let error = |e: Errno| Error::io("prepare", output.path(), std::io::Error::from(e));
        let owner = (rustix::process::geteuid(), rustix::process::getegid());
        let fd = output.fd();
        // The directory around may hand down a group or an access list. Neither may reach the image.
        fs::fchown(fd, Some(owner.0), Some(owner.1)).map_err(error)?;
        fs::fchmod(fd, Mode::RWXU).map_err(error)?;
        for list in ["system.posix_acl_default", "system.posix_acl_access"] {
            match fs::fremovexattr(fd, list) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(e) => return Err(error(e)),
            }
        }
        let probe = Timestamp {
            seconds: 1,
            nanoseconds: 123_456_789,
        };
        fs::futimens(fd, &times(probe)).map_err(error)?;
        let keeps_nanoseconds = fs::fstat(fd).map_err(error)?.st_mtime_nsec == 123_456_789;
        let root = Rc::new(
            fd.try_clone_to_owned()
                .map_err(|e| Error::io("open", output.path(), e))?,
        );
        let owner = (owner.0.as_raw(), owner.1.as_raw());
        Ok(Self {
            output,
            open: Vec::new(),
            root,
            owner,
            keeps_nanoseconds,
        })
    }

    /// The descriptor of a directory: from the nearest open one above it, one component at a time.
    fn dir<R>(&mut self, tree: &Tree<R>, ino: Ino) -> Result<Rc<OwnedFd>> {
        let mut below = Vec::new();
        let mut at = ino;
        let mut fd = loop {
            if at == ROOT {
                break Rc::clone(&self.root);
            }
            if let Some(fd) = self.cached(at) {
                break fd;
            }
            below.push(at);
            at = tree.dir(at).parent;
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for ino in below.into_iter().rev() {
            let name = &*tree.dir(ino).name;
            let opened = fs::openat(&fd, name, flags, Mode::empty());
            fd = Rc::new(opened.map_err(SinkError::host("open the directory"))?);
            if self.open.len() == OPEN_DIRECTORIES {
                self.open.remove(0);
            }
            self.open.push((ino, Rc::clone(&fd)));
        }
        Ok(fd)
    }

    fn cached(&mut self, ino: Ino) -> Option<Rc<OwnedFd>> {
        let position = self.open.iter().rposition(|(open, _)| *open == ino)?;
        self.open[position..].rotate_left(1);
        self.open.last().map(|(_, fd)| Rc::clone(fd))
    }

    /// Sets owner, then extended attributes, then mode: changing the owner clears set-id bits and
    /// capabilities, and the mode must be what the image says whatever an access list implied.
    fn describe(&self, inode: &Inode<'_>, kind: FileType, attributes: &Attributes) -> Result<()> {
        if (attributes.uid, attributes.gid) != self.owner {
            let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
            inode
                .chown(uid, gid)
                .map_err(SinkError::privileged("set the owner"))?;
        }
        let late = |name: &[u8]| name == b"security.capability";
        for (name, value) in attributes.xattrs.iter().filter(|(name, _)| !late(name)) {
            inode.set_xattr(name, value)?;
        }
        if kind != FileType::Symlink {
            let mode = Mode::from_raw_mode(attributes.mode);
            inode.chmod(mode).map_err(SinkError::host("set the mode"))?;
        }
        for (name, value) in attributes.xattrs.iter().filter(|(name, _)| late(name)) {
            inode.set_xattr(name, value)?;
        }
        self.set_time(inode, attributes.mtime)
    }

    fn set_time(&self, inode: &Inode<'_>, mtime: Timestamp) -> Result<()> {
        inode
            .set_times(&times(mtime))
            .map_err(SinkError::host("set the modification time"))?;
        // The kernel clamps what a filesystem cannot hold, and says nothing.
        let is_common = u32::try_from(mtime.seconds).is_ok_and(|seconds| seconds < 1 << 31);
        if is_common && (self.keeps_nanoseconds || mtime.nanoseconds == 0) {
            return Ok(());
        }
        let stat = inode
            .stat()
            .map_err(SinkError::host("read the modification time"))?;
        let kept = (i128::from(stat.st_mtime), i128::from(stat.st_mtime_nsec));
        if kept != (i128::from(mtime.seconds), i128::from(mtime.nanoseconds)) {
            return Err(SinkError::Time(format!(
                "{}.{:09}",
                mtime.seconds, mtime.nanoseconds
            )));
        }
        Ok(())
    }
}

impl Sink for DirSink<'_> {
    type Record = ();

    const HOLDS_XATTRS: bool = false;

    fn directory(&mut self, tree: &Tree<()>, at: Spot<'_>) -> Result<()> {
        let parent = self.dir(tree, at.parent)?;
        fs::mkdirat(&parent, at.name, Mode::RWXU).map_err(SinkError::host("make the directory"))
    }

    fn file(
        &mut self,
        tree: &Tree<()>,
        at: Spot<'_>,
        attributes: &Attributes,
        reader: &mut Reader<'_>,
    ) -> Result<()> {
        let parent = self.dir(tree, at.parent)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&parent, at.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(SinkError::host("create the file"))?;
        write_content(&file, 0, reader)?;
        self.describe(
            &Inode::Open(file.as_fd()),
            FileType::RegularFile,
            attributes,
        )
    }

    fn node(
        &mut self,
        tree: &Tree<()>,
        at: Spot<'_>,
        attributes: &Attributes,
        node: &Node<'_>,
    ) -> Result<()> {
        let parent = self.dir(tree, at.parent)?;
        let (kind, major, minor) = match *node {
            Node::Symlink(target) => {
                fs::symlinkat(target, &parent, at.name)
                    .map_err(SinkError::host("make the symbolic link"))?;
                let inode = Inode::Named(parent.as_fd(), at.name);
                return self.describe(&inode, FileType::Symlink, attributes);
            }
            Node::CharDevice(major, minor) => (FileType::CharacterDevice, major, minor),
            Node::BlockDevice(major, minor) => (FileType::BlockDevice, major, minor),
            Node::Fifo => (FileType::Fifo, 0, 0),
        };
        let mode = Mode::RUSR | Mode::WUSR;
        fs::mknodat(&parent, at.name, kind, mode, fs::makedev(major, minor))
            .map_err(SinkError::privileged("make the device or fifo"))?;
        self.describe(&Inode::Named(parent.as_fd(), at.name), kind, attributes)
    }

    fn link(&mut self, tree: &Tree<()>, from: Spot<'_>, to: Spot<'_>) -> Result<()> {
        let source = self.dir(tree, from.parent)?;
        let target = self.dir(tree, to.parent)?;
        fs::linkat(&source, from.name, &target, to.name, AtFlags::empty())
            .map_err(SinkError::host("make the hard link"))
    }

    fn remove_leaf(&mut self, tree: &Tree<()>, at: Spot<'_>) -> Result<()> {
        let parent = self.dir(tree, at.parent)?;
        fs::unlinkat(&parent, at.name, AtFlags::empty()).map_err(SinkError::host("remove"))
    }

    fn remove_dir(&mut self, tree: &Tree<()>, at: Spot<'_>, ino: Ino) -> Result<()> {
        // The number may be used again for another directory.
        self.open.retain(|(open, _)| *open != ino);
        let parent = self.dir(tree, at.parent)?;
        fs::unlinkat(&parent, at.name, AtFlags::REMOVEDIR)
            .map_err(SinkError::host("remove the directory"))
    }

    fn finish(&mut self, tree: &Tree<()>) -> Result<(), Error> {
        // Parents first, so that in reverse no directory is closed to us before its children are done.
        let mut directories = vec![ROOT];
        let mut order = Vec::new();
        while let Some(ino) = directories.pop() {
            order.push(ino);
            for dirent in tree.dir(ino).entries.values() {
                if tree.as_dir(dirent.ino).is_some() {
                    directories.push(dirent.ino);
                }
            }
        }
        for ino in order.into_iter().rev() {
            self.finish_dir(tree, ino)
                .map_err(|e| Error::io("describe a directory of", self.output.path(), e))?;
        }
        Ok(())
    }
}

impl DirSink<'_> {
    fn finish_dir(&mut self, tree: &Tree<()>, ino: Ino) -> Result<()> {
        let directory = tree.dir(ino);
        let opened;
        let fd = if ino == ROOT {
            self.output.fd()
        } else {
            let parent = self.dir(tree, directory.parent)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            opened = fs::openat(&parent, &*directory.name, flags, Mode::empty())
                .map_err(SinkError::host("open the directory"))?;
            opened.as_fd()
        };
        self.describe(&Inode::Open(fd), FileType::Directory, &directory.attributes)
    }
}

impl Inode<'_> {
    fn chown(&self, uid: Uid, gid: Gid) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fs::fchown(fd, Some(uid), Some(gid)),
            Self::Named(dir, name) => {
                fs::chownat(dir, *name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    /// Not for symbolic links, which have no mode of their own.
    fn chmod(&self, mode: Mode) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fs::fchmod(fd, mode),
            Self::Named(dir, name) => fs::chmodat(dir, *name, mode, AtFlags::empty()),
        }
    }

    fn set_times(&self, times: &Timestamps) -> Result<(), Errno> {
        match self {
            Self::Open(fd) => fs::futimens(fd, times),
            Self::Named(dir, name) => fs::utimensat(dir, *name, times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn stat(&self) -> Result<fs::Stat, Errno> {
        match self {
            Self::Open(fd) => fs::fstat(fd),
            Self::Named(dir, name) => fs::statat(dir, *name, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<()> {
        let set = match self {
            Self::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
            // There is no call for a name in a directory; the link in /proc stands for the directory.
            Self::Named(dir, file) => {
                let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
                path.extend_from_slice(file);
                fs::lsetxattr(path, name, value, XattrFlags::empty())
            }
        };
        set.map_err(SinkError::privileged("set an extended attribute"))
    }
}

fn times(mtime: Timestamp) -> Timestamps {
    Timestamps {
        last_access: fs::Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: fs::Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: i64::from(mtime.nanoseconds),
        },
    }
}
