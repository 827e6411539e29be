//! Batches: what comes of one counts where it makes a trial pass, and nowhere else.

use crate::project::{Project, Said, both};
use crate::require::contained;

/// Alone it does what `alone` says, in a batch what `batch` says.
fn project(alone: &str, batch: &str) -> Project {
    let project = both();
    let argv = |script: &str| {
        format!("['sh', '-c', '''{script}''', 'sh', '{{harness}}', '{{layout}}', '{{out}}']")
    };
    let descriptor = format!(
        "summary = 'x'\ninput = 'layout'\noutput = 'tar'\ncommand = {}\nbatch = {}\n",
        argv(alone),
        argv(batch)
    );
    project.write("runners/daemon/runner.toml", &descriptor);
    project
}

fn run(project: &Project, more: &[&str]) -> Said {
    let asked = [
        "run",
        "--boot",
        "off",
        "--format",
        "tar",
        "--converter",
        "daemon",
    ];
    project.harness(&[&asked[..], more].concat())
}

const RIGHT: &str = r#""$1" convert --layout "$2" --reference latest --format tar "$3""#;
const WRONG: &str = "exit 9";

/// Converts each image as it should.
const ALL: &str = r#"
for layout in "$2"/*; do
    to=$3/${layout##*/}
    mkdir -p "$to"
    status=0
    "$1" convert --layout "$layout" --reference latest --format tar "$to/rootfs" 2>"$to/log" || status=$?
    echo $status >"$to/status"
done
"#;

#[test]
fn a_batch_is_enough_to_pass_but_not_where_everything_runs_twice() {
    if !contained("batches") {
        return;
    }
    let project = project(WRONG, ALL);
    run(&project, &["--once"])
        .is(0)
        .prints("rejected (exit 1), its twin accepted")
        .prints("2 pass   0 fail");
    run(&project, &[]).is(1).prints("0 pass   2 fail");
    // One image is no batch.
    run(&project, &["--once", "--only", "name/plain"])
        .is(1)
        .prints("rejected  daemon: exit 9");
}

#[test]
fn what_a_batch_does_wrong_is_asked_again_alone() {
    if !contained("batches") {
        return;
    }
    for batch in [
        // Nothing, an empty archive, a status that is none, a signal, an output in spite of a failure.
        "true".to_owned(),
        ALL.replace("status=0", "status=0; : >\"$to/rootfs\"; continue"),
        ALL.replace("echo $status", "echo done"),
        ALL.replace("echo $status", "rm -f \"$to/rootfs\"; echo 137"),
        ALL.replace("echo $status", ": >>\"$to/rootfs\"; echo 3"),
        // Something left beside the output.
        ALL.replace("echo $status", "touch \"$to/left\"; echo $status"),
        // Everything refused, and everything accepted.
        ALL.replace("echo $status", "rm -f \"$to/rootfs\"; echo 3"),
        ALL.replace("|| status=$?", "|| cp /etc/passwd \"$to/rootfs\""),
    ] {
        run(&project(RIGHT, &batch), &["--once"])
            .is(0)
            .prints("2 pass");
        let said = run(&project(WRONG, &batch), &["--once"]).is(1);
        assert!(!said.stdout.contains("2 pass"), "{batch}\n{}", said.stdout);
    }
}

#[test]
fn a_batch_that_does_more_than_convert_does_not_count() {
    if !contained("batches") {
        return;
    }
    for more in ["touch /srv/escaped", "touch $TMPDIR/left", "exit 1"] {
        let project = project(WRONG, &format!("{ALL}\n{more}"));
        run(&project, &["--once"]).is(1).prints("0 pass   2 fail");
    }
}
