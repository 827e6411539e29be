//! The superblock.

use super::{BLOCK, put};

/// Where the superblock stands.
const OFFSET: usize = 1024;
/// Its bytes.
const LENGTH: usize = 128;
/// Where inodes may begin.
pub(super) const END: usize = OFFSET + LENGTH;

/// Where the checksum stands.
pub(super) const CHECKSUM: usize = OFFSET + 4;

const MAGIC: u32 = 0xE0F5_E1E2;
/// There is a checksum.
const FEATURE_CHECKSUM: u32 = 1;
/// An inode's time is its modification time.
const FEATURE_MTIME: u32 = 2;

/// Writes the superblock of an image that is complete but for it.
pub(super) fn write(image: &mut [u8], root: u64, inodes: usize) {
    let blocks = u32::try_from(image.len() / BLOCK).expect("an image below 16 TiB");
    let root = u16::try_from(root).expect("the root is the first inode");
    let mut field = |offset: usize, bytes: &[u8]| put(image, OFFSET + offset, bytes);
    field(0, &MAGIC.to_le_bytes());
    field(8, &(FEATURE_CHECKSUM | FEATURE_MTIME).to_le_bytes());
    field(12, &[BLOCK.ilog2() as u8]);
    field(14, &root.to_le_bytes());
    field(16, &(inodes as u64).to_le_bytes());
    field(36, &blocks.to_le_bytes());
    seal(image);
}

/// Makes the checksum anew. It is over all of the first block behind the superblock's start, with
/// zeros in its own place.
pub(super) fn seal(image: &mut [u8]) {
    put(image, CHECKSUM, &[0; 4]);
    let checksum = crc32c(&image[OFFSET..BLOCK]);
    put(image, CHECKSUM, &checksum.to_le_bytes());
}

/// CRC-32C without the inversion at its end, which is how the kernel keeps it.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let carry = crc & 1;
            (crc >> 1) ^ (POLYNOMIAL * carry)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(!crc32c(&[0; 32]), 0x8A91_36AA);
    }
}
