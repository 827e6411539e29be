//! A tree as one line of text, in the notation of `archive`, sorted by path.
//!
//! What is as `archive` makes it by default is left out: mode, owner, time 1000000000. The root is only
//! there if it is not as no layer describes it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::tar::{Kind, Piece, Reader};
use crate::tests::archive::MTIME;

struct Line {
    what: String,
    mode: Option<u32>,
    owner: (u32, u32),
    time: (i64, i64),
    xattrs: BTreeMap<String, Vec<u8>>,
}

/// Lists a directory without following or opening anything but files and directories.
pub(super) fn of_dir(root: &Path) -> String {
    let mut lines = BTreeMap::new();
    let mut first_names: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let full = root.join(OsStr::from_bytes(&path));
        let metadata = fs::symlink_metadata(&full).unwrap();
        let kind = metadata.file_type();
        let device = || {
            let (dev, name) = (metadata.rdev(), shown(&path));
            format!(
                "{name} {},{}",
                rustix::fs::major(dev),
                rustix::fs::minor(dev)
            )
        };
        let what = if kind.is_dir() {
            let mut names: Vec<_> = fs::read_dir(&full)
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            names.sort();
            for name in names.iter().rev() {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                pending.push([&path, slash, name.as_bytes()].concat());
            }
            format!("d {}", shown(&path))
        } else if let Some(first) = first_names.get(&metadata.ino()) {
            lines.insert(
                path.clone(),
                format!("h {}=>{}", shown(&path), shown(first)),
            );
            continue;
        } else if kind.is_symlink() {
            let target = fs::read_link(&full).unwrap();
            format!(
                "l {}->{}",
                shown(&path),
                shown(target.as_os_str().as_bytes())
            )
        } else if kind.is_file() {
            format!("f {}={}", shown(&path), content(&fs::read(&full).unwrap()))
        } else if kind.is_char_device() {
            format!("c {}", device())
        } else if kind.is_block_device() {
            format!("b {}", device())
        } else {
            assert!(kind.is_fifo());
            format!("q {}", shown(&path))
        };
        if !kind.is_dir() && metadata.nlink() > 1 {
            first_names.insert(metadata.ino(), path.clone());
        }
        let line = Line {
            what,
            mode: (!kind.is_symlink()).then_some(metadata.mode() & 0o7777),
            owner: (metadata.uid(), metadata.gid()),
            time: (metadata.mtime(), metadata.mtime_nsec()),
            xattrs: xattrs(&full),
        };
        lines.insert(path, line.text());
    }
    text(lines)
}

/// Lists a tar that this crate wrote.
pub(super) fn of_tar(mut archive: &[u8]) -> String {
    assert_eq!(archive.len() % 512, 0);
    let mut lines = BTreeMap::new();
    let mut reader = Reader::new(&mut archive);
    while let Some(entry) = reader.next_entry().unwrap() {
        let path = match entry.path.as_slice() {
            b"./" => b"",
            path => path.strip_suffix(b"/").unwrap_or(path),
        };
        let name = shown(path);
        let what = match &entry.kind {
            Kind::File(_) => {
                let mut bytes = Vec::new();
                while let Some(Piece::Data(piece)) = reader.next_piece().unwrap() {
                    bytes.extend_from_slice(piece);
                }
                format!("f {name}={}", content(&bytes))
            }
            Kind::Directory => format!("d {name}"),
            Kind::Symlink(target) => format!("l {name}->{}", shown(target)),
            Kind::HardLink(first) => {
                lines.insert(path.to_vec(), format!("h {name}=>{}", shown(first)));
                continue;
            }
            Kind::CharDevice(major, minor) => format!("c {name} {major},{minor}"),
            Kind::BlockDevice(major, minor) => format!("b {name} {major},{minor}"),
            Kind::Fifo => format!("q {name}"),
        };
        let attributes = entry.attributes;
        let is_symlink = matches!(entry.kind, Kind::Symlink(_));
        let xattr = |(name, value): (Box<[u8]>, Box<[u8]>)| (shown(&name), value.into());
        let line = Line {
            what,
            mode: (!is_symlink).then_some(attributes.mode),
            owner: (attributes.uid, attributes.gid),
            time: (
                attributes.mtime.seconds,
                attributes.mtime.nanoseconds.into(),
            ),
            xattrs: attributes.xattrs.into_iter().map(xattr).collect(),
        };
        lines.insert(path.to_vec(), line.text());
    }
    text(lines)
}

fn text(mut lines: BTreeMap<Vec<u8>, String>) -> String {
    if lines.get(&b""[..]).is_some_and(|root| root == "d  @0") {
        lines.remove(&b""[..]);
    }
    lines.into_values().collect::<Vec<_>>().join(", ")
}

impl Line {
    fn text(&self) -> String {
        let mut text = self.what.clone();
        let usual = if text.starts_with('d') { 0o755 } else { 0o644 };
        if let Some(mode) = self.mode.filter(|&mode| mode != usual) {
            text += &format!(" {mode:04o}");
        }
        if self.owner != (0, 0) {
            text += &format!(" {}:{}", self.owner.0, self.owner.1);
        }
        match self.time {
            (seconds, 0) if i64::try_from(MTIME) == Ok(seconds) => {}
            (seconds, 0) => text += &format!(" @{seconds}"),
            (seconds, nanoseconds) => text += &format!(" @{seconds}.{nanoseconds:09}"),
        }
        for (name, value) in &self.xattrs {
            text += &format!(" {{{name}={}}}", shown(value));
        }
        text
    }
}

fn content(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=40 => shown(bytes),
        length => format!("<{length}>"),
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        (shown(name), value)
    };
    names.map(value).collect()
}
