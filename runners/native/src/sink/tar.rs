//! One pax tar as output: the flattened image, a pure function of the tree.
//!
//! Entries come in the order of the tree, which is not the order of any layer, so contents wait in a
//! file without a name next to the output.

use std::collections::HashMap;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;

use super::content::{Tape, write_content};
use super::header::{self, Member};
use super::output::Output;
use super::{Node, Sink, SinkError, Spot};
use crate::attributes::Attributes;
use crate::error::Error;
use crate::tar::Reader;
use crate::tree::{Ino, Inode, Leaf, ROOT, Tree};

type Result<T, E = SinkError> = std::result::Result<T, E>;

/// Writes the file of an [`Output`].
pub(crate) struct TarSink<'a> {
    output: &'a Output,
    spool: OwnedFd,
    spooled: u64,
}

/// What is needed to write a leaf.
pub(crate) struct Record {
    attributes: Attributes,
    content: Content,
}

enum Content {
    /// Where it is in the spool.
    File {
        offset: u64,
        size: u64,
    },
    Symlink,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

impl<'a> TarSink<'a> {
    pub(crate) fn new(output: &'a Output) -> Result<Self, Error> {
        Ok(Self {
            output,
            spool: output.spool()?,
            spooled: 0,
        })
    }

    /// Writes the root and everything below it: after a directory all that is in it, names in bytewise
    /// order. Sorted by whole paths instead, `a-b` would come between `a` and `a/c`, and GNU tar dates a
    /// directory as soon as it sees an entry outside it.
    fn write(&self, tree: &Tree<Record>) -> Result<()> {
        let mut tape = Tape::new(self.output.fd());
        let mut first_names: HashMap<Ino, (Ino, &[u8])> = HashMap::new();
        let root = tree.dir(ROOT);
        tape.write(&header::encode(b"", Member::Directory, &root.attributes))?;
        let mut path = Vec::new();
        let mut open = vec![(0, ROOT, root.entries.iter())];
        while let Some((length, dir, entries)) = open.last_mut() {
            path.truncate(*length);
            let Some((name, dirent)) = entries.next() else {
                open.pop();
                continue;
            };
            let dir = *dir;
            push(&mut path, name);
            match tree.inode(dirent.ino) {
                Inode::Directory(directory) => {
                    let member = Member::Directory;
                    tape.write(&header::encode(&path, member, &directory.attributes))?;
                    open.push((path.len(), dirent.ino, directory.entries.iter()));
                }
                Inode::Leaf(leaf) => match first_names.get(&dirent.ino) {
                    Some((dir, name)) => {
                        let mut first = tree.path(*dir);
                        push(&mut first, name);
                        let member = Member::HardLink(&first);
                        tape.write(&header::encode(&path, member, &leaf.record.attributes))?;
                    }
                    None => {
                        self.write_leaf(&mut tape, &path, leaf)?;
                        if leaf.links > 1 {
                            first_names.insert(dirent.ino, (dir, name));
                        }
                    }
                },
            }
        }
        tape.finish()
    }

    fn write_leaf(&self, tape: &mut Tape<'_>, path: &[u8], leaf: &Leaf<Record>) -> Result<()> {
        let member = match leaf.record.content {
            Content::File { size, .. } => Member::File(size),
            Content::Symlink => Member::Symlink(leaf.target.as_deref().unwrap_or_default()),
            Content::CharDevice(major, minor) => Member::CharDevice(major, minor),
            Content::BlockDevice(major, minor) => Member::BlockDevice(major, minor),
            Content::Fifo => Member::Fifo,
        };
        tape.write(&header::encode(path, member, &leaf.record.attributes))?;
        if let Content::File { offset, size } = leaf.record.content {
            tape.copy(&self.spool, offset, size)?;
        }
        Ok(())
    }
}

impl Sink for TarSink<'_> {
    type Record = Record;

    const HOLDS_XATTRS: bool = true;

    fn directory(&mut self, _tree: &Tree<Record>, _at: Spot<'_>) -> Result<()> {
        Ok(())
    }

    fn file(
        &mut self,
        _tree: &Tree<Record>,
        _at: Spot<'_>,
        attributes: &Attributes,
        reader: &mut Reader<'_>,
    ) -> Result<Record> {
        let offset = self.spooled;
        let size = write_content(&self.spool, offset, reader)?;
        self.spooled += size;
        let content = Content::File { offset, size };
        Ok(Record {
            attributes: attributes.clone(),
            content,
        })
    }

    fn node(
        &mut self,
        _tree: &Tree<Record>,
        _at: Spot<'_>,
        attributes: &Attributes,
        node: &Node<'_>,
    ) -> Result<Record> {
        let content = match *node {
            Node::Symlink(_) => Content::Symlink,
            Node::CharDevice(major, minor) => Content::CharDevice(major, minor),
            Node::BlockDevice(major, minor) => Content::BlockDevice(major, minor),
            Node::Fifo => Content::Fifo,
        };
        Ok(Record {
            attributes: attributes.clone(),
            content,
        })
    }

    fn link(&mut self, _tree: &Tree<Record>, _from: Spot<'_>, _to: Spot<'_>) -> Result<()> {
        Ok(())
    }

    fn remove_leaf(&mut self, _tree: &Tree<Record>, _at: Spot<'_>) -> Result<()> {
        Ok(())
    }

    fn remove_dir(&mut self, _tree: &Tree<Record>, _at: Spot<'_>, _ino: Ino) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, tree: &Tree<Record>) -> Result<(), Error> {
        let error = |e: SinkError| Error::io("write", self.output.path(), e);
        self.write(tree).map_err(error)?;
        // Like any file a user makes, whatever the umask.
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        fchmod(self.output.fd(), mode).map_err(|e: Errno| error(SinkError::host("set the mode")(e)))
    }
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
