//! `harness bless`: goldens from the reference model, with the diff it made.

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;

use super::{EXIT_GREEN, EXIT_RED, Home, find};
use crate::case::{Case, Corpus};
use crate::image;
use crate::tree::{self, mtree};

/// Writes goldens and pinned digests from the reference model, never from a converter.
#[derive(Args)]
pub(super) struct Bless {
    /// The cases' ids.
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// Every case.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Write nothing; exit 1 if something would change.
    #[arg(long)]
    check: bool,
}

impl Bless {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus()?;
        let cases: Vec<&Case> = match self.all {
            true => corpus.cases.iter().collect(),
            false => self
                .ids
                .iter()
                .map(|id| find(&corpus, id))
                .collect::<anyhow::Result<_>>()?,
        };
        let mut changed = 0;
        for case in &cases {
            for (name, text) in goldens(case)? {
                changed += usize::from(self.settle(&home.golden(&name), &text)?);
            }
        }
        if self.all {
            changed += usize::from(self.settle(&home.pins(), &pins(&corpus)?)?);
            let orphans = orphans(home, &corpus)?;
            changed += orphans.len();
            for orphan in orphans {
                super::print(&format!(
                    "{}: belongs to no case; remove it\n",
                    orphan.display()
                ))?;
            }
        }
        super::print(&format!("{} cases, {changed} files changed\n", cases.len()))?;
        Ok(if self.check && changed > 0 {
            EXIT_RED
        } else {
            EXIT_GREEN
        })
    }

    /// Writes a file unless it stands so already; prints the lines that change.
    fn settle(&self, path: &std::path::Path, text: &str) -> anyhow::Result<bool> {
        let old = fs::read_to_string(path).unwrap_or_default();
        if old == text {
            return Ok(false);
        }
        let mut out = format!("{}\n", path.display());
        for change in similar::TextDiff::from_lines(&old, text).iter_all_changes() {
            match change.tag() {
                similar::ChangeTag::Delete => out.push_str(&format!("  -{change}")),
                similar::ChangeTag::Insert => out.push_str(&format!("  +{change}")),
                similar::ChangeTag::Equal => {}
            }
        }
        super::print(&out)?;
        if !self.check {
            fs::create_dir_all(path.parent().context("a golden stands in a folder")?)?;
            fs::write(path, text)?;
        }
        Ok(true)
    }
}

/// The goldens of a case: name below golden/ and text.
///
/// # Errors
///
/// A case the model has no tree for, though it expects one.
pub(crate) fn goldens(case: &Case) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for (name, layers) in case.goldens() {
        let tree = tree::apply_layers(layers, case.parent_mtime_kept)
            .with_context(|| format!("the model has no tree for `corpus/{}.toml`", case.id))?;
        texts.push((name, mtree::print(&tree, &[])));
    }
    Ok(texts)
}

/// Whether every golden of a case is what the model makes of it.
///
/// # Errors
///
/// The first golden that is missing or differs, with the lines.
pub fn check_goldens(case: &Case, home: &Home) -> Result<(), String> {
    for (name, text) in goldens(case).map_err(|error| format!("{error:#}"))? {
        let path = home.golden(&name);
        let golden = fs::read_to_string(&path)
            .map_err(|error| format!("{error}; write it with `harness bless {}`", case.id))?;
        if golden != text {
            let diff = similar::TextDiff::from_lines(&golden, &text);
            let diff = diff.unified_diff().header("golden", "model").to_string();
            return Err(format!("{}: the model differs\n{diff}", path.display()));
        }
    }
    Ok(())
}

/// The pinned digests: for each case (and twin) the manifest's digest and that of the whole layout.
pub(crate) fn pins(corpus: &Corpus) -> anyhow::Result<String> {
    let mut text =
        String::from("# case, manifest digest, layout digest; written by `harness bless --all`\n");
    for case in &corpus.cases {
        let twin = match &case.expect {
            crate::case::Expect::Reject { twin, .. } => Some(&**twin),
            _ => None,
        };
        for case in std::iter::once(case).chain(twin) {
            let directory = tempfile::tempdir()?;
            let written = image::write_layout(case, directory.path())
                .with_context(|| format!("failed to write the image of `{}`", case.id))?;
            let layout = image::layout_digest(directory.path())?;
            text.push_str(&format!("{} {} {layout}\n", case.id, written.manifest));
        }
    }
    Ok(text)
}

fn orphans(home: &Home, corpus: &Corpus) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let known: std::collections::BTreeSet<_> = corpus
        .cases
        .iter()
        .flat_map(Case::goldens)
        .map(|(name, _)| home.golden(&name))
        .collect();
    let mut orphans = Vec::new();
    for entry in walkdir::WalkDir::new(home.root.join("golden")).sort_by_file_name() {
        let path = entry?.into_path();
        if path.extension().is_some_and(|ending| ending == "mtree") && !known.contains(&path) {
            orphans.push(path);
        }
    }
    Ok(orphans)
}
