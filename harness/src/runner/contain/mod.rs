//! Runs one untrusted converter command under containment and sees what it did elsewhere.
//!
//! [`run`] starts a *helper* (this program again, as `harness __contain`), which makes the
//! namespaces, the overlay of the root directory and the limits, and starts the *first process* of
//! the container (this program once more), which starts the converter. So nothing here needs
//! `unsafe`: each step happens in a fresh process with one thread.
//!
//! ```text
//! run ── socket ── helper (outside)  ── socket ── first process (pid 1) ── the converter
//!        plan →    builds the root,    plan →     /proc, pivot, powers,    argv
//!        ← report  reads the streams,  ← ending   reaps, lists leftovers
//!                  keeps the limits,
//!                  lists the escapes
//! ```
//!
//! What the converter sees:
//!
//! | inside | what | writes there are |
//! | --- | --- | --- |
//! | `/` | overlay of the host's root directory (or of [`Command::lower`]) | an [`Escape`], thrown away |
//! | `/in/layout`, `/in/0` … | the inputs, read-only | refused |
//! | `/in/harness` | the helper's program, read-only | refused |
//! | `/out` | the parent of [`Command::out`], on the host's file system | the artifact, else an escape |
//! | `/out/victim`, `/victim` | files nobody may touch | an escape |
//! | `/tmp` (`$TMPDIR`) | private and empty | a [`Leftover`] if they stay |
//! | `/dev` `/proc` `/sys` `/run` | minimal, fresh, read-only, empty | an escape or refused |
//!
//! What this does not protect from: a hole in the kernel, what a converter with [`Powers::Mount`]
//! or [`Powers::Loop`] can do (it may mount the host's devices), and, without root or user namespaces, anything but
//! endless time and size; [`probe`] and [`Ran::protections_missing`] say which case this host is.

mod cgroup;
mod dev;
mod escape;
mod filter;
mod init;
mod limits;
mod log;
mod mounts;
mod network;
mod outer;
mod processes;
mod remove;
mod root;
mod run;
mod tree;
mod usage;
mod victim;
mod wire;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use log::Log;
pub use remove::remove_tree;
pub use run::{probe, run, run_in, run_with, try_way};

/// The first argument with which a program that calls [`main_inside`] is re-executed.
pub const SUBCOMMAND: &str = "__contain";

/// What the helper and the first process of a container run: `main` must hand over to this as soon
/// as its first argument is [`SUBCOMMAND`], with the arguments after it.
pub fn main_inside(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    match args.next() {
        None => outer::main(),
        Some(role) if role == init::ROLE => init::main(),
        Some(role) if role == run::PROBE => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(2),
    }
}

/// One converter command, and all it may see and use.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// The program and its arguments. Inside an argument `{layout}`, `{in0}`, `{in1}` …, `{out}` and
    /// `{harness}` become the paths these things have inside the container.
    pub argv: &'a [OsString],
    /// The input, a directory or a file, seen read-only.
    pub layout: Option<&'a Path>,
    /// More inputs, directories or files, seen read-only as `{in0}`, `{in1}` …. What lies under `/tmp`
    /// on the host, and is not named here, the converter cannot see.
    pub inputs: &'a [PathBuf],
    /// Where the artifact is to be made. Its parent must be an empty directory made by the caller,
    /// and is the only place on the host that the converter can write to.
    pub out: &'a Path,
    /// What the converter may use up.
    pub limits: Limits,
    /// What must not show in the artifact.
    pub surroundings: Surroundings,
    /// A directory to use as the root instead of the host's own, such as a debootstrap of another
    /// release.
    pub lower: Option<&'a Path>,
    /// The privileges the converter keeps.
    pub powers: Powers,
    /// The program to re-execute, whose `main` calls [`main_inside`]: `/proc/self/exe` where the
    /// caller is that program itself.
    pub helper: &'a Path,
}

/// What a converter may use up before it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time until everything is killed.
    pub time: Duration,
    /// Bytes in one file, holes included (`RLIMIT_FSIZE`).
    pub file_size: u64,
    /// Bytes on disk of the output with all beside it, holes not included; also the size of `$TMPDIR`.
    pub output_bytes: u64,
    /// Bytes of memory: of all processes together where the host has a memory cgroup, else of
    /// each process, and twice that of all together.
    pub memory: u64,
    /// Processes and threads at one time.
    pub processes: u64,
    /// Bytes kept of each stream, half from its beginning and half from its end.
    pub log_bytes: usize,
}

impl Default for Limits {
    /// A minute, 16 GiB in one file, 4 GiB of output, 2 GiB of memory, 512 processes, 64 KiB of log.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(60),
            file_size: 16 << 30,
            output_bytes: 4 << 30,
            memory: 2 << 30,
            processes: 512,
            log_bytes: 64 << 10,
        }
    }
}

/// What surrounds a converter and must not show in its artifact. The default is what every
/// first run gets; a stability run changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The file mode creation mask.
    pub umask: u32,
    /// The directory to start in, as seen inside. Without containment the directory of the output is
    /// used instead.
    pub cwd: PathBuf,
    /// `TZ`.
    pub time_zone: OsString,
    /// `LC_ALL` and `LANG`.
    pub locale: OsString,
    /// The host name, where there is containment.
    pub hostname: OsString,
    /// `PATH`.
    pub path: OsString,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            umask: 0o022,
            cwd: PathBuf::from("/"),
            time_zone: OsStr::new("UTC").to_owned(),
            locale: OsStr::new("C").to_owned(),
            hostname: OsStr::new("harness").to_owned(),
            path: OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
                .to_owned(),
        }
    }
}

/// The privileges a converter keeps when it runs as root of its container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Powers {
    /// What unpacking needs: owners, modes, special files, `security.capability`, chroot.
    #[default]
    Unpack,
    /// Also `CAP_SYS_ADMIN`, but for nothing else than `trusted.*` attributes: every other call that this
    /// capability opens is refused by a filter.
    Trusted,
    /// Also `CAP_SYS_ADMIN`, for converters that mount. With it a hostile converter can undo the
    /// containment: only for tools that are trusted not to want to.
    Mount,
    /// Also the host's loop devices, which all converters share: only one with this runs at a time, and
    /// no other that mounts beside it.
    Loop,
}

impl Powers {
    /// Whether they are enough to mount.
    pub(super) fn can_mount(self) -> bool {
        matches!(self, Powers::Mount | Powers::Loop)
    }
}

/// What goes wrong on purpose while a converter runs, to see whether it fails cleanly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Sends the converter a signal in the middle of its work.
    pub stop: Option<Stop>,
    /// The output lies on a file system of only this many bytes. What is on it when the converter has
    /// ended is copied to the place of the output. It needs containment, and there is no victim
    /// beside the output then.
    pub disk_bytes: Option<u64>,
}

/// A signal sent to the converter's main process at a certain point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The number of the signal, such as 15 for `SIGTERM`.
    pub signal: i32,
    /// The signal is sent as soon as the output is seen to take this many bytes on disk. A converter
    /// that is faster than the eye ends by itself; [`Ran::stopped`] tells.
    pub written: u64,
}

/// How a command was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Namespaces made by root; owners and devices are real.
    Root,
    /// Namespaces made in a user namespace; the caller's own user is all there is.
    User,
    /// Limits only.
    Plain,
}

/// What a converter did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to standard output.
    pub stdout: Log,
    /// What it wrote to standard error.
    pub stderr: Log,
    /// What it changed or reached outside its output, bytewise sorted by path.
    pub escapes: Vec<Escape>,
    /// How many escapes are not in `escapes`, which is capped.
    pub escapes_omitted: u64,
    /// What it left behind.
    pub leftovers: Vec<Leftover>,
    /// Whether [`Faults::stop`] was carried out.
    pub stopped: bool,
    /// The protections that this run did without, by name.
    pub protections_missing: Vec<&'static str>,
    /// The most memory that the largest of its processes used at one time, in bytes, if it was not killed;
    /// never less than what starting a process takes.
    pub peak_memory: Option<u64>,
    /// How it was held.
    pub way: Way,
}

/// How a converter ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
    /// It was killed at [`Limits::time`].
    TimedOut,
    /// It was killed because it used too much: `file size`, `output`, `memory` or `processes`.
    OverLimit(&'static str),
}

/// Something outside the output that the converter changed or reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Escape {
    /// The path inside the container, which for the root directory is that on the host; for a
    /// network connection `tcp/192.0.2.1:80`.
    #[serde(with = "wire::path")]
    pub path: PathBuf,
    /// What happened to it.
    pub kind: EscapeKind,
}

/// What an escape did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EscapeKind {
    /// Nothing was there before.
    Created,
    /// The content changed.
    Modified,
    /// It is gone.
    Removed,
    /// Something else has taken its place: another type, or a new directory.
    Replaced,
    /// A hard link to it was made.
    LinkedTo,
    /// Mode, owner, time or extended attributes changed, the content did not.
    AttributesChanged,
    /// It was opened for writing or given the attributes it had already.
    Touched,
    /// A packet was sent there.
    Network,
}

/// Something the converter did not clean up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Leftover {
    /// A file or directory in `$TMPDIR`, `/dev/shm`, or beside the output by a temporary's name.
    TemporaryFile(#[serde(with = "wire::path")] PathBuf),
    /// Something is still mounted here.
    Mount(#[serde(with = "wire::path")] PathBuf),
    /// A loop device is still attached: its name, and the file behind it.
    LoopDevice(String, #[serde(with = "wire::path")] PathBuf),
    /// A device-mapper device of this name.
    DeviceMapper(String),
    /// A process of this name still ran when the converter had ended.
    Process(String),
}

/// Trouble of the harness or the host, never a verdict on the converter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation on a path failed.
    #[error("cannot {operation} `{}`: {cause}", path.display())]
    Host {
        /// What was tried, as a verb.
        operation: String,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        cause: String,
    },
    /// The converter's program cannot be started.
    #[error("cannot start `{}`: {cause}; install it, or name its full path", program.display())]
    Program {
        /// The program, as the command names it.
        program: PathBuf,
        /// Why it cannot be started.
        cause: String,
    },
    /// The helper broke down.
    #[error("the containment helper `{}` failed: {cause}; `harness doctor` shows what this host allows", helper.display())]
    Helper {
        /// The program that was re-executed.
        helper: PathBuf,
        /// What it said last.
        cause: String,
    },
}

/// What this host can do to hold a converter.
#[derive(Clone, Debug)]
pub struct Protections {
    /// The best way that works here.
    pub way: Way,
    /// The protections missing in that way, by name.
    pub missing: Vec<&'static str>,
    /// Why better ways do not work, one sentence each.
    pub reasons: Vec<String>,
}

impl Protections {
    /// Whether writes outside the output can neither hurt the host nor go unseen.
    #[must_use]
    pub fn contained(&self) -> bool {
        self.way != Way::Plain && !self.missing.contains(&wire::Protection::Overlay.name())
    }
}
