//! `harness report RUN.json`: a recorded run once more, in another form.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fs_err as fs;

use super::EXIT_GREEN;
use crate::report::{Junit, Markdown, Record, Report as _, Text};

/// Shows a recorded run as text, Markdown or JUnit.
#[derive(Args)]
pub(super) struct Report {
    /// The record, which `harness run` writes to target/harness/run.json.
    record: PathBuf,
    /// The form.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    /// List every trial in the text, passed ones too.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Markdown,
    Junit,
}

impl Report {
    /// Exit 0, whatever the verdicts: they were the run's.
    pub(super) fn run(&self) -> anyhow::Result<u8> {
        let text = fs::read_to_string(&self.record)?;
        let record: Record = serde_json::from_str(&text).with_context(|| {
            format!(
                "failed to read the record `{}`; a run of this version writes one it can read",
                self.record.display()
            )
        })?;
        let verbose = self.verbose;
        super::print(&match self.format {
            Form::Text => Text { verbose }.render(&record),
            Form::Markdown => Markdown.render(&record),
            Form::Junit => Junit.render(&record),
        })?;
        Ok(EXIT_GREEN)
    }
}
