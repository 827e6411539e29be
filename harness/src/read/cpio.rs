//! A cpio archive of the `newc` form as a tree: what Linux makes of an initramfs
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use bstr::{BString, ByteSlice as _};
use sha2::{Digest as _, Sha256};

use super::{CONTENT_BYTES_MAX, Unreadable};
use crate::tree::{Device, Inode, InodeId, InodeKind, Time, Tree, mtree};

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The longest name, and the longest target of a link, that the kernel takes.
const NAME_BYTES_MAX: u32 = 4096;

/// Reads the archive at `path`. The names of one file are those of entries with the same inode number, of
/// which the last that has content gives it. Anything after the end of the archive but zeros is an error: the
/// kernel would take it for a second archive.
///
/// # Errors
///
/// What the kernel would not unpack, and contents of more than [`CONTENT_BYTES_MAX`].
pub fn cpio(path: &Path) -> Result<Tree, Unreadable> {
    let unreadable = |path: &[u8], cause: String| Unreadable {
        path: mtree::name(path),
        cause,
    };
    let file = File::open(path).map_err(|error| unreadable(b"", error.to_string()))?;
    let mut archive = Archive {
        from: BufReader::new(file),
        at: 0,
        left: CONTENT_BYTES_MAX,
    };
    let mut unpacked = Unpacked::default();
    loop {
        let entry = archive
            .entry()
            .map_err(|error| unreadable(b"", format!("at byte {}: {error}", archive.at)))?;
        if entry.name == TRAILER {
            break;
        }
        let name = normal(&entry.name);
        unpacked
            .take(&name, entry)
            .map_err(|cause| unreadable(&name, cause))?;
    }
    archive
        .end()
        .map_err(|error| unreadable(b"", format!("after its end: {error}")))?;
    Ok(unpacked.tree)
}

#[derive(Default)]
struct Unpacked {
    tree: Tree,
    /// The files that have several names, by device and inode number.
    linked: BTreeMap<(u32, u32, u32), InodeId>,
}

impl Unpacked {
    fn take(&mut self, name: &BString, entry: Entry) -> Result<(), String> {
        let parent = name
            .rfind_byte(b'/')
            .map_or(&b""[..], |slash| &name[..slash]);
        let parent = self.tree.get(parent).map(|inode| &inode.kind);
        if !name.is_empty() && parent.is_some_and(|kind| *kind != InodeKind::Dir) {
            return Err("what it is in is no directory".to_owned());
        }
        // The root is there before anything is unpacked; no other directory is.
        if parent.is_none() && name.contains(&b'/') {
            return Err("its directory has no entry before it".to_owned());
        }
        let identity = (entry.major, entry.minor, entry.ino);
        let kind = entry.kind()?;
        let is_shared = entry.nlink > 1 && kind != InodeKind::Dir;
        let inode = Inode {
            mode: Some(match kind {
                InodeKind::Symlink(_) => 0o777,
                _ => entry.mode & 0o7777,
            }),
            uid: Some(entry.uid),
            gid: Some(entry.gid),
            mtime: Some(Time {
                seconds: i64::from(entry.mtime),
                nanos: 0,
            }),
            kind,
            xattrs: BTreeMap::new(),
        };
        let Some(id) = self.linked.get(&identity).copied().filter(|_| is_shared) else {
            let id = self.tree.insert(name.clone(), inode);
            if is_shared {
                self.linked.insert(identity, id);
            }
            return Ok(());
        };
        self.tree.link(name.clone(), id);
        let first = self.tree.get_mut(name).expect("it was just linked");
        if !matches!(inode.kind, InodeKind::File { size: 0, .. }) {
            *first = inode;
        }
        Ok(())
    }
}

/// An archive being read, entry by entry.
struct Archive {
    from: BufReader<File>,
    at: u64,
    /// How many bytes of content may still be read.
    left: u64,
}

/// One entry: the fields of its header, its name and its content, of which a link keeps the bytes.
struct Entry {
    ino: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    size: u32,
    major: u32,
    minor: u32,
    device: Device,
    name: BString,
    target: BString,
    sha256: [u8; 32],
}

impl Entry {
    fn kind(&self) -> Result<InodeKind, String> {
        Ok(match self.mode >> 12 {
            0o10 => InodeKind::File {
                size: u64::from(self.size),
                sha256: self.sha256,
            },
            0o04 => InodeKind::Dir,
            0o12 => InodeKind::Symlink(self.target.clone()),
            0o02 => InodeKind::Char(self.device),
            0o06 => InodeKind::Block(self.device),
            0o01 => InodeKind::Fifo,
            0o14 => InodeKind::Socket,
            _ => return Err(format!("mode {:o} is of no type", self.mode)),
        })
    }
}

impl Archive {
    fn entry(&mut self) -> io::Result<Entry> {
        let mut header = [0; 110];
        self.fill(&mut header)?;
        if &header[..6] != b"070701" {
            return Err(invalid("no header of an entry"));
        }
        let field = |number: usize| {
            let digits = &header[6 + 8 * number..14 + 8 * number];
            let text = std::str::from_utf8(digits).ok();
            let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
            number.ok_or_else(|| invalid("a field that is no number"))
        };
        let [ino, mode, uid, gid, nlink, mtime, size] = [
            field(0)?,
            field(1)?,
            field(2)?,
            field(3)?,
            field(4)?,
            field(5)?,
            field(6)?,
        ];
        let mut name = self.text(field(11)?)?;
        if name.pop() != Some(0) || name.contains(&0) {
            return Err(invalid("a name without its end"));
        }
        self.align()?;
        let is_link = mode >> 12 == 0o12;
        let (target, sha256) = match is_link {
            true => (self.text(size)?, [0; 32]),
            false => (Vec::new(), self.content(size)?),
        };
        self.align()?;
        Ok(Entry {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            size,
            major: field(7)?,
            minor: field(8)?,
            device: Device {
                major: field(9)?,
                minor: field(10)?,
            },
            name: name.into(),
            target: target.into(),
            sha256,
        })
    }

    /// That nothing but zeros follows.
    fn end(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.from.read(&mut buffer)? {
                0 => return Ok(()),
                count if buffer[..count].iter().all(|byte| *byte == 0) => {}
                _ => return Err(invalid("something that is not zeros")),
            }
        }
    }

    fn text(&mut self, length: u32) -> io::Result<Vec<u8>> {
        if length > NAME_BYTES_MAX {
            return Err(invalid("a name of over 4096 bytes"));
        }
        let mut text = vec![0; length as usize];
        self.fill(&mut text)?;
        Ok(text)
    }

    fn content(&mut self, length: u32) -> io::Result<[u8; 32]> {
        let mut digest = Sha256::new();
        let mut left = u64::from(length);
        self.left = self
            .left
            .checked_sub(left)
            .ok_or_else(|| invalid("more content in all than is read"))?;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let part = left.min(buffer.len() as u64) as usize;
            self.fill(&mut buffer[..part])?;
            digest.update(&buffer[..part]);
            left -= part as u64;
        }
        Ok(digest.finalize().into())
    }

    fn align(&mut self) -> io::Result<()> {
        let pad = (self.at.next_multiple_of(4) - self.at) as usize;
        self.fill(&mut [0; 3][..pad])
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(buffer)?;
        self.at += buffer.len() as u64;
        Ok(())
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn normal(path: &[u8]) -> BString {
    let names = path
        .split_str("/")
        .filter(|name| !name.is_empty() && *name != b".");
    bstr::join("/", names).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::cpio;
    use crate::tree::{Device, InodeKind, Tree};

    /// What an entry has beside its name and its content: type and mode, inode number, number of links.
    type Head = (u32, u32, u32);

    const DIR: Head = (0o040_755, 1, 2);
    const FILE: Head = (0o100_640, 2, 1);

    fn entry((mode, ino, nlink): Head, name: &str, content: &[u8]) -> Vec<u8> {
        let fields = [
            ino,
            mode,
            7,
            8,
            nlink,
            9,
            content.len() as u32,
            0,
            0,
            4,
            5,
            name.len() as u32 + 1,
            0,
        ];
        let mut bytes = b"070701".to_vec();
        bytes.extend(fields.map(|field| format!("{field:08X}")).concat().bytes());
        bytes.extend([name.as_bytes(), b"\0"].concat());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
        let trailer = entry((0, 0, 1), "TRAILER!!!", b"");
        [entries.concat(), trailer, vec![0; 512]].concat()
    }

    fn read(bytes: &[u8]) -> Result<Tree, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        cpio(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_archive_is_what_its_entries_say() {
        let tree = read(&archive(&[
            entry(DIR, ".", b""),
            entry(DIR, "d", b""),
            entry((0o104_755, 5, 2), "d/first", b""),
            entry((0o104_755, 5, 2), "second", b"abc"),
            entry((0o120_777, 6, 1), "link", b"./x/../y"),
            entry((0o020_600, 7, 1), "c", b""),
            entry((0o060_600, 8, 1), "b", b""),
            entry((0o010_600, 9, 1), "fifo", b""),
            entry((0o140_600, 9, 1), "socket", b""),
            entry(FILE, "./file", b"text\n"),
        ]))
        .unwrap();
        let kind = |path: &str| tree.get(path.as_bytes()).unwrap().kind.clone();
        let size = |path: &str| match kind(path) {
            InodeKind::File { size, .. } => size,
            other => panic!("{other:?}"),
        };
        assert_eq!((size("second"), size("d/first"), size("file")), (3, 3, 5));
        assert_eq!(tree.id(b"second"), tree.id(b"d/first"));
        assert_eq!(kind("link"), InodeKind::Symlink("./x/../y".into()));
        let device = Device { major: 4, minor: 5 };
        assert_eq!(kind("c"), InodeKind::Char(device));
        assert_eq!(kind("b"), InodeKind::Block(device));
        assert_eq!(
            (kind("fifo"), kind("socket")),
            (InodeKind::Fifo, InodeKind::Socket)
        );
        let first = tree.get(b"d/first").unwrap();
        let about = (first.mode, first.uid, first.gid);
        assert_eq!(about, (Some(0o4755), Some(7), Some(8)));
        assert_eq!(first.mtime.map(|time| time.seconds), Some(9));
        assert_eq!((tree.len(), kind("")), (10, InodeKind::Dir));
    }

    #[test]
    fn equal_inode_numbers_of_files_with_one_name_are_no_link() {
        let tree = read(&archive(&[entry(FILE, "a", b"1"), entry(FILE, "b", b"2")])).unwrap();
        assert_ne!(tree.id(b"a"), tree.id(b"b"));
    }

    #[test]
    fn what_the_kernel_would_not_unpack_is_refused() {
        let whole = archive(&[entry(FILE, "a", b"1234")]);
        let cut = |bytes: usize| whole[..bytes].to_vec();
        let patched = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        for (bytes, why) in [
            (Vec::new(), "at byte 0"),
            (cut(100), "at byte 0"),
            (cut(114), "failed to fill"),
            (cut(116), "failed to fill"),
            (patched(5, b'2'), "no header of an entry"),
            (patched(13, b'x'), "a field that is no number"),
            (patched(111, b'x'), "a name without its end"),
            ([&whole[..], &whole].concat(), "after its end"),
            (
                archive(&[entry(FILE, "d/a", b"")]),
                "its directory has no entry",
            ),
            (
                archive(&[entry(FILE, "d", b""), entry(FILE, "d/a", b"")]),
                "is no directory",
            ),
            (archive(&[entry((0o640, 2, 1), "a", b"")]), "is of no type"),
            (
                archive(&[entry(FILE, &"a".repeat(5000), b"")]),
                "over 4096 bytes",
            ),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
        assert_eq!(read(&whole).unwrap().len(), 1);
    }
}
