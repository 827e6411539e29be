//! Who runs below a process: the witness where no namespace and no cgroup tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions};

use super::{Leftover, Way};

/// How long processes that are ending anyway may take when the converter has ended.
const GRACE: Duration = Duration::from_millis(250);

/// Processes that still run a moment after the converter has ended.
pub(super) fn left(way: Way) -> Vec<Leftover> {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        let names = running(way);
        if names.is_empty() || waited >= GRACE {
            return names.into_iter().map(Leftover::Process).collect();
        }
        sleep(step);
        waited += step;
    }
}

/// The names of all other processes, zombies apart, sorted.
fn running(way: Way) -> Vec<String> {
    let own = std::process::id().to_string();
    let pids = if way == Way::Plain {
        descendants(std::process::id())
    } else {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| *name != own && name.bytes().all(|byte| byte.is_ascii_digit()))
            .collect()
    };
    let mut names: Vec<_> = pids.iter().filter_map(|pid| name_if_alive(pid)).collect();
    names.sort();
    names
}

fn name_if_alive(pid: &str) -> Option<String> {
    let dir = PathBuf::from("/proc").join(pid);
    let stat = fs::read(dir.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // proc_pid_stat(5): the name stands in parentheses and may hold more of them.
    let (name, state) = (
        stat.get(stat.find('(')? + 1..stat.rfind(')')?)?,
        stat.rsplit_once(") ")?.1,
    );
    (!state.starts_with(['Z', 'X'])).then(|| name.to_owned())
}

/// The children of a process, and theirs. By the time they are looked at they may be others.
fn descendants(pid: u32) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![pid.to_string()];
    while let Some(pid) = next.pop() {
        // A number that comes up again belongs to somebody new.
        next.extend(
            children(&pid)
                .into_iter()
                .filter(|child| found.insert(child.clone())),
        );
    }
    found.into_iter().collect()
}

/// The children of a process: proc_pid_task(5).
fn children(pid: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let lists: Vec<_> = lists.flatten().collect();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// Kills whoever has been orphaned to this process. In a PID namespace there is nobody.
///
/// Only children are killed, never what a list says are theirs: the number of a child is ours until we
/// wait for it, but any other may by then belong to a stranger. As this process is a subreaper,
/// grandchildren become children when their parents die.
pub(super) fn sweep() {
    loop {
        let children = children(&std::process::id().to_string());
        for pid in children
            .iter()
            .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        for _ in &children {
            let _ = rustix::process::wait(WaitOptions::empty());
        }
        if children.is_empty() {
            return;
        }
    }
}

/// The processes below one, counted where no cgroup does it.
pub(super) struct Census {
    pub(super) processes: u64,
    /// In bytes.
    pub(super) memory: u64,
}

impl Census {
    pub(super) fn take(first: u32) -> Self {
        let pids = descendants(first);
        // proc_pid_status(5): `VmRSS:     1234 kB`.
        let resident = |pid: &String| -> Option<u64> {
            let status = fs::read(Path::new("/proc").join(pid).join("status")).ok()?;
            let status = String::from_utf8_lossy(&status).into_owned();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let kibibytes: u64 = pids.iter().filter_map(resident).sum();
        Self {
            processes: pids.len() as u64,
            memory: kibibytes.saturating_mul(1024),
        }
    }
}
