//! The images of which overlayfs shows another tree than the model expects, and why.
//!
//! Kinds of images that overlayfs is not asked about are found by predicate, in `translate`: those that
//! carry overlayfs's own marks, which it would obey. What EROFS cannot hold is not asked either.
//!
//! Three ways of overlayfs are not among the differences, because the translation does what every
//! snapshotter on overlayfs has to do: a directory that a layer changes but does not name is in that
//! layer as a copy of the one below; the target of a hard link into a lower layer is copied up with its
//! link; and an opaque whiteout of the root is one whiteout for each name in it, as overlayfs merges
//! roots without asking.

/// An image on which the two differ.
#[derive(Clone, Copy)]
pub(super) struct Differs {
    /// Its golden.
    pub(super) golden: &'static str,
    /// Whose doing it is.
    #[expect(dead_code, reason = "it is for the reader")]
    pub(super) reason: &'static str,
    /// Every difference.
    pub(super) lines: &'static [&'static str],
}

pub(super) const DIFFERS: &[Differs] = &[Differs {
    golden: "attribute/xattr-on-symlink.kept",
    reason: "Linux has no `user.*` attributes on symbolic links (xattr(7)): the inode has it, as its \
             listing shows, and to read it is refused with ENODATA. That is so without overlayfs too.",
    lines: &["error 61 s", "modified ./s xattr user.k=v no user.k"],
}];
