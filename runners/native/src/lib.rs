//! An OCI image layout, turned into a root filesystem.
//!
//! One streaming pass per layer: a thread reads and decompresses, a thread digests, and the caller's
//! thread parses the tar stream and applies it. An in-memory directory tree decides everything the
//! image-spec says about whiteouts, replacement and symlinked parents, so that what reaches the disk
//! is always one operation on one plain name inside one directory descriptor. No path of an image is
//! ever handed to the kernel, and none can leave the output.
//!
//! What an image asks for is done exactly or refused: no attribute is dropped silently. The one
//! deliberate exception is `trusted.overlay.*`, see [`Format`].
//!
//! # What the image-spec leaves open
//!
//! - A parent that no layer describes, the root included: 0755, 0:0, 1970.
//! - A parent that is a symbolic link is followed inside the root, as `chroot` would; `..` and absolute
//!   targets stop at the root. A link that leads nowhere is refused, as is a `..` in an entry's name.
//! - A parent that is another kind of file makes room if a lower layer brought it, and is refused if
//!   the same layer did.
//! - Of two entries with one name in a layer the last stands.
//! - A whiteout counts as if it came first in its layer, wherever it stands. One whose path goes through
//!   a symbolic link of a lower layer follows it, unless the layer replaces the link.
//! - A directory with an opaque whiteout exists, even if no layer says so otherwise; an explicit
//!   whiteout makes nothing.
//! - Hard links reach into lower layers. Their own attributes mean nothing.
//! - A device 0,0 is a device, never a whiteout.
//! - Where a POSIX access list and a mode disagree, the mode stands.
//! - Sparse files are expanded; long runs of zeros become holes in the output.
//!
//! Refused, because readers of tar or JSON differ on them: duplicate keys, a name both in pax and GNU
//! form, paths in pax global headers, a lone zero block, unknown type flags, junk after compressed data,
//! and numbers that the kernel would cut off. `limits.rs` lists how much an image may ask for.
//!
//! # What the host must have
//!
//! Linux with `/proc` mounted, for extended attributes of symbolic links and devices. A process that
//! dies in the middle leaves its temporary sibling, `.native-*`, behind; [`Request::stop`] is for ending
//! it cleanly.

mod apply;
mod attributes;
mod digest;
mod error;
mod json;
mod layout;
mod limits;
mod name;
mod select;
mod sink;
mod stream;
mod tar;
mod tree;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;

use crate::apply::{Failure, Whiteouts, Work};
pub use crate::error::{Cause, Error};
use crate::layout::{Image, Layout};
use crate::sink::{DirSink, Output, TarSink};

/// What to convert, and into what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The directory that holds `oci-layout`, `index.json` and `blobs/`.
    pub layout: &'a Path,
    /// The `org.opencontainers.image.ref.name` to take. Without it: the only manifest, else the first
    /// one for linux/amd64, else the first one without a platform.
    pub reference: Option<&'a str>,
    /// Where the root filesystem goes. Nothing may exist there yet.
    pub output: &'a Path,
    /// The kind of output.
    pub format: Format,
    /// As soon as this is true, the conversion fails, with nothing left at the output, or is complete anyway.
    pub stop: Option<&'a AtomicBool>,
}

/// The kind of output.
///
/// Extended attributes named `trusted.overlay.*` are left out of both: layer.md gives them no
/// meaning, and a kernel that mounts the result in an overlay would take them for its own marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A directory. Owners and device nodes need root.
    Dir,
    /// The flattened image as one pax tar: every directory before what is in it, names in bytewise
    /// order, the same bytes each time. Needs no privileges.
    Tar,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "dir" => Ok(Self::Dir),
            "tar" => Ok(Self::Tar),
            other => Err(format!("unknown format `{other}`: use `dir` or `tar`")),
        }
    }
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Layers applied.
    pub layers: usize,
    /// Tar entries applied, whiteouts included.
    pub entries: u64,
    /// Bytes of regular files written, those that an upper layer replaced included.
    pub bytes: u64,
}

/// Converts an image.
///
/// The output appears complete or not at all: it is built under a temporary name next to
/// `request.output` and renamed at the end; on failure that sibling is removed.
///
/// # Errors
///
/// On a layout, layer or entry that breaks the image-spec, the tar format or a limit of this crate,
/// and when the output cannot be written.
pub fn convert(request: &Request<'_>) -> Result<Summary, Error> {
    let layout = Layout::open(request.layout)?;
    let image = layout.image(request.reference)?;
    match attempt(request, &layout, &image, Whiteouts::InOrder) {
        Err(Failure::Again) => match attempt(request, &layout, &image, Whiteouts::First) {
            Err(Failure::Again) => unreachable!("whiteouts cannot come earlier than first"),
            Err(Failure::Error(error)) => Err(error),
            Ok(summary) => Ok(summary),
        },
        Err(Failure::Error(error)) => Err(error),
        Ok(summary) => Ok(summary),
    }
}

fn attempt(
    request: &Request<'_>,
    layout: &Layout,
    image: &Image,
    whiteouts: Whiteouts,
) -> Result<Summary, Failure> {
    let output = Output::create(request.output, request.format)?;
    let work = Work {
        layout,
        image,
        stop: request.stop,
    };
    let summary = match request.format {
        Format::Dir => apply::image(&work, DirSink::new(&output)?, whiteouts)?,
        Format::Tar => apply::image(&work, TarSink::new(&output)?, whiteouts)?,
    };
    output.publish()?;
    Ok(summary)
}
