//! An empty ext4 filesystem, for the writable layer over an image.
//!
//! It is written here, so that no host needs a program for it and it is the same everywhere. It has one
//! block group, no journal and nothing in it but its root. The format is that of the kernel's
//! `Documentation/filesystems/ext4/`.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::drive::temporary;
use super::error::Error;

const BLOCK: u64 = 4096;
/// 64 MiB; a group has up to 32768 blocks.
const BLOCKS: u32 = 16 << 10;
const INODES: u32 = 4096;
const INODE: u64 = 256;

/// The blocks of what every filesystem has.
const DESCRIPTOR: u32 = 1;
const BLOCK_BITMAP: u32 = 2;
const INODE_BITMAP: u32 = 3;
const INODE_TABLE: u32 = 4;
const ROOT: u32 = INODE_TABLE + INODES * INODE as u32 / BLOCK as u32;
/// The first block that is free.
const FREE: u32 = ROOT + 1;
/// The inodes that are not for files; the root is among them.
const RESERVED: u32 = 10;
const ROOT_INODE: u64 = 2;

/// An empty filesystem for [`Job::upper`](super::Job::upper), in a file without a name.
///
/// # Errors
///
/// Of making and writing the file.
pub fn empty_upper() -> Result<File, Error> {
    let file = temporary()?;
    file.set_len(u64::from(BLOCKS) * BLOCK)
        .and_then(|()| {
            let at = |block: u32| u64::from(block) * BLOCK;
            let root_inode = at(INODE_TABLE) + (ROOT_INODE - 1) * INODE;
            for (offset, bytes) in [
                (1024, superblock()),
                (at(DESCRIPTOR), descriptor()),
                (at(BLOCK_BITMAP), bitmap(FREE, BLOCKS)),
                (at(INODE_BITMAP), bitmap(RESERVED, INODES)),
                (root_inode, inode()),
                (at(ROOT), directory()),
            ] {
                file.write_all_at(&bytes, offset)?;
            }
            Ok(())
        })
        .map_err(Error::io("make the disk of the writable layer"))?;
    Ok(file)
}

/// Numbers at their offsets, each of so many bytes.
fn fields(length: usize, numbers: &[(usize, u32, usize)]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, number, count) in numbers {
        bytes[*at..at + count].copy_from_slice(&number.to_le_bytes()[..*count]);
    }
    bytes
}

fn superblock() -> Vec<u8> {
    fields(
        1024,
        &[
            (0, INODES, 4),
            (4, BLOCKS, 4),
            (12, BLOCKS - FREE, 4),
            (16, INODES - RESERVED, 4),
            // The size of a block, as a power of two above 1024; of clusters too.
            (24, 2, 4),
            (28, 2, 4),
            // Blocks, clusters and inodes of a group.
            (32, 32 << 10, 4),
            (36, 32 << 10, 4),
            (40, INODES, 4),
            // No limit on mounts between checks; the magic number; clean; go on after errors.
            (54, 0xffff, 2),
            (56, 0xef53, 2),
            (58, 1, 2),
            (60, 1, 2),
            // The revision with the fields from here on.
            (76, 1, 4),
            (84, RESERVED + 1, 4),
            (88, INODE as u32, 2),
            // Extended attributes and indexed directories; file types in directories, and extents;
            // large files, no limit on subdirectories, and large inodes.
            (92, 0x28, 4),
            (96, 0x42, 4),
            (100, 0x63, 4),
            // A hash for directories, and its seed, which need not be a secret.
            (236, 0x6861_726e, 4),
            (252, 1, 1),
            // user.* attributes and access control lists without asking.
            (256, 0x0c, 4),
            (348, 32, 2),
            (350, 32, 2),
            (352, 1, 4),
        ],
    )
}

fn descriptor() -> Vec<u8> {
    fields(
        32,
        &[
            (0, BLOCK_BITMAP, 4),
            (4, INODE_BITMAP, 4),
            (8, INODE_TABLE, 4),
            (12, BLOCKS - FREE, 2),
            (14, INODES - RESERVED, 2),
            // One directory.
            (16, 1, 2),
        ],
    )
}

/// A block of bits: the first `used` are set, and so are those that stand for nothing.
fn bitmap(used: u32, count: u32) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK as usize];
    let ends = (0..used).chain(count..8 * BLOCK as u32);
    for bit in ends {
        bytes[bit as usize / 8] |= 1 << (bit % 8);
    }
    bytes
}

fn inode() -> Vec<u8> {
    fields(
        INODE as usize,
        &[
            // A directory of mode 0755, of one block, with two links; the block; the inode's own length.
            (0, 0o040_755, 2),
            (4, BLOCK as u32, 4),
            (26, 2, 2),
            (28, BLOCK as u32 / 512, 4),
            (40, ROOT, 4),
            (128, 32, 2),
        ],
    )
}

fn directory() -> Vec<u8> {
    let inode = ROOT_INODE as u32;
    let rest = BLOCK as u32 - 12;
    let mut block = fields(
        BLOCK as usize,
        // `.` and `..`: inode, length of the entry, length of the name, and the type of a directory.
        &[
            (0, inode, 4),
            (4, 12, 2),
            (6, 1, 1),
            (7, 2, 1),
            (12, inode, 4),
            (16, rest, 2),
            (18, 2, 1),
            (19, 2, 1),
        ],
    );
    block[8..9].copy_from_slice(b".");
    block[20..22].copy_from_slice(b"..");
    block
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS, FREE, bitmap, empty_upper};

    #[test]
    fn bits_that_stand_for_nothing_are_set() {
        let bits = bitmap(FREE, BLOCKS);
        let set: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(set, 32 * 1024 - (BLOCKS - FREE));
        assert_eq!((bits[2047], bits[2048]), (0, 0xff));
    }

    #[test]
    fn little_of_it_takes_room() {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = empty_upper().unwrap().metadata().unwrap();
        assert_eq!(metadata.len(), 64 << 20);
        assert!(metadata.blocks() * 512 < 256 << 10, "{}", metadata.blocks());
    }
}
