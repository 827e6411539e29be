//! The kill matrix: every fault of `runners/faults` against every case of the corpus. A fault that no case
//! finds shows a hole in the corpus; a tree case that finds no fault may be green for the wrong reason.

mod evidence;
mod judge;
mod render;
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use faults::Fault;
use fs_err as fs;
use harness::case::{Case, Corpus, Expect};

use crate::project::checkout;
use evidence::Evidence;
use judge::Asked;

/// Where the matrix stands.
const GOLDEN: &str = "golden/kill-matrix";
/// Set to any value, the golden is written instead of compared.
const RENEW: &str = "RENEW_KILL_MATRIX";
/// The faults that are no converters at all. They say nothing of a single case.
const NULL: [Fault; 4] = [
    Fault::AlwaysRejects,
    Fault::AlwaysEmptyTree,
    Fault::ExitsWithoutOutput,
    Fault::CopiesLastLayer,
];
/// The share of tree and reject cases that a null converter must fail, in hundredths.
const NULL_FAILS_MIN: usize = 95;
/// A fault that more cases find than this, in hundredths, breaks what every image has and says nothing of
/// a single case either.
const BROAD: usize = 25;

/// What the corpus and the faults make of each other.
struct Matrix {
    /// Every case by id.
    cases: BTreeMap<String, Sort>,
    /// What the faultless extractor gets wrong, and how.
    base: BTreeMap<String, String>,
    /// The cases that find each fault.
    killers: BTreeMap<Fault, BTreeSet<String>>,
}

/// What a case expects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Sort {
    Tree,
    Reject,
    OneOf,
    Record,
}

impl Matrix {
    fn of(cases: &[Case], faults: &[Fault]) -> Matrix {
        let mut matrix = Matrix {
            cases: BTreeMap::new(),
            base: BTreeMap::new(),
            killers: faults
                .iter()
                .map(|fault| (*fault, BTreeSet::new()))
                .collect(),
        };
        let work = tempfile::tempdir().unwrap();
        for case in cases {
            let asked = Asked::write(case, work.path());
            matrix.cases.insert(case.id.clone(), sort(case));
            if let Err(why) = asked.base() {
                matrix.base.insert(case.id.clone(), why.clone());
                continue;
            }
            for (fault, killers) in &mut matrix.killers {
                if asked.judge(*fault).is_err() {
                    killers.insert(case.id.clone());
                }
            }
        }
        matrix
    }

    fn count(&self, sorts: &[Sort]) -> usize {
        let of_sort = self.cases.values().filter(|sort| sorts.contains(sort));
        of_sort.count()
    }

    /// How many tree and reject cases a fault fails, and of how many.
    fn strict(&self, fault: Fault) -> (usize, usize) {
        let strict = [Sort::Tree, Sort::Reject];
        let fails = self.killers[&fault].iter();
        let fails = fails.filter(|id| strict.contains(&self.cases[*id]));
        (fails.count(), self.count(&strict))
    }

    fn is_broad(&self, fault: Fault) -> bool {
        self.killers[&fault].len() * 100 > self.cases.len() * BROAD
    }

    /// The tree cases that no fault is found by, null and broad ones aside.
    fn unkilling(&self) -> BTreeSet<String> {
        self.unkilling_of(Sort::Tree)
    }

    fn unkilling_of(&self, wanted: Sort) -> BTreeSet<String> {
        let killers = self.killers.iter();
        let telling = killers.filter(|(fault, _)| !NULL.contains(fault) && !self.is_broad(**fault));
        let killing: BTreeSet<&String> = telling.flat_map(|(_, killers)| killers).collect();
        let cases = self.cases.iter().filter(|(_, sort)| **sort == wanted);
        let unkilling = cases.filter(|(id, _)| !killing.contains(id));
        unkilling.map(|(id, _)| id.clone()).collect()
    }

    /// The reject cases that no fault is found by, null and broad ones aside.
    fn unkilling_rejects(&self) -> BTreeSet<String> {
        self.unkilling_of(Sort::Reject)
    }

    /// A few cases that find every fault, null converters aside: each time the one that finds most of those
    /// left, the first in bytewise order where several do.
    fn killing_set(&self) -> Vec<(String, Vec<Fault>)> {
        let mut left: BTreeSet<Fault> = self.killers.keys().copied().collect();
        left.retain(|fault| !NULL.contains(fault) && !self.killers[fault].is_empty());
        let mut chosen = Vec::new();
        while !left.is_empty() {
            let found_by = |id: &String| -> Vec<Fault> {
                let found = left.iter().filter(|fault| self.killers[fault].contains(id));
                found.copied().collect()
            };
            let mut best: (String, Vec<Fault>) = Default::default();
            for id in self.cases.keys() {
                let found = found_by(id);
                if found.len() > best.1.len() {
                    best = (id.clone(), found);
                }
            }
            for fault in &best.1 {
                left.remove(fault);
            }
            chosen.push(best);
        }
        chosen
    }

    /// What is wrong with the corpus, the faults or what is written down about them.
    fn complaints(&self, evidence: &Evidence) -> Vec<String> {
        let mut complaints = Vec::new();
        for (fault, killers) in &self.killers {
            if killers.is_empty() {
                complaints.push(format!("no case finds the fault `{}`", fault.name()));
            }
        }
        for fault in NULL.iter().filter(|fault| self.killers.contains_key(fault)) {
            let (fails, of) = self.strict(*fault);
            if fails * 100 < of * NULL_FAILS_MIN {
                let name = fault.name();
                complaints.push(format!(
                    "the null converter `{name}` fails only {fails} of {of} tree and reject cases"
                ));
            }
        }
        complaints.extend(evidence.complaints(self));
        complaints
    }
}

fn sort(case: &Case) -> Sort {
    match case.expect {
        Expect::Tree => Sort::Tree,
        Expect::Reject { .. } => Sort::Reject,
        Expect::OneOf(_) => Sort::OneOf,
        Expect::Record { .. } => Sort::Record,
    }
}

/// What has changed since the golden was written, and how to renew it.
fn change(old: &str, new: &str) -> Option<String> {
    if old == new {
        return None;
    }
    let diff = similar::TextDiff::from_lines(old, new);
    let diff = diff.unified_diff().header(GOLDEN, "now").to_string();
    Some(format!(
        "the kill matrix has changed; read the difference, then renew it:\n\
         {RENEW}=1 cargo test -p harness --test it matrix\n{diff}"
    ))
}

#[test]
fn every_fault_is_found_and_every_case_finds_one() {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let matrix = Matrix::of(&corpus.cases, Fault::ALL);
    let evidence = Evidence::read();
    let text = render::text(&matrix, &evidence);
    let golden = checkout().join(GOLDEN);
    if std::env::var_os(RENEW).is_some() {
        fs::write(&golden, &text).unwrap();
    }
    let old = fs::read_to_string(&golden).unwrap_or_default();
    let mut complaints = Vec::from_iter(change(&old, &text));
    complaints.extend(matrix.complaints(&evidence));
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
