//! A case file's text to a [`Case`]; every error has a line and a caret.

use std::ops::Range;

use toml::Spanned;

use super::entry::{Content, Entry, Kind};
use super::file::{
    AlternativeTable, BaseWord, BlobTable, CaseFile, CompressionWord, DocumentWord, EditTable,
    EntryTable, ExpectTable, FormatWord, ImageTable, LayerTable, LevelWord, ParentMtimeWord,
    PatchTable, Text,
};
use super::{
    Alternative, BlobDamage, BlobName, Case, CaseError, Command, Compression, Damage, Document,
    Edit, EditChange, Expect, ImageDamage, Layer, LayerFormat, Level, twin,
};

/// Reads the text of a case file. `id` is the path below `corpus/` without `.toml`; `asset` gives the
/// bytes of a file in `corpus/asset/`.
///
/// # Errors
///
/// Text that is not TOML, an unknown key, a key that does not belong where it stands, or a value out
/// of range, with line and caret.
pub fn parse(
    id: &str,
    text: &str,
    asset: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Case, CaseError> {
    let file: CaseFile =
        toml::from_str(text).map_err(|error| CaseError::at(text, error.span(), error.message()))?;
    Parser { text, asset }.case(id, file)
}

/// A case file being read.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) asset: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

impl Parser<'_> {
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> CaseError {
        CaseError::at(self.text, Some(span), message)
    }

    fn case(&self, id: &str, file: CaseFile) -> Result<Case, CaseError> {
        if file.title.get_ref().trim().is_empty() {
            return Err(self.error(file.title.span(), "the title must say what is asked"));
        }
        let mut layers = match file.base {
            BaseWord::Shell => vec![self.shell_base()?],
            BaseWord::Erofs => vec![Layer {
                format: LayerFormat::Erofs,
                compression: Compression::None,
                ..self.shell_base()?
            }],
            BaseWord::None => Vec::new(),
        };
        let base = layers.len();
        for layer in &file.layer {
            layers.push(self.layer(layer)?);
        }
        let mut case = Case {
            id: id.to_owned(),
            title: file.title.get_ref().trim().to_owned(),
            spec: file.spec,
            quote: file.quote,
            level: match file.level {
                LevelWord::Must => Level::Must,
                LevelWord::Should => Level::Should,
                LevelWord::DeFacto => Level::DeFacto,
                LevelWord::Policy => Level::Policy,
            },
            bugs: file.bugs,
            note: file.note,
            embargo: file.embargo,
            privileged: file.privileged,
            image: self.image(&file.image, layers.len())?,
            layers,
            expect: Expect::Tree,
            parent_mtime_kept: file.expect.get_ref().parent_mtime == Some(ParentMtimeWord::Kept),
            run: file
                .run
                .into_iter()
                .map(|run| Command {
                    command: run.command,
                    output: run.output,
                })
                .collect(),
        };
        case.expect = self.expect(file.expect, &case, &file.layer, base)?;
        Ok(case)
    }

    fn layer(&self, table: &LayerTable) -> Result<Layer, CaseError> {
        let format = match table.format {
            FormatWord::Tar => LayerFormat::Tar,
            FormatWord::Erofs => LayerFormat::Erofs,
            FormatWord::ErofsLiteral => LayerFormat::ErofsLiteral,
        };
        Ok(Layer {
            entries: self.entries(&table.entries)?,
            format,
            compression: self.compression(table, format)?,
            patch: self.patches(table, format)?,
            members: table.members,
            media_type: table.media_type.clone(),
            end_blocks: self.end_blocks(table, format)?,
            append: self.optional_bytes(table.append.as_ref())?,
            prepend_compressed: self.optional_bytes(table.prepend_compressed.as_ref())?,
            append_compressed: self.optional_bytes(table.append_compressed.as_ref())?,
            cut: table.cut,
        })
    }

    /// A tar layer is compressed with gzip unless the case says otherwise; an EROFS layer is not.
    fn compression(
        &self,
        table: &LayerTable,
        format: LayerFormat,
    ) -> Result<Compression, CaseError> {
        let Some(word) = &table.compression else {
            return Ok(match format.is_erofs() {
                true => Compression::None,
                false => Compression::Gzip,
            });
        };
        match word.get_ref() {
            CompressionWord::None => Ok(Compression::None),
            CompressionWord::Zstd => Ok(Compression::Zstd),
            CompressionWord::Gzip if format.is_erofs() => {
                let message = "an EROFS layer has no media type for gzip: none or zstd";
                Err(self.error(word.span(), message))
            }
            CompressionWord::Gzip => Ok(Compression::Gzip),
        }
    }

    fn end_blocks(
        &self,
        table: &LayerTable,
        format: LayerFormat,
    ) -> Result<Option<usize>, CaseError> {
        match &table.end_blocks {
            Some(count) if format.is_erofs() => {
                let message = "an EROFS layer has no zero blocks at its end";
                Err(self.error(count.span(), message))
            }
            count => Ok(count.as_ref().map(|count| *count.get_ref())),
        }
    }

    fn patches(
        &self,
        table: &LayerTable,
        format: LayerFormat,
    ) -> Result<Vec<(usize, Vec<u8>)>, CaseError> {
        let patch = |patch: &Spanned<PatchTable>| {
            if !format.is_erofs() {
                return Err(self.error(patch.span(), "only an EROFS layer is patched"));
            }
            Ok((patch.get_ref().at, self.hex(&patch.get_ref().hex)?))
        };
        table.patch.iter().map(patch).collect()
    }

    fn image(&self, table: &ImageTable, layers: usize) -> Result<ImageDamage, CaseError> {
        Ok(ImageDamage {
            nested: table.nested,
            edits: table
                .edit
                .iter()
                .map(|edit| self.edit(edit))
                .collect::<Result<_, _>>()?,
            blobs: table
                .blob
                .iter()
                .map(|blob| self.blob(blob, layers))
                .collect::<Result<_, _>>()?,
        })
    }

    fn edit(&self, edit: &Spanned<EditTable>) -> Result<Edit, CaseError> {
        let span = edit.span();
        let table = edit.get_ref();
        let change = match (
            &table.at,
            &table.set,
            table.remove,
            &table.find,
            &table.replace,
        ) {
            (Some(at), Some(value), false, None, None) => {
                let value = serde_json::to_value(value)
                    .map_err(|error| self.error(span, format!("no JSON value: {error}")))?;
                EditChange::Set(at.clone(), value)
            }
            (Some(at), None, true, None, None) => EditChange::Remove(at.clone()),
            (None, None, false, Some(find), Some(replace)) => {
                EditChange::Replace(find.clone(), replace.clone())
            }
            _ => {
                let message = "an edit is `at` with `set`, `at` with `remove = true`, or `find` \
                               with `replace`";
                return Err(self.error(span, message));
            }
        };
        let document = match table.document {
            DocumentWord::Layout => Document::Layout,
            DocumentWord::Index => Document::Index,
            DocumentWord::Manifest => Document::Manifest,
            DocumentWord::Config => Document::Config,
        };
        Ok(Edit {
            document,
            change,
            keep: table.keep,
        })
    }

    fn blob(&self, blob: &Spanned<BlobTable>, layers: usize) -> Result<BlobDamage, CaseError> {
        let span = blob.span();
        let table = blob.get_ref();
        let of = match table.of.as_str() {
            "layout" => BlobName::Layout,
            "index" => BlobName::Index,
            "manifest" => BlobName::Manifest,
            "config" => BlobName::Config,
            layer => layer
                .strip_prefix("layer:")
                .and_then(|index| index.parse().ok())
                .filter(|index| *index < layers)
                .map(BlobName::Layer)
                .ok_or_else(|| {
                    let last = layers.saturating_sub(1);
                    let message = format!(
                        "`of` is layout, index, manifest, config, or layer:0 to layer:{last} here"
                    );
                    self.error(span.clone(), message)
                })?,
        };
        let mut damages = Vec::new();
        damages.extend(table.remove.then_some(Damage::Remove));
        damages.extend(table.flip.map(Damage::Flip));
        damages.extend(table.truncate.map(Damage::Truncate));
        damages.extend(table.fifo.then_some(Damage::Fifo));
        damages.extend(table.directory.then_some(Damage::Directory));
        let [damage] = damages.as_slice() else {
            let message = "a blob takes exactly one of remove, flip, truncate, fifo, directory";
            return Err(self.error(span, message));
        };
        Ok(BlobDamage {
            of,
            damage: damage.clone(),
            keep: table.keep,
        })
    }

    fn expect(
        &self,
        expect: Spanned<ExpectTable>,
        case: &Case,
        layers: &[LayerTable],
        base: usize,
    ) -> Result<Expect, CaseError> {
        let span = expect.span();
        let table = expect.into_inner();
        match (table.tree, table.reject, table.one_of, table.record) {
            (Some(tree), None, None, None) if tree.get_ref() == "golden" => Ok(Expect::Tree),
            (Some(tree), None, None, None) => {
                Err(self.error(tree.span(), "the only tree is \"golden\""))
            }
            (None, Some(because), None, None) => {
                let twin_entries = self.twin_entries(layers)?;
                let twin = twin::of(case, base, twin_entries).ok_or_else(|| {
                    let message = "a reject case needs its offence marked: `twin = { … }` or \
                                   `twin-drop = true` on an entry, or damage to a layer or the image";
                    self.error(span, message)
                })?;
                Ok(Expect::Reject {
                    because,
                    twin: Box::new(twin),
                })
            }
            (None, None, Some(alternatives), None) => {
                if alternatives.len() < 2 {
                    return Err(self.error(span, "one-of needs at least two outcomes"));
                }
                let outcomes = alternatives
                    .iter()
                    .map(|outcome| self.alternative(case, base, outcome));
                Ok(Expect::OneOf(outcomes.collect::<Result<_, _>>()?))
            }
            (None, None, None, Some(why)) => Ok(Expect::Record { why }),
            _ => Err(self.error(span, "expect exactly one of tree, reject, one-of, record")),
        }
    }

    /// For each authored layer, for each entry: what the twin puts in its place.
    fn twin_entries(&self, layers: &[LayerTable]) -> Result<Vec<Vec<twin::Repair>>, CaseError> {
        let repair = |table: &Spanned<EntryTable>| match (
            &table.get_ref().twin,
            table.get_ref().twin_drop,
        ) {
            (Some(_), true) => {
                Err(self.error(table.span(), "either `twin` or `twin-drop`, not both"))
            }
            (Some(twin), false) => Ok(twin::Repair::Replace(Box::new(self.entry(twin)?))),
            (None, true) => Ok(twin::Repair::Drop),
            (None, false) => Ok(twin::Repair::Keep),
        };
        layers
            .iter()
            .map(|layer| layer.entries.iter().map(repair).collect())
            .collect()
    }

    fn alternative(
        &self,
        case: &Case,
        base: usize,
        table: &Spanned<AlternativeTable>,
    ) -> Result<Alternative, CaseError> {
        let alternative = table.get_ref();
        let name = alternative.name.get_ref().clone();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) || name == "twin" {
            let message = "an outcome's name is made of a-z, 0-9 and `-`";
            return Err(self.error(alternative.name.span(), message));
        }
        if name == "reject" {
            return match alternative.layers {
                None => Ok(Alternative::Reject),
                Some(_) => Err(self.error(table.span(), "`reject` has no layers")),
            };
        }
        let layers = match &alternative.layers {
            None => None,
            Some(layers) => {
                let mut all = case.layers[..base].to_vec();
                for entries in layers {
                    all.push(Layer {
                        entries: self.entries(entries)?,
                        ..Layer::default()
                    });
                }
                Some(all)
            }
        };
        Ok(Alternative::Tree { name, layers })
    }

    /// The bottom layer every bootable case stands on: merged /usr and the corpus's own shell.
    fn shell_base(&self) -> Result<Layer, CaseError> {
        let shell = (self.asset)("sh").ok_or_else(|| {
            self.error(
                0..0,
                "no file `sh` in corpus/asset/, which the base layer needs",
            )
        })?;
        let dir = |path: &str| Entry::new(Kind::Dir(None), path);
        let link = |path: &str, to: &str| Entry::new(Kind::Symlink(to.into()), path);
        let mut tmp = dir("tmp/");
        tmp.mode = 0o1777;
        let mut sh = Entry::new(Kind::File(Content::Bytes(shell)), "usr/bin/sh");
        sh.mode = 0o755;
        let entries = vec![
            dir("./"),
            link("bin", "usr/bin"),
            dir("dev/"),
            dir("etc/"),
            link("lib", "usr/lib"),
            dir("proc/"),
            dir("run/"),
            link("sbin", "usr/sbin"),
            dir("sys/"),
            tmp,
            dir("usr/"),
            dir("usr/bin/"),
            sh,
            dir("usr/lib/"),
            dir("usr/sbin/"),
        ];
        Ok(Layer {
            entries,
            ..Layer::default()
        })
    }

    fn optional_bytes(&self, text: Option<&Text>) -> Result<Vec<u8>, CaseError> {
        text.map_or(Ok(Vec::new()), |text| Ok(self.bytes(text)?.into()))
    }
}
