//! Holds a container's memory and processes down, with whatever cgroups the host lets us make.
//!
//! Both versions are used: hosts with version 2 only, and hybrid ones whose memory and process
//! controllers still hang in version 1.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Limits;

/// The groups of one container; `None` where the host has none for us.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cgroups {
    pub(super) memory: Option<Group>,
    pub(super) processes: Option<Group>,
}

/// One directory in a cgroup file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    #[serde(with = "super::wire::path")]
    dir: PathBuf,
    unified: bool,
}

/// Removes the groups when dropped.
pub(super) struct Held(pub(super) Cgroups);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Makes empty groups with the limits of one container.
pub(super) fn create(limits: &Limits) -> Held {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "harness-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let hierarchies = Hierarchies::of_this_process();
    let mut held = Held(Cgroups::default());
    held.0.memory = hierarchies
        .parent("memory")
        .and_then(|parent| parent.child(&name).ok());
    held.0.processes = hierarchies
        .parent("pids")
        .and_then(|parent| parent.child(&name).ok());
    if held
        .0
        .memory
        .as_ref()
        .is_some_and(|group| group.limit_memory(limits.memory).is_err())
    {
        remove(held.0.memory.take());
    }
    if held
        .0
        .processes
        .as_ref()
        .is_some_and(|group| group.limit_processes(limits).is_err())
    {
        remove(held.0.processes.take());
    }
    held
}

impl Cgroups {
    /// Moves a process in; a group that will not have it is given up.
    pub(super) fn join(&mut self, pid: u32) {
        for slot in [&mut self.memory, &mut self.processes] {
            if slot
                .as_ref()
                .is_some_and(|group| group.write("cgroup.procs", u64::from(pid)).is_err())
            {
                remove(slot.take());
            }
        }
    }

    /// Whether the kernel killed something for want of memory.
    pub(super) fn out_of_memory(&self) -> bool {
        let Some(group) = &self.memory else {
            return false;
        };
        let file = if group.unified {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        group
            .counter(file, "oom_kill")
            .is_some_and(|count| count > 0)
    }

    /// Whether a fork was refused.
    pub(super) fn out_of_processes(&self) -> bool {
        let group = self.processes.as_ref();
        group
            .and_then(|group| group.counter("pids.events", "max"))
            .is_some_and(|count| count > 0)
    }

    /// Removes the groups, which must be empty or about to be.
    pub(super) fn remove(&mut self) {
        let same = self.memory == self.processes;
        remove(self.memory.take());
        if !same {
            remove(self.processes.take());
        }
    }
}

/// A killed process leaves its group a moment after it was waited for, hence the second tries.
fn remove(group: Option<Group>) {
    let Some(group) = group else { return };
    for _ in 0..200 {
        match fs::remove_dir(&group.dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                sleep(Duration::from_millis(5));
            }
            _ => return,
        }
    }
}

impl Group {
    fn child(&self, name: &str) -> io::Result<Self> {
        let child = Self {
            dir: self.dir.join(name),
            unified: self.unified,
        };
        match fs::create_dir(&child.dir) {
            // In version 2 one directory serves both controllers.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.unified => Ok(child),
            result => result.map(|()| child),
        }
    }

    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        if !self.unified {
            return self.write("memory.limit_in_bytes", bytes);
        }
        self.write("memory.max", bytes)?;
        // Without these the limit stands all the same: with no swap, and killing one at a time.
        let _ = self.write("memory.swap.max", 0);
        let _ = self.write("memory.oom.group", 1);
        Ok(())
    }

    fn limit_processes(&self, limits: &Limits) -> io::Result<()> {
        // One more for the first process of the container.
        self.write("pids.max", limits.processes.saturating_add(1))
    }

    fn write(&self, file: &str, value: u64) -> io::Result<()> {
        fs::OpenOptions::new()
            .write(true)
            .open(self.dir.join(file))
            .and_then(|mut file| io::Write::write_all(&mut file, value.to_string().as_bytes()))
    }

    fn counter(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join(file)).ok()?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(name, _)| *name == key)?.1.parse().ok()
    }
}

/// What `/proc` says about the cgroups of this process.
struct Hierarchies {
    mounts: String,
    memberships: String,
}

impl Hierarchies {
    fn of_this_process() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            mounts: read("/proc/self/mountinfo"),
            memberships: read("/proc/self/cgroup"),
        }
    }

    /// The group under which children with this controller can be made.
    fn parent(&self, controller: &str) -> Option<Group> {
        self.version_1(controller)
            .or_else(|| self.version_2(controller))
    }

    fn version_1(&self, controller: &str) -> Option<Group> {
        let has = |list: &str| list.split(',').any(|name| name == controller);
        let path = self.membership(|controllers| has(controllers))?;
        let dir = self.mounted(path, |kind, options| kind == "cgroup" && has(options))?;
        Some(Group {
            dir,
            unified: false,
        })
    }

    /// A group that holds processes cannot give controllers to children, so the nearest ancestor that
    /// already does is taken.
    fn version_2(&self, controller: &str) -> Option<Group> {
        let path = self.membership(str::is_empty)?;
        let own = self.mounted(path, |kind, _| kind == "cgroup2")?;
        let gives = |dir: &&Path| {
            let list = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
            list.split_whitespace().any(|name| name == controller)
        };
        own.ancestors().find(gives).map(|dir| Group {
            dir: dir.to_owned(),
            unified: true,
        })
    }

    /// The path of this process in the hierarchy whose controllers `wanted` accepts.
    fn membership(&self, wanted: impl Fn(&str) -> bool) -> Option<&str> {
        self.memberships.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?;
            wanted(controllers).then(|| fields.next()).flatten()
        })
    }

    /// Where `path` of a hierarchy is visible: proc(5), the fields of mountinfo.
    fn mounted(&self, path: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
        self.mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let (kind, options) = (after.next()?, after.nth(1)?);
            let mut before = before.split(' ').skip(3);
            let (root, point) = (before.next()?, before.next()?);
            let inside = Path::new(path).strip_prefix(root).ok()?;
            wanted(kind, options).then(|| Path::new(point).join(inside))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Hierarchies;

    const MOUNTS: &str = "\
30 20 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
32 30 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
";

    #[test]
    fn a_group_of_version_1_is_found_below_its_mount() {
        let hierarchies = Hierarchies {
            mounts: MOUNTS.into(),
            memberships: "8:pids:/a/b\n4:memory:/docker/abc/x\n0::/\n".into(),
        };
        let dir = |name| hierarchies.parent(name).map(|group| group.dir);
        assert_eq!(dir("pids"), Some("/sys/fs/cgroup/pids/a/b".into()));
        assert_eq!(dir("memory"), Some("/sys/fs/cgroup/memory/x".into()));
        assert_eq!(dir("io"), None);
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_not_guessed_at() {
        let memberships = "4:memory:/elsewhere\n".into();
        assert!(
            Hierarchies {
                mounts: MOUNTS.into(),
                memberships
            }
            .parent("memory")
            .is_none()
        );
    }
}
