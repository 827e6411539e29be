//! Refuses system calls that no converter needs and that reach past a container: seccomp(2).
//!
//! Capabilities and namespaces are the walls; this closes what they leave open (kernel keyrings,
//! sockets to the hypervisor, io_uring) and makes `CAP_SYS_ADMIN` bearable where it is wanted for
//! nothing but `trusted.*` attributes: without this it would mount, and shut down the file system
//! that the output lies on.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Powers;
use super::wire::{Context, Trouble};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that reach what no namespace separates.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Calls that only one who mounts needs.
const TO_MOUNT: &[i64] = &[
    libc::SYS_fanotify_init,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

/// Calls whose arguments this filter cannot see; programs take the older ones when told that these do
/// not exist.
const UNSEEN: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
];

/// Families of sockets that lie in the network namespace, or in none but reach nobody.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Makes the calls that these powers do not include fail, for this process and all its children.
///
/// `EPERM` for what is refused, `ENOSYS` for what is to seem unknown.
pub(super) fn apply(powers: Powers) -> Result<(), Trouble> {
    let mut refused = always(NEVER);
    refused.insert(
        libc::SYS_socket,
        vec![not_in(0, &FAMILIES).context("filter", "sockets")?],
    );
    if !powers.can_mount() {
        refused.append(&mut always(TO_MOUNT));
        refused.insert(libc::SYS_clone, namespaces().context("filter", "clone")?);
        refused.insert(
            libc::SYS_ioctl,
            file_system_controls().context("filter", "ioctl")?,
        );
    }
    for (rules, error) in [(always(UNSEEN), libc::ENOSYS), (refused, libc::EPERM)] {
        install(rules, error.unsigned_abs()).context("install", "the filter of system calls")?;
    }
    Ok(())
}

fn install(rules: Rules, error: u32) -> seccompiler::Result<()> {
    let target: TargetArch = std::env::consts::ARCH.try_into()?;
    let (pass, refuse) = (SeccompAction::Allow, SeccompAction::Errno(error));
    let program: BpfProgram =
        SeccompFilter::new(both_spellings(rules), pass, refuse, target)?.try_into()?;
    seccompiler::apply_filter(&program)
}

/// On x86-64 a kernel may know every call by a second number, for programs with short pointers.
fn both_spellings(rules: Rules) -> Rules {
    const X32: i64 = 0x4000_0000;
    if cfg!(target_arch = "x86_64") {
        let second: Rules = rules
            .iter()
            .map(|(call, rules)| (call | X32, rules.clone()))
            .collect();
        return rules.into_iter().chain(second).collect();
    }
    rules
}

/// Rules that match whatever the arguments are.
fn always(calls: &[i64]) -> Rules {
    calls.iter().map(|&call| (call, Vec::new())).collect()
}

/// Matches when a 32-bit argument is none of these.
fn not_in(argument: u8, values: &[i32]) -> seccompiler::Result<SeccompRule> {
    let conditions = values.iter().map(|&value| {
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
    });
    Ok(SeccompRule::new(conditions.collect::<Result<_, _>>()?)?)
}

/// Matches a clone(2) that makes any namespace: one rule for each flag.
fn namespaces() -> seccompiler::Result<Vec<SeccompRule>> {
    let flags = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let rule = |flag: i32| {
        let flag = u64::from(flag.unsigned_abs());
        let set = SeccompCmpOp::MaskedEq(flag);
        Ok(SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            set,
            flag,
        )?])?)
    };
    flags.into_iter().map(rule).collect()
}

/// Matches ioctl(2) requests that freeze, shut down, trim, resize or otherwise manage a whole file
/// system. The second byte of a request names its owner; most of these owners' requests are of that
/// sort, so what copies or describes single files is let through by name.
fn file_system_controls() -> seccompiler::Result<Vec<SeccompRule>> {
    const BTRFS: u64 = 0x94;
    const EXT: u64 = b'f' as u64;
    const XFS: u64 = b'X' as u64;
    // From linux/fs.h: FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_GETFLAGS and SETFLAGS with
    // their 32-bit twins, FS_IOC_FIEMAP, FS_IOC_FSGETXATTR and FSSETXATTR.
    const OF_FILES: [u64; 10] = [
        0x4004_9409,
        0x4020_940d,
        0xc018_9436,
        0x8008_6601,
        0x4008_6602,
        0x8004_6601,
        0x4004_6602,
        0xc020_660b,
        0x801c_581f,
        0x401c_5820,
    ];
    let condition =
        |operator, value| SeccompCondition::new(1, SeccompCmpArgLen::Dword, operator, value);
    let rule = |owner: u64| {
        let mut all = vec![condition(SeccompCmpOp::MaskedEq(0xff00), owner << 8)?];
        for request in OF_FILES {
            all.push(condition(SeccompCmpOp::Ne, request)?);
        }
        Ok(SeccompRule::new(all)?)
    };
    [BTRFS, EXT, XFS].into_iter().map(rule).collect()
}
