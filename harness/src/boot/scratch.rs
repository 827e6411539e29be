//! An empty qcow2 image: what is written to a disk goes there, and all else is read from the file below.
//!
//! The format is that of QEMU's `docs/interop/qcow2.txt`, version 3. The file below is not named in it:
//! QEMU is told of it when it opens the image.

/// The bytes of a cluster, as a power of two.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;

/// How many bytes a cluster of entries of the second level stands for.
const MAPPED: u64 = CLUSTER / 8 * CLUSTER;

/// The image's beginning; a file of these bytes is an empty disk of `length` bytes.
///
/// The first cluster is the header, the second the table of reference counts, the third the counts of all
/// that is there yet, and then comes the table of the first level, all zero.
pub(super) fn header(length: u64) -> Vec<u8> {
    // A disk is of whole sectors.
    let size = length.next_multiple_of(512);
    let entries = size.div_ceil(MAPPED);
    let table_clusters = (entries * 8).div_ceil(CLUSTER).max(1);
    let mut image = vec![0; (3 * CLUSTER + table_clusters * CLUSTER) as usize];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3_u32.to_be_bytes());
    put(20, &CLUSTER_BITS.to_be_bytes());
    put(24, &size.to_be_bytes());
    put(36, &(entries as u32).to_be_bytes());
    put(40, &(3 * CLUSTER).to_be_bytes());
    put(48, &CLUSTER.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    // Counts of 16 bits, as a power of two; and the header's own length.
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    put(CLUSTER as usize, &(2 * CLUSTER).to_be_bytes());
    for cluster in 0..3 + table_clusters {
        let at = 2 * CLUSTER + 2 * cluster;
        put(at as usize, &1_u16.to_be_bytes());
    }
    image
}

#[cfg(test)]
mod tests {
    use super::{CLUSTER, MAPPED, header};

    #[test]
    fn the_tables_are_as_large_as_the_disk_asks_for() {
        for (length, entries, clusters) in [
            (0, 0, 4),
            (1, 1, 4),
            (MAPPED, 1, 4),
            (MAPPED + 1, 2, 4),
            (MAPPED * 8192, 8192, 4),
            (MAPPED * 8192 + 1, 8193, 5),
        ] {
            let image = header(length);
            assert_eq!(image[36..40], u32::to_be_bytes(entries), "{length}");
            assert_eq!(image.len() as u64, clusters * CLUSTER, "{length}");
            let size = u64::from_be_bytes(image[24..32].try_into().unwrap());
            assert!(size >= length && size % 512 == 0 && size < length + 512);
        }
    }
}
