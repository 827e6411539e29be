//! Where an image goes. The tree decides; a sink does one plain thing at one name.

mod content;
mod dir;
mod header;
mod output;
mod remove;
mod tar;

pub(crate) use self::dir::DirSink;
pub(crate) use self::output::Output;
pub(crate) use self::tar::TarSink;

use crate::attributes::Attributes;
use crate::error::Error;
use crate::tar::{Reader, TarError};
use crate::tree::{Ino, Tree};

/// A name in a directory. The name is one component and not `.` or `..`.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) parent: Ino,
    pub(crate) name: &'a [u8],
}

/// An inode without content.
pub(crate) enum Node<'a> {
    Symlink(&'a [u8]),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// An output under construction. Nothing is at a spot when something is put there.
pub(crate) trait Sink {
    /// What it remembers of an inode that is not a directory.
    type Record;

    /// Whether records hold extended attributes in memory.
    const HOLDS_XATTRS: bool;

    /// Makes an empty directory. Its attributes come from the tree at the end.
    fn directory(&mut self, tree: &Tree<Self::Record>, at: Spot<'_>) -> Result<(), SinkError>;

    /// Makes a regular file with the content of the reader's current entry.
    fn file(
        &mut self,
        tree: &Tree<Self::Record>,
        at: Spot<'_>,
        attributes: &Attributes,
        reader: &mut Reader<'_>,
    ) -> Result<Self::Record, SinkError>;

    /// Makes an inode without content.
    fn node(
        &mut self,
        tree: &Tree<Self::Record>,
        at: Spot<'_>,
        attributes: &Attributes,
        node: &Node<'_>,
    ) -> Result<Self::Record, SinkError>;

    /// Gives the inode at `from` a further name.
    fn link(
        &mut self,
        tree: &Tree<Self::Record>,
        from: Spot<'_>,
        to: Spot<'_>,
    ) -> Result<(), SinkError>;

    /// Removes a name that is not a directory's.
    fn remove_leaf(&mut self, tree: &Tree<Self::Record>, at: Spot<'_>) -> Result<(), SinkError>;

    /// Removes the empty directory `ino`.
    fn remove_dir(
        &mut self,
        tree: &Tree<Self::Record>,
        at: Spot<'_>,
        ino: Ino,
    ) -> Result<(), SinkError>;

    /// Completes the output.
    fn finish(&mut self, tree: &Tree<Self::Record>) -> Result<(), Error>;
}

/// An operation that failed. The entry it was for is named by whoever adds it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The host refused; the hint says what to do about it.
    #[error("cannot {operation}: {source}{hint}")]
    Host {
        operation: &'static str,
        source: std::io::Error,
        hint: &'static str,
    },
    /// The content could not be read.
    #[error(transparent)]
    Content(#[from] TarError),
    /// The filesystem took a time and kept another.
    #[error("the output's filesystem cannot hold the modification time {0}")]
    Time(String),
}

impl SinkError {
    /// For `map_err`.
    pub(crate) fn host<E: Into<std::io::Error>>(operation: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Host {
            operation,
            source: error.into(),
            hint: "",
        }
    }

    /// For `map_err` on what only root may do.
    pub(crate) fn privileged<E: Into<std::io::Error>>(
        operation: &'static str,
    ) -> impl Fn(E) -> Self {
        move |error| {
            let source: std::io::Error = error.into();
            let hint = match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    " (a directory output needs root; the tar output does not)"
                }
                _ => "",
            };
            Self::Host {
                operation,
                source,
                hint,
            }
        }
    }
}
