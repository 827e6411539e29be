//! What becomes of QEMU, and of us, when one of the two misbehaves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::boot::{Error, Machine, Mode, Options};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::images::{Image, Tree, compile};
use super::machine::{not_checked, options};

/// A program that stands in for QEMU, as a shell script.
fn stand_in(directory: &Path, script: &str) -> PathBuf {
    let path = directory.join("qemu");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A machine whose QEMU is a script, or `None` where there is no kernel.
#[track_caller]
fn machine(directory: &Path, script: &str) -> Option<Machine> {
    let qemu = Some(stand_in(directory, script));
    let cache = directory.join("cache");
    match Machine::find(&Options {
        qemu,
        ..options(&cache, Mode::Cold)
    }) {
        Ok(machine) => Some(machine),
        Err(missing) => {
            not_checked(&missing.to_string());
            None
        }
    }
}

const VERSION: &str = "[ \"$1\" = --version ] && echo 'QEMU emulator version 7.2.22' && exit";

#[track_caller]
fn check_error(script: &str, expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    let Some(machine) = machine(directory.path(), &format!("{VERSION}\n{script}")) else {
        return;
    };
    let Some(image) = Tree::new().ext4() else {
        return;
    };
    let error = machine.boot(&image.job(&[])).unwrap_err();
    assert!(matches!(error, Error::Qemu { .. }), "{error:?}");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_qemu_that_ends_says_why() {
    check_error(
        "echo 'no memory left' >&2; exit 1",
        "qemu ended with exit status 1; it said: no memory left",
    );
    check_error("kill -SEGV $$", "qemu was killed by signal 11");
}

#[test]
fn a_qemu_that_hangs_is_ended() {
    check_error(
        "echo 'here I stay' >&2; exec sleep 1000",
        "qemu did not open its sockets; it said: here I stay",
    );
}

#[test]
fn what_is_no_qemu_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let find = |qemu: PathBuf| {
        let options = options(&directory.path().join("cache"), Mode::Cold);
        Machine::find(&Options {
            qemu: Some(qemu),
            ..options
        })
        .unwrap_err()
    };
    let old = stand_in(directory.path(), "echo 'QEMU emulator version 5.2.0'");
    let what = find(old).what;
    assert!(
        what.ends_with("is too old (QEMU emulator version 5.2.0)"),
        "{what}"
    );
    let other = find(PathBuf::from("/bin/true"));
    assert_eq!(
        other.what,
        "no usable QEMU: /bin/true does not tell its version"
    );
    let nothing = find(PathBuf::from("/nonexistent/qemu"));
    assert!(
        nothing.to_string().contains("install qemu-system-x86"),
        "{nothing}"
    );
}

#[test]
fn what_is_no_kernel_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let qemu = Some(stand_in(directory.path(), VERSION));
    let find = |kernel: Option<PathBuf>, roots: Vec<PathBuf>| {
        let options = options(&directory.path().join("cache"), Mode::Cold);
        let modules = kernel.is_some().then(|| directory.path().to_path_buf());
        let options = Options {
            qemu: qemu.clone(),
            kernel,
            modules,
            roots,
            ..options
        };
        Machine::find(&options).unwrap_err()
    };
    let nowhere = find(None, vec![directory.path().to_path_buf()]);
    assert_eq!(nowhere.what, "no guest kernel");
    assert_eq!(nowhere.tried.len(), 1);
    let absent = find(Some(directory.path().join("vmlinuz-1")), Vec::new());
    assert!(absent.what.starts_with("no guest kernel: "), "{absent}");
    let kernel = directory.path().join("vmlinuz-2");
    fs::write(&kernel, vec![0; 10_000]).unwrap();
    let useless = find(Some(kernel), Vec::new());
    assert!(
        useless.what.ends_with("vmlinuz-2: it is no bzImage"),
        "{useless}"
    );
}

/// A script that runs the real QEMU and leaves its number in `pid`.
fn known_by_number(directory: &Path) -> String {
    let pid = directory.join("pid").display().to_string();
    format!("echo $$ > {pid}.new; mv {pid}.new {pid}; exec qemu-system-x86_64 \"$@\"")
}

/// Waits for the number of a QEMU that has been told to boot (not only for its version).
fn wait_for_boot(directory: &Path, transcript_of: impl Fn(Pid) -> bool) -> Pid {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let pid = fs::read_to_string(directory.join("pid")).unwrap_or_default();
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|pid| transcript_of(*pid)) {
            return pid;
        }
        assert!(Instant::now() < deadline, "QEMU was not started");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_booting(pid: Pid) -> bool {
    let command = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    command.windows(12).any(|window| window == b"virtio-blk-p")
}

fn hanging() -> Option<Image> {
    let tree = Tree::new();
    compile("hostile", &tree.path().join("hostile"));
    tree.ext4()
}

#[test]
fn a_qemu_that_is_killed_is_our_own_error() {
    let directory = tempfile::tempdir().unwrap();
    let script = known_by_number(directory.path());
    let (Some(machine), Some(image)) = (machine(directory.path(), &script), hanging()) else {
        return;
    };
    let commands = [b"/hostile hang".to_vec()];
    let error = std::thread::scope(|scope| {
        let boot = scope.spawn(|| machine.boot(&image.job(&commands)));
        kill_process(wait_for_boot(directory.path(), is_booting), Signal::KILL).unwrap();
        boot.join().unwrap().unwrap_err()
    });
    let said = error.to_string();
    assert!(said.starts_with("qemu was killed by signal 9"), "{said}");
}

/// This test runs itself a second time as the harness that is killed.
#[test]
fn the_machine_ends_with_the_harness() {
    const VARIABLE: &str = "HARNESS_TEST_DIRECTORY";
    if let Some(directory) = std::env::var_os(VARIABLE) {
        let directory = PathBuf::from(directory);
        let machine = machine(&directory, &known_by_number(&directory)).unwrap();
        let image = hanging().unwrap();
        let boot = machine.boot(&image.job(&[b"/hostile hang".to_vec()]));
        panic!("the boot came to an end: {boot:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    if hanging().is_none()
        || machine(directory.path(), &known_by_number(directory.path())).is_none()
    {
        return;
    }
    if Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "true"])
        .status()
        .is_err()
    {
        return not_checked("setpriv is missing");
    }
    let _ = fs::remove_file(directory.path().join("pid"));
    let mut harness = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "boot::process::the_machine_ends_with_the_harness",
        ])
        .env(VARIABLE, directory.path())
        .env("TMPDIR", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let qemu = wait_for_boot(directory.path(), is_booting);
    harness.kill().unwrap();
    harness.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while test_kill_process(qemu).is_ok() && is_booting(qemu) {
        assert!(Instant::now() < deadline, "QEMU lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
