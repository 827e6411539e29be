//! The converter under test: what it is, how converters compose, and how one is run.

mod batch;
mod chain;
pub mod contain;
mod convert;
mod descriptor;
mod each;
mod expectations;
mod profile;
mod store;
mod tools;

use std::fmt;

pub use batch::{convert_batch, convert_rest, takes_batches};
pub use chain::{Chain, RunnerError, Runners};
pub use convert::{Conversion, Converted, Setting, ask_version, convert, convert_stage};
pub use descriptor::{Capability, Input, Need, Runner, Typed};
pub use each::{One, run_each};
pub use expectations::{Everywhere, Expectations, Known, NOT_LOOKED_AT};
pub use profile::Profile;
pub use store::Store;
pub use tools::{Root, Tools};

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A directory.
    Dir,
    /// A flattened tar archive.
    Tar,
    /// A cpio archive of the `newc` form, which the kernel unpacks as its initramfs.
    Cpio,
    /// An ext4 filesystem image.
    Ext4,
    /// An EROFS filesystem image.
    Erofs,
    /// A SquashFS filesystem image.
    Squashfs,
    /// A directory with one EROFS image for each layer, in bytewise order of their names the base layer
    /// first. What they delete is in them as overlayfs has it: character devices 0:0 and
    /// `trusted.overlay.opaque`.
    ErofsLayers,
    /// A directory with one directory for each layer, in that order and with such deletions.
    LayerDirs,
}

impl Format {
    /// Every format, in the order reports have them.
    pub const ALL: [Format; 8] = [
        Format::Dir,
        Format::Tar,
        Format::Cpio,
        Format::Ext4,
        Format::Erofs,
        Format::Squashfs,
        Format::ErofsLayers,
        Format::LayerDirs,
    ];

    /// The word of descriptors and reports.
    pub fn word(self) -> &'static str {
        match self {
            Format::Dir => "dir",
            Format::Tar => "tar",
            Format::Cpio => "cpio",
            Format::Ext4 => "ext4",
            Format::Erofs => "erofs",
            Format::Squashfs => "squashfs",
            Format::ErofsLayers => "erofs-layers",
            Format::LayerDirs => "layer-dirs",
        }
    }

    /// Whether it boots, one way or the other.
    pub fn is_booted(self) -> bool {
        self.is_filesystem() || self == Format::Cpio
    }

    /// Whether it is mounted and read by the guest's kernel.
    pub fn is_filesystem(self) -> bool {
        matches!(self, Format::Ext4 | Format::Erofs | Format::Squashfs) || self.is_layered()
    }

    /// Whether it is one thing for each layer, which only the guest's kernel puts together.
    pub fn is_layered(self) -> bool {
        matches!(self, Format::ErofsLayers | Format::LayerDirs)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Format, String> {
        Format::ALL
            .into_iter()
            .find(|format| format.word() == word)
            .ok_or_else(|| {
                let words = Format::ALL.map(Format::word).join(", ");
                format!("`{word}` is no format; there are {words}")
            })
    }
}
