//! Tar archives, header by header.
//!
//! POSIX.1-2017 *pax*, section "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
//! "Basic Tar Format". An entry is written in the plainest form of its dialect that holds its values.

use std::io::{self, Write};

use crate::case::{Content, Device, Dialect, Entry, Kind, Layer, pattern_bytes};

const BLOCK: usize = 512;

/// Writes a layer's archive: its entries, the end-of-archive blocks and what the layer appends.
/// What the layer cuts off is cut by the caller, who knows the length.
///
/// # Errors
///
/// Only those of `out`.
pub fn write_archive(layer: &Layer, out: &mut dyn Write) -> io::Result<()> {
    for entry in &layer.entries {
        write_entry(entry, out)?;
    }
    for _ in 0..layer.end_blocks.unwrap_or(2) {
        out.write_all(&[0; BLOCK])?;
    }
    out.write_all(&layer.append)
}

fn write_entry(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    match &entry.kind {
        Kind::Raw(content) => return write_content(content, out).map(drop),
        Kind::Global => {
            return write_records(b'g', b"pax_global_header", &entry.pax_records(&[]), out);
        }
        _ => {}
    }
    let size = entry.content().map_or(0, |content| content.size(nested));
    let mut header = Header::of(entry, size);
    for (typeflag, value) in std::mem::take(&mut header.gnu_long) {
        write_gnu_long(typeflag, &value, out)?;
    }
    let records = entry.pax_records(&header.overflow);
    if !records.is_empty() || entry.dialect == Dialect::Pax {
        let mut name = b"PaxHeaders/".to_vec();
        name.extend(
            entry
                .path
                .iter()
                .copied()
                .filter(|byte| *byte != b'/')
                .take(80),
        );
        write_records(b'x', &name, &records, out)?;
    }
    for (field, bytes) in &entry.header.fields {
        header.bytes[field.offset..][..field.length].fill(0);
        header.bytes[field.offset..][..bytes.len()].copy_from_slice(bytes);
    }
    let chksum_is_raw = entry
        .header
        .fields
        .iter()
        .any(|(field, _)| field.offset == 148);
    if !chksum_is_raw {
        header.seal(entry.header.checksum_signed, entry.header.checksum_delta);
    }
    out.write_all(&header.bytes)?;
    match entry.content() {
        Some(content) => {
            let written = write_content(content, out)?;
            pad(written, out)
        }
        None => Ok(()),
    }
}

impl Entry {
    fn content(&self) -> Option<&Content> {
        match &self.kind {
            Kind::File(content) | Kind::Raw(content) => Some(content),
            Kind::Dir(payload) | Kind::Hardlink(_, payload) => payload.as_ref(),
            _ => None,
        }
    }

    /// The records of this entry's pax header: the case's own first, then what its header fields
    /// cannot hold, then its extended attributes; a key the case writes itself is not written twice.
    fn pax_records(&self, overflow: &[(&str, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = self
            .pax
            .iter()
            .map(|(key, value)| (key.to_vec(), value.to_vec()))
            .collect();
        let needed = overflow
            .iter()
            .map(|(key, value)| (key.as_bytes().to_vec(), value.clone()));
        let xattrs = self
            .xattrs
            .iter()
            .map(|(name, value)| ([b"SCHILY.xattr.", name.as_slice()].concat(), value.to_vec()));
        for (key, value) in needed.chain(xattrs) {
            if !self.pax.iter().any(|(own, _)| *own == key) {
                records.push((key, value));
            }
        }
        records
    }
}

struct Header {
    bytes: [u8; BLOCK],
    /// pax records for values that do not fit the fields.
    overflow: Vec<(&'static str, Vec<u8>)>,
    /// GNU `L` and `K` entries for names that do not fit.
    gnu_long: Vec<(u8, Vec<u8>)>,
}

impl Header {
    fn of(entry: &Entry, size: u64) -> Header {
        let mut header = Header {
            bytes: [0; BLOCK],
            overflow: Vec::new(),
            gnu_long: Vec::new(),
        };
        header.name(entry);
        header.octal(100, 8, u64::from(entry.mode));
        header.number(entry.dialect, "uid", 108, 8, entry.uid);
        header.number(entry.dialect, "gid", 116, 8, entry.gid);
        header.number(entry.dialect, "size", 124, 12, size);
        header.mtime(entry);
        header.bytes[156] = typeflag(entry);
        match &entry.kind {
            Kind::Symlink(target) | Kind::Hardlink(target, _) => {
                header.link(entry.dialect, target);
            }
            Kind::Char(device) | Kind::Block(device) => header.device(*device),
            _ => {}
        }
        match entry.dialect {
            Dialect::V7 => {}
            Dialect::Gnu => header.bytes[257..265].copy_from_slice(b"ustar  \0"),
            Dialect::Ustar | Dialect::Pax => {
                header.bytes[257..265].copy_from_slice(b"ustar\x0000");
            }
        }
        header
    }

    fn name(&mut self, entry: &Entry) {
        let path = entry.path.as_slice();
        if path.len() <= 100 {
            self.bytes[..path.len()].copy_from_slice(path);
            return;
        }
        if entry.dialect == Dialect::Ustar
            && let Some(slash) = prefix_split(path)
        {
            self.bytes[345..345 + slash].copy_from_slice(&path[..slash]);
            let name = &path[slash + 1..];
            self.bytes[..name.len()].copy_from_slice(name);
            return;
        }
        self.bytes[..100].copy_from_slice(&path[..100]);
        match entry.dialect {
            Dialect::Gnu => self.gnu_long.push((b'L', path.to_vec())),
            _ => self.overflow.push(("path", path.to_vec())),
        }
    }

    fn link(&mut self, dialect: Dialect, target: &[u8]) {
        let fits = target.len().min(100);
        self.bytes[157..157 + fits].copy_from_slice(&target[..fits]);
        if target.len() > 100 {
            match dialect {
                Dialect::Gnu => self.gnu_long.push((b'K', target.to_vec())),
                _ => self.overflow.push(("linkpath", target.to_vec())),
            }
        }
    }

    fn mtime(&mut self, entry: &Entry) {
        let time = entry.mtime;
        match u64::try_from(time.seconds) {
            Ok(seconds) if seconds < 1 << 33 => self.octal(136, 12, seconds),
            _ if entry.dialect == Dialect::Gnu => {
                self.base256(136, 12, i128::from(time.seconds));
            }
            _ => {
                self.octal(136, 12, 0);
                if time.nanos == 0 {
                    self.overflow
                        .push(("mtime", time.seconds.to_string().into_bytes()));
                }
            }
        }
        if time.nanos != 0 {
            self.overflow
                .push(("mtime", decimal_time(time.seconds, time.nanos).into_bytes()));
        }
    }

    fn device(&mut self, device: Device) {
        for (offset, number) in [(329, device.major), (337, device.minor)] {
            match u64::from(number) {
                small if small < 1 << 21 => self.octal(offset, 8, small),
                large => self.base256(offset, 8, i128::from(large)),
            }
        }
    }

    /// A number in octal, or in the dialect's own way when it does not fit.
    fn number(
        &mut self,
        dialect: Dialect,
        key: &'static str,
        offset: usize,
        length: usize,
        number: u64,
    ) {
        let digits = length - 1;
        if number < 1 << (3 * digits) {
            self.octal(offset, length, number);
        } else if dialect == Dialect::Gnu {
            self.base256(offset, length, i128::from(number));
        } else {
            self.octal(offset, length, 0);
            self.overflow.push((key, number.to_string().into_bytes()));
        }
    }

    fn octal(&mut self, offset: usize, length: usize, number: u64) {
        let digits = format!("{number:0width$o}", width = length - 1);
        self.bytes[offset..offset + length - 1].copy_from_slice(digits.as_bytes());
    }

    /// GNU base-256: two's complement, most significant byte first, the top bit of the first byte set.
    fn base256(&mut self, offset: usize, length: usize, number: i128) {
        let bytes = number.to_be_bytes();
        self.bytes[offset..offset + length].copy_from_slice(&bytes[16 - length..]);
        self.bytes[offset] |= 0x80;
    }

    fn seal(&mut self, signed: bool, delta: i64) {
        self.bytes[148..156].fill(b' ');
        let sum: i64 = if signed {
            self.bytes
                .iter()
                .map(|byte| i64::from(byte.cast_signed()))
                .sum()
        } else {
            self.bytes.iter().map(|byte| i64::from(*byte)).sum()
        };
        let digits = format!("{:06o}\0 ", (sum + delta).max(0));
        self.bytes[148..156].copy_from_slice(&digits.as_bytes()[..8]);
    }
}

fn typeflag(entry: &Entry) -> u8 {
    match &entry.kind {
        Kind::File(_) | Kind::Dir(_) if entry.dialect == Dialect::V7 => 0,
        Kind::File(_) => b'0',
        Kind::Hardlink(..) => b'1',
        Kind::Symlink(_) => b'2',
        Kind::Char(_) => b'3',
        Kind::Block(_) => b'4',
        Kind::Dir(_) => b'5',
        Kind::Fifo => b'6',
        Kind::Global => b'g',
        Kind::Raw(_) => b'0',
    }
}

/// The slash at which a ustar name is cut into prefix (at most 155 bytes) and name (at most 100).
fn prefix_split(path: &[u8]) -> Option<usize> {
    let first = path.len().saturating_sub(101);
    (first.max(1)..path.len() - 1)
        .find(|at| path[*at] == b'/')
        .filter(|slash| *slash <= 155)
}

/// `seconds + nanos·10⁻⁹` as the decimal that pax records use.
fn decimal_time(seconds: i64, nanos: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let sign = if total < 0 { "-" } else { "" };
    let total = total.unsigned_abs();
    let fraction = format!("{:09}", total % 1_000_000_000);
    format!(
        "{sign}{}.{}",
        total / 1_000_000_000,
        fraction.trim_end_matches('0')
    )
}

fn write_records(
    typeflag: u8,
    name: &[u8],
    records: &[(Vec<u8>, Vec<u8>)],
    out: &mut dyn Write,
) -> io::Result<()> {
    let body: Vec<u8> = records
        .iter()
        .flat_map(|(key, value)| record(key, value))
        .collect();
    write_extension(typeflag, name, b"ustar\x0000", &body, out)
}

fn write_gnu_long(typeflag: u8, value: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let body = [value, b"\0"].concat();
    write_extension(typeflag, b"././@LongLink", b"ustar  \0", &body, out)
}

fn write_extension(
    typeflag: u8,
    name: &[u8],
    magic: &[u8; 8],
    body: &[u8],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut header = Header {
        bytes: [0; BLOCK],
        overflow: Vec::new(),
        gnu_long: Vec::new(),
    };
    header.bytes[..name.len()].copy_from_slice(name);
    header.octal(100, 8, 0o644);
    header.octal(108, 8, 0);
    header.octal(116, 8, 0);
    header.octal(124, 12, body.len() as u64);
    header.octal(136, 12, 0);
    header.bytes[156] = typeflag;
    header.bytes[257..265].copy_from_slice(magic);
    header.seal(false, 0);
    out.write_all(&header.bytes)?;
    out.write_all(body)?;
    pad(body.len() as u64, out)
}

/// One pax record: its own length in decimal, a blank, key=value, a newline.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn nested(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        write_entry(entry, &mut bytes).expect("writing to memory cannot fail");
    }
    bytes
}

/// Writes the bytes a content describes and gives their number.
///
/// # Errors
///
/// Those of `out`, and a content that is known by digest only.
pub fn write_content(content: &Content, out: &mut dyn Write) -> io::Result<u64> {
    let chunk = |left: u64, most: usize| usize::try_from(left).unwrap_or(most).min(most);
    match content {
        Content::Bytes(bytes) => out.write_all(bytes)?,
        Content::Zeros(size) => {
            let zeros = [0; 8192];
            let mut left = *size;
            while left > 0 {
                let now = chunk(left, zeros.len());
                out.write_all(&zeros[..now])?;
                left -= now as u64;
            }
        }
        Content::Pattern { seed, size } => {
            let mut left = *size;
            for block in pattern_bytes(*seed, *size) {
                let now = chunk(left, block.len());
                out.write_all(&block[..now])?;
                left -= now as u64;
            }
        }
        Content::Tar(entries) => out.write_all(&nested(entries))?,
        Content::Digest { .. } => {
            let message = "a layer that was read back is known by digest and cannot be written";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
    }
    Ok(content.size(nested))
}

fn pad(written: u64, out: &mut dyn Write) -> io::Result<()> {
    let rest = usize::try_from(written % BLOCK as u64).expect("below 512");
    match rest {
        0 => Ok(()),
        rest => out.write_all(&[0; BLOCK][rest..]),
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal_time, prefix_split, record};

    #[test]
    fn a_record_counts_itself() {
        assert_eq!(record(b"path", b"x"), b"9 path=x\n");
        assert_eq!(record(b"a", &[b'v'; 93]).len(), 99);
        assert_eq!(&record(b"a", &[b'v'; 94])[..4], b"101 ");
        for length in 0..2000 {
            let record = record(b"key", &vec![b'v'; length]);
            let stated: usize =
                String::from_utf8(record.split(|byte| *byte == b' ').next().unwrap().to_vec())
                    .unwrap()
                    .parse()
                    .unwrap();
            assert_eq!(stated, record.len());
        }
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        assert_eq!(decimal_time(-2, 500_000_000), "-1.5");
        assert_eq!(decimal_time(1, 5), "1.000000005");
    }

    #[test]
    fn a_long_name_is_cut_at_the_first_slash_that_leaves_a_hundred_bytes() {
        let path = |a: usize, b: usize| [vec![b'a'; a], b"/".to_vec(), vec![b'b'; b]].concat();
        assert_eq!(prefix_split(&path(155, 100)), Some(155));
        assert_eq!(prefix_split(&path(156, 100)), None);
        assert_eq!(prefix_split(&path(10, 101)), None);
    }
}
