//! The image in a machine of its own: read in full by the guest kernel, then its shell is asked.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::images::Images;
use super::{Finding, FindingKind, FindingPlace, Question};
use crate::boot::{self, Arrangement, Failure, Job, Machine, Said, Writer};
use crate::case::Command;
use crate::case::escape::escape;
use crate::read;
use crate::runner::Profile;
use crate::tree::Tree;

/// How long one image may take, emulation included.
const TIME_LIMIT: Duration = Duration::from_secs(90);

/// What the guest saw.
pub(super) struct Seen {
    pub(super) tree: Option<Tree>,
    pub(super) findings: Vec<Finding>,
    /// Whether the shell was asked and answered.
    pub(super) answered: bool,
    /// Who wrote a file that was there after a remount.
    pub(super) written: Option<Writer>,
}

/// Boots `images`, reads what they are and, where the question says it has one, asks its shell.
///
/// # Errors
///
/// Trouble of the harness or of QEMU, never of the image.
pub(super) fn boot(
    machine: &Machine,
    images: &Images,
    profile: Profile,
    question: &Question,
    transcript: &Path,
) -> anyhow::Result<Seen> {
    let nonce = nonce()?;
    let mut commands = Vec::new();
    if question.has_shell() {
        commands.push(format!("echo {nonce}").into_bytes());
        commands.extend(
            question
                .run
                .iter()
                .map(|run| run.command.clone().into_bytes()),
        );
    }
    let boot = machine.boot(&job(images, profile, &commands, transcript))?;
    if let Some(Failure::Upper(why)) = &boot.failure {
        anyhow::bail!("the guest has no disk to write to: {why}");
    }
    let mut findings: Vec<Finding> = boot.failure.iter().map(failure).collect();
    for error in &boot.read_errors {
        let text = format!(
            "the guest cannot read ./{}: errno {}",
            escape(&error.path),
            error.errno
        );
        findings.push(Finding::text(FindingKind::Corrupt, text));
    }
    // A tree that was not read in full has files without a hash: there is nothing to compare.
    let tree = match &boot.mtree {
        Some(report) if boot.read_errors.is_empty() => {
            Some(read::guest(report).map_err(anyhow::Error::msg)?)
        }
        _ => None,
    };
    let mut wanted = vec![("the nonce".to_owned(), format!("{nonce}\n"))];
    wanted.extend(
        question
            .run
            .iter()
            .map(|run| (format!("`{}`", run.command), run.output.clone())),
    );
    let mut answered = !boot.commands.is_empty();
    for (result, (what, output)) in boot.commands.iter().zip(wanted) {
        if let Some(finding) = answer(result, &what, &output) {
            findings.push(finding);
            answered = false;
        }
    }
    if let Some(Err(why)) = &boot.written {
        let text = format!("a file in the booted root, which is writable: {why}");
        findings.push(Finding::text(FindingKind::Silent, text));
    }
    Ok(Seen {
        tree,
        findings,
        answered,
        written: boot.written.and_then(Result::ok),
    })
}

/// What an initramfs said.
pub(super) struct Answers {
    pub(super) findings: Vec<Finding>,
    /// A command that could not be asked.
    pub(super) unsaid: Option<String>,
}

/// Boots a cpio archive as the initramfs once for each command.
///
/// # Errors
///
/// As [`boot`].
pub(super) fn boot_initramfs(
    machine: &Machine,
    archive: &Path,
    commands: &[Command],
    transcript: &Path,
) -> anyhow::Result<Answers> {
    let mut answers = Answers {
        findings: Vec::new(),
        unsaid: None,
    };
    for Command { command, output } in commands {
        match machine.boot_initramfs(archive, command, transcript, TIME_LIMIT)? {
            Said::Output(said) if said == *output => {}
            Said::Output(said) => {
                let said = escape(&said.as_bytes()[..said.len().min(200)]);
                let text = format!("/bin/sh as the first process, asked for `{command}`: {said}");
                answers
                    .findings
                    .push(Finding::text(FindingKind::Silent, text));
            }
            Said::Failed(why) => {
                let mut finding = failure(&why);
                if let FindingPlace::Text(text) = &mut finding.place {
                    *text = format!("/bin/sh as the first process, asked for `{command}`: {text}");
                }
                answers.findings.push(finding);
            }
            Said::Unsaid => answers.unsaid = Some(command.clone()),
        }
    }
    Ok(answers)
}

/// Has the guest read an image in full as [`boot`] does, and nothing else; `None` if it cannot.
///
/// # Errors
///
/// As [`boot`].
pub(super) fn read(
    machine: &Machine,
    images: &Images,
    profile: Profile,
    transcript: &Path,
) -> anyhow::Result<Option<Tree>> {
    let boot = machine.boot(&job(images, profile, &[], transcript))?;
    let is_whole = boot.failure.is_none() && boot.read_errors.is_empty();
    let report = boot.mtree.filter(|_| is_whole);
    report
        .map(|report| read::guest(&report).map_err(anyhow::Error::msg))
        .transpose()
}

/// What a guest saw of one root among others, with which nothing is wrong.
#[derive(Clone)]
pub(super) struct Among {
    pub(super) tree: Tree,
    /// See [`Seen::written`].
    pub(super) written: Option<Writer>,
}

/// Has one guest read each of these roots in full, write to it where it can be written to, and, if `is_asked`, its
/// shell answer; `None` for one with which any of it fails. What one of them does to the guest leaves nothing to
/// be said of any.
///
/// # Errors
///
/// As [`boot`].
pub(super) fn read_shelf(
    machine: &Machine,
    roots: &[&Images],
    profile: Profile,
    is_asked: bool,
    transcript: &Path,
) -> anyhow::Result<Vec<Option<Among>>> {
    let nothing = || roots.iter().map(|_| None).collect();
    let Some(first) = roots.first() else {
        return Ok(nothing());
    };
    let nonce = nonce()?;
    let commands = match is_asked {
        true => vec![format!("echo {nonce}").into_bytes()],
        false => Vec::new(),
    };
    let paths = roots.iter().flat_map(|root| root.paths.clone());
    let images = Images {
        paths: paths.collect(),
        ..**first
    };
    let layers = roots.iter().map(|root| match root.is_stack {
        true => root.paths.len() as u32,
        false => 0,
    });
    let boot = machine.boot(&Job {
        arrangement: Arrangement::Shelf(&layers.collect::<Vec<_>>()),
        ..job(&images, profile, &commands, transcript)
    })?;
    if boot.failure.is_some() || boot.stacks.len() != roots.len() {
        return Ok(nothing());
    }
    let said = format!("{nonce}\n");
    let is_right = |result: &boot::CommandResult| answer(result, "the nonce", &said).is_none();
    let mut seen = Vec::new();
    for walked in boot.stacks {
        let walked = walked.ok().filter(|walked| {
            walked.read_errors.is_empty()
                && walked.commands.len() == commands.len()
                && walked.commands.iter().all(is_right)
                && !matches!(walked.written, Some(Err(_)))
        });
        let among = walked.map(|walked| {
            let tree = read::guest(&walked.mtree).map_err(anyhow::Error::msg)?;
            let written = walked.written.and_then(Result::ok);
            anyhow::Ok(Among { tree, written })
        });
        seen.push(among.transpose()?);
    }
    Ok(seen)
}

/// The job of reading images in full and running commands in them.
fn job<'a>(
    images: &'a Images,
    profile: Profile,
    commands: &'a [Vec<u8>],
    transcript: &'a Path,
) -> Job<'a> {
    Job {
        images: &images.paths,
        arrangement: match images.is_stack {
            true => Arrangement::Stack,
            false => Arrangement::Single,
        },
        filesystem: images.filesystem,
        profile,
        upper: None,
        walk: true,
        stacks: &[],
        commands,
        transcript,
        time_limit: TIME_LIMIT,
    }
}

fn answer(result: &boot::CommandResult, what: &str, wanted: &str) -> Option<Finding> {
    let said = || escape(&result.output[..result.output.len().min(200)]);
    let text = match &result.outcome {
        boot::Outcome::Exited(0) if result.output == wanted.as_bytes() => return None,
        boot::Outcome::Exited(status) => {
            format!(
                "/bin/sh, asked for {what}: exit {status}, it said: {}",
                said()
            )
        }
        boot::Outcome::Signaled(signal) => {
            format!(
                "/bin/sh, asked for {what}: killed by signal {signal}, it said: {}",
                said()
            )
        }
        boot::Outcome::NotStarted(why) => format!("/bin/sh does not start: {why}"),
        boot::Outcome::TimedOut => format!("/bin/sh, asked for {what}: no answer in time"),
    };
    Some(Finding::text(FindingKind::Silent, text))
}

fn failure(failure: &Failure) -> Finding {
    let (kind, what, why) = match failure {
        Failure::Mount(why) => (
            FindingKind::Corrupt,
            "the guest cannot mount the image",
            why,
        ),
        Failure::Upper(why) => (
            FindingKind::Corrupt,
            "the guest cannot use its writable disk",
            why,
        ),
        Failure::Panic(why) => (FindingKind::Corrupt, "the guest's kernel panicked", why),
        Failure::TimedOut(why) => (FindingKind::Timeout, "the boot did not end in time", why),
        Failure::EndedEarly(why) => (FindingKind::Corrupt, "the machine stopped early", why),
        Failure::Forged(why) => (
            FindingKind::Escape,
            "the image spoke on the guest's port",
            why,
        ),
        Failure::Init(why) => (FindingKind::Corrupt, "the guest's init gave up", why),
    };
    Finding::text(kind, format!("{what}: {why}"))
}

/// A word no image can know beforehand.
fn nonce() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("failed to read /dev/urandom")?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
