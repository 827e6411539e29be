//! `harness list`: what would run.

use clap::Args;

use super::{EXIT_ERROR, EXIT_GREEN, Home};
use crate::case::Expect;

/// Lists the cases: id, level, what is expected, title.
#[derive(Args)]
pub(super) struct List {
    /// Only ids that contain this text.
    filter: Option<String>,
    /// The scale families too.
    #[arg(long)]
    scale: bool,
}

impl List {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus_with_families(|_| self.scale)?;
        let wanted = |id: &str| {
            self.filter
                .as_ref()
                .is_none_or(|filter| id.contains(filter.as_str()))
        };
        let cases: Vec<_> = corpus
            .cases
            .iter()
            .filter(|case| wanted(&case.id))
            .collect();
        let width = cases.iter().map(|case| case.id.len()).max().unwrap_or(0);
        let mut out = String::new();
        for case in &cases {
            let expect = match case.expect {
                Expect::Tree => "tree",
                Expect::Reject { .. } => "reject",
                Expect::OneOf(_) => "one-of",
                Expect::Record { .. } => "record",
            };
            let (id, level, title) = (&case.id, case.level.word(), &case.title);
            out.push_str(&format!("{id:width$}  {level:8}  {expect:6}  {title}\n"));
        }
        out.push_str(&format!("{} cases\n", cases.len()));
        super::print(&out)?;
        Ok(if cases.is_empty() {
            EXIT_ERROR
        } else {
            EXIT_GREEN
        })
    }
}
