//! Each complaint about the matrix is seen to be made.

use std::collections::{BTreeMap, BTreeSet};

use faults::Fault;
use harness::case::{Corpus, Expect};

use super::evidence::Evidence;
use super::{Matrix, NULL, RENEW, Sort, change};
use crate::project::checkout;

/// Four tree cases and a reject case; two faults, one of them for `a/one` alone.
fn matrix() -> Matrix {
    let trees = ["a/four", "a/one", "a/three", "a/two"].map(|id| (id.to_owned(), Sort::Tree));
    let mut cases = BTreeMap::from(trees);
    cases.insert("a/zero".to_owned(), Sort::Reject);
    let found =
        |ids: &[&str]| -> BTreeSet<String> { ids.iter().map(|id| (*id).to_owned()).collect() };
    let all = found(&["a/four", "a/one", "a/three", "a/two", "a/zero"]);
    Matrix {
        cases,
        base: BTreeMap::new(),
        killers: BTreeMap::from([
            (Fault::AlwaysRejects, all),
            (Fault::WhiteoutsIgnored, found(&["a/one"])),
            (Fault::OpaqueIgnored, found(&["a/three", "a/two"])),
        ]),
    }
}

const FAULTS: &str = r#"
fault = [
  { name = "always-rejects", shipped = [], rows = ["all"], killer = "a/one" },
  { name = "whiteouts-ignored", shipped = ["x/y#1"], rows = [], killer = "a/one" },
  { name = "opaque-ignored", shipped = [], rows = ["O01"], killer = "a/two" },
]
"#;

/// `opaque-ignored` is found by two of five: too broad to count for them.
const UNKILLED: &str = r#"
unkilled = [{ reason = "because", cases = ["a/four", "a/three", "a/two"] }]
"#;

#[track_caller]
fn complaints(matrix: &Matrix, faults: &str, unkilled: &str) -> Vec<String> {
    matrix.complaints(&Evidence::parse(faults, unkilled))
}

#[test]
fn a_matrix_without_holes_is_fine() {
    assert_eq!(complaints(&matrix(), FAULTS, UNKILLED), [""; 0]);
}

#[test]
fn a_fault_that_no_case_finds_is_seen() {
    let mut matrix = matrix();
    matrix
        .killers
        .insert(Fault::WhiteoutsIgnored, BTreeSet::new());
    let complaints = complaints(&matrix, FAULTS, UNKILLED);
    assert_eq!(
        complaints[..2],
        [
            "no case finds the fault `whiteouts-ignored`",
            "faults.toml: `a/one` does not find `whiteouts-ignored`",
        ]
    );
    assert!(complaints[2].starts_with("the tree case `a/one` finds no fault"));
    assert_eq!(complaints.len(), 3);
}

#[test]
fn a_null_converter_that_passes_is_seen() {
    let mut matrix = matrix();
    let fails = matrix.killers.get_mut(&Fault::AlwaysRejects).unwrap();
    fails.remove("a/zero");
    assert_eq!(
        complaints(&matrix, FAULTS, UNKILLED),
        ["the null converter `always-rejects` fails only 4 of 5 tree and reject cases"]
    );
}

#[test]
fn a_reason_that_is_missing_or_stale_is_seen() {
    let fewer = UNKILLED.replace("\"a/four\", ", "");
    let found = complaints(&matrix(), FAULTS, &fewer);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("the tree case `a/four` finds no fault"));
    for stale in ["a/one", "a/zero", "a/gone"] {
        let more = UNKILLED.replace("\"a/four\"", &format!("\"a/four\", \"{stale}\""));
        assert_eq!(
            complaints(&matrix(), FAULTS, &more),
            [format!(
                "unkilled.toml: `{stale}` is no tree case that finds no fault"
            )]
        );
    }
}

#[test]
fn a_row_that_does_not_fit_is_seen() {
    let seen = |from: &str, to: &str| complaints(&matrix(), &FAULTS.replace(from, to), UNKILLED);
    assert_eq!(
        seen("opaque-ignored", "opaque-ignorant"),
        [
            "faults.toml: `opaque-ignored` is missing",
            "faults.toml: no fault is named `opaque-ignorant`",
        ]
    );
    assert_eq!(
        seen("killer = \"a/two\"", "killer = \"a/one\""),
        ["faults.toml: `a/one` does not find `opaque-ignored`"]
    );
    assert_eq!(
        seen("[\"x/y#1\"]", "[]"),
        ["faults.toml: `whiteouts-ignored` has no source at all"]
    );
    let row = FAULTS
        .lines()
        .find(|line| line.contains("opaque-ignored"))
        .unwrap();
    assert_eq!(
        seen(row, &format!("{row}\n{row}")),
        ["`opaque-ignored` stands twice"]
    );
}

#[test]
fn a_change_is_seen_with_the_way_to_renew_it() {
    assert_eq!(change("a\nb\n", "a\nb\n"), None);
    let change = change("a\nb\n", "a\nc\n").unwrap();
    assert!(
        change.contains(RENEW) && change.ends_with("-b\n+c\n"),
        "{change}"
    );
}

#[test]
fn few_cases_find_every_fault() {
    let chosen: Vec<String> = matrix()
        .killing_set()
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(chosen, ["a/one", "a/three"]);
}

#[test]
fn names_are_words_and_descriptions_are_sentences() {
    let mut names = BTreeSet::new();
    for fault in Fault::ALL {
        let (name, wrong) = (fault.name(), fault.wrong());
        let is_word = |word: &str| {
            let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
            !word.is_empty() && word.bytes().all(letter)
        };
        assert!(name.split('-').all(is_word), "{name}");
        assert!(
            wrong.ends_with('.') && !wrong.contains(". "),
            "{name}: {wrong}"
        );
        assert!(names.insert(name), "{name} stands twice");
    }
    assert!(NULL.iter().all(|fault| Fault::ALL.contains(fault)));
}

/// One case, the same way as all of them: what it finds is what it is about, and what no case misses.
#[test]
fn a_case_finds_what_it_is_about() {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let found = |id: &str| -> Vec<&str> {
        let case = corpus.find(id).unwrap().clone();
        let matrix = Matrix::of(&[case], Fault::ALL);
        let killed = matrix
            .killers
            .iter()
            .filter(|(_, killers)| !killers.is_empty());
        killed.map(|(fault, _)| fault.name()).collect()
    };
    let null = [
        "always-rejects",
        "always-empty-tree",
        "exits-without-output",
        "copies-last-layer",
    ];
    let broad = [
        "directory-time-before-children",
        "umask-applied",
        "zero-time-is-now",
    ];
    let about = [
        "opaque-of-aufs-obeyed",
        "directory-needs-slash",
        "whiteout-of-absent-refused",
    ];
    let want: BTreeSet<&str> = [&null[..], &broad, &about, &["whiteouts-ignored"]]
        .concat()
        .into_iter()
        .collect();
    assert_eq!(
        found("opaque/old-aufs-name")
            .into_iter()
            .collect::<BTreeSet<_>>(),
        want
    );

    // A rejection counts only while the twin is accepted.
    let case = corpus.find("layout/diff-id-wrong").unwrap();
    assert!(matches!(case.expect, Expect::Reject { .. }));
    let found = found("layout/diff-id-wrong");
    assert!(
        found.contains(&"diff-id-unchecked") && found.contains(&"always-rejects"),
        "{found:?}"
    );
    // An escape counts whatever the verdict, and so does what depends on the umask.
    let of = |id: &str| {
        let case = corpus.find(id).unwrap().clone();
        Matrix::of(
            &[case],
            &[Fault::LinksResolvedOnHost, Fault::UnnamedParentUnderUmask],
        )
    };
    let record = of("attribute/unnamed-parent-mode");
    assert_eq!(record.cases.values().next(), Some(&Sort::Record));
    assert_eq!(record.killers[&Fault::UnnamedParentUnderUmask].len(), 1);
    let escape = of("hostile/write-through-absolute-link");
    assert_eq!(escape.killers[&Fault::LinksResolvedOnHost].len(), 1);
}
