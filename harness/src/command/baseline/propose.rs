//! Entries for failures that no entry covers, grouped by what fails alike.

use std::collections::BTreeMap;

use super::Run;
use super::keep::kinds_of;
use crate::check::FindingKind;
use crate::report::{FindingRecord, TrialRecord, visible};
use crate::runner::NOT_LOOKED_AT;

/// How many findings stand beside a case.
const FINDINGS_MAX: usize = 5;
/// How many characters of each.
const CHARS_MAX: usize = 300;

/// The entries, as TOML: one for each set of cases with the same kinds and the same shape of findings.
pub(super) fn propose(failed: &[&TrialRecord], run: &Run) -> String {
    let mut groups: BTreeMap<(Vec<String>, Vec<String>), Vec<TrialRecord>> = BTreeMap::new();
    for trial in by_case(failed) {
        let kinds = kinds_of(&trial).into_iter().map(str::to_owned).collect();
        let group = groups.entry((kinds, shape(&trial))).or_default();
        group.push(trial);
    }
    let entries: Vec<String> = groups
        .into_iter()
        .map(|((kinds, _), trials)| entry(&kinds, &trials, run))
        .collect();
    entries.join("\n")
}

/// One trial for each case: what fails in any of its outputs.
fn by_case(failed: &[&TrialRecord]) -> Vec<TrialRecord> {
    let mut cases: BTreeMap<&str, TrialRecord> = BTreeMap::new();
    for trial in failed {
        let Some(known) = cases.get_mut(trial.case.as_str()) else {
            cases.insert(&trial.case, (*trial).clone());
            continue;
        };
        known.embargo |= trial.embargo;
        for finding in &trial.findings {
            if !known.findings.contains(finding) {
                known.findings.push(finding.clone());
            }
        }
        known
            .findings
            .sort_by_key(|finding| FindingKind::named(&finding.kind));
    }
    cases.into_values().collect()
}

fn entry(kinds: &[String], trials: &[TrialRecord], run: &Run) -> String {
    // What lets an image act outside of the output is held back until somebody decides otherwise.
    let embargo =
        kinds.iter().any(|kind| kind == "escape") || trials.iter().any(|trial| trial.embargo);
    let mut out = String::from("[[known]]\ncases = [\n");
    for trial in trials {
        if !embargo {
            out.push_str(&remarks(trial));
        }
        out.push_str(&format!("  {},\n", string(&trial.case)));
    }
    let kinds: Vec<String> = kinds.iter().map(|kind| string(kind)).collect();
    out.push_str(&format!("]\nkinds = [{}]\n", kinds.join(", ")));
    for key in ["reason", "link"] {
        out.push_str(&format!("{key} = {}\n", string(NOT_LOOKED_AT)));
    }
    if let Some(version) = number(&run.version) {
        out.push_str(&format!("version = {}\n", string(version)));
    }
    if run.is_one_of_several {
        out.push_str(&format!("runners = [{}]\n", string(&run.runner)));
    }
    if embargo {
        out.push_str("embargo = true\n");
    }
    out
}

/// The findings as comments.
fn remarks(trial: &TrialRecord) -> String {
    let mut out = String::new();
    for FindingRecord { kind, line } in trial.findings.iter().take(FINDINGS_MAX) {
        let mut line: String = visible(line).chars().take(CHARS_MAX).collect();
        line = line.replace('\n', "\\u{a}");
        out.push_str(format!("  # {kind}: {line}").trim_end());
        out.push('\n');
    }
    if let Some(more) = trial.findings.len().checked_sub(FINDINGS_MAX + 1) {
        out.push_str(&format!("  # … and {} more\n", more + 1));
    }
    out
}

/// The findings of a trial without what differs between cases that fail alike: paths, numbers, digests and
/// quoted names. Each line once, sorted.
fn shape(trial: &TrialRecord) -> Vec<String> {
    let lines = trial.findings.iter();
    let mut lines: Vec<String> = lines
        .map(|finding| format!("{} {}", finding.kind, shape_of(&finding.line)))
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

fn shape_of(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut is_value = false;
    for word in line.split_whitespace() {
        // The two values of a modified attribute, each of however many words.
        match word {
            "want" | "got" => is_value = true,
            _ if is_value => continue,
            _ => {}
        }
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '.');
        let is_name = bare.contains('/') || word.starts_with(['`', '"', '\'']) || bare == ".";
        let has_digit = bare.bytes().any(|byte| byte.is_ascii_digit());
        words.push(match is_name || has_digit {
            true => "…",
            false => word,
        });
    }
    words.join(" ")
}

/// What of a version line is the version: its first word that begins with a number and has a dot, without
/// what a distribution adds; else the whole line.
fn number(version: &str) -> Option<&str> {
    let numbers = version.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut numbers = numbers.map(|word| word.trim_matches('.'));
    let number = numbers.find(|word| word.contains('.'));
    number
        .or(Some(version.trim()))
        .filter(|version| !version.is_empty())
}

/// A TOML string.
fn string(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::{number, shape_of};

    #[test]
    fn what_fails_alike_has_one_shape() {
        let same = [
            (
                "modified  ./a  time  want 0.0  got 1795229096.6",
                "modified  ./b/c  time  want 5.0  got 2.0",
            ),
            ("extra     ./a", "extra     ./b"),
            (
                "umoci: exit 1: open /tmp/x1: no",
                "umoci: exit 2: open /y: no",
            ),
            ("killed with `a b'", "killed with `c b'"),
        ];
        for (one, other) in same {
            assert_eq!(shape_of(one), shape_of(other));
        }
        let different = [
            (
                "modified  ./a  time  want 0.0  got 1.0",
                "modified  ./a  mode  want 0.0  got 1.0",
            ),
            ("missing   ./a", "extra     ./a"),
            ("umoci: exit 1: no such file", "umoci: exit 1: file exists"),
        ];
        for (one, other) in different {
            assert_ne!(shape_of(one), shape_of(other));
        }
    }

    #[test]
    fn the_number_of_a_version_is_found() {
        assert_eq!(number("umoci version 0.4.7+ds-3"), Some("0.4.7"));
        assert_eq!(number("mkfs.erofs (erofs-utils) 1.5"), Some("1.5"));
        assert_eq!(number("v2.1.0."), Some("2.1.0"));
        assert_eq!(number("rolling"), Some("rolling"));
        assert_eq!(number(" "), None);
    }
}
