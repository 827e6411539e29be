//! Records for the tests of reports.

use std::collections::BTreeMap;

use super::{ChainRecord, FindingRecord, KnownRecord, Record, StageRecord, TrialRecord};

/// A record of these trials, with a chain for each converter that is named in them.
pub(super) fn record(trials: Vec<TrialRecord>) -> Record {
    let mut chains: Vec<ChainRecord> = Vec::new();
    for trial in &trials {
        if !chains.iter().any(|chain| chain.name == trial.chain) {
            chains.push(ChainRecord {
                lost_batches: 0,
                name: trial.chain.clone(),
                select: format!("--converter {}", trial.chain),
                stages: vec![StageRecord {
                    name: trial.chain.clone(),
                    version: "1.0".to_owned(),
                    rated: true,
                    root: "host".to_owned(),
                }],
            });
        }
    }
    Record {
        harness: "0.1.0".to_owned(),
        chains,
        machine: "a machine".to_owned(),
        containment: "full".to_owned(),
        fault: None,
        profile: None,
        with_embargoed: false,
        trials,
    }
}

/// A trial that passed.
pub(super) fn pass(chain: &str, case: &str) -> TrialRecord {
    TrialRecord {
        chain: chain.to_owned(),
        case: case.to_owned(),
        title: format!("the title of {case}"),
        rule: "layer.md#whiteouts, must: \"the words that decide\"".to_owned(),
        level: "must".to_owned(),
        expect: "tree".to_owned(),
        format: "dir".to_owned(),
        verdict: "pass".to_owned(),
        findings: Vec::new(),
        known: None,
        seen: vec!["17 paths as expected".to_owned()],
        unchecked: BTreeMap::new(),
        answer: "tree:0123456789abcdef".to_owned(),
        outcome: None,
        error: None,
        kept: None,
        dropped: false,
        embargo: false,
    }
}

/// A trial that failed with one finding.
pub(super) fn fail(chain: &str, case: &str, kind: &str, line: &str) -> TrialRecord {
    TrialRecord {
        verdict: "fail".to_owned(),
        findings: vec![finding(kind, line)],
        seen: Vec::new(),
        ..pass(chain, case)
    }
}

/// A trial that failed as it is known to.
pub(super) fn known(chain: &str, case: &str, kind: &str, reason: &str) -> TrialRecord {
    TrialRecord {
        verdict: "known".to_owned(),
        known: Some(KnownRecord {
            runner: chain.to_owned(),
            reason: reason.to_owned(),
            link: "somebody/something#1".to_owned(),
        }),
        ..fail(chain, case, kind, "extra     ./etc/secret")
    }
}

/// A case without a verdict, or with several right ones, and the answer to it.
pub(super) fn answered(chain: &str, case: &str, expect: &str, answer: &str) -> TrialRecord {
    TrialRecord {
        expect: expect.to_owned(),
        answer: answer.to_owned(),
        ..pass(chain, case)
    }
}

/// A finding.
pub(super) fn finding(kind: &str, line: &str) -> FindingRecord {
    FindingRecord {
        kind: kind.to_owned(),
        line: line.to_owned(),
    }
}
