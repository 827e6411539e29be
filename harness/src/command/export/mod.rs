//! `harness export`: cases as files that anyone can rerun, in any language.

mod bundle;
mod hostile;
mod sums;
mod unfinished;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;
use serde_json::{Value, json};

use super::{EXIT_GREEN, Home, find, find_variant};
use crate::case::Case;
use crate::case::variant::Variant;
use crate::check::{Question, Wanted};
use crate::image;
use crate::tree::mtree;
use unfinished::Unfinished;

/// Writes a case as a bundle: the OCI layout, the expected tree, the case as JSON, and a README with
/// the commands. Or all cases as a suite, with a script that runs them.
#[derive(Args)]
pub(super) struct Export {
    /// The case's id, or that of a variant: CASE@AXIS=VALUE.
    #[arg(required_unless_present = "all")]
    id: Option<String>,
    /// Every case: a suite for projects in any language.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// With `--all`, the scale families too, hundreds of megabytes.
    #[arg(long, requires = "all")]
    scale: bool,
    /// The folder to write into; it must not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Export {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let is_asked = |id: &str| self.scale || self.id.as_deref() == Some(id);
        let corpus = home.corpus_with_families(is_asked)?;
        anyhow::ensure!(
            !self.to.exists(),
            "failed to export to `{}`: it exists; give a new folder",
            self.to.display()
        );
        match &self.id {
            Some(id) => {
                let variant = find_variant(&corpus, id)?;
                let case = match &variant {
                    Some(variant) => &variant.case,
                    None => find(&corpus, id)?,
                };
                single(case, variant.as_ref(), home, &self.to)
                    .with_context(|| failure(&case.id, &self.to))?;
            }
            None => suite(&corpus.cases, home, &self.to)
                .with_context(|| failure("every case", &self.to))?,
        }
        super::print(&format!("{}\n", self.to.display()))?;
        Ok(EXIT_GREEN)
    }
}

fn failure(what: &str, to: &Path) -> String {
    format!("failed to export `{what}` to `{}`", to.display())
}

/// Writes the bundle of one case; on an error nothing is left at `to`.
fn single(case: &Case, variant: Option<&Variant>, home: &Home, to: &Path) -> anyhow::Result<()> {
    let unfinished = Unfinished::beside(to)?;
    let at = unfinished.path();
    let document = bundle::write(case, home, at)?;
    fs::write(at.join("README.md"), bundle::readme(case, &document))?;
    if let Some(variant) = variant {
        open_unnamed(variant, home, at)?;
    }
    unfinished.finish(to)
}

/// The expected tree of a variant says nothing of directories that it does not name any more.
fn open_unnamed(variant: &Variant, home: &Home, at: &Path) -> anyhow::Result<()> {
    let question = Question::of_variant(variant, &home.root.join("golden"))?;
    if let (Wanted::Tree(tree), false) = (&question.wanted, variant.unnamed.is_empty()) {
        fs::write(at.join("expected.mtree"), mtree::print(tree, &[]))?;
    }
    Ok(())
}

/// Writes every case with what is needed to run them; on an error nothing is left at `to`.
fn suite(cases: &[Case], home: &Home, to: &Path) -> anyhow::Result<()> {
    let unfinished = Unfinished::beside(to)?;
    let at = unfinished.path();
    let mut documents = Vec::new();
    for case in cases {
        let folder = format!("cases/{}", case.id);
        fs::create_dir_all(at.join(&folder))?;
        let document = bundle::write(case, home, &at.join(&folder))
            .with_context(|| format!("failed to write the case `{}`", case.id))?;
        documents.push(in_folder(document, &folder));
    }
    let suite = json!({
        "$schema": "suite.schema.json",
        "format": 1,
        "tag": image::TAG,
        "cases": documents,
    });
    fs::write(at.join("suite.json"), bundle::json_text(&suite)?)?;
    for (name, text) in [
        ("suite.schema.json", include_str!("suite.schema.json")),
        ("README.md", include_str!("README.md")),
        ("run.py", include_str!("run.py")),
        ("LICENSE", include_str!("../../../../corpus/LICENSE")),
    ] {
        fs::write(at.join(name), text)?;
    }
    sums::write(at)?;
    unfinished.finish(to)
}

/// A case's document with the folder it is in, which stands behind the id.
fn in_folder(document: Value, folder: &str) -> Value {
    let Value::Object(members) = document else {
        return document;
    };
    let folder = ("folder".to_owned(), Value::from(folder));
    let mut members = members.into_iter();
    let id = members.next();
    Value::Object(id.into_iter().chain([folder]).chain(members).collect())
}
