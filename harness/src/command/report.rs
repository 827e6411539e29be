//! `harness report RUN.json`: a recorded run once more, in another form.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fs_err as fs;

use super::{EXIT_GREEN, Home};
use crate::case::variant::split_id;
use crate::case::{Case, Expect};
use crate::report::{CaseText, Html, Junit, Markdown, Record, Report as _, Text, merge};

/// Shows recorded runs as text, Markdown, JUnit or a page that needs nothing else.
#[derive(Args)]
pub(super) struct Report {
    /// The record, which `harness run` writes to target/harness/run.json; several are shown as one.
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// The form. The HTML page also has the cases' layers and expected trees, as far as this checkout knows
    /// the cases; all else is from the record alone.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    /// Where to write it instead of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// List every trial in the text, passed ones too.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Markdown,
    Junit,
    Html,
}

impl Report {
    /// Exit 0, whatever the verdicts: they were the run's.
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let records: Vec<Record> = self
            .records
            .iter()
            .map(|path| read(path))
            .collect::<anyhow::Result<_>>()?;
        let mut record = merge(records).map_err(anyhow::Error::msg)?;
        record.hold_back();
        let verbose = self.verbose;
        let text = match self.format {
            Form::Text => Text { verbose }.render(&record),
            Form::Markdown => Markdown.render(&record),
            Form::Junit => Junit.render(&record),
            Form::Html => Html {
                cases: case_texts(home, &record)?,
            }
            .render(&record),
        };
        match &self.to {
            Some(path) => fs::write(path, text)?,
            None => super::print(&text)?,
        }
        Ok(EXIT_GREEN)
    }
}

/// Reads a record.
pub(super) fn read(path: &Path) -> anyhow::Result<Record> {
    let text = fs::read_to_string(path)?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "failed to read the record `{}`; a run of this version writes one it can read",
            path.display()
        )
    })
}

/// What the checkout says of the cases of a record; nothing of those it does not have.
fn case_texts(home: &Home, record: &Record) -> anyhow::Result<BTreeMap<String, CaseText>> {
    let trials = record.trials.iter();
    let ids: BTreeSet<&str> = trials.map(|trial| trial.case.as_str()).collect();
    if !home.root.join("corpus").is_dir() {
        return Ok(BTreeMap::new());
    }
    let corpus = home.corpus_with_families(|id| ids.contains(id))?;
    let mut texts = BTreeMap::new();
    for id in ids {
        if let Some(case) = corpus.find(split_id(id).0) {
            texts.insert(id.to_owned(), case_text(home, case)?);
        }
    }
    Ok(texts)
}

fn case_text(home: &Home, case: &Case) -> anyhow::Result<CaseText> {
    let because = match &case.expect {
        Expect::Reject { because, .. } => Some(because.clone()),
        Expect::Record { why } => Some(why.clone()),
        Expect::Tree | Expect::OneOf(_) => None,
    };
    let mut trees = Vec::new();
    // The tree of a scale family is as large as the family.
    if !case.is_family() {
        for (name, layers) in case.goldens() {
            let tree = home.expected(case, &name, layers)?;
            trees.push((name, tree));
        }
    }
    Ok(CaseText {
        embargo: case.embargo,
        bugs: case.bugs.clone(),
        note: case.note.clone(),
        because,
        source: home.authored(case)?,
        trees,
    })
}
