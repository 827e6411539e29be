//! Headers of the tar output: ustar where it can say it, pax records for the rest.

use crate::attributes::Attributes;

const BLOCK: usize = 512;
/// The largest values of the octal fields.
const OCTAL_7: u64 = 0o777_7777;
const OCTAL_11: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Clone, Copy)]
pub(super) enum Member<'a> {
    File(u64),
    Directory,
    Symlink(&'a [u8]),
    /// A further name for the path.
    HardLink(&'a [u8]),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// All header blocks of an entry. The root is `./`, and directories end in `/`.
pub(super) fn encode(path: &[u8], member: Member<'_>, attributes: &Attributes) -> Vec<u8> {
    let is_link = matches!(member, Member::HardLink(_));
    let path = match (path, member) {
        (b"", _) => b"./".to_vec(),
        (_, Member::Directory) => [path, b"/"].concat(),
        _ => path.to_vec(),
    };
    let (flag, size, target, (major, minor)) = match member {
        Member::File(size) => (b'0', size, &b""[..], (0, 0)),
        Member::Directory => (b'5', 0, &b""[..], (0, 0)),
        Member::Symlink(target) => (b'2', 0, target, (0, 0)),
        Member::HardLink(target) => (b'1', 0, target, (0, 0)),
        Member::CharDevice(major, minor) => (b'3', 0, &b""[..], (major, minor)),
        Member::BlockDevice(major, minor) => (b'4', 0, &b""[..], (major, minor)),
        Member::Fifo => (b'6', 0, &b""[..], (0, 0)),
    };
    let mode = if flag == b'2' { 0o777 } else { attributes.mode };
    let mtime = u64::try_from(attributes.mtime.seconds)
        .unwrap_or(0)
        .min(OCTAL_11);
    let mut records = records(&path, target, size, attributes);
    if !is_link {
        for (name, value) in &attributes.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
    }
    let mut blocks = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let name = b"././@PaxHeader";
        let header = Header {
            name,
            flag: b'x',
            size: records.len() as u64,
            ..Header::default()
        };
        blocks.extend_from_slice(&header.block());
        blocks.append(&mut records);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    }
    let header = Header {
        name: &path,
        mode,
        uid: attributes.uid,
        gid: attributes.gid,
        size,
        mtime,
        flag,
        target,
        major,
        minor,
    };
    blocks.extend_from_slice(&header.block());
    blocks
}

/// The pax records for what the fields of ustar cannot hold.
fn records(path: &[u8], target: &[u8], size: u64, attributes: &Attributes) -> Vec<u8> {
    let mut records = Vec::new();
    let (long_path, long_target) = (path.len() > 100, target.len() > 100);
    let is_text = |long: bool, bytes| !long || std::str::from_utf8(bytes).is_ok();
    if !is_text(long_path, path) || !is_text(long_target, target) {
        record(&mut records, b"hdrcharset", b"BINARY");
    }
    if long_path {
        record(&mut records, b"path", path);
    }
    if long_target {
        record(&mut records, b"linkpath", target);
    }
    if size > OCTAL_11 {
        record(&mut records, b"size", size.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], attributes.uid), (b"gid", attributes.gid)] {
        if u64::from(id) > OCTAL_7 {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let mtime = attributes.mtime;
    let fits = u64::try_from(mtime.seconds).is_ok_and(|seconds| seconds <= OCTAL_11);
    if !fits || mtime.nanoseconds != 0 {
        record(
            &mut records,
            b"mtime",
            decimal_time(mtime.seconds, mtime.nanoseconds).as_bytes(),
        );
    }
    records
}

/// Seconds with the fraction that is there. The nanoseconds count forward, the digits do not.
fn decimal_time(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (false, _) | (true, 0) => ("", i128::from(seconds), nanoseconds),
        (true, _) => ("-", -i128::from(seconds) - 1, 1_000_000_000 - nanoseconds),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Appends `length key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[derive(Default)]
struct Header<'a> {
    name: &'a [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    flag: u8,
    target: &'a [u8],
    major: u32,
    minor: u32,
}

impl Header<'_> {
    /// The block. What does not fit a field is cut here and stands in a pax record.
    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let text = |field: &mut [u8], bytes: &[u8]| {
            let length = bytes.len().min(field.len());
            field[..length].copy_from_slice(&bytes[..length]);
        };
        text(&mut block[..100], self.name);
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], self.uid.into());
        octal(&mut block[116..124], self.gid.into());
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[156] = self.flag;
        text(&mut block[157..257], self.target);
        text(&mut block[257..265], b"ustar\x0000");
        octal(&mut block[329..337], self.major.into());
        octal(&mut block[337..345], self.minor.into());
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        octal(&mut block[148..155], sum.into());
        block
    }
}

/// Octal digits to the field's end but one, which is NUL; all sevens if the value is too large.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let max = (1u64 << (3 * digits)) - 1;
    let text = format!("{:0digits$o}", value.min(max));
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
}
