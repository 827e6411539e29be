//! The matrix as a text to be read in review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::evidence::Evidence;
use super::{BROAD, Matrix, NULL, Sort};

/// The longest line.
const LINE_MAX: usize = 110;

pub(super) fn text(matrix: &Matrix, evidence: &Evidence) -> String {
    let mut out = String::new();
    head(&mut out, matrix);
    base(&mut out, matrix);
    null(&mut out, matrix);
    killing_set(&mut out, matrix);
    unkilled(&mut out, matrix, evidence);
    unkilled_rejects(&mut out, matrix);
    faults(&mut out, matrix, evidence);
    out
}

fn head(out: &mut String, matrix: &Matrix) {
    let count = |sort| matrix.count(&[sort]);
    let _ = writeln!(
        out,
        "# The kill matrix: which case finds which fault of runners/faults.\n\
         # Written by `RENEW_KILL_MATRIX=1 cargo test -p harness --test it matrix`.\n\n\
         {} cases: {} tree, {} reject, {} one-of, {} record\n{} faults, {} null converters",
        matrix.cases.len(),
        count(Sort::Tree),
        count(Sort::Reject),
        count(Sort::OneOf),
        count(Sort::Record),
        matrix.killers.len() - NULL.len(),
        NULL.len(),
    );
}

fn base(out: &mut String, matrix: &Matrix) {
    let count = matrix.base.len();
    let _ = writeln!(
        out,
        "\n## Cases the faultless extractor gets wrong: {count}\n"
    );
    for (id, why) in &matrix.base {
        let _ = writeln!(out, "{id}\n    {why}");
    }
}

fn null(out: &mut String, matrix: &Matrix) {
    let _ = writeln!(out, "\n## Null converters: tree and reject cases failed\n");
    for fault in NULL {
        let (fails, of) = matrix.strict(fault);
        let percent = fails * 1000 / of.max(1);
        let (whole, tenth) = (percent / 10, percent % 10);
        let _ = writeln!(
            out,
            "{:24} {fails} of {of}, {whole}.{tenth} %",
            fault.name()
        );
    }
}

fn killing_set(out: &mut String, matrix: &Matrix) {
    let chosen = matrix.killing_set();
    let count = chosen.len();
    let _ = writeln!(out, "\n## Enough to find every fault: {count} cases\n");
    for (id, faults) in &chosen {
        let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
        let _ = writeln!(out, "{id}");
        wrap(out, &names.join(" "));
    }
}

fn unkilled(out: &mut String, matrix: &Matrix, evidence: &Evidence) {
    let unkilling = matrix.unkilling();
    let of = matrix.count(&[Sort::Tree]);
    let _ = writeln!(
        out,
        "\n## Tree cases that find no fault: {} of {of}\n\n\
         # Not counted: null converters, and faults that more than {BROAD} % of the cases find.\n",
        unkilling.len()
    );
    let mut by_reason: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for id in &unkilling {
        let reason = evidence
            .unkilled
            .get(id)
            .map_or("NO REASON", String::as_str);
        by_reason.entry(reason).or_default().insert(id);
    }
    for (reason, ids) in by_reason {
        let _ = writeln!(out, "{reason}");
        by_folder(out, ids.into_iter());
    }
}

/// A reject case has its twin to keep it honest, so these need no reasons.
fn unkilled_rejects(out: &mut String, matrix: &Matrix) {
    let unkilling = matrix.unkilling_rejects();
    let (count, of) = (unkilling.len(), matrix.count(&[Sort::Reject]));
    let _ = writeln!(
        out,
        "\n## Reject cases that find no fault: {count} of {of}\n"
    );
    by_folder(out, unkilling.iter());
}

fn faults(out: &mut String, matrix: &Matrix, evidence: &Evidence) {
    let _ = writeln!(out, "\n## Faults, and the cases that find them");
    for (fault, killers) in &matrix.killers {
        let count = killers.len();
        let _ = writeln!(out, "\n{}: {count}", fault.name());
        let _ = writeln!(out, "    {}", fault.wrong());
        let shipped = evidence.shipped(*fault);
        match shipped {
            [] => {}
            shipped => wrap(out, &format!("shipped: {}", shipped.join(", "))),
        }
        match matrix.is_broad(*fault) {
            true => counts(out, killers),
            false => by_folder(out, killers.iter()),
        }
    }
}

/// Only how many of each folder: nobody reads a list of nearly everything.
fn counts(out: &mut String, ids: &BTreeSet<String>) {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for id in ids {
        let folder = id.split('/').next().unwrap_or_default();
        *folders.entry(folder).or_default() += 1;
    }
    let words: Vec<String> = folders
        .iter()
        .map(|(folder, count)| format!("{folder}/:{count}"))
        .collect();
    wrap(out, &words.join(" "));
}

/// One folder on a line, or on several.
fn by_folder<'a>(out: &mut String, ids: impl Iterator<Item = &'a String>) {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in ids {
        if let Some((folder, name)) = id.split_once('/') {
            folders.entry(folder).or_default().push(name);
        }
    }
    for (folder, names) in folders {
        wrap(out, &format!("{folder}/ {}", names.join(" ")));
    }
}

/// Words on indented lines.
fn wrap(out: &mut String, words: &str) {
    let mut line = "   ".to_owned();
    for word in words.split(' ') {
        if line.len() + 1 + word.len() > LINE_MAX {
            let _ = writeln!(out, "{line}");
            line = "       ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}
