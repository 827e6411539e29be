//! Running the image's own `/bin/sh`.
//!
//! Init starts itself a second time as the first process of a PID namespace. That runner has its
//! own mount namespace, makes the image its root as `switch_root` does, gives up nothing itself but
//! takes from every program it starts the capabilities that reach beyond the image. So a program
//! sees what it would see in a virtual machine of its own, and cannot reach init, its memory, its
//! port or the disk. Whatever a command leaves running is killed before the next one.

use std::fs::{File, create_dir_all};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat, symlink};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_move, unmount,
};
use rustix::process::{Pid, PidfdFlags, chdir, chroot, pidfd_open};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::port::Conversation;
use crate::wire::{
    CommandResult, Frame, Job, Kind, OUTPUT_BYTES_KEPT, Outcome, Written, read_frame, write_frame,
};
use crate::{ROOT, RUN, at, console};
use crate::{mark, resolve};

/// The shell that the image must have.
const SHELL: &str = "/bin/sh";

/// What a program gets for an environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What root may do in the image: what container engines allow, without making device nodes.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SETFCAP);

/// Where the runner keeps the mounts that it will move into the image.
const STAGE: &str = "/stage";

/// Init's side: the runner, started and waiting.
pub struct Runner {
    process: Child,
    ask: ChildStdin,
    answer: ChildStdout,
}

impl Runner {
    /// Starts the runner, and waits until it waits for the job. That is before the host makes its
    /// snapshot, so that none of it is to be done again for each image.
    pub fn start() -> io::Result<Runner> {
        // A namespace for children is not replaced by another, only by one's own.
        setns(File::open("/proc/self/ns/pid")?, CloneFlags::CLONE_NEWPID)?;
        unshare(CloneFlags::CLONE_NEWPID)?;
        let mut process = Command::new("/proc/self/exe")
            .arg(RUN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let no_pipe = || io::Error::other("the runner has no pipe");
        let ask = process.stdin.take().ok_or_else(no_pipe)?;
        let answer = process.stdout.take().ok_or_else(no_pipe)?;
        let mut runner = Runner {
            process,
            ask,
            answer,
        };
        runner.read()?;
        Ok(runner)
    }

    /// Gives the runner the job and passes its results on to the host.
    pub fn run(&mut self, job: &Job, to: &mut Conversation) -> io::Result<()> {
        write_frame(&mut self.ask, Kind::Job, &job.encode())?;
        for _ in &job.commands {
            let frame = self.read()?;
            to.send(frame.kind, &frame.payload)?;
        }
        Ok(())
    }

    /// Waits for the end of the runner, whose last word is what it wrote; see [`Runner::finish`].
    pub fn end(mut self) -> io::Result<Written> {
        let written = Written::decode(&self.read()?.payload)?;
        self.finish()?;
        Ok(written)
    }

    /// Waits for the end of the runner and takes away what it left on the stage; after it, nothing of the image
    /// is in use any more, and another can be started.
    pub fn finish(mut self) -> io::Result<()> {
        self.process.wait()?;
        for name in ["proc", "dev"] {
            let target = format!("{STAGE}/{name}");
            unmount(&target, UnmountFlags::DETACH).map_err(at("unmount", &target))?;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<Frame> {
        read_frame(&mut self.answer).map_err(|error| {
            let status = self.process.try_wait().ok().flatten();
            let status = status.map_or_else(String::new, |status| format!(" ({status})"));
            io::Error::other(format!("the runner failed{status}: {error}"))
        })
    }
}

/// The runner's side; its exit status is init's to read.
pub fn main() -> i32 {
    match runner() {
        Ok(()) => 0,
        Err(error) => {
            console(&format!("runner failed: {error}"));
            1
        }
    }
}

fn runner() -> io::Result<()> {
    // Opened while there is certainly one: an image need not have a /dev.
    let null = File::open("/dev/null")?;
    set_the_stage()?;
    let mut out = io::stdout().lock();
    write_frame(&mut out, Kind::Ready, &[])?;
    out.flush()?;
    let job = Job::decode(&read_frame(&mut io::stdin().lock())?.payload)?;
    enter()?;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // A bit that this kernel has no capability for is refused; nothing is lost by that.
        if !CAPABILITIES.contains(capability) {
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    for command in &job.commands {
        let result = run(command, &null, job.command_time_limit)?;
        write_frame(&mut out, Kind::Command, &result.encode())?;
        out.flush()?;
    }
    if !job.mark.is_empty() {
        // Most of a small image's shells cannot write; then it is done for them.
        run(&mark::command(&job.mark), &null, job.command_time_limit)?;
        write_frame(&mut out, Kind::Written, &mark::complete(&job.mark).encode())?;
        out.flush()?;
    }
    Ok(())
}

/// Mounts a `/proc` of this PID namespace and a small `/dev`, to be moved later.
fn set_the_stage() -> io::Result<()> {
    create_dir_all(format!("{STAGE}/proc"))?;
    create_dir_all(format!("{STAGE}/dev"))?;
    chdir(STAGE).map_err(at("enter", STAGE))?;
    mount("proc", "proc", "proc", MountFlags::empty(), None).map_err(at("mount", "proc"))?;
    let options = Some(c"mode=0755,size=1m");
    mount("dev", "dev", "tmpfs", MountFlags::NOSUID, options).map_err(at("mount", "dev"))?;
    fill_dev().map_err(at("fill", "dev"))
}

/// Makes the image the root, as `switch_root` does, with what is on the stage where the image has
/// directories for it.
fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(at("make private", "/"))?;
    chdir(ROOT).map_err(at("enter", ROOT))?;
    for name in ["proc", "dev"] {
        if is_directory(name) {
            mount_move(format!("{STAGE}/{name}"), name).map_err(at("move", name))?;
        }
    }
    mount_move(".", "/").map_err(at("move the image to", "/"))?;
    chroot(".").map_err(at("change root to", "."))?;
    chdir("/").map_err(at("enter", "/"))
}

/// A directory of the image itself; a symbolic link could lead a mount anywhere.
fn is_directory(name: &str) -> bool {
    rustix::fs::lstat(name)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn fill_dev() -> rustix::io::Result<()> {
    let nodes = [
        ("dev/null", 1, 3),
        ("dev/zero", 1, 5),
        ("dev/full", 1, 7),
        ("dev/random", 1, 8),
        ("dev/urandom", 1, 9),
        ("dev/tty", 5, 0),
        ("dev/console", 5, 1),
    ];
    for (path, major, minor) in nodes {
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            path,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )?;
        rustix::fs::chmod(path, mode)?;
    }
    symlink("/proc/self/fd", "dev/fd")?;
    symlink("/proc/self/fd/0", "dev/stdin")?;
    symlink("/proc/self/fd/1", "dev/stdout")?;
    symlink("/proc/self/fd/2", "dev/stderr")
}

fn run(command: &[u8], null: &File, limit: Duration) -> io::Result<CommandResult> {
    use std::os::unix::ffi::OsStrExt;

    let (mut from_child, to_parent) = io::pipe()?;
    let started = Command::new(SHELL)
        .arg("-c")
        .arg(std::ffi::OsStr::from_bytes(command))
        .env_clear()
        .env("PATH", PATH)
        .stdin(null.try_clone()?)
        .stdout(to_parent.try_clone()?)
        .stderr(to_parent)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let outcome = Outcome::NotStarted(resolve::explain_exec(SHELL, &error));
            return Ok(CommandResult {
                outcome,
                output: Vec::new(),
            });
        }
    };
    let mut output = Output::default();
    let status = watch(
        &mut child,
        &mut from_child,
        &mut output,
        Instant::now() + limit,
    )?;
    // All that is left in this namespace but ourselves; nothing left is an error to ignore.
    let _ = kill(nix::unistd::Pid::from_raw(-1), Signal::SIGKILL);
    let last = child.wait()?;
    reap();
    output.drain(&mut from_child)?;
    let outcome = match status {
        None => Outcome::TimedOut,
        Some(()) => outcome(last),
    };
    Ok(CommandResult {
        outcome,
        output: output.finish(),
    })
}

/// Reads the output until the child ends; `None` at the time limit.
fn watch(
    child: &mut Child,
    from: &mut io::PipeReader,
    output: &mut Output,
    deadline: Instant,
) -> io::Result<Option<()>> {
    let pid = Pid::from_child(child);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let mut open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let timeout = Timespec::try_from(left).ok();
        let mut fds = vec![
            PollFd::new(&ended, PollFlags::IN),
            PollFd::new(&*from, PollFlags::IN),
        ];
        fds.truncate(if open { 2 } else { 1 });
        poll(&mut fds, timeout.as_ref())?;
        let exited = !fds[0].revents().is_empty();
        let readable = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if readable {
            open = output.read(from)?;
        } else if exited {
            return Ok(Some(()));
        }
    }
}

/// Collects what the namespace's first process inherits.
fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::empty()) {}
}

fn outcome(status: ExitStatus) -> Outcome {
    match status.code() {
        Some(code) => Outcome::Exited(code),
        None => Outcome::Signaled(status.signal().unwrap_or_default()),
    }
}

/// A command's output: its beginning and its end.
#[derive(Default)]
struct Output {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: usize,
}

impl Output {
    /// Reads once; whether there can be more.
    fn read(&mut self, from: &mut io::PipeReader) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let count = from.read(&mut buffer)?;
        let room = OUTPUT_BYTES_KEPT - self.head.len();
        let (head, tail) = buffer[..count].split_at(room.min(count));
        self.head.extend(head);
        self.tail.extend(tail);
        if self.tail.len() > 2 * OUTPUT_BYTES_KEPT {
            self.cut();
        }
        Ok(count > 0)
    }

    fn cut(&mut self) {
        let over = self.tail.len().saturating_sub(OUTPUT_BYTES_KEPT);
        self.tail.drain(..over);
        self.left_out += over;
    }

    /// Reads what the pipe still holds; nobody is left to write to it.
    fn drain(&mut self, from: &mut io::PipeReader) -> io::Result<()> {
        while self.read(from)? {}
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.cut();
        if self.left_out > 0 {
            self.head
                .extend(format!("\n[{} bytes left out]\n", self.left_out).bytes());
        }
        self.head.extend(self.tail);
        self.head
    }
}
