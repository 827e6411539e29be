//! pax extended headers, POSIX.1-2017 "pax Extended Header".

use super::TarError;
use super::sparse::Keys;
use super::xattr::{self, XattrSet};
use crate::attributes::Timestamp;

/// What an extended header says about the next entry.
#[derive(Default)]
pub(super) struct Overrides {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: XattrSet,
    pub(super) sparse: Keys,
}

/// What global headers say about all entries after them.
#[derive(Default)]
pub(super) struct Globals {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
}

impl Overrides {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, TarError> {
        let mut found = Self::default();
        for record in records(payload) {
            let (key, value) = record?;
            match key {
                b"path" => found.path = path(key, value)?,
                b"linkpath" => found.link_path = path(key, value)?,
                b"size" => found.size = parse_with(key, value, size)?,
                b"uid" => found.uid = parse_with(key, value, id)?,
                b"gid" => found.gid = parse_with(key, value, id)?,
                b"mtime" => found.mtime = parse_with(key, value, timestamp)?,
                _ if key.starts_with(xattr::KEY) => found.xattrs.insert(key, value),
                _ if key.starts_with(b"GNU.sparse.") => found.sparse.record(key, value)?,
                // Comments, access times, vendors' keys: no part of a root filesystem.
                _ => {}
            }
        }
        Ok(found)
    }
}

impl Globals {
    /// Applies a global header. What would give many entries one name or size is refused.
    pub(super) fn update(&mut self, payload: &[u8]) -> Result<(), TarError> {
        for record in records(payload) {
            let (key, value) = record?;
            match key {
                b"uid" => self.uid = parse_with(key, value, id)?,
                b"gid" => self.gid = parse_with(key, value, id)?,
                b"mtime" => self.mtime = parse_with(key, value, timestamp)?,
                b"path" | b"linkpath" | b"size" => return Err(TarError::PaxGlobal(shown(key))),
                _ if key.starts_with(b"GNU.sparse.") || key.starts_with(xattr::KEY) => {
                    return Err(TarError::PaxGlobal(shown(key)));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Splits a payload into records, `length SP key=value LF`.
fn records(payload: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), TarError>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = record(rest);
        rest = match &record {
            Some((_, _, rest)) => rest,
            None => &[],
        };
        Some(
            record
                .map(|(key, value, _)| (key, value))
                .ok_or(TarError::PaxRecord),
        )
    })
}

fn record(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = payload.iter().take(20).position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&payload[..space])?).ok()?;
    // At least the length, a space, one byte of key, `=` and the line feed.
    if length < space + 4 || length > payload.len() {
        return None;
    }
    let (record, rest) = payload.split_at(length);
    let record = record[space + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// An empty value takes an earlier one back.
fn parse_with<T>(
    key: &[u8],
    value: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, TarError> {
    match value {
        b"" => Ok(None),
        _ => parse(value).map(Some).ok_or_else(|| bad_value(key, value)),
    }
}

fn path(key: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    match value {
        b"" => Ok(None),
        _ if value.contains(&0) => Err(bad_value(key, value)),
        _ => Ok(Some(value.to_vec())),
    }
}

pub(super) fn bad_value(key: &[u8], value: &[u8]) -> TarError {
    let value = shown(&value[..value.len().min(80)]);
    TarError::PaxValue {
        key: shown(key),
        value,
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A number of digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

fn size(value: &[u8]) -> Option<u64> {
    decimal(value).filter(|&size| i64::try_from(size).is_ok())
}

fn id(value: &[u8]) -> Option<u32> {
    // The last id is chown's "leave as it is".
    decimal(value)
        .and_then(|id| u32::try_from(id).ok())
        .filter(|&id| id != u32::MAX)
}

/// Seconds with an optional fraction, of which the kernel keeps nine digits.
fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &b"0"[..]),
    };
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index| {
        fraction
            .get(index)
            .map_or(0, |&byte| u32::from(byte - b'0'))
    };
    let nanoseconds = (0..9).fold(0, |sum, index| sum * 10 + digit(index));
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds,
        },
        // Nanoseconds count forward.
        (true, _) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}
