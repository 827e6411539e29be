//! Who runs against whom in `harness bench convert`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bstr::ByteSlice as _;
use serde::Serialize;

use super::blobs::{self, Blob, Compression};
use super::measure::{Run, tail};
use crate::command::bench::race::Sample;
use crate::runner::contain::Surroundings;
use crate::runner::{Chain, Format, Need, Runner};

/// The contender that all others are compared with.
pub(super) const REFERENCE: &str = "umoci";

/// The least that anybody must do.
pub(super) const FLOOR: &str = "floor";

/// A contender that nothing is known to stand against, or what does.
pub(super) struct Contender {
    pub(super) about: About,
    pub(super) output: Output,
    /// Whether it only writes to its output, whatever the image is.
    pub(super) is_trusted: bool,
    /// The exit status by which it says that it could not do some part of its work, where such a
    /// part may be forgiven.
    pub(super) forgiven: Option<i32>,
    /// Why it cannot run here.
    pub(super) missing: Option<String>,
    /// With `{out}` to be filled in.
    commands: Vec<Vec<OsString>>,
}

/// What a reader must know of a contender.
#[derive(Clone, Debug, Serialize)]
pub(super) struct About {
    pub(super) name: String,
    /// The command, or what it does.
    pub(super) what: String,
    /// The first line it printed when asked for its version; empty if it has none.
    pub(super) version: String,
}

/// What a contender makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Something that was not there before.
    New,
    /// It fills a directory that is there.
    InDirectory,
    Nothing,
}

/// What all contenders get.
pub(super) struct Course<'a> {
    /// This program.
    pub(super) harness: &'a Path,
    pub(super) layout: &'a Path,
    pub(super) reference: &'a str,
    pub(super) blobs: &'a [Blob],
    pub(super) is_root: bool,
}

impl Contender {
    /// Its commands for an output.
    pub(super) fn commands(&self, out: &Path) -> Vec<Vec<OsString>> {
        let fill = |word: &OsString| filled(word, "{out}", out.as_os_str());
        let commands = self.commands.iter();
        commands
            .map(|argv| argv.iter().map(fill).collect())
            .collect()
    }

    /// The sample of a run, unless that did not do the work.
    ///
    /// # Errors
    ///
    /// One phrase on what the contender did not do.
    pub(super) fn judge(&self, run: Run, out: &Path) -> Result<Sample, String> {
        let is_there = match (self.output, std::fs::symlink_metadata(out)) {
            (Output::Nothing, _) => true,
            (_, Ok(metadata)) if metadata.is_dir() => {
                std::fs::read_dir(out).is_ok_and(|mut names| names.next().is_some())
            }
            (_, Ok(metadata)) => metadata.len() > 0,
            (_, Err(_)) => false,
        };
        if !is_there {
            return Err("exit 0, but it made nothing".to_owned());
        }
        let remark = match run.is_forgiven {
            true => Some(excuse(&run.said).ok_or_else(|| {
                format!(
                    "exit status {}{}",
                    self.forgiven.unwrap_or(0),
                    tail(&run.said)
                )
            })?),
            false => None,
        };
        Ok(Sample {
            remark,
            ..run.sample
        })
    }
}

/// What tar's error output comes to, if all that tar could not do is to put something else in the
/// place of a directory: it refuses that by design, and goes on.
fn excuse(said: &str) -> Option<String> {
    let lines = said
        .lines()
        .filter(|line| !line.ends_with("Exiting with failure status due to previous errors"));
    let paths = lines
        .map(|line| line.ends_with(": File exists").then_some(1))
        .sum::<Option<usize>>()?;
    (paths > 0).then(|| format!("of the directories that a layer replaces, {paths} stay"))
}

/// A converter, as its folder in `runners/` describes it.
pub(super) fn converter(chain: &Chain, course: &Course<'_>) -> anyhow::Result<Contender> {
    let [runner] = chain.stages.as_slice() else {
        anyhow::bail!("`{}` packs an image; only extractors are timed", chain.name);
    };
    anyhow::ensure!(
        matches!(runner.output, Format::Dir | Format::Tar),
        "`{}` makes a filesystem image; only extractors are timed",
        chain.name
    );
    let is_own = runner.command[0] == "{harness}";
    let command = runner.command.iter().map(|word| {
        let word = filled(word.as_ref(), "{harness}", course.harness.as_os_str());
        let word = filled(&word, "{layout}", course.layout.as_os_str());
        filled(&word, "{tag}", course.reference.as_ref())
    });
    Ok(Contender {
        about: About {
            name: chain.name.clone(),
            what: runner.command.join(" "),
            version: version(runner, course.harness),
        },
        output: Output::New,
        is_trusted: is_own,
        forgiven: None,
        missing: missing(runner, is_own, course),
        commands: vec![command.collect()],
    })
}

/// Those that are there for comparison: GNU tar without whiteouts, and bare decompression twice.
pub(super) fn comparisons(course: &Course<'_>) -> Vec<Contender> {
    vec![tar(course), floor(course), gzip(course)]
}

fn tar(course: &Course<'_>) -> Contender {
    let flags = [
        "tar",
        "-xp",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
        "-C",
        "{out}",
        "-f",
    ];
    let version = first_line(OsStr::new("tar"), &["--version"]);
    Contender {
        about: About {
            name: "tar xpf".to_owned(),
            what: format!("{} BLOB, for each layer; no whiteouts", flags.join(" ")),
            version: version.clone(),
        },
        output: Output::InDirectory,
        is_trusted: false,
        forgiven: Some(2),
        missing: match (course.is_root, version.contains("GNU tar")) {
            (false, _) => Some("it needs root".to_owned()),
            (true, false) => Some("`tar` is not GNU tar (Debian package tar)".to_owned()),
            (true, true) => None,
        },
        commands: each_blob(course, &flags),
    }
}

fn floor(course: &Course<'_>) -> Contender {
    let mut command = vec![course.harness.into(), "bench".into(), blobs::HELPER.into()];
    command.extend(course.blobs.iter().map(|blob| blob.path.clone().into()));
    Contender {
        about: About {
            name: FLOOR.to_owned(),
            what: "decompression alone, by flate2 (zlib-rs) or zstd in one thread of one process"
                .to_owned(),
            version: String::new(),
        },
        output: Output::Nothing,
        is_trusted: true,
        forgiven: None,
        missing: None,
        commands: vec![command],
    }
}

fn gzip(course: &Course<'_>) -> Contender {
    let version = first_line(OsStr::new("gzip"), &["--version"]);
    let is_gzip = |blob: &Blob| blob.compression == Compression::Gzip;
    Contender {
        about: About {
            name: "gzip -dc".to_owned(),
            what: "gzip -dc BLOB > /dev/null, for each layer".to_owned(),
            version: version.clone(),
        },
        output: Output::Nothing,
        is_trusted: true,
        forgiven: None,
        missing: if version.is_empty() {
            Some("`gzip` is not installed (Debian package gzip)".to_owned())
        } else if !course.blobs.iter().all(is_gzip) {
            Some("not every layer is compressed with gzip".to_owned())
        } else {
            None
        },
        commands: each_blob(course, &["gzip", "-dc"]),
    }
}

fn each_blob(course: &Course<'_>, words: &[&str]) -> Vec<Vec<OsString>> {
    let command = |blob: &Blob| {
        let words = words.iter().map(OsString::from);
        words.chain([blob.path.clone().into()]).collect()
    };
    course.blobs.iter().map(command).collect()
}

fn missing(runner: &Runner, is_own: bool, course: &Course<'_>) -> Option<String> {
    if runner.needs.contains(&Need::Root) && !course.is_root {
        return Some("it needs root".to_owned());
    }
    let program = runner.program();
    let package = runner.package.as_deref().unwrap_or(program);
    (!is_own && !is_installed(program))
        .then(|| format!("`{program}` is not installed (Debian package {package})"))
}

/// Whether a program is where contenders are looked for.
fn is_installed(program: &str) -> bool {
    let path = Surroundings::default().path;
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn version(runner: &Runner, harness: &Path) -> String {
    let Some((program, arguments)) = runner.version.split_first() else {
        return String::new();
    };
    let program = filled(program.as_ref(), "{harness}", harness.as_os_str());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    first_line(&program, &arguments)
}

/// The first line of what a program prints; empty if there is no such program.
fn first_line(program: &OsStr, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", Surroundings::default().path)
        .stdin(Stdio::null())
        .output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.trim().to_str_lossy().into_owned()
}

fn filled(word: &OsStr, place: &str, with: &OsStr) -> OsString {
    OsString::from_vec(word.as_bytes().replace(place, with.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Contender, Course, Output, Run, Sample, comparisons, floor, tar};

    fn course() -> Course<'static> {
        Course {
            harness: Path::new("/harness"),
            layout: Path::new("/layout"),
            reference: "latest",
            blobs: &[],
            is_root: false,
        }
    }

    fn run(forgiven_with: Option<&str>) -> Run {
        Run {
            sample: Sample::default(),
            is_forgiven: forgiven_with.is_some(),
            said: forgiven_with.unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn without_root_nobody_unpacks_files_of_other_owners() {
        let missing = |contender: &Contender| contender.missing.clone();
        let missing: Vec<_> = comparisons(&course()).iter().map(missing).collect();
        assert_eq!(missing[0].as_deref(), Some("it needs root"));
        assert_eq!(missing[1], None);
    }

    #[test]
    fn exit_0_without_an_output_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let mut contender = floor(&course());
        assert!(contender.judge(run(None), &out).is_ok());
        contender.output = Output::New;
        let nothing = Err("exit 0, but it made nothing".to_owned());
        assert_eq!(contender.judge(run(None), &out), nothing);
        assert_eq!(contender.judge(run(None), folder.path()), nothing);
        std::fs::write(&out, "").unwrap();
        assert_eq!(contender.judge(run(None), &out), nothing);
        assert!(contender.judge(run(None), folder.path()).is_ok());
    }

    #[test]
    fn tar_is_forgiven_only_what_it_does_not_do_by_design() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let end = "tar: Exiting with failure status due to previous errors\n";
        let judge = |said: &str| {
            let said = format!("{said}{end}");
            tar(&course()).judge(run(Some(&said)), folder.path())
        };
        let sample = judge("tar: usr/share/man: Cannot open: File exists\n").unwrap();
        let remark = "of the directories that a layer replaces, 1 stay";
        assert_eq!(sample.remark.as_deref(), Some(remark));
        let full =
            "tar: a: Cannot open: File exists\ntar: b: Cannot write: No space left on device\n";
        let why = judge(full).unwrap_err();
        assert!(why.starts_with("exit status 2: "), "{why}");
        assert!(why.contains("No space left on device"), "{why}");
        assert!(judge("").is_err());
    }
}
