//! What a person reads at the terminal.
//!
//! The title first, the deciding sentence second, then only what differs, then paths to look at, then
//! the two commands one wants next. No times and no need of colour: equal results, equal text.

use std::collections::BTreeMap;

use super::score::{LEVELS, Score, VERDICTS, select, stages, stated, trials_of};
use super::{Record, Report, TrialRecord};
use crate::case::variant::split_id;

/// How many findings of one trial are shown.
const FINDINGS_MAX: usize = 20;
/// Up to how many trials each gets its own line though it passed.
const LISTED_MAX: usize = 24;

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
                "fail" | "error" | "fixed" => {
                    out.push_str(&block(trial, &select(record, &trial.chain)));
                }
                _ if listed => out.push_str(&line(trial)),
                _ => {}
            }
        }
        if listed {
            out.push('\n');
        }
        out.push_str(&levels(record));
        out.push_str(&unchecked(record));
        out.push_str(&lost_batches(record));
        out.push_str(&summary(record));
        out
    }
}

fn heading(record: &Record) -> String {
    let words = stages(record).into_iter().map(|stage| {
        let stated = stated(stage);
        match stated.is_empty() {
            true => stage.name.clone(),
            false => format!("{} ({stated})", stage.name),
        }
    });
    let stages: Vec<String> = words.collect();
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
    if trial.dropped {
        out.push_str(
            "      kept    nothing, since a run keeps at most 2 GiB; run it again alone\n",
        );
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
            let trials = trials_of(record, &chain.name).filter(|trial| trial.level == level);
            let score = Score::of(trials);
            out.push_str(&format!("   {level} {}/{}", score.passed, score.decided));
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

/// What took longer than it should, and what to look for.
fn lost_batches(record: &Record) -> String {
    let lost = record.chains.iter().filter(|chain| chain.lost_batches > 0);
    let lines = lost.map(|chain| {
        let (name, count) = (&chain.name, chain.lost_batches);
        format!("slow: {name} told nothing in {count} of its batches, so their trials ran alone\n")
    });
    lines.collect()
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

#[cfg(test)]
mod tests {
    use super::{Report as _, Text};
    use crate::report::TrialRecord;
    use crate::report::sample::{fail, pass, record};

    const TEXT: Text = Text { verbose: false };

    #[test]
    fn a_failing_trial_says_where_what_it_made_is_or_why_it_is_not() {
        let said = |kept: Option<&str>, dropped: bool| {
            let trial = TrialRecord {
                kept: kept.map(str::to_owned),
                dropped,
                ..fail("a", "name/plain", "silent", "missing   ./etc/plain")
            };
            let text = TEXT.render(&record(vec![trial]));
            let line = text.lines().find(|line| line.starts_with("      kept"));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(said(Some("kept/a"), false), "      kept    kept/a");
        assert!(said(None, true).contains("nothing, since a run keeps at most 2 GiB"));
        assert_eq!(said(None, false), "");
    }

    #[test]
    fn batches_that_told_nothing_are_told_of() {
        let mut record = record(vec![pass("a", "name/plain"), pass("b", "name/plain")]);
        assert!(!TEXT.render(&record).contains("slow: "));
        record.chains[1].lost_batches = 3;
        let text = TEXT.render(&record);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("slow: "))
            .collect();
        let said = "slow: b told nothing in 3 of its batches, so their trials ran alone";
        assert_eq!(lines, [said]);
    }
}
