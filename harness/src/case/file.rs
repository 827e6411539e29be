//! The shape of a case file, key by key. `parse` turns it into meaning.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CaseFile {
    pub(super) title: Text,
    pub(super) spec: String,
    #[serde(default)]
    pub(super) quote: String,
    pub(super) level: LevelWord,
    #[serde(default)]
    pub(super) bugs: Vec<String>,
    pub(super) note: Option<String>,
    #[serde(default)]
    pub(super) embargo: bool,
    #[serde(default)]
    pub(super) privileged: bool,
    #[serde(default)]
    pub(super) base: BaseWord,
    #[serde(default)]
    pub(super) layer: Vec<LayerTable>,
    #[serde(default)]
    pub(super) image: ImageTable,
    pub(super) expect: Spanned<ExpectTable>,
    #[serde(default)]
    pub(super) run: Vec<RunTable>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LevelWord {
    Must,
    Should,
    DeFacto,
    Policy,
}

#[derive(Deserialize, Clone, Copy, Default, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum BaseWord {
    #[default]
    Shell,
    Erofs,
    None,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct LayerTable {
    #[serde(default)]
    pub(super) entries: Vec<Spanned<EntryTable>>,
    #[serde(default)]
    pub(super) format: FormatWord,
    pub(super) compression: Option<Spanned<CompressionWord>>,
    #[serde(default)]
    pub(super) members: usize,
    pub(super) media_type: Option<String>,
    pub(super) end_blocks: Option<Spanned<usize>>,
    pub(super) append: Option<Text>,
    pub(super) prepend_compressed: Option<Text>,
    pub(super) append_compressed: Option<Text>,
    #[serde(default)]
    pub(super) cut: usize,
    #[serde(default)]
    pub(super) patch: Vec<Spanned<PatchTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchTable {
    pub(super) at: usize,
    pub(super) hex: Text,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FormatWord {
    #[default]
    Tar,
    Erofs,
    ErofsLiteral,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CompressionWord {
    None,
    Gzip,
    Zstd,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EntryTable {
    pub(super) file: Option<Text>,
    pub(super) dir: Option<Text>,
    pub(super) symlink: Option<Text>,
    pub(super) hardlink: Option<Text>,
    pub(super) char: Option<Text>,
    pub(super) block: Option<Text>,
    pub(super) fifo: Option<Text>,
    pub(super) whiteout: Option<Text>,
    pub(super) opaque: Option<Text>,
    pub(super) global: Option<BTreeMap<String, Text>>,
    pub(super) raw: Option<bool>,

    pub(super) to: Option<Text>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,

    pub(super) text: Option<Text>,
    pub(super) hex: Option<Text>,
    pub(super) zeros: Option<u64>,
    pub(super) pattern: Option<PatternTable>,
    pub(super) asset: Option<Text>,
    pub(super) tar: Option<Vec<Spanned<EntryTable>>>,

    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<i64>,
    pub(super) nanos: Option<u32>,
    #[serde(default)]
    pub(super) xattrs: BTreeMap<String, Text>,

    pub(super) dialect: Option<DialectWord>,
    #[serde(default)]
    pub(super) pax: toml::map::Map<String, toml::Value>,
    #[serde(default)]
    pub(super) header: BTreeMap<String, Text>,
    #[serde(default)]
    pub(super) chksum_delta: i64,
    #[serde(default)]
    pub(super) chksum_signed: bool,

    pub(super) twin: Option<Box<Spanned<EntryTable>>>,
    #[serde(default)]
    pub(super) twin_drop: bool,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(super) struct PatternTable {
    pub(super) seed: u64,
    pub(super) size: u64,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DialectWord {
    Ustar,
    Pax,
    Gnu,
    V7,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ImageTable {
    #[serde(default)]
    pub(super) edit: Vec<Spanned<EditTable>>,
    #[serde(default)]
    pub(super) blob: Vec<Spanned<BlobTable>>,
    #[serde(default)]
    pub(super) nested: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EditTable {
    #[serde(rename = "in")]
    pub(super) document: DocumentWord,
    pub(super) at: Option<String>,
    pub(super) set: Option<toml::Value>,
    #[serde(default)]
    pub(super) remove: bool,
    pub(super) find: Option<String>,
    pub(super) replace: Option<String>,
    #[serde(default)]
    pub(super) keep: bool,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
pub(super) enum DocumentWord {
    Layout,
    Index,
    Manifest,
    Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BlobTable {
    pub(super) of: String,
    #[serde(default)]
    pub(super) remove: bool,
    pub(super) flip: Option<u64>,
    pub(super) truncate: Option<u64>,
    #[serde(default)]
    pub(super) fifo: bool,
    #[serde(default)]
    pub(super) directory: bool,
    #[serde(default)]
    pub(super) keep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ExpectTable {
    pub(super) tree: Option<Text>,
    pub(super) reject: Option<String>,
    pub(super) one_of: Option<Vec<Spanned<AlternativeTable>>>,
    pub(super) record: Option<String>,
    pub(super) parent_mtime: Option<ParentMtimeWord>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ParentMtimeWord {
    Kept,
    Open,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct AlternativeTable {
    pub(super) name: Text,
    pub(super) layers: Option<Vec<Vec<Spanned<EntryTable>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunTable {
    pub(super) command: String,
    pub(super) output: String,
}
