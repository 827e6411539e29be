//! The mount table, `/proc/self/mountinfo`, as proc(5) describes it, and additions to it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use rustix::fs::StatVfsMountFlags;

use super::wire::{Context, Trouble};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) point: PathBuf,
    pub(super) kind: String,
}

/// Every mount that this process sees, in the order they were made.
pub(super) fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

fn parse(table: &[u8]) -> Vec<Mount> {
    table
        .split(|&byte| byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let fields: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|field| field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(Mount {
        id: text(fields.first()?).parse().ok()?,
        point: OsString::from_vec(unescape(fields.get(4)?)).into(),
        kind: text(fields.get(separator + 1)?),
    })
}

/// Blanks and backslashes stand as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        rest = match (byte, octal) {
            (b'\\', Some(value)) => {
                plain.push(value);
                &after[3..]
            }
            _ => {
                plain.push(byte);
                after
            }
        };
    }
    plain
}

/// Binds one place, with all that is mounted below it, to another.
pub(super) fn bind(from: &Path, to: &Path, flags: MsFlags) -> Result<(), Trouble> {
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .context(&format!("bind `{}` to", from.display()), to)?;
    seal(to, flags)
}

/// Gives a mount these flags, and those it has already, which a user namespace may not take away.
pub(super) fn seal(to: &Path, flags: MsFlags) -> Result<(), Trouble> {
    let present = rustix::fs::statvfs(to).context("look at", to)?.f_flag;
    let kept: MsFlags = [
        (StatVfsMountFlags::RDONLY, MsFlags::MS_RDONLY),
        (StatVfsMountFlags::NOSUID, MsFlags::MS_NOSUID),
        (StatVfsMountFlags::NODEV, MsFlags::MS_NODEV),
        (StatVfsMountFlags::NOEXEC, MsFlags::MS_NOEXEC),
        (StatVfsMountFlags::NOATIME, MsFlags::MS_NOATIME),
        (StatVfsMountFlags::RELATIME, MsFlags::MS_RELATIME),
    ]
    .into_iter()
    .filter(|(has, _)| present.contains(*has))
    .map(|(_, flag)| flag)
    .collect();
    let flags = flags | kept | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    mount(None::<&str>, to, None::<&str>, flags, None::<&str>).context("seal", to)
}

/// Overlay options end at a comma and layers at a colon, unless a backslash stands before.
pub(super) fn escape(layer: &Path) -> Vec<u8> {
    let special = |byte: &u8| matches!(byte, b'\\' | b':' | b',');
    let bytes = layer.as_os_str().as_bytes().iter();
    bytes
        .flat_map(|&byte| special(&byte).then_some(b'\\').into_iter().chain([byte]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Mount, parse};

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_read() {
        let table = b"36 35 98:0 /m /mnt/a\\040b rw,noatime shared:1 master:2 - ext3 /dev/root rw\nrubbish\n";
        let mount = Mount {
            id: 36,
            point: "/mnt/a b".into(),
            kind: "ext3".into(),
        };
        assert_eq!(parse(table), [mount]);
    }
}
