//! The extended attributes that stand behind an inode.

use std::collections::BTreeMap;

use bstr::BString;

use super::{ErofsError, error};

/// What stands before the attributes.
const HEADER: usize = 12;
/// Attributes begin at multiples of this, and their whole length is counted in it.
const UNIT: usize = 4;
/// The most units that an inode can count.
const UNITS_MAX: usize = u16::MAX as usize;

/// The prefixes that the format knows, with their numbers. It knows these two lists by whole names.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// The attributes as they stand behind the inode; nothing where there are none.
pub(super) fn area(
    xattrs: &BTreeMap<BString, BString>,
    path: &[u8],
) -> Result<Vec<u8>, ErofsError> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut area = vec![0; HEADER];
    for (name, value) in xattrs {
        let cannot = |what| {
            let name = crate::case::escape::escape(name);
            error(path, format!("the attribute `{name}` {what}"))
        };
        let (rest, index) = split(name).ok_or_else(|| cannot("has no prefix the format knows"))?;
        let length = u8::try_from(rest.len()).map_err(|_| cannot("has too long a name"))?;
        let size = u16::try_from(value.len()).map_err(|_| cannot("is of over 65,535 bytes"))?;
        area.extend([length, index]);
        area.extend(size.to_le_bytes());
        area.extend(rest);
        area.extend(value.as_slice());
        area.resize(area.len().next_multiple_of(UNIT), 0);
    }
    if count(area.len()) > UNITS_MAX {
        return Err(error(path, "the attributes are of over 256 KiB together"));
    }
    Ok(area)
}

/// The inode's count of an area: its header counts for one unit.
pub(super) fn count(area: usize) -> usize {
    if area == 0 {
        0
    } else {
        1 + (area - HEADER) / UNIT
    }
}

fn split(name: &[u8]) -> Option<(&[u8], u8)> {
    let (prefix, index) = PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix))?;
    let rest = &name[prefix.len()..];
    // Only the prefixes that end in a dot go on.
    (prefix.ends_with(b".") != rest.is_empty()).then_some((rest, *index))
}
