//! What an entry says about its inode besides kind and content.

/// A point in time, counted from 1970. The nanoseconds count forward, before 1970 too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// Extended attributes, name and value, in bytewise order of names.
pub(crate) type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// Attributes of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// The low twelve bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) xattrs: Xattrs,
}

impl Attributes {
    /// A directory that no layer describes: nothing of the host (umask, clock, user) may show.
    pub(crate) fn implied() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
        }
    }

    /// Bytes its extended attributes take.
    pub(crate) fn xattr_bytes(&self) -> u64 {
        self.xattrs
            .iter()
            .map(|(name, value)| (name.len() + value.len()) as u64)
            .sum()
    }
}
