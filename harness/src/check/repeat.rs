//! The same conversion a second time, in other surroundings: nothing of them may show in the result.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use fs_err as fs;

use super::cell::Cell;
use super::images::Images;
use super::unequal::first_unequal;
use super::{Finding, FindingKind, Question, Reason, Source, Wanted, boot, contain, tree};
use crate::read;
use crate::runner::contain::Surroundings;
use crate::runner::{Conversion, Converted, Format, Runner, Setting, convert_stage};
use crate::tree::{Difference, Inode, Key, Time, Tree, diff, mtree};

impl Cell<'_> {
    /// Runs every stage of a conversion again on what it was given the first time.
    pub(super) fn repeat(
        &mut self,
        question: &Question,
        reference: &str,
        first: &Converted,
        prefix: &str,
    ) -> anyhow::Result<Vec<Finding>> {
        let chain = self.trial.chain;
        let setting = Setting {
            surroundings: other(&self.equipment.surroundings, &question.id),
            ..self.setting(question)
        };
        let mut findings = Vec::new();
        let mut pairs = Vec::new();
        for (index, (stage, (input, ending))) in chain.stages.iter().zip(&first.stages).enumerate()
        {
            // A second time limit would tell nothing that the first did not.
            if matches!(ending, Conversion::TimedOut | Conversion::OverLimit(_)) {
                break;
            }
            if let Conversion::Produced(artifact, format) = ending
                && format.is_filesystem()
                && is_patient(&question.id)
            {
                wait_until_past(artifact, 0)?;
            }
            let work = self.work.join(format!("{prefix}again-{index}"));
            fs::create_dir(&work)?;
            let again = convert_stage(stage, input, reference, &work, &setting)?;
            fs::write(work.with_extension("log"), &again.log)?;
            findings.extend(only_now(first, &again));
            pairs.push((stage, ending, again.conversion));
        }
        // Not before: reading changes access times, which a packer may copy.
        let mut tree = self.tree.take();
        for (index, (stage, ending, again)) in pairs.iter().enumerate() {
            let is_last = index + 1 == chain.stages.len();
            let tree = if is_last { tree.take() } else { None };
            let of = Stage {
                runner: stage,
                question,
            };
            findings.extend(self.compare(&of, (ending, tree), again)?);
        }
        let said = "the same twice".to_owned();
        // A twin may have said so.
        if findings.is_empty() && !first.stages.is_empty() && !self.result.seen.contains(&said) {
            self.result.seen.push(said);
        }
        Ok(findings)
    }

    fn compare(
        &mut self,
        of: &Stage<'_>,
        first: (&Conversion, Option<Tree>),
        again: &Conversion,
    ) -> anyhow::Result<Vec<Finding>> {
        let (first, tree) = first;
        let name = &of.runner.name;
        let (Conversion::Produced(a, format), Conversion::Produced(b, _)) = (first, again) else {
            let (first, again) = (ending(first), ending(again));
            return Ok(match first == again {
                true => Vec::new(),
                false => vec![unstable(format!("{name}: first {first}, again {again}"))],
            });
        };
        if *format == Format::Dir {
            return Ok(self.trees(of, read::dir(a), read::dir(b)));
        }
        let mut findings: Vec<Finding> = match &tree {
            Some(tree) => self.clock(of, tree),
            None => Vec::new(),
        };
        let Some(place) = first_unequal(a, b, *format)? else {
            return Ok(findings);
        };
        if of.runner.reproducible {
            let text = format!("{name} claims equal bytes: they differ at {place}");
            findings.push(unstable(text));
        }
        findings.extend(match format {
            Format::Tar => self.trees(of, read::tar(a), read::tar(b)),
            _ => self.filesystems(of, (a, tree), b)?,
        });
        findings.dedup();
        Ok(findings)
    }

    fn trees(
        &self,
        of: &Stage<'_>,
        first: Result<Tree, read::Unreadable>,
        again: Result<Tree, read::Unreadable>,
    ) -> Vec<Finding> {
        match (first, again) {
            (Ok(first), Ok(again)) => {
                let mut findings = self.clock(of, &first);
                findings.extend(self.differences(of, &first, &again));
                findings
            }
            (Err(_), Err(_)) => Vec::new(),
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => {
                let name = &of.runner.name;
                vec![unstable(format!("{name}: only once readable: {error}"))]
            }
        }
    }

    /// Files with a time at which this trial ran, though nobody asked for it: the clock shows, even if its
    /// second did not change between the two conversions.
    fn clock(&self, of: &Stage<'_>, tree: &Tree) -> Vec<Finding> {
        let shown = tree
            .iter()
            .filter(|(path, _, inode)| self.clock_shows(of, path, inode));
        shown
            .map(|(path, _, _)| {
                let (name, path) = (&of.runner.name, mtree::name(path));
                unstable(format!("{name}: {path}  time  that of the conversion"))
            })
            .collect()
    }

    /// Whether a file's time is one at which this trial ran.
    fn clock_shows(&self, of: &Stage<'_>, path: &[u8], inode: &Inode) -> bool {
        let Some(time) = inode.mtime else {
            return false;
        };
        let began = match time.nanos {
            // Archives and some filesystems keep whole seconds, rounded down.
            0 => time.seconds >= self.started.seconds,
            nanos => (time.seconds, nanos) >= a_moment_before(self.started),
        };
        let has_come = time.seconds <= now().seconds + 1;
        let is_open = of.leaves_open(path, Key::Time, Some(inode));
        began && has_come && !of.asks_for(path, time) && !is_open
    }

    fn differences(&self, of: &Stage<'_>, first: &Tree, again: &Tree) -> Vec<Finding> {
        let mut findings = Vec::new();
        for difference in diff(first, again) {
            let text = match difference {
                Difference::Modified { path, key, .. }
                    if key == Key::Time && self.is_said(of, first, &path) =>
                {
                    continue;
                }
                Difference::Modified { path, key, .. }
                    if of.leaves_open(&path, key, first.get(&path)) =>
                {
                    continue;
                }
                Difference::Missing(path) => format!("only first  {}", mtree::name(&path)),
                Difference::Extra(path) => format!("only again  {}", mtree::name(&path)),
                Difference::Modified {
                    path,
                    key,
                    want,
                    got,
                } => {
                    let (path, key) = (mtree::name(&path), key.word());
                    format!("{path}  {key}  first {want}  again {got}")
                }
            };
            findings.push(unstable(format!("{}: {text}", of.runner.name)));
        }
        findings
    }

    /// Whether [`Cell::clock`] tells of this file.
    fn is_said(&self, of: &Stage<'_>, first: &Tree, path: &[u8]) -> bool {
        let inode = first.get(path);
        inode.is_some_and(|inode| self.clock_shows(of, path, inode))
    }

    /// Images of unequal bytes: the guest says whether their trees are equal.
    fn filesystems(
        &mut self,
        of: &Stage<'_>,
        first: (&Path, Option<Tree>),
        again: &Path,
    ) -> anyhow::Result<Vec<Finding>> {
        let (image, Some(tree)) = first else {
            // It could not be read the first time, which is said elsewhere.
            return Ok(Vec::new());
        };
        let format = of.runner.output;
        if format == Format::Erofs && only_time_of_making(image, again, &tree)? {
            return Ok(Vec::new());
        }
        let packed = again.with_extension("packed");
        let images = match Images::of(again, format, &packed)? {
            Ok(images) => images,
            Err(finding) => {
                let (name, line) = (&of.runner.name, finding.line());
                return Ok(vec![unstable(format!("{name}: the second time, {line}"))]);
            }
        };
        let machine = match &self.equipment.machine {
            Ok(machine) => machine,
            Err(why) => {
                self.unchecked(Reason::Boot, why.clone());
                return Ok(Vec::new());
            }
        };
        let transcript = again.with_extension("transcript");
        // As the first was read: an overlay hides some attributes.
        let profile = self.equipment.profile_of(self.trial.chain);
        let seen = boot::read(machine, &images, profile, &transcript)
            .with_context(|| format!("failed to read the second image of {}", of.question.id))?;
        Ok(match seen {
            Some(again) => self.differences(of, &tree, &again),
            None => {
                let name = &of.runner.name;
                vec![unstable(format!(
                    "{name}: the second image cannot be read back"
                ))]
            }
        })
    }
}

/// A stage that ran twice, and what it was asked.
struct Stage<'a> {
    runner: &'a Runner,
    question: &'a Question,
}

impl Stage<'_> {
    /// Whether a right answer has this time at this path: an image may have been made just now.
    fn asks_for(&self, path: &[u8], time: Time) -> bool {
        let has = |tree: &Tree| {
            let wanted = tree.get(path).and_then(|inode| inode.mtime);
            wanted.is_some_and(|wanted| wanted.seconds == time.seconds)
        };
        match &self.question.wanted {
            Wanted::Tree(tree) => has(tree),
            Wanted::OneOf { trees, .. } => trees.iter().any(|(_, tree)| has(tree)),
            Wanted::Reject { .. } | Wanted::Record => false,
        }
    }

    /// Whether this attribute of an inode at this path is the format's own affair, or not claimed to be the
    /// image's.
    fn leaves_open(&self, path: &[u8], key: Key, inode: Option<&Inode>) -> bool {
        let kind = inode.map(|inode| &inode.kind);
        tree::unclaimed(&self.runner.lacks, path, key, kind).is_some()
            || tree::added(self.runner.output, path)
    }
}

/// What must not show: half of the cases with a mask that takes away, half with one that takes nothing.
fn other(first: &Surroundings, id: &str) -> Surroundings {
    Surroundings {
        umask: if id.len().is_multiple_of(2) { 0o077 } else { 0 },
        cwd: "/usr".into(),
        // A zone of no place, which needs no file.
        time_zone: "XYZ-11:37".into(),
        locale: "C.UTF-8".into(),
        hostname: "elsewhere".into(),
        path: first.path.clone(),
    }
}

/// Whether the second conversion waits for another second of the clock. Trees show the clock anyway; this
/// is for the times a filesystem keeps of itself, which do not depend on the case.
fn is_patient(id: &str) -> bool {
    id.starts_with("image/") || id == "layout"
}

/// Waits until the second in which a file last changed, and `more` after it, are over: what keeps whole
/// seconds can only then show that the clock runs.
fn wait_until_past(path: &Path, more: i64) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let changed = fs::symlink_metadata(path)?.ctime();
    // A clock that is set back meanwhile cannot keep us here.
    for _ in 0..20 {
        if now().seconds > changed + more {
            break;
        }
        std::thread::sleep(Duration::from_millis(110));
    }
    Ok(())
}

/// The kernel stamps files with a clock that may be a few milliseconds behind.
fn a_moment_before(time: Time) -> (i64, u32) {
    const BEHIND: u32 = 10_000_000;
    match time.nanos.checked_sub(BEHIND) {
        Some(nanos) => (time.seconds, nanos),
        None => (time.seconds - 1, time.nanos + 1_000_000_000 - BEHIND),
    }
}

/// When a trial on this question begins. An image on disk that was made just now is waited for to be of
/// the past, so that its times, which may be rounded up to the next second, are not taken for those of its
/// conversion.
pub(super) fn begin(question: &Question) -> anyhow::Result<Time> {
    if let Source::Layout(layout, _) = &question.source {
        for path in [layout.clone(), layout.join("index.json")] {
            wait_until_past(&path, 1)?;
        }
    }
    Ok(now())
}

/// The time of the host's clock.
fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    Time {
        seconds: now.as_secs().cast_signed(),
        nanos: now.subsec_nanos(),
    }
}

/// What was only done outside the output the second time.
fn only_now(first: &Converted, again: &Converted) -> Vec<Finding> {
    let known = contain::findings(first);
    let mut findings = contain::findings(again);
    findings.retain(|finding| !known.contains(finding));
    findings
}

/// How a conversion ended, in words that are equal for endings that are.
fn ending(conversion: &Conversion) -> String {
    match conversion {
        Conversion::Produced(..) => "exit 0".to_owned(),
        Conversion::Nothing => "exit 0 without an output".to_owned(),
        Conversion::Rejected(status, _) => format!("exit {status}"),
        Conversion::Crashed(signal) => format!("signal {signal}"),
        Conversion::TimedOut => "no end in time".to_owned(),
        Conversion::OverLimit(what) => format!("too much {what}"),
    }
}

fn unstable(text: String) -> Finding {
    Finding::text(FindingKind::Unstable, text)
}

/// Whether two EROFS images of one input differ only in the superblock's checksum and time of making.
/// Inodes in the short form have that time, so no file of the first may have it.
fn only_time_of_making(a: &Path, b: &Path, tree: &Tree) -> anyhow::Result<bool> {
    const CHECKSUM: std::ops::Range<usize> = 1028..1032;
    const BUILD_TIME: std::ops::Range<usize> = 1048..1060;
    let (mut a, mut b) = (fs::read(a)?, fs::read(b)?);
    if a.len() < BUILD_TIME.end || b.len() < BUILD_TIME.end {
        return Ok(false);
    }
    let seconds: [u8; 8] = a[1048..1056].try_into().expect("eight bytes");
    let made = i64::from_le_bytes(seconds);
    let mut times = tree.iter().filter_map(|(_, _, inode)| inode.mtime);
    if times.any(|time| time.seconds == made) {
        return Ok(false);
    }
    for bytes in [&mut a, &mut b] {
        bytes[CHECKSUM].fill(0);
        bytes[BUILD_TIME].fill(0);
    }
    Ok(a == b)
}
