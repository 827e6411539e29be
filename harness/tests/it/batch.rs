//! Batches and shelves: what comes of one counts where it is no news, and nowhere else.

use std::collections::BTreeMap;

use fs_err as fs;
use harness::boot::Mode;
use serde_json::Value;

use crate::boot::machine::machine;
use crate::project::{PLAIN, Project, Said, both};
use crate::require::contained;

/// Alone it does what `alone` says, in a batch what `batch` says.
pub(crate) fn project(alone: &str, batch: &str) -> Project {
    with_daemon(both(), alone, batch)
}

fn with_daemon(project: Project, alone: &str, batch: &str) -> Project {
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

pub(crate) fn run(project: &Project, more: &[&str]) -> Said {
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

pub(crate) const RIGHT: &str = r#""$1" convert --layout "$2" --reference latest --format tar "$3""#;
pub(crate) const WRONG: &str = "exit 9";

/// Converts each image as it should.
pub(crate) const ALL: &str = r#"
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
fn equal_images_of_a_batch_are_given_to_it_once() {
    if !contained("batches") {
        return;
    }
    let project = Project::with_cases(&[("name/a", PLAIN), ("name/b", PLAIN), ("name/c", &bare())]);
    // Of three images two are equal; more would be news, and each asked alone.
    let batch = format!("test $(ls \"$2\" | wc -l) = 2 || exit 1\n{ALL}");
    run(&with_daemon(project, WRONG, &batch), &["--once"])
        .is(0)
        .prints("3 pass   0 fail");
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
fn a_batch_is_enough_to_fail_as_it_is_known_to() {
    if !contained("batches") {
        return;
    }
    let refused = ALL.replace("echo $status", "rm -f \"$to/rootfs\"; echo 3");
    let project = project(RIGHT, &refused);
    let known = |kind: &str| {
        let text = format!(
            "[[known]]\ncases = ['name/plain']\nkinds = ['{kind}']\nreason = 'r'\nlink = 'l'\n"
        );
        project.write("runners/daemon/expectations.toml", &text);
    };
    known("rejected");
    run(&project, &["--once"])
        .is(0)
        .prints("1 pass   0 fail   1 known");
    // Alone it would pass, which is news.
    known("crash");
    run(&project, &["--once"])
        .is(1)
        .prints("1 pass   0 fail   0 known   1 fixed");
}

/// [`PLAIN`] without the layer that has the shell.
fn bare() -> String {
    PLAIN.replace("\n[[layer]]", "base  = \"none\"\n\n[[layer]]")
}

/// A packer that makes something else of a directory that has `etc/other`.
fn packer(project: &Project, other: &str) {
    let script = format!(
        "unset SOURCE_DATE_EPOCH; if test -e \"$1/etc/other\"; then {other}; else mkfs.erofs \"$2\" \"$1\"; fi"
    );
    let descriptor = format!(
        "summary = 'x'\ninput = 'dir'\noutput = 'erofs'\n\
         command = ['sh', '-c', '''{script}''', 'sh', '{{in}}', '{{out}}']\n\
         version = ['mkfs.erofs', '-V']\nlacks = ['root-attributes']\n"
    );
    project.write("runners/packer/runner.toml", &descriptor);
}

#[test]
fn an_image_among_others_is_judged_as_if_it_were_alone() {
    let other = "{ file = \"etc/other\", text = \"\" }";
    let other = |case: &str| case.replace("entries = [", &format!("entries = [{other}, "));
    let bare = bare();
    let project = Project::with_cases(&[
        ("name/a", PLAIN),
        ("name/b", &other(PLAIN)),
        ("name/c", PLAIN),
        ("name/d", &bare),
        ("name/e", &other(&bare)),
        ("name/f", &bare),
    ]);
    if !contained("shelves") || machine(Mode::Snapshot).is_none() {
        return;
    }
    project.lend_machine();
    for (other, why) in [
        (
            "truncate -s 65536 \"$2\"",
            "the guest cannot mount the image",
        ),
        (
            "mkdir $TMPDIR/x && cp -a \"$1/.\" $TMPDIR/x && rm -rf $TMPDIR/x/bin $TMPDIR/x/etc/plain && \
             mkfs.erofs \"$2\" $TMPDIR/x && rm -rf $TMPDIR/x",
            "missing   ./etc/plain",
        ),
        ("exit 7", "exit 7"),
    ] {
        packer(&project, other);
        let said = project
            .harness(&[
                "run",
                "--tools",
                "host",
                "--converter",
                "native+packer",
                "--once",
                "--verbose",
            ])
            .is(1)
            .prints("4 pass   2 fail")
            .prints(why);
        for name in ["a", "c", "d", "f"] {
            let passed = format!("PASS  native+packer/name/{name}\n");
            let (_, rest) = said.stdout.split_once(&passed).expect(&passed);
            let seen = rest.lines().next().unwrap_or_default();
            let has_shell = ["a", "c"].contains(&name);
            assert_eq!(
                seen.contains("/bin/sh answered"),
                has_shell,
                "{name}: {seen}"
            );
        }
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

/// A converter without a command for many: what it does alone, and what it does among others.
fn plain(alone: &str, among: &str) -> Project {
    let project = both();
    let script = format!("case $3 in /out/rootfs/*) {among};; *) {alone};; esac");
    let descriptor = format!(
        "summary = 'x'\ninput = 'layout'\noutput = 'tar'\n\
         command = ['sh', '-c', '''{script}''', 'sh', '{{harness}}', '{{layout}}', '{{out}}']\n"
    );
    project.write("runners/daemon/runner.toml", &descriptor);
    project
}

#[test]
fn conversions_share_a_container_but_not_where_everything_runs_twice() {
    if !contained("batches") {
        return;
    }
    let project = plain(WRONG, RIGHT);
    run(&project, &["--once"]).is(0).prints("2 pass   0 fail");
    run(&project, &[]).is(1).prints("0 pass   2 fail");
}

#[test]
fn what_a_conversion_does_to_its_neighbours_does_not_count() {
    if !contained("batches") {
        return;
    }
    // Something beside the others' folders, in its own beside the output, in the temporary folder, outside.
    for more in [
        "touch ${3%/*/*}/new",
        "touch ${3%/*}/new",
        "touch $TMPDIR/left",
        "touch /srv/escaped",
    ] {
        let among = format!("{RIGHT} && {more}");
        run(&plain(WRONG, &among), &["--once"])
            .is(1)
            .prints("0 pass   2 fail");
    }
    for among in ["exit 9", "exit 125", "kill -9 $$", "sleep 30", "exit 0"] {
        run(&plain(RIGHT, among), &["--once", "--time-limit", "2"])
            .is(0)
            .prints("2 pass   0 fail");
    }
}

#[test]
fn a_failure_that_is_known_to_disturb_keeps_its_image_out_of_a_batch() {
    if !contained("batches") {
        return;
    }
    let project = plain("kill -9 $$", RIGHT);
    let text = "[[known]]\ncases = ['name/plain']\nkinds = ['crash']\nreason = 'r'\nlink = 'l'\n";
    project.write("runners/daemon/expectations.toml", text);
    // The other image has none to go with now.
    run(&project, &["--once"])
        .is(1)
        .prints("0 pass   1 fail   1 known");
}

#[test]
fn packers_share_what_they_pack_and_cannot_change_it() {
    let project = Project::with_cases(&[("name/a", PLAIN), ("name/b", PLAIN)]);
    if !contained("batches") {
        return;
    }
    for name in ["one", "two"] {
        // It tries to leave something for the next, and to take something away.
        let script = "rm -rf \"$0/etc\"; touch \"$0/left\"; tar -C \"$0\" --xattrs -cf \"$1\" .";
        let descriptor = format!(
            "summary = 'x'\ninput = 'dir'\noutput = 'tar'\n\
             command = ['sh', '-c', '''{script}''', '{{in}}', '{{out}}']\n"
        );
        project.write(&format!("runners/{name}/runner.toml"), &descriptor);
    }
    project
        .harness(&[
            "run",
            "--boot",
            "off",
            "--converter",
            "native+one",
            "--converter",
            "native+two",
            "--once",
        ])
        .is(0)
        .prints("4 pass   0 fail");
}

/// Two packers behind an extractor that leaves a mark no other conversion has.
fn marked() -> Project {
    let project = Project::with_cases(&[("name/a", PLAIN), ("name/b", PLAIN)]);
    let mark = r#""$0" convert --layout "$1" --reference latest --format dir "$2" &&
        touch "$2/mark-$(cat /proc/sys/kernel/random/uuid)""#;
    let extractor = format!(
        "summary = 'x'\ninput = 'layout'\noutput = 'dir'\nneeds = ['root']\n\
         command = ['sh', '-c', '''{mark}''', '{{harness}}', '{{layout}}', '{{out}}']\n"
    );
    project.write("runners/marking/runner.toml", &extractor);
    let known = "[[known]]\ncases = ['name/a', 'name/b']\nkinds = ['silent', 'unstable']\n\
                 reason = 'r'\nlink = 'l'\n";
    project.write("runners/marking/expectations.toml", known);
    for name in ["one", "two"] {
        let packer = "summary = 'x'\ninput = 'dir'\noutput = 'tar'\n\
                      command = ['tar', '-C', '{in}', '--xattrs', '-cf', '{out}', '.']\n";
        project.write(&format!("runners/{name}/runner.toml"), packer);
    }
    project
}

/// Of each case the marks that the trials of a run show.
fn marks(project: &Project, more: &[&str]) -> BTreeMap<String, Vec<String>> {
    let record = project.arg("run.json");
    let asked = ["run", "--boot", "off", "--json", &record];
    let chains = ["--converter", "marking+one", "--converter", "marking+two"];
    project.harness(&[&asked[..], &chains, more].concat()).is(0);
    let record: Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let mut marks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for trial in record["trials"].as_array().unwrap() {
        let findings = trial["findings"].as_array().unwrap().iter();
        let lines = findings
            .map(|finding| finding["line"].as_str().unwrap().to_owned())
            .filter(|line| line.starts_with("extra     ./mark-"));
        let case = trial["case"].as_str().unwrap().to_owned();
        marks.entry(case).or_default().extend(lines);
    }
    marks
}

#[test]
fn packers_of_one_run_pack_the_very_same_but_not_where_everything_runs_twice() {
    if !contained("batches") {
        return;
    }
    let project = marked();
    for (more, are_same) in [(&["--once"][..], true), (&[], false)] {
        let marks = marks(&project, more);
        assert_eq!(marks.len(), 2, "{marks:?}");
        // The two cases are the same image.
        let (a, b) = (&marks["name/a"][0], &marks["name/b"][0]);
        assert_eq!(a == b, are_same, "{a} {b}");
        for (case, marks) in marks {
            assert_eq!(marks.len(), 2, "{case}: {marks:?}");
            assert_eq!(marks[0] == marks[1], are_same, "{case}: {marks:?}");
        }
    }
}

#[test]
fn what_hangs_or_waits_or_sees_loop_devices_is_asked_too() {
    if !contained("batches") {
        return;
    }
    let project = both();
    for (name, script, needs) in [
        ("hanging", "sleep 30", "needs = ['root']"),
        ("looping", RIGHT, "needs = ['loop']"),
        ("waiting", RIGHT, "waits = true"),
    ] {
        let descriptor = format!(
            "summary = 'x'\ninput = 'layout'\noutput = 'tar'\n{needs}\n\
             command = ['sh', '-c', '''{script}''', 'sh', '{{harness}}', '{{layout}}', '{{out}}']\n"
        );
        project.write(&format!("runners/{name}/runner.toml"), &descriptor);
    }
    let known = "[[known]]\ncases = ['name/plain', 'layout/altered']\nkinds = ['timeout']\n\
                 reason = 'r'\nlink = 'l'\n";
    project.write("runners/hanging/expectations.toml", known);
    for jobs in [&["--jobs", "1"][..], &[]] {
        let asked = ["run", "--boot", "off", "--format", "tar", "--once"];
        let limit = ["--time-limit", "1"];
        let chains = ["hanging", "looping", "waiting"].map(|name| ["--converter", name]);
        project
            .harness(&[&asked[..], &limit, &chains.concat(), jobs].concat())
            .is(0)
            .prints("4 pass   0 fail   2 known");
    }
}

#[test]
fn an_image_of_the_same_bytes_is_judged_by_its_own_case() {
    let other = "{ file = \"etc/other\", text = \"\" }";
    let other = PLAIN.replace("entries = [", &format!("entries = [{other}, "));
    let project = Project::with_cases(&[("name/a", PLAIN), ("name/b", &other), ("name/c", PLAIN)]);
    if !contained("shelves") || machine(Mode::Snapshot).is_none() {
        return;
    }
    project.lend_machine();
    // It loses a file, so that all three are the same image.
    let script = "mkdir $TMPDIR/x && cp -a \"$1/.\" $TMPDIR/x && rm -f $TMPDIR/x/etc/other && \
                  mkfs.erofs --quiet -T0 -U 6f2d4a3c-0000-4000-8000-000000000001 \"$2\" $TMPDIR/x && \
                  rm -rf $TMPDIR/x";
    let descriptor = format!(
        "summary = 'x'\ninput = 'dir'\noutput = 'erofs'\n\
         command = ['sh', '-c', '''{script}''', 'sh', '{{in}}', '{{out}}']\n\
         version = ['mkfs.erofs', '-V']\nlacks = ['root-attributes']\n"
    );
    project.write("runners/packer/runner.toml", &descriptor);
    project
        .harness(&[
            "run",
            "--tools",
            "host",
            "--converter",
            "native+packer",
            "--once",
        ])
        .is(1)
        .prints("2 pass   1 fail")
        .prints("FAIL  native+packer/name/b")
        .prints("missing   ./etc/other");
}
