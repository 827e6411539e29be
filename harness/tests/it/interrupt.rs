//! Signals to the harness: nothing of the run stays, and the shell sees the signal.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::project::{self, Project};
use crate::require::HARNESS;

/// Enough for a busy machine to start a converter, or to end one.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(project: &Project, arguments: &[&str]) -> Child {
    Command::new(HARNESS)
        .arg("--home")
        .arg(project.path(""))
        .args(arguments)
        .env("TMPDIR", project.path("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Every path below a folder, for a look at what stays.
fn below(folder: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).into_iter();
    entries
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect()
}

/// A run whose converter has begun its output and sleeps.
#[track_caller]
fn in_the_middle(project: &project::Project) -> Child {
    let work = project.path("target/harness/work");
    let script = "touch {out}; exec sleep 1000";
    let child = start(project, &["run", "--command", script, "--output", "tar"]);
    wait_until("the conversion", || {
        below(&work).iter().any(|path| path.ends_with("rootfs.tar"))
    });
    child
}

/// Sends the signal as soon as the converter has begun its output, and looks at what stays.
#[track_caller]
fn check(signal: Signal) {
    let project = project::plain();
    let work = project.path("target/harness/work");
    let mut child = in_the_middle(&project);
    rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
    assert_eq!(below(&work), [""; 0]);
    assert_eq!(below(&project.path("tmp")), [""; 0]);
}

#[test]
fn a_signal_ends_a_run_and_nothing_stays() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        check(signal);
    }
}

#[test]
fn what_a_killed_run_left_the_next_one_removes() {
    let project = project::plain();
    let work = project.path("target/harness/work");
    let mut child = in_the_middle(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(below(&work), [""; 0]);
    project.convert(project::GOOD, "tar", &[]).is(0);
    assert_eq!(below(&work), [""; 0]);
}

/// Whenever the signal comes, there is the whole output or nothing.
#[test]
fn a_signal_ends_a_conversion_of_our_own_and_nothing_stays() {
    let project = Project::with_cases(&[("name/large", LARGE)]);
    let bundle = project.path("bundle").display().to_string();
    project
        .harness(&["export", "name/large", "--to", &bundle])
        .is(0);
    let layout = format!("{bundle}/layout");
    for delay in [0, 20, 40, 60, 100, 150, 1000] {
        let place = project.path(&format!("place-{delay}"));
        std::fs::create_dir(&place).unwrap();
        let output = place.join("out.tar").display().to_string();
        let arguments = ["convert", "--layout", &layout, "--format", "tar", &output];
        let mut child = start(&project, &arguments);
        std::thread::sleep(Duration::from_millis(delay));
        // It may have ended, but is not reaped, so the number is still its own.
        rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let status = child.wait().unwrap();
        let want = match (status.code(), status.signal()) {
            (Some(0), None) => vec![output],
            (Some(143), None) | (None, Some(15)) => Vec::new(),
            other => panic!("after {delay} ms: {other:?}"),
        };
        assert_eq!(below(&place), want, "after {delay} ms");
    }
}

const LARGE: &str = r#"
title = "many zeros are unpacked"
spec  = "layer.md#file-types"
quote = "regular files"
level = "must"

[[layer]]
compression = "none"
entries = [{ file = "zeros", zeros = 60000000 }]

[expect]
tree = "golden"
"#;

#[test]
fn runs_of_one_folder_at_the_same_time_do_not_meet() {
    let project = project::plain();
    let runs: Vec<Child> = (0..4)
        .map(|run| {
            let json = project.path(&format!("{run}.json")).display().to_string();
            let arguments = ["run", "--command", project::GOOD, "--output", "tar"];
            start(
                &project,
                &[&arguments[..], &["--boot=off", "--json", &json]].concat(),
            )
        })
        .collect();
    for mut run in runs {
        assert_eq!(run.wait().unwrap().code(), Some(0));
    }
    let record = |run| std::fs::read_to_string(project.path(&format!("{run}.json"))).unwrap();
    assert!((1..4).all(|run| record(run) == record(0)), "{}", record(0));
    assert_eq!(below(&project.path("target/harness/work")), [""; 0]);
}
