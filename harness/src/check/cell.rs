//! The work of one trial: conversions, and what comes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;

use super::batch::Prepared;
use super::images::Images;
use super::{
    Equipment, Finding, FindingKind, OF_TWIN, Question, Reason, Source, Trial, TrialResult, Wanted,
    boot, contain, fsck, tree,
};
use crate::boot::Writer;
use crate::image;
use crate::read;
use crate::runner::contain::Faults;
use crate::runner::{Capability, Conversion, Converted, Format, Runner, Setting, convert};
use crate::tree::{Inode, InodeKind, Time, Tree};

/// The work of one trial.
pub(super) struct Cell<'a> {
    pub(super) trial: &'a Trial<'a>,
    pub(super) equipment: &'a Equipment,
    pub(super) work: &'a Path,
    pub(super) result: &'a mut TrialResult,
    /// What a batch made for this trial.
    pub(super) prepared: Option<Prepared>,
    /// When the trial began.
    pub(super) started: Time,
    /// What the last artifact was read back to.
    pub(super) tree: Option<Tree>,
}

impl<'a> Cell<'a> {
    /// Asks one question; the twin of a reject case is asked with the prefix `twin-`.
    pub(super) fn run(
        &mut self,
        question: &Question,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        if let Some(converted) = self.take_prepared(prefix) {
            return self.judge(question, &converted, prefix);
        }
        let (layout, reference) = self.layout(question, prefix)?;
        let setting = self.setting(question);
        let converted = self.convert(&layout, &reference, &format!("{prefix}out"), &setting)?;
        let mut findings = contain::findings(&converted);
        findings.extend(self.judge(question, &converted, prefix)?);
        if self.equipment.repeat {
            findings.extend(self.repeat(question, &reference, &converted, prefix)?);
        }
        Ok(findings)
    }

    /// What a batch made for the question, or for its twin.
    fn take_prepared(&mut self, prefix: &str) -> Option<Converted> {
        let prepared = self.prepared.as_mut()?;
        match prefix.is_empty() {
            true => Some(prepared.question.clone()),
            false => prepared.twin.take(),
        }
    }

    /// The question's image as a layout on disk, with the reference to convert.
    pub(super) fn layout(
        &self,
        question: &Question,
        prefix: &str,
    ) -> anyhow::Result<(PathBuf, String)> {
        match &question.source {
            Source::Case(case) => {
                let layout = self.work.join(format!("{prefix}layout"));
                image::write_layout(case, &layout)?;
                Ok((layout, image::TAG.to_owned()))
            }
            Source::Layout(layout, reference) => Ok((layout.clone(), reference.clone())),
        }
    }

    /// How everything is converted the first time.
    pub(super) fn setting(&self, question: &Question) -> Setting<'a> {
        let equipment = self.equipment;
        Setting {
            helper: &equipment.helper,
            limits: equipment.limits,
            surroundings: equipment.surroundings.clone(),
            privileged: question.privileged,
            faults: Faults::default(),
        }
    }

    /// Converts into a new folder of this name.
    pub(super) fn convert(
        &self,
        layout: &Path,
        reference: &str,
        name: &str,
        setting: &Setting<'_>,
    ) -> anyhow::Result<Converted> {
        let outputs = self.work.join(name);
        fs::create_dir(&outputs)?;
        let converted = convert(self.trial.chain, layout, reference, &outputs, setting)?;
        fs::write(self.work.join(format!("{name}.log")), &converted.log)?;
        Ok(converted)
    }

    /// What is to be said of a conversion.
    pub(super) fn judge(
        &mut self,
        question: &Question,
        converted: &Converted,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        if !converted.protections_missing.is_empty() {
            let missing = converted.protections_missing.join(", ");
            self.unchecked(Reason::Contain, format!("without {missing}"));
        }
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
        findings.extend(partial_output(converted));
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
                        let text = format!("{OF_TWIN}{}", finding.line());
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
            Format::Cpio => self.initramfs(question, artifact, prefix)?,
            Format::Ext4
            | Format::Erofs
            | Format::Squashfs
            | Format::ErofsLayers
            | Format::LayerDirs => self.filesystem(question, artifact, format, prefix)?,
        };
        let Some(tree) = tree else {
            return Ok(findings);
        };
        self.answer(&format!("tree:{}", tree::digest(&tree, format)));
        let comparison = tree::compare(&question.wanted, &tree, format, &self.lacks());
        self.note_unclaimed(&comparison.unclaimed);
        if comparison.findings.is_empty() {
            let paths = format!("{} paths as expected", tree.len());
            self.result.seen.insert(
                0,
                match &comparison.outcome {
                    Some(name) => format!("{paths} ({name})"),
                    None => paths,
                },
            );
            self.result.outcome_name = comparison.outcome;
        }
        findings.extend(comparison.findings);
        self.tree = Some(tree);
        Ok(findings)
    }

    /// What some stage of the chain does not claim.
    fn lacks(&self) -> Vec<Capability> {
        let stages = self.trial.chain.stages.iter();
        stages.flat_map(|stage| stage.lacks.clone()).collect()
    }

    /// Counts differences in what a stage does not claim to carry over as unchecked.
    fn note_unclaimed(&mut self, unclaimed: &BTreeSet<Capability>) {
        let lacks = |stage: &&Runner| stage.lacks.iter().any(|one| unclaimed.contains(one));
        let Some(stage) = self.trial.chain.stages.iter().find(lacks) else {
            return;
        };
        let what: Vec<&str> = unclaimed.iter().map(|one| one.describe()).collect();
        let cause = format!("{} does not claim {}", stage.name, what.join(", "));
        self.unchecked(Reason::Capability, cause);
    }

    /// An archive is read here; where the question has commands of its own the kernel unpacks it too, and its
    /// shell is the first process.
    fn initramfs(
        &mut self,
        question: &Question,
        artifact: &Path,
        prefix: &str,
    ) -> anyhow::Result<(Option<Tree>, Vec<Finding>)> {
        let (tree, mut findings) = read_back(read::cpio(artifact));
        if question.run.is_empty() || tree.is_none() {
            return Ok((tree, findings));
        }
        let machine = match &self.equipment.machine {
            Ok(machine) => machine,
            Err(why) => {
                self.unchecked(Reason::Boot, why.clone());
                return Ok((tree, findings));
            }
        };
        let transcript = self.work.join(format!("{prefix}transcript"));
        let seen = boot::boot_initramfs(machine, artifact, &question.run, &transcript)?;
        if let Some(command) = seen.unsaid {
            let cause = format!("the kernel's command line cannot carry `{command}`");
            self.unchecked(Reason::Capability, cause);
        }
        if seen.findings.is_empty() {
            let said = "/bin/sh answered as the first process of an initramfs";
            self.result.seen.push(said.to_owned());
        }
        findings.extend(seen.findings);
        Ok((tree, findings))
    }

    /// fsck, then the guest: a full read by its kernel, and the image's own shell.
    fn filesystem(
        &mut self,
        question: &Question,
        artifact: &Path,
        format: Format,
        prefix: &str,
    ) -> anyhow::Result<(Option<Tree>, Vec<Finding>)> {
        let packed = self.work.join(format!("{prefix}packed"));
        let images = match Images::of(artifact, format, &packed)? {
            Ok(images) => images,
            Err(finding) => return Ok((None, vec![finding])),
        };
        if images.paths.is_empty() {
            return Ok((Some(only_a_root()), Vec::new()));
        }
        let seen = self.prepared.as_mut();
        let seen = seen.map(|made| std::mem::take(&mut made.image));
        let seen = seen.unwrap_or_default();
        let mut findings = self.fsck(&images.paths, format, seen.is_clean)?;
        let machine = match &self.equipment.machine {
            Ok(machine) => machine,
            Err(why) => {
                self.unchecked(Reason::Boot, why.clone());
                return Ok((None, findings));
            }
        };
        if let Some(among) = seen.among {
            self.note_seen(question.has_shell(), among.written);
            return Ok((Some(among.tree), findings));
        }
        images.paths.iter().try_for_each(|image| forget(image))?;
        let transcript = self.work.join(format!("{prefix}transcript"));
        let profile = self.equipment.profile_of(self.trial.chain);
        let seen = boot::boot(machine, &images, profile, question, &transcript)?;
        self.note_seen(seen.answered, seen.written);
        findings.extend(seen.findings);
        Ok((seen.tree, findings))
    }

    /// Says what a guest did besides reading.
    fn note_seen(&mut self, answered: bool, written: Option<Writer>) {
        if answered {
            self.result.seen.push("/bin/sh answered".to_owned());
        }
        if let Some(writer) = written {
            let who = match writer {
                Writer::Shell => "/bin/sh",
                Writer::Init => "init",
            };
            let said = format!("a file {who} wrote was there after a remount");
            self.result.seen.push(said);
        }
    }

    /// What fsck says of each image, if they are not known to be clean.
    fn fsck(
        &mut self,
        images: &[PathBuf],
        format: Format,
        are_clean: bool,
    ) -> anyhow::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if format == Format::LayerDirs {
            return Ok(findings);
        }
        // The root of the packer has the fsck of the same version, which knows what the packer makes.
        let root = &self.trial.chain.last().root;
        match fsck::command(format) {
            Some(command) if self.equipment.has_in(root, command[0]) => {
                for image in images.iter().filter(|_| !are_clean) {
                    let found = fsck::check(image, command, root, self.work, self.equipment)?;
                    findings.extend(found);
                }
                if findings.is_empty() {
                    self.result.seen.push(format!("{} clean", command[0]));
                }
            }
            Some([program, ..]) => {
                self.unchecked(Reason::Fsck, format!("no `{program}` for {format} here"));
            }
            // No machine could have one, so this is no lack of this one.
            _ => self.unchecked(
                Reason::Capability,
                format!("nobody has written an fsck for {format}"),
            ),
        }
        Ok(findings)
    }

    /// Notes what could not be checked.
    pub(super) fn unchecked(&mut self, reason: Reason, cause: String) {
        self.result.unchecked.insert(reason, cause);
    }

    fn answer(&mut self, answer: &str) {
        answer.clone_into(&mut self.result.answer);
    }
}

/// An output that a failed stage left.
pub(super) fn partial_output(converted: &Converted) -> Option<Finding> {
    let (stage, partial) = (&converted.stage, converted.partial_output.as_ref()?);
    let name = partial.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("{stage} failed and left its output `{name}`");
    Some(Finding::text(FindingKind::Unclean, text))
}

/// Has the kernel drop its cached pages of a file, so that what is read next is what the disk has: bytes
/// that a converter wrote past the cache, through a loop device say, must be the ones that are booted.
pub(super) fn forget(image: &Path) -> anyhow::Result<()> {
    let file = fs::File::open(image)?;
    file.sync_data()?;
    rustix::fs::fadvise(file.file(), 0, None, rustix::fs::Advice::DontNeed)
        .with_context(|| format!("failed to drop the cached pages of `{}`", image.display()))
}

/// What no layers are together.
fn only_a_root() -> Tree {
    let mut tree = Tree::new();
    let root = Inode {
        kind: InodeKind::Dir,
        mode: None,
        uid: None,
        gid: None,
        mtime: None,
        xattrs: BTreeMap::new(),
    };
    tree.insert("", root);
    tree
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
