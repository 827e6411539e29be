//! The first process of a container: finishes the root directory, starts the converter, outlives
//! it, and tells what it left running or mounted.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal,
};

use super::wire::{self, Context, Ending, InitPlan, InitReport, Interrupt, Trouble};
use super::{Leftover, Way, limits, mounts, processes};

/// The argument that asks for this role.
pub(super) const ROLE: &str = "first-process";

/// Parts of `/proc` through which root could change the host, with or without capabilities.
const READ_ONLY: [&str; 7] = ["acpi", "asound", "bus", "fs", "irq", "scsi", "sys"];
const READ_ONLY_FILES: [&str; 1] = ["sysrq-trigger"];
/// Parts of `/proc` that show what is none of a converter's business.
const HIDDEN: [&str; 5] = ["kcore", "keys", "kmsg", "sched_debug", "timer_list"];

/// The whole life of the first process. Its standard input is the socket to the helper.
pub(super) fn main() -> ExitCode {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::from(2);
    };
    let socket = UnixStream::from(socket);
    let Ok(plan) = wire::receive::<InitPlan>(&socket) else {
        return ExitCode::from(2);
    };
    let answer = run(&plan, &socket);
    match wire::send(&socket, &answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

fn run(plan: &InitPlan, socket: &UnixStream) -> Result<InitReport, Trouble> {
    // The helper may be killed at any moment, and everything here must die with it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("tie to the helper", "the first process")?;
    if plan.way == Way::Plain {
        nix::sys::prctl::set_child_subreaper(true).context("become", "a subreaper")?;
    } else {
        enter(plan)?;
    }
    // Without this the converter, who has the same user, could read this process's memory.
    nix::sys::prctl::set_dumpable(false).context("protect", "the first process")?;
    limits::limit(plan)?;
    let missing = limits::give_up_powers(plan)?;
    let before = mounts::read().context("read", "/proc/self/mountinfo")?;
    let ending = converter(plan, socket)?;
    let mut leftovers = processes::left(plan.way);
    let after = mounts::read().context("read", "/proc/self/mountinfo")?;
    let new = after
        .into_iter()
        .filter(|mount| before.iter().all(|old| old.id != mount.id));
    leftovers.extend(new.map(|mount| Leftover::Mount(mount.point)));
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN);
    let kibibytes = usage.map_or(0, |usage| usage.max_rss());
    Ok(InitReport {
        ending,
        leftovers,
        peak_memory: kibibytes.cast_unsigned() * 1024,
        missing,
    })
}

/// Makes the built directory the root, and forgets the host's.
fn enter(plan: &InitPlan) -> Result<(), Trouble> {
    let root = &plan.root;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare", "the mount namespace")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(
        Some("proc"),
        &root.join("proc"),
        Some("proc"),
        flags,
        None::<&str>,
    )
    .context("mount proc at", root.join("proc"))?;
    std::env::set_current_dir(root).context("enter", root)?;
    // pivot_root(2): with the same directory twice the old root ends up on top of the new one.
    rustix::process::pivot_root(".", ".").context("pivot to", root)?;
    umount2(".", MntFlags::MNT_DETACH).context("unmount", "the old root")?;
    std::env::set_current_dir("/").context("enter", "/")?;
    mask()?;
    nix::unistd::sethostname(OsStr::from_bytes(&plan.start.hostname))
        .context("set", "the host name")
}

/// Covers what root could misuse in `/proc`: who owns a file there may write to it without any
/// capability, and in a user namespace made by root the owner is still root.
fn mask() -> Result<(), Trouble> {
    let read_only = MsFlags::MS_BIND
        | MsFlags::MS_REMOUNT
        | MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC;
    for name in READ_ONLY.iter().chain(&READ_ONLY_FILES) {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            bind(&path, &path)?;
            mount(None::<&str>, &path, None::<&str>, read_only, None::<&str>)
                .context("seal", &path)?;
        }
    }
    for name in HIDDEN {
        let path = Path::new("/proc").join(name);
        if path.exists() {
            bind(Path::new("/dev/null"), &path)?;
        }
    }
    Ok(())
}

fn bind(from: &Path, to: &Path) -> Result<(), Trouble> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).context("cover", to)
}

/// Starts the converter and waits for it, and for every orphan on the way.
fn converter(plan: &InitPlan, socket: &UnixStream) -> Result<Ending, Trouble> {
    let mut argv = plan.argv.iter().map(|arg| OsStr::from_bytes(arg));
    let program = argv.next().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(argv)
        .env_clear()
        .current_dir(&plan.start.cwd)
        .stdin(Stdio::null());
    for variable in &plan.start.environment {
        let name = variable
            .split(|&byte| byte == b'=')
            .next()
            .unwrap_or_default();
        let value = variable.get(name.len() + 1..).unwrap_or_default();
        command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
    }
    if !Path::new(&plan.start.cwd).is_dir() {
        return Err(Trouble::new(
            "start in",
            &plan.start.cwd,
            "no such directory",
        ));
    }
    rustix::process::umask(Mode::from_raw_mode(plan.start.umask));
    let child = command.spawn().map_err(|error| Trouble {
        program: true,
        ..Trouble::new("start", program, error)
    })?;
    let pid = child.id().cast_signed();
    listen(socket, pid).context("listen to", "the helper")?;
    loop {
        let waited = rustix::process::wait(WaitOptions::empty()).context("wait for", program)?;
        if let Some((_, status)) = waited.filter(|(waited, _)| waited.as_raw_nonzero().get() == pid)
        {
            return Ok(ending(status));
        }
    }
}

/// Passes signals from the helper on to the converter, in a thread that ends with this process. The
/// handle stays the converter's even when its number has become another's.
fn listen(socket: &UnixStream, pid: i32) -> std::io::Result<()> {
    let socket = socket.try_clone()?;
    let pid = Pid::from_raw(pid).ok_or_else(|| std::io::Error::other("no process"))?;
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        // Linux before 5.3: then signals from the helper go unheard, and the run is not stopped.
        return Ok(());
    };
    std::thread::Builder::new().spawn(move || {
        while let Ok(Interrupt(number)) = wire::receive(&socket) {
            if let Some(signal) = Signal::from_named_raw(number) {
                let _ = pidfd_send_signal(&process, signal);
            }
        }
    })?;
    Ok(())
}

fn ending(status: WaitStatus) -> Ending {
    let status = ExitStatus::from_raw(status.as_raw());
    match status.signal() {
        Some(signal) if signal == Signal::XFSZ.as_raw() => Ending::FileSize,
        Some(signal) => Ending::Signaled(signal),
        None => Ending::Exited(status.code().unwrap_or_default()),
    }
}
