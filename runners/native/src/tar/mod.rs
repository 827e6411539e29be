//! Tar streams, entry by entry: v7, ustar, pax, GNU and star headers.
//!
//! Whatever two readers of tar are known to read differently is refused rather than guessed.

mod header;
mod pax;
mod sparse;
mod xattr;

use std::io::{self, BufRead};

use self::header::Header;
use self::pax::{Globals, Overrides};
use self::sparse::Segment;
use crate::attributes::Attributes;
use crate::limits;

pub(crate) const BLOCK: usize = 512;

/// Why a tar stream is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TarError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not a tar archive: wrong header checksum")]
    NotTar,
    #[error("wrong header checksum")]
    Checksum,
    #[error("the archive ends inside an entry")]
    Truncated,
    #[error("a single zero block that is not the end of the archive")]
    LoneZeroBlock,
    #[error("the {0} field is not a number in range")]
    Field(&'static str),
    #[error("unknown type flag `{}`", .0.escape_ascii())]
    TypeFlag(u8),
    #[error("a regular file whose name ends in `/`")]
    TrailingSlash,
    #[error("both a pax path and a GNU long name")]
    TwoNames,
    #[error("a {0} header that no entry follows")]
    Dangling(&'static str),
    #[error("a {what} of {size} bytes is more than the limit of {limit}")]
    TooLarge {
        what: &'static str,
        size: u64,
        limit: u64,
    },
    #[error("a malformed pax record")]
    PaxRecord,
    #[error("pax `{key}` has a value that is not allowed: `{value}`")]
    PaxValue { key: String, value: String },
    #[error("pax `{0}` in a global header")]
    PaxGlobal(String),
    #[error("a malformed sparse map: {0}")]
    Sparse(&'static str),
    #[error("a symbolic link with {0}")]
    Symlink(&'static str),
    #[error("a device number out of range: {0},{1}")]
    Device(u64, u64),
    #[error("extended attribute `{name}`: {problem}")]
    Xattr { name: String, problem: &'static str },
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file of so many bytes, holes included.
    File(u64),
    Directory,
    Symlink(Vec<u8>),
    /// A further name for the path.
    HardLink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// An entry with all headers merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name, byte for byte.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

/// A part of a file's content.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Data(&'a [u8]),
    /// So many zeros that the archive does not hold.
    Hole(u64),
}

/// Reads entries off a stream.
pub(crate) struct Reader<'a> {
    input: &'a mut dyn BufRead,
    globals: Globals,
    /// Bytes handed out by the last `Piece::Data`, to be consumed before the next read.
    lent: usize,
    /// Payload of the current entry not yet read, and the padding after it.
    payload: u64,
    padding: u64,
    /// The current sparse file, if it is one.
    sparse: Option<sparse::Cursor>,
    /// Bytes of holes seen so far.
    holes: u64,
    started: bool,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a mut dyn BufRead) -> Self {
        Self {
            input,
            globals: Globals::default(),
            lent: 0,
            payload: 0,
            padding: 0,
            sparse: None,
            holes: 0,
            started: false,
            ended: false,
        }
    }

    /// The next entry; nothing at the end of the archive. An unread rest of the last one is skipped.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_payload()?;
        let mut overrides = Overrides::default();
        let mut long_name = None;
        let mut long_link = None;
        let mut pending = None;
        loop {
            let Some(header) = self.header()? else {
                return match pending {
                    Some(what) => Err(TarError::Dangling(what)),
                    None => Ok(None),
                };
            };
            match header.type_flag() {
                // Solaris writes its extended headers as `X`, with the same records.
                b'x' | b'X' => {
                    // pax applies a header to the next file; of two the last one stands alone.
                    overrides = Overrides::parse(&self.meta("pax header", &header)?)?;
                    pending = Some("pax");
                }
                b'g' => {
                    let payload = self.meta("pax global header", &header)?;
                    self.globals.update(&payload)?;
                }
                b'L' => {
                    long_name = Some(until_nul(self.meta("GNU long name", &header)?));
                    pending = Some("GNU long name");
                }
                b'K' => {
                    long_link = Some(until_nul(self.meta("GNU long link name", &header)?));
                    pending = Some("GNU long link name");
                }
                _ => {
                    if overrides.path.is_some() && long_name.is_some()
                        || overrides.link_path.is_some() && long_link.is_some()
                    {
                        return Err(TarError::TwoNames);
                    }
                    overrides.path = overrides.path.or(long_name);
                    overrides.link_path = overrides.link_path.or(long_link);
                    return self.entry(&header, overrides).map(Some);
                }
            }
        }
    }

    /// The next part of the current file's content.
    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece<'_>>, TarError> {
        self.give_back();
        let limit = match &mut self.sparse {
            None => self.payload,
            Some(cursor) => match cursor.next() {
                None => return Ok(None),
                Some(Segment::Hole(length)) => return Ok(Some(Piece::Hole(length))),
                Some(Segment::Data(length)) => length,
            },
        };
        if limit == 0 {
            return Ok(None);
        }
        let available = self.input.fill_buf()?;
        if available.is_empty() {
            return Err(TarError::Truncated);
        }
        let length = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(available.len());
        self.lent = length;
        self.payload -= length as u64;
        if let Some(cursor) = &mut self.sparse {
            cursor.advance(length as u64);
        }
        Ok(Some(Piece::Data(&available[..length])))
    }

    /// Merges headers into an entry and stands before its content.
    fn entry(&mut self, header: &Header, overrides: Overrides) -> Result<Entry, TarError> {
        let size = match overrides.size {
            Some(size) => size,
            None => header.size()?,
        };
        self.payload = size;
        self.padding = padding(size);
        let mut path = overrides.path.clone().unwrap_or_else(|| header.path());
        let link = overrides
            .link_path
            .clone()
            .unwrap_or_else(|| header.link_path());
        let mut kind = header.kind(&path, link, size)?;
        if let Some(map) = self.sparse_map(header, &overrides)? {
            if !matches!(kind, Kind::File(_)) {
                return Err(TarError::Sparse("not a regular file"));
            }
            self.count_holes(map.size(), self.payload)?;
            kind = Kind::File(map.size());
            path = overrides.sparse.name.clone().unwrap_or(path);
            self.sparse = Some(map);
        }
        let attributes = header.attributes(&self.globals, overrides, &kind)?;
        Ok(Entry {
            path,
            kind,
            attributes,
        })
    }

    fn sparse_map(
        &mut self,
        header: &Header,
        overrides: &Overrides,
    ) -> Result<Option<sparse::Cursor>, TarError> {
        if header.type_flag() == b'S' {
            let map = sparse::gnu(header, || {
                let mut block = [0; BLOCK];
                match fill(self.input, &mut block)? {
                    BLOCK => Ok(block),
                    _ => Err(TarError::Truncated),
                }
            })?;
            return map.cursor(self.payload).map(Some);
        }
        let Some(map) = overrides.sparse.map()? else {
            return Ok(None);
        };
        let map = match map {
            sparse::PaxMap::Header(map) => map,
            sparse::PaxMap::InPayload(size) => {
                sparse::in_payload(size, self.input, &mut self.payload)?
            }
        };
        map.cursor(self.payload).map(Some)
    }

    fn count_holes(&mut self, size: u64, payload: u64) -> Result<(), TarError> {
        self.holes = self.holes.saturating_add(size - payload);
        match self.holes > limits::SPARSE_BYTES {
            true => Err(TarError::TooLarge {
                what: "total of holes in sparse files",
                size: self.holes,
                limit: limits::SPARSE_BYTES,
            }),
            false => Ok(()),
        }
    }

    /// The next header block that is not zero; nothing at the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        match fill(self.input, &mut block)? {
            0 => {
                self.ended = true;
                return Ok(None);
            }
            BLOCK => {}
            _ if self.started => return Err(TarError::Truncated),
            _ => return Err(TarError::NotTar),
        }
        if block.iter().any(|&byte| byte != 0) {
            let first = !std::mem::replace(&mut self.started, true);
            let header = Header::parse(block);
            return header.map(Some).ok_or(match first {
                true => TarError::NotTar,
                false => TarError::Checksum,
            });
        }
        self.ended = true;
        match fill(self.input, &mut block)? {
            BLOCK if block.iter().any(|&byte| byte != 0) => Err(TarError::LoneZeroBlock),
            _ => Ok(None),
        }
    }

    /// The payload of a header that describes the next entry.
    fn meta(&mut self, what: &'static str, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > limits::PAX_BYTES {
            return Err(TarError::TooLarge {
                what,
                size,
                limit: limits::PAX_BYTES,
            });
        }
        let mut payload = Vec::new();
        self.payload = size;
        self.padding = padding(size);
        while let Some(Piece::Data(bytes)) = self.next_piece()? {
            payload.extend_from_slice(bytes);
        }
        self.skip_payload()?;
        Ok(payload)
    }

    fn give_back(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        self.input.consume(lent);
    }

    fn skip_payload(&mut self) -> Result<(), TarError> {
        self.give_back();
        self.sparse = None;
        let mut left = std::mem::take(&mut self.payload) + std::mem::take(&mut self.padding);
        while left > 0 {
            let available = self.input.fill_buf()?.len();
            if available == 0 {
                return Err(TarError::Truncated);
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(available);
            self.input.consume(length);
            left -= length as u64;
        }
        Ok(())
    }
}

/// Zeros after a payload, up to the next block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// Fills `block` as far as the input goes.
fn fill(input: &mut dyn BufRead, block: &mut [u8; BLOCK]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < BLOCK {
        let available = input.fill_buf()?;
        if available.is_empty() {
            break;
        }
        let length = available.len().min(BLOCK - filled);
        block[filled..filled + length].copy_from_slice(&available[..length]);
        input.consume(length);
        filled += length;
    }
    Ok(filled)
}
