//! Directories as blocks of entries: fixed parts first, then the names.
//!
//! The kernel finds names by binary search over blocks and then inside one, comparing bytes as unsigned,
//! so `.` and `..` stand among the others.

use super::BLOCK;

/// The fixed part of an entry.
const FIXED: usize = 12;

/// One entry.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) nid: u64,
    /// The type's number in directories.
    pub(super) kind: u8,
}

/// The bytes of a directory; `.` and `..` are among the entries.
pub(super) fn bytes(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut bytes = Vec::new();
    let mut left = entries.as_slice();
    while !left.is_empty() {
        let (block, rest) = left.split_at(fitting(left));
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        write_block(block, &mut bytes);
        left = rest;
    }
    bytes
}

/// How many of the entries fit one block.
fn fitting(entries: &[Entry]) -> usize {
    let mut used = 0;
    entries
        .iter()
        .take_while(|entry| {
            used += FIXED + entry.name.len();
            used <= BLOCK
        })
        .count()
}

fn write_block(entries: &[Entry], bytes: &mut Vec<u8>) {
    let mut name_offset = FIXED * entries.len();
    for entry in entries {
        bytes.extend(entry.nid.to_le_bytes());
        bytes.extend((name_offset as u16).to_le_bytes());
        bytes.extend([entry.kind, 0]);
        name_offset += entry.name.len();
    }
    for entry in entries {
        bytes.extend(&entry.name);
    }
}
