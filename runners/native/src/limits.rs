//! How much an image may ask for. Beyond a limit it is refused, whatever its content.

/// JSON documents: index, manifest, configuration. Registries refuse larger manifests too.
pub(crate) const DOCUMENT_BYTES: u64 = 4 << 20;
/// Nesting of JSON arrays and objects.
pub(crate) const DOCUMENT_DEPTH: usize = 64;
/// Indexes inside indexes.
pub(crate) const INDEX_DEPTH: usize = 8;
/// Manifests considered in all indexes together.
pub(crate) const MANIFESTS: usize = 10_000;

/// Decompressed bytes of one layer, in any case.
pub(crate) const LAYER_BYTES: u64 = 64 << 30;
/// Decompressed bytes of one layer that are allowed whatever its compressed size.
/// Tests reach it sooner.
pub(crate) const LAYER_BYTES_FREE: u64 = if cfg!(test) { 64 << 20 } else { 2 << 30 };
/// Decompressed bytes per compressed byte beyond those. Real layers stay below 20.
pub(crate) const LAYER_RATIO: u64 = 100;
/// Window of a zstd frame, as a power of two: 128 MiB, what `zstd --long` writes.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 27;

/// Payload of one pax extended header, or of one GNU long name.
pub(crate) const PAX_BYTES: u64 = 1 << 20;
/// Segments of one sparse file.
pub(crate) const SPARSE_SEGMENTS: usize = 1 << 20;
/// Bytes of holes in all sparse files of an image. The tar output has to write them out.
pub(crate) const SPARSE_BYTES: u64 = 1 << 30;

/// One component of a path, the kernel's NAME_MAX.
pub(crate) const NAME_BYTES: usize = 255;
/// Components of one path.
pub(crate) const PATH_COMPONENTS: usize = 4096;
/// Target of a symbolic link, the kernel's PATH_MAX without the final NUL.
pub(crate) const TARGET_BYTES: usize = 4095;
/// Symbolic links followed for one path, as in the kernel.
pub(crate) const SYMLINKS_FOLLOWED: usize = 40;
/// Names in the tree at one time.
pub(crate) const TREE_NAMES: u64 = 10_000_000;
/// Bytes of extended attributes kept in memory over a whole conversion.
pub(crate) const XATTR_BYTES_HELD: u64 = 512 << 20;
/// Names of whiteouts of one layer, where they must be applied first.
pub(crate) const WHITEOUT_BYTES_HELD: u64 = 512 << 20;
/// Name of an extended attribute, the kernel's XATTR_NAME_MAX.
pub(crate) const XATTR_NAME_BYTES: usize = 255;
/// Value of an extended attribute, the kernel's XATTR_SIZE_MAX.
pub(crate) const XATTR_VALUE_BYTES: usize = 65_536;
