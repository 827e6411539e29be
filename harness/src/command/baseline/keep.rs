//! What of an expectations file still holds after a run.

use anyhow::Context as _;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Table};

use super::Run;
use crate::report::TrialRecord;
use crate::runner::{Format, Known};

/// An expectations file after a run.
pub(super) struct Kept<'a> {
    /// The text without what does not hold.
    pub(super) text: String,
    /// What was dropped, in words.
    pub(super) dropped: Vec<String>,
    /// The failed trials that no entry covers.
    pub(super) uncovered: Vec<&'a TrialRecord>,
}

/// What a run says of one case of an entry.
enum Standing {
    /// It fails as the entry says, or was not asked here.
    Holds,
    /// It does not, in words.
    Gone(String),
    /// Nobody has looked at the entry; what it says is proposed anew.
    Proposed,
}

/// Drops from a file what does not hold after a run.
pub(super) fn keep<'a>(old: &str, known: &[Known], run: &'a Run) -> anyhow::Result<Kept<'a>> {
    let mut document: DocumentMut = old.parse().context("it is no TOML")?;
    let mut dropped = Vec::new();
    let mut gone = Vec::new();
    if let Some(entries) = document
        .get_mut("known")
        .and_then(toml_edit::Item::as_array_of_tables_mut)
    {
        for (index, entry) in known.iter().enumerate() {
            let table = entries.get_mut(index).context("an entry is no table")?;
            let cases = cases_of(table)?;
            for at in (0..entry.cases.len()).rev() {
                match standing(known, index, &entry.cases[at], run) {
                    Standing::Holds => continue,
                    Standing::Proposed => {}
                    Standing::Gone(words) => dropped.push((index, at, words)),
                }
                remove(cases, at);
            }
            if cases.is_empty() {
                gone.push(index);
            }
        }
        for index in gone.into_iter().rev() {
            drop_table(entries, index);
        }
    }
    dropped.sort();
    let covered = |trial: &TrialRecord| {
        let entry = find(known, trial, run);
        entry.is_some_and(|index| {
            matches!(standing(known, index, &trial.case, run), Standing::Holds)
        })
    };
    let failed = run.trials.iter().filter(|trial| !trial.findings.is_empty());
    Ok(Kept {
        text: document.to_string(),
        dropped: dropped.into_iter().map(|(_, _, words)| words).collect(),
        uncovered: failed.filter(|trial| !covered(trial)).collect(),
    })
}

fn standing(known: &[Known], index: usize, case: &str, run: &Run) -> Standing {
    if !known[index].is_looked_at() {
        return Standing::Proposed;
    }
    let asked = |trial: &&TrialRecord| {
        trial.case == case
            && !matches!(trial.verdict.as_str(), "skip" | "error")
            && find(known, trial, run) == Some(index)
    };
    let trials: Vec<&TrialRecord> = run.trials.iter().filter(asked).collect();
    let mut failed = trials
        .iter()
        .filter(|trial| !trial.findings.is_empty())
        .peekable();
    let is_failed = failed.peek().is_some();
    if trials.is_empty() || is_failed && failed.all(|trial| covers(&known[index], trial)) {
        return Standing::Holds;
    }
    let kinds = known[index].kinds.join(", ");
    let mut now: Vec<&str> = Vec::new();
    for kind in trials.iter().flat_map(|trial| kinds_of(trial)) {
        if !now.contains(&kind) {
            now.push(kind);
        }
    }
    Standing::Gone(match now.is_empty() {
        true => format!("dropped {case} ({kinds}): it passes"),
        false => format!("dropped {case} ({kinds}): it is {} now", now.join(", ")),
    })
}

/// The entry that speaks of a trial.
fn find(known: &[Known], trial: &TrialRecord, run: &Run) -> Option<usize> {
    let format = Format::ALL
        .into_iter()
        .find(|format| format.word() == trial.format)?;
    known
        .iter()
        .position(|known| known.holds_for(&run.runner, &trial.case, &run.version, format))
}

fn covers(known: &Known, trial: &TrialRecord) -> bool {
    let mut kinds = kinds_of(trial).into_iter();
    kinds.all(|kind| known.kinds.iter().any(|known| known == kind))
}

/// The kinds of a trial's findings, the worst first, each once.
pub(super) fn kinds_of(trial: &TrialRecord) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for finding in &trial.findings {
        if !kinds.contains(&finding.kind.as_str()) {
            kinds.push(&finding.kind);
        }
    }
    kinds
}

fn cases_of(table: &mut Table) -> anyhow::Result<&mut Array> {
    table
        .get_mut("cases")
        .and_then(toml_edit::Item::as_array_mut)
        .context("`cases` is no array")
}

/// Removes a case. What stands before the bracket's first value is the array's look, not the case's.
fn remove(cases: &mut Array, at: usize) {
    let removed = cases.remove(at);
    let is_plain = |decor: &toml_edit::Decor| {
        decor.prefix().is_none_or(|prefix| {
            prefix
                .as_str()
                .is_none_or(|prefix| prefix.trim().is_empty())
        })
    };
    if at == 0
        && let Some(first) = cases.get_mut(0)
        && is_plain(first.decor())
        && is_plain(removed.decor())
        && let Some(prefix) = removed.decor().prefix()
    {
        first.decor_mut().set_prefix(prefix.clone());
    }
}

/// Removes an entry. Of what stands above it, all but the last paragraph belongs to the file.
fn drop_table(entries: &mut ArrayOfTables, index: usize) {
    let above = |table: &Table| {
        let prefix = table.decor().prefix();
        let text = prefix.and_then(|prefix| prefix.as_str());
        text.unwrap_or_default().to_owned()
    };
    let text = entries.get(index).map(above).unwrap_or_default();
    entries.remove(index);
    let Some((file, _)) = text.rsplit_once("\n\n") else {
        return;
    };
    if let Some(next) = entries.get_mut(index).filter(|_| !file.trim().is_empty()) {
        let text = format!("{file}\n{}", above(next));
        next.decor_mut().set_prefix(text);
    }
}
