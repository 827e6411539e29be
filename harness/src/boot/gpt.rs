//! A disk of several images, one in each partition of a GUID partition table.
//!
//! The kernel finds partitions by itself when a disk appears, so that init needs no loop devices. The
//! format is that of the UEFI specification, section 5.3.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::drive::{open, temporary};
use super::error::Error;

/// How many partitions of a disk the kernel shows.
pub(super) const PARTITIONS_MAX: usize = 255;

const SECTOR: u64 = 512;
/// Where partitions begin: what filesystems call a block never crosses this.
const ALIGNMENT: u64 = 4096;
const HEADER: usize = 92;
const ENTRY: usize = 128;
/// The sectors of the table's entries.
const ENTRIES_SECTORS: u64 = (PARTITIONS_MAX * ENTRY).div_ceil(SECTOR as usize) as u64;

/// Linux filesystem data, as a type of partition.
const TYPE: [u8; 16] = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];

/// Makes a disk of these images, at most [`PARTITIONS_MAX`], in their order. It is a file without a name,
/// and holes stay holes.
pub(super) fn disk(images: &[PathBuf]) -> Result<File, Error> {
    let disk = temporary()?;
    let failed = || Error::io("put layers on a disk");
    let mut at = align((2 + ENTRIES_SECTORS) * SECTOR);
    let mut places = Vec::new();
    for image in images {
        let image = open(image)?;
        let length = image.metadata().map_err(failed())?.len();
        copy(&image, &disk, at).map_err(failed())?;
        let sectors = length.div_ceil(SECTOR).max(1);
        places.push((at / SECTOR, at / SECTOR + sectors - 1));
        at = align(at + sectors * SECTOR);
    }
    let sectors = at / SECTOR + ENTRIES_SECTORS + 1;
    disk.set_len(sectors * SECTOR).map_err(failed())?;
    for (sector, bytes) in tables(&places, sectors) {
        disk.write_all_at(&bytes, sector * SECTOR)
            .map_err(failed())?;
    }
    Ok(disk)
}

/// What stands where besides the partitions, by sector: the table is at both ends of the disk.
fn tables(places: &[(u64, u64)], sectors: u64) -> Vec<(u64, Vec<u8>)> {
    let mut entries = vec![0; PARTITIONS_MAX * ENTRY];
    for (number, (entry, (first, last))) in entries.chunks_mut(ENTRY).zip(places).enumerate() {
        entry[..16].copy_from_slice(&TYPE);
        entry[16..32].copy_from_slice(&identifier(number as u64 + 1));
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
    }
    let last = sectors - 1;
    let backup = last - ENTRIES_SECTORS;
    vec![
        (0, protective(sectors)),
        (1, header(&entries, [1, last, 2], backup - 1)),
        (2, entries.clone()),
        (backup, entries.clone()),
        (last, header(&entries, [last, 1, backup], backup - 1)),
    ]
}

/// A header: where it is, where the other one is, and where its entries are.
fn header(entries: &[u8], [own, other, table]: [u64; 3], last_usable: u64) -> Vec<u8> {
    let mut header = b"EFI PART\0\0\x01\0".to_vec();
    header.extend((HEADER as u32).to_le_bytes());
    header.extend([0; 8]);
    header.extend(own.to_le_bytes());
    header.extend(other.to_le_bytes());
    header.extend((2 + ENTRIES_SECTORS).to_le_bytes());
    header.extend(last_usable.to_le_bytes());
    header.extend(identifier(0));
    header.extend(table.to_le_bytes());
    header.extend((PARTITIONS_MAX as u32).to_le_bytes());
    header.extend((ENTRY as u32).to_le_bytes());
    header.extend(sum(entries).to_le_bytes());
    let own_sum = sum(&header);
    header[16..20].copy_from_slice(&own_sum.to_le_bytes());
    header
}

/// The first sector, which tells those who know of no GUID partition table that the disk is full.
fn protective(sectors: u64) -> Vec<u8> {
    let mut sector = vec![0; SECTOR as usize];
    let size = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
    sector[446..454].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    sector[454..458].copy_from_slice(&1_u32.to_le_bytes());
    sector[458..462].copy_from_slice(&size.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Identifiers need only differ from each other.
fn identifier(number: u64) -> [u8; 16] {
    let mut bytes = *b"harness GPT\0\0\0\0\0";
    bytes[12..].copy_from_slice(&(number as u32).to_le_bytes());
    bytes
}

fn sum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn align(at: u64) -> u64 {
    at.next_multiple_of(ALIGNMENT)
}

/// Copies the parts of a file that may not be zero.
fn copy(from: &File, to: &File, to_at: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        at = match seek(from, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        let hole = seek(from, SeekFrom::Hole(at))?;
        while at < hole {
            let most = buffer.len().min((hole - at) as usize);
            let count = from.read_at(&mut buffer[..most], at)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all_at(&buffer[..count], to_at + at)?;
            at += count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{PARTITIONS_MAX, SECTOR, disk, sum};

    /// The field of 8 bytes at an offset of a sector.
    fn number(disk: &[u8], sector: u64, at: usize) -> u64 {
        let at = (sector * SECTOR) as usize + at;
        u64::from_le_bytes(disk[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn both_tables_lead_to_the_bytes_of_every_image() {
        let directory = tempfile::tempdir().unwrap();
        let images: Vec<_> = (0..PARTITIONS_MAX)
            .map(|index| {
                let path = directory.path().join(index.to_string());
                std::fs::write(&path, vec![index as u8; index * 100]).unwrap();
                path
            })
            .collect();
        let mut bytes = Vec::new();
        disk(&images).unwrap().read_to_end(&mut bytes).unwrap();
        let last = bytes.len() as u64 / SECTOR - 1;
        for header in [1, last] {
            let start = (header * SECTOR) as usize;
            assert_eq!(number(&bytes, header, 24), header);
            assert_eq!(number(&bytes, header, 32), last + 1 - header);
            let mut own = bytes[start..start + 92].to_vec();
            let written = own.splice(16..20, [0; 4]).collect::<Vec<u8>>();
            assert_eq!(sum(&own).to_le_bytes().to_vec(), written);
            let table = number(&bytes, header, 72);
            let entries = (table * SECTOR) as usize;
            let all = &bytes[entries..entries + PARTITIONS_MAX * 128];
            assert_eq!(sum(all).to_le_bytes(), bytes[start + 88..start + 92]);
            for (index, entry) in all.chunks(128).enumerate() {
                let first = u64::from_le_bytes(entry[32..40].try_into().unwrap());
                let end = u64::from_le_bytes(entry[40..48].try_into().unwrap()) + 1;
                let part = &bytes[(first * SECTOR) as usize..(end * SECTOR) as usize];
                assert_eq!(first % 8, 0);
                assert_eq!(part[..index * 100], vec![index as u8; index * 100]);
                assert!(part[index * 100..].iter().all(|byte| *byte == 0));
                assert!(part.len() < index * 100 + SECTOR as usize + usize::from(index == 0));
            }
        }
    }

    #[test]
    fn holes_stay_holes() {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let image = std::fs::File::create(&path).unwrap();
        image.set_len(1 << 40).unwrap();
        image.write_all_at(b"x", 1 << 39).unwrap();
        let made = disk(&[path]).unwrap();
        let mut byte = [0];
        made.read_exact_at(&mut byte, (1 << 39) + (36 << 10))
            .unwrap();
        assert!(made.metadata().unwrap().blocks() < 10_000);
    }
}
