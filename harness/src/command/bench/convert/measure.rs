//! One measured run, in a fresh process that does nothing else.
//!
//! The kernel tells the peak memory and processor time only of all children together that a process
//! has waited for. So the harness starts itself once more as a small helper, which runs nothing but
//! this one contender: then those figures are the contender's own. The peak is that of the largest
//! process, and never below that of the helper, a few MiB, which the kernel counts to its children.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fs_err as fs;
use nix::sys::resource::{UsageWho, getrusage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::hold::hold;
use crate::command::bench::race::Sample;
use crate::runner::contain::Surroundings;

/// The hidden subcommand of the helper.
pub(in crate::command::bench) const HELPER: &str = "__measure";

/// How long one run may take.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// What the helper is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    /// The commands, run one after the other; the time is that of all together.
    pub(super) commands: Vec<Vec<OsString>>,
    /// The only folder the commands may write to, as far as root can be held. It is the current
    /// folder and `$TMPDIR`.
    pub(super) folder: PathBuf,
    /// Not to run where they cannot be held.
    pub(super) must_hold: bool,
    /// An exit status after which the next command is run as after 0.
    pub(super) forgiven: Option<i32>,
}

/// A run that came to its end.
pub(super) struct Run {
    pub(super) sample: Sample,
    /// Whether a command exited with the forgiven status.
    pub(super) is_forgiven: bool,
    /// What the commands wrote to standard error.
    pub(super) said: String,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Measured {
        nanoseconds: u64,
        cpu_nanoseconds: u64,
        peak_bytes: u64,
        is_forgiven: bool,
    },
    Failed(String),
}

/// Has a helper, `harness`, run a plan: what came of it, or why the contender failed.
///
/// # Errors
///
/// The helper itself fails.
pub(super) fn measure(harness: &Path, plan: &Plan) -> anyhow::Result<Result<Run, String>> {
    let said = plan.folder.join("stderr");
    let mut helper = Command::new(harness)
        .args(["bench", HELPER])
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "UTC"), ("SOURCE_DATE_EPOCH", "0")])
        .env("PATH", Surroundings::default().path)
        .env("TMPDIR", &plan.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A file, as a process that a contender leaves behind would keep a pipe open.
        .stderr(fs::File::create(&said)?.into_parts().0)
        .spawn()
        .with_context(|| format!("failed to run `{}`", harness.display()))?;
    let input = helper.stdin.take().expect("it is piped");
    serde_json::to_writer(input, plan).context("failed to tell the measuring helper its plan")?;
    let output = helper.wait_with_output()?;
    let said = String::from_utf8_lossy(&fs::read(&said)?).into_owned();
    let answer = serde_json::from_slice(&output.stdout).with_context(|| {
        let status = output.status;
        format!("the measuring helper failed ({status}){}", tail(&said))
    })?;
    Ok(match answer {
        Answer::Failed(what) => Err(what + &tail(&said)),
        Answer::Measured {
            nanoseconds,
            cpu_nanoseconds,
            peak_bytes,
            is_forgiven,
        } => Ok(Run {
            sample: Sample {
                seconds: Duration::from_nanos(nanoseconds).as_secs_f64(),
                cpu_seconds: Some(Duration::from_nanos(cpu_nanoseconds).as_secs_f64()),
                peak_bytes: Some(peak_bytes),
                ..Sample::default()
            },
            is_forgiven,
            said,
        }),
    })
}

/// The last lines of an error output, to be put after a message: some programs end with a line that
/// only says that lines came before it.
pub(super) fn tail(said: &str) -> String {
    let lines = said.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!(": {}", lines[lines.len().saturating_sub(3)..].join(" / ")),
    }
}

/// What the helper does: reads a [`Plan`] from standard input, runs it, and writes an answer to
/// standard output.
///
/// # Errors
///
/// No plan, or trouble with measuring.
pub(in crate::command::bench) fn main() -> anyhow::Result<()> {
    let plan: Plan =
        serde_json::from_reader(io::stdin()).context("failed to read what is to be measured")?;
    let answer = match hold(&plan.folder) {
        Err(why) if plan.must_hold => {
            Answer::Failed(format!("it cannot be kept from writing elsewhere: {why:#}"))
        }
        _ => run(&plan, TIME_LIMIT)?,
    };
    crate::command::print(&serde_json::to_string(&answer)?)
}

fn run(plan: &Plan, limit: Duration) -> anyhow::Result<Answer> {
    let mut is_forgiven = false;
    let begin = Instant::now();
    for argv in &plan.commands {
        let (program, arguments) = argv.split_first().context("a command has no program")?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&plan.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let ended = match child {
            Ok(child) => wait(child, begin + limit)?,
            Err(error) => Err(format!("cannot start: {error}")),
        };
        match ended {
            Ok(status) if status.success() => {}
            Ok(status)
                if status
                    .code()
                    .is_some_and(|code| plan.forgiven == Some(code)) =>
            {
                is_forgiven = true;
            }
            failed => {
                let what = failed.map_or_else(|why| why, |status| status.to_string());
                return Ok(Answer::Failed(format!("`{}`: {what}", program.display())));
            }
        }
    }
    let elapsed = begin.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    Ok(Answer::Measured {
        nanoseconds: u64::try_from(elapsed.as_nanos())?,
        cpu_nanoseconds: u64::try_from(cpu.tv_sec())? * 1_000_000_000
            + u64::try_from(cpu.tv_usec())? * 1000,
        // The kernel counts in KiB.
        peak_bytes: u64::try_from(usage.max_rss())? * 1024,
        is_forgiven,
    })
}

/// Waits for a child, without the steps of a polling loop in the time measured. It is killed at the
/// deadline.
fn wait(mut child: Child, deadline: Instant) -> anyhow::Result<Result<ExitStatus, String>> {
    let pid = Pid::from_child(&child);
    let handle = pidfd_open(pid, PidfdFlags::empty()).context("failed to watch a process")?;
    let left = deadline.saturating_duration_since(Instant::now());
    let ended = poll(
        &mut [PollFd::new(&handle, PollFlags::IN)],
        Some(&Timespec::try_from(left)?),
    )?;
    if ended == 0 {
        child.kill()?;
        child.wait()?;
        return Ok(Err("not done in time, killed".to_owned()));
    }
    Ok(Ok(child.wait()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Answer, Plan, run, tail};

    fn ask(scripts: &[&str], forgiven: Option<i32>, limit: Duration) -> Answer {
        let command = |script: &&str| ["sh", "-c", script].map(Into::into).to_vec();
        let plan = Plan {
            commands: scripts.iter().map(command).collect(),
            folder: Path::new("/").to_owned(),
            must_hold: false,
            forgiven,
        };
        run(&plan, limit).unwrap()
    }

    #[track_caller]
    fn check_failed(scripts: &[&str], limit: Duration, expected: &str) {
        match ask(scripts, Some(2), limit) {
            Answer::Failed(why) => assert_eq!(why, expected),
            Answer::Measured { .. } => panic!("it was timed"),
        }
    }

    #[track_caller]
    fn check_measured(scripts: &[&str], forgiven: bool) {
        match ask(scripts, Some(2), AMPLE) {
            Answer::Failed(why) => panic!("{why}"),
            Answer::Measured {
                nanoseconds,
                peak_bytes,
                is_forgiven,
                ..
            } => {
                assert!(nanoseconds > 0);
                assert!(peak_bytes > 100_000);
                assert_eq!(is_forgiven, forgiven);
            }
        }
    }

    const AMPLE: Duration = Duration::from_secs(600);

    #[test]
    fn a_contender_that_fails_is_not_timed() {
        check_failed(&["exit 3"], AMPLE, "`sh`: exit status: 3");
        check_failed(&["kill -9 $$"], AMPLE, "`sh`: signal: 9 (SIGKILL)");
        check_failed(&["true", "exit 4", "true"], AMPLE, "`sh`: exit status: 4");
        check_failed(&["exit 2", "exit 4"], AMPLE, "`sh`: exit status: 4");
        let late = "`sh`: not done in time, killed";
        check_failed(&["sleep 600"], Duration::ZERO, late);
    }

    #[test]
    fn a_contender_that_does_its_work_is_timed() {
        check_measured(&["true", "true"], false);
        check_measured(&["exit 2", "true"], true);
    }

    #[test]
    fn the_end_of_what_was_said_follows_a_message() {
        assert_eq!(tail(" \n"), "");
        assert_eq!(tail("a\nb\n\nc \nd\n"), ": b / c / d");
    }
}
