//! What every report counts: passed of decided per level, and failures by kind. Never one number: a must is
//! not a policy.

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, StageRecord, TrialRecord};

/// The levels, the most binding first.
pub(super) const LEVELS: [&str; 4] = ["must", "should", "de-facto", "policy"];
/// The kinds of finding, the worst first.
pub(super) const KINDS: [&str; 10] = [
    "escape", "silent", "corrupt", "accepted", "crash", "timeout", "resource", "rejected",
    "unstable", "unclean",
];
/// The verdicts, in the order of summaries.
pub(super) const VERDICTS: [&str; 6] = ["pass", "fail", "known", "fixed", "skip", "error"];

/// What one chain came to on some trials.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Score<'a> {
    /// How many passed.
    pub(super) passed: usize,
    /// How many were decided: all but the skipped ones.
    pub(super) decided: usize,
    /// How many were skipped.
    pub(super) skipped: usize,
    /// How many the harness itself failed in.
    pub(super) errors: usize,
    /// How many failed, by the worst kind of finding; the key begins with its place in [`KINDS`].
    pub(super) kinds: BTreeMap<(usize, &'a str), usize>,
}

impl<'a> Score<'a> {
    /// Counts trials.
    pub(super) fn of(trials: impl Iterator<Item = &'a TrialRecord>) -> Score<'a> {
        let mut score = Score::default();
        for trial in trials {
            let verdict = trial.verdict.as_str();
            score.skipped += usize::from(verdict == "skip");
            score.errors += usize::from(verdict == "error");
            score.decided += usize::from(verdict != "skip");
            score.passed += usize::from(is_passed(trial));
            if let Some(finding) = trial.findings.first() {
                let key = (severity(&finding.kind), finding.kind.as_str());
                *score.kinds.entry(key).or_default() += 1;
            }
        }
        score
    }

    /// `3 silent, 1 rejected`; the worst first.
    pub(super) fn kinds_in_words(&self) -> String {
        let words: Vec<String> = self
            .kinds
            .iter()
            .map(|((_, kind), count)| format!("{count} {kind}"))
            .collect();
        words.join(", ")
    }
}

/// The trials of a chain.
pub(super) fn trials_of<'a>(
    record: &'a Record,
    chain: &'a str,
) -> impl Iterator<Item = &'a TrialRecord> {
    record
        .trials
        .iter()
        .filter(move |trial| trial.chain == chain)
}

/// Whether a trial came out right.
pub(super) fn is_passed(trial: &TrialRecord) -> bool {
    matches!(trial.verdict.as_str(), "pass" | "fixed")
}

/// What a cell of a matrix says: the worst kind of finding, or the verdict.
pub(super) fn word(trial: &TrialRecord) -> &str {
    match trial.findings.first() {
        Some(finding) => &finding.kind,
        None => &trial.verdict,
    }
}

/// What a stage stated of itself: its version, the tool root it ran in, and whether anybody looked at the
/// failures of that version.
pub(super) fn stated(stage: &StageRecord) -> String {
    let root = (stage.root != "host").then(|| format!("tool root {}", stage.root));
    let version = Some(stage.version.clone()).filter(|version| !version.is_empty());
    let unrated = (!stage.rated).then(|| "failures not looked at yet".to_owned());
    let remarks: Vec<String> = version.into_iter().chain(root).chain(unrated).collect();
    remarks.join(", ")
}

/// The stages of all chains, each name, version and root once, in the order they stand in.
pub(super) fn stages(record: &Record) -> Vec<&StageRecord> {
    let mut seen = BTreeSet::new();
    let stages = record.chains.iter().flat_map(|chain| &chain.stages);
    stages
        .filter(|stage| seen.insert((&stage.name, &stage.version, &stage.root)))
        .collect()
}

/// How a trial's converter is chosen at the command line, the record's fault included.
pub(super) fn select(record: &Record, chain: &str) -> String {
    let known = record.chains.iter().find(|known| known.name == chain);
    let select = match known {
        Some(known) => known.select.clone(),
        None => format!("--converter {chain}"),
    };
    let flags = [("fault", &record.fault), ("profile", &record.profile)];
    let add = |select: String, (flag, value): &(&str, &Option<String>)| match value {
        Some(value) => format!("{select} --{flag} {value}"),
        None => select,
    };
    flags.iter().fold(select, add)
}

/// The place of a kind in the order of severity.
fn severity(kind: &str) -> usize {
    KINDS
        .iter()
        .position(|known| *known == kind)
        .unwrap_or(KINDS.len())
}
