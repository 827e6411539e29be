//! pax records: `length key=value\n`.

use std::collections::BTreeMap;

use crate::{Fault, Refusal};

/// The longest name and the largest value of an extended attribute on Linux.
const XATTR_NAME_MAX: usize = 255;
const XATTR_VALUE_MAX: usize = 65536;

/// The records of one header, by key. An empty value takes the record away.
#[derive(Default, Clone)]
pub(super) struct Records {
    by_key: BTreeMap<Vec<u8>, Vec<u8>>,
    fault: Option<Fault>,
}

impl Records {
    pub(super) fn parse(text: &[u8], fault: Option<Fault>) -> Result<Records, Refusal> {
        let mut by_key = BTreeMap::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some((record, next)) = split(rest, fault) else {
                return Err(Refusal::new("a malformed pax record"));
            };
            let (key, value) = record;
            check_key(key, fault)?;
            by_key.insert(key.to_vec(), value.to_vec());
            rest = next;
        }
        Ok(Records { by_key, fault })
    }

    /// Adds the records of a further header of the same entry.
    pub(super) fn merge(&mut self, newer: Records) {
        self.by_key.extend(newer.by_key);
        self.fault = newer.fault;
    }

    /// Takes over what the entry's own header does not say.
    pub(super) fn inherit(&mut self, global: &Records) {
        for (key, value) in &global.by_key {
            let own = self.by_key.entry(key.clone());
            own.or_insert_with(|| value.clone());
        }
        self.fault = global.fault;
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let value = self.by_key.get(key)?;
        (!value.is_empty()).then_some(value.as_slice())
    }

    pub(super) fn path(&self) -> Result<Option<Vec<u8>>, Refusal> {
        match self.fault {
            Some(Fault::PaxPathIgnored) => Ok(None),
            _ => self.name(b"path"),
        }
    }

    pub(super) fn link_path(&self) -> Result<Option<Vec<u8>>, Refusal> {
        match self.fault {
            Some(Fault::LongLinkTargetCut) => Ok(None),
            _ => self.name(b"linkpath"),
        }
    }

    fn name(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.iter().position(|byte| *byte == 0) {
            Some(end) if self.fault == Some(Fault::PaxNameCutAtNul) => {
                Ok(Some(value[..end].into()))
            }
            Some(_) => Err(Refusal::new("a NUL byte in a pax record")),
            None => Ok(Some(value.into())),
        }
    }

    pub(super) fn size(&self) -> Result<Option<u64>, Refusal> {
        let size = self.number(b"size")?;
        let refusal = || Refusal::new("pax: no size");
        size.map(|size| u64::try_from(size).map_err(|_| refusal()))
            .transpose()
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<Option<i128>, Refusal> {
        let number = |value| {
            let text = std::str::from_utf8(value).ok()?;
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten()
        };
        let refusal = || Refusal::new("pax: no number");
        self.get(key)
            .map(|value| number(value).ok_or_else(refusal))
            .transpose()
    }

    /// Seconds and nanoseconds, rounded down.
    pub(super) fn time(&self) -> Result<Option<(i64, u32)>, Refusal> {
        let Some(value) = self.get(b"mtime") else {
            return Ok(None);
        };
        let lenient = self.fault == Some(Fault::TimeReadUpToJunk);
        let time = decimal(value, lenient).ok_or_else(|| Refusal::new("pax: mtime is no time"))?;
        Ok(Some(time))
    }

    pub(super) fn xattrs(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Refusal> {
        let mut xattrs = BTreeMap::new();
        for (key, value) in &self.by_key {
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else {
                continue;
            };
            let is_too_long = name.len() > XATTR_NAME_MAX || value.len() > XATTR_VALUE_MAX;
            if is_too_long && self.fault != Some(Fault::XattrLimitsUnchecked) {
                return Err(Refusal::new(
                    "an extended attribute that Linux does not take",
                ));
            }
            xattrs.insert(name.to_vec(), value.clone());
        }
        Ok(xattrs)
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

/// The first record and what follows it.
fn split(text: &[u8], fault: Option<Fault>) -> Option<(Record<'_>, &[u8])> {
    let blank = text.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(&text[..blank]).ok()?;
    let is_plain = length.bytes().all(|byte| byte.is_ascii_digit());
    let length: usize = is_plain.then(|| length.parse().ok()).flatten()?;
    let is_lenient = fault == Some(Fault::PaxLengthUnchecked);
    let (record, next) = match text.split_at_checked(length) {
        Some(split) => split,
        None if is_lenient => (text, &text[text.len()..]),
        None => return None,
    };
    let record = match record.strip_suffix(b"\n") {
        Some(record) => record,
        None if is_lenient => &record[..record.len().saturating_sub(1)],
        None => return None,
    };
    let record = record.get(blank + 1..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some(((key, value), next))
}

fn check_key(key: &[u8], fault: Option<Fault>) -> Result<(), Refusal> {
    const KNOWN: [&[u8]; 11] = [
        b"path",
        b"linkpath",
        b"size",
        b"uid",
        b"gid",
        b"uname",
        b"gname",
        b"mtime",
        b"comment",
        b"hdrcharset",
        b"charset",
    ];
    let is_sparse = key.starts_with(b"GNU.sparse.");
    if is_sparse && fault != Some(Fault::SparseWrittenRaw) {
        return Err(Refusal::new("a sparse file"));
    }
    let is_known = KNOWN.contains(&key) || key.starts_with(b"SCHILY.xattr.");
    if fault == Some(Fault::PaxUnknownKeyRefused) && !is_known {
        let key = key.escape_ascii();
        return Err(Refusal::new(format!("unknown pax key `{key}`")));
    }
    Ok(())
}

fn decimal(value: &[u8], lenient: bool) -> Option<(i64, u32)> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let (is_negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let end = value.iter().position(|byte| !is_digit(byte));
    let (whole, rest) = value.split_at(end.unwrap_or(value.len()));
    let fraction = match rest.split_first() {
        None => &[],
        Some((b'.', fraction)) => fraction,
        Some(_) if lenient => &[],
        Some(_) => return None,
    };
    if (whole.is_empty() && !lenient) || !fraction.iter().all(is_digit) {
        return None;
    }
    let whole = std::str::from_utf8(whole).ok()?;
    let seconds: i64 = match whole {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let digits = (0..9).map(|at| fraction.get(at).map_or(0, |digit| u32::from(digit - b'0')));
    let nanos = digits.fold(0, |sum, digit| sum * 10 + digit);
    Some(match (is_negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}
