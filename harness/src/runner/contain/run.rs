//! The side of the harness: asks a helper to hold a command, and looks after what lies on the host.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::sync::OnceLock;

use super::escape::Found;
use super::wire::{self, Input, Plan, Report, Start, Trouble};
use super::{
    Command, Ending, Error, Faults, Limits, Powers, Protections, Ran, SUBCOMMAND, Surroundings, Way,
};
use super::{cgroup, dev, remove_tree, victim};

/// The argument that asks for nothing, to see whether a container works at all.
pub(super) const PROBE: &str = "probe";

/// Runs one command under the best containment that this host allows, and leaves nothing behind but
/// what the command made in the directory of its output.
///
/// # Errors
///
/// Only the harness's and the host's own trouble. Whatever the command does is in [`Ran`].
pub fn run(command: &Command<'_>) -> Result<Ran, Error> {
    run_in(probe(command.helper).way, command)
}

/// Finds out what this host can do: the best way in which [`try_way`] succeeds. The answer is kept
/// for the life of the process.
pub fn probe(helper: &Path) -> &'static Protections {
    static KNOWN: OnceLock<Protections> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut reasons = Vec::new();
        for (way, name) in [(Way::Root, "as root"), (Way::User, "in a user namespace")] {
            match try_way(way, helper) {
                Ok(missing) => {
                    return Protections {
                        way,
                        missing,
                        reasons,
                    };
                }
                Err(error) => reasons.push(format!("{name}: {error}")),
            }
        }
        // Trouble that even this has will be reported by the first run.
        let missing = try_way(Way::Plain, helper).unwrap_or_default();
        Protections {
            way: Way::Plain,
            missing,
            reasons,
        }
    })
}

/// Runs an empty command in one way, and returns the protections it did without.
///
/// # Errors
///
/// Why this host does not allow this way.
pub fn try_way(way: Way, helper: &Path) -> Result<Vec<&'static str>, Error> {
    let dir = tempfile::tempdir().map_err(|error| host("make", "a temporary directory", &error))?;
    let argv = ["{harness}", SUBCOMMAND, PROBE].map(OsString::from);
    let command = Command {
        argv: &argv,
        layout: None,
        inputs: &[],
        out: &dir.path().join("out"),
        limits: Limits::default(),
        surroundings: Surroundings::default(),
        lower: None,
        powers: Powers::Unpack,
        helper,
    };
    let ran = run_in(way, &command)?;
    match ran.ending {
        Ending::Exited(0) => Ok(ran.protections_missing),
        ending => Err(Error::Helper {
            helper: helper.to_owned(),
            cause: format!("{ending:?} {}", ran.stderr.text().trim()),
        }),
    }
}

/// Runs one command in one way, which the caller knows to work.
///
/// # Errors
///
/// As for [`run`], and the host's refusal of this way.
pub fn run_in(way: Way, command: &Command<'_>) -> Result<Ran, Error> {
    run_with(way, command, Faults::default())
}

/// Runs one command in one way while something goes wrong.
///
/// # Errors
///
/// As for [`run_in`], and [`Faults::disk_bytes`] without containment.
pub fn run_with(way: Way, command: &Command<'_>, faults: Faults) -> Result<Ran, Error> {
    if way == Way::Plain && faults.disk_bytes.is_some() {
        let cause = io::Error::other("it needs containment");
        return Err(host("make a small disk at", command.out, &cause));
    }
    let place = Place::prepare(way, command)?;
    let watch = command
        .powers
        .can_mount()
        .then(|| dev::Watch::begin(command.powers));
    let held = cgroup::create(&command.limits);
    let plan = Plan {
        faults,
        ..plan(way, command, &place, held.0.clone())?
    };
    let answer = ask(command.helper, &plan);
    drop(held);
    let devices = watch.map(dev::Watch::finish).unwrap_or_default();
    let report = answer?.map_err(|trouble| error(command, trouble))?;
    let mut found = Found::default();
    place.look(&mut found)?;
    found.leftovers.extend(devices);
    Ok(ran(way, report, found))
}

/// Puts together what helper and harness saw.
fn ran(way: Way, report: Report, mut found: Found) -> Ran {
    found.escapes.extend(report.escapes);
    found.leftovers.extend(report.leftovers);
    found.escapes.sort();
    found.leftovers.sort();
    let mut missing = report.missing;
    missing.sort();
    missing.dedup();
    Ran {
        ending: match report.ending {
            wire::Ending::Exited(status) => Ending::Exited(status),
            wire::Ending::Signaled(signal) => Ending::Signaled(signal),
            wire::Ending::TimedOut => Ending::TimedOut,
            wire::Ending::FileSize => Ending::OverLimit("file size"),
            wire::Ending::Output => Ending::OverLimit("output"),
            wire::Ending::Memory => Ending::OverLimit("memory"),
            wire::Ending::Processes => Ending::OverLimit("processes"),
        },
        stdout: report.stdout,
        stderr: report.stderr,
        escapes: found.escapes,
        escapes_omitted: report.escapes_omitted + found.omitted,
        leftovers: found.leftovers,
        stopped: report.stopped,
        protections_missing: missing.into_iter().map(wire::Protection::name).collect(),
        peak_memory: report.peak_memory,
        way,
    }
}

/// The directory of the output while a converter runs: with a victim beside the output, and outside of
/// a container also a directory for temporary files.
struct Place {
    parent: PathBuf,
    handle: OwnedFd,
    out: OsString,
    /// How the converter sees the directory.
    inside: PathBuf,
    before: victim::Snapshot,
    temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn prepare(way: Way, command: &Command<'_>) -> Result<Self, Error> {
        let out = command.out;
        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(host(
                "make an output at",
                out,
                &io::Error::other("it has no parent"),
            ));
        };
        let parent = parent
            .canonicalize()
            .map_err(|error| host("find", parent, &error))?;
        let mut entries = fs::read_dir(&parent).map_err(|error| host("read", &parent, &error))?;
        if entries.next().is_some() {
            let cause = io::Error::other("it is not empty; make a new directory for each run");
            return Err(host("make an output in", parent, &cause));
        }
        let handle = fs::File::open(&parent)
            .map_err(|error| host("open", &parent, &error))?
            .into();
        let mut place = Self {
            inside: if way == Way::Plain {
                parent.clone()
            } else {
                PathBuf::from("/out")
            },
            out: name.to_owned(),
            before: victim::Snapshot::default(),
            temporary: None,
            parent,
            handle,
        };
        let victim = place.parent.join(victim::NAME);
        victim::plant(&victim).map_err(|error| host("plant", &victim, &error))?;
        place.before = place.snapshot()?;
        if way == Way::Plain {
            let made = tempfile::tempdir();
            place.temporary =
                Some(made.map_err(|error| host("make", "a temporary directory", &error))?);
        }
        Ok(place)
    }

    fn snapshot(&self) -> Result<victim::Snapshot, Error> {
        victim::snapshot(self.handle.as_fd())
            .map_err(|error| host("read", self.parent.join(victim::NAME), &error.into()))
    }

    /// Finds what happened beside the output.
    fn look(&self, found: &mut Found) -> Result<(), Error> {
        victim::compare(&self.before, &self.snapshot()?, &self.inside, found);
        victim::siblings(self.handle.as_fd(), &self.out, &self.inside, found)
            .map_err(|error| host("read", &self.parent, &error.into()))?;
        if let Some(dir) = &self.temporary {
            let handle = fs::File::open(dir).map_err(|error| host("open", dir.path(), &error))?;
            found.temporaries(Path::new("$TMPDIR"), handle.as_fd());
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays in a directory that is the caller's to remove.
        let _ = remove_tree(&self.parent.join(victim::NAME));
    }
}

fn plan(
    way: Way,
    command: &Command<'_>,
    place: &Place,
    cgroups: cgroup::Cgroups,
) -> Result<Plan, Error> {
    let full = |path: &Path| {
        path.canonicalize()
            .map_err(|error| host("find", path, &error))
    };
    let mut inputs = vec![("harness".to_owned(), full(command.helper)?)];
    if let Some(layout) = command.layout {
        inputs.push(("layout".to_owned(), full(layout)?));
    }
    for (number, path) in command.inputs.iter().enumerate() {
        inputs.push((number.to_string(), full(path)?));
    }
    let mut names = vec![("{out}".to_owned(), place.inside.join(&place.out))];
    for (name, host) in &inputs {
        let inside = if way == Way::Plain {
            host.clone()
        } else {
            Path::new("/in").join(name)
        };
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        names.push((
            if is_number {
                format!("{{in{name}}}")
            } else {
                format!("{{{name}}}")
            },
            inside,
        ));
    }
    Ok(Plan {
        way,
        argv: command
            .argv
            .iter()
            .map(|arg| substitute(arg.as_bytes(), &names))
            .collect(),
        inputs: inputs
            .into_iter()
            .map(|(name, host)| Input { name, host })
            .collect(),
        out_parent: place.parent.clone(),
        lower: command.lower.map(full).transpose()?,
        limits: command.limits,
        powers: command.powers,
        faults: Faults::default(),
        start: start(way, &command.surroundings, place),
        cgroups,
    })
}

fn start(way: Way, surroundings: &Surroundings, place: &Place) -> Start {
    let temporary = place
        .temporary
        .as_ref()
        .map_or(Path::new("/tmp"), |dir| dir.path());
    let variables: [(&str, &OsStr); 6] = [
        ("PATH", &surroundings.path),
        ("LC_ALL", &surroundings.locale),
        ("LANG", &surroundings.locale),
        ("TZ", &surroundings.time_zone),
        ("SOURCE_DATE_EPOCH", OsStr::new("0")),
        ("TMPDIR", temporary.as_os_str()),
    ];
    let assign = |(name, value): (&str, &OsStr)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    Start {
        umask: surroundings.umask,
        cwd: if way == Way::Plain {
            place.parent.clone()
        } else {
            surroundings.cwd.clone()
        },
        hostname: surroundings.hostname.clone().into_vec(),
        environment: variables.map(assign).to_vec(),
    }
}

/// Replaces placeholders in one pass, so that a path that looks like one stays a path.
fn substitute(arg: &[u8], names: &[(String, PathBuf)]) -> Vec<u8> {
    let mut done = Vec::new();
    let mut rest = arg;
    while let Some(&first) = rest.first() {
        match names
            .iter()
            .find(|(name, _)| rest.starts_with(name.as_bytes()))
        {
            Some((name, path)) => {
                done.extend(path.as_os_str().as_bytes());
                rest = &rest[name.len()..];
            }
            None => {
                done.push(first);
                rest = &rest[1..];
            }
        }
    }
    done
}

/// Has a helper carry out a plan.
fn ask(helper: &Path, plan: &Plan) -> Result<Result<Report, Trouble>, Error> {
    let broken = |cause: String| Error::Helper {
        helper: helper.to_owned(),
        cause,
    };
    let (ours, theirs) = UnixStream::pair().map_err(|error| broken(error.to_string()))?;
    let child = process::Command::new(helper)
        .arg(SUBCOMMAND)
        // What the harness's environment holds, the converter might read from the first process.
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C reaches the harness only; the helper sees it die, and cleans up.
        .process_group(0)
        .spawn()
        .map_err(|error| broken(error.to_string()))?;
    let mut helper = Helper(child);
    let answer = wire::send(&ours, plan).and_then(|()| wire::receive(&ours));
    let copied = match &answer {
        Ok(Ok(Report {
            disk: Some(disk), ..
        })) => copy_disk(helper.0.id(), *disk, &plan.out_parent),
        _ => Ok(()),
    };
    drop(ours);
    copied?;
    answer.map_err(|error| broken(format!("{error} {}", helper.last_words()).trim().to_owned()))
}

/// Copies what is on the small disk, which is mounted nowhere but with the helper, to the place of the
/// output as it is: with cp(1), which is up to hostile trees.
fn copy_disk(helper: u32, disk: i32, to: &Path) -> Result<(), Error> {
    let output = process::Command::new("cp")
        .args(["--archive", "--no-target-directory", "--"])
        .arg(format!("/proc/{helper}/fd/{disk}/."))
        .arg(to)
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| host("run", "cp", &error))?;
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(host("copy the small disk to", to, &io::Error::other(cause)));
    }
    Ok(())
}

/// A helper, waited for on every path; it ends when its socket closes.
struct Helper(Child);

impl Helper {
    fn last_words(&mut self) -> String {
        let mut words = Vec::new();
        if let Some(stderr) = self.0.stderr.take() {
            let _ = stderr.take(4096).read_to_end(&mut words);
        }
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

fn error(command: &Command<'_>, trouble: Trouble) -> Error {
    if trouble.program {
        let program = command.argv.first().map(PathBuf::from).unwrap_or_default();
        return Error::Program {
            program,
            cause: trouble.cause,
        };
    }
    Error::Host {
        operation: trouble.operation,
        path: trouble.path,
        cause: trouble.cause,
    }
}

fn host(operation: &str, path: impl Into<PathBuf>, cause: &io::Error) -> Error {
    Error::Host {
        operation: operation.to_owned(),
        path: path.into(),
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::substitute;

    #[test]
    fn placeholders_become_paths_once() {
        let names = [
            ("{out}".to_owned(), "/out/{layout}".into()),
            ("{layout}".to_owned(), "/in/layout".into()),
        ];
        let check = |arg: &str, want: &str| {
            assert_eq!(substitute(arg.as_bytes(), &names), want.as_bytes(), "{arg}");
        };
        check("{out}", "/out/{layout}");
        check("oci:{layout}:tag", "oci:/in/layout:tag");
        check("{lay{out}", "{lay/out/{layout}");
        check("{other} {", "{other} {");
    }
}
