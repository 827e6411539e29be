//! Tar archives from a line of text, or byte by byte.
//!
//! Entries are separated by `, `: `d a/`, `f a=content`, `l a->target`, `h a=>target`, `c a 1,3`,
//! `b a 1,3`, `q a` (fifo), `w a/x` (explicit whiteout), `o a` (opaque whiteout). After the name, in any
//! order: a mode `0700`, an owner `1:2`, a time `@77`, a pax record `{key=value}`.

/// Seconds of an entry that does not say.
pub(super) const MTIME: u64 = 1_000_000_000;
const BLOCK: usize = 512;

/// A header block with its pax records and content; fields are public to be spoilt.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) block: [u8; BLOCK],
    pub(super) records: Vec<u8>,
    pub(super) content: Vec<u8>,
    /// Added to the right checksum.
    pub(super) checksum_error: i64,
}

/// An archive with its end.
pub(super) fn tar(text: &str) -> Vec<u8> {
    end(members(text).iter().flat_map(Member::bytes).collect())
}

/// Adds the two zero blocks.
pub(super) fn end(mut archive: Vec<u8>) -> Vec<u8> {
    archive.extend_from_slice(&[0; 2 * BLOCK]);
    archive
}

pub(super) fn members(text: &str) -> Vec<Member> {
    text.split(", ")
        .filter(|entry| !entry.is_empty())
        .map(member)
        .collect()
}

/// One entry.
pub(super) fn member(text: &str) -> Member {
    let mut words = text.split(' ');
    let (kind, rest) = (words.next().unwrap(), words.next().unwrap_or_default());
    let split = |by| {
        rest.split_once(by)
            .unwrap_or_else(|| panic!("no {by} in `{text}`"))
    };
    let mut member = match kind {
        "d" => Member::new(b'5', rest, b""),
        "f" => {
            let (name, content) = rest.split_once('=').unwrap_or((rest, "x"));
            Member::new(b'0', name, content.as_bytes())
        }
        "l" => Member::link(b'2', split("->")),
        "h" => Member::link(b'1', split("=>")),
        "c" => Member::new(b'3', rest, b""),
        "b" => Member::new(b'4', rest, b""),
        "q" => Member::new(b'6', rest, b""),
        "w" => {
            let (parent, name) = rest.rsplit_once('/').map_or(("", rest), |(p, n)| (p, n));
            let slash = if parent.is_empty() { "" } else { "/" };
            Member::new(b'0', &format!("{parent}{slash}.wh.{name}"), b"")
        }
        "o" if rest.is_empty() => Member::new(b'0', ".wh..wh..opq", b""),
        "o" => Member::new(b'0', &format!("{rest}/.wh..wh..opq"), b""),
        other => panic!("unknown kind `{other}`"),
    };
    for word in words {
        member.modify(word);
    }
    member
}

impl Member {
    /// A ustar header, with a pax record for a name that is too long for it.
    pub(super) fn new(flag: u8, name: &str, content: &[u8]) -> Self {
        Self::raw(flag, name.as_bytes(), content)
    }

    pub(super) fn raw(flag: u8, name: &[u8], content: &[u8]) -> Self {
        let mut member = Self {
            block: [0; BLOCK],
            records: Vec::new(),
            content: content.to_vec(),
            checksum_error: 0,
        };
        member.set(0, &name[..name.len().min(100)]);
        if name.len() > 100 {
            member.records = record("path", name);
        }
        member.octal(100..108, if flag == b'5' { 0o755 } else { 0o644 });
        member.octal(108..116, 0);
        member.octal(116..124, 0);
        member.octal(124..136, content.len() as u64);
        member.octal(136..148, MTIME);
        member.block[156] = flag;
        member.set(257, b"ustar\x0000");
        member
    }

    fn link(flag: u8, (name, target): (&str, &str)) -> Self {
        let mut member = Self::new(flag, name, b"");
        member.set(157, target.as_bytes());
        member
    }

    fn modify(&mut self, word: &str) {
        if let Some(record) = word.strip_prefix('{') {
            let (key, value) = record.strip_suffix('}').unwrap().split_once('=').unwrap();
            self.pax(key, value.as_bytes());
        } else if let Some(time) = word.strip_prefix('@') {
            self.octal(136..148, time.parse().unwrap());
        } else if let Some((uid, gid)) = word.split_once(':') {
            self.octal(108..116, uid.parse().unwrap());
            self.octal(116..124, gid.parse().unwrap());
        } else if let Some((major, minor)) = word.split_once(',') {
            self.octal(329..337, major.parse().unwrap());
            self.octal(337..345, minor.parse().unwrap());
        } else {
            self.octal(100..108, u64::from_str_radix(word, 8).unwrap());
        }
    }

    /// Bytes at an offset of the header.
    pub(super) fn set(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.block[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// A number as octal digits and a NUL.
    pub(super) fn octal(&mut self, field: std::ops::Range<usize>, value: u64) -> &mut Self {
        let digits = field.len() - 1;
        let text = format!("{value:0digits$o}\0");
        assert_eq!(text.len(), field.len(), "the value fits its field");
        self.set(field.start, text.as_bytes())
    }

    /// A number in base 256.
    pub(super) fn base256(&mut self, field: std::ops::Range<usize>, value: i128) -> &mut Self {
        let mut bytes = value.to_be_bytes()[16 - field.len()..].to_vec();
        bytes[0] = if value < 0 { 0xff } else { 0x80 };
        self.set(field.start, &bytes)
    }

    /// A pax record of an `x` header before the entry.
    pub(super) fn pax(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.records.extend_from_slice(&record(key, value));
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.records.is_empty() {
            bytes.extend_from_slice(&Self::raw(b'x', b"pax", &self.records).bytes());
        }
        let mut block = self.block;
        block[148..156].fill(b' ');
        let sum: i64 = block.iter().map(|&byte| i64::from(byte)).sum();
        let text = format!("{:06o}\0 ", sum + self.checksum_error);
        block[148..156].copy_from_slice(text.as_bytes());
        bytes.extend_from_slice(&block);
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

/// A pax record.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let length = (1..)
        .find(|n: &usize| n.to_string().len() + rest.len() == *n)
        .unwrap();
    [length.to_string().as_bytes(), &rest].concat()
}
