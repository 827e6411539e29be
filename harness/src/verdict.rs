//! (outcome, expectation) → verdict: one pure function and its table.

use crate::check::{Finding, FindingKind, OF_TWIN, Outcome, Reason};

/// What is known of a converter and a case beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The kinds of finding that are known.
    pub kinds: Vec<FindingKind>,
    /// Findings that are known whatever the case: their kinds, and what their lines begin with.
    pub lines: Vec<(FindingKind, String)>,
    /// Whether this trial alone decides that the failure is gone: it is not masked by another stage.
    pub decides: bool,
}

impl KnownFailure {
    /// Whether a finding is known.
    fn covers(&self, finding: &Finding) -> bool {
        let line = finding.safe_line();
        let is_said =
            |(kind, start): &(FindingKind, String)| *kind == finding.kind && begins(&line, start);
        self.kinds.contains(&finding.kind) || self.lines.iter().any(is_said)
    }
}

/// Whether a finding's line, of a twin too, is what an entry for every case says that it begins with.
pub fn begins(line: &str, start: &str) -> bool {
    line.strip_prefix(OF_TWIN)
        .unwrap_or(line)
        .starts_with(start)
}

/// What a trial means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Red.
    Fail,
    /// Fails as it is known to.
    Known,
    /// Red: it is known to fail and passes; the line must be deleted.
    Fixed,
    /// Not checked, for a reason that is counted.
    Skip,
    /// Red: the harness failed, or a skip was forbidden.
    Error,
}

impl Verdict {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Known => "known",
            Verdict::Fixed => "fixed",
            Verdict::Skip => "skip",
            Verdict::Error => "error",
        }
    }

    /// Whether it makes the run red.
    pub fn is_red(self) -> bool {
        matches!(self, Verdict::Fail | Verdict::Fixed | Verdict::Error)
    }
}

/// The verdict on an outcome, given what is known and which skips are forbidden.
pub fn judge(outcome: &Outcome, known: Option<&KnownFailure>, forbidden: &[Reason]) -> Verdict {
    match (outcome, known) {
        (Outcome::Skip(reason), _) if forbidden.contains(reason) => Verdict::Error,
        (Outcome::Skip(_), _) => Verdict::Skip,
        (Outcome::Pass, Some(known)) if known.decides => Verdict::Fixed,
        (Outcome::Pass, _) => Verdict::Pass,
        (Outcome::Fail(findings), Some(known)) => {
            let all_known = findings.iter().all(|finding| known.covers(finding));
            if all_known {
                Verdict::Known
            } else {
                Verdict::Fail
            }
        }
        (Outcome::Fail(_), None) => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownFailure, Verdict, judge};
    use crate::check::{Finding, FindingKind, Outcome, Reason};

    #[test]
    fn the_table() {
        let fail = |kind| Outcome::Fail(vec![Finding::text(kind, "…")]);
        let silent = |decides| KnownFailure {
            kinds: vec![FindingKind::Silent],
            decides,
            lines: Vec::new(),
        };
        let table = [
            (Outcome::Pass, None, Verdict::Pass),
            (Outcome::Pass, Some(silent(true)), Verdict::Fixed),
            (Outcome::Pass, Some(silent(false)), Verdict::Pass),
            (fail(FindingKind::Silent), None, Verdict::Fail),
            (
                fail(FindingKind::Silent),
                Some(silent(true)),
                Verdict::Known,
            ),
            (fail(FindingKind::Escape), Some(silent(true)), Verdict::Fail),
            (Outcome::Skip(Reason::Root), None, Verdict::Skip),
            (
                Outcome::Skip(Reason::Root),
                Some(silent(true)),
                Verdict::Skip,
            ),
            (Outcome::Skip(Reason::Boot), None, Verdict::Error),
        ];
        for (outcome, known, verdict) in table {
            assert_eq!(
                judge(&outcome, known.as_ref(), &[Reason::Boot]),
                verdict,
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn one_unknown_kind_among_known_ones_is_red() {
        let outcome = Outcome::Fail(vec![
            Finding::text(FindingKind::Silent, "…"),
            Finding::text(FindingKind::Escape, "…"),
        ]);
        let known = KnownFailure {
            kinds: vec![FindingKind::Silent],
            decides: true,
            lines: Vec::new(),
        };
        assert_eq!(judge(&outcome, Some(&known), &[]), Verdict::Fail);
    }

    #[test]
    fn what_is_known_everywhere_covers_its_line_and_no_other() {
        let known = KnownFailure {
            kinds: vec![FindingKind::Rejected],
            decides: false,
            lines: vec![(FindingKind::Silent, "modified  .  mode".to_owned())],
        };
        for (kind, line, want) in [
            (
                FindingKind::Silent,
                "modified  .  mode  want 0755  got 0777",
                Verdict::Known,
            ),
            (
                FindingKind::Silent,
                "the twin, which is repaired: modified  .  mode",
                Verdict::Known,
            ),
            (
                FindingKind::Silent,
                "modified  ./a  mode  want 0755  got 0777",
                Verdict::Fail,
            ),
            (FindingKind::Corrupt, "modified  .  mode", Verdict::Fail),
            (FindingKind::Rejected, "exit 1", Verdict::Known),
        ] {
            let every = Finding::text(FindingKind::Silent, "modified  .  mode  want 0755");
            let outcome = Outcome::Fail(vec![every, Finding::text(kind, line)]);
            assert_eq!(judge(&outcome, Some(&known), &[]), want, "{line}");
        }
        assert_eq!(judge(&Outcome::Pass, Some(&known), &[]), Verdict::Pass);
    }
}
