//! Verdicts, end to end: what a converter does wrong, what is known of it, what cannot be checked.

use fs_err as fs;

use crate::project::{GOOD, PLAIN, Project, Said, both, plain};
use crate::require::{contained, root};

#[test]
fn a_good_converter_is_green() {
    both()
        .convert(GOOD, "tar", &[])
        .is(0)
        .prints("PASS  command/name/plain")
        .prints("PASS  command/layout/altered")
        .prints("2 pass   0 fail   0 known   0 fixed   0 skip   0 error");
}

#[test]
fn a_converter_that_says_it_is_done_and_made_nothing_is_silent() {
    let said = both().convert("true {out}", "dir", &[]).is(1);
    said.prints("silent    command: exit 0, but there is no output")
        .prints("0 pass   2 fail");
}

#[test]
fn death_by_signal_is_a_crash_and_never_a_rejection() {
    let said = both().convert("kill -SEGV $$ {out}", "dir", &[]).is(1);
    said.prints("crash     command: killed by signal 11")
        .prints("0 pass   2 fail");
}

#[test]
fn a_converter_that_hangs_is_stopped_at_the_time_limit() {
    let limit = ["--time-limit", "1"];
    let said = both()
        .convert("sleep 1000; true {out}", "dir", &limit)
        .is(1);
    said.prints("timeout   command: not done after 1 s")
        .prints("0 pass   2 fail");
}

#[test]
fn converters_that_do_nothing_never_score() {
    let rejects = both()
        .convert("echo no >&2; exit 3; true {out}", "dir", &[])
        .is(1);
    rejects
        .prints("rejected  command: exit 3: no")
        .prints("rejected  the twin, which is repaired: command: exit 3: no")
        .prints("0 pass   2 fail");
    let empty = both().convert("mkdir {out}", "dir", &[]).is(1);
    empty
        .prints("silent    missing   ./etc/plain")
        .prints("accepted  accepted, though the digest of a layer blob is not the stated one")
        .prints("0 pass   2 fail");
}

#[test]
fn an_output_left_after_a_failure_is_unclean() {
    plain()
        .convert("mkdir {out}; exit 1", "dir", &[])
        .is(1)
        .prints("rejected  command: exit 1")
        .prints("unclean   command failed and left its output `rootfs`");
}

#[test]
fn an_output_of_another_form_cannot_be_read_back() {
    plain()
        .convert("echo text > {out}", "tar", &[])
        .is(1)
        .prints("silent    the output cannot be read back");
    plain()
        .convert("echo text > {out}", "dir", &[])
        .is(1)
        .prints("silent    the output cannot be read back: `.`: Not a directory");
}

#[test]
fn a_required_check_that_cannot_be_done_is_an_error() {
    let project = plain();
    let image = "truncate -s 1M {out}";
    let without = project.convert(image, "squashfs", &[]).is(0);
    without
        .prints("SKIP  command/name/plain\n      booting is switched off (--boot off)")
        .prints("not checked in 1 trials: boot: booting is switched off (--boot off)")
        .prints("0 pass   0 fail   0 known   0 fixed   1 skip   0 error");
    project
        .convert(image, "squashfs", &["--require", "boot"])
        .is(1)
        .prints("ERROR command/name/plain")
        .prints("--require boot, but: booting is switched off (--boot off)");
    project.write(
        "runners/absent/runner.toml",
        "summary = 'a tool nobody has'\ninput = 'layout'\noutput = 'dir'\n\
         command = ['no-such-tool-anywhere', '{layout}', '{out}']\npackage = 'no-such-package'\n",
    );
    let run = |more: &[&str]| {
        project.harness(&[&["run", "--converter", "absent", "--format", "dir"], more].concat())
    };
    let cause = "`no-such-tool-anywhere` is not installed (Debian package no-such-package)";
    run(&[]).is(0).prints(cause).prints("1 skip   0 error");
    run(&["--require", "tool"])
        .is(1)
        .prints(cause)
        .prints("0 skip   1 error");
    run(&["--require", "all"])
        .is(1)
        .prints(cause)
        .prints("0 skip   1 error");
    run(&["--require", "boot,root"])
        .is(0)
        .prints("1 skip   0 error");
}

/// A converter with a folder of its own, which does what `script` says, and one known failure.
fn with_known(script: &str, kinds: &str) -> Project {
    let project = plain();
    project.write(
        "runners/mine/runner.toml",
        &format!(
            "summary = 'mine'\ninput = 'layout'\noutput = 'tar'\ncommand = ['sh', '-c', '{script}']\n"
        ),
    );
    project.write(
        "runners/mine/expectations.toml",
        &format!(
            "[[known]]\ncases = ['name/plain']\nkinds = [{kinds}]\nreason = 'it has a bad day'\n\
             link = 'mine#1'\n"
        ),
    );
    project
}

#[test]
fn known_failures_are_green_and_everything_else_about_them_is_red() {
    let run = |project: &Project| project.harness(&["run", "--converter", "mine"]);
    let rejects = "exit 1; true {out}";
    run(&with_known(rejects, "'rejected'"))
        .is(0)
        .prints("KNOWN mine/name/plain\n      it has a bad day")
        .prints("0 pass   0 fail   1 known");
    run(&with_known(rejects, "'silent', 'crash'"))
        .is(1)
        .prints("FAIL  mine/name/plain")
        .prints("rejected  mine: exit 1");
    run(&with_known("kill -9 $$; true {out}", "'rejected'"))
        .is(1)
        .prints("crash     mine: killed by signal 9");
    run(&with_known(GOOD, "'rejected'"))
        .is(1)
        .prints("FIXED mine/name/plain")
        .prints("passes, yet runners/mine/expectations.toml says it fails: delete the line");
}

#[test]
fn what_is_known_everywhere_is_green_by_its_line_alone() {
    let project = with_known("exit 1; true {out}", "'silent'");
    let every = |kind: &str, line: &str| {
        let text = format!(
            "[[everywhere]]\nkind = '{kind}'\nline = '{line}'\nreason = 'it always does'\nlink = 'mine#2'\n"
        );
        project.write("runners/mine/expectations.toml", &text);
        project.harness(&["run", "--converter", "mine"])
    };
    every("rejected", "mine: exit 1")
        .is(0)
        .prints("KNOWN mine/name/plain\n      it always does");
    every("rejected", "mine: exit 2").is(1).prints("FAIL");
    every("silent", "mine: exit 1").is(1).prints("FAIL");
    every("sad", "mine: exit 1").refuses("`sad` is no kind of finding");
}

#[test]
fn expectations_that_match_nothing_are_errors() {
    let project = with_known(GOOD, "'rejected'");
    let run = || project.harness(&["run", "--converter", "native-tar"]);
    let file = "runners/mine/expectations.toml";
    let good = fs::read_to_string(project.path(file)).unwrap();
    for (old, new, error) in [
        (
            "name/plain",
            "name/plane",
            "no case `name/plane`; an entry must match something",
        ),
        (
            "'rejected'",
            "'sad'",
            "`sad` is no kind of finding; there are escape, silent",
        ),
        ("'rejected'", "", "needs cases, kinds, a reason and a link"),
        (
            "it has a bad day",
            " ",
            "needs cases, kinds, a reason and a link",
        ),
        ("reason", "raeson", "unknown field `raeson`"),
        ("link = 'mine#1'", "", "missing field `link`"),
    ] {
        project.write(file, &good.replace(old, new));
        run().refuses(file).refuses(error);
    }
}

#[test]
fn wrong_runner_descriptors_are_named() {
    let project = plain();
    let good = "summary = 'x'\ninput = 'layout'\noutput = 'dir'\ncommand = ['x', '{out}']\n";
    for (old, new, error) in [
        ("{out}", "{on}", "the command must name {out}"),
        ("['x', '{out}']", "[]", "the command must name {out}"),
        ("input", "inptu", "unknown field `inptu`"),
        ("'dir'", "'ext5'", "unknown variant `ext5`"),
        ("summary = 'x'", "", "missing field `summary`"),
    ] {
        project.write("runners/x/runner.toml", &good.replace(old, new));
        project
            .harness(&["run"])
            .refuses("runners/x/runner.toml`:")
            .refuses(error);
    }
}

#[test]
fn the_record_says_what_the_report_says() {
    let project = plain();
    let json = project.arg("out/run.json");
    project
        .convert("exit 1; true {out}", "dir", &["--json", &json])
        .is(1);
    let record: harness::report::Record =
        serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let trial = &record.trials[0];
    assert_eq!(
        (trial.name(), trial.verdict.as_str()),
        ("command/name/plain".to_owned(), "fail")
    );
    assert_eq!(trial.findings[0].kind, "rejected");
    assert!(trial.is_red());
}

#[test]
fn texts_a_person_reads() {
    let project = both();
    let report = |said: Said| project.masked(&said.stdout);
    // Where the host cannot contain a converter in full, every report says so.
    if contained("the texts of reports") && root("the texts of reports") {
        insta::assert_snapshot!(
            "report_green",
            report(project.convert(GOOD, "tar", &[]).is(0))
        );
        let script = "mkdir -p {out}/etc/plain && touch -d @0 {out}";
        insta::assert_snapshot!(
            "report_red",
            report(project.convert(script, "dir", &[]).is(1))
        );
    }

    project.write(
        "corpus/name/plain.toml",
        &PLAIN.replace("mode =", "modus ="),
    );
    let error = project.harness(&["list"]).is(2).stderr;
    insta::assert_snapshot!("case_error", project.masked(&error));
}

/// A case on which the spec is silent: the file may be there or not, or the image be refused.
const ONE_OF: &str = r#"
title = "a file is there or not"
spec  = "layer.md#file-types"
level = "policy"

[[layer]]
entries = [{ file = "etc/doubt", text = "x\n" }]

[expect]
one-of = [{ name = "there" }, { name = "not", layers = [[{ dir = "etc" }]] }, { name = "reject" }]
"#;

#[test]
fn any_listed_outcome_passes_and_nothing_else() {
    let project = Project::with_cases(&[("name/doubt", ONE_OF)]);
    let edit = |script: &str| {
        let command = format!("{GOOD} && python3 -c {script:?} {{out}}");
        project.convert(&command, "tar", &[])
    };
    project
        .convert(GOOD, "tar", &[])
        .is(0)
        .prints("paths as expected (there)");
    project
        .convert("exit 4; true {out}", "tar", &[])
        .is(0)
        .prints("rejected (exit 4)");
    if crate::require::tool(
        "python3",
        "outcomes that the native extractor does not choose",
    )
    .is_some()
    {
        let without = "import sys,tarfile; path=sys.argv[1]; old=tarfile.open(path); \
                       new=tarfile.open(path+'.new','w',format=tarfile.PAX_FORMAT); \
                       [new.addfile(m, old.extractfile(m)) for m in old if m.name != NAME]; \
                       new.close(); import os; os.rename(path+'.new', path)";
        edit(&without.replace("NAME", "'etc/doubt'"))
            .is(0)
            .prints("paths as expected (not)");
        edit(&without.replace("NAME", "'usr/bin/sh'"))
            .is(1)
            .prints("silent    missing   ./usr/bin/sh");
    }
    let no_reject = ONE_OF.replace(", { name = \"reject\" }", "");
    Project::with_cases(&[("name/doubt", &no_reject)])
        .convert("exit 4; true {out}", "tar", &[])
        .is(1)
        .prints("rejected  command: exit 4");
}

#[test]
fn a_case_without_a_verdict_still_has_the_global_invariants() {
    let record = PLAIN.replace("tree = \"golden\"", "record = \"nobody agrees\"");
    let project = Project::with_cases(&[("name/plain", &record)]);
    project.convert(GOOD, "tar", &[]).is(0);
    project
        .convert("exit 4; true {out}", "tar", &[])
        .is(0)
        .prints("rejected (exit 4)");
    for (script, finding) in [
        (
            "kill -SEGV $$; true {out}",
            "crash     command: killed by signal 11",
        ),
        (
            "true {out}",
            "silent    command: exit 0, but there is no output",
        ),
        (
            "touch {out}; exit 1",
            "unclean   command failed and left its output `rootfs.tar`",
        ),
    ] {
        project.convert(script, "tar", &[]).is(1).prints(finding);
    }
}

#[test]
fn what_a_converter_leaves_behind_or_uses_up_is_found() {
    if !contained("leftovers and limits") {
        return;
    }
    let project = plain();
    for (script, finding) in [
        (
            "touch $TMPDIR/x",
            "unclean   command left a temporary file /tmp/x",
        ),
        // A trap that does not fire, a packer that fails before it cleans up.
        (
            "mkdir -p $TMPDIR/t/x; exit 1",
            "unclean   command left a temporary file /tmp/t",
        ),
        ("sleep 1000 &", "unclean   command left a process sleep"),
        (
            "echo x > /etc/stray",
            "escape    command: Created /etc/stray",
        ),
        (
            "exec truncate -s 17G {out}",
            "resource  command: stopped for using too much: file size",
        ),
    ] {
        let command = format!("{GOOD}; {script}");
        project.convert(&command, "tar", &[]).is(1).prints(finding);
    }
}

/// A known failure of one stage that another stage masks is not gone.
#[test]
fn a_pass_in_a_chain_does_not_show_which_stage_got_better() {
    let project = with_known(GOOD, "'rejected'");
    project.write(
        "runners/again/runner.toml",
        "summary = 'x'\ninput = 'tar'\noutput = 'tar'\ncommand = ['cp', '{in}', '{out}']\n",
    );
    let run = |chain: &str| project.harness(&["run", "--converter", chain]);
    run("mine+again")
        .is(0)
        .prints("PASS  mine+again/name/plain");
    let known = fs::read_to_string(project.path("runners/mine/expectations.toml")).unwrap();
    project.write("runners/again/expectations.toml", &known);
    run("native-tar+again")
        .is(1)
        .prints("FIXED native-tar+again/name/plain")
        .prints("runners/again/expectations.toml says it fails");
}

#[test]
fn a_command_typed_below_tmp_finds_its_folder() {
    // The project's folder is itself below /tmp, which a container has one of its own of.
    let project = plain();
    let script = project.path("convert.sh");
    std::fs::write(
        &script,
        "exec \"$1\" convert --layout \"$2\" --format tar \"$3\"\n",
    )
    .unwrap();
    let arguments = [
        "run",
        "--command",
        "sh ./convert.sh {harness} {layout} {out}",
    ];
    let said = std::process::Command::new(crate::require::HARNESS)
        .arg("--home")
        .arg(project.path(""))
        .args(arguments)
        .args(["--output", "tar", "--format", "tar"])
        .current_dir(project.path(""))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.status.code(), Some(0), "{text}");
    assert!(text.contains("1 pass"), "{text}");
}

#[test]
fn an_embargoed_finding_is_named_by_kind_only() {
    let text = PLAIN.replace("level =", "embargo = true\nlevel =");
    let project = Project::with_cases(&[("name/plain", &text)]);
    let convert = |more| project.convert("mkdir -p {out}/etc/secret", "dir", more);
    let record = || fs::read_to_string(project.path("target/harness/run.json")).unwrap();
    let said = convert(&[]).is(1).prints("silent    (embargoed)");
    assert!(!said.stdout.contains("./etc/secret"), "{}", said.stdout);
    assert!(!record().contains("./etc/secret"), "{}", record());
    convert(&["--with-embargoed"])
        .is(1)
        .prints("extra     ./etc/secret");
    assert!(record().contains("./etc/secret"));
}

/// What one run recorded, in the forms that other programs and people read.
#[test]
fn a_record_is_shown_in_every_form() {
    if !root("the forms of a record with owners") {
        return;
    }
    let project = both();
    project
        .convert(
            "mkdir -p '{out}/<b>|'; touch -d @0 {out}",
            "dir",
            &["--once"],
        )
        .is(1);
    let record = project.path("target/harness/run.json");
    let record = record.display().to_string();
    let show = |form: &str| {
        let said = project
            .harness(&["report", &record, "--format", form])
            .is(0);
        // What this host can hold is no matter of the form.
        let lines = said
            .stdout
            .lines()
            .filter(|line| !line.starts_with("- containment"));
        project.masked(&lines.collect::<Vec<_>>().join("\n"))
    };
    insta::assert_snapshot!("report_junit", show("junit"));
    insta::assert_snapshot!("report_markdown", show("markdown"));
    assert!(show("text").contains("2 fail"));
    project.write("broken.json", "{}");
    let broken = project.path("broken.json").display().to_string();
    project
        .harness(&["report", &broken])
        .is(2)
        .complains("failed to read the record");
}
