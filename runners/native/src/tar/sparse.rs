//! GNU sparse files: the old header form and pax forms 0.0, 0.1 and 1.0.
//!
//! layer.md says that layers SHOULD NOT have them. They are expanded, never dropped; a map must be in
//! order and account for the payload exactly.

use std::io::BufRead;

use super::header::{Header, number};
use super::pax::{bad_value, decimal};
use super::{BLOCK, TarError};
use crate::limits;

/// Bytes of one number of an old GNU map.
const FIELD: usize = 12;

/// The `GNU.sparse.*` keys of a pax header.
#[derive(Default)]
pub(super) struct Keys {
    /// The real name; the header has a made-up one.
    pub(super) name: Option<Vec<u8>>,
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    numbers: Vec<u64>,
    has_map: bool,
}

/// A map of data in a file of `size` bytes.
pub(super) struct Map {
    size: u64,
    /// Offset and length of the data.
    data: Vec<(u64, u64)>,
}

/// Where a pax form keeps its map.
pub(super) enum PaxMap {
    Header(Map),
    /// At the front of the payload; the file has this size.
    InPayload(u64),
}

/// A stretch of a sparse file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Data(u64),
    Hole(u64),
}

/// Walks over the segments of a file.
pub(super) struct Cursor {
    size: u64,
    segments: std::vec::IntoIter<Segment>,
    /// What is left of the data segment being read.
    data: u64,
}

impl Keys {
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let one = || decimal(value).ok_or_else(|| bad_value(key, value));
        match &key[b"GNU.sparse.".len()..] {
            b"major" => self.major = Some(one()?),
            b"minor" => self.minor = Some(one()?),
            b"name" if value.is_empty() || value.contains(&0) => return Err(bad_value(key, value)),
            b"name" => self.name = Some(value.to_vec()),
            // 0.0 and 0.1 call it `size`, 1.0 `realsize`.
            b"size" | b"realsize" => self.size = Some(one()?),
            b"offset" | b"numbytes" => {
                self.has_map = true;
                self.numbers.push(one()?);
            }
            b"map" => {
                self.has_map = true;
                let numbers = value.split(|&byte| byte == b',').map(decimal);
                let numbers = numbers.collect::<Option<Vec<_>>>();
                self.numbers = numbers.ok_or_else(|| bad_value(key, value))?;
            }
            // Counted anyway.
            b"numblocks" => {}
            _ => return Err(bad_value(key, value)),
        }
        Ok(())
    }

    pub(super) fn map(&self) -> Result<Option<PaxMap>, TarError> {
        let size = || self.size.ok_or(TarError::Sparse("no size"));
        match (self.major, self.minor) {
            (None, None) if self.has_map => {
                pairs(size()?, &self.numbers).map(|map| Some(PaxMap::Header(map)))
            }
            (None, None) if self.size.is_none() && self.name.is_none() => Ok(None),
            (None, None) => Err(TarError::Sparse("no map")),
            (Some(0), Some(0 | 1)) => {
                pairs(size()?, &self.numbers).map(|map| Some(PaxMap::Header(map)))
            }
            (Some(1), Some(0)) => Ok(Some(PaxMap::InPayload(size()?))),
            _ => Err(TarError::Sparse("unknown version")),
        }
    }
}

impl Map {
    /// Checks the map against the payload and makes holes explicit.
    pub(super) fn cursor(self, payload: u64) -> Result<Cursor, TarError> {
        if i64::try_from(self.size).is_err() {
            return Err(TarError::Sparse("the file is too large"));
        }
        let mut segments = Vec::with_capacity(2 * self.data.len() + 1);
        let (mut end, mut data) = (0, 0);
        for (offset, length) in self.data {
            let next = offset.checked_add(length).filter(|&next| next <= self.size);
            let Some(next) = next.filter(|_| offset >= end) else {
                return Err(TarError::Sparse("segments out of order or out of the file"));
            };
            segments.push(Segment::Hole(offset - end));
            segments.push(Segment::Data(length));
            end = next;
            data += length;
        }
        if data != payload {
            return Err(TarError::Sparse("the map does not account for the payload"));
        }
        segments.push(Segment::Hole(self.size - end));
        segments.retain(|segment| !matches!(segment, Segment::Data(0) | Segment::Hole(0)));
        Ok(Cursor {
            size: self.size,
            segments: segments.into_iter(),
            data: 0,
        })
    }
}

impl Cursor {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The current stretch: a hole is passed at once, data as it is advanced over.
    pub(super) fn next(&mut self) -> Option<Segment> {
        if self.data == 0 {
            match self.segments.next()? {
                Segment::Data(length) => self.data = length,
                hole @ Segment::Hole(_) => return Some(hole),
            }
        }
        Some(Segment::Data(self.data))
    }

    pub(super) fn advance(&mut self, bytes: u64) {
        self.data -= bytes;
    }
}

/// The old GNU form: four segments in the header, more in blocks after it while each says so.
pub(super) fn gnu(
    header: &Header,
    mut next_block: impl FnMut() -> Result<[u8; BLOCK], TarError>,
) -> Result<Map, TarError> {
    let block = header.block();
    let size = gnu_number(&block[483..495])?;
    let mut data = Vec::new();
    gnu_segments(&block[386..482], &mut data)?;
    let mut more = block[482] != 0;
    while more {
        let block = next_block()?;
        gnu_segments(&block[..504], &mut data)?;
        more = block[504] != 0;
    }
    Ok(Map { size, data })
}

fn gnu_segments(fields: &[u8], data: &mut Vec<(u64, u64)>) -> Result<(), TarError> {
    for pair in fields.chunks_exact(2 * FIELD) {
        // Unused places are empty.
        if pair.iter().all(|&byte| byte == 0) {
            continue;
        }
        push(
            data,
            gnu_number(&pair[..FIELD])?,
            gnu_number(&pair[FIELD..])?,
        )?;
    }
    Ok(())
}

fn gnu_number(field: &[u8]) -> Result<u64, TarError> {
    let value = number(field).and_then(|value| u64::try_from(value).ok());
    value.ok_or(TarError::Field("sparse map"))
}

/// Form 1.0: decimal lines at the front of the payload, padded to a block.
pub(super) fn in_payload(
    size: u64,
    input: &mut dyn BufRead,
    payload: &mut u64,
) -> Result<Map, TarError> {
    let mut text = Lines {
        input,
        payload,
        block: [0; BLOCK],
        position: BLOCK,
    };
    let count = text.number()?;
    let mut data = Vec::new();
    for _ in 0..count {
        push(&mut data, text.number()?, text.number()?)?;
    }
    Ok(Map { size, data })
}

struct Lines<'a> {
    input: &'a mut dyn BufRead,
    payload: &'a mut u64,
    block: [u8; BLOCK],
    position: usize,
}

impl Lines<'_> {
    fn number(&mut self) -> Result<u64, TarError> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte if digits.len() < 20 => digits.push(byte),
                _ => return Err(TarError::Sparse("not a number")),
            }
        }
        decimal(&digits).ok_or(TarError::Sparse("not a number"))
    }

    fn byte(&mut self) -> Result<u8, TarError> {
        if self.position == BLOCK {
            let left = self.payload.checked_sub(BLOCK as u64);
            *self.payload = left.ok_or(TarError::Sparse("the map is longer than the payload"))?;
            if super::fill(self.input, &mut self.block)? != BLOCK {
                return Err(TarError::Truncated);
            }
            self.position = 0;
        }
        self.position += 1;
        Ok(self.block[self.position - 1])
    }
}

fn pairs(size: u64, numbers: &[u64]) -> Result<Map, TarError> {
    let mut data = Vec::new();
    for pair in numbers.chunks(2) {
        match *pair {
            [offset, length] => push(&mut data, offset, length)?,
            _ => return Err(TarError::Sparse("an offset without a length")),
        }
    }
    Ok(Map { size, data })
}

fn push(data: &mut Vec<(u64, u64)>, offset: u64, length: u64) -> Result<(), TarError> {
    if data.len() == limits::SPARSE_SEGMENTS {
        return Err(TarError::Sparse("too many segments"));
    }
    data.push((offset, length));
    Ok(())
}
