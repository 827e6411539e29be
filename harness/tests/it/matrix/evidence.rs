//! What people wrote down about the faults: `runners/faults/faults.toml` and `unkilled.toml`.

use std::collections::{BTreeMap, BTreeSet};

use faults::Fault;
use fs_err as fs;
use serde::Deserialize;

use super::Matrix;
use crate::project::checkout;

/// Both files.
pub(super) struct Evidence {
    faults: BTreeMap<String, Row>,
    /// Why a tree case that finds no fault stays, by id.
    pub(super) unkilled: BTreeMap<String, String>,
    doubled: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsFile {
    fault: Vec<Row>,
}

/// What is known of one fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    /// Projects, issues, CVEs; empty where no shipped instance is known.
    shipped: Vec<String>,
    /// The rows of the catalogue it was expected to fail.
    rows: Vec<String>,
    /// The case that is about it.
    killer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnkilledFile {
    unkilled: Vec<Reason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
    cases: Vec<String>,
}

impl Evidence {
    pub(super) fn read() -> Evidence {
        let read = |name| fs::read_to_string(checkout().join("runners/faults").join(name)).unwrap();
        Evidence::parse(&read("faults.toml"), &read("unkilled.toml"))
    }

    pub(super) fn parse(faults: &str, unkilled: &str) -> Evidence {
        let faults: FaultsFile = toml::from_str(faults).unwrap();
        let reasons: UnkilledFile = toml::from_str(unkilled).unwrap();
        let mut evidence = Evidence {
            faults: BTreeMap::new(),
            unkilled: BTreeMap::new(),
            doubled: Vec::new(),
        };
        for row in faults.fault {
            if let Some(row) = evidence.faults.insert(row.name.clone(), row) {
                evidence.doubled.push(row.name);
            }
        }
        for reason in reasons.unkilled {
            for case in reason.cases {
                if evidence
                    .unkilled
                    .insert(case.clone(), reason.reason.clone())
                    .is_some()
                {
                    evidence.doubled.push(case);
                }
            }
        }
        evidence
    }

    /// The projects that shipped a fault.
    pub(super) fn shipped(&self, fault: Fault) -> &[String] {
        let row = self.faults.get(fault.name());
        row.map_or(&[], |row| row.shipped.as_slice())
    }

    /// What does not fit the matrix.
    pub(super) fn complaints(&self, matrix: &Matrix) -> Vec<String> {
        let mut complaints = Vec::new();
        for name in &self.doubled {
            complaints.push(format!("`{name}` stands twice"));
        }
        for (fault, killers) in &matrix.killers {
            let name = fault.name();
            let Some(row) = self.faults.get(name) else {
                complaints.push(format!("faults.toml: `{name}` is missing"));
                continue;
            };
            if !killers.contains(&row.killer) {
                let killer = &row.killer;
                complaints.push(format!("faults.toml: `{killer}` does not find `{name}`"));
            }
            if row.shipped.is_empty() && row.rows.is_empty() {
                complaints.push(format!("faults.toml: `{name}` has no source at all"));
            }
        }
        let names: BTreeSet<&str> = matrix.killers.keys().map(|fault| fault.name()).collect();
        for name in self
            .faults
            .keys()
            .filter(|name| !names.contains(name.as_str()))
        {
            complaints.push(format!("faults.toml: no fault is named `{name}`"));
        }
        let unkilling = matrix.unkilling();
        for id in unkilling
            .iter()
            .filter(|id| !self.unkilled.contains_key(*id))
        {
            complaints.push(format!(
                "the tree case `{id}` finds no fault: add one to runners/faults, or a reason to its \
                 unkilled.toml"
            ));
        }
        for id in self.unkilled.keys().filter(|id| !unkilling.contains(*id)) {
            complaints.push(format!(
                "unkilled.toml: `{id}` is no tree case that finds no fault"
            ));
        }
        complaints
    }
}
