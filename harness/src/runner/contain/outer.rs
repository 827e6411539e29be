//! The helper: makes the namespaces, keeps the limits while the container lives, and looks at what is
//! left of it when it is dead.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::escape::Found;
use super::init;
use super::limits;
use super::log::Recorder;
use super::network::Witness;
use super::root::{self, Built};
use super::usage::Meter;
use super::wire::{
    self, Context, Ending, InitPlan, InitReport, Interrupt, Plan, Protection, Report, Trouble,
};
use super::{EscapeKind, SUBCOMMAND, Way, processes};

/// How often limits without a signal of their own are looked at.
const TICK: Duration = Duration::from_millis(20);
/// The same while the right moment for a signal is waited for.
const SHORT_TICK: Duration = Duration::from_millis(1);

/// The whole life of the helper. Its standard input is the socket to [`super::run`].
pub(super) fn main() -> ExitCode {
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::from(2);
    };
    let socket = UnixStream::from(socket);
    let Ok(mut plan) = wire::receive::<Plan>(&socket) else {
        return ExitCode::from(2);
    };
    let held = hold(&mut plan, &socket);
    // The first process is dead here, so its groups are empty; whoever asked may be dead too.
    plan.cgroups.remove();
    let Some((answer, disk)) = held else {
        return ExitCode::from(2);
    };
    let sent = wire::send(&socket, &answer);
    if disk.is_some() {
        // It is there only as long as this process is; the harness closes the socket when it has
        // copied what it wants.
        let _ = (&socket).read(&mut [0]);
    }
    if sent.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    }
}

/// What there is to answer, and the small disk to keep until it is read.
type Held = (Result<Report, Trouble>, Option<OwnedFd>);

/// Runs the container; `None` when nobody waits for the answer any more.
fn hold(plan: &mut Plan, socket: &UnixStream) -> Option<Held> {
    let mut container = match Container::start(plan) {
        Ok(container) => container,
        Err(trouble) => return Some((Err(trouble), None)),
    };
    let stop = container.watch(plan, socket);
    container.kill();
    let answer = match stop {
        Ok(Stop::Abandoned) => return None,
        Ok(stop) => container.report(plan, stop),
        Err(trouble) => Err(trouble),
    };
    Some((answer, container.built.and_then(|built| built.disk)))
}

/// Why the watch over a container ended.
enum Stop {
    /// The first process has answered.
    Answered(Box<Result<InitReport, Trouble>>),
    /// The first process has died without an answer.
    Died,
    /// A limit was reached.
    Limit(Ending),
    /// The other end of the socket is gone: the harness was killed.
    Abandoned,
}

/// A running container and all the handles on it.
struct Container {
    built: Option<Built>,
    missing: Vec<Protection>,
    witness: Option<Witness>,
    first: Child,
    to_first: UnixStream,
    streams: [Stream; 2],
    meter: Meter,
    /// A signal that is still to be sent, and whether it was.
    stop: Option<super::Stop>,
    stopped: bool,
    deadline: Instant,
    /// See [`limits::processes_max`].
    processes_max: Option<u64>,
}

/// One stream of the converter.
struct Stream {
    pipe: Option<io::PipeReader>,
    recorder: Recorder,
}

impl Container {
    fn start(plan: &mut Plan) -> Result<Self, Trouble> {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let out = rustix::fs::open(&plan.out_parent, flags, Mode::empty())
            .context("open", &plan.out_parent)?;
        // Asked for before the user namespace makes everybody look like root.
        let processes_max = limits::processes_max(plan.way, plan.limits.processes);
        let mut missing = Vec::new();
        let (mut built, mut witness) = (None, None);
        if plan.way == Way::Plain {
            nix::sys::prctl::set_child_subreaper(true).context("become", "a subreaper")?;
            missing.extend([
                Protection::Namespaces,
                Protection::Network,
                Protection::Overlay,
            ]);
        } else {
            separate(plan.way)?;
            witness = Witness::begin().ok();
            built = Some(root::build(plan)?);
        }
        if plan.way != Way::Plain && witness.is_none() {
            missing.push(Protection::NetworkWitness);
        }
        let (first, to_first, streams) = spawn(plan.limits.log_bytes)?;
        plan.cgroups.join(first.id());
        if plan.cgroups.memory.is_none() {
            missing.push(Protection::MemoryCgroup);
        }
        if plan.cgroups.processes.is_none() {
            missing.push(Protection::ProcessCgroup);
        }
        let disk = built.as_ref().and_then(|built| built.disk.as_ref());
        let disk = disk.map(OwnedFd::try_clone).transpose();
        let measured = disk.context("open", "the small disk")?;
        let container = Self {
            built,
            missing,
            witness,
            first,
            to_first,
            streams,
            meter: Meter::new(match measured {
                Some(disk) => disk,
                None => out,
            }),
            stop: plan.faults.stop,
            stopped: false,
            deadline: Instant::now() + plan.limits.time,
            processes_max: processes_max.filter(|_| plan.cgroups.processes.is_none()),
        };
        container.begin(plan)?;
        Ok(container)
    }

    /// Tells the first process what to do.
    fn begin(&self, plan: &Plan) -> Result<(), Trouble> {
        let root = self
            .built
            .as_ref()
            .map_or("/".into(), |built| built.root.clone());
        let plan = InitPlan {
            way: plan.way,
            argv: plan.argv.clone(),
            root,
            limits: plan.limits,
            powers: plan.powers,
            start: plan.start.clone(),
            memory_held: plan.cgroups.memory.is_some(),
            processes_max: self.processes_max,
        };
        wire::send(&self.to_first, &plan).context("talk to", "the first process")
    }

    /// Reads the streams and keeps the limits until the container has to end.
    fn watch(&mut self, plan: &Plan, socket: &UnixStream) -> Result<Stop, Trouble> {
        let mut next_tick = Instant::now();
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Ok(Stop::Limit(Ending::TimedOut));
            }
            if now >= next_tick {
                if let Some(limit) = self.over_limit(plan) {
                    return Ok(Stop::Limit(limit));
                }
                let tick = if self.stop.is_some() {
                    SHORT_TICK
                } else {
                    TICK
                };
                next_tick = Instant::now() + tick;
            }
            let ready = self.wait(socket, next_tick.min(self.deadline))?;
            if ready.harness {
                return Ok(Stop::Abandoned);
            }
            if let Some(witness) = self.witness.as_mut().filter(|_| ready.packet) {
                witness.look();
            }
            for (stream, _) in self
                .streams
                .iter_mut()
                .zip(ready.streams)
                .filter(|(_, ready)| *ready)
            {
                stream.read_once();
            }
            if ready.first {
                return Ok(match wire::receive(&self.to_first) {
                    Ok(answer) => Stop::Answered(Box::new(answer)),
                    Err(_) => Stop::Died,
                });
            }
        }
    }

    fn wait(&self, socket: &UnixStream, until: Instant) -> Result<Ready, Trouble> {
        let mut order = vec![
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(&self.to_first, PollFlags::IN),
        ];
        let witness = self.witness.as_ref().map(Witness::socket);
        let witness_at = witness.map(|socket| {
            order.push(PollFd::from_borrowed_fd(socket, PollFlags::IN));
            order.len() - 1
        });
        let mut streams_at = [None; 2];
        for (at, stream) in streams_at.iter_mut().zip(&self.streams) {
            if let Some(pipe) = &stream.pipe {
                order.push(PollFd::new(pipe, PollFlags::IN));
                *at = Some(order.len() - 1);
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).context("wait for", "the container")?;
        match poll(&mut order, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Trouble::new("wait for", "the container", error)),
        }
        let is_ready = |at: usize| !order[at].revents().is_empty();
        Ok(Ready {
            harness: is_ready(0),
            first: is_ready(1),
            packet: witness_at.is_some_and(is_ready),
            streams: streams_at.map(|at| at.is_some_and(is_ready)),
        })
    }

    /// The limits that are not the kernel's to enforce, or whose breach it only counts.
    fn over_limit(&mut self, plan: &Plan) -> Option<Ending> {
        if plan.cgroups.out_of_memory() {
            return Some(Ending::Memory);
        }
        if plan.cgroups.out_of_processes() {
            return Some(Ending::Processes);
        }
        if plan.cgroups.memory.is_none() || plan.cgroups.processes.is_none() {
            let census = processes::Census::take(self.first.id());
            if census.processes > plan.limits.processes {
                return Some(Ending::Processes);
            }
            // Twice, so that one process always meets its own limit first, and the verdict on it does not
            // depend on when it was looked at.
            let memory = plan.limits.memory.saturating_mul(2);
            if plan.cgroups.memory.is_none() && census.memory > memory {
                return Some(Ending::Memory);
            }
        }
        let usage = self.meter.glance()?;
        if self.stop.is_some_and(|stop| usage.bytes >= stop.written) {
            let signal = self.stop.take().map_or(0, |stop| stop.signal);
            self.stopped = wire::send(&self.to_first, &Interrupt(signal)).is_ok();
        }
        (usage.charge() > plan.limits.output_bytes).then_some(Ending::Output)
    }

    /// Kills everything in the container and waits until it is dead.
    fn kill(&mut self) {
        // Killing the first process of a PID namespace kills them all; waiting for it waits for them all.
        let _ = self.first.kill();
        let _ = self.first.wait();
        processes::sweep();
    }

    fn report(&mut self, plan: &Plan, stop: Stop) -> Result<Report, Trouble> {
        let mut found = Found::default();
        let mut peak_memory = None;
        let mut ending = match stop {
            Stop::Limit(ending) => ending,
            Stop::Answered(answer) => {
                let answer = (*answer)?;
                found.leftovers = answer.leftovers;
                self.missing.extend(answer.missing);
                peak_memory = Some(answer.peak_memory);
                answer.ending
            }
            Stop::Died if plan.cgroups.out_of_memory() => Ending::Memory,
            Stop::Died | Stop::Abandoned => {
                let text = self.finish_streams()[1].text();
                return Err(Trouble::new("hear from", "the first process", text.trim()));
            }
        };
        // What happened between the last look and the end counts as well.
        if plan.cgroups.out_of_memory() {
            ending = Ending::Memory;
        } else if plan.cgroups.out_of_processes() {
            ending = Ending::Processes;
        } else if self.meter.read().charge() > plan.limits.output_bytes {
            ending = Ending::Output;
        }
        self.look_around(&mut found)?;
        let [stdout, stderr] = self.finish_streams();
        Ok(Report {
            ending,
            stdout,
            stderr,
            escapes: found.escapes,
            escapes_omitted: found.omitted,
            leftovers: found.leftovers,
            stopped: self.stopped,
            disk: self
                .built
                .as_ref()
                .and_then(|built| built.disk.as_ref())
                .map(AsRawFd::as_raw_fd),
            missing: std::mem::take(&mut self.missing),
            peak_memory,
        })
    }

    /// Lists what the dead container changed.
    fn look_around(&mut self, found: &mut Found) -> Result<(), Trouble> {
        for path in self.witness.take().map(Witness::finish).unwrap_or_default() {
            found.escape(&path, EscapeKind::Network);
        }
        if let Some(built) = &mut self.built {
            self.missing.append(&mut built.missing);
            for overlay in &built.overlays {
                found.overlay(overlay).context("compare", &overlay.inside)?;
            }
            for (inside, dir) in &built.temporaries {
                found.temporaries(inside, dir.as_fd());
            }
        }
        Ok(())
    }

    fn finish_streams(&mut self) -> [super::Log; 2] {
        self.streams.each_mut().map(|stream| {
            // All who wrote are dead, so this comes to an end; and if one is not, it does not wait.
            while stream.read_once() {}
            std::mem::replace(&mut stream.recorder, Recorder::new(0)).finish()
        })
    }
}

/// What is ready to be read.
struct Ready {
    harness: bool,
    first: bool,
    packet: bool,
    streams: [bool; 2],
}

impl Stream {
    /// Reads what is there without waiting; whether there may be more.
    fn read_once(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else {
            return false;
        };
        let mut buffer = [0; 64 << 10];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipe = None,
            Ok(length) => self.recorder.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.pipe = None,
        }
        self.pipe.is_some()
    }
}

/// Leaves the host's namespaces.
fn separate(way: Way) -> Result<(), Trouble> {
    let (user, group) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let mut flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWNET;
    if way == Way::User {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).context("unshare", "the namespaces")?;
    if way == Way::User {
        // user_namespaces(7): without this a user may not map a group.
        for (file, text) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("0 {user} 1")),
            ("/proc/self/gid_map", format!("0 {group} 1")),
        ] {
            fs::write(file, text).context("write", file)?;
        }
    }
    Ok(())
}

/// Starts the first process, the only child of this one, and the first in the new PID namespace.
fn spawn(log_bytes: usize) -> Result<(Child, UnixStream, [Stream; 2]), Trouble> {
    let trouble = |error| Trouble::new("start", "the first process", error);
    let (ours, theirs) = UnixStream::pair().map_err(trouble)?;
    let (stdout, stdout_end) = io::pipe().map_err(trouble)?;
    let (stderr, stderr_end) = io::pipe().map_err(trouble)?;
    let first = Command::new("/proc/self/exe")
        .args([SUBCOMMAND, init::ROLE])
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::from(stdout_end))
        .stderr(Stdio::from(stderr_end))
        .spawn()
        .map_err(trouble)?;
    let mut streams = [stdout, stderr].map(|pipe| Stream {
        pipe: Some(pipe),
        recorder: Recorder::new(log_bytes),
    });
    for pipe in streams.iter_mut().filter_map(|stream| stream.pipe.as_mut()) {
        rustix::io::ioctl_fionbio(pipe, true).map_err(|error| trouble(error.into()))?;
    }
    Ok((first, ours, streams))
}
