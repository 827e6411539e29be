//! An artifact back to a [`Tree`].
//!
//! Directories are read here without following a link or opening anything but regular files and
//! directories; filesystem images are read by the guest kernel, whose mtree text [`guest`] takes.

mod cpio;
mod dir;
mod layer;
mod tar;
#[cfg(test)]
mod tests;

use crate::tree::{Tree, mtree};

pub use cpio::cpio;
pub use dir::dir;
pub use layer::layer;
pub use tar::tar;

/// The most bytes of content that are read from one artifact.
pub const CONTENT_BYTES_MAX: u64 = 64 << 30;

/// Why an artifact could not be read back in full. It tells of the artifact, not of the harness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {cause}")]
pub struct Unreadable {
    /// The path in the artifact, as mtree(5) has it.
    pub path: String,
    /// The cause.
    pub cause: String,
}

/// The tree the guest reported.
///
/// # Errors
///
/// A report that is not in the canonical dialect, which is a bug of the guest's.
pub fn guest(report: &[u8]) -> Result<Tree, String> {
    let text = std::str::from_utf8(report).map_err(|error| error.to_string())?;
    mtree::parse(text).map_err(|error| format!("the guest's tree: {error}"))
}
