//! One trial: a chain of converters on one question, from layout to outcome.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{
    Finding, FindingKind, Outcome, Question, Reason, Source, Wanted, WorkFolder, boot, contain,
    fsck, tree,
};
use crate::boot::Machine;
use crate::image;
use crate::read;
use crate::runner::contain::{Limits, Surroundings};
use crate::runner::{Capability, Chain, Conversion, Converted, Format, Need, Setting, convert};
use crate::tree::{Tree, mtree};

/// What a run has to work with.
pub struct Equipment {
    /// The program to re-execute for containment, and what `{harness}` is.
    pub helper: PathBuf,
    /// The machine to boot in, or why there is none.
    pub machine: Result<Machine, String>,
    /// Whether this process is root.
    pub is_root: bool,
    /// What a converter may use up.
    pub limits: Limits,
    /// The folder for work in progress.
    pub work: WorkFolder,
    /// What surrounds every converter on its first run.
    pub surroundings: Surroundings,
    /// The folder where what a failed trial made is kept.
    pub kept: PathBuf,
}

impl Equipment {
    /// Whether a converter can start this program by its name.
    fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.surroundings.path).any(|folder| folder.join(program).is_file())
    }
}

/// A chain and a question.
pub struct Trial<'a> {
    /// The converters.
    pub chain: &'a Chain,
    /// The question.
    pub question: &'a Question,
}

/// What a trial came to, and how much of it could be checked.
#[derive(Debug, Clone)]
pub struct TrialResult {
    /// `chain/case`.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// What was checked and found right, for a person.
    pub seen: Vec<String>,
    /// What could not be checked, with the cause.
    pub unchecked: BTreeMap<Reason, String>,
    /// What kind of answer it was: `tree:<sha256>`, `reject`, `crash` …; equal answers are equal text.
    pub answer: String,
    /// The versions of the stages are the caller's; here is what they said.
    pub kept: Option<PathBuf>,
}

impl Trial<'_> {
    /// The name: `chain/case`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.chain.name, self.question.id)
    }

    /// Runs the trial. What a failing one made is moved to [`Equipment::kept`]; all else is removed.
    ///
    /// # Errors
    ///
    /// Trouble of the harness or the host, never of the converter.
    pub fn run(&self, equipment: &Equipment) -> anyhow::Result<TrialResult> {
        let mut result = TrialResult {
            name: self.name(),
            outcome: Outcome::Pass,
            seen: Vec::new(),
            unchecked: BTreeMap::new(),
            answer: String::new(),
            kept: None,
        };
        if let Some((reason, cause)) = self.skip(equipment) {
            result.unchecked.insert(reason, cause);
            result.outcome = Outcome::Skip(reason);
            return Ok(result);
        }
        let work = tempfile::Builder::new()
            .prefix("trial-")
            .tempdir_in(equipment.work.path())?;
        let mut cell = Cell {
            trial: self,
            equipment,
            work: work.path(),
            result: &mut result,
        };
        let mut findings = cell.run(self.question, "")?;
        findings.sort_by_key(|finding| finding.kind);
        if !findings.is_empty() {
            result.kept = Some(self.keep(equipment, work.keep())?);
            result.outcome = Outcome::Fail(findings);
        } else if let Some(reason) = self.nothing_checked(&result) {
            result.outcome = Outcome::Skip(reason);
        }
        Ok(result)
    }

    /// Why this trial cannot run at all here.
    fn skip(&self, equipment: &Equipment) -> Option<(Reason, String)> {
        if self.chain.needs(Need::Root) && !equipment.is_root {
            return Some((Reason::Root, format!("{} needs root", self.chain.name)));
        }
        for stage in &self.chain.stages {
            let program = stage.program();
            if !program.starts_with('{') && !program.contains('/') && !equipment.has(program) {
                let package = stage.package.as_deref().unwrap_or(program);
                let cause = format!("`{program}` is not installed (Debian package {package})");
                return Some((Reason::Tool, cause));
            }
            if stage.lacks.contains(&Capability::Layers)
                && self.question.layers().is_none_or(|n| n > 1)
            {
                let cause = format!("{} does not claim images of several layers", stage.name);
                return Some((Reason::Capability, cause));
            }
        }
        None
    }

    /// A filesystem image that nothing could read back was not checked, whatever fsck says.
    fn nothing_checked(&self, result: &TrialResult) -> Option<Reason> {
        let unread = result.unchecked.contains_key(&Reason::Boot)
            && self.chain.format().is_filesystem()
            && result.answer.is_empty();
        unread.then_some(Reason::Boot)
    }

    fn keep(&self, equipment: &Equipment, work: PathBuf) -> anyhow::Result<PathBuf> {
        let kept = equipment
            .kept
            .join(&self.chain.name)
            .join(&self.question.id);
        if fs::symlink_metadata(&kept).is_ok() {
            fs::remove_dir_all(&kept)?;
        }
        fs::create_dir_all(kept.parent().expect("it has a parent"))?;
        fs::rename(work, &kept)?;
        Ok(kept)
    }
}

/// The work of one trial.
struct Cell<'a> {
    trial: &'a Trial<'a>,
    equipment: &'a Equipment,
    work: &'a Path,
    result: &'a mut TrialResult,
}

impl Cell<'_> {
    /// Asks one question; the twin of a reject case is asked with the prefix `twin-`.
    fn run(&mut self, question: &Question, prefix: &str) -> anyhow::Result<Vec<Finding>> {
        let (layout, reference) = match &question.source {
            Source::Case(case) => {
                let layout = self.work.join(format!("{prefix}layout"));
                image::write_layout(case, &layout)?;
                (layout, image::TAG.to_owned())
            }
            Source::Layout(layout, reference) => (layout.clone(), reference.clone()),
        };
        let outputs = self.work.join(format!("{prefix}out"));
        fs::create_dir(&outputs)?;
        let setting = Setting {
            helper: &self.equipment.helper,
            limits: self.equipment.limits,
            surroundings: self.equipment.surroundings.clone(),
            privileged: question.privileged,
        };
        let converted = convert(self.trial.chain, &layout, &reference, &outputs, &setting)?;
        fs::write(self.work.join(format!("{prefix}log")), &converted.log)?;
        if !converted.protections_missing.is_empty() {
            let missing = converted.protections_missing.join(", ");
            self.result
                .unchecked
                .insert(Reason::Contain, format!("without {missing}"));
        }
        let mut findings = contain::findings(&converted);
        findings.extend(self.judge(question, &converted, prefix)?);
        Ok(findings)
    }

    fn judge(
        &mut self,
        question: &Question,
        converted: &Converted,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        let stage = &converted.stage;
        let mut findings = Vec::new();
        match &converted.conversion {
            Conversion::Produced(artifact, format) => {
                return self.produced(question, artifact, *format, prefix);
            }
            Conversion::Nothing => {
                self.answer("nothing");
                let text = format!("{stage}: exit 0, but there is no output");
                findings.push(Finding::text(FindingKind::Silent, text));
            }
            Conversion::Rejected(status, why) => {
                self.answer("reject");
                findings.extend(self.rejected(question, stage, *status, why)?);
            }
            Conversion::Crashed(signal) => {
                self.answer("crash");
                let text = format!("{stage}: killed by signal {signal}");
                findings.push(Finding::text(FindingKind::Crash, text));
            }
            Conversion::TimedOut => {
                self.answer("timeout");
                let seconds = self.equipment.limits.time.as_secs();
                let text = format!("{stage}: not done after {seconds} s");
                findings.push(Finding::text(FindingKind::Timeout, text));
            }
            Conversion::OverLimit(what) => {
                self.answer("resource");
                let text = format!("{stage}: stopped for using too much: {what}");
                findings.push(Finding::text(FindingKind::Resource, text));
            }
        }
        if let Some(partial) = &converted.partial_output {
            let name = partial.file_name().unwrap_or_default().to_string_lossy();
            let text = format!("{stage} failed and left its output `{name}`");
            findings.push(Finding::text(FindingKind::Unclean, text));
        }
        Ok(findings)
    }

    fn rejected(
        &mut self,
        question: &Question,
        stage: &str,
        status: i32,
        why: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        match &question.wanted {
            Wanted::Reject { twin, .. } => {
                // For the right reason: the same image without the offence must be accepted.
                self.result.answer.clear();
                let findings = self.run(twin, "twin-")?;
                "reject".clone_into(&mut self.result.answer);
                if findings.is_empty() {
                    self.result
                        .seen
                        .push(format!("rejected (exit {status}), its twin accepted"));
                }
                Ok(findings
                    .into_iter()
                    .map(|finding| {
                        let text = format!("the twin, which is repaired: {}", finding.line());
                        Finding::text(finding.kind, text)
                    })
                    .collect())
            }
            Wanted::OneOf { reject: true, .. } | Wanted::Record => {
                self.result.seen.push(format!("rejected (exit {status})"));
                Ok(Vec::new())
            }
            Wanted::Tree(_) | Wanted::OneOf { .. } => {
                let text = format!("{stage}: exit {status}: {why}");
                Ok(vec![Finding::text(FindingKind::Rejected, text)])
            }
        }
    }

    fn produced(
        &mut self,
        question: &Question,
        artifact: &Path,
        format: Format,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        if let Wanted::Reject { because, .. } = &question.wanted {
            self.answer("accepted");
            let text = format!("accepted, though {because}");
            return Ok(vec![Finding::text(FindingKind::Accepted, text)]);
        }
        let (tree, mut findings) = match format {
            Format::Dir => read_back(read::dir(artifact)),
            Format::Tar => read_back(read::tar(artifact)),
            Format::Ext4 | Format::Erofs | Format::Squashfs => {
                self.filesystem(question, artifact, format, prefix)?
            }
        };
        let Some(tree) = tree else {
            return Ok(findings);
        };
        self.answer(&format!("tree:{}", tree_digest(&tree)));
        let (mut differences, outcome) = tree::compare(&question.wanted, &tree, format);
        self.set_aside_unclaimed(&mut differences);
        if differences.is_empty() {
            let paths = format!("{} paths as expected", tree.len());
            self.result.seen.insert(
                0,
                match outcome {
                    Some(name) => format!("{paths} ({name})"),
                    None => paths,
                },
            );
        }
        findings.extend(differences);
        Ok(findings)
    }

    /// Takes away differences in what a stage does not claim to carry over, and counts that as unchecked.
    fn set_aside_unclaimed(&mut self, differences: &mut Vec<Finding>) {
        let unclaimed = Capability::RootAttributes;
        let stage = self
            .trial
            .chain
            .stages
            .iter()
            .find(|stage| stage.lacks.contains(&unclaimed));
        let Some(stage) = stage else { return };
        let before = differences.len();
        differences.retain(|finding| !finding.is_root_attribute());
        if differences.len() < before {
            let cause = format!("{} does not claim the root's own attributes", stage.name);
            self.result.unchecked.insert(Reason::Capability, cause);
        }
    }

    /// fsck, then the guest: a full read by its kernel, and the image's own shell.
    fn filesystem(
        &mut self,
        question: &Question,
        image: &Path,
        format: Format,
        prefix: &str,
    ) -> anyhow::Result<(Option<Tree>, Vec<Finding>)> {
        let mut findings = Vec::new();
        match fsck::command(format).filter(|command| self.equipment.has(command[0])) {
            Some(command) => {
                let found = fsck::check(image, command, self.work, self.equipment)?;
                if found.is_empty() {
                    self.result.seen.push(format!("{} clean", command[0]));
                }
                findings.extend(found);
            }
            None => {
                self.result
                    .unchecked
                    .insert(Reason::Fsck, format!("no fsck for {format} here"));
            }
        }
        let machine = match &self.equipment.machine {
            Ok(machine) => machine,
            Err(why) => {
                self.result.unchecked.insert(Reason::Boot, why.clone());
                return Ok((None, findings));
            }
        };
        let transcript = self.work.join(format!("{prefix}transcript"));
        let seen = boot::boot(machine, image, format, question, &transcript)?;
        if seen.answered {
            self.result.seen.push("/bin/sh answered".to_owned());
        }
        findings.extend(seen.findings);
        Ok((seen.tree, findings))
    }

    fn answer(&mut self, answer: &str) {
        answer.clone_into(&mut self.result.answer);
    }
}

fn read_back(tree: Result<Tree, read::Unreadable>) -> (Option<Tree>, Vec<Finding>) {
    match tree {
        Ok(tree) => (Some(tree), Vec::new()),
        Err(error) => {
            let text = format!("the output cannot be read back: {error}");
            (None, vec![Finding::text(FindingKind::Silent, text)])
        }
    }
}

fn tree_digest(tree: &Tree) -> String {
    use sha2::{Digest as _, Sha256};
    data_encoding::HEXLOWER.encode(&Sha256::digest(mtree::print(tree, &[])))[..16].to_owned()
}
