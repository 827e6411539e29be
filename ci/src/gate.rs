//! `ci test`: every check there is, in the order in which a mistake is cheapest to hear of.
//!
//! Each stage is one command that a person can type; its output goes straight through. The first
//! that fails ends the run and is named, with the command that runs it again. The conformance run is
//! part of `cargo test`; after it the main job is done once as a user does it, on a real image too.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::apt::Privilege;
use crate::workspace::Workspace;
use crate::{console, kernel, main_job, setup, tool_roots, tools, unpack};

/// What the harness can be told to require: a check that cannot run is then an error, not a counted
/// skip. Each with what it needs.
#[rustfmt::skip]
const REQUIREMENTS: [Requirement; 5] = [
    Requirement { name: NAMES[0], root: true, kernel: false, programs: &[] },
    Requirement { name: NAMES[1], root: false, kernel: true, programs: &["qemu-system-x86_64", "qemu-img"] },
    Requirement { name: NAMES[2], root: false, kernel: false, programs: &["e2fsck", "fsck.erofs"] },
    Requirement { name: NAMES[3], root: false, kernel: false, programs: &["mke2fs", "mkfs.erofs", "mksquashfs", "cpio", "umoci", "skopeo", "python3", "mtree", "bsdtar"] },
    Requirement { name: NAMES[4], root: true, kernel: false, programs: &[] },
];

/// The names of the requirements.
pub(crate) const NAMES: [&str; 5] = ["root", "boot", "fsck", "tool", "contain"];

struct Requirement {
    name: &'static str,
    root: bool,
    kernel: bool,
    programs: &'static [&'static str],
}

/// A command of the gate, without `cargo`.
struct Stage {
    name: &'static str,
    arguments: Vec<String>,
}

/// Sets the machine up and runs every stage; true when all passed.
pub(crate) fn test(workspace: &Workspace, only: Option<&[String]>) -> Result<bool> {
    let started = Instant::now();
    setup::setup(workspace)?;
    if !tool_roots::make(workspace, None, false) {
        console::problem(
            "test: some tool roots are missing: what runs in them is tested with the host's tools or not at all",
        );
    }
    let shell = &workspace.shell;
    let dirs = tools::search_path(&unpack::programs(workspace));
    let required = match only {
        Some(names) => names.join(","),
        None => requirements(&here(workspace, &dirs)).join(","),
    };
    console::progress(&format!("test: required checks: {required}"));
    prepare(shell, &dirs, &required)?;

    let mut timings = vec![("setup", started.elapsed())];
    for stage in stages() {
        let started = Instant::now();
        let passed = run(shell, &stage);
        timings.push((stage.name, started.elapsed()));
        if !passed {
            report(&timings);
            let again = stage.arguments.join(" ");
            console::problem(&format!(
                "test: FAILED in stage `{}`; to run it again:\n  {}cargo {again}",
                stage.name,
                if stage.name == "test" {
                    format!("HARNESS_REQUIRE={required} ")
                } else {
                    "".into()
                }
            ));
            return Ok(false);
        }
    }
    let started = Instant::now();
    let passed = main_job::run(workspace, Some(&required))?;
    timings.push(("main job", started.elapsed()));
    report(&timings);
    if passed {
        console::progress("test: every stage passed");
    } else {
        console::problem("test: FAILED in the main job; to run it again: cargo run -p ci -- try");
    }
    Ok(passed)
}

/// What the machine offers, as far as requirements go.
struct Machine {
    privilege: Privilege,
    kernel: bool,
    missing: Vec<&'static str>,
}

fn here(workspace: &Workspace, dirs: &[PathBuf]) -> Machine {
    let programs = REQUIREMENTS
        .iter()
        .flat_map(|requirement| requirement.programs);
    Machine {
        privilege: Privilege::detect(&workspace.shell),
        kernel: kernel::present(workspace).is_some(),
        missing: programs
            .filter(|program| tools::find(dirs, program).is_none())
            .copied()
            .collect(),
    }
}

/// The checks that must run here. Where packages can be installed nothing excuses a missing one;
/// where they cannot, what is there must work, and the rest is named.
fn requirements(machine: &Machine) -> Vec<&'static str> {
    let mut required = Vec::new();
    for requirement in &REQUIREMENTS {
        let installable = machine.privilege != Privilege::None;
        let lacks_program = requirement
            .programs
            .iter()
            .find(|name| machine.missing.contains(name));
        let reason = if requirement.root && machine.privilege != Privilege::Root {
            Some("not root")
        } else if installable {
            None
        } else if requirement.kernel && !machine.kernel {
            Some("no guest kernel")
        } else {
            lacks_program.copied()
        };
        match reason {
            None => required.push(requirement.name),
            Some(reason) => console::problem(&format!(
                "test: `{}` is not required on this machine: {reason}",
                requirement.name
            )),
        }
    }
    required
}

/// The environment of every stage: the found tools, the scale families, and no snapshot accepted by
/// accident.
fn prepare(shell: &Shell, dirs: &[PathBuf], required: &str) -> Result<()> {
    tools::put_on_path(shell, dirs)?;
    shell.set_var("HARNESS_REQUIRE", required);
    shell.set_var("HARNESS_SCALE", "1");
    shell.set_var("INSTA_UPDATE", "no");
    Ok(())
}

fn stages() -> Vec<Stage> {
    let stage = |name, line: &str| Stage {
        name,
        arguments: line.split(' ').map(str::to_owned).collect(),
    };
    vec![
        stage("fmt", "fmt --all --check"),
        stage("clippy", "clippy --workspace --all-targets -- -D warnings"),
        stage("build", "build --workspace"),
        // A failure in one binary must not hide those in the next.
        stage("test", "test --workspace --no-fail-fast"),
    ]
}

/// Runs one stage with our own streams.
fn run(shell: &Shell, stage: &Stage) -> bool {
    // Under `cargo run` this is the very Cargo that runs us.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    console::progress(&format!(
        "test: {}: cargo {}",
        stage.name,
        stage.arguments.join(" ")
    ));
    let arguments = &stage.arguments;
    match cmd!(shell, "{cargo} {arguments...}").quiet().run() {
        Ok(()) => true,
        Err(error) => {
            console::problem(&format!("test: {error}"));
            false
        }
    }
}

fn report(timings: &[(&str, Duration)]) {
    for (name, duration) in timings {
        console::progress(&format!(
            "test: {name:<12}{:>7.1} s",
            duration.as_secs_f64()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, NAMES, Privilege, requirements, stages};

    #[test]
    fn what_is_required_depends_on_the_machine() {
        let all = NAMES.to_vec();
        for (privilege, kernel, missing, want) in [
            (Privilege::Root, true, vec![], all.clone()),
            // A package that failed to install must not make the gate weaker.
            (Privilege::Root, false, vec!["umoci", "e2fsck"], all),
            (
                Privilege::Sudo,
                true,
                vec!["umoci"],
                vec!["boot", "fsck", "tool"],
            ),
            (Privilege::None, true, vec![], vec!["boot", "fsck", "tool"]),
            (Privilege::None, true, vec!["umoci"], vec!["boot", "fsck"]),
            (
                Privilege::None,
                true,
                vec!["qemu-img", "fsck.erofs"],
                vec!["tool"],
            ),
            (Privilege::None, false, vec![], vec!["fsck", "tool"]),
        ] {
            let shown = format!("{kernel} {missing:?}");
            let machine = Machine {
                privilege,
                kernel,
                missing,
            };
            assert_eq!(requirements(&machine), want, "{shown}");
        }
    }

    #[test]
    fn the_cheapest_check_is_first_and_the_tests_are_last() {
        let names: Vec<_> = stages().iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["fmt", "clippy", "build", "test"]);
    }
}
