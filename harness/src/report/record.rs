//! `run.json`: what a run did and found; every report is made from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The harness's version.
    pub harness: String,
    /// The converters with the versions they stated.
    pub chains: Vec<ChainRecord>,
    /// The machine images were booted in, or why there was none.
    pub machine: String,
    /// How converters were held.
    pub containment: String,
    /// What went wrong on purpose.
    pub fault: Option<String>,
    /// How everything was booted, where that was asked for.
    #[serde(default)]
    pub profile: Option<String>,
    /// Whether it tells what embargoed findings are; such a record is nothing to pass on.
    #[serde(default)]
    pub with_embargoed: bool,
    /// Every planned trial, in the order of its name.
    pub trials: Vec<TrialRecord>,
}

/// A chain of converters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRecord {
    /// The names joined by `+`.
    pub name: String,
    /// The arguments of `harness run` that choose it.
    pub select: String,
    /// The stages.
    pub stages: Vec<StageRecord>,
    /// How many batches told nothing of any of their trials, which then ran alone; that takes longer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_batches: usize,
}

/// One stage of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The runner's name.
    pub name: String,
    /// The first line it printed when asked for its version; empty if it could not be asked.
    pub version: String,
    /// Whether its expectations were written for this version.
    pub rated: bool,
    /// The root directory it ran in: `host`, or the name of a tool root.
    pub root: String,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The chain.
    pub chain: String,
    /// The case's id.
    pub case: String,
    /// One sentence.
    pub title: String,
    /// The deciding place, its level and its words.
    pub rule: String,
    /// The level: must, should, de-facto, policy.
    pub level: String,
    /// What the case expects: tree, reject, one-of or record; empty in records of older harnesses.
    #[serde(default)]
    pub expect: String,
    /// The output's format.
    pub format: String,
    /// pass, fail, known, fixed, skip or error.
    pub verdict: String,
    /// What is wrong, the worst first.
    pub findings: Vec<FindingRecord>,
    /// The known failure that covers it.
    pub known: Option<KnownRecord>,
    /// What was checked and found right.
    pub seen: Vec<String>,
    /// What was not checked: reason and cause.
    pub unchecked: BTreeMap<String, String>,
    /// What kind of answer it was; equal answers are equal text.
    pub answer: String,
    /// Which of several defensible outcomes the answer is, where the case lists them.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The harness's own failure, if it failed.
    pub error: Option<String>,
    /// Where what the trial made is kept, relative to the project's folder.
    pub kept: Option<String>,
    /// Whether that is not kept since the run had kept enough.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// Whether findings are shown by kind only.
    pub embargo: bool,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// Its kind.
    pub kind: String,
    /// One line: what, where, and for an attribute the two values.
    pub line: String,
}

/// A known failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRecord {
    /// The runner whose expectations have it.
    pub runner: String,
    /// The reason.
    pub reason: String,
    /// Where it is written down.
    pub link: String,
}

/// What stands in the place of words that are held back.
pub const EMBARGOED: &str = "(embargoed)";

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Record {
    /// Leaves of embargoed findings their kinds, unless the record was made to tell all.
    pub fn hold_back(&mut self) {
        if !self.with_embargoed {
            for trial in self.trials.iter_mut().filter(|trial| trial.embargo) {
                trial.hold_back();
            }
        }
    }
}

impl TrialRecord {
    /// Leaves of the findings their kinds, and of what is known nothing that would tell how.
    pub fn hold_back(&mut self) {
        for finding in &mut self.findings {
            EMBARGOED.clone_into(&mut finding.line);
        }
        // How many there are of a kind would tell something too.
        self.findings.dedup();
        if let Some(known) = &mut self.known {
            EMBARGOED.clone_into(&mut known.reason);
            EMBARGOED.clone_into(&mut known.link);
        }
    }

    /// `chain/case`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.chain, self.case)
    }

    /// Whether it makes the run red.
    pub fn is_red(&self) -> bool {
        matches!(self.verdict.as_str(), "fail" | "fixed" | "error")
    }
}
