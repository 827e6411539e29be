//! One trial: a chain of converters on one question, from layout to outcome.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;

use super::batch::Prepared;
use super::cell::Cell;
use super::repeat::begin;
use super::{Fault, Kept, Outcome, Question, Reason, WorkFolder};
use crate::boot::Machine;
use crate::runner::contain::{Limits, Surroundings};
use crate::runner::{Capability, Chain, Format, Input, Need, Profile, Root, Runner};

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
    /// The folder for temporary files, which all runs of the process have.
    pub temporary: Arc<WorkFolder>,
    /// What surrounds every converter on its first run.
    pub surroundings: Surroundings,
    /// Where what failed trials made is kept.
    pub kept: Kept,
    /// Whether everything is converted a second time in other surroundings, and compared.
    pub repeat: bool,
    /// What goes wrong on purpose while the converter runs.
    pub fault: Option<Fault>,
    /// How everything is booted; else each chain says it.
    pub profile: Option<Profile>,
}

impl Equipment {
    /// Whether a converter can start this program by its name.
    pub fn has(&self, program: &str) -> bool {
        self.has_in(&Root::Host, program)
    }

    /// The same for one that sees this root directory.
    pub fn has_in(&self, root: &Root, program: &str) -> bool {
        let base = root.path().unwrap_or(Path::new("/"));
        std::env::split_paths(&self.surroundings.path).any(|folder| {
            let folder = folder.strip_prefix("/").unwrap_or(&folder);
            is_program(base, &folder.join(program))
        })
    }

    /// How what a chain makes is booted.
    pub fn profile_of(&self, chain: &Chain) -> Profile {
        self.profile.unwrap_or(chain.profile())
    }

    /// What a runner lacks to run here, and what to do about it.
    pub fn lacks(&self, runner: &Runner) -> Option<String> {
        let program = runner.program();
        if let Root::Missing { name } = &runner.root {
            let todo = "cargo run -p ci -- setup";
            return Some(format!("there is no tool root `{name}`: {todo}"));
        }
        if let Some(built) = &runner.built
            && !built.is_dir()
        {
            // What is built is the folder's, whichever of its variants asks for it.
            let folder = runner.folder.file_name().unwrap_or_default().display();
            let todo = format!("cargo run -p ci -- tool {folder}");
            return Some(format!("`{}` is not built: {todo}", runner.plain_name));
        }
        if program.starts_with('{') || program.contains('/') || self.has_in(&runner.root, program) {
            return None;
        }
        let package = runner.package.as_deref().unwrap_or(program);
        Some(match &runner.root {
            Root::Tool { name, .. } => {
                format!("`{program}` is not in the tool root {name} (Debian package {package})")
            }
            _ => format!("`{program}` is not installed (Debian package {package})"),
        })
    }
}

/// Whether there is a program below a root directory, whose links lead below it, not to the host's.
fn is_program(root: &Path, path: &Path) -> bool {
    let mut at = root.join(path);
    // As many as the kernel follows.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&at) else {
            return at.is_file();
        };
        at = match target.strip_prefix("/") {
            Ok(absolute) => root.join(absolute),
            Err(_) => at.parent().unwrap_or(root).join(target),
        };
    }
    false
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
    /// Which of several defensible outcomes it is, where the case lists them.
    pub outcome_name: Option<String>,
    /// Where what a failing one made is kept.
    pub kept: Option<PathBuf>,
    /// Whether it was removed, since the run keeps enough already.
    pub is_dropped: bool,
}

impl Trial<'_> {
    /// The name: `chain/case`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.chain.name, self.question.id)
    }

    /// Runs the trial. What a failing one made is kept as [`Kept`] says; all else is removed. An outcome that `stands`
    /// is no news.
    ///
    /// # Errors
    ///
    /// Trouble of the harness or the host, never of the converter.
    pub fn run(
        &self,
        equipment: &Equipment,
        stands: &dyn Fn(&Outcome) -> bool,
    ) -> anyhow::Result<TrialResult> {
        self.attempt(equipment, None, stands)
    }

    /// Runs the trial with what was made for it together with others. Where that leads to an outcome that
    /// does not `stand`, as news would not, the trial is run alone.
    ///
    /// # Errors
    ///
    /// As [`Trial::run`].
    pub fn run_prepared(
        &self,
        equipment: &Equipment,
        prepared: Prepared,
        stands: &dyn Fn(&Outcome) -> bool,
    ) -> anyhow::Result<TrialResult> {
        match self.attempt(equipment, Some(prepared), stands) {
            Ok(result) if stands(&result.outcome) => Ok(result),
            _ => self.run(equipment, stands),
        }
    }

    fn attempt(
        &self,
        equipment: &Equipment,
        prepared: Option<Prepared>,
        stands: &dyn Fn(&Outcome) -> bool,
    ) -> anyhow::Result<TrialResult> {
        let mut result = TrialResult {
            name: self.name(),
            outcome: Outcome::Pass,
            seen: Vec::new(),
            unchecked: BTreeMap::new(),
            answer: String::new(),
            outcome_name: None,
            kept: None,
            is_dropped: false,
        };
        if let Some((reason, cause)) = self.skip(equipment) {
            result.unchecked.insert(reason, cause);
            result.outcome = Outcome::Skip(reason);
            return Ok(result);
        }
        let is_alone = prepared.is_none();
        let work = tempfile::Builder::new()
            .prefix("trial-")
            .tempdir_in(equipment.work.path())?;
        let mut cell = Cell {
            trial: self,
            equipment,
            work: work.path(),
            result: &mut result,
            started: begin(self.question)?,
            prepared,
            tree: None,
        };
        let mut findings = match equipment.fault {
            None => cell.run(self.question, "")?,
            Some(fault) => cell.run_with_fault(self.question, fault)?,
        };
        findings.sort_by_key(|finding| finding.kind);
        if !findings.is_empty() {
            result.outcome = Outcome::Fail(findings);
            if is_alone {
                let is_news = !stands(&result.outcome);
                let (kept, made) = (&equipment.kept, work.keep());
                result.kept = kept.keep(&self.name(), &made, is_news)?;
                result.is_dropped = result.kept.is_none();
            }
        } else if let Some(reason) = self.nothing_checked(&result) {
            result.outcome = Outcome::Skip(reason);
        }
        Ok(result)
    }

    /// Why this trial cannot run at all here.
    pub(super) fn skip(&self, equipment: &Equipment) -> Option<(Reason, String)> {
        if self.chain.needs(Need::Root) && !equipment.is_root {
            return Some((Reason::Root, format!("{} needs root", self.chain.name)));
        }
        let profile = equipment.profile_of(self.chain);
        let cannot_be_read = not_readable(self.chain.format(), profile, equipment.is_root);
        if cannot_be_read.is_some() {
            return cannot_be_read;
        }
        if let Some(fault) = equipment.fault
            && let Some(cause) = self.fault_does_not_apply(fault)
        {
            return Some((Reason::Capability, cause));
        }
        for stage in &self.chain.stages {
            if let Some(cause) = equipment.lacks(stage) {
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

    /// Why this fault says nothing about this trial.
    fn fault_does_not_apply(&self, fault: Fault) -> Option<String> {
        let last = self.chain.stages.last().expect("a chain has a stage");
        if fault.is_of_the_layout() && last.input != Input::Layout {
            return Some(format!("{} does not read the layout itself", last.name));
        }
        let is_tree = matches!(self.question.wanted, super::Wanted::Tree(_));
        (!is_tree).then(|| "faults are for images that must be accepted".to_owned())
    }

    /// A filesystem image that nothing could read back was not checked, whatever fsck says.
    fn nothing_checked(&self, result: &TrialResult) -> Option<Reason> {
        let unread = result.unchecked.contains_key(&Reason::Boot)
            && self.chain.format().is_filesystem()
            && result.answer.is_empty();
        unread.then_some(Reason::Boot)
    }
}

/// Why nothing can be read of what is made, if so.
fn not_readable(format: Format, profile: Profile, is_root: bool) -> Option<(Reason, String)> {
    if format == Format::LayerDirs && !is_root {
        let cause = format!("only root sees what {format} delete");
        return Some((Reason::Root, cause));
    }
    let cause = profile.refuses(format)?;
    Some((Reason::Capability, cause))
}

#[cfg(test)]
mod tests {
    use super::not_readable;
    use crate::check::Reason;
    use crate::runner::{Format, Profile};

    #[test]
    fn what_cannot_be_read_is_not_made() {
        let reason = |format, profile, is_root| {
            not_readable(format, profile, is_root).map(|(reason, _)| reason)
        };
        let layers = Profile::Layers;
        assert_eq!(reason(Format::LayerDirs, layers, true), None);
        assert_eq!(reason(Format::LayerDirs, layers, false), Some(Reason::Root));
        assert_eq!(reason(Format::ErofsLayers, layers, false), None);
        let rw = reason(Format::Erofs, Profile::Rw, true);
        assert_eq!(rw, Some(Reason::Capability));
    }
}
