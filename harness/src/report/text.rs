//! What a person reads at the terminal.
//!
//! The title first, the deciding sentence second, then only what differs, then paths to look at, then
//! the two commands one wants next. No times and no need of colour: equal results, equal text.

use std::collections::BTreeMap;

use super::{Record, Report, TrialRecord};
use crate::case::variant::split_id;

/// How many findings of one trial are shown.
const FINDINGS_MAX: usize = 20;
/// Up to how many trials each gets its own line though it passed.
const LISTED_MAX: usize = 24;
/// The verdicts, in the order of the summary.
const VERDICTS: [&str; 6] = ["pass", "fail", "known", "fixed", "skip", "error"];

/// The text report.
pub struct Text {
    /// Whether every trial is listed, not only those one must look at.
    pub verbose: bool,
}

impl Report for Text {
    fn render(&self, record: &Record) -> String {
        let mut out = heading(record);
        let listed = self.verbose || record.trials.len() <= LISTED_MAX;
        for trial in &record.trials {
            match trial.verdict.as_str() {
                "fail" | "error" | "fixed" => out.push_str(&block(trial, &select(record, trial))),
                _ if listed => out.push_str(&line(trial)),
                _ => {}
            }
        }
        if listed {
            out.push('\n');
        }
        out.push_str(&levels(record));
        out.push_str(&unchecked(record));
        out.push_str(&summary(record));
        out
    }
}

fn heading(record: &Record) -> String {
    let mut stages: Vec<String> = Vec::new();
    for stage in record.chains.iter().flat_map(|chain| &chain.stages) {
        let root = (stage.root != "host").then(|| format!("tool root {}", stage.root));
        let version = Some(stage.version.clone()).filter(|version| !version.is_empty());
        let unrated = (!stage.rated).then(|| "not a version that was looked at".to_owned());
        let remarks: Vec<String> = version.into_iter().chain(root).chain(unrated).collect();
        let word = match remarks.is_empty() {
            true => stage.name.clone(),
            false => format!("{} ({})", stage.name, remarks.join(", ")),
        };
        if !stages.contains(&word) {
            stages.push(word);
        }
    }
    let trials = match record.trials.len() {
        1 => "1 trial".to_owned(),
        count => format!("{count} trials"),
    };
    let fault = match &record.fault {
        Some(fault) => format!(" · fault: {fault}"),
        None => String::new(),
    };
    let profile = match &record.profile {
        Some(profile) => format!(" · profile: {profile}"),
        None => String::new(),
    };
    let stages = stages.join(", ");
    format!(
        "{stages} · {trials}{fault}{profile}\n{}\n\n",
        record.machine
    )
}

fn line(trial: &TrialRecord) -> String {
    let word = trial.verdict.to_uppercase();
    let remark = match (&trial.known, trial.unchecked.is_empty()) {
        (Some(known), _) => known.reason.clone(),
        (None, false) if trial.verdict == "skip" => trial
            .unchecked
            .values()
            .cloned()
            .collect::<Vec<_>>()
            .join("; "),
        _ => trial.seen.join(", "),
    };
    format!("{word:5} {}\n      {remark}\n", trial.name())
}

/// How the trial's converter is chosen at the command line.
fn select(record: &Record, trial: &TrialRecord) -> String {
    let chain = record.chains.iter().find(|chain| chain.name == trial.chain);
    let select = match chain {
        Some(chain) => chain.select.clone(),
        None => format!("--converter {}", trial.chain),
    };
    let flags = [("fault", &record.fault), ("profile", &record.profile)];
    flags
        .iter()
        .fold(select, |select, (flag, value)| match value {
            Some(value) => format!("{select} --{flag} {value}"),
            None => select,
        })
}

fn block(trial: &TrialRecord, select: &str) -> String {
    let TrialRecord {
        chain,
        case,
        title,
        rule,
        ..
    } = trial;
    let word = trial.verdict.to_uppercase();
    let mut out = format!("{word:5} {chain}/{case}\n      {title}\n      {rule}\n\n");
    if let Some(known) = &trial.known
        && trial.verdict == "fixed"
    {
        let runner = &known.runner;
        out.push_str(&format!(
            "        passes, yet runners/{runner}/expectations.toml says it fails: delete the line\n        \
             it said: {}\n",
            known.reason
        ));
    }
    if let Some(error) = &trial.error {
        out.push_str(&format!(
            "        the harness failed, not the converter: {error}\n"
        ));
    }
    for finding in trial.findings.iter().take(FINDINGS_MAX) {
        out.push_str(&format!("        {:9} {}\n", finding.kind, finding.line));
    }
    if trial.findings.len() > FINDINGS_MAX {
        let more = trial.findings.len() - FINDINGS_MAX;
        out.push_str(&format!("        … and {more} more, see run.json\n"));
    }
    out.push('\n');
    if case.starts_with("scale/") {
        out.push_str(&format!("      case    harness show {case}\n"));
    } else if case != "layout" {
        let (origin, _) = split_id(case);
        out.push_str(&format!("      case    corpus/{origin}.toml\n"));
        if trial
            .findings
            .iter()
            .any(|finding| finding.kind == "silent")
        {
            out.push_str(&format!("      golden  golden/{origin}.mtree\n"));
        }
    }
    if let Some(kept) = &trial.kept {
        out.push_str(&format!("      kept    {kept}\n"));
    }
    if case != "layout" {
        out.push_str(&format!(
            "      again   harness run {select} --only {case}\n"
        ));
        out.push_str(&format!(
            "      report  harness export {case} --to DIR    # a bundle for the converter's issue tracker\n"
        ));
    }
    out.push('\n');
    out
}

/// Passed of decided, per chain and level: one number would hide that a must is not a policy.
fn levels(record: &Record) -> String {
    const LEVELS: [&str; 4] = ["must", "should", "de-facto", "policy"];
    if record.trials.len() <= LISTED_MAX {
        return String::new();
    }
    let width = record
        .chains
        .iter()
        .map(|chain| chain.name.len())
        .max()
        .unwrap_or(0);
    let mut out = String::new();
    for chain in &record.chains {
        out.push_str(&format!("{:width$}", chain.name));
        for level in LEVELS {
            let decided = || {
                record.trials.iter().filter(|trial| {
                    trial.chain == chain.name && trial.level == level && trial.verdict != "skip"
                })
            };
            let passed = decided()
                .filter(|t| t.verdict == "pass" || t.verdict == "fixed")
                .count();
            out.push_str(&format!("   {level} {passed}/{}", decided().count()));
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

/// What could not be checked, by reason, with how often and the causes.
fn unchecked(record: &Record) -> String {
    let mut by_cause: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for trial in &record.trials {
        for (reason, cause) in &trial.unchecked {
            *by_cause.entry((reason, cause)).or_default() += 1;
        }
    }
    let mut out = String::new();
    for ((reason, cause), count) in by_cause {
        out.push_str(&format!(
            "not checked in {count} trials: {reason}: {cause}\n"
        ));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn summary(record: &Record) -> String {
    let counts = VERDICTS.map(|verdict| {
        let count = record
            .trials
            .iter()
            .filter(|trial| trial.verdict == verdict)
            .count();
        format!("{count} {verdict}")
    });
    format!("{}\n", counts.join("   "))
}
