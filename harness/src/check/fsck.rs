//! fsck as a witness, not a judge.
//!
//! Measured: `fsck.erofs` prints `<E>` and exits 0 on most damaged superblocks, `e2fsck -fn` exits 0 on
//! many truncated images. So a finding is a non-zero exit *or* error text, always under limits; that a
//! clean fsck proves little is why the guest reads everything as well.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::{Equipment, Finding, FindingKind};
use crate::runner::contain::{self, Ending, Limits, Powers};
use crate::runner::{Chain, Format, One, Root, run_each};

/// The command that checks a format, if there is one.
pub(super) fn command(format: Format) -> Option<&'static [&'static str]> {
    match format {
        Format::Ext4 => Some(&["e2fsck", "-f", "-n", "{layout}"]),
        Format::Erofs | Format::ErofsLayers => Some(&["fsck.erofs", "{layout}"]),
        Format::Dir | Format::Tar | Format::Cpio | Format::Squashfs | Format::LayerDirs => None,
    }
}

/// Which of these images, which lie below the folder `work`, are clean for sure: an fsck among others said
/// nothing against them.
///
/// # Errors
///
/// Those of the containment.
pub(super) fn are_clean(
    images: &[PathBuf],
    chain: &Chain,
    work: &Path,
    equipment: &Equipment,
) -> anyhow::Result<Vec<bool>> {
    let root = &chain.last().root;
    let none = vec![false; images.len()];
    let Some([program, words @ ..]) = command(chain.format()) else {
        return Ok(none);
    };
    if !equipment.has_in(root, program) {
        return Ok(none);
    }
    if images.is_empty() {
        return Ok(none);
    }
    let scratch = work.join("fsck");
    fs::create_dir(&scratch)?;
    let commands = images.iter().enumerate().map(|(number, image)| {
        let below = image.strip_prefix(work).unwrap_or(image).display();
        let inside = format!("{{layout}}/{below}");
        let words = words.iter().map(|word| word.replace("{layout}", &inside));
        One {
            name: number.to_string(),
            argv: std::iter::once((*program).to_owned())
                .chain(words)
                .collect(),
        }
    });
    let out = scratch.join("out");
    let around = around(work, &out, root, equipment);
    let ended = run_each(&commands.collect::<Vec<_>>(), &around)?;
    let by_name = ended.map(|all| all.by_name).unwrap_or_default();
    let is_clean = |number: usize| {
        let ended = by_name.get(&number.to_string());
        ended.is_some_and(|ended| ended.status == 0 && !ended.log.lines().any(is_complaint))
    };
    Ok((0..images.len()).map(is_clean).collect())
}

/// The container of an fsck: all it has but the command.
fn around<'a>(
    input: &'a Path,
    out: &'a Path,
    root: &'a Root,
    equipment: &'a Equipment,
) -> contain::Command<'a> {
    contain::Command {
        argv: &[],
        layout: Some(input),
        inputs: &[],
        out,
        limits: Limits {
            time: Duration::from_secs(60),
            file_size: 64 << 20,
            ..Limits::default()
        },
        surroundings: equipment.surroundings.clone(),
        lower: root.path(),
        powers: Powers::Unpack,
        helper: &equipment.helper,
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
    let out = scratch.join("out");
    let ran = contain::run(&contain::Command {
        argv: &argv,
        ..around(image, &out, root, equipment)
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
