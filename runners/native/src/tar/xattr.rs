//! Extended attributes of an entry, checked as the kernel checks them, so that a tar output refuses
//! what a directory could not hold.

use std::collections::BTreeMap;

use super::{Kind, TarError};
use crate::attributes::Xattrs;
use crate::limits;

/// The key of a pax record before the attribute's name.
pub(super) const KEY: &[u8] = b"SCHILY.xattr.";
/// Marks that overlayfs would act on if the result were mounted as one of its layers.
const OVERLAY: &[u8] = b"trusted.overlay.";
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Extended attributes by name.
#[derive(Default)]
pub(super) struct XattrSet(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl XattrSet {
    /// Takes a pax record. An empty value is a value: attributes may be empty, and no writer of layers
    /// takes an attribute back this way.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) {
        let name = &key[KEY.len()..];
        if !name.starts_with(OVERLAY) {
            self.0.insert(name.into(), value.into());
        }
    }

    /// The attributes of an inode of this kind and mode.
    pub(super) fn checked(mut self, kind: &Kind, mode: u32) -> Result<Xattrs, TarError> {
        for (name, value) in &self.0 {
            if let Some(problem) = problem(name, value, kind) {
                return Err(refuse(name, problem));
            }
        }
        for name in [ACCESS, DEFAULT] {
            let Some(value) = self.0.remove(name) else {
                continue;
            };
            let mode = (name == ACCESS).then_some(mode);
            if let Some(list) = access_list(&value, mode).map_err(|e| refuse(name, e))? {
                self.0.insert(name.into(), list.into());
            }
        }
        Ok(self.0.into_iter().collect())
    }
}

fn refuse(name: &[u8], problem: &'static str) -> TarError {
    TarError::Xattr {
        name: name.escape_ascii().to_string(),
        problem,
    }
}

fn problem(name: &[u8], value: &[u8], kind: &Kind) -> Option<&'static str> {
    // A hard link's own attributes mean nothing.
    let is_plain = matches!(kind, Kind::File(_) | Kind::Directory | Kind::HardLink(_));
    let below = |namespace: &[u8]| name.len() > namespace.len() && name.starts_with(namespace);
    let is_list = name == ACCESS || name == DEFAULT;
    if name.len() > limits::XATTR_NAME_BYTES {
        Some("its name is longer than 255 bytes")
    } else if name.contains(&0) {
        Some("its name has a NUL byte")
    } else if value.len() > limits::XATTR_VALUE_BYTES {
        Some("its value is longer than 65536 bytes")
    } else if below(b"user.") {
        (!is_plain).then_some("only files and directories can have `user.` attributes")
    } else if is_list && matches!(kind, Kind::Symlink(_)) {
        Some("a symbolic link cannot have an access list")
    } else if name == DEFAULT && !matches!(kind, Kind::Directory | Kind::HardLink(_)) {
        Some("only a directory can have a default access list")
    } else if is_list || below(b"trusted.") || below(b"security.") {
        None
    } else {
        Some("Linux has no such attribute")
    }
}

const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: [u8; 4] = [0xff; 4];

/// An access list as the kernel would give it back. Its entries for owner, mask (or group) and others
/// are the permission bits of `mode`, which is what the image says about both; a list that says nothing
/// more than those bits is none.
fn access_list(value: &[u8], mode: Option<u32>) -> Result<Option<Vec<u8>>, &'static str> {
    let malformed = Err("not a POSIX access list");
    let Some(entries) = value.strip_prefix(&[2, 0, 0, 0]) else {
        return malformed;
    };
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return malformed;
    }
    let tag = |entry: &[u8; 8]| u16::from_le_bytes([entry[0], entry[1]]);
    let tags: Vec<u16> = entries.iter().map(tag).collect();
    let count = |wanted| tags.iter().filter(|&&tag| tag == wanted).count();
    let has_mask = count(MASK) == 1;
    let is_extended = count(USER) + count(GROUP) > 0;
    let is_sorted = tags.is_sorted();
    let once = [USER_OBJECT, GROUP_OBJECT, OTHER]
        .iter()
        .all(|&tag| count(tag) == 1);
    let known = 3 + count(USER) + count(GROUP) + count(MASK) == tags.len();
    if tags.is_empty() {
        return Ok(None);
    }
    if !is_sorted || !once || !known || count(MASK) > 1 || (is_extended && !has_mask) {
        return malformed;
    }
    if mode.is_some() && !is_extended && !has_mask {
        return Ok(None);
    }
    let mut list = vec![2, 0, 0, 0];
    for entry in entries {
        let stated = u16::from_le_bytes([entry[2], entry[3]]);
        let shift = match tag(entry) {
            USER_OBJECT => Some(6),
            MASK => Some(3),
            GROUP_OBJECT if !has_mask => Some(3),
            OTHER => Some(0),
            _ => None,
        };
        let permissions = match (mode, shift) {
            (Some(mode), Some(shift)) => ((mode >> shift) & 7) as u16,
            _ => stated,
        };
        if stated > 7 {
            return malformed;
        }
        list.extend_from_slice(&entry[..2]);
        list.extend_from_slice(&permissions.to_le_bytes());
        let has_id = matches!(tag(entry), USER | GROUP);
        let id = [entry[4], entry[5], entry[6], entry[7]];
        if has_id && id == NO_ID {
            return malformed;
        }
        list.extend_from_slice(if has_id { &id } else { &NO_ID });
    }
    Ok(Some(list))
}
