//! fsck as a witness, not a judge.
//!
//! Measured: `fsck.erofs` prints `<E>` and exits 0 on most damaged superblocks, `e2fsck -fn` exits 0 on
//! many truncated images. So a finding is a non-zero exit *or* error text, always under limits; that a
//! clean fsck proves little is why the guest reads everything as well.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::{Equipment, Finding, FindingKind};
use crate::runner::contain::{self, Ending, Limits, Powers};
use crate::runner::{Format, Root};

/// The command that checks a format, if there is one.
pub(super) fn command(format: Format) -> Option<&'static [&'static str]> {
    match format {
        Format::Ext4 => Some(&["e2fsck", "-f", "-n", "{layout}"]),
        Format::Erofs | Format::ErofsLayers => Some(&["fsck.erofs", "{layout}"]),
        Format::Dir | Format::Tar | Format::Cpio | Format::Squashfs | Format::LayerDirs => None,
    }
}

/// Checks an image with the program that `root` has. `work` is a folder for scratch.
///
/// # Errors
///
/// Those of the containment.
pub(super) fn check(
    image: &Path,
    command: &[&str],
    root: &Root,
    work: &Path,
    equipment: &Equipment,
) -> anyhow::Result<Vec<Finding>> {
    let scratch = work.join("fsck");
    fs::create_dir(&scratch)?;
    let argv: Vec<_> = command.iter().map(std::ffi::OsString::from).collect();
    let ran = contain::run(&contain::Command {
        argv: &argv,
        layout: Some(image),
        inputs: &[],
        out: &scratch.join("out"),
        limits: Limits {
            time: Duration::from_secs(60),
            file_size: 64 << 20,
            ..Limits::default()
        },
        surroundings: equipment.surroundings.clone(),
        lower: root.path(),
        powers: Powers::Unpack,
        helper: &equipment.helper,
    })?;
    fs::remove_dir_all(&scratch)?;
    let program = command[0];
    let text = format!("{}{}", ran.stdout.text(), ran.stderr.text());
    let complaint = text.lines().find(|line| is_complaint(line)).map(str::trim);
    let ending = match ran.ending {
        Ending::Exited(0) => None,
        Ending::Exited(status) => Some(format!("exit {status}")),
        Ending::Signaled(signal) => Some(format!("killed by signal {signal}")),
        Ending::TimedOut => Some("did not end within 60 s".to_owned()),
        Ending::OverLimit(what) => Some(format!("used too much {what}")),
    };
    let said = match (ending, complaint) {
        (None, None) => return Ok(Vec::new()),
        (Some(ending), Some(line)) => format!("{program}: {ending}: {line}"),
        (Some(ending), None) => format!("{program}: {ending}"),
        (None, Some(line)) => format!("{program}: exit 0, yet it says: {line}"),
    };
    Ok(vec![Finding::text(FindingKind::Corrupt, said)])
}

/// Whether a line of an fsck's output tells of damage, whatever the exit code says.
fn is_complaint(line: &str) -> bool {
    const WORDS: [&str; 6] = ["<E>", "corrupt", "ERROR", "error", "Fix?", "invalid"];
    WORDS.iter().any(|word| line.contains(word)) && !line.contains("No error")
}

#[cfg(test)]
mod tests {
    use super::is_complaint;

    #[test]
    fn text_counts_where_the_exit_code_is_zero() {
        let damaged = [
            "<E> erofs: failed to verify superblock checksum",
            "Either the superblock or the partition table is likely to be corrupt!",
            "Inode 12 ref count is 2, should be 1.  Fix? no",
        ];
        for line in damaged {
            assert!(is_complaint(line), "{line}");
        }
        for line in [
            "No error found",
            "Pass 1: Checking inodes, blocks, and sizes",
            "",
        ] {
            assert!(!is_complaint(line), "{line}");
        }
    }
}
