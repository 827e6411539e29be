//! One conversion: the stages of a chain, one after the other, each contained.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::contain::{self, Ending, Escape, Faults, Leftover, Limits, Powers, Surroundings};
use super::{Chain, Format, Need, Runner};

/// What is the same for all conversions of a run.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// The program to re-execute as a container's first process, and what `{harness}` stands for.
    pub helper: &'a Path,
    /// What a converter may use up.
    pub limits: Limits,
    /// What must not show in the artifact.
    pub surroundings: Surroundings,
    /// Whether every stage may set `trusted.*` attributes, which takes `CAP_SYS_ADMIN`.
    pub privileged: bool,
    /// What goes wrong on purpose while the last stage runs.
    pub faults: Faults,
}

/// How a conversion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversion {
    /// Exit 0, and there is an artifact.
    Produced(PathBuf, Format),
    /// Exit 0 without an artifact.
    Nothing,
    /// A non-zero exit: its status, and the last line of standard error.
    Rejected(i32, String),
    /// Death by this signal.
    Crashed(i32),
    /// Killed at the time limit.
    TimedOut,
    /// Killed for using too much of this.
    OverLimit(&'static str),
}

/// A conversion and what was seen on the way.
#[derive(Debug, Clone)]
pub struct Converted {
    /// How it ended.
    pub conversion: Conversion,
    /// The stage that ended it.
    pub stage: String,
    /// What was changed outside the output, with the stage that ran.
    pub escapes: Vec<(String, Escape)>,
    /// What was left behind, with the stage that ran.
    pub leftovers: Vec<(String, Leftover)>,
    /// What a failed stage left at the place of its output.
    pub partial_output: Option<PathBuf>,
    /// The protections this host could not give.
    pub protections_missing: Vec<&'static str>,
    /// Whether the last stage was stopped by [`Setting::faults`].
    pub stopped: bool,
    /// What each stage that ran was given, and how it ended.
    pub stages: Vec<(PathBuf, Conversion)>,
    /// Both streams of every stage, as a file's text.
    pub log: String,
}

impl Converted {
    /// Nothing yet.
    pub(super) fn new() -> Converted {
        Converted {
            conversion: Conversion::Nothing,
            stage: String::new(),
            escapes: Vec::new(),
            leftovers: Vec::new(),
            partial_output: None,
            protections_missing: Vec::new(),
            stopped: false,
            stages: Vec::new(),
            log: String::new(),
        }
    }

    /// Notes a protection that this host could not give.
    pub(super) fn miss(&mut self, protection: &'static str) {
        if !self.protections_missing.contains(&protection) {
            self.protections_missing.push(protection);
        }
    }
}

/// Runs a chain on an image layout. `work` is an empty directory for the stages' outputs.
///
/// # Errors
///
/// Trouble of the harness or the host, never of the converter.
pub fn convert(
    chain: &Chain,
    layout: &Path,
    tag: &str,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<Converted> {
    let mut converted = Converted::new();
    let mut input = layout.to_owned();
    for (index, stage) in chain.stages.iter().enumerate() {
        let is_last = index + 1 == chain.stages.len();
        let setting = Setting {
            faults: if is_last {
                setting.faults
            } else {
                Faults::default()
            },
            ..setting.clone()
        };
        let cell = work.join(format!("{index}-{}", stage.name));
        fs::create_dir(&cell)?;
        run_stage(stage, &input, tag, &cell, &setting, &mut converted)?;
        match &converted.conversion {
            Conversion::Produced(artifact, _) => input.clone_from(artifact),
            _ => break,
        }
    }
    Ok(converted)
}

/// Runs one stage of a chain by itself. `work` is an empty directory for its output.
///
/// # Errors
///
/// As [`convert`].
pub fn convert_stage(
    stage: &Runner,
    input: &Path,
    tag: &str,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<Converted> {
    let mut converted = Converted::new();
    run_stage(stage, input, tag, work, setting, &mut converted)?;
    Ok(converted)
}

/// What a runner's program prints when it is asked for its version, in the root directory it has.
///
/// # Errors
///
/// As [`convert`]; no output of the program is one.
pub fn ask_version(
    runner: &Runner,
    helper: &Path,
    surroundings: &Surroundings,
) -> anyhow::Result<String> {
    let place = tempfile::tempdir()?;
    let words = runner.version.iter().map(|word| fill_in(word));
    let argv: Vec<OsString> = words.map(OsString::from).collect();
    let ran = contain::run(&contain::Command {
        argv: &argv,
        layout: None,
        inputs: &inputs(runner, &runner.folder),
        out: &place.path().join("out"),
        limits: Limits::default(),
        surroundings: surroundings.clone(),
        lower: runner.root.path(),
        powers: Powers::Unpack,
        helper,
    })?;
    Ok(format!("{}{}", ran.stdout.text(), ran.stderr.text()))
}

fn run_stage(
    stage: &Runner,
    input: &Path,
    tag: &str,
    cell: &Path,
    setting: &Setting<'_>,
    converted: &mut Converted,
) -> anyhow::Result<()> {
    let out = cell.join(format!("rootfs{}", ending(stage.output)));
    let inputs = inputs(stage, input);
    let argv = argv(stage, input, tag);
    let command = contain::Command {
        argv: &argv,
        layout: Some(input),
        inputs: &inputs,
        out: &out,
        limits: limits(stage, setting.limits),
        surroundings: setting.surroundings.clone(),
        lower: stage.root.path(),
        powers: powers(stage, setting.privileged),
        helper: setting.helper,
    };
    let way = contain::probe(setting.helper).way;
    let ran = contain::run_with(way, &command, setting.faults)?;
    converted.stage.clone_from(&stage.name);
    let escapes = ran.escapes.into_iter();
    let escapes = escapes.filter(|escape| is_escape(stage, escape));
    converted
        .escapes
        .extend(escapes.map(|escape| (stage.name.clone(), escape)));
    let leftovers = ran.leftovers.into_iter();
    converted
        .leftovers
        .extend(leftovers.map(|leftover| (stage.name.clone(), leftover)));
    for missing in ran.protections_missing {
        converted.miss(missing);
    }
    let (stdout, stderr) = (ran.stdout.text(), ran.stderr.text());
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    converted.log.push_str(&format!(
        "$ {}\n{stdout}{stderr}[{:?}]\n",
        words.join(" "),
        ran.ending
    ));
    converted.conversion = match ran.ending {
        Ending::Exited(0) if fs::symlink_metadata(&out).is_ok() => {
            Conversion::Produced(out.clone(), stage.output)
        }
        Ending::Exited(0) => Conversion::Nothing,
        Ending::Exited(status) => Conversion::Rejected(status, last_line(&stderr)),
        Ending::Signaled(signal) => Conversion::Crashed(signal),
        Ending::TimedOut => Conversion::TimedOut,
        Ending::OverLimit(what) => Conversion::OverLimit(what),
    };
    converted.stopped = ran.stopped;
    let input = input.to_owned();
    converted.stages.push((input, converted.conversion.clone()));
    if !matches!(converted.conversion, Conversion::Produced(..)) {
        converted.partial_output = fs::symlink_metadata(&out).is_ok().then_some(out);
    }
    Ok(())
}

/// What a stage may use up.
pub(super) fn limits(stage: &Runner, limits: Limits) -> Limits {
    /// More than any tool pretends to need; the disk is held by [`Limits::output_bytes`].
    const SPARSE: u64 = 8 << 40;
    match stage.sparse {
        true => Limits {
            file_size: SPARSE,
            ..limits
        },
        false => limits,
    }
}

/// The privileges a stage gets.
pub(super) fn powers(stage: &Runner, privileged: bool) -> Powers {
    match privileged {
        _ if stage.needs.contains(&Need::Loop) => Powers::Loop,
        _ if stage.needs.contains(&Need::Mount) => Powers::Mount,
        true => Powers::Trusted,
        // An opaque directory of a layer is one by such an attribute.
        false if stage.output == Format::LayerDirs => Powers::Trusted,
        false => Powers::Unpack,
    }
}

/// Whether an escape is one: what a daemon does in a directory that is its own by design is not.
pub(super) fn is_escape(stage: &Runner, escape: &Escape) -> bool {
    !stage.state.iter().any(|own| escape.path.starts_with(own))
}

/// What a stage sees, after its input: the folder a command was typed in, else the runner's own and what
/// was built for it.
pub(super) fn inputs(stage: &Runner, input: &Path) -> Vec<PathBuf> {
    let mut inputs = vec![input.to_owned()];
    match &stage.typed {
        Some(typed) => inputs.extend(typed.hidden_folder.clone()),
        None => {
            inputs.push(stage.folder.clone());
            inputs.extend(stage.built.clone());
        }
    }
    inputs
}

/// The command with what only the harness knows filled in; the containment fills in the paths.
pub(super) fn argv(stage: &Runner, input: &Path, tag: &str) -> Vec<OsString> {
    let sized = stage
        .command
        .iter()
        .any(|w| w.contains("{mebibytes}") || w.contains("{inodes}"));
    let room = if sized {
        room_for(input)
    } else {
        Room::default()
    };
    stage
        .command
        .iter()
        .map(|word| {
            fill_in(word)
                .replace("{tag}", tag)
                .replace("{mebibytes}", &room.mebibytes.to_string())
                .replace("{inodes}", &room.inodes.to_string())
                .into()
        })
        .collect()
}

/// Names the inputs by the numbers they have among [`inputs`].
pub(super) fn fill_in(word: &str) -> String {
    word.replace("{in}", "{in0}")
        .replace("{runner}", "{in1}")
        .replace("{built}", "{in2}")
}

/// How large a filesystem must be to hold a directory.
#[derive(Default)]
struct Room {
    mebibytes: u64,
    inodes: u64,
}

/// Sized by files *and* inodes: many small files need more of the second than of the first.
fn room_for(input: &Path) -> Room {
    use std::os::unix::fs::MetadataExt as _;
    let (mut blocks, mut inodes) = (0, 0);
    for entry in walkdir::WalkDir::new(input) {
        // What cannot be read here the packer will stumble over itself; it still takes room.
        let size = entry
            .ok()
            .and_then(|entry| entry.metadata().ok())
            .map_or(0, |m| m.size());
        inodes += 1;
        blocks += size.div_ceil(4096) + 1;
    }
    Room {
        mebibytes: blocks * 4096 * 5 / 4 / (1 << 20) + 16 + inodes / 2048,
        inodes: inodes + 256,
    }
}

pub(super) fn ending(format: Format) -> &'static str {
    match format {
        Format::Dir | Format::ErofsLayers | Format::LayerDirs => "",
        Format::Tar => ".tar",
        Format::Cpio => ".cpio",
        Format::Ext4 => ".ext4",
        Format::Erofs => ".erofs",
        Format::Squashfs => ".squashfs",
    }
}

/// The line of an error output that says most: the last that is not blank.
pub(super) fn last_line(text: &str) -> String {
    let line = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    line.trim().chars().take(300).collect()
}
