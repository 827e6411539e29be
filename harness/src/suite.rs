//! The trials of a run: planned from converters and questions, run in parallel, recorded.
//!
//! `harness run` and `tests/conformance.rs` both go through here, so they ask the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::case::variant::split_id;
use crate::check::batch::{BATCH, Prepared, Shared, Together, prepare, together};
use crate::check::{
    Equipment, Finding, FindingKind, Outcome, Question, Reason, Trial, TrialResult,
};
use crate::report::{
    ChainRecord, EMBARGOED, FindingRecord, KnownRecord, Record, StageRecord, TrialRecord,
};
use crate::runner::{Chain, Everywhere, Input, Known, Need, Runner, Runners, ask_version, contain};
use crate::verdict::{KnownFailure, Verdict, judge};

/// Everything a run needs.
pub struct Suite {
    /// The converters.
    pub chains: Vec<Chain>,
    /// The questions.
    pub questions: Vec<Question>,
    /// The equipment.
    pub equipment: Equipment,
    /// The skips that are forbidden.
    pub forbidden: Vec<Reason>,
    /// Whether the record tells what an embargoed finding is, not only its kind.
    pub with_embargoed: bool,
    versions: BTreeMap<String, String>,
    shared: Shared,
    /// How many batches of each chain told nothing of any of their trials.
    lost_batches: Mutex<BTreeMap<String, usize>>,
}

/// Trials that a thread takes at once.
struct Unit<'a> {
    together: Option<Together>,
    trials: Vec<(usize, &'a Trial<'a>)>,
}

/// What there is to tell of a run while it runs.
pub enum Progress<'a> {
    /// A trial begins.
    Begun(&'a Trial<'a>),
    /// A trial came to this.
    Done(&'a TrialRecord),
}

impl Suite {
    /// Plans every question for every chain, and asks the converters for their versions.
    pub fn new(
        chains: Vec<Chain>,
        questions: Vec<Question>,
        equipment: Equipment,
        forbidden: Vec<Reason>,
    ) -> Suite {
        let mut versions = BTreeMap::new();
        for stage in chains.iter().flat_map(|chain| &chain.stages) {
            versions
                .entry(stage.name.clone())
                .or_insert_with(|| version(stage, &equipment));
        }
        let shared = Shared::new(equipment.work.path().join("shared"), &chains);
        Suite {
            shared,
            chains,
            questions,
            equipment,
            forbidden,
            with_embargoed: false,
            versions,
            lost_batches: Mutex::default(),
        }
    }

    /// Every trial, in the order of chains, then of questions.
    pub fn trials(&self) -> Vec<Trial<'_>> {
        let trials = self.chains.iter().flat_map(|chain| {
            self.questions
                .iter()
                .map(move |question| Trial { chain, question })
        });
        trials.collect()
    }

    /// Runs every trial on `jobs` threads; `tell` is told before and after each.
    pub fn run(&self, jobs: usize, tell: &(dyn Fn(&Progress<'_>) + Sync)) -> Record {
        let trials = self.trials();
        let units = self.units(&trials);
        let results: Mutex<BTreeMap<usize, TrialRecord>> = Mutex::new(BTreeMap::new());
        let run = |units: &[Unit<'_>], next: &AtomicUsize| {
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                // Of a batch the first, in whose time the others are converted too.
                tell(&Progress::Begun(unit.trials[0].1));
                self.run_unit(unit, &|index, record| {
                    tell(&Progress::Done(&record));
                    let mut results = results.lock().expect("no panic holds it");
                    results.insert(index, record);
                });
            }
        };
        // What waits anyway, or is known to wait until its time is over, waits beside the others, and so does what
        // waits for the loop devices of the host, which are one converter's at a time.
        let is_parallel = jobs > 1;
        let (waiting, units): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| {
            let waits = |trial: &Trial<'_>| {
                trial.chain.stages.iter().any(|stage| stage.waits)
                    || self.is_known_as(trial, &[FindingKind::Timeout])
            };
            is_parallel && unit.trials.iter().all(|(_, trial)| waits(trial))
        });
        let (in_turn, units): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| {
            let (_, trial) = &unit.trials[0];
            is_parallel && trial.chain.needs(Need::Loop)
        });
        let next = [0; 3].map(AtomicUsize::new);
        std::thread::scope(|scope| {
            scope.spawn(|| run(&in_turn, &next[0]));
            for _ in 0..jobs.max(1) {
                scope.spawn(|| run(&waiting, &next[1]));
                scope.spawn(|| run(&waiting, &next[1]));
                scope.spawn(|| run(&units, &next[2]));
            }
        });
        let trials = results
            .into_inner()
            .expect("no panic held it")
            .into_values()
            .collect();
        self.record(trials)
    }

    /// The trials in the portions that threads take: single, but for what those of a chain do together.
    fn units<'a>(&self, trials: &'a [Trial<'a>]) -> Vec<Unit<'a>> {
        let mut units: Vec<Unit<'_>> = Vec::new();
        // The last portion of each chain and kind, which may not be full.
        let mut open: BTreeMap<(&str, Option<Together>), usize> = BTreeMap::new();
        for (index, trial) in trials.iter().enumerate() {
            let together = match self.disturbs(trial) {
                true => None,
                false => together(trial, &self.equipment),
            };
            let kind = (trial.chain.name.as_str(), together);
            let place = open.get(&kind).copied();
            match place.map(|place| &mut units[place]) {
                Some(unit) if unit.trials.len() < BATCH => {
                    unit.trials.push((index, trial));
                }
                _ => {
                    if together.is_some() {
                        open.insert(kind, units.len());
                    }
                    let trials = vec![(index, trial)];
                    units.push(Unit { together, trials });
                }
            }
        }
        units
    }

    /// Whether it is known of a trial that its conversion does more than fail: a batch with it says nothing of
    /// the others.
    fn disturbs(&self, trial: &Trial<'_>) -> bool {
        let disturbing = [
            FindingKind::Escape,
            FindingKind::Crash,
            FindingKind::Timeout,
            FindingKind::Resource,
            FindingKind::Unclean,
        ];
        self.is_known_as(trial, &disturbing)
    }

    /// Whether a trial is known to fail in one of these ways.
    fn is_known_as(&self, trial: &Trial<'_>, kinds: &[FindingKind]) -> bool {
        let known = self.known_failure(trial);
        known.is_some_and(|known| known.kinds.iter().any(|kind| kinds.contains(kind)))
    }

    fn run_unit(&self, unit: &Unit<'_>, done: &dyn Fn(usize, TrialRecord)) {
        let mut prepared = BTreeMap::new();
        // Kept until its trials are done: their artifacts are in it.
        let work = tempfile::Builder::new()
            .prefix("batch-")
            .tempdir_in(self.equipment.work.path());
        let trials = &unit.trials;
        if let (2.., Some(what), Ok(work)) = (trials.len(), unit.together, &work) {
            // Trouble will show again, as each trial's own, when each is run alone.
            prepared = prepare(trials, what, &self.shared, &self.equipment, work.path())
                .unwrap_or_default();
            if prepared.is_empty() {
                let mut lost = self.lost_batches.lock().expect("no panic holds it");
                *lost.entry(trials[0].1.chain.name.clone()).or_default() += 1;
            }
        }
        for (index, trial) in trials {
            done(*index, self.run_prepared(trial, prepared.remove(index)));
        }
    }

    /// Runs one trial and judges it.
    pub fn run_one(&self, trial: &Trial<'_>) -> TrialRecord {
        self.run_prepared(trial, None)
    }

    fn run_prepared(&self, trial: &Trial<'_>, prepared: Option<Prepared>) -> TrialRecord {
        let mut record = TrialRecord {
            chain: trial.chain.name.clone(),
            case: trial.question.id.clone(),
            title: trial.question.title.clone(),
            rule: trial.question.rule.clone(),
            level: trial.question.level.clone(),
            expect: trial.question.wanted.word().to_owned(),
            format: trial.chain.format().word().to_owned(),
            verdict: Verdict::Error.word().to_owned(),
            findings: Vec::new(),
            known: None,
            seen: Vec::new(),
            unchecked: BTreeMap::new(),
            answer: String::new(),
            outcome: None,
            error: None,
            kept: None,
            dropped: false,
            embargo: trial.question.embargo || is_embargoed(trial),
        };
        let failure = self.known_failure(trial);
        let stands =
            |outcome: &Outcome| !judge(outcome, failure.as_ref(), &self.forbidden).is_red();
        let result = match prepared {
            Some(prepared) => trial.run_prepared(&self.equipment, prepared, &stands),
            None => trial.run(&self.equipment, &stands),
        };
        match result {
            Ok(result) => self.judge(trial, result, &mut record),
            Err(error) => record.error = Some(format!("{error:#}")),
        }
        if !self.with_embargoed {
            if trial.question.embargo {
                EMBARGOED.clone_into(&mut record.title);
                record.rule = trial.question.place();
            }
            if record.embargo {
                record.hold_back();
            }
        }
        record
    }

    fn judge(&self, trial: &Trial<'_>, result: TrialResult, record: &mut TrialRecord) {
        let (known, failure) = (self.known(trial), self.known_failure(trial));
        let mut verdict = judge(&result.outcome, failure.as_ref(), &self.forbidden);
        let forbidden = result
            .unchecked
            .keys()
            .find(|reason| self.forbidden.contains(*reason));
        if let Some(reason) = forbidden {
            verdict = Verdict::Error;
            let (reason, cause) = (reason.word(), &result.unchecked[reason]);
            record.error = Some(format!("--require {reason}, but: {cause}"));
        }
        if let Outcome::Fail(findings) = &result.outcome {
            record.findings = findings.iter().map(finding_record).collect();
        }
        if matches!(verdict, Verdict::Known | Verdict::Fixed | Verdict::Fail) {
            let of = |runner: &Runner, reason: &str, link: &str| KnownRecord {
                runner: runner.name.clone(),
                reason: reason.to_owned(),
                link: link.to_owned(),
            };
            let of_case = known.map(|(runner, known)| of(runner, &known.reason, &known.link));
            let every = || self.everywhere(trial).next();
            record.known = match verdict {
                Verdict::Known => of_case.or_else(|| {
                    every().map(|(runner, every)| of(runner, &every.reason, &every.link))
                }),
                _ => of_case,
            };
        }
        verdict.word().clone_into(&mut record.verdict);
        record.seen = result.seen;
        record.unchecked = result
            .unchecked
            .into_iter()
            .map(|(reason, cause)| (reason.word().to_owned(), cause))
            .collect();
        record.answer = result.answer;
        record.outcome = result.outcome_name;
        record.kept = result.kept.map(|kept| short(&kept));
        record.dropped = result.is_dropped;
    }

    /// What is known of a trial, for judging it.
    fn known_failure(&self, trial: &Trial<'_>) -> Option<KnownFailure> {
        let every = self.everywhere(trial);
        let lines = every.map(|(_, every)| (FindingKind::named(&every.kind), every.line.clone()));
        let lines = lines.filter_map(|(kind, line)| Some((kind?, line)));
        let lines: Vec<_> = lines.collect();
        let Some((runner, known)) = self.known(trial) else {
            return (!lines.is_empty()).then_some(KnownFailure {
                kinds: Vec::new(),
                lines,
                decides: false,
            });
        };
        let kinds = known.kinds.iter();
        let kinds: Vec<_> = kinds.filter_map(|kind| FindingKind::named(kind)).collect();
        // What only a second conversion may show is not gone because there was none.
        let is_asked = self.equipment.repeat || !kinds.contains(&FindingKind::Unstable);
        let is_case = known.cases.contains(&trial.question.id);
        Some(KnownFailure {
            decides: is_asked && is_case && decides(trial.chain, runner),
            kinds,
            lines,
        })
    }

    /// The known failure that covers a trial: the first stage's that has one, for this very case or, of a
    /// variant, for the case it was made from. Whether that one is gone the case itself decides.
    fn known<'a>(&self, trial: &'a Trial<'_>) -> Option<(&'a Runner, &'a Known)> {
        // What is known is known of conversions in which nothing goes wrong on purpose.
        if self.equipment.fault.is_some() {
            return None;
        }
        trial.chain.stages.iter().find_map(|stage| {
            let version = self.version_of(stage);
            let id = &trial.question.id;
            let format = trial.chain.format();
            let find = |id| {
                stage
                    .expectations
                    .find(&stage.plain_name, id, version, format)
            };
            let known = find(id).or_else(|| find(split_id(id).0))?;
            Some((stage, known))
        })
    }

    /// What the stages of a trial's chain do wrong with images of any case.
    fn everywhere<'a>(
        &'a self,
        trial: &'a Trial<'_>,
    ) -> impl Iterator<Item = (&'a Runner, &'a Everywhere)> {
        let stages = trial.chain.stages.iter();
        let stages = stages.filter(|_| self.equipment.fault.is_none());
        stages.flat_map(|stage| {
            let version = self.version_of(stage);
            let all = stage.expectations.everywhere.iter();
            all.filter(move |every| every.holds_for(&stage.plain_name, version))
                .map(move |every| (stage, every))
        })
    }

    fn version_of(&self, stage: &Runner) -> &str {
        self.versions.get(&stage.name).map_or("", String::as_str)
    }

    /// The stage of a chain, with its version, that nobody has looked at the failures of.
    pub fn unrated<'a>(&'a self, chain: &'a Chain) -> Option<(&'a Runner, &'a str)> {
        let stage = chain.stages.iter().find(|stage| !self.is_rated(stage))?;
        Some((stage, self.version_of(stage)))
    }

    /// Whether the failures of a stage's version were looked at. This project's own has none, and what is typed
    /// at the terminal is being looked at.
    fn is_rated(&self, stage: &Runner) -> bool {
        let is_own = stage.command[0] == "{harness}" || stage.typed.is_some();
        is_own || stage.expectations.rates(self.version_of(stage))
    }

    fn record(&self, trials: Vec<TrialRecord>) -> Record {
        let stage = |stage: &Runner| StageRecord {
            name: stage.name.clone(),
            version: self.version_of(stage).to_owned(),
            rated: self.is_rated(stage),
            root: stage.root.word().to_owned(),
        };
        let protections = contain::probe(&self.equipment.helper);
        let lost = self.lost_batches.lock().expect("no panic held it");
        Record {
            harness: env!("CARGO_PKG_VERSION").to_owned(),
            chains: self
                .chains
                .iter()
                .map(|chain| ChainRecord {
                    name: chain.name.clone(),
                    lost_batches: lost.get(&chain.name).copied().unwrap_or_default(),
                    select: chain.select(),
                    stages: chain.stages.iter().map(stage).collect(),
                })
                .collect(),
            machine: match &self.equipment.machine {
                Ok(machine) => machine.describe(),
                Err(why) => format!("no machine to boot in: {why}"),
            },
            containment: match protections.missing.as_slice() {
                [] => "full".to_owned(),
                missing => format!("without {}", missing.join(", ")),
            },
            fault: self.equipment.fault.map(|fault| fault.to_string()),
            profile: self.equipment.profile.map(|profile| profile.to_string()),
            with_embargoed: self.with_embargoed,
            trials,
        }
    }
}

/// Entries of expectations that match no case, or name no kind of finding.
///
/// # Errors
///
/// The first of them, with the runner's name.
pub fn check_expectations<'a>(
    runners: &Runners,
    is_case: impl Fn(&str) -> bool + 'a,
) -> Result<(), String> {
    for runner in runners.iter() {
        let file = format!("runners/{}/expectations.toml", runner.name);
        let mut every = runner.expectations.everywhere.iter();
        if let Some(every) = every.find(|every| FindingKind::named(&every.kind).is_none()) {
            return Err(format!(
                "{file}: `{}` is no kind of finding; there are {}",
                every.kind,
                kinds()
            ));
        }
        for known in &runner.expectations.known {
            if let Some(id) = known.cases.iter().find(|id| !is_case(id)) {
                return Err(format!(
                    "{file}: no case `{id}`; an entry must match something"
                ));
            }
            if let Some(kind) = known
                .kinds
                .iter()
                .find(|kind| FindingKind::named(kind).is_none())
            {
                return Err(format!(
                    "{file}: `{kind}` is no kind of finding; there are {}",
                    kinds()
                ));
            }
        }
    }
    Ok(())
}

fn kinds() -> String {
    FindingKind::ALL.map(FindingKind::word).join(", ")
}

/// Whether a pass in this chain shows that a runner's known failure is gone: another stage may mask it.
fn decides(chain: &Chain, runner: &Runner) -> bool {
    match runner.input {
        Input::Layout => chain.stages.len() == 1,
        Input::Dir | Input::Tar => chain.stages[0].name.starts_with("native"),
    }
}

/// Whether a stage's expectations hold back what is found, whatever goes wrong on purpose.
fn is_embargoed(trial: &Trial<'_>) -> bool {
    let id = &trial.question.id;
    trial.chain.stages.iter().any(|stage| {
        let known = &stage.expectations;
        known.is_embargoed(id) || known.is_embargoed(split_id(id).0)
    })
}

fn finding_record(finding: &Finding) -> FindingRecord {
    FindingRecord {
        kind: finding.kind.word().to_owned(),
        line: finding.safe_line(),
    }
}

/// A path as a person at the project's folder would type it.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The first line a runner prints when asked for its version; empty if it cannot be asked.
pub(crate) fn version(runner: &Runner, equipment: &Equipment) -> String {
    if runner.version.is_empty() || equipment.lacks(runner).is_some() {
        return String::new();
    }
    let text = ask_version(runner, &equipment.helper, &equipment.surroundings).unwrap_or_default();
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim()
        .to_owned()
}
