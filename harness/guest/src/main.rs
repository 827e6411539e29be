//! The guest's init: the first and only program of the virtual machine that checks an image.
//!
//! It loads the modules it was given, says on the virtio port that it is ready, and waits for one
//! job. Then it mounts what the job says, walks it, runs commands in it and sends what it saw.
//! Until the job arrives the disks have no driver: not even their sizes are known, which is what makes
//! a snapshot of the waiting guest good for every image.

#![expect(unreachable_pub, reason = "a program has no outside")]

mod contents;
mod disk;
mod mark;
mod modules;
mod mtree;
mod overlay;
mod port;
mod resolve;
mod root;
mod run;
mod walk;
#[expect(dead_code, reason = "each side of the wire uses its half")]
mod wire;

use std::fs::create_dir_all;
use std::io;
use std::os::fd::OwnedFd;
use std::process::exit;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

use crate::disk::Disk;
use crate::port::{Conversation, Port};
use crate::root::{Place, Root, Trouble};
use crate::run::Runner;
use crate::wire::{Job, Kind, Written, encode_error};

/// Where the image is mounted, or what it is made part of.
const ROOT: &str = "/root";

/// The argument with which init starts itself a second time, to run the image's programs.
const RUN: &str = "run";

fn main() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == RUN)
    {
        exit(run::main());
    }
    if let Err(error) = init() {
        console(&format!("init failed: {error}"));
    }
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
}

fn init() -> io::Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        create_dir_all(target)?;
        mount(kind, target, kind, MountFlags::empty(), None).map_err(at("mount", target))?;
    }
    create_dir_all(ROOT)?;
    modules::load()?;
    let disks = Disk::release_all()?;
    let runner = Runner::start()?;
    let (mut conversation, job) = Port::open()?.wait()?;
    conversation.send(Kind::Accepted, &[])?;
    if let Err(error) = work(&disks, runner, &job, &mut conversation) {
        conversation.send(Kind::InitFailed, error.to_string().as_bytes())?;
    }
    conversation.end()
}

fn work(disks: &[Disk], mut runner: Runner, job: &Job, to: &mut Conversation) -> io::Result<()> {
    let disks: Vec<String> = disks.iter().map(Disk::attach).collect::<io::Result<_>>()?;
    if job.is_shelf() {
        return walk_shelf(&disks, runner, job, to);
    }
    let place = Place::alone(job);
    let root = match Root::mount(job, &disks, &place) {
        Ok(root) => root,
        Err(Trouble::Init(error)) => return Err(error),
        Err(Trouble::Image(errno, sentence)) => {
            let payload = encode_error(errno.raw_os_error(), sentence.as_bytes());
            return to.send(Kind::MountFailed, &payload);
        }
        Err(Trouble::Upper(errno, sentence)) => {
            let payload = encode_error(errno.raw_os_error(), sentence.as_bytes());
            return to.send(Kind::UpperFailed, &payload);
        }
    };
    if !job.stacks.is_empty() {
        overlay::walk_each(&job.stacks, to)?;
    } else if job.walk {
        walk::walk(open(ROOT)?, to)?;
    }
    if !job.commands.is_empty() || !job.mark.is_empty() {
        runner.run(job, to)?;
    }
    if job.mark.is_empty() {
        return Ok(());
    }
    let written = read_again(runner.end()?, root, &disks, job, &place)?;
    to.send(Kind::Written, &written.encode())
}

/// Mounts each image, walks it, runs the commands in it and takes it away again. One that cannot be mounted
/// is told as such.
fn walk_shelf(
    disks: &[String],
    runner: Runner,
    job: &Job,
    to: &mut Conversation,
) -> io::Result<()> {
    let mut first = Some(runner);
    for place in Place::of_shelf(job) {
        match Root::mount(job, disks, &place) {
            Ok(root) => {
                walk::walk(open(ROOT)?, to)?;
                if job.commands.is_empty() && job.mark.is_empty() {
                    root.unmount()?;
                    continue;
                }
                let mut runner = first.take().map_or_else(Runner::start, Ok)?;
                runner.run(job, to)?;
                if job.mark.is_empty() {
                    runner.finish()?;
                    root.unmount()?;
                } else {
                    let written = read_again(runner.end()?, root, disks, job, &place)?;
                    to.send(Kind::Written, &written.encode())?;
                }
            }
            Err(Trouble::Init(error)) => return Err(error),
            Err(Trouble::Image(errno, sentence) | Trouble::Upper(errno, sentence)) => {
                let payload = encode_error(errno.raw_os_error(), sentence.as_bytes());
                to.send(Kind::StackFailed, &payload)?;
            }
        }
    }
    Ok(())
}

/// Unmounts all and, where something was written, mounts it again, reads that and takes all away.
fn read_again(
    written: Written,
    root: Root,
    disks: &[String],
    job: &Job,
    place: &Place,
) -> io::Result<Written> {
    if written.read.is_err() {
        root.unmount()?;
        return Ok(written);
    }
    let read = again(root, disks, job, place);
    Ok(Written { read, ..written })
}

fn again(root: Root, disks: &[String], job: &Job, place: &Place) -> Result<Vec<u8>, String> {
    let unmount = |root: Root| {
        root.unmount()
            .map_err(|error| format!("the root cannot be unmounted: {error}"))
    };
    unmount(root)?;
    match Root::mount(job, disks, place) {
        Ok(root) => {
            let read = mark::read(ROOT, &job.mark)
                .map_err(|error| format!("it cannot be read after a remount: {error}"));
            unmount(root)?;
            read
        }
        Err(Trouble::Image(_, why) | Trouble::Upper(_, why)) => {
            Err(format!("the root cannot be mounted again: {why}"))
        }
        Err(Trouble::Init(error)) => Err(format!("the root cannot be mounted again: {error}")),
    }
}

fn open(directory: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, directory, flags, Mode::empty()).map_err(at("open", directory))
}

/// Says a line on the console, which the host keeps as the transcript.
#[expect(clippy::print_stderr, reason = "the console is standard error")]
fn console(line: &str) {
    eprintln!("guest: {line}");
}

/// Names the operation and its object in an error.
fn at(operation: &str, object: &str) -> impl FnOnce(Errno) -> io::Error {
    let prefix = format!("{operation} {object}");
    move |errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("{prefix}: {error}"))
    }
}
