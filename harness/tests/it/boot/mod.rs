//! Images booted in real machines.

mod images;
mod initramfs;
pub(crate) mod machine;
mod process;
mod profiles;
mod shelf;

use std::path::Path;
use std::time::Duration;

use harness::boot::{Boot, Failure, Job, Machine, Mode, Outcome};

use images::{Image, Tree};
use machine::{boot, machine, with_cache};

const HELLO: &str = "echo hello && cat /etc/name";

/// What every whole image must give, however it is packed and booted.
#[track_caller]
fn check_whole(boot: &Boot) {
    assert_eq!(boot.failure, None);
    assert_eq!(boot.read_errors, []);
    assert_eq!(boot.commands.len(), 2);
    assert_eq!(boot.commands[0].outcome, Outcome::Exited(0));
    assert_eq!(boot.commands[0].output, b"hello\nbox\n");
    assert_eq!(boot.commands[1].outcome, Outcome::Exited(3));
    let mtree = text(boot);
    let lines: Vec<&str> = mtree.lines().collect();
    assert_eq!(lines[0], "#mtree v2.0");
    assert!(lines[1].starts_with(". type=dir "), "{mtree}");
    for expected in [
        "./bin type=link ",
        " link=usr/bin",
        "./etc/name type=file ",
        " mode=0640 nlink=2 size=4 time=1000000000.0 \
         sha256=9d8f48dbb150f0403fe850ddeace30e2844a311d05e9bd232c7a0e99388773d1",
        "./etc/odd\\040name\\134\\377 type=file ",
        "#@ hardlink ./etc/name ./etc/same\n",
        "./a type=dir ",
        "./a/b type=file ",
    ] {
        assert!(mtree.contains(expected), "no {expected:?} in\n{mtree}");
    }
    let order = ["./a ", "./a! ", "./a.d ", "./a/b ", "./a0 "].map(|path| {
        lines
            .iter()
            .position(|line| line.starts_with(path))
            .unwrap_or_else(|| panic!("{path}"))
    });
    assert!(order.is_sorted(), "{order:?}");
}

fn text(boot: &Boot) -> String {
    String::from_utf8(boot.mtree.clone().expect("a tree")).expect("only ASCII")
}

#[test]
fn cold_and_snapshot_see_the_same() {
    let tree = Tree::new();
    for image in [
        tree.ext4(),
        tree.erofs(&["-zlz4"]),
        tree.erofs(&[]),
        tree.squashfs(),
    ] {
        let Some(image) = image else { continue };
        let Some(snapshot) = machine(Mode::Snapshot) else {
            return;
        };
        let Some(cold) = machine(Mode::Cold) else {
            return;
        };
        let seen = boot(snapshot, &image, &[HELLO, "exit 3"]);
        check_whole(&seen);
        assert_eq!(boot(cold, &image, &[HELLO, "exit 3"]), seen);
    }
}

#[test]
fn extended_attributes_are_told() {
    let tree = Tree::new();
    if !tree.set_attribute("etc/name", "user.b", b"\0\xff")
        || !tree.set_attribute("etc/name", "user.a", b"x")
    {
        return;
    }
    for image in [tree.ext4(), tree.erofs(&[])] {
        let (Some(image), Some(machine)) = (image, machine(Mode::Snapshot)) else {
            return;
        };
        let mtree = text(&boot(machine, &image, &[]));
        let lines = "#@ xattr ./etc/name user.a eA==\n#@ xattr ./etc/name user.b AP8=\n";
        assert!(mtree.ends_with(lines), "{mtree}");
    }
}

/// A shell broken by `change` does not start, and the guest says why.
#[track_caller]
fn explained(machine: &Machine, change: &dyn Fn(&Path), because: &str) {
    let tree = Tree::new();
    change(tree.path());
    let Some(image) = tree.ext4() else { return };
    let seen = boot(machine, &image, &["echo hello"]);
    assert_eq!(seen.failure, None);
    let Outcome::NotStarted(why) = &seen.commands[0].outcome else {
        panic!("{seen:?}")
    };
    assert_eq!(why, because);
}

#[test]
fn a_shell_that_cannot_start_is_explained() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let check = |change: &dyn Fn(&Path), because: &str| explained(machine, change, because);
    use std::fs::{Permissions, create_dir, remove_file, rename, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    check(
        &|root| rename(root.join("usr/bin"), root.join("usr/elsewhere")).unwrap(),
        "exec /bin/sh: ENOENT: /bin is a dangling symlink to usr/bin: /usr/bin does not exist",
    );
    check(
        &|root| remove_file(root.join("usr/bin/sh")).unwrap(),
        "exec /bin/sh: ENOENT: /usr/bin/sh does not exist",
    );
    check(
        &|root| {
            remove_file(root.join("bin")).unwrap();
            symlink("bin", root.join("bin")).unwrap();
        },
        "exec /bin/sh: ELOOP: /bin is one of over 40 symlinks in a row",
    );
    check(
        &|root| {
            remove_file(root.join("bin")).unwrap();
            write(root.join("bin"), "x").unwrap();
        },
        "exec /bin/sh: ENOTDIR: /bin is a regular file, not a directory",
    );
    check(
        &|root| set_permissions(root.join("usr/bin/sh"), Permissions::from_mode(0o644)).unwrap(),
        "exec /bin/sh: EACCES: /usr/bin/sh is not executable (mode 0644)",
    );
    let replace = |root: &Path, content: &[u8]| {
        write(root.join("usr/bin/sh"), content).unwrap();
    };
    check(
        &|root| replace(root, b""),
        "exec /bin/sh: ENOEXEC: /usr/bin/sh is empty",
    );
    check(
        &|root| replace(root, b"hello"),
        "exec /bin/sh: ENOEXEC: /usr/bin/sh is neither an ELF program nor a script",
    );
    check(
        &|root| replace(root, b"#! /opt/interpreter -x\n"),
        "exec /bin/sh: ENOENT: /opt does not exist",
    );
    check(
        &|root| {
            remove_file(root.join("usr/bin/sh")).unwrap();
            create_dir(root.join("usr/bin/sh")).unwrap();
        },
        "exec /bin/sh: EACCES: /usr/bin/sh is a directory",
    );
    let mut shell = std::fs::read(images::SHELL).unwrap();
    shell[18] = 183;
    check(
        &|root| replace(root, &shell),
        "exec /bin/sh: ENOEXEC: /usr/bin/sh is a program for another machine (ELF machine 183)",
    );
}

#[test]
fn an_image_without_dev_and_proc_runs_its_shell() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let tree = Tree::new();
    std::fs::remove_dir(tree.path().join("dev")).unwrap();
    std::fs::remove_dir(tree.path().join("proc")).unwrap();
    std::os::unix::fs::symlink("/etc", tree.path().join("dev")).unwrap();
    let Some(image) = tree.ext4() else { return };
    let seen = boot(
        machine,
        &image,
        &["echo hello; cat /dev/name; test -e /etc/null"],
    );
    assert_eq!(seen.commands[0].output, b"hello\nbox\n");
    // Nothing was put where the link leads.
    assert_eq!(seen.commands[0].outcome, Outcome::Exited(1));
}

#[test]
fn damaged_images_are_seen_to_be_damaged() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let tree = Tree::new();
    let content = tree.big_file();
    let mounted = |seen: &Boot| !matches!(seen.failure, Some(Failure::Mount(_)));

    let Some(mut image) = tree.ext4() else { return };
    let whole = text(&boot(machine, &image, &[]));
    image.flip(content);
    let seen = boot(machine, &image, &[]);
    assert!(
        seen.read_errors.is_empty() && seen.failure.is_none(),
        "{seen:?}"
    );
    assert_ne!(text(&seen), whole, "a hash must differ");

    let Some(mut image) = tree.ext4() else { return };
    image.truncate(2);
    let why = mount_failure(boot(machine, &image, &[HELLO]));
    assert!(
        why.contains("EXT4-fs") && why.contains("size of device"),
        "{why}"
    );

    let Some(mut image) = tree.ext4() else { return };
    image.zero(1024, 1024);
    let why = mount_failure(boot(machine, &image, &[HELLO]));
    assert!(why.starts_with("mount as ext4: "), "{why}");

    let Some(mut image) = tree.erofs(&[]) else {
        return;
    };
    image.zero(1024, 128);
    let why = mount_failure(boot(machine, &image, &[HELLO]));
    assert!(
        why.contains("erofs: ") && why.contains("superblock"),
        "{why}"
    );

    let Some(mut image) = tree.erofs(&["-zlz4hc"]) else {
        return;
    };
    image.truncate(2);
    let seen = boot(machine, &image, &[]);
    assert!(!mounted(&seen) || !seen.read_errors.is_empty(), "{seen:?}");

    let Some(mut image) = tree.erofs(&[]) else {
        return;
    };
    image.flip(content);
    let seen = boot(machine, &image, &[]);
    assert!(
        !seen.read_errors.is_empty() || text(&seen) != whole,
        "{seen:?}"
    );
}

#[track_caller]
fn mount_failure(seen: Boot) -> String {
    match seen.failure {
        Some(Failure::Mount(why)) => {
            assert_eq!((seen.mtree, seen.commands.len()), (None, 0));
            why
        }
        _ => panic!("{seen:?}"),
    }
}

#[test]
fn a_filesystem_that_the_kernel_does_not_have_is_a_mount_failure() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let Some(mut image) = Tree::new().ext4() else {
        return;
    };
    image.filesystem = "nofs";
    let why = mount_failure(boot(machine, &image, &[HELLO]));
    assert!(why.contains("does not have this filesystem"), "{why}");
}

#[test]
fn a_hostile_program_reaches_nothing() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    let seen = boot(machine, &image, &["/hostile look"]);
    let output = String::from_utf8_lossy(&seen.commands[0].output).into_owned();
    assert!(output.ends_with("looked\n"), "{seen:?}");
    assert!(!output.contains("reached"), "{output}");
    let others: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("process "))
        .collect();
    assert_eq!(others, ["process 1"]);
    // What container engines leave to root, without CAP_MKNOD and CAP_AUDIT_WRITE.
    assert!(output.contains("CapBnd:\t00000000800425fb\n"), "{output}");
    let mut mounts: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("mount "))
        .collect();
    mounts.sort_unstable();
    assert_eq!(
        mounts,
        [
            "mount /dev/vda / ext4",
            "mount dev /dev tmpfs",
            "mount proc /proc proc"
        ]
    );
}

#[test]
fn forged_words_and_floods_change_nothing() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    let seen = boot(
        machine,
        &image,
        &["/hostile forge", "/hostile flood 100", "echo hello"],
    );
    assert_eq!(seen.failure, None);
    assert!(seen.mtree.is_some());
    assert_eq!(seen.commands[0].output.len(), 5);
    let flood = &seen.commands[1].output;
    assert_eq!(seen.commands[1].outcome, Outcome::Exited(0));
    assert!(flood.ends_with(b"xend of flood\n") && flood.len() < (1 << 20) + 100);
    let note = format!("\n[{} bytes left out]\n", (100 << 20) + 13 - (1 << 20));
    assert!(
        flood
            .windows(note.len())
            .any(|window| window == note.as_bytes())
    );
    assert_eq!(seen.commands[2].output, b"hello\n");
    let transcript = std::fs::read(&image.transcript).unwrap();
    assert!(transcript.len() < (512 << 10) + 100, "{}", transcript.len());
}

#[test]
fn a_kernel_panic_is_told_by_its_line() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    let seen = boot(
        machine,
        &image,
        &["echo before", "/hostile panic", "echo after"],
    );
    match &seen.failure {
        Some(Failure::Panic(line)) => {
            assert_eq!(line, "Kernel panic - not syncing: sysrq triggered crash");
        }
        _ => panic!("{seen:?}"),
    }
    assert_eq!(seen.commands.len(), 1);
    assert!(seen.mtree.is_some());
}

#[test]
fn what_a_command_leaves_running_does_not_outlive_it() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    let seen = boot(machine, &image, &["/hostile leave", "echo hello"]);
    assert_eq!(seen.failure, None);
    assert_eq!(seen.commands[0].output, b"left a child\n");
    assert_eq!(seen.commands[1].output, b"hello\n");
}

#[test]
fn a_command_that_hangs_is_told_from_a_machine_that_does() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), hostile()) else {
        return;
    };
    let hang = [b"/hostile hang".to_vec(), b"echo hello".to_vec()];
    let job = Job {
        time_limit: Duration::from_secs(16),
        ..image.job(&hang)
    };
    let seen = machine.boot(&job).unwrap();
    assert_eq!(seen.commands[0].outcome, Outcome::TimedOut);
    assert_eq!(seen.commands[1].output, b"hello\n");
    assert_eq!(seen.failure, None);

    let hang = [
        b"/hostile hang".to_vec(),
        b"/hostile hang".to_vec(),
        b"/hostile hang".to_vec(),
    ];
    let job = Job {
        time_limit: Duration::from_secs(6),
        walk: false,
        ..image.job(&hang)
    };
    match machine.boot(&job).unwrap().failure {
        Some(Failure::TimedOut(doing)) => assert_eq!(doing, "running `/hostile hang`"),
        other => panic!("{other:?}"),
    }
}

fn hostile() -> Option<Image> {
    let tree = Tree::new();
    images::compile("hostile", &tree.path().join("hostile"));
    tree.ext4()
}

#[test]
fn a_broken_cache_is_made_again_and_said_once() {
    let Some(image) = Tree::new().ext4() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let find = || with_cache(directory.path(), Mode::Snapshot);
    let Some(machine) = find() else { return };
    check_hello(&machine, &image);
    assert_eq!(machine.take_notes(), [""; 0]);
    drop(machine);

    for name in ["memory", "state", "vmlinux"] {
        let file = images::find_file(directory.path(), name);
        Image::at(&file).flip_at(100_000);
        let machine = find().unwrap();
        check_hello(&machine, &image);
        let notes = machine.take_notes();
        assert_eq!(notes.len(), 1, "{name}: {notes:?}");
        assert!(
            notes[0].ends_with("was made again: its checksums do not match"),
            "{notes:?}"
        );
        assert_eq!(machine.take_notes(), [""; 0]);
    }
    let sums = images::find_file(directory.path(), "sums");
    std::fs::remove_file(sums).unwrap();
    let machine = find().unwrap();
    check_hello(&machine, &image);
    assert_eq!(machine.take_notes().len(), 1);
}

#[test]
fn a_snapshot_that_cannot_be_restored_falls_back_to_a_cold_boot() {
    let Some(image) = Tree::new().ext4() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let Some(machine) = with_cache(directory.path(), Mode::Snapshot) else {
        return;
    };
    check_hello(&machine, &image);
    // Broken behind the machine's back, after it was checked.
    let state = images::find_file(directory.path(), "state");
    std::fs::write(&state, "not a migration stream").unwrap();
    check_hello(&machine, &image);
    let notes = machine.take_notes();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("the snapshot is of no use, images are booted cold: qemu "));
    drop(machine);
    let machine = with_cache(directory.path(), Mode::Snapshot).unwrap();
    check_hello(&machine, &image);
    assert!(machine.take_notes()[0].contains("was made again"));
}

#[track_caller]
fn check_hello(machine: &Machine, image: &Image) {
    let seen = boot(machine, image, &[HELLO]);
    assert_eq!(seen.commands[0].output, b"hello\nbox\n", "{seen:?}");
}

#[test]
fn boots_may_run_in_parallel() {
    let (Some(machine), Some(image)) = (machine(Mode::Snapshot), Tree::new().ext4()) else {
        return;
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let image = image.copy();
            scope.spawn(move || check_hello(machine, &image));
        }
    });
}

#[test]
fn an_image_that_is_not_there_is_our_own_error() {
    let Some(machine) = machine(Mode::Snapshot) else {
        return;
    };
    let image = Image::at(Path::new("/nonexistent/image"));
    let error = machine.boot(&image.job(&[])).unwrap_err().to_string();
    assert!(
        error.starts_with("open the image /nonexistent/image: "),
        "{error}"
    );
}
