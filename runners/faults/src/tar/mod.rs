//! A tar archive to entries: v7, ustar, pax and GNU headers. What is rare or contested is refused.

mod header;
mod pax;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::{Fault, Refusal};
use header::{BLOCK, Header};
use pax::Records;

/// An entry with all its headers merged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The name, byte for byte.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    File(Rc<[u8]>),
    Directory,
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
    Char(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// What layer.md calls file attributes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads every entry of an archive.
pub(crate) fn entries(archive: &[u8], fault: Option<Fault>) -> Result<Vec<Entry>, Refusal> {
    let mut reader = Reader {
        archive,
        at: 0,
        fault,
        global: None,
        seen: 0,
        is_lost: false,
    };
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.extend(entry);
    }
    if entries.is_empty() && fault == Some(Fault::EmptyArchiveRefused) {
        return Err(Refusal::new("this does not look like a tar archive"));
    }
    Ok(entries)
}

struct Reader<'a> {
    archive: &'a [u8],
    at: usize,
    fault: Option<Fault>,
    /// The records of the last global header; only faults look at them.
    global: Option<Records>,
    /// How many entries came after the global header.
    seen: usize,
    /// Whether a fault has left a payload to be read as headers.
    is_lost: bool,
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extended {
    records: Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    is_any: bool,
}

impl<'a> Reader<'a> {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn accepts_truncation(&self) -> bool {
        self.is(Fault::TruncationAccepted) || self.is(Fault::IntegrityUnchecked)
    }

    /// The next entry; `Some(None)` is one that a fault leaves out.
    fn next(&mut self) -> Result<Option<Option<Entry>>, Refusal> {
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header()? else {
                return match extended.is_any {
                    true => Err(Refusal::new("an extended header without an entry")),
                    false => Ok(None),
                };
            };
            let is_extension = match header.type_flag() {
                b'x' => self.pax(&header, &mut extended.records)?,
                b'g' => self.global(&header)?,
                b'L' => {
                    let name = self.long(&header)?;
                    extended.long_name = Some(name).filter(|_| !self.is(Fault::GnuLongNameIgnored));
                    true
                }
                b'K' => {
                    let link = self.long(&header)?;
                    extended.long_link = Some(link).filter(|_| !self.is(Fault::LongLinkTargetCut));
                    true
                }
                _ => false,
            };
            if !is_extension {
                return self.entry(&header, extended).map(Some);
            }
            extended.is_any = header.type_flag() != b'g' || extended.is_any;
        }
    }

    /// The next header; none at the end of the archive.
    fn header(&mut self) -> Result<Option<Header<'a>>, Refusal> {
        loop {
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            if block.iter().any(|byte| *byte != 0) {
                let header = Header::new(block, self.fault);
                match header.is_sum_right() {
                    true => return Ok(Some(header)),
                    false if self.is(Fault::BadHeadersSkipped) => continue,
                    false if self.is_lost || self.is(Fault::BadHeaderEndsArchive) => {
                        return Ok(None);
                    }
                    false => return Err(Refusal::new("a wrong header checksum")),
                }
            }
            if self.is(Fault::ReadsBehindTheEnd) {
                continue;
            }
            return match self.block()? {
                Some(next) if next.iter().any(|byte| *byte != 0) => {
                    Err(Refusal::new("a lone zero block"))
                }
                _ if self.is(Fault::PaddingRefused) && self.at < self.archive.len() => {
                    Err(Refusal::new("something stands behind the end"))
                }
                _ => Ok(None),
            };
        }
    }

    fn block(&mut self) -> Result<Option<&'a [u8]>, Refusal> {
        let rest = &self.archive[self.at..];
        if rest.len() < BLOCK {
            self.at = self.archive.len();
            return match rest.is_empty() || self.accepts_truncation() {
                true => Ok(None),
                false => Err(Refusal::new("the archive ends inside a header")),
            };
        }
        self.at += BLOCK;
        Ok(Some(&rest[..BLOCK]))
    }

    /// So many bytes of payload; the padding is skipped.
    fn payload(&mut self, size: u64) -> Result<&'a [u8], Refusal> {
        let rest = &self.archive[self.at..];
        let length = usize::try_from(size)
            .ok()
            .filter(|length| *length <= rest.len());
        let length = match length {
            Some(length) => length,
            None if self.accepts_truncation() => rest.len(),
            None => return Err(Refusal::new("the archive ends inside an entry")),
        };
        self.at += length.next_multiple_of(BLOCK).min(rest.len());
        Ok(&rest[..length])
    }

    /// pax applies a header to the next file; of two the last one stands alone.
    fn pax(&mut self, header: &Header<'_>, records: &mut Records) -> Result<bool, Refusal> {
        let text = self.payload(header.size()?)?;
        let new = Records::parse(text, self.fault)?;
        if self.is(Fault::PaxHeadersMerged) {
            records.merge(new);
        } else {
            *records = new;
        }
        Ok(true)
    }

    fn global(&mut self, header: &Header<'_>) -> Result<bool, Refusal> {
        if self.is(Fault::GlobalHeaderRefused) {
            return Err(Refusal::new("unknown typeflag g"));
        }
        let text = self.payload(header.size()?)?;
        if self.is(Fault::GlobalHeaderIsFile) {
            self.at -= text.len().next_multiple_of(BLOCK);
            return Ok(false);
        }
        self.global = Some(Records::parse(text, self.fault)?);
        self.seen = 0;
        Ok(true)
    }

    fn long(&mut self, header: &Header<'_>) -> Result<Vec<u8>, Refusal> {
        let payload = self.payload(header.size()?)?;
        let name = payload.split(|byte| *byte == 0).next();
        Ok(name.unwrap_or_default().to_vec())
    }

    fn entry(&mut self, header: &Header<'_>, extended: Extended) -> Result<Option<Entry>, Refusal> {
        let mut records = extended.records;
        self.take_global(&mut records);
        let path = records.path()?.or(extended.long_name);
        let path = path.unwrap_or_else(|| header.path());
        let path = self.text(path);
        let size = match records.size()? {
            Some(size) if !self.is(Fault::PaxSizeIgnored) => size,
            _ => header.size()?,
        };
        let is_leaf = matches!(header.type_flag(), b'1' | b'2' | b'5');
        self.is_lost = is_leaf && size > 0 && self.is(Fault::LinkPayloadNotSkipped);
        let payload = match self.is_lost {
            true => &[],
            false => self.payload(size)?,
        };
        let target = records.link_path()?.or(extended.long_link);
        let target = target.unwrap_or_else(|| header.link_path());
        let target = self.text(target);
        let is_text = std::str::from_utf8(&path).is_ok() && std::str::from_utf8(&target).is_ok();
        if self.is(Fault::NonUtf8NamesRefused) && !is_text {
            return Err(Refusal::new("the name cannot be converted"));
        }
        let Some(kind) = self.kind(header, &path, target, payload)? else {
            return Ok(None);
        };
        let attributes = self.attributes(header, &records)?;
        Ok(Some(Entry {
            path,
            kind,
            attributes,
        }))
    }

    /// A global header's records, where a fault gives them an effect.
    fn take_global(&mut self, records: &mut Records) {
        self.seen += 1;
        let Some(global) = &self.global else { return };
        if self.is(Fault::GlobalHeaderFromSecondEntry) && self.seen > 1 {
            records.inherit(global);
        }
    }

    fn text(&self, bytes: Vec<u8>) -> Vec<u8> {
        match self.is(Fault::NamesAreUtf8) {
            true => String::from_utf8_lossy(&bytes).into_owned().into_bytes(),
            false => bytes,
        }
    }

    fn kind(
        &self,
        header: &Header<'_>,
        path: &[u8],
        target: Vec<u8>,
        payload: &[u8],
    ) -> Result<Option<Kind>, Refusal> {
        let flag = header.type_flag();
        let skipped = match flag {
            0 => self.is(Fault::TypeflagNulSkipped),
            b'7' => self.is(Fault::TypeflagSevenSkipped),
            b'3' | b'4' => self.is(Fault::DevicesSkipped),
            b'6' => self.is(Fault::FifosSkipped),
            b'1' | b'2' => false,
            b'0' | b'5' => false,
            b'g' => false,
            _ => self.is(Fault::UnknownTypeSkipped),
        };
        if skipped {
            return Ok(None);
        }
        let is_slashed = path.ends_with(b"/");
        // The v7 way to write a directory.
        let is_directory = match self.fault {
            Some(Fault::TrailingSlashIsNoDirectory) => false,
            Some(Fault::TrailingSlashIsDirectory) => is_slashed && flag != b'1',
            _ => is_slashed && flag == 0,
        };
        Ok(Some(match flag {
            _ if is_directory => Kind::Directory,
            b'0' if self.is(Fault::LinkPathMakesLink) && !target.is_empty() => {
                Kind::Symlink(target)
            }
            b'5' if self.is(Fault::DirectoryNeedsSlash) && !is_slashed => Kind::File([].into()),
            0 | b'0' | b'7' | b'g' => Kind::File(payload.into()),
            b'S' if self.is(Fault::SparseWrittenRaw) => Kind::File(payload.into()),
            b'5' => Kind::Directory,
            b'1' => Kind::Hardlink(target),
            b'2' => Kind::Symlink(target),
            b'3' | b'4' if self.is(Fault::DevicesAreEmptyFiles) => Kind::File([].into()),
            b'3' => self
                .device(header)
                .map(|(major, minor)| Kind::Char(major, minor))?,
            b'4' => self
                .device(header)
                .map(|(major, minor)| Kind::Block(major, minor))?,
            b'6' => Kind::Fifo,
            other => {
                let other = other.escape_ascii();
                return Err(Refusal::new(format!("unknown type flag `{other}`")));
            }
        }))
    }

    fn device(&self, header: &Header<'_>) -> Result<(u32, u32), Refusal> {
        const MAJORS: u64 = 1 << 12;
        const MINORS: u64 = 1 << 20;
        let (major, minor) = header.device()?;
        if self.is(Fault::DeviceNumbersMasked) {
            return Ok(((major % MAJORS) as u32, (minor % MINORS) as u32));
        }
        match major < MAJORS && minor < MINORS {
            true => Ok((major as u32, minor as u32)),
            false => Err(Refusal::new(format!("no device number: {major},{minor}"))),
        }
    }

    fn attributes(&self, header: &Header<'_>, records: &Records) -> Result<Attributes, Refusal> {
        let owner = |number: i128| match u32::try_from(number) {
            Ok(id) => Ok(id),
            Err(_) if self.is(Fault::OwnerCutTo32Bits) => Ok(number as u32),
            Err(_) => Err(Refusal::new(format!("the owner {number} is out of range"))),
        };
        let uid = match records.number(b"uid")? {
            Some(_) if self.is(Fault::OwnerCutTo16Bits) => header.uid()? & 0xffff,
            Some(uid) => uid,
            None if header.names_root() && self.is(Fault::OwnerNameWins) => 0,
            None if self.is(Fault::OwnerCutTo16Bits) => header.uid()? & 0xffff,
            None => header.uid()?,
        };
        let gid = match records.number(b"gid")? {
            Some(gid) => gid,
            None => header.gid()?,
        };
        let (seconds, nanos) = match records.time()? {
            Some(time) => time,
            None => (header.time()?, 0),
        };
        Ok(Attributes {
            mode: header.mode()?,
            uid: owner(uid)?,
            gid: owner(gid)?,
            seconds,
            nanos,
            xattrs: records.xattrs()?,
        })
    }
}
