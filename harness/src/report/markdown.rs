//! Markdown for a pull request or a page: who passes what, and which cases tell converters apart.

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, Report, TrialRecord};

/// The Markdown report: a score per chain and level, never one number, then every case that some chain
/// does not pass.
pub struct Markdown;

const LEVELS: [&str; 4] = ["must", "should", "de-facto", "policy"];

impl Report for Markdown {
    fn render(&self, record: &Record) -> String {
        let mut out = String::from("# Conformance of OCI rootfs converters\n\n");
        out.push_str(&heading(record));
        out.push_str(&scores(record));
        out.push_str(&cases(record));
        out.push_str(&reasons(record));
        out
    }
}

fn heading(record: &Record) -> String {
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    for stage in record.chains.iter().flat_map(|chain| &chain.stages) {
        if seen.insert(&stage.name) && !stage.version.is_empty() {
            out.push_str(&format!(
                "- {}: {}\n",
                cell(&stage.name),
                cell(&stage.version)
            ));
        }
    }
    out.push_str(&format!("- machine: {}\n", cell(&record.machine)));
    out.push_str(&format!("- containment: {}\n", cell(&record.containment)));
    if let Some(fault) = &record.fault {
        out.push_str(&format!("- fault: {}\n", cell(fault)));
    }
    if let Some(profile) = &record.profile {
        out.push_str(&format!("- profile: {}\n", cell(profile)));
    }
    out + "\n"
}

/// Passed of decided, per chain and level, and the failures by kind, the worst first.
fn scores(record: &Record) -> String {
    let mut out = format!(
        "| converter | {} | fails by kind | skipped |\n",
        LEVELS.join(" | ")
    );
    out.push_str(&format!("| --- |{}\n", " --- |".repeat(LEVELS.len() + 2)));
    for chain in &record.chains {
        let trials = || {
            record
                .trials
                .iter()
                .filter(|trial| trial.chain == chain.name)
        };
        let decided = |level: &'static str| {
            trials().filter(move |trial| trial.level == level && trial.verdict != "skip")
        };
        let levels = LEVELS.map(|level| {
            let passed = decided(level).filter(|trial| is_passed(trial)).count();
            format!("{passed}/{}", decided(level).count())
        });
        let mut kinds: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
        for finding in trials().filter_map(|trial| trial.findings.first()) {
            let severity = severity(&finding.kind);
            kinds.entry(severity).or_insert((&finding.kind, 0)).1 += 1;
        }
        let kinds: Vec<String> = kinds
            .values()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let skipped = trials().filter(|trial| trial.verdict == "skip").count();
        out.push_str(&format!(
            "| {} | {} | {} | {skipped} |\n",
            cell(&chain.name),
            levels.join(" | "),
            kinds.join(", ")
        ));
    }
    out + "\n"
}

fn is_passed(trial: &TrialRecord) -> bool {
    matches!(trial.verdict.as_str(), "pass" | "fixed")
}

/// The place of a kind in the order of severity.
fn severity(kind: &str) -> usize {
    const KINDS: [&str; 10] = [
        "escape", "silent", "corrupt", "accepted", "crash", "timeout", "resource", "rejected",
        "unstable", "unclean",
    ];
    KINDS
        .iter()
        .position(|known| *known == kind)
        .unwrap_or(KINDS.len())
}

/// The cases that not every chain passes; rows in which all are equal would tell nobody apart.
fn cases(record: &Record) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<&str, &TrialRecord>> = BTreeMap::new();
    for trial in &record.trials {
        rows.entry(&trial.case)
            .or_default()
            .insert(&trial.chain, trial);
    }
    let all = rows.len();
    rows.retain(|_, row| {
        row.values()
            .any(|trial| !is_passed(trial) && trial.verdict != "skip")
    });
    let chains: Vec<&str> = record
        .chains
        .iter()
        .map(|chain| chain.name.as_str())
        .collect();
    let passed = all - rows.len();
    let mut out =
        format!("{passed} of {all} cases are passed by every converter that was asked.\n\n");
    if rows.is_empty() {
        return out;
    }
    let heads: Vec<String> = chains.iter().map(|chain| cell(chain)).collect();
    out.push_str(&format!("| case | level | {} |\n", heads.join(" | ")));
    out.push_str(&format!("| --- | --- |{}\n", " --- |".repeat(chains.len())));
    for (case, row) in rows {
        let words = chains
            .iter()
            .map(|chain| row.get(chain).map_or("", |trial| word(trial)));
        let words: Vec<&str> = words.collect();
        let level = row.values().next().map_or("", |trial| trial.level.as_str());
        out.push_str(&format!(
            "| {} | {level} | {} |\n",
            cell(case),
            words.join(" | ")
        ));
    }
    out + "\n"
}

/// What a cell says: the worst kind of finding, or the verdict.
fn word(trial: &TrialRecord) -> &str {
    match trial.findings.first() {
        Some(finding) => &finding.kind,
        None => &trial.verdict,
    }
}

/// Why what is known to fail does.
fn reasons(record: &Record) -> String {
    let mut by_reason: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for trial in &record.trials {
        if let (Some(known), "known") = (&trial.known, trial.verdict.as_str()) {
            let key = (known.runner.as_str(), known.reason.as_str());
            by_reason.entry(key).or_default().insert(&trial.case);
        }
    }
    if by_reason.is_empty() {
        return String::new();
    }
    let mut out = String::from("Known failures:\n\n");
    for ((runner, reason), cases) in by_reason {
        let cases: Vec<String> = cases.into_iter().map(cell).collect();
        out.push_str(&format!(
            "- **{}**: {} ({})\n",
            cell(runner),
            cell(reason),
            cases.join(", ")
        ));
    }
    out
}

/// A text that neither ends its cell nor is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '<' | '[' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_text_can_end_its_cell() {
        assert_eq!(cell("a|b\n<i>*"), "a\\|b \\<i>\\*");
    }
}
