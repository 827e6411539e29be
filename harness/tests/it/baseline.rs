//! `harness baseline`: from a run to a file that no run takes before a person wrote the reasons.

use fs_err as fs;

use crate::project::{Project, Said, both};

const FILE: &str = "runners/mine/expectations.toml";

fn failing() -> Project {
    let project = both();
    project.write(
        "runners/mine/runner.toml",
        "summary = 'mine'\ninput = 'layout'\noutput = 'tar'\ncommand = ['sh', '-c', 'exit 3; true {out}']\n\
         version = ['echo', 'mine version 1.2.3-x']\n",
    );
    project
}

fn run(project: &Project) -> Said {
    Said::of(project.command(&["run", "--converter", "mine"]))
}

/// Proposes in place.
fn propose(project: &Project) -> (String, Said) {
    let said = Said::of(project.command(&["baseline", "--converter", "mine", "--write"])).is(0);
    (fs::read_to_string(project.path(FILE)).unwrap(), said)
}

#[test]
fn a_proposal_is_known_once_a_person_said_why() {
    let project = failing();
    run(&project).is(1);
    let printed = project.harness(&["baseline", "--converter", "mine"]).is(0);
    let (text, said) = propose(&project);
    assert_eq!(printed.stdout, text);
    assert_eq!(said.stdout, "");
    for line in [
        "  # rejected: mine: exit 3",
        "  \"name/plain\",",
        "kinds = [\"rejected\"]",
        "reason = \"not looked at yet\"",
        "link = \"not looked at yet\"",
        "version = \"1.2.3\"",
    ] {
        assert!(
            text.lines().any(|known| known.starts_with(line)),
            "{line}\n{text}"
        );
    }
    run(&project).refuses("is not looked at yet: look at what fails, then write reason and link");
    project.write(
        FILE,
        &text.replace("not looked at yet", "it always says no"),
    );
    run(&project).is(0).prints("0 pass   0 fail   2 known");
    // Nothing is new now, and what a person wrote stays.
    let (again, _) = propose(&project);
    assert!(
        again.contains("it always says no") && !again.contains("not looked at yet"),
        "{again}"
    );
}

#[test]
fn what_no_longer_fails_is_dropped_and_said() {
    let project = failing();
    run(&project).is(1);
    let (text, _) = propose(&project);
    project.write(
        FILE,
        &text.replace("not looked at yet", "it always says no"),
    );
    let descriptor = fs::read_to_string(project.path("runners/mine/runner.toml")).unwrap();
    let good = "'{harness} convert --layout {layout} --reference {tag} --format tar {out}'";
    project.write(
        "runners/mine/runner.toml",
        &descriptor.replace("'exit 3; true {out}'", good),
    );
    run(&project).is(1).prints("2 fixed");
    let (text, said) = propose(&project);
    said.complains("dropped name/plain (rejected): it passes")
        .complains("dropped layout/altered (rejected): it passes");
    assert_eq!(text, "");
    run(&project).is(0).prints("2 pass");
}

#[test]
fn what_it_cannot_learn_from_is_named() {
    let project = failing();
    let baseline = |name| project.harness(&["baseline", "--converter", name]);
    baseline("mine").refuses("target/harness/run.json");
    run(&project).is(1);
    baseline("nobody").refuses("no converter `nobody`");
    baseline("umoci").refuses("`umoci` was not run by itself, nor behind native");
}
