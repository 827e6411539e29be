//! An entry's table to an [`Entry`]: its kind, its content, its attributes, its spelling.

use std::ops::Range;

use bstr::BString;
use toml::Spanned;

use super::CaseError;
use super::entry::{Content, Device, Dialect, Entry, HeaderField, HeaderFields, Kind, Time};
use super::error::line_number;
use super::escape::unescape;
use super::file::{DialectWord, EntryTable, Text};
use super::parse::Parser;

impl Parser<'_> {
    pub(super) fn entries(&self, tables: &[Spanned<EntryTable>]) -> Result<Vec<Entry>, CaseError> {
        tables.iter().map(|table| self.entry(table)).collect()
    }

    pub(super) fn entry(&self, table: &Spanned<EntryTable>) -> Result<Entry, CaseError> {
        let span = table.span();
        let entry = table.get_ref();
        let (word, kind, path) = self.kind(span.clone(), entry)?;
        self.only_keys_of(word, span.clone(), entry)?;
        let mut result = Entry::new(kind, path);
        result.line = line_number(self.text, span.start);
        if let Some(mode) = entry.mode {
            if mode > 0o7777 {
                return Err(self.error(span, "mode has at most twelve bits (0o7777)"));
            }
            result.mode = mode;
        }
        result.uid = entry.uid.unwrap_or(0);
        result.gid = entry.gid.unwrap_or(0);
        result.mtime = Time {
            seconds: entry.mtime.unwrap_or(0),
            nanos: entry.nanos.unwrap_or(0),
        };
        if result.mtime.nanos >= 1_000_000_000 {
            return Err(self.error(span, "nanos must be below 1_000_000_000"));
        }
        for (name, value) in &entry.xattrs {
            result
                .xattrs
                .insert(self.key(&span, name)?, self.bytes(value)?);
        }
        result.dialect = match entry.dialect {
            None | Some(DialectWord::Ustar) => Dialect::Ustar,
            Some(DialectWord::Pax) => Dialect::Pax,
            Some(DialectWord::Gnu) => Dialect::Gnu,
            Some(DialectWord::V7) => Dialect::V7,
        };
        if let Some(global) = &entry.global {
            for (name, value) in global {
                result
                    .pax
                    .push((self.key(&span, name)?, self.bytes(value)?));
            }
        }
        for (name, value) in &entry.pax {
            let toml::Value::String(value) = value else {
                return Err(self.error(span, format!("the pax record `{name}` must be a string")));
            };
            let value = unescape(value).map_err(|bad| self.error(span.clone(), bad.to_string()))?;
            result.pax.push((self.key(&span, name)?, value.into()));
        }
        result.header = self.header(&span, entry)?;
        Ok(result)
    }

    /// The kind word, the kind and the path of an entry; exactly one kind key must stand in it.
    fn kind(
        &self,
        span: Range<usize>,
        entry: &EntryTable,
    ) -> Result<(&'static str, Kind, BString), CaseError> {
        let named = [
            ("file", &entry.file),
            ("dir", &entry.dir),
            ("symlink", &entry.symlink),
            ("hardlink", &entry.hardlink),
            ("char", &entry.char),
            ("block", &entry.block),
            ("fifo", &entry.fifo),
            ("whiteout", &entry.whiteout),
            ("opaque", &entry.opaque),
        ];
        let mut kinds: Vec<(&'static str, Option<&Text>)> = named
            .iter()
            .filter_map(|(word, path)| path.as_ref().map(|path| (*word, Some(path))))
            .collect();
        if entry.global.is_some() {
            kinds.push(("global", None));
        }
        if entry.raw == Some(true) {
            kinds.push(("raw", None));
        }
        let &[(word, path)] = kinds.as_slice() else {
            let words = named.map(|(word, _)| word).join(", ");
            let message = format!("an entry has exactly one of {words}, global, raw = true");
            return Err(self.error(span, message));
        };
        let path = match path {
            Some(path) => self.bytes(path)?,
            None => BString::default(),
        };
        let content = self.content(&span, entry)?;
        let kind = match word {
            "file" => Kind::File(content.unwrap_or(Content::Bytes(Vec::new()))),
            "dir" => Kind::Dir(content),
            "symlink" => Kind::Symlink(self.target(span, entry)?),
            "hardlink" => Kind::Hardlink(self.target(span, entry)?, content),
            "char" => Kind::Char(self.device(span, entry)?),
            "block" => Kind::Block(self.device(span, entry)?),
            "fifo" => Kind::Fifo,
            "global" => Kind::Global,
            "raw" => Kind::Raw(content.ok_or_else(|| {
                self.error(
                    span,
                    "raw bytes need a content: text, hex, zeros, pattern or tar",
                )
            })?),
            _ => {
                let marker = if word == "whiteout" {
                    marker_path(&path, b".wh.", true)
                } else {
                    marker_path(&path, b".wh..wh..opq", false)
                };
                return Ok((word, Kind::File(Content::Bytes(Vec::new())), marker));
            }
        };
        Ok((word, kind, path))
    }

    fn only_keys_of(
        &self,
        word: &str,
        span: Range<usize>,
        entry: &EntryTable,
    ) -> Result<(), CaseError> {
        let link = word == "symlink" || word == "hardlink";
        let device = word == "char" || word == "block";
        let content = matches!(word, "file" | "dir" | "hardlink" | "raw");
        let has_content = entry.text.is_some()
            || entry.hex.is_some()
            || entry.zeros.is_some()
            || entry.pattern.is_some()
            || entry.asset.is_some()
            || entry.tar.is_some();
        let stray = [
            ("to", entry.to.is_some() && !link),
            ("major", entry.major.is_some() && !device),
            ("minor", entry.minor.is_some() && !device),
            (
                "content (text, hex, zeros, pattern, asset, tar)",
                has_content && !content,
            ),
        ];
        match stray.into_iter().find(|(_, is_stray)| *is_stray) {
            Some((key, _)) => {
                Err(self.error(span, format!("an entry of kind {word} takes no {key}")))
            }
            None => Ok(()),
        }
    }

    fn content(
        &self,
        span: &Range<usize>,
        entry: &EntryTable,
    ) -> Result<Option<Content>, CaseError> {
        let mut contents = Vec::new();
        if let Some(text) = &entry.text {
            contents.push(Content::Bytes(self.bytes(text)?.into()));
        }
        if let Some(hex) = &entry.hex {
            contents.push(Content::Bytes(self.hex(hex)?));
        }
        if let Some(zeros) = entry.zeros {
            contents.push(Content::Zeros(zeros));
        }
        if let Some(pattern) = entry.pattern {
            contents.push(Content::Pattern {
                seed: pattern.seed,
                size: pattern.size,
            });
        }
        if let Some(name) = &entry.asset {
            let bytes = (self.asset)(name.get_ref()).ok_or_else(|| {
                let message = format!("no file `{}` in corpus/asset/", name.get_ref());
                self.error(name.span(), message)
            })?;
            contents.push(Content::Bytes(bytes));
        }
        if let Some(tar) = &entry.tar {
            contents.push(Content::Tar(self.entries(tar)?));
        }
        if contents.len() > 1 {
            let message = "a content is one of text, hex, zeros, pattern, asset, tar";
            return Err(self.error(span.clone(), message));
        }
        Ok(contents.pop())
    }

    fn target(&self, span: Range<usize>, entry: &EntryTable) -> Result<BString, CaseError> {
        let to = entry.to.as_ref();
        self.bytes(to.ok_or_else(|| self.error(span, "a link needs its target: to = \"…\""))?)
    }

    fn device(&self, span: Range<usize>, entry: &EntryTable) -> Result<Device, CaseError> {
        match (entry.major, entry.minor) {
            (Some(major), Some(minor)) => Ok(Device { major, minor }),
            _ => Err(self.error(span, "a device needs major and minor")),
        }
    }

    fn header(&self, span: &Range<usize>, entry: &EntryTable) -> Result<HeaderFields, CaseError> {
        let mut header = HeaderFields {
            fields: Vec::new(),
            checksum_delta: entry.chksum_delta,
            checksum_signed: entry.chksum_signed,
        };
        for (name, value) in &entry.header {
            let field = HeaderField::named(name).ok_or_else(|| {
                let message = format!("`{name}` is no field of a ustar header");
                self.error(span.clone(), message)
            })?;
            let bytes = self.bytes(value)?;
            if bytes.len() > field.length {
                let message = format!("the field `{name}` has only {} bytes", field.length);
                return Err(self.error(value.span(), message));
            }
            header.fields.push((field, bytes.into()));
        }
        Ok(header)
    }

    fn key(&self, span: &Range<usize>, name: &str) -> Result<BString, CaseError> {
        let bytes = unescape(name).map_err(|bad| self.error(span.clone(), bad.to_string()))?;
        Ok(bytes.into())
    }

    pub(super) fn hex(&self, hex: &Text) -> Result<Vec<u8>, CaseError> {
        let digits: String = hex.get_ref().split_whitespace().collect();
        data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|error| self.error(hex.span(), format!("not hex: {error}")))
    }

    pub(super) fn bytes(&self, text: &Text) -> Result<BString, CaseError> {
        let bytes =
            unescape(text.get_ref()).map_err(|bad| self.error(text.span(), bad.to_string()))?;
        Ok(bytes.into())
    }
}

/// `whiteout = "a/b"` is the file `a/.wh.b`; `opaque = "a"` is the file `a/.wh..wh..opq`.
fn marker_path(path: &BString, marker: &[u8], with_name: bool) -> BString {
    let (parent, name) = if with_name {
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..=slash], &path[slash + 1..]),
            None => (&path[..0], &path[..]),
        }
    } else {
        (&path[..], &path[..0])
    };
    let mut marked = parent.to_vec();
    if !with_name && !marked.is_empty() && marked.last() != Some(&b'/') {
        marked.push(b'/');
    }
    marked.extend_from_slice(marker);
    marked.extend_from_slice(name);
    marked.into()
}
