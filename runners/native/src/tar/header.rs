//! One 512-byte header block.

use super::pax::{Globals, Overrides};
use super::{BLOCK, Kind, TarError};
use crate::attributes::{Attributes, Timestamp};
use crate::limits;

const MODE_BITS: u32 = 0o7777;
/// Linux packs device numbers into twelve and twenty bits.
const MAJOR_MAX: u64 = 0xfff;
const MINOR_MAX: u64 = 0xf_ffff;

/// A block whose checksum is right.
pub(super) struct Header {
    block: [u8; BLOCK],
}

/// Which of the incompatible layouts of bytes 257 to 511 a header has.
#[derive(PartialEq, Eq)]
enum Dialect {
    /// No magic: name, attributes and link name only.
    V7,
    /// POSIX: a prefix of 155 bytes.
    Ustar,
    /// A prefix of 131 bytes, then times.
    Star,
    /// Times and a sparse map where POSIX has the prefix.
    Gnu,
}

impl Header {
    /// Takes a block, if its checksum is right: the sum of all bytes with the checksum field as
    /// spaces, of unsigned bytes as in POSIX or of signed ones as some old writers did.
    pub(super) fn parse(block: [u8; BLOCK]) -> Option<Self> {
        let stated = number(&block[148..156])?;
        let outside = |index: usize| !(148..156).contains(&index);
        let spaces = 8 * i128::from(b' ');
        let unsigned: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let field: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
        let right = stated == i128::from(unsigned - field) + spaces || {
            let bytes = block
                .iter()
                .enumerate()
                .filter(|(index, _)| outside(*index));
            let signed: i32 = bytes.map(|(_, &byte)| i32::from(byte.cast_signed())).sum();
            stated == i128::from(signed) + spaces
        };
        right.then_some(Self { block })
    }

    pub(super) fn block(&self) -> &[u8; BLOCK] {
        &self.block
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        // Offsets in files are signed, so nothing larger than i64 can exist.
        self.field("size", 124..136, 0, i64::MAX.into())
            .map(i128_to_u64)
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.block[345..500]),
            Dialect::Star => text(&self.block[345..476]),
            Dialect::V7 | Dialect::Gnu => b"",
        };
        match prefix {
            b"" => name.to_vec(),
            _ => [prefix, b"/", name].concat(),
        }
    }

    pub(super) fn link_path(&self) -> Vec<u8> {
        text(&self.block[157..257]).to_vec()
    }

    /// What the entry is. Only a file has content; a size on anything else is payload to skip.
    pub(super) fn kind(&self, path: &[u8], link: Vec<u8>, size: u64) -> Result<Kind, TarError> {
        let slash = path.ends_with(b"/");
        match self.type_flag() {
            // Before there were type flags, a trailing slash was the mark of a directory.
            0 if slash => Ok(Kind::Directory),
            b'0' if slash && self.dialect() == Dialect::V7 => Ok(Kind::Directory),
            0 | b'0' | b'7' | b'S' if slash => Err(TarError::TrailingSlash),
            0 | b'0' | b'7' | b'S' => Ok(Kind::File(size)),
            b'1' => Ok(Kind::HardLink(link)),
            b'2' => symlink(link),
            b'3' => self
                .device()
                .map(|(major, minor)| Kind::CharDevice(major, minor)),
            b'4' => self
                .device()
                .map(|(major, minor)| Kind::BlockDevice(major, minor)),
            b'5' => Ok(Kind::Directory),
            b'6' => Ok(Kind::Fifo),
            other => Err(TarError::TypeFlag(other)),
        }
    }

    /// The attributes: header fields, overridden by pax global and then by pax extended headers.
    pub(super) fn attributes(
        &self,
        globals: &Globals,
        overrides: Overrides,
        kind: &Kind,
    ) -> Result<Attributes, TarError> {
        // The last id is chown's "leave as it is".
        let id_max = i128::from(u32::MAX - 1);
        let id = |what, range, pax: Option<u32>| match pax {
            Some(id) => Ok(id),
            None => self.field(what, range, 0, id_max).map(i128_to_u32),
        };
        let mode = i128_to_u32(self.field("mode", 100..108, 0, u32::MAX.into())?) & MODE_BITS;
        let mtime = match overrides.mtime.or(globals.mtime) {
            Some(mtime) => mtime,
            None => Timestamp {
                seconds: self.mtime()?,
                nanoseconds: 0,
            },
        };
        Ok(Attributes {
            mode,
            uid: id("uid", 108..116, overrides.uid.or(globals.uid))?,
            gid: id("gid", 116..124, overrides.gid.or(globals.gid))?,
            mtime,
            xattrs: overrides.xattrs.checked(kind, mode)?,
        })
    }

    fn mtime(&self) -> Result<i64, TarError> {
        let seconds = self.field("mtime", 136..148, i64::MIN.into(), i64::MAX.into())?;
        Ok(i64::try_from(seconds).expect("within the range asked for"))
    }

    fn device(&self) -> Result<(u32, u32), TarError> {
        let max = i128::from(u64::MAX);
        let major = i128_to_u64(self.field("device major", 329..337, 0, max)?);
        let minor = i128_to_u64(self.field("device minor", 337..345, 0, max)?);
        match (u32::try_from(major), u32::try_from(minor)) {
            (Ok(a), Ok(b)) if major <= MAJOR_MAX && minor <= MINOR_MAX => Ok((a, b)),
            _ => Err(TarError::Device(major, minor)),
        }
    }

    fn field(
        &self,
        what: &'static str,
        range: std::ops::Range<usize>,
        min: i128,
        max: i128,
    ) -> Result<i128, TarError> {
        let value = number(&self.block[range]).filter(|value| (min..=max).contains(value));
        value.ok_or(TarError::Field(what))
    }

    fn dialect(&self) -> Dialect {
        match &self.block[257..263] {
            b"ustar\0" if &self.block[508..512] == b"tar\0" => Dialect::Star,
            b"ustar\0" => Dialect::Ustar,
            b"ustar " => Dialect::Gnu,
            _ => Dialect::V7,
        }
    }
}

fn symlink(target: Vec<u8>) -> Result<Kind, TarError> {
    match target.len() {
        0 => Err(TarError::Symlink("an empty target")),
        length if length > limits::TARGET_BYTES => {
            Err(TarError::Symlink("a target longer than 4095 bytes"))
        }
        _ => Ok(Kind::Symlink(target)),
    }
}

/// A field of text ends at a NUL or at its own end.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A numeric field: octal digits padded with spaces or NULs, or base-256 (GNU, star) in two's
/// complement. An empty field is zero.
pub(super) fn number(field: &[u8]) -> Option<i128> {
    if field.first().is_some_and(|&byte| byte & 0x80 != 0) {
        // Bit 7 marks the form, bit 6 is the sign.
        let first = i128::from(field[0] & 0x3f) - i128::from(field[0] & 0x40);
        return Some(
            field[1..]
                .iter()
                .fold(first, |sum, &b| (sum << 8) | i128::from(b)),
        );
    }
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field
        .iter()
        .position(|byte| !is_padding(byte))
        .unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_padding).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(is_padding) || !digits.iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |sum, &digit| (sum << 3) | i128::from(digit - b'0')),
    )
}

/// Only for values whose range was checked.
fn i128_to_u64(value: i128) -> u64 {
    u64::try_from(value).expect("within the range asked for")
}

/// Only for values whose range was checked.
fn i128_to_u32(value: i128) -> u32 {
    u32::try_from(value).expect("within the range asked for")
}
