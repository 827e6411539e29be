//! Keeps what is measured from writing anywhere but to its own folder.
//!
//! Containment proper watches what a converter writes, which would be measured with it. Here the
//! converter only gets a mount namespace in which everything else is read-only: that costs nothing
//! while it runs, and a symbolic link of an image leads no naive extractor out of its folder.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Makes everything but `folder` read-only for this process and its children, from here on. The
/// current folder stays where it was, on what is read-only now.
///
/// # Errors
///
/// This process has no right to mount.
pub(super) fn hold(folder: &Path) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("no mount namespace")?;
    let none = None::<&Path>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).context("mounts stay shared")?;
    // A mount of its own, which the next step leaves alone.
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("`{}` cannot be mounted", folder.display()))?;
    for found in mounts(&fs::read("/proc/self/mountinfo")?) {
        if found.point.starts_with(folder) {
            continue;
        }
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | found.flags;
        match mount(none, &found.point, none, flags, none) {
            Ok(()) => {}
            // Below another mount: nobody can reach it.
            Err(Errno::ENOENT | Errno::EINVAL) if is_covered(&found.point) => {}
            Err(errno) => {
                let point = found.point.display();
                anyhow::bail!("`{point}` cannot be made read-only: {errno}");
            }
        }
    }
    Ok(())
}

struct Mount {
    point: PathBuf,
    /// Those that remounting would otherwise drop.
    flags: MsFlags,
}

/// The lines of proc(5)'s `mountinfo`: the mount point is the fifth field, its options the sixth.
fn mounts(table: &[u8]) -> Vec<Mount> {
    let lines = table.split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| {
            let mut fields = line.split(|&byte| byte == b' ').skip(4);
            Some(Mount {
                point: OsString::from_vec(unescaped(fields.next()?)).into(),
                flags: flags(fields.next()?),
            })
        })
        .collect()
}

fn flags(options: &[u8]) -> MsFlags {
    options
        .split(|&byte| byte == b',')
        .map(|option| match option {
            b"nosuid" => MsFlags::MS_NOSUID,
            b"nodev" => MsFlags::MS_NODEV,
            b"noexec" => MsFlags::MS_NOEXEC,
            b"noatime" => MsFlags::MS_NOATIME,
            b"nodiratime" => MsFlags::MS_NODIRATIME,
            b"relatime" => MsFlags::MS_RELATIME,
            _ => MsFlags::empty(),
        })
        .collect()
}

/// Blanks and backslashes stand as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut parts = field.split(|&byte| byte == b'\\');
    let mut plain = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                plain.extend(&part[3..]);
            }
            None => plain.extend(part),
        }
    }
    plain
}

/// Whether a path leads to no mount of its own.
fn is_covered(point: &Path) -> bool {
    match rustix::fs::statx(
        rustix::fs::CWD,
        point,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
        rustix::fs::StatxFlags::BASIC_STATS,
    ) {
        Ok(stat) => !stat
            .stx_attributes
            .contains(rustix::fs::StatxAttributes::MOUNT_ROOT),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nix::mount::MsFlags;

    use super::{hold, mounts};

    /// A mount namespace is a thread's own, so only this thread is held.
    #[test]
    fn what_is_held_writes_only_to_its_folder() {
        let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let write = |folder: &tempfile::TempDir| std::fs::write(folder.path().join("a"), "");
        let held = std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                hold(folder.path())?;
                write(&folder).unwrap();
                anyhow::Ok(write(&elsewhere).unwrap_err().kind())
            });
            held.join().unwrap()
        });
        match held {
            Ok(kind) => assert_eq!(kind, std::io::ErrorKind::ReadOnlyFilesystem),
            // Where there is no right to mount, that is said, and nothing was changed.
            Err(error) => assert_eq!(error.to_string(), "no mount namespace"),
        }
        write(&elsewhere).unwrap();
    }

    #[test]
    fn a_line_of_the_mount_table_is_read() {
        let table =
            b"36 35 98:0 /m /mnt/a\\040b\\134 rw,nosuid,noatime shared:1 - ext3 /dev/x rw\n";
        let [found] = &mounts(table)[..] else {
            panic!("one line, one mount");
        };
        assert_eq!(found.point, Path::new("/mnt/a b\\"));
        assert_eq!(found.flags, MsFlags::MS_NOSUID | MsFlags::MS_NOATIME);
    }
}
