//! `harness show ID`: a case, its spec sentence, its layers and its golden, as text.

use clap::Args;

use super::{EXIT_GREEN, Home, find, find_variant};
use crate::case::escape::escape;
use crate::case::{Alternative, Case, Content, Entry, Expect, Kind};

/// Shows a case: what it asks, what decides, its layers and its expected tree.
#[derive(Args)]
pub(super) struct Show {
    /// The case's id, or that of a variant: CASE@AXIS=VALUE.
    id: String,
}

impl Show {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus()?;
        let shown = match find_variant(&corpus, &self.id)? {
            Some(variant) => text(&variant.case, home)?,
            None => text(find(&corpus, &self.id)?, home)?,
        };
        super::print(&shown)?;
        Ok(EXIT_GREEN)
    }
}

fn text(case: &Case, home: &Home) -> anyhow::Result<String> {
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
    for (index, layer) in case.layers.iter().enumerate() {
        out.push_str(&format!("\nlayer {index}\n"));
        for entry in &layer.entries {
            out.push_str(&format!("  {}\n", entry_line(entry)));
        }
    }
    match &case.expect {
        Expect::Tree => {}
        Expect::Reject { because, .. } => out.push_str(&format!("\nmust be rejected: {because}\n")),
        Expect::Record { why } => out.push_str(&format!("\nno verdict: {why}\n")),
        Expect::OneOf(all) => {
            out.push_str("\nany of these\n");
            if all.contains(&Alternative::Reject) {
                out.push_str("  rejected\n");
            }
        }
    }
    for (name, _) in case.goldens() {
        let golden = fs_err::read_to_string(home.golden(&name))?;
        out.push_str(&format!("\ngolden/{name}.mtree\n{golden}"));
    }
    Ok(out)
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
