//! `harness bench boot`: the boot check of the same images, by guests that come to life in several
//! ways.

mod report;
mod way;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;

use super::race::{Sample, race};
use super::{Home, Host, load_average, write_json};
use crate::boot::{self, Arrangement, Job, Outcome};
use crate::case::Case;
use crate::command::{EXIT_GREEN, EXIT_RED, find};
use crate::image;
use crate::runner::contain::{Faults, Limits, Surroundings};
use crate::runner::{Conversion, Format, Profile, Runners, Setting, convert};

use report::{About, Entry, Report};
use way::{SNAPSHOT, Way, ways};

/// What makes file systems of it.
const CHAINS: [&str; 2] = ["native+mkfs.ext4", "native+mkfs.erofs"];

/// How long one boot may take.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// What the shell must answer, so that only boots that came to their end are timed.
const WORD: &str = "the-shell-answers";

/// Times the boot check of one image: booted with the bzImage that distributions ship, booted with
/// the ELF kernel in it, and restored from a snapshot.
///
/// One boot is all that the check does: QEMU is started, the guest mounts the image, reads all of it
/// and runs commands in the image's shell, QEMU ends.
#[derive(Args)]
pub(super) struct Boot {
    /// How many rounds count.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = super::rounds)]
    runs: usize,
    /// The case that is booted.
    #[arg(long, value_name = "ID", default_value = "image/python")]
    image: String,
    /// The QEMU to boot in [default: qemu-system-x86_64].
    #[arg(long, value_name = "FILE")]
    qemu: Option<PathBuf>,
    /// The guest kernel [default: target/kernel/, then the host's].
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The folder of the guest kernel's modules.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// Where to write all figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A file-system image of the case.
struct Disk {
    format: Format,
    path: PathBuf,
}

impl Boot {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let scratch = home.scratch().join("bench");
        fs::create_dir_all(&scratch)?;
        let work = tempfile::Builder::new()
            .prefix("boot-")
            .tempdir_in(&scratch)?;
        let options = boot::Options {
            qemu: self.qemu.clone(),
            kernel: self.kernel.clone(),
            modules: self.modules.clone(),
            roots: vec![home.root.join("target/kernel"), PathBuf::from("/")],
            cache: home.scratch().join("boot"),
            mode: boot::Mode::Cold,
            accel: boot::Accel::Auto,
        };
        let (ways, mut notes) = ways(&options, work.path())?;
        let corpus = home.corpus()?;
        let case = find(&corpus, &self.image)?;
        let disks = disks(case, home, work.path(), &mut notes)?;
        let report = self.race(&ways, case, &disks, work.path(), notes)?;
        if let Some(path) = &self.json {
            write_json(path, &report)?;
        }
        crate::command::print(&report.text())?;
        Ok(if report.is_red() {
            EXIT_RED
        } else {
            EXIT_GREEN
        })
    }

    fn race(
        &self,
        ways: &[Way],
        case: &Case,
        disks: &[Disk],
        work: &Path,
        mut notes: Vec<String>,
    ) -> anyhow::Result<Report> {
        let contenders: Vec<(&Way, &Disk)> = disks
            .iter()
            .flat_map(|disk| ways.iter().map(move |way| (way, disk)))
            .collect();
        let transcript = work.join("transcript");
        let load_before = load_average();
        let name = |(way, disk): &(&Way, &Disk)| format!("{} {}", way.name, disk.format);
        let standings = race(&contenders, self.runs, name, |(way, disk)| {
            let timed = time(way, disk, case, &transcript)?;
            let said = way.machine.take_notes();
            let fell_back = (way.name == SNAPSHOT).then(|| is_cold(&said)).flatten();
            notes.extend(said);
            Ok(match fell_back {
                Some(why) => Err(why),
                None => timed,
            })
        })?;
        let boots = contenders.iter().zip(standings);
        Ok(Report {
            host: Host::here(),
            image: case.id.clone(),
            rounds: self.runs,
            load_before,
            load_after: load_average(),
            ways: ways
                .iter()
                .map(|way| About {
                    name: way.name,
                    machine: way.machine.describe(),
                })
                .collect(),
            boots: boots
                .map(|((way, disk), standing)| Entry {
                    way: way.name,
                    format: disk.format.word(),
                    standing,
                })
                .collect(),
            notes,
        })
    }
}

/// The note by which a machine says that it has given up on snapshots: what it boots is no restore.
fn is_cold(notes: &[String]) -> Option<String> {
    notes
        .iter()
        .find(|note| note.contains("booted cold"))
        .cloned()
}

/// Makes the file systems, by the ordinary contained converters.
fn disks(
    case: &Case,
    home: &Home,
    work: &Path,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Disk>> {
    let layout = work.join("layout");
    image::write_layout(case, &layout)?;
    let helper = std::env::current_exe().context("failed to find the harness's own program")?;
    let runners = Runners::read(&home.root.join("runners"), &home.tools())?;
    let setting = Setting {
        helper: &helper,
        limits: Limits::default(),
        surroundings: Surroundings::default(),
        faults: Faults::default(),
        privileged: false,
    };
    let mut disks = Vec::new();
    for name in CHAINS {
        let chain = runners.chain(name)?;
        let cell = work.join(name);
        fs::create_dir(&cell)?;
        let converted = convert(&chain, &layout, image::TAG, &cell, &setting);
        match converted.map(|converted| converted.conversion) {
            Ok(Conversion::Produced(path, format)) => disks.push(Disk { format, path }),
            Ok(other) => notes.push(format!("{name} made no image to boot: {other:?}")),
            Err(error) => notes.push(format!("{name} made no image to boot: {error:#}")),
        }
    }
    anyhow::ensure!(
        !disks.is_empty(),
        "there is nothing to boot; run `cargo run -p ci -- setup`: {}",
        notes.join("; ")
    );
    Ok(disks)
}

/// Boots an image once, and holds the guest to its work.
fn time(
    way: &Way,
    disk: &Disk,
    case: &Case,
    transcript: &Path,
) -> anyhow::Result<Result<Sample, String>> {
    let mut commands = vec![format!("echo {WORD}").into_bytes()];
    commands.extend(case.run.iter().map(|run| run.command.clone().into_bytes()));
    let mut answers = vec![format!("{WORD}\n")];
    answers.extend(case.run.iter().map(|run| run.output.clone()));
    let begin = Instant::now();
    let boot = way.machine.boot(&Job {
        images: std::slice::from_ref(&disk.path),
        arrangement: Arrangement::Single,
        filesystem: disk.format.word(),
        profile: Profile::Ro,
        upper: None,
        walk: true,
        stacks: &[],
        commands: &commands,
        transcript,
        time_limit: TIME_LIMIT,
    });
    let seconds = begin.elapsed().as_secs_f64();
    Ok(match boot {
        Err(error) => Err(error.to_string()),
        Ok(boot) => judge(&boot, &answers).map(|()| Sample {
            seconds,
            ..Sample::default()
        }),
    })
}

/// Whether the guest did all that it was asked for.
fn judge(boot: &boot::Boot, answers: &[String]) -> Result<(), String> {
    if let Some(failure) = &boot.failure {
        return Err(format!("the boot failed: {failure:?}"));
    }
    if boot.mtree.is_none() || !boot.read_errors.is_empty() {
        return Err("the guest could not read all of the image".to_owned());
    }
    let answered = boot.commands.len() == answers.len()
        && boot.commands.iter().zip(answers).all(|(result, answer)| {
            matches!(result.outcome, Outcome::Exited(0)) && result.output == answer.as_bytes()
        });
    match answered {
        true => Ok(()),
        false => Err("the image's shell did not answer as it should".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{boot, is_cold, judge};
    use crate::boot::{CommandResult, Failure, Outcome};

    fn complete() -> boot::Boot {
        boot::Boot {
            mtree: Some(Vec::new()),
            commands: vec![CommandResult {
                outcome: Outcome::Exited(0),
                output: b"yes\n".to_vec(),
            }],
            ..boot::Boot::default()
        }
    }

    #[test]
    fn only_a_boot_that_did_everything_is_timed() {
        let judge = |boot: &boot::Boot| judge(boot, &["yes\n".to_owned()]);
        assert_eq!(judge(&complete()), Ok(()));
        let mut boot = complete();
        boot.mtree = None;
        assert!(judge(&boot).is_err());
        boot = complete();
        boot.commands[0].output.clear();
        assert!(judge(&boot).is_err());
        boot.commands.clear();
        assert!(judge(&boot).is_err());
        boot = complete();
        boot.failure = Some(Failure::Panic("no init".to_owned()));
        assert_eq!(
            judge(&boot),
            Err("the boot failed: Panic(\"no init\")".to_owned())
        );
    }

    #[test]
    fn a_snapshot_that_was_given_up_is_no_snapshot() {
        let benign = "kernel-12 was made again: its checksums do not match".to_owned();
        let given_up = "no snapshot, each image is booted cold: qemu ended".to_owned();
        assert_eq!(is_cold(std::slice::from_ref(&benign)), None);
        assert_eq!(is_cold(&[benign, given_up.clone()]), Some(given_up));
    }
}
