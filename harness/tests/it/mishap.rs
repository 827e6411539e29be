//! `--fault`: what goes wrong on purpose, and what a converter makes of it.

use crate::project::{GOOD, PLAIN, Project, Said, plain};
use crate::require::{HARNESS, contained, root, tool};

const FAULTS: [&str; 5] = [
    "disk-full",
    "slow-blob",
    "truncate-blob",
    "kill-at=50%",
    "term-at=50%",
];

/// Writes in place, slowly enough to be met in the middle, and takes any failure for none.
const CARELESS: &str = "{harness} convert --layout {layout} --reference {tag} --format tar $TMPDIR/t; \
     head -c 800000 $TMPDIR/t > {out}; sleep 0.5; tail -c +800001 $TMPDIR/t >> {out}; rm -f $TMPDIR/t";

/// A case whose output is large enough to be met in its middle.
fn large() -> Project {
    let entry = "{ file = \"etc/large\", pattern = { seed = 1, size = 1000000 } }, { file";
    let text = PLAIN.replacen("{ file", entry, 1);
    Project::with_cases(&[("name/large", &text)])
}

#[track_caller]
fn run(project: &Project, command: &str, fault: &str) -> Said {
    project.convert(command, "tar", &["--fault", fault])
}

#[test]
fn a_good_converter_fails_cleanly_or_does_not_fail() {
    if !contained("a full disk") {
        return;
    }
    let project = large();
    for fault in FAULTS {
        run(&project, GOOD, fault)
            .is(0)
            .prints(&format!("fault: {fault}"));
    }
    run(&project, GOOD, "truncate-blob").prints("exit 1 after truncate-blob, nothing left");
}

#[test]
fn a_careless_converter_is_found_out_by_every_fault() {
    if !contained("a full disk") {
        return;
    }
    let project = large();
    for (fault, finding) in [
        ("disk-full", "silent    "),
        ("slow-blob", "silent    "),
        (
            "truncate-blob",
            "accepted  accepted, though half of a layer's blob",
        ),
        (
            "kill-at=50%",
            "unclean   command failed and left its output",
        ),
        (
            "term-at=50%",
            "unclean   command failed and left its output",
        ),
    ] {
        run(&project, CARELESS, fault).is(1).prints(finding);
    }
}

#[test]
fn a_temporary_file_is_excused_after_a_kill_only() {
    if !contained("signals to a converter") {
        return;
    }
    // What is beside the output under a temporary's name goes when its maker may still act.
    // It waits by itself: a `sleep` would outlive it, and is then left behind.
    let script = "head -c 20000 /dev/zero > $TMPDIR/left; head -c 20000 /dev/zero > {out}.tmp; \
                  i=0; while [ $i -lt 1000000 ]; do i=$((i + 1)); done; rm $TMPDIR/left {out}.tmp";
    let command = format!("{script}; {GOOD}");
    let project = plain();
    run(&project, &command, "kill-at=50%").is(0);
    run(&project, &command, "term-at=50%")
        .is(1)
        .prints("unclean   command left a temporary file");
}

#[test]
fn an_output_that_is_complete_excuses_nothing_else_that_is_left() {
    if !contained("signals to a converter") {
        return;
    }
    // The shell acts on a signal when its command is done.
    let run_after = |first: &str| {
        let command = format!("trap 'exit 143' TERM; {first}; {GOOD}; sleep 1");
        run(&plain(), &command, "term-at=50%")
    };
    run_after("true")
        .is(0)
        .prints("complete before term-at=50%");
    run_after("touch $TMPDIR/left")
        .is(1)
        .prints("unclean   command left a temporary file /tmp/left");
}

#[test]
fn what_is_wrong_without_a_fault_is_not_blamed_on_it() {
    if !root("owners of a directory") || !contained("a slow blob") {
        return;
    }
    let project = plain();
    let script = "trap '' TERM; {harness} convert --layout {layout} --reference {tag} {out} && \
                  touch {out}/extra && sleep 0.2";
    let convert = |more| project.convert(script, "dir", more);
    convert(&[]).is(1).prints("extra     ./extra");
    convert(&["--fault", "term-at=50%"])
        .is(0)
        .prints("done in spite of term-at=50%");
}

#[test]
fn a_fault_is_asked_only_where_it_says_something() {
    let project = plain();
    project
        .harness(&["run", "--fault", "disk-ful"])
        .is(2)
        .complains("there are disk-full, slow-blob");
    if !root("a fault that a packer is not asked about") {
        return;
    }
    project
        .harness(&[
            "run",
            "--converter",
            "native+mkfs.ext4",
            "--fault",
            "slow-blob",
            "--boot=off",
        ])
        .prints("mkfs.ext4 does not read the layout itself");
}

/// The harness's own disk: a file system of a mount namespace of the command's own.
fn on_a_disk_of(bytes: &str, project: &Project, arguments: &[&str]) -> Said {
    const SCRIPT: &str = r#"mount -t tmpfs -o size="$1" none "$2" && shift 2 && exec "$@""#;
    let disk = project.path("target/harness");
    std::fs::create_dir_all(&disk).unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh", bytes]);
    command
        .arg(disk)
        .arg(HARNESS)
        .arg("--home")
        .arg(project.path(""));
    Said::of({
        command.args(arguments);
        command
    })
}

#[test]
fn a_full_disk_of_the_harness_is_its_own_error() {
    if !root("mounting a small disk") || tool("unshare", "a full disk").is_none() {
        return;
    }
    let arguments = [
        "run",
        "--command",
        GOOD,
        "--output",
        "tar",
        "--format",
        "tar",
    ];
    on_a_disk_of("64k", &large(), &arguments)
        .is(1)
        .prints("ERROR command/name/large")
        .prints("the harness failed, not the converter")
        .prints("No space left on device");
    on_a_disk_of("64M", &large(), &arguments).is(0);
}

#[test]
fn a_cache_that_cannot_be_used_is_said() {
    let project = plain();
    let cache = project.path("target/harness/boot");
    std::fs::create_dir_all(cache.parent().unwrap()).unwrap();
    std::fs::write(&cache, "").unwrap();
    let said = project.harness(&["doctor"]).is(1);
    // Where there is no machine at all that is said first.
    let is_said =
        said.stdout.contains("no cache: ") || said.stdout.contains("machine      none: no ");
    assert!(is_said, "{}", said.stdout);
    project
        .harness(&["doctor", "--boot", "off"])
        .is(1)
        .prints("machine      none: booting is switched off (--boot off)");
}
