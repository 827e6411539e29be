//! An archive that the kernel unpacks, whose shell is its first process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::boot::{Failure, Machine, Mode, Said};

use super::images::Tree;
use super::machine::{LONG, machine, not_checked};

/// The tree as a cpio archive, with the host's cpio.
fn packed(tree: &Tree, folder: &Path) -> Option<PathBuf> {
    let archive = folder.join("root.cpio");
    let script = "find . | cpio --quiet -o -H newc > \"$0\"";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(&archive)
        .current_dir(tree.path())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !status.success() {
        not_checked("no cpio");
        return None;
    }
    Some(archive)
}

fn said(machine: &Machine, archive: &Path, command: &str) -> Said {
    let transcript = archive.with_extension("transcript");
    machine
        .boot_initramfs(archive, command, &transcript, LONG)
        .unwrap()
}

#[test]
fn the_shell_of_an_archive_is_the_first_process() {
    let (tree, folder) = (Tree::new(), tempfile::tempdir().unwrap());
    let (Some(machine), Some(archive)) = (machine(Mode::Snapshot), packed(&tree, folder.path()))
    else {
        return;
    };
    let output = |text: &str| Said::Output(text.to_owned());
    assert_eq!(said(machine, &archive, "cat /etc/name"), output("box\n"));
    assert_eq!(said(machine, &archive, "test -e /a/b"), output(""));
    for failing in ["exit 3", "test -e /nothing", "cat /nothing"] {
        let Said::Failed(Failure::Panic(why)) = said(machine, &archive, failing) else {
            panic!("{failing}");
        };
        assert!(why.contains("Attempted to kill init"), "{why}");
    }
    for long in ["echo \"a b\"", "echo a\necho b", &"a".repeat(2000)] {
        assert_eq!(said(machine, &archive, long), Said::Unsaid);
    }
}

#[test]
fn what_is_no_archive_or_has_no_shell_says_nothing() {
    let (tree, folder) = (Tree::new(), tempfile::tempdir().unwrap());
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, [7; 4096]).unwrap();
    std::fs::remove_file(tree.path().join("usr/bin/sh")).unwrap();
    let Some(without) = packed(&tree, folder.path()) else {
        return;
    };
    for archive in [garbage, without] {
        let said = said(machine, &archive, "echo hello");
        assert!(matches!(said, Said::Failed(Failure::Panic(_))), "{said:?}");
    }
}
