//! Where each inode stands, and what is written there.

use std::collections::BTreeMap;

use bstr::BString;

use super::directory::{self, Entry};
use super::{
    BLOCK, ErofsError, Filesystem, INODE, Inode, InodeId, Kind, NAME_MAX, SLOT, bytes_of, error,
    put, superblock, xattr,
};
use crate::case::Device;

/// The extended form of an inode, in its first field.
const EXTENDED: u16 = 1;
/// The data's last part stands behind the inode, in its first field.
const INLINE: u16 = 2 << 1;

/// An inode with its place.
pub(super) struct Place {
    offset: usize,
    /// The number that only tells inodes apart, from 1.
    number: u32,
    links: u32,
    xattrs: Vec<u8>,
    data: Vec<u8>,
    /// The offset of the data's whole blocks.
    blocks: usize,
    /// Whether what is left behind whole blocks stands behind the inode.
    inline: bool,
}

impl Place {
    /// The number by which directories and the superblock name the inode.
    pub(super) fn nid(&self) -> u64 {
        (self.offset / SLOT) as u64
    }

    /// The end of all that is written for this inode.
    pub(super) fn end(&self) -> usize {
        self.inode_end()
            .max(self.blocks + self.whole_blocks() * BLOCK)
    }

    fn inode_end(&self) -> usize {
        let tail = if self.inline { self.tail() } else { 0 };
        self.offset + INODE + self.xattrs.len() + tail
    }

    /// The bytes of data behind its last whole block.
    fn tail(&self) -> usize {
        self.data.len() % BLOCK
    }

    /// The blocks that hold data and nothing else.
    fn whole_blocks(&self) -> usize {
        if self.inline {
            self.data.len() / BLOCK
        } else {
            self.data.len().div_ceil(BLOCK)
        }
    }

    /// Puts the inode behind `end`. A tail must not cross a block's end; one that would begins, inode and
    /// all, in the next block.
    fn settle(&mut self, end: usize) {
        self.offset = end.next_multiple_of(SLOT);
        let length = INODE + self.xattrs.len() + self.tail();
        self.inline = self.tail() > 0 && length <= BLOCK;
        if self.inline && self.offset % BLOCK + length > BLOCK {
            self.offset = self.offset.next_multiple_of(BLOCK);
        }
    }

    /// Writes inode, attributes and data.
    pub(super) fn write(&self, inode: &Inode, image: &mut [u8]) {
        let (kind, union) = match &inode.kind {
            Kind::Char(device) => (0o020_000, encode_device(*device)),
            Kind::Block(device) => (0o060_000, encode_device(*device)),
            Kind::Fifo => (0o010_000, 0),
            Kind::Dir(_) => (0o040_000, self.first_block()),
            Kind::File(_) => (0o100_000, self.first_block()),
            Kind::Symlink(_) => (0o120_000, self.first_block()),
        };
        let form = EXTENDED | if self.inline { INLINE } else { 0 };
        let xattr_count = xattr::count(self.xattrs.len()) as u16;
        let mut field = |offset: usize, bytes: &[u8]| put(image, self.offset + offset, bytes);
        field(0, &form.to_le_bytes());
        field(2, &xattr_count.to_le_bytes());
        field(4, &(kind | inode.mode as u16 & 0o7777).to_le_bytes());
        field(8, &(self.data.len() as u64).to_le_bytes());
        field(16, &union.to_le_bytes());
        field(20, &self.number.to_le_bytes());
        field(24, &inode.uid.to_le_bytes());
        field(28, &inode.gid.to_le_bytes());
        field(32, &inode.mtime.seconds.to_le_bytes());
        field(40, &inode.mtime.nanos.to_le_bytes());
        field(44, &self.links.to_le_bytes());
        field(INODE, &self.xattrs);
        let tail = if self.inline { self.tail() } else { 0 };
        let (whole, tail) = self.data.split_at(self.data.len() - tail);
        field(INODE + self.xattrs.len(), tail);
        put(image, self.blocks, whole);
    }

    fn first_block(&self) -> u32 {
        u32::try_from(self.blocks / BLOCK).expect("an image below 16 TiB")
    }
}

/// As the kernel's `new_encode_dev`: 12 bits of major and 20 of minor.
fn encode_device(device: Device) -> u32 {
    (device.minor & 0xff) | (device.major << 8) | ((device.minor & !0xff) << 12)
}

/// The place of every inode that has a name, and of the root.
pub(super) fn places(of: &Filesystem) -> Result<BTreeMap<InodeId, Place>, ErofsError> {
    let met = meet(of)?;
    let mut places = BTreeMap::new();
    let mut end = superblock::END;
    for (at, id) in met.order.iter().enumerate() {
        let mut place = Place {
            offset: 0,
            number: at as u32 + 1,
            links: met.links[id],
            xattrs: xattr::area(&of.get(*id).xattrs, &met.paths[id])?,
            data: data(of, &met, *id, &|_| 0)?,
            blocks: 0,
            inline: false,
        };
        place.settle(end);
        end = place.inode_end();
        places.insert(*id, place);
    }
    end = end.next_multiple_of(BLOCK);
    for id in &met.order {
        let place = places.get_mut(id).expect("each that was met");
        if place.whole_blocks() > 0 {
            place.blocks = end;
            end += place.whole_blocks() * BLOCK;
        }
    }
    let nids: BTreeMap<InodeId, u64> = places
        .iter()
        .map(|(id, place)| (*id, place.nid()))
        .collect();
    for (id, place) in &mut places {
        if let Kind::Dir(_) = of.get(*id).kind {
            place.data = data(of, &met, *id, &|id| nids[&id])?;
        }
    }
    Ok(places)
}

/// The bytes of an inode's data; those of a directory have the same length whatever the numbers are.
fn data(
    of: &Filesystem,
    met: &Met,
    id: InodeId,
    nid: &dyn Fn(InodeId) -> u64,
) -> Result<Vec<u8>, ErofsError> {
    let names = match &of.get(id).kind {
        Kind::Dir(names) => names,
        Kind::File(content) => return bytes_of(content, &met.paths[&id]),
        Kind::Symlink(target) => return Ok(target.to_vec()),
        Kind::Char(_) | Kind::Block(_) | Kind::Fifo => return Ok(Vec::new()),
    };
    let own = [(&b"."[..], id), (b"..", met.parents[&id])];
    let children = names.iter().map(|(name, id)| (name.as_slice(), *id));
    let entries = own.into_iter().chain(children).map(|(name, id)| Entry {
        name: name.to_vec(),
        nid: nid(id),
        kind: type_number(&of.get(id).kind),
    });
    Ok(directory::bytes(entries.collect()))
}

fn type_number(kind: &Kind) -> u8 {
    match kind {
        Kind::File(_) => 1,
        Kind::Dir(_) => 2,
        Kind::Char(_) => 3,
        Kind::Block(_) => 4,
        Kind::Fifo => 5,
        Kind::Symlink(_) => 7,
    }
}

/// What a walk from the root found.
#[derive(Default)]
struct Met {
    order: Vec<InodeId>,
    /// The first path of each inode.
    paths: BTreeMap<InodeId, BString>,
    links: BTreeMap<InodeId, u32>,
    /// The directory above each directory; the root is above itself.
    parents: BTreeMap<InodeId, InodeId>,
}

fn meet(of: &Filesystem) -> Result<Met, ErofsError> {
    let mut met = Met::default();
    let mut left = vec![(of.root(), of.root(), BString::default())];
    while let Some((id, parent, path)) = left.pop() {
        let inode = of.get(id);
        *met.links.entry(id).or_default() += 1;
        if met.paths.contains_key(&id) {
            if matches!(inode.kind, Kind::Dir(_)) {
                return Err(error(&path, "a directory with two names"));
            }
            continue;
        }
        met.order.push(id);
        met.paths.insert(id, path.clone());
        if let Kind::Dir(names) = &inode.kind {
            met.parents.insert(id, parent);
            *met.links.entry(id).or_default() += 1;
            if id != of.root() {
                *met.links.entry(parent).or_default() += 1;
            }
            for (name, child) in names.iter().rev() {
                let path = join(&path, name);
                check_name(name, &path)?;
                left.push((*child, id, path));
            }
        }
    }
    Ok(met)
}

fn check_name(name: &[u8], path: &[u8]) -> Result<(), ErofsError> {
    let what = match name {
        b"" | b"." | b".." => "is no name",
        name if name.contains(&b'/') || name.contains(&0) => "is no name",
        name if name.len() > NAME_MAX => "a name of over 255 bytes",
        _ => return Ok(()),
    };
    Err(error(path, what))
}

fn join(path: &[u8], name: &[u8]) -> BString {
    match path {
        b"" => name.into(),
        path => [path, b"/", name].concat().into(),
    }
}
