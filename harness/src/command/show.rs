//! `harness show ID`: a case, its spec sentence, its layers and its golden, as text.

use clap::Args;

use super::{EXIT_GREEN, Home, find, find_variant};
use crate::case::escape::escape;
use crate::case::{
    Alternative, BlobDamage, BlobName, Case, Compression, Content, Edit, EditChange, Entry, Expect,
    Kind, Layer,
};
use crate::runner::{Known, Runners};

/// How many entries of a layer of a scale family are shown.
const FAMILY_MAX: usize = 12;
/// Longer changes of a document are counted, not shown.
const EDIT_CHARS_MAX: usize = 200;

/// Shows a case: what it asks, what decides, its layers, who is known to fail it, its expected tree.
#[derive(Args)]
pub(super) struct Show {
    /// The case's id, or that of a variant: CASE@AXIS=VALUE.
    id: String,
}

impl Show {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus_with_families(|id| id == self.id)?;
        let shown = match find_variant(&corpus, &self.id)? {
            Some(variant) => text(&variant.case, home)?,
            None => text(find(&corpus, &self.id)?, home)?,
        };
        super::print(&shown)?;
        Ok(EXIT_GREEN)
    }
}

fn text(case: &Case, home: &Home) -> anyhow::Result<String> {
    let runners = Runners::read(&home.root.join("runners"), &home.tools())?;
    let mut out = question(case) + &layers(case) + &damage(case) + &expectation(case);
    let known: Vec<String> = runners
        .iter()
        .flat_map(|runner| {
            let known = &runner.expectations.known;
            let here = known.iter().filter(|known| known.cases.contains(&case.id));
            here.map(|known| known_line(&runner.name, known, case.embargo || known.embargo))
        })
        .collect();
    if !known.is_empty() {
        out.push_str(&format!("\nknown to fail\n{}", known.concat()));
    }
    for (name, layers) in case.goldens() {
        let golden = home.expected(case, &name, layers)?;
        match case.is_family() {
            true => {
                let paths = golden.lines().filter(|line| !line.starts_with('#')).count();
                out.push_str(&format!("\nthe model's tree has {paths} paths\n"));
            }
            false => out.push_str(&format!("\ngolden/{name}.mtree\n{golden}")),
        }
    }
    Ok(out)
}

fn question(case: &Case) -> String {
    let mut out = format!("{}\n{}\n\n", case.id, case.title);
    out.push_str(&format!("{}, {}", case.spec, case.level.word()));
    if !case.quote.is_empty() {
        out.push_str(&format!(": \"{}\"", case.quote));
    }
    out.push('\n');
    if !case.bugs.is_empty() {
        out.push_str(&format!("met in: {}\n", case.bugs.join(", ")));
    }
    if let Some(note) = &case.note {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

fn layers(case: &Case) -> String {
    let mut out = String::new();
    for (index, layer) in case.layers.iter().enumerate() {
        out.push_str(&format!("\nlayer {index}{}\n", packing(layer)));
        let all = layer.entries.len();
        let shown = if case.is_family() {
            FAMILY_MAX.min(all)
        } else {
            all
        };
        for entry in &layer.entries[..shown] {
            out.push_str(&format!("  {}\n", entry_line(entry)));
        }
        if all > shown {
            out.push_str(&format!("  … and {} more\n", all - shown));
        }
    }
    out
}

fn damage(case: &Case) -> String {
    let nested = match case.image.nested {
        0 => String::new(),
        count => format!("\nbelow {count} nested indexes\n"),
    };
    let edits = case.image.edits.iter().map(edit_line);
    let lines: Vec<String> = edits
        .chain(case.image.blobs.iter().map(blob_line))
        .collect();
    match lines.is_empty() {
        true => nested,
        false => format!("{nested}\nthen\n{}", lines.concat()),
    }
}

fn expectation(case: &Case) -> String {
    match &case.expect {
        Expect::Tree => String::new(),
        Expect::Reject { because, .. } => format!("\nmust be rejected: {because}\n"),
        Expect::Record { why } => format!("\nno verdict: {why}\n"),
        Expect::OneOf(all) if all.contains(&Alternative::Reject) => {
            "\nany of these\n  rejected\n".to_owned()
        }
        Expect::OneOf(_) => "\nany of these\n".to_owned(),
    }
}

/// A converter that fails a case; of one that is held back, how it fails and no more.
fn known_line(runner: &str, known: &Known, embargo: bool) -> String {
    let mut line = format!("  {runner}");
    if let Some(version) = &known.version {
        line.push_str(&format!(" {version}"));
    }
    if let Some(format) = known.format {
        line.push_str(&format!(" as {format}"));
    }
    let (kinds, reason) = (known.kinds.join(", "), known.reason.trim());
    match embargo {
        true => format!("{line}: {kinds} (embargoed)\n"),
        false => format!("{line}: {kinds}: {reason}\n    {}\n", known.link.trim()),
    }
}

/// How a layer is packed where that is not the ordinary way.
fn packing(layer: &Layer) -> String {
    let mut words = Vec::new();
    match layer.compression {
        Compression::None => words.push("not compressed".to_owned()),
        Compression::Gzip => {}
        Compression::Zstd => words.push("zstd".to_owned()),
    }
    if layer.members > 1 {
        words.push(format!("in {} members", layer.members));
    }
    if let Some(media_type) = &layer.media_type {
        words.push(format!("as {media_type}"));
    }
    if let Some(blocks) = layer.end_blocks {
        words.push(format!("{blocks} zero blocks at the end"));
    }
    for (bytes, what) in [
        (layer.append.len(), "behind the archive"),
        (
            layer.prepend_compressed.len(),
            "before the compressed stream",
        ),
        (
            layer.append_compressed.len(),
            "behind the compressed stream",
        ),
    ] {
        if bytes > 0 {
            words.push(format!("{bytes} bytes {what}"));
        }
    }
    if layer.cut > 0 {
        words.push(format!("{} bytes cut off", layer.cut));
    }
    match words.is_empty() {
        true => String::new(),
        false => format!(" ({})", words.join(", ")),
    }
}

fn edit_line(edit: &Edit) -> String {
    let document = format!("{:?}", edit.document).to_lowercase();
    match &edit.change {
        EditChange::Set(at, value) => {
            let value = value.to_string();
            match value.chars().count() > EDIT_CHARS_MAX {
                true => format!("  {document} {at} = {} bytes of JSON\n", value.len()),
                false => format!("  {document} {at} = {value}\n"),
            }
        }
        EditChange::Remove(at) => format!("  {document} without {at}\n"),
        EditChange::Replace(find, with) => {
            let [find, with] = [find, with].map(|text| escape_text(text));
            format!("  {document} {find} becomes {with}\n")
        }
    }
}

/// A text in quotes, on one line and not too long.
fn escape_text(text: &str) -> String {
    match text.chars().count() > EDIT_CHARS_MAX {
        true => format!("{} bytes of text", text.len()),
        false => format!("{text:?}"),
    }
}

fn blob_line(blob: &BlobDamage) -> String {
    let of = match blob.of {
        BlobName::Layout => return format!("  oci-layout: {:?}\n", blob.damage).to_lowercase(),
        BlobName::Index => return format!("  index.json: {:?}\n", blob.damage).to_lowercase(),
        BlobName::Manifest => "manifest".to_owned(),
        BlobName::Config => "config".to_owned(),
        BlobName::Layer(index) => format!("layer {index}"),
    };
    format!("  blob of {of}: {:?}\n", blob.damage).to_lowercase()
}

fn entry_line(entry: &Entry) -> String {
    let path = escape(&entry.path);
    let mut line = match &entry.kind {
        Kind::File(content) => format!("file {path} ({})", content_words(content)),
        Kind::Dir(_) => format!("dir {path}"),
        Kind::Symlink(to) => format!("symlink {path} -> {}", escape(to)),
        Kind::Hardlink(to, _) => format!("hardlink {path} = {}", escape(to)),
        Kind::Char(device) => format!("char {path} {},{}", device.major, device.minor),
        Kind::Block(device) => format!("block {path} {},{}", device.major, device.minor),
        Kind::Fifo => format!("fifo {path}"),
        Kind::Global => "pax global header".to_owned(),
        Kind::Raw(content) => format!("raw ({})", content_words(content)),
    };
    let plain = Entry::new(entry.kind.clone(), entry.path.clone());
    if (entry.mode, entry.uid, entry.gid) != (plain.mode, 0, 0) {
        line.push_str(&format!(" {:04o} {}:{}", entry.mode, entry.uid, entry.gid));
    }
    if entry.mtime != plain.mtime {
        line.push_str(&format!(" @{}", entry.mtime.seconds));
    }
    for (name, value) in &entry.xattrs {
        line.push_str(&format!(" {}={}", escape(name), escape(value)));
    }
    for (name, value) in &entry.pax {
        line.push_str(&format!(" pax:{}={}", escape(name), escape(value)));
    }
    if entry.header != plain.header {
        line.push_str(" (raw header fields)");
    }
    line
}

fn content_words(content: &Content) -> String {
    match content {
        Content::Bytes(bytes) if bytes.len() <= 24 => format!("\"{}\"", escape(bytes)),
        Content::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Content::Zeros(size) => format!("{size} zeros"),
        Content::Pattern { size, .. } => format!("{size} patterned bytes"),
        Content::Tar(entries) => format!("an archive of {} entries", entries.len()),
        Content::Digest { size, .. } => format!("{size} bytes"),
    }
}
