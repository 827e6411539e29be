//! One entry of a layer changeset: what it means, and how its header deviates on purpose.

use std::collections::BTreeMap;

use bstr::BString;
use sha2::{Digest as _, Sha256};

/// One entry of a layer changeset.
///
/// The fields `kind` to `xattrs` are what the entry *means*; the model reads nothing else. `dialect`,
/// `pax` and `header` only say how it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The path byte for byte as it stands in the header.
    pub path: BString,
    /// The permission bits with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// The owner. Wider than Linux allows, so that a case can overflow it.
    pub uid: u64,
    /// The group.
    pub gid: u64,
    /// The modification time.
    pub mtime: Time,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<BString, BString>,
    /// The tar dialect of the header.
    pub dialect: Dialect,
    /// pax records written as they stand before the ones the entry needs.
    pub pax: Vec<(BString, BString)>,
    /// Raw header fields that replace the computed ones.
    pub header: HeaderFields,
    /// The line of the case file where the entry starts, from 1; 0 where there is none.
    pub line: usize,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A regular file.
    File(Content),
    /// A directory; the payload is bytes its header wrongly announces.
    Dir(Option<Content>),
    /// A symbolic link with its target byte for byte.
    Symlink(BString),
    /// A hard link with its target as it stands in the header and a payload, if it announces one.
    Hardlink(BString, Option<Content>),
    /// A character device.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
    /// A pax global header; it changes nothing in the tree.
    Global,
    /// Bytes written into the archive as they are; they mean nothing to the model.
    Raw(Content),
}

/// A device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// The major number; Linux holds 12 bits.
    pub major: u32,
    /// The minor number; Linux holds 20 bits.
    pub minor: u32,
}

/// A point in time, in seconds and nanoseconds since 1970-01-01 00:00 UTC.
///
/// −1.5 s is `{ seconds: -2, nanos: 500_000_000 }`, as in `struct timespec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds above `seconds`, below 10⁹.
    pub nanos: u32,
}

/// The bytes of a file, by description.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many zero bytes.
    Zeros(u64),
    /// Bytes that look random and are the same everywhere: see [`pattern_bytes`].
    Pattern {
        /// The seed.
        seed: u64,
        /// The number of bytes.
        size: u64,
    },
    /// The archive that these entries make, without its end; for archives hidden in payloads.
    Tar(Vec<Entry>),
    /// Known by size and SHA-256 only: content that was read back from a layout.
    Digest {
        /// The number of bytes.
        size: u64,
        /// The SHA-256 of the bytes.
        sha256: [u8; 32],
    },
}

/// The header family an entry is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// ustar, with a pax header where a value does not fit.
    #[default]
    Ustar,
    /// A pax header always.
    Pax,
    /// GNU magic, `L` and `K` entries for long names, base-256 numbers.
    Gnu,
    /// The header of Unix v7, without magic.
    V7,
}

/// Raw bytes for header fields, by their name in POSIX; `None` is the computed value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderFields {
    /// Offset and bytes of each field that is replaced.
    pub fields: Vec<(HeaderField, Vec<u8>)>,
    /// Added to the checksum after it is computed.
    pub checksum_delta: i64,
    /// Whether the checksum sums the bytes as signed.
    pub checksum_signed: bool,
}

/// A field of the 512-byte header: where it starts and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderField {
    /// The offset in the header.
    pub offset: usize,
    /// The length in bytes.
    pub length: usize,
}

impl HeaderField {
    /// The field of this name in POSIX `ustar`; `pad` is the last twelve bytes.
    pub fn named(name: &str) -> Option<HeaderField> {
        let (offset, length) = match name {
            "name" => (0, 100),
            "mode" => (100, 8),
            "uid" => (108, 8),
            "gid" => (116, 8),
            "size" => (124, 12),
            "mtime" => (136, 12),
            "chksum" => (148, 8),
            "typeflag" => (156, 1),
            "linkname" => (157, 100),
            "magic" => (257, 6),
            "version" => (263, 2),
            "uname" => (265, 32),
            "gname" => (297, 32),
            "devmajor" => (329, 8),
            "devminor" => (337, 8),
            "prefix" => (345, 155),
            "pad" => (500, 12),
            _ => return None,
        };
        Some(HeaderField { offset, length })
    }
}

impl Entry {
    /// An entry with the corpus's defaults: 0755 for directories, 0777 for symbolic links, 0644 for
    /// the rest; owner 0:0, time 0, ustar.
    pub fn new(kind: Kind, path: impl Into<BString>) -> Entry {
        let mode = match kind {
            Kind::Dir(_) => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        Entry {
            kind,
            path: path.into(),
            mode,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: BTreeMap::new(),
            dialect: Dialect::default(),
            pax: Vec::new(),
            header: HeaderFields::default(),
            line: 0,
        }
    }
}

impl Content {
    /// The number of bytes; nested archives are laid out to know it.
    pub fn size(&self, tar: impl Fn(&[Entry]) -> Vec<u8>) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(size) | Content::Pattern { size, .. } => *size,
            Content::Tar(entries) => tar(entries).len() as u64,
            Content::Digest { size, .. } => *size,
        }
    }
}

/// The first `size` bytes of SHA-256 in counter mode: block *n* is SHA-256 of seed and *n*, both as
/// eight bytes, most significant first. Defined here, so that no crate's generator can change it.
pub fn pattern_bytes(seed: u64, size: u64) -> impl Iterator<Item = [u8; 32]> {
    (0..size.div_ceil(32)).map(move |block| {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(block.to_be_bytes());
        hash.finalize().into()
    })
}
