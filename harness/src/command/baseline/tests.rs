//! What a person wrote stays, what does not hold goes, and what is new nobody can take for known.

use std::collections::BTreeMap;

use super::{Run, baseline, folder_of, has_variants};
use crate::report::{ChainRecord, FindingRecord, Record, StageRecord, TrialRecord};
use crate::runner::{Expectations, NOT_LOOKED_AT};

const OLD: &str = "# What tool 1.2 fails, each looked at.
# A second line.

# Times.
[[known]]
cases = [
  \"a/gone\",
  # as in the mail of May
  \"a/one\",   # looked at twice
  \"a/two\",
]
kinds = [\"silent\", \"unstable\"]
reason = '''it keeps no times'''
link = 'tool#1'

# Of another version.
[[known]]
cases = [\"a/gone\"]
kinds = [\"crash\"]
reason = 'it did'
link = 'tool#2'
version = '1.1'
";

fn trial(chain: &str, case: &str, findings: &[(&str, &str)]) -> TrialRecord {
    let finding = |(kind, line): &(&str, &str)| FindingRecord {
        kind: (*kind).to_owned(),
        line: (*line).to_owned(),
    };
    let verdict = if findings.is_empty() { "pass" } else { "fail" };
    TrialRecord {
        chain: chain.to_owned(),
        case: case.to_owned(),
        title: String::new(),
        rule: String::new(),
        level: "must".to_owned(),
        expect: "tree".to_owned(),
        format: "dir".to_owned(),
        verdict: verdict.to_owned(),
        findings: findings.iter().map(finding).collect(),
        known: None,
        seen: Vec::new(),
        unchecked: BTreeMap::new(),
        answer: String::new(),
        outcome: None,
        error: None,
        kept: None,
        dropped: false,
        embargo: false,
    }
}

fn run(trials: Vec<TrialRecord>) -> Run {
    Run {
        runner: "tool".to_owned(),
        is_one_of_several: false,
        version: "tool version 1.2-debian".to_owned(),
        trials,
    }
}

const TIME: (&str, &str) = ("silent", "modified  ./a  time  want 0.0  got 17.5");

#[test]
fn entries_that_hold_are_kept_to_the_byte() {
    let all = ["a/gone", "a/one", "a/two"].map(|case| trial("tool", case, &[TIME]));
    let (text, dropped) = baseline(OLD, &run(all.into())).unwrap();
    assert_eq!((text.as_str(), dropped), (OLD, Vec::<String>::new()));
    // What was not asked says nothing.
    let (text, dropped) = baseline(OLD, &run(Vec::new())).unwrap();
    assert_eq!((text.as_str(), dropped), (OLD, Vec::<String>::new()));
    let mut skipped = trial("tool", "a/one", &[]);
    skipped.verdict = "skip".to_owned();
    assert_eq!(baseline(OLD, &run(vec![skipped])).unwrap().0, OLD);
}

#[test]
fn what_does_not_hold_is_dropped_and_told() {
    let trials = vec![
        trial("tool", "a/gone", &[]),
        trial("tool", "a/one", &[TIME]),
        trial("tool", "a/two", &[("crash", "killed by signal 11"), TIME]),
    ];
    let (text, dropped) = baseline(OLD, &run(trials)).unwrap();
    assert_eq!(
        dropped,
        [
            "dropped a/gone (silent, unstable): it passes",
            "dropped a/two (silent, unstable): it is crash, silent now",
        ]
    );
    let (old, new) = text
        .split_once("\n\n[[known]]\ncases = [\n  # crash")
        .unwrap();
    for kept in [
        "# A second line.",
        "# as in the mail of May\n  \"a/one\",",
        "it keeps no times",
        "# Of another version.",
    ] {
        assert!(old.contains(kept), "{kept}\n{old}");
    }
    assert!(
        !old.contains("a/two") && old.matches("a/gone").count() == 1,
        "{old}"
    );
    assert!(
        new.contains(": killed by signal 11\n  # silent: modified  ./a  time"),
        "{new}"
    );
    assert!(
        new.contains("\"a/two\",\n]\nkinds = [\"crash\", \"silent\"]"),
        "{new}"
    );
    assert!(new.ends_with("version = \"1.2\"\n"), "{new}");
}

#[test]
fn what_is_known_everywhere_is_neither_proposed_nor_held_against_an_entry() {
    let every = "
[[everywhere]]
kind = 'unstable'
line = 'tool: .  time'
reason = 'the root is its own'
link = 'tool#3'
";
    let old = format!("{OLD}{every}");
    let root = (
        "unstable",
        "the twin, which is repaired: tool: .  time  that of the conversion",
    );
    let mut all: Vec<_> = ["a/gone", "a/one", "a/two"]
        .map(|case| trial("tool", case, &[("crash", "killed"), root]))
        .into();
    all.push(trial("tool", "a/three", &[root]));
    let crash = old.replace("[\"silent\", \"unstable\"]", "[\"crash\"]");
    let (text, dropped) = baseline(&crash, &run(all.clone())).unwrap();
    assert_eq!((text, dropped), (crash, Vec::new()));
    // Of another kind, or of another version, it is news.
    for other in [
        old.replace("'unstable'\nline", "'silent'\nline"),
        old.replace("link = 'tool#3'", "link = 'tool#3'\nversion = '1.1'"),
    ] {
        let (text, _) = baseline(&other, &run(all.clone())).unwrap();
        assert!(
            text.contains("\"a/three\"")
                && text.contains(every.trim_start().lines().next().unwrap()),
            "{text}"
        );
    }
}

#[test]
fn an_entry_without_cases_goes_and_the_head_of_the_file_stays() {
    let trials = ["a/gone", "a/one", "a/two"].map(|case| trial("tool", case, &[]));
    let (text, dropped) = baseline(OLD, &run(trials.into())).unwrap();
    assert_eq!(dropped.len(), 3);
    assert!(
        text.starts_with("# What tool 1.2 fails, each looked at.\n# A second line.\n"),
        "{text}"
    );
    assert!(
        !text.contains("# Times.") && !text.contains("it keeps no times"),
        "{text}"
    );
    assert!(text.contains("# Of another version.\n[[known]]"), "{text}");
    assert_eq!(Expectations::parse(&text).unwrap().known.len(), 1);
}

#[test]
fn proposals_are_grouped_and_no_run_takes_them() {
    let other = ("silent", "modified  ./b/c  time  want 9.0  got 18.5");
    let trials = vec![
        trial("tool", "b/two", &[other]),
        trial("tool", "b/one", &[TIME]),
        trial(
            "tool",
            "b/mode",
            &[("silent", "modified  ./a  mode  want 0755  got 0700")],
        ),
        trial(
            "tool",
            "b/hostile",
            &[("rejected", "a\u{202e}b\u{7f}\nc = 1")],
        ),
    ];
    let (text, dropped) = baseline("", &run(trials)).unwrap();
    assert!(dropped.is_empty());
    let proposed = Expectations::parse_proposed(&text).unwrap().known;
    let cases: Vec<Vec<String>> = proposed.iter().map(|known| known.cases.clone()).collect();
    assert_eq!(
        cases,
        [vec!["b/hostile"], vec!["b/mode"], vec!["b/one", "b/two"]]
    );
    assert!(
        proposed
            .iter()
            .all(|known| known.reason == NOT_LOOKED_AT && !known.embargo)
    );
    assert!(
        text.contains("  # silent: modified  ./a  time  want 0.0  got 17.5\n  \"b/one\",\n"),
        "{text}"
    );
    assert!(
        text.contains("  # rejected: a\\u{202e}b\\u{7f}\\u{a}c = 1\n"),
        "{text}"
    );
    let error = Expectations::parse(&text).unwrap_err();
    assert!(error.contains(NOT_LOOKED_AT), "{error}");
    // Proposed once more, since nobody looked; known, once somebody did.
    assert_eq!(
        baseline(&text, &run(vec![trial("tool", "b/one", &[TIME])]))
            .unwrap()
            .0
            .matches("[[known]]")
            .count(),
        1
    );
    let looked_at = text.replace(NOT_LOOKED_AT, "looked at");
    let again = run(vec![trial("tool", "b/one", &[TIME])]);
    assert_eq!(baseline(&looked_at, &again).unwrap().0, looked_at);
}

#[test]
fn an_escape_is_held_back_with_what_it_did() {
    let trials = vec![trial("tool", "c/x", &[("escape", "/etc/passwd changed")])];
    let (text, _) = baseline("", &run(trials)).unwrap();
    assert!(Expectations::parse_proposed(&text).unwrap().known[0].embargo);
    assert!(!text.contains("/etc/passwd"), "{text}");
}

#[test]
fn a_variant_fails_for_itself() {
    let project = tempfile::tempdir().unwrap();
    for (name, text) in [("tool", ""), ("tool-box", "[variant.fast]\n")] {
        fs_err::create_dir(project.path().join(name)).unwrap();
        fs_err::write(project.path().join(name).join("runner.toml"), text).unwrap();
    }
    let folder = |name| {
        let folder = folder_of(project.path(), name)?;
        let several = has_variants(&folder).unwrap();
        Some((
            folder.file_name().unwrap().to_str().unwrap().to_owned(),
            several,
        ))
    };
    assert_eq!(folder("tool@sid"), Some(("tool".to_owned(), false)));
    assert_eq!(folder("tool-box-fast"), Some(("tool-box".to_owned(), true)));
    assert_eq!(folder("tool-slow"), Some(("tool".to_owned(), false)));
    assert_eq!(folder("too"), None);
    let one = Run {
        is_one_of_several: true,
        ..run(vec![trial("tool", "a/one", &[TIME])])
    };
    let (text, _) = baseline("", &one).unwrap();
    assert!(
        text.ends_with("version = \"1.2\"\nrunners = [\"tool\"]\n"),
        "{text}"
    );
    // Another runner of the folder has its own.
    let theirs = OLD.replace("link = 'tool#1'", "link = 'tool#1'\nrunners = ['other']");
    let (text, dropped) = baseline(&theirs, &run(vec![trial("tool", "a/one", &[])])).unwrap();
    assert_eq!((text, dropped.len()), (theirs, 0));
}

#[test]
fn only_what_shows_the_converter_alone_counts() {
    let chain = |names: &[&str]| ChainRecord {
        lost_batches: 0,
        name: names.join("+"),
        select: String::new(),
        stages: names
            .iter()
            .map(|name| StageRecord {
                name: (*name).to_owned(),
                version: format!("{name} 1.0"),
                rated: true,
                root: "host".to_owned(),
            })
            .collect(),
    };
    let record = |fault: Option<&str>| Record {
        harness: String::new(),
        chains: vec![
            chain(&["umoci"]),
            chain(&["umoci", "mkfs"]),
            chain(&["native", "mkfs"]),
        ],
        machine: String::new(),
        containment: String::new(),
        fault: fault.map(str::to_owned),
        profile: None,
        with_embargoed: false,
        trials: ["umoci", "umoci+mkfs", "native+mkfs"]
            .map(|chain| trial(chain, "a/b", &[TIME]))
            .into(),
    };
    let chains = |name| {
        let run = Run::of(record(None), name).unwrap();
        let chains: Vec<String> = run.trials.into_iter().map(|trial| trial.chain).collect();
        (run.version, chains)
    };
    assert_eq!(
        chains("umoci"),
        ("umoci 1.0".to_owned(), vec!["umoci".to_owned()])
    );
    assert_eq!(
        chains("mkfs"),
        ("mkfs 1.0".to_owned(), vec!["native+mkfs".to_owned()])
    );
    assert!(Run::of(record(None), "native").is_err());
    assert!(Run::of(record(Some("disk-full")), "umoci").is_err());
}
