//! The question: a corpus case, in the words of the image-spec.
//!
//! A case is a value. It is read from one TOML file (`corpus/README.md` specifies the format) and holds
//! the entries of each layer changeset in archive order, what is damaged on purpose, and what a
//! converter must make of it. Nothing here knows how bytes are laid out in a tar archive.

mod corpus;
mod entry;
mod error;
pub mod escape;
mod family;
mod file;
mod parse;
mod parse_entry;
#[cfg(test)]
mod parse_tests;
mod twin;
pub mod variant;

pub use corpus::{Corpus, CorpusError};
pub use entry::{Content, Device, Dialect, Entry, HeaderFields, Kind, Time, pattern_bytes};
pub use error::CaseError;
pub use family::{FAMILIES, Family};
pub use parse::parse;

/// One case of the corpus.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The path below `corpus/` without its ending; a name for ever, never a number.
    pub id: String,
    /// One sentence about behaviour.
    pub title: String,
    /// The deciding place: a file of the image-spec and an anchor, or a document's name.
    pub spec: String,
    /// The sentence that decides, word for word; empty where the level is `policy`.
    pub quote: String,
    /// How binding the expectation is.
    pub level: Level,
    /// Where this was met in the wild: `owner/repo#number`, CVE and GHSA ids.
    pub bugs: Vec<String>,
    /// Who is wrong and why, where that needed finding out.
    pub note: Option<String>,
    /// Whether a finding here is named by kind only until the maintainers know.
    pub embargo: bool,
    /// Whether the converter is given `CAP_SYS_ADMIN`, without which Linux refuses `trusted.*` attributes.
    pub privileged: bool,
    /// The layer changesets, base layer first, the `shell` base included.
    pub layers: Vec<Layer>,
    /// Damage done to documents and blobs after the layers are written.
    pub image: ImageDamage,
    /// What a converter must make of it.
    pub expect: Expect,
    /// Whether a directory that a later layer only changes the children of must keep its time.
    pub parent_mtime_kept: bool,
    /// More commands for the image's shell, beside the nonce: command and expected output.
    pub run: Vec<Command>,
}

/// A command the booted image's `/bin/sh` runs, with the output it must give.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What `/bin/sh -c` is given.
    pub command: String,
    /// The exact output, standard output and error together.
    pub output: String,
}

/// How binding an expectation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The spec says MUST, or describes the result without leaving a choice.
    Must,
    /// The spec says SHOULD.
    Should,
    /// The spec is silent; moby, containerd and umoci agree.
    DeFacto,
    /// The spec is silent; ours, for safety or against silent loss.
    Policy,
}

impl Level {
    /// The word used in case files and reports.
    pub fn word(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::DeFacto => "de-facto",
            Level::Policy => "policy",
        }
    }
}

/// One layer changeset and how it is packed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layer {
    /// The entries in archive order; nothing sorts them.
    pub entries: Vec<Entry>,
    /// What the blob is, once it is decompressed.
    pub format: LayerFormat,
    /// The compression of the blob.
    pub compression: Compression,
    /// Over how many gzip members or zstd frames the archive is spread (0 means one).
    pub members: usize,
    /// A media type other than the one that belongs to format and compression.
    pub media_type: Option<String>,
    /// How many zero blocks end the archive; two where the case does not say.
    pub end_blocks: Option<usize>,
    /// Bytes after the end of the archive, inside the compressed stream.
    pub append: Vec<u8>,
    /// Bytes before the compressed stream.
    pub prepend_compressed: Vec<u8>,
    /// Bytes after the compressed stream.
    pub append_compressed: Vec<u8>,
    /// How many bytes are cut off the end of the archive.
    pub cut: usize,
    /// Bytes put over those of an EROFS image: where, and which.
    pub patch: Vec<(usize, Vec<u8>)>,
}

/// What a layer blob is, once it is decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerFormat {
    /// A tar archive.
    #[default]
    Tar,
    /// An EROFS filesystem image; the whiteouts of the entries are overlayfs's in it.
    Erofs,
    /// An EROFS filesystem image of just the entries: names that begin `.wh.` are names, and devices and
    /// attributes may be those of overlayfs.
    ErofsLiteral,
}

impl LayerFormat {
    /// Whether it is an EROFS filesystem image.
    pub fn is_erofs(self) -> bool {
        self != LayerFormat::Tar
    }
}

/// How a layer blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// A plain tar archive.
    None,
    /// gzip, written in stored form.
    #[default]
    Gzip,
    /// zstd, written as raw blocks.
    Zstd,
}

/// What is done to the layout after its layers are written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageDamage {
    /// Changes to a JSON document before its digest is taken, in order.
    pub edits: Vec<Edit>,
    /// How many indexes stand between `index.json` and the manifest, each in the one above it.
    pub nested: usize,
    /// Changes to stored blobs after all digests are taken, in order.
    pub blobs: Vec<BlobDamage>,
}

/// One change to a JSON document of the layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The document.
    pub document: Document,
    /// The change.
    pub change: EditChange,
    /// Whether the twin of a reject case keeps it.
    pub keep: bool,
}

/// A JSON document of an image layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `oci-layout`
    Layout,
    /// `index.json`
    Index,
    /// The image manifest.
    Manifest,
    /// The image configuration.
    Config,
}

/// What an [`Edit`] does.
#[derive(Debug, Clone, PartialEq)]
pub enum EditChange {
    /// Sets the value at an RFC 6901 pointer, adding it where it is missing.
    Set(String, serde_json::Value),
    /// Removes the value at an RFC 6901 pointer.
    Remove(String),
    /// Replaces the first occurrence of a text in the serialised document.
    Replace(String, String),
}

/// One change to a stored blob; its descriptor stays as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct BlobDamage {
    /// The blob.
    pub of: BlobName,
    /// The damage.
    pub damage: Damage,
    /// Whether the twin of a reject case keeps it.
    pub keep: bool,
}

/// A blob of the layout, or a file beside the blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobName {
    /// `oci-layout`
    Layout,
    /// `index.json`
    Index,
    /// The image manifest.
    Manifest,
    /// The image configuration.
    Config,
    /// A layer, counted from 0 with the base layer.
    Layer(usize),
}

/// What is done to a stored blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The file is removed.
    Remove,
    /// The byte at this offset from the start is inverted.
    Flip(u64),
    /// Only this many bytes are kept.
    Truncate(u64),
    /// The file is a named pipe instead.
    Fifo,
    /// The file is an empty directory instead.
    Directory,
}

/// What a converter must make of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// Exit 0 and exactly this tree, which stands in `golden/<id>.mtree`.
    Tree,
    /// A non-zero exit and no output that looks usable.
    Reject {
        /// What is wrong with the image, for the reader.
        because: String,
        /// The same image with the offending thing repaired; it must be accepted.
        twin: Box<Case>,
    },
    /// The spec is silent; any of these and nothing else.
    OneOf(Vec<Alternative>),
    /// No verdict beyond the global invariants; the outcome is shown.
    Record {
        /// Why there is no verdict.
        why: String,
    },
}

/// One defensible outcome of a case on which the spec is silent.
#[derive(Debug, Clone, PartialEq)]
pub enum Alternative {
    /// A tree, in `golden/<id>.<name>.mtree`.
    Tree {
        /// A short name of the outcome.
        name: String,
        /// An image without the doubt that gives this tree; `None` is the case itself.
        layers: Option<Vec<Layer>>,
    },
    /// Rejecting the image.
    Reject,
}

impl Case {
    /// Whether it is a scale family: made by code, with the model's tree for a golden.
    pub fn is_family(&self) -> bool {
        Family::find(&self.id).is_some()
    }

    /// The goldens that belong to this case: the path below `golden/` without its ending, and the
    /// layers whose application gives the tree.
    pub fn goldens(&self) -> Vec<(String, &[Layer])> {
        match &self.expect {
            Expect::Tree => vec![(self.origin().to_owned(), &self.layers)],
            Expect::Reject { twin, .. } => vec![(format!("{}.twin", self.origin()), &twin.layers)],
            Expect::OneOf(alternatives) => alternatives
                .iter()
                .filter_map(|alternative| match alternative {
                    Alternative::Tree { name, layers } => Some((
                        format!("{}.{name}", self.origin()),
                        layers.as_deref().unwrap_or(&self.layers),
                    )),
                    Alternative::Reject => None,
                })
                .collect(),
            Expect::Record { .. } => Vec::new(),
        }
    }
}
