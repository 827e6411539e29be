//! Runners as data: tool roots, versions, variants, scripts, and the state a daemon keeps.

use fs_err as fs;

use crate::project::{Project, checkout, plain};
use crate::require::{contained, root};

/// A converter of two tool roots, one of which is there; it does nothing but show its root.
const FAKE: &str = r#"
summary = "prints the version file of its root directory"
input   = "layout"
output  = "dir"
command = ["sh", "-c", "cat /version && exit 7", "{out}"]
version = ["sh", "-c", "cat /version"]
package = "fake"
roots   = ["small", "large"]

[variant.twice]
summary = "the same, twice"
command = ["sh", "-c", "cat /version && cat /version && exit 8", "{out}"]
"#;

/// A converter that is a script in its folder.
const SCRIPT: &str = r#"
summary = "a script, with what was built for it"
input   = "layout"
output  = "tar"
command = ["sh", "{runner}/convert.sh", "{harness}", "{layout}", "{tag}", "{out}", "{built}/bin/word"]
version = ["sh", "-c", "echo script 1"]
build   = ["sh", "-c", "mkdir $PREFIX/bin; echo built > $PREFIX/bin/word"]
"#;

/// A project with the converter `fake` and its first root, which holds a shell and a version.
fn with_root() -> Project {
    let project = plain();
    project.write("runners/fake/runner.toml", FAKE);
    project.write("runners/fake/expectations.toml", "rated = ['1.2']\n");
    project.write("target/tools/small/version", "fake 1.2\n");
    project.write("target/tools/small/bin/sh", "");
    let shell = project.path("target/tools/small/bin/sh");
    fs::copy(checkout().join("corpus/asset/sh"), shell).unwrap();
    project.write("target/tools/small.packages", "libfake 9\nfake 1:1.2-3\n");
    project
}

fn run(project: &Project, arguments: &[&str]) -> crate::project::Said {
    project.harness(
        &[
            &["run", "--boot", "off", "--once", "--format", "dir"],
            arguments,
        ]
        .concat(),
    )
}

#[test]
fn a_converter_sees_its_tool_root_as_its_root_directory() {
    if !contained("another root directory") {
        return;
    }
    let project = with_root();
    run(&project, &["--converter", "fake"])
        .is(1)
        .prints("fake (fake 1.2, tool root small) · 1 trial")
        .prints("rejected  fake: exit 7");
    run(&project, &["--converter", "fake-twice"])
        .is(1)
        .prints("fake-twice (fake 1.2, tool root small)")
        .prints("rejected  fake-twice: exit 8");
    project.write("runners/fake/expectations.toml", "rated = ['1.3']\n");
    run(&project, &["--converter", "fake"])
        .is(1)
        .prints("fake (fake 1.2, tool root small, failures not looked at yet)");
    // The host has no such file.
    run(&project, &["--converter", "fake", "--tools", "host"])
        .is(1)
        .prints("fake (cat: /version: No such file")
        .prints("rejected  fake: exit");
}

#[test]
fn a_root_that_was_not_made_is_a_skip_that_can_be_forbidden() {
    let project = with_root();
    let asked = ["--converter", "fake@large"];
    run(&project, &asked)
        .is(0)
        .prints("there is no tool root `large`: cargo run -p ci -- setup");
    run(&project, &[&asked[..], &["--require", "tool"]].concat())
        .is(1)
        .prints("ERROR fake@large/name/plain");
    // A root without its list was not finished; the plain name then stands for the host.
    fs::remove_file(project.path("target/tools/small.packages")).unwrap();
    let said = run(&project, &["--converter", "fake"]);
    assert!(!said.stdout.contains("tool root"), "{}", said.stdout);
}

#[test]
fn a_version_names_the_root_that_has_it() {
    if !contained("another root directory") {
        return;
    }
    let project = with_root();
    for name in ["fake@1.2", "fake@1.2-3"] {
        run(&project, &["--converter", name])
            .is(1)
            .prints("FAIL  fake/name/plain");
    }
    for name in ["fake@1.3", "fake@1", "fake@"] {
        let known = "there are: fake (1:1.2-3)";
        if name == "fake@1" {
            // 1 is how 1.2 begins.
            run(&project, &["--converter", name]).is(1);
        } else {
            run(&project, &["--converter", name]).refuses(known);
        }
    }
}

#[test]
fn a_script_finds_its_folder_and_what_was_built_for_it() {
    if !contained("a script") {
        return;
    }
    let project = plain();
    project.write("runners/script/runner.toml", SCRIPT);
    let convert = "set -e; test \"$(cat \"$5\")\" = built\n\
                   \"$1\" convert --layout \"$2\" --reference \"$3\" --format tar \"$4\"\n";
    project.write("runners/script/convert.sh", convert);
    let asked = [
        "run",
        "--boot",
        "off",
        "--format",
        "tar",
        "--converter",
        "script",
    ];
    project
        .harness(&asked)
        .is(0)
        .prints("`script` is not built: cargo run -p ci -- tool script")
        .prints("0 pass   0 fail   0 known   0 fixed   1 skip");
    let text = format!("{SCRIPT}[variant.twice]\nsummary = 'x'\ncommand = ['sh', '{{out}}']\n");
    project.write("runners/script/runner.toml", &text);
    let variant = [&asked[..6], &["script-twice"]].concat();
    project
        .harness(&variant)
        .is(0)
        .prints("`script-twice` is not built: cargo run -p ci -- tool script\n");
    project.write("target/tools/built/script/bin/word", "built\n");
    project.harness(&asked).is(0).prints("1 pass");
    project.write("target/tools/built/script/bin/word", "other\n");
    project
        .harness(&asked)
        .is(1)
        .prints("rejected  script: exit 1");
}

#[test]
fn only_the_state_that_is_declared_is_no_escape() {
    if !root("writing where only root may") || !contained("escapes") {
        return;
    }
    let project = plain();
    let descriptor = |state: &str| {
        let text = SCRIPT
            .replace(", \"{built}/bin/word\"", "")
            .replace("build ", "# build ");
        project.write(
            "runners/daemon/runner.toml",
            &format!("{text}state = [{state}]\n"),
        );
    };
    let convert = "mkdir -p /srv/own/deep /srv/other && touch /srv/own/deep/a /srv/own-not\n\
                   \"$1\" convert --layout \"$2\" --reference \"$3\" --format tar \"$4\"\n";
    project.write("runners/daemon/convert.sh", convert);
    let asked = [
        "run",
        "--boot",
        "off",
        "--format",
        "tar",
        "--converter",
        "daemon",
    ];
    descriptor("'/srv/own', '/srv/other', '/srv/own-not'");
    project.harness(&asked).is(0).prints("1 pass");
    descriptor("'/srv/own'");
    let said = project
        .harness(&asked)
        .is(1)
        .prints("escape    daemon: Created /srv/other");
    let said = said.prints("escape    daemon: Created /srv/own-not");
    assert!(!said.stdout.contains("/srv/own/"), "{}", said.stdout);
    for state in ["/", "/srv", "srv/own", "/srv/../etc"] {
        descriptor(&format!("'{state}'"));
        project
            .harness(&asked)
            .refuses(&format!("state `{state}` must be an absolute directory"));
    }
}

#[test]
fn a_name_stands_for_one_runner() {
    let project = with_root();
    project.write("runners/fake-twice/runner.toml", FAKE);
    project
        .harness(&["run", "--converter", "fake"])
        .refuses("there is another runner `fake-twice`");
    let project = with_root();
    project.write("runners/fake@1/runner.toml", FAKE);
    project
        .harness(&["run", "--converter", "fake"])
        .refuses("a runner's name has neither `+` nor `@`");
}
