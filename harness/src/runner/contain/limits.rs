//! What the first process gives up before it starts the converter, which inherits it.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::wire::{Context, InitPlan, Protection, Trouble};
use super::{Powers, Way, filter};

/// Open files of one process.
const FILES: u64 = 4096;

/// What unpacking as root needs. Absent on purpose: `DAC_READ_SEARCH`, which opens host files by their
/// inode number; `SYS_RESOURCE`, which lifts limits; `SYS_PTRACE`; everything of the network's.
const UNPACK: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// Sets the limits that the kernel keeps for each process.
pub(super) fn limit(plan: &InitPlan) -> Result<(), Trouble> {
    let mut limits = vec![
        (Resource::Core, 0),
        (Resource::Fsize, plan.limits.file_size),
        (Resource::Nofile, FILES),
    ];
    if !plan.memory_held {
        // Not the address space: Go and sanitizers reserve much more of it than they use.
        limits.push((Resource::Data, plan.limits.memory));
    }
    if let Some(most) = plan.processes_max {
        limits.push((Resource::Nproc, most));
    }
    for (resource, wanted) in limits {
        let maximum = rustix::process::getrlimit(resource)
            .maximum
            .unwrap_or(u64::MAX)
            .min(wanted);
        let both = Rlimit {
            current: Some(maximum),
            maximum: Some(maximum),
        };
        setrlimit(resource, both).context("limit", format!("{resource:?}"))?;
    }
    Ok(())
}

/// The limit on processes that the kernel keeps for each user (`RLIMIT_NPROC`), which stands in for a
/// cgroup. It must be asked for outside of the container, because it may count what runs there.
pub(super) fn processes_max(way: Way, wanted: u64) -> Option<u64> {
    let user = rustix::process::getuid();
    // The kernel does not hold root to it.
    if user.is_root() {
        return None;
    }
    let elsewhere = if way == Way::User && counts_per_namespace() {
        0
    } else {
        threads_of(user.as_raw())
    };
    // Two more than the helper lets live: one for the first process, one to be caught at.
    Some(elsewhere.saturating_add(wanted).saturating_add(2))
}

/// Since Linux 5.14 the processes of a user are counted in each user namespace by itself.
fn counts_per_namespace() -> bool {
    let name = rustix::system::uname();
    let mut numbers = name
        .release()
        .to_str()
        .unwrap_or_default()
        .split(['.', '-']);
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    (next(), next()) >= (Some(5), Some(14))
}

/// How many threads run for a user: proc_pid_status(5).
fn threads_of(user: u32) -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let threads = entries.filter_map(|entry| {
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let field = |name| {
            status
                .lines()
                .find_map(|line: &str| line.strip_prefix(name))
        };
        let owner: u32 = field("Uid:")?.split_whitespace().next()?.parse().ok()?;
        let threads: u64 = field("Threads:")?.trim().parse().ok()?;
        (owner == user).then_some(threads)
    });
    threads.sum()
}

/// Gives up every capability the converter does not need, and the ways to get them back. Returns
/// what could not be given up.
pub(super) fn give_up_powers(plan: &InitPlan) -> Result<Vec<Protection>, Trouble> {
    let kept = match plan.powers {
        Powers::Unpack => UNPACK,
        Powers::Trusted | Powers::Mount | Powers::Loop => UNPACK | CapabilitySet::SYS_ADMIN,
    };
    let mut missing = Vec::new();
    match bound(kept) {
        // Who is not root has no capabilities, and may not give up those of others.
        Err(Errno::PERM) if plan.way == Way::Plain => missing.push(Protection::Powers),
        result => result.context("reduce", "the capability bounding set")?,
    }
    rustix::thread::set_no_new_privs(true).context("set", "no_new_privs")?;
    filter::apply(plan.powers)?;
    Ok(missing)
}

fn bound(kept: CapabilitySet) -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // The kernel does not know numbers after the last.
        let Ok(present) = rustix::thread::capability_is_in_bounding_set(one) else {
            break;
        };
        if present && !kept.contains(one) {
            rustix::thread::remove_capability_from_bounding_set(one)?;
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let own = rustix::thread::capabilities(None)?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            inheritable: none,
            ..own
        },
    )
}
