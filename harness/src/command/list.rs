//! `harness list`: what would run.

use std::collections::BTreeMap;

use clap::Args;

use super::{EXIT_ERROR, EXIT_GREEN, Home};
use crate::case::variant::{AXES, LeftOut, variants};
use crate::case::{Case, Expect};

/// Lists the cases: id, level, what is expected, title.
#[derive(Args)]
pub(super) struct List {
    /// Only ids that contain this text.
    filter: Option<String>,
    /// The scale families too.
    #[arg(long)]
    scale: bool,
    /// List the variants of the cases instead, and how many each axis gives.
    #[arg(long)]
    variants: bool,
}

impl List {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus_with_families(|_| self.scale)?;
        let (cases, counts) = match self.variants {
            true => self.varied(&corpus.cases),
            false => (corpus.cases, String::new()),
        };
        let cases: Vec<_> = cases.iter().filter(|case| self.wants(&case.id)).collect();
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
        let what = if self.variants { "variants" } else { "cases" };
        out.push_str(&format!("{counts}{} {what}\n", cases.len()));
        super::print(&out)?;
        Ok(if cases.is_empty() {
            EXIT_ERROR
        } else {
            EXIT_GREEN
        })
    }

    fn wants(&self, id: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| id.contains(filter.as_str()))
    }

    /// The variants of cases, and per value how many there are and why the other cases have none. What
    /// the filter leaves out is not counted.
    fn varied(&self, cases: &[Case]) -> (Vec<Case>, String) {
        let mut varied = Vec::new();
        let mut counts: BTreeMap<String, Count> = BTreeMap::new();
        for case in cases {
            for (axis, value, variant) in variants(case) {
                let setting = format!("{}={}", axis.name, value.name);
                if !self.wants(&format!("{}@{setting}", case.id)) {
                    continue;
                }
                let count = counts.entry(setting).or_default();
                match variant {
                    Ok(variant) => {
                        count.made += 1;
                        varied.push(variant.case);
                    }
                    Err(reason) => *count.left_out.entry(reason).or_default() += 1,
                }
            }
        }
        let values = AXES.iter().flat_map(|axis| {
            let name =
                |value: &crate::case::variant::Value| format!("{}={}", axis.name, value.name);
            axis.values.iter().map(name)
        });
        let lines = values.filter_map(|setting| {
            let count = counts.get(&setting)?;
            Some(count.line(&setting))
        });
        let lines: String = lines.collect();
        (varied, lines)
    }
}

/// How many variants one value gives.
#[derive(Default)]
struct Count {
    made: usize,
    left_out: BTreeMap<LeftOut, usize>,
}

impl Count {
    fn line(&self, setting: &str) -> String {
        let reasons = self.left_out.iter();
        let reasons: Vec<String> = reasons
            .map(|(reason, count)| format!("{count} {}", reason.words()))
            .collect();
        let left_out = match reasons.as_slice() {
            [] => String::new(),
            reasons => format!("; left out: {}", reasons.join(", ")),
        };
        format!("{setting:24}  {:5} variants{left_out}\n", self.made)
    }
}
