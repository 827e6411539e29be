//! The question as an OCI image layout, and the way back.
//!
//! Writing is done byte by byte and field by field, so that nothing an image is made to test gets
//! normalised away. Reading is done with the `tar` crate, a second opinion that shares nothing with
//! the writer.

mod compress;
pub mod erofs;
mod layout;
#[cfg(test)]
mod layout_tests;
mod pax;
mod read;
mod tar;

pub use layout::{Written, layout_digest, write_layout};
pub use read::{ReadError, read_entries, read_layout};
pub use tar::{write_archive, write_content};

/// The reference every layout of ours carries (`org.opencontainers.image.ref.name`).
pub const TAG: &str = "latest";
