//! pax records beside the `tar` crate, which cuts a record at the first newline of its value.
//!
//! A value may hold any byte (pax(1), *pax Extended Header*), and binary extended attributes do hold
//! newlines. So the bytes on their way to the crate are watched: of each `x` header the records are
//! kept, by the offset of the header they belong to, which the crate tells for every entry.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

const BLOCK: usize = 512;
/// The longest `x` header that is kept; more than any kernel lets an inode have.
const RECORDS_BYTES_MAX: u64 = 64 << 20;

/// Records by the offset of the header they belong to.
pub(super) type Records = Rc<RefCell<BTreeMap<u64, Vec<(Vec<u8>, Vec<u8>)>>>>;

/// Passes an archive on and keeps its pax records.
pub(super) struct Watch<R> {
    inner: R,
    records: Records,
    offset: u64,
    /// The header or the records being collected.
    held: Vec<u8>,
    state: State,
    /// The records of the `x` header before, until the entry they belong to is met.
    pending: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

enum State {
    Header,
    /// An `x` header's data: how many bytes of it and of its padding are still to come.
    Records(u64, u64),
    Skip(u64),
}

impl<R: Read> Watch<R> {
    pub(super) fn new(inner: R) -> (Watch<R>, Records) {
        let records = Records::default();
        let watch = Watch {
            inner,
            records: Rc::clone(&records),
            offset: 0,
            held: Vec::new(),
            state: State::Header,
            pending: None,
        };
        (watch, records)
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match self.state {
                State::Header => (BLOCK - self.held.len()) as u64,
                State::Records(left, 0) | State::Records(0, left) | State::Skip(left) => left,
                State::Records(left, _) => left,
            };
            let now = usize::try_from(wanted)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (taken, rest) = bytes.split_at(now);
            bytes = rest;
            self.offset += now as u64;
            self.step(taken);
        }
    }

    fn step(&mut self, taken: &[u8]) {
        let count = taken.len() as u64;
        match self.state {
            State::Header => {
                self.held.extend_from_slice(taken);
                if self.held.len() == BLOCK {
                    self.header();
                }
            }
            State::Records(0, padding) => self.state = State::Records(0, padding - count),
            State::Records(left, padding) => {
                self.held.extend_from_slice(taken);
                self.state = State::Records(left - count, padding);
            }
            State::Skip(left) => self.state = State::Skip(left - count),
        }
        match self.state {
            State::Records(0, 0) => {
                self.pending = Some(parse(&self.held));
                self.held.clear();
                self.state = State::Header;
            }
            State::Skip(0) => self.state = State::Header,
            _ => {}
        }
    }

    fn header(&mut self) {
        let header = std::mem::take(&mut self.held);
        let mut size = number(&header[124..136]);
        match header[156] {
            b'x' if size <= RECORDS_BYTES_MAX => {
                self.state = State::Records(size, padding(size));
                return;
            }
            b'g' | b'x' | b'L' | b'K' => {}
            _ => {
                if let Some(records) = self.pending.take() {
                    let stated = records.iter().rev().find(|(key, _)| key == b"size");
                    let stated = stated.and_then(|(_, value)| std::str::from_utf8(value).ok());
                    size = stated.and_then(|text| text.parse().ok()).unwrap_or(size);
                    self.records
                        .borrow_mut()
                        .insert(self.offset - BLOCK as u64, records);
                }
            }
        }
        let whole = size.saturating_add(padding(size));
        self.state = if whole == 0 {
            State::Header
        } else {
            State::Skip(whole)
        };
    }
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.see(&out[..count]);
        Ok(count)
    }
}

/// The records of an `x` header; what is malformed ends them, and the `tar` crate says so.
fn parse(mut data: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    while let Some((record, rest)) = split_record(data) {
        if let Some(equals) = record.iter().position(|byte| *byte == b'=') {
            records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        }
        data = rest;
    }
    records
}

/// The first record, without its length and newline, and what follows it.
fn split_record(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = data.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&data[..blank]).ok()?.parse().ok()?;
    let record = data.get(blank + 1..length)?;
    Some((record.strip_suffix(b"\n")?, &data[length..]))
}

/// A number field: octal, or base-256 where the top bit is set.
fn number(field: &[u8]) -> u64 {
    if field[0] & 0x80 != 0 {
        return field[field.len() - 8..]
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ');
    let digits = digits.take_while(|byte| (b'0'..=b'7').contains(*byte));
    digits.fold(0u64, |value, digit| {
        value.wrapping_mul(8) + u64::from(digit - b'0')
    })
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

#[cfg(test)]
mod tests {
    use crate::case::{Content, Dialect, Entry, Kind, Layer};
    use crate::image::{read_entries, write_archive};

    #[test]
    fn values_with_newlines_survive_whatever_stands_around_them() {
        let mut first = Entry::new(Kind::File(Content::Zeros(513)), "a");
        first
            .xattrs
            .insert("user.k".into(), b"\n\x0012 user.x=\n".into());
        let mut long = Entry::new(Kind::Dir(None), "d/".repeat(120));
        long.dialect = Dialect::Gnu;
        let mut last = Entry::new(Kind::File(Content::Bytes(vec![7; 512])), "b");
        last.xattrs.insert("user.l".into(), b"\n".into());
        let layer = Layer {
            entries: vec![first, long, last],
            ..Layer::default()
        };
        let mut archive = Vec::new();
        write_archive(&layer, &mut archive).unwrap();
        let read = read_entries(&*archive).unwrap();
        let xattrs =
            |entries: &[Entry]| entries.iter().map(|e| e.xattrs.clone()).collect::<Vec<_>>();
        assert_eq!(xattrs(&read), xattrs(&layer.entries));
    }
}
