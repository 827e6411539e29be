//! The flattened tree as a tar archive, names in bytewise order.

use std::collections::BTreeMap;

use crate::Fault;
use crate::rootfs::{Content, Id, Node, ROOT, Rootfs};
use crate::tar::Attributes;

const BLOCK: usize = 512;
/// The largest number of seven octal digits.
const OCTAL_7_MAX: u64 = 0o777_7777;

/// The archive of a tree.
pub(crate) fn write(rootfs: &Rootfs, fault: Option<Fault>) -> Vec<u8> {
    let mut writer = Writer {
        rootfs,
        out: Vec::new(),
        first_names: BTreeMap::new(),
        copies: fault == Some(Fault::HardlinksCopied),
    };
    if fault == Some(Fault::HardlinkBeforeTarget) {
        writer.first_names = last_names(rootfs);
    }
    writer.node(b".", ROOT);
    writer.out.resize(writer.out.len() + 2 * BLOCK, 0);
    writer.out
}

/// The archive of a tree that has nothing but its root.
pub(crate) fn empty() -> Vec<u8> {
    write(&Rootfs::new(None), None)
}

/// The last name of every node that has several.
fn last_names(rootfs: &Rootfs) -> BTreeMap<Id, Vec<u8>> {
    let mut names: BTreeMap<Id, Vec<Vec<u8>>> = BTreeMap::new();
    let mut left = vec![(Vec::new(), ROOT)];
    while let Some((path, dir)) = left.pop() {
        for (name, id) in rootfs.children(dir) {
            let path = match path.is_empty() {
                true => name.clone(),
                false => [&path, &b"/"[..], name].concat(),
            };
            match rootfs.node(*id).content.is_dir() {
                true => left.push((path, *id)),
                false => names.entry(*id).or_default().push(path),
            }
        }
    }
    names.retain(|_, names| names.len() > 1);
    let last = |names: Vec<Vec<u8>>| names.into_iter().max().unwrap_or_default();
    names
        .into_iter()
        .map(|(id, names)| (id, last(names)))
        .collect()
}

struct Writer<'a> {
    rootfs: &'a Rootfs,
    out: Vec<u8>,
    /// The name under which each node was written.
    first_names: BTreeMap<Id, Vec<u8>>,
    copies: bool,
}

impl Writer<'_> {
    /// Writes a node and, where it is a directory, all that is in it. A loop and a list in the place of
    /// recursion: paths of an image may be deep.
    fn node(&mut self, path: &[u8], id: Id) {
        let mut left = vec![(path.to_vec(), id)];
        while let Some((path, id)) = left.pop() {
            let node = self.rootfs.node(id);
            let first = self.first_names.get(&id).filter(|_| !self.copies).cloned();
            match first {
                Some(first) if first == path => self.entry(&path, node, None),
                Some(first) if !node.content.is_dir() => {
                    self.entry(&path, node, Some(&first));
                    continue;
                }
                // A hard link to a directory: only a fault makes one, and its loop ends here.
                Some(_) => {
                    self.entry(&path, node, None);
                    continue;
                }
                None => self.entry(&path, node, None),
            }
            self.first_names.insert(id, path.clone());
            let children = self.rootfs.children(id).iter().rev();
            left.extend(children.map(|(name, child)| match path.as_slice() {
                b"." => (name.clone(), *child),
                _ => ([&path, &b"/"[..], name].concat(), *child),
            }));
        }
    }

    fn entry(&mut self, path: &[u8], node: &Node, first: Option<&[u8]>) {
        let (flag, target, content, device): (u8, &[u8], &[u8], _) = match (&node.content, first) {
            (_, Some(first)) => (b'1', first, b"", (0, 0)),
            (Content::Directory(_), _) => (b'5', b"", b"", (0, 0)),
            (Content::File(bytes), _) => (b'0', b"", bytes, (0, 0)),
            (Content::Symlink(target), _) => (b'2', target, b"", (0, 0)),
            (Content::Char(major, minor), _) => (b'3', b"", b"", (*major, *minor)),
            (Content::Block(major, minor), _) => (b'4', b"", b"", (*major, *minor)),
            (Content::Fifo, _) => (b'6', b"", b"", (0, 0)),
        };
        let path = match flag {
            b'5' => [path, b"/"].concat(),
            _ => path.to_vec(),
        };
        let records = records(&path, target, &node.attributes);
        if !records.is_empty() {
            self.header(
                b'x',
                b"pax",
                b"",
                &Attributes::default(),
                records.len(),
                (0, 0),
            );
            self.content(&records);
        }
        self.header(flag, &path, target, &node.attributes, content.len(), device);
        self.content(content);
    }

    fn header(
        &mut self,
        flag: u8,
        path: &[u8],
        target: &[u8],
        attributes: &Attributes,
        size: usize,
        device: (u32, u32),
    ) {
        let mut block = [0; BLOCK];
        let mut field = |at: usize, bytes: &[u8], max: usize| {
            let length = bytes.len().min(max);
            block[at..at + length].copy_from_slice(&bytes[..length]);
        };
        let octal = |number: u64, digits: usize| format!("{number:0digits$o}").into_bytes();
        let time = u64::try_from(attributes.seconds).unwrap_or(0);
        field(0, path, 100);
        field(100, &octal(u64::from(attributes.mode), 7), 7);
        field(
            108,
            &octal(u64::from(attributes.uid).min(OCTAL_7_MAX), 7),
            7,
        );
        field(
            116,
            &octal(u64::from(attributes.gid).min(OCTAL_7_MAX), 7),
            7,
        );
        field(124, &octal(size as u64, 11), 11);
        field(136, &octal(time.min(0o777_7777_7777), 11), 11);
        field(148, b"        ", 8);
        field(156, &[flag], 1);
        field(157, target, 100);
        field(257, b"ustar\x0000", 8);
        field(329, &octal(u64::from(device.0), 7), 7);
        field(337, &octal(u64::from(device.1), 7), 7);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..154].copy_from_slice(&octal(sum, 6));
        block[154] = 0;
        self.out.extend_from_slice(&block);
    }

    fn content(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.out.resize(self.out.len().next_multiple_of(BLOCK), 0);
    }
}

/// The pax records for what a plain header does not hold.
fn records(path: &[u8], target: &[u8], attributes: &Attributes) -> Vec<u8> {
    let mut records = Vec::new();
    let mut record = |key: &[u8], value: &[u8]| {
        let body = key.len() + value.len() + 3;
        let digits = |length: usize| length.to_string().len();
        let mut length = body + digits(body);
        length = body + digits(length);
        records.extend_from_slice(length.to_string().as_bytes());
        records.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
    };
    if path.len() > 100 {
        record(b"path", path);
    }
    if target.len() > 100 {
        record(b"linkpath", target);
    }
    for (key, id) in [(b"uid", attributes.uid), (b"gid", attributes.gid)] {
        if u64::from(id) > OCTAL_7_MAX {
            record(key, id.to_string().as_bytes());
        }
    }
    let fits = (0..=0o777_7777_7777).contains(&attributes.seconds) && attributes.nanos == 0;
    if !fits {
        record(b"mtime", time(attributes).as_bytes());
    }
    for (name, value) in &attributes.xattrs {
        record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// A time as pax has it: the sign is that of the whole number.
fn time(attributes: &Attributes) -> String {
    let (seconds, nanos) = (attributes.seconds, attributes.nanos);
    match (seconds < 0, nanos) {
        (_, 0) => seconds.to_string(),
        (false, _) => format!("{seconds}.{nanos:09}"),
        (true, _) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
    }
}
