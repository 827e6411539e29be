//! One case, asked of the extractor with one fault at a time, and judged as `check` judges converters.

use std::path::{Path, PathBuf};

use faults::{Answer, Conversion, Fault, Surroundings, convert};
use fs_err as fs;
use harness::case::{Case, Expect};
use harness::check::{Question, Wanted};
use harness::image::{TAG, write_layout};
use harness::read;
use harness::tree::diff;

use crate::project::checkout;

/// Surroundings that show where they come through.
const STRANGE: Surroundings = Surroundings {
    umask: 0o077,
    now: 1_800_000_000,
};

/// A case whose layout is written, with what the faultless extractor makes of it.
pub(super) struct Asked {
    wanted: Wanted,
    layout: PathBuf,
    scratch: PathBuf,
    faultless: Conversion,
    verdict: Result<(), String>,
    /// The twin of a reject case.
    twin: Option<Box<Asked>>,
}

impl Asked {
    /// Writes the layout of a case, and that of its twin, below `work`.
    pub(super) fn write(case: &Case, work: &Path) -> Asked {
        let golden = checkout().join("golden");
        let wanted = Question::of_case(case, &golden).unwrap().wanted;
        let layout = work.join(&case.id);
        write_layout(case, &layout).unwrap();
        let twin = match &case.expect {
            Expect::Reject { twin, .. } => Some(Box::new(Asked::write(twin, work))),
            _ => None,
        };
        let faultless = convert(&layout, TAG, None, Surroundings::default());
        let mut asked = Asked {
            wanted,
            layout,
            scratch: work.join("output.tar"),
            faultless,
            verdict: Ok(()),
            twin,
        };
        asked.verdict = asked.check(&asked.faultless, None);
        asked
    }

    /// What is wrong with the faultless extractor's answer.
    pub(super) fn base(&self) -> &Result<(), String> {
        &self.verdict
    }

    /// What is wrong with the answer of the extractor that has a fault.
    pub(super) fn judge(&self, fault: Fault) -> Result<(), String> {
        let conversion = convert(&self.layout, TAG, Some(fault), STRANGE);
        // Most faults do nothing to most cases; whoever looks at the umask or the clock does here.
        if conversion == self.faultless && self.twin.is_none() {
            return self.verdict.clone();
        }
        if let Some(path) = conversion.outside.first() {
            return Err(format!("escape: {path}"));
        }
        if convert(&self.layout, TAG, Some(fault), Surroundings::default()) != conversion {
            return Err("unstable: umask or clock show through".to_owned());
        }
        self.check(&conversion, Some(fault))
    }

    fn check(&self, conversion: &Conversion, fault: Option<Fault>) -> Result<(), String> {
        match &conversion.answer {
            Answer::Nothing => Err("silent: exit 0 without output".to_owned()),
            Answer::Rejected(refusal) => match &self.wanted {
                Wanted::Record | Wanted::OneOf { reject: true, .. } => Ok(()),
                Wanted::Reject { .. } => self.twin_is_accepted(fault),
                Wanted::Tree(_) | Wanted::OneOf { .. } => Err(format!("rejected: {refusal}")),
            },
            Answer::Archive(archive) => self.check_archive(archive),
        }
    }

    fn twin_is_accepted(&self, fault: Option<Fault>) -> Result<(), String> {
        let twin = self.twin.as_ref().expect("a reject case has a twin");
        let result = match fault {
            None => twin.verdict.clone(),
            Some(fault) => twin.judge(fault),
        };
        result.map_err(|why| format!("the twin: {why}"))
    }

    fn check_archive(&self, archive: &[u8]) -> Result<(), String> {
        let trees: Vec<_> = match &self.wanted {
            Wanted::Reject { because, .. } => return Err(format!("accepted, though {because}")),
            Wanted::Record => return Ok(()),
            Wanted::Tree(tree) => vec![tree],
            Wanted::OneOf { trees, .. } => trees.iter().map(|(_, tree)| tree).collect(),
        };
        fs::write(&self.scratch, archive).unwrap();
        let got = read::tar(&self.scratch).map_err(|error| format!("silent: {error}"))?;
        let differences: Vec<_> = trees.iter().map(|tree| diff(tree, &got)).collect();
        if differences.iter().any(Vec::is_empty) {
            return Ok(());
        }
        let least = differences.iter().min_by_key(|found| found.len());
        let first = least.and_then(|found| found.first());
        Err(match first {
            Some(first) => format!("silent: {first:?}"),
            None => "silent: accepted, though no outcome is a tree".to_owned(),
        })
    }
}
