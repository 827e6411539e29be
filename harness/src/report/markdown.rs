//! Markdown for a pull request or a page: who passes what, and which cases tell converters apart.

use std::collections::{BTreeMap, BTreeSet};

use super::score::{LEVELS, Score, is_passed, stages, stated, trials_of, word};
use super::{Record, Report, TrialRecord};

/// The Markdown report: a score per chain and level, never one number, then every case that some chain
/// does not pass, then who answers alike where the spec leaves it open.
pub struct Markdown;

/// The rows of the record: case, then chain.
type Rows<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a TrialRecord>>;

/// What equal rows have in common.
#[derive(PartialEq)]
struct Row<'a> {
    folder: &'a str,
    level: &'a str,
    words: Vec<&'a str>,
}

impl Report for Markdown {
    fn render(&self, record: &Record) -> String {
        let mut rows = Rows::new();
        for trial in &record.trials {
            let row = rows.entry(&trial.case).or_default();
            row.insert(&trial.chain, trial);
        }
        let mut out = String::from("# Conformance of OCI rootfs converters\n\n");
        out.push_str(&heading(record));
        out.push_str(&scores(record));
        out.push_str(&cases(record, &rows));
        out.push_str(&answers(record, &rows));
        out.push_str(&reasons(record));
        out
    }
}

fn heading(record: &Record) -> String {
    let mut out = String::new();
    if record.with_embargoed {
        out.push_str("**Not for the public**: made with `--with-embargoed`.\n\n");
    }
    for stage in stages(record) {
        let stated = stated(stage);
        if !stated.is_empty() {
            out.push_str(&format!("- {}: {}\n", cell(&stage.name), cell(&stated)));
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

/// Per chain and level, passed of decided and the failures by kind, the worst first.
fn scores(record: &Record) -> String {
    let mut out = format!("| converter | {} | skipped |\n", LEVELS.join(" | "));
    out.push_str(&format!("| --- |{}\n", " --- |".repeat(LEVELS.len() + 1)));
    for chain in &record.chains {
        let trials = || trials_of(record, &chain.name);
        let levels = LEVELS.map(|level| score(trials().filter(|trial| trial.level == level)));
        let skipped = Score::of(trials()).skipped;
        let (name, levels) = (cell(&chain.name), levels.join(" | "));
        out.push_str(&format!("| {name} | {levels} | {skipped} |\n"));
    }
    out + "\n"
}

/// `45/50: 3 silent, 2 rejected`.
fn score<'a>(trials: impl Iterator<Item = &'a TrialRecord>) -> String {
    let score = Score::of(trials);
    if score.decided == 0 {
        return "–".to_owned();
    }
    let mut words = vec![score.kinds_in_words()];
    if score.errors > 0 {
        words.push(format!("{} error", score.errors));
    }
    words.retain(|words| !words.is_empty());
    let colon = if words.is_empty() { "" } else { ": " };
    let (passed, decided) = (score.passed, score.decided);
    format!("{passed}/{decided}{colon}{}", words.join(", "))
}

/// The cases that not every chain passes, those of a folder with equal results in one row; what everybody
/// passes would tell nobody apart.
fn cases(record: &Record, rows: &Rows<'_>) -> String {
    let is_told = |row: &&BTreeMap<&str, &TrialRecord>| {
        row.values()
            .any(|trial| !is_passed(trial) && trial.verdict != "skip")
    };
    let told = rows.values().filter(is_told).count();
    let (all, passed) = (rows.len(), rows.len() - told);
    let mut out =
        format!("{passed} of {all} cases are passed by every converter that was asked.\n\n");
    if told == 0 {
        return out;
    }
    let heads: Vec<String> = record
        .chains
        .iter()
        .map(|chain| cell(&chain.name))
        .collect();
    out.push_str(&format!("| case | level | {} |\n", heads.join(" | ")));
    out.push_str(&format!("| --- | --- |{}\n", " --- |".repeat(heads.len())));
    // Each set of equal rows stands where its first does.
    let mut sets: Vec<(Row<'_>, Vec<&str>)> = Vec::new();
    for (case, row) in rows.iter().filter(|(_, row)| is_told(row)) {
        let words = record.chains.iter().map(|chain| {
            let trial = row.get(chain.name.as_str());
            trial.map_or("", |trial| word(trial))
        });
        let level = row.values().next().map_or("", |trial| trial.level.as_str());
        let (folder, name) = case.split_once('/').unwrap_or(("", case));
        let key = Row {
            folder,
            level,
            words: words.collect(),
        };
        match sets.iter_mut().find(|(known, _)| *known == key) {
            Some((_, names)) => names.push(name),
            None => sets.push((key, vec![name])),
        }
    }
    for (row, names) in sets {
        let (case, level) = (folded(row.folder, &names), row.level);
        let words = row.words.join(" | ");
        out.push_str(&format!("| {case} | {level} | {words} |\n"));
    }
    out + "\n"
}

/// `folder/name`, or `folder/{one, other}`, which a shell without the blanks takes too.
fn folded(folder: &str, names: &[&str]) -> String {
    let names = match names {
        [name] => (*name).to_owned(),
        names => format!("{{{}}}", names.join(", ")),
    };
    match folder {
        "" => cell(&names),
        folder => cell(&format!("{folder}/{names}")),
    }
}

/// Where several answers are right: which converters give the same one.
fn answers(record: &Record, rows: &Rows<'_>) -> String {
    let mut out = String::new();
    let mut alike = 0;
    for (case, row) in rows {
        let open = row.values().find(|trial| is_open(trial));
        let Some(open) = open else { continue };
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for chain in &record.chains {
            let trial = row.get(chain.name.as_str());
            let Some(trial) = trial.filter(|trial| is_open(trial)) else {
                continue;
            };
            let answer = answer(trial);
            match groups.iter_mut().find(|(known, _)| *known == answer) {
                Some((_, chains)) => chains.push(&chain.name),
                None => groups.push((answer, vec![&chain.name])),
            }
        }
        if groups.len() < 2 {
            alike += 1;
            continue;
        }
        let groups = groups.into_iter().map(|(answer, chains)| {
            let chains: Vec<String> = chains.into_iter().map(cell).collect();
            format!("{} ({})", cell(&answer), chains.join(", "))
        });
        let groups: Vec<String> = groups.collect();
        let (case, expect) = (cell(case), &open.expect);
        out.push_str(&format!("- {case}, {expect}: {}\n", groups.join("; ")));
    }
    match out.is_empty() {
        true => out,
        false => format!(
            "Where several answers are right, by answer; the same tree has the same digest. In {alike} more \
             such cases all answer alike.\n\n{out}\n"
        ),
    }
}

/// Whether it is one of several right answers.
fn is_open(trial: &TrialRecord) -> bool {
    matches!(trial.expect.as_str(), "one-of" | "record")
        && is_passed(trial)
        && !trial.answer.is_empty()
}

/// The answer in words: with the name of the outcome, where the case has one for it.
fn answer(trial: &TrialRecord) -> String {
    let answer = match trial.answer.strip_prefix("tree:") {
        Some(digest) => format!("tree {digest}"),
        None => trial.answer.clone(),
    };
    match &trial.outcome {
        Some(name) => format!("{name}: {answer}"),
        None => answer,
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
    use super::{Markdown, cell};
    use crate::report::sample::{answered, fail, known, pass, record};
    use crate::report::{Report as _, TrialRecord};

    #[test]
    fn no_text_can_end_its_cell() {
        assert_eq!(cell("a|b\n<i>*"), "a\\|b \\<i>\\*");
    }

    #[test]
    fn equal_rows_are_folded_and_levels_and_kinds_kept_apart() {
        let policy = TrialRecord {
            level: "policy".to_owned(),
            ..fail("b", "y/three", "silent", "l")
        };
        let record = record(vec![
            pass("a", "x/all"),
            pass("b", "x/all"),
            pass("a", "x/one"),
            known("b", "x/one", "silent", "why"),
            pass("a", "x/other"),
            fail("b", "x/other", "silent", "l"),
            pass("a", "x/third"),
            fail("b", "x/third", "crash", "l"),
            pass("a", "y/one"),
            fail("b", "y/one", "silent", "l"),
            policy,
        ]);
        let text = Markdown.render(&record);
        for line in [
            "| a | 5/5 | – | – | – | 0 |",
            "| b | 1/5: 3 silent, 1 crash | – | – | 0/1: 1 silent | 0 |",
            "1 of 6 cases are passed by every converter that was asked.",
            "| x/{one, other} | must | pass | silent |",
            "| x/third | must | pass | crash |",
            "| y/one | must | pass | silent |",
            "| y/three | policy |  | silent |",
            "- **b**: why (x/one)",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }

    #[test]
    fn converters_are_grouped_by_the_same_answer() {
        let named = |chain, answer| TrialRecord {
            outcome: Some("kept".to_owned()),
            ..answered(chain, "x/open", "one-of", answer)
        };
        let record = record(vec![
            named("a", "tree:1"),
            answered("b", "x/open", "one-of", "reject"),
            named("c", "tree:1"),
            fail("d", "x/open", "silent", "l"),
            answered("a", "x/record", "record", "tree:2"),
            answered("b", "x/record", "record", "tree:2"),
        ]);
        let text = Markdown.render(&record);
        assert!(
            text.contains("In 1 more such cases all answer alike"),
            "{text}"
        );
        assert!(
            text.contains("- x/open, one-of: kept: tree 1 (a, c); reject (b)\n"),
            "{text}"
        );
    }
}
