//! The 512 bytes of a header.

use crate::{Fault, Refusal};

pub(super) const BLOCK: usize = 512;

pub(super) struct Header<'a> {
    block: &'a [u8],
    fault: Option<Fault>,
}

impl<'a> Header<'a> {
    pub(super) fn new(block: &'a [u8], fault: Option<Fault>) -> Header<'a> {
        Header { block, fault }
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.block[156]
    }

    /// The sum of all bytes with the checksum's own field as blanks; old writers summed signed bytes.
    pub(super) fn is_sum_right(&self) -> bool {
        let end = match self.fault {
            Some(Fault::ChecksumWithoutPadding) => 500,
            _ => BLOCK,
        };
        let bytes = self.block[..end].iter().enumerate();
        let bytes = bytes.map(|(at, byte)| {
            if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            }
        });
        let unsigned: i64 = bytes.clone().map(i64::from).sum();
        let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
        let is_v7 = self.magic() != b"ustar\0" && self.magic() != b"ustar ";
        let is_version_wrong = self.magic() == b"ustar\0" && &self.block[263..265] != b"00";
        let is_refused = match self.fault {
            Some(Fault::OldHeadersRefused) => is_v7,
            Some(Fault::UstarVersionChecked) => is_version_wrong,
            _ => false,
        };
        if is_refused {
            return false;
        }
        number(&self.block[148..156], "checksum")
            .is_ok_and(|sum| sum == i128::from(unsigned) || sum == i128::from(signed))
    }

    fn magic(&self) -> &[u8] {
        &self.block[257..263]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = match self.fault {
            Some(Fault::FullFieldLosesLastByte) => text(&self.block[..99]),
            _ => text(&self.block[..100]),
        };
        let has_prefix = match self.fault {
            Some(Fault::PrefixOfGnuHeader) => self.magic().starts_with(b"ustar"),
            Some(Fault::PrefixIgnored) => false,
            _ => self.magic() == b"ustar\0",
        };
        let prefix = text(&self.block[345..500]);
        match has_prefix && !prefix.is_empty() {
            true => [prefix, b"/", name].concat(),
            false => name.to_vec(),
        }
    }

    pub(super) fn link_path(&self) -> Vec<u8> {
        let field = match self.fault {
            Some(Fault::FullFieldLosesLastByte) => &self.block[157..256],
            _ => &self.block[157..257],
        };
        text(field).to_vec()
    }

    pub(super) fn size(&self) -> Result<u64, Refusal> {
        let size = self.number(124..136, "size")?;
        u64::try_from(size).map_err(|_| Refusal::new(format!("no size: {size}")))
    }

    pub(super) fn mode(&self) -> Result<u32, Refusal> {
        Ok((self.number(100..108, "mode")? & 0o7777) as u32)
    }

    pub(super) fn uid(&self) -> Result<i128, Refusal> {
        self.number(108..116, "uid")
    }

    pub(super) fn gid(&self) -> Result<i128, Refusal> {
        self.number(116..124, "gid")
    }

    /// Whether the owner's name is root's, whatever the number.
    pub(super) fn names_root(&self) -> bool {
        text(&self.block[265..297]) == b"root"
    }

    pub(super) fn time(&self) -> Result<i64, Refusal> {
        let time = self.number(136..148, "mtime")?;
        i64::try_from(time).map_err(|_| Refusal::new(format!("no time: {time}")))
    }

    pub(super) fn device(&self) -> Result<(u64, u64), Refusal> {
        let part = |range, what| {
            let number = self.number(range, what)?;
            u64::try_from(number).map_err(|_| Refusal::new(format!("no device number: {number}")))
        };
        Ok((part(329..337, "devmajor")?, part(337..345, "devminor")?))
    }

    fn number(&self, range: std::ops::Range<usize>, what: &str) -> Result<i128, Refusal> {
        let field = &self.block[range];
        let is_full = !field.contains(&0) && !field.contains(&b' ');
        if is_full && self.fault == Some(Fault::NumberFieldNeedsEnd) {
            return Err(Refusal::new(format!("{what}: no NUL at the end")));
        }
        if field[0] == b' ' && self.fault == Some(Fault::NumberBlanksRefused) {
            return Err(Refusal::new(format!("{what}: a blank")));
        }
        if field[0] & 0x80 != 0 && self.fault == Some(Fault::Base256Refused) {
            return Err(Refusal::new(format!("{what}: not octal")));
        }
        number(field, what)
    }
}

/// Octal digits with blanks before and behind, or base 256; an empty field is 0.
fn number(field: &[u8], what: &str) -> Result<i128, Refusal> {
    let refusal = || Refusal::new(format!("{what}: no number"));
    if field[0] & 0x80 != 0 {
        let start = if field[0] & 0x40 != 0 { -1 } else { 0 };
        let bytes = field[1..].iter();
        let first = i128::from(field[0] & 0x3f) | (start << 6);
        return Ok(bytes.fold(first, |sum, byte| (sum << 8) | i128::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| *byte == 0 || *byte == b' ');
    let (digits, rest) = digits.split_at(end.unwrap_or(digits.len()));
    if rest.iter().any(|byte| *byte != 0 && *byte != b' ') {
        return Err(refusal());
    }
    digits.iter().try_fold(0, |sum, digit| match digit {
        b'0'..=b'7' => Ok(sum * 8 + i128::from(digit - b'0')),
        _ => Err(refusal()),
    })
}

/// A text field up to its NUL, which a full field does not have.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}
