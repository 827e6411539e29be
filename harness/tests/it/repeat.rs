//! What shows through in a second conversion is found, and nothing else is.

use harness::boot::Mode;

use crate::boot::machine::machine;
use crate::project::{GOOD, Project, plain};
use crate::require::{contained, root};

/// A converter that makes a directory, and then does something to it.
fn with_runner(after: &str, more: &str) -> Project {
    let project = plain();
    let script = format!(
        "{{harness}} convert --layout {{layout}} --reference {{tag}} --format dir {{out}} && cd {{out}} && {after}"
    );
    let text = format!(
        "summary = \"x\"\ninput = \"layout\"\noutput = \"dir\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
    );
    project.write("runners/mine/runner.toml", &text);
    project
}

const RUN: [&str; 6] = [
    "run",
    "--converter",
    "mine",
    "--format",
    "dir",
    "--boot=off",
];

#[test]
fn what_only_a_second_conversion_shows_is_not_gone_without_one() {
    if !root("owners of a directory") || !contained("surroundings of a converter") {
        return;
    }
    let known = |after: &str| {
        let project = with_runner(after, "");
        let entry =
            "[[known]]\ncases = ['name/plain']\nkinds = ['unstable']\nreason = 'x'\nlink = 'x'\n";
        project.write("runners/mine/expectations.toml", entry);
        project
    };
    let unstable = known("test $(umask) = 0022");
    unstable.harness(&RUN).is(0).prints("1 known");
    let once = [&RUN[..], &["--once"]].concat();
    unstable.harness(&once).is(0).prints("1 pass");
    known("true").harness(&RUN).is(1).prints("1 fixed");
}

#[test]
fn what_shows_through_is_unstable() {
    if !root("owners of a directory") || !contained("surroundings of a converter") {
        return;
    }
    for (after, finding) in [
        (
            "mkdir d && touch -d @0 d",
            "./d  mode  first 0755  again 0700",
        ),
        ("date +%Z > f", "unstable  mine: ./f  s"),
        ("echo $LC_ALL > f", "unstable  mine: ./f  s"),
        ("uname -n > f", "unstable  mine: ./f  s"),
        ("head -c 8 /dev/urandom > f", "unstable  mine: ./f  s"),
        ("touch f", "./f  time  that of the conversion"),
        ("test $(umask) = 0022", "first exit 0, again exit 1"),
        ("test $(umask) = 0022 || touch f", "only again  ./f"),
        ("test $(umask) != 0022 || touch f", "only first  ./f"),
        (
            "test $(umask) = 0022 || kill -9 $$",
            "first exit 0, again signal 9",
        ),
        ("test $(umask) = 0022 || touch /stray", "Created /stray"),
    ] {
        let said = with_runner(after, "").harness(&RUN).is(1);
        assert!(said.stdout.contains(finding), "{after}: {}", said.stdout);
        // Once is as good as ever.
        let mut once = RUN.to_vec();
        once.push("--once");
        let said = with_runner(after, "").harness(&once);
        assert!(
            !said.stdout.contains("unstable"),
            "{after}: {}",
            said.stdout
        );
    }
}

#[test]
fn the_working_folder_must_not_show() {
    if !root("owners of a directory") || !contained("surroundings of a converter") {
        return;
    }
    let project = plain();
    let script = "pwd > $TMPDIR/f; {harness} convert --layout {layout} --reference {tag} {out} && \
                  mv $TMPDIR/f {out}/f && touch -d @0 {out}/f {out}";
    let text = format!(
        "summary = \"x\"\ninput = \"layout\"\noutput = \"dir\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n"
    );
    project.write("runners/mine/runner.toml", &text);
    project.harness(&RUN).is(1).prints("unstable  mine: ./f");
}

#[test]
fn a_good_converter_is_the_same_twice() {
    plain()
        .convert(GOOD, "tar", &[])
        .is(0)
        .prints("the same twice");
    if root("owners of a directory") {
        let project = with_runner("true", "");
        project.harness(&RUN).is(0).prints("the same twice");
    }
}

#[test]
fn equal_bytes_are_only_asked_of_who_claims_them() {
    let script = format!("{GOOD} && date +%N >> {{out}}");
    for (claim, code) in [("true", 1), ("false", 0)] {
        let project = plain();
        let text = format!(
            "summary = \"x\"\ninput = \"layout\"\noutput = \"tar\"\nreproducible = {claim}\n\
             command = [\"sh\", \"-c\", '''{script}''']\n"
        );
        project.write("runners/mine/runner.toml", &text);
        let said = project.harness(&["run", "--converter", "mine", "--format", "tar"]);
        let said = said.is(code);
        let claims = said.stdout.contains("unstable  mine claims equal bytes");
        assert_eq!(claims, code == 1, "{}", said.stdout);
    }
}

#[test]
fn two_images_are_read_in_the_same_profile() {
    // Overlayfs hides this attribute of its lower layer, and the image itself has it.
    let project = Project::of_corpus(&["attribute/overlay-opaque-in-bottom-layer"]);
    if !contained("surroundings of a converter") || machine(Mode::Snapshot).is_none() {
        return;
    }
    project.lend_machine();
    let script =
        "unset SOURCE_DATE_EPOCH; mkfs.erofs --quiet -U $(cat /proc/sys/kernel/random/uuid)";
    let packer = format!(
        "summary = 'x'\ninput = 'dir'\noutput = 'erofs'\n\
         command = ['sh', '-c', '{script} \"$1\" \"$0\"', '{{in}}', '{{out}}']\n"
    );
    project.write("runners/packer/runner.toml", &packer);
    for profile in ["ro", "overlay"] {
        let asked = ["run", "--converter", "native+packer", "--tools", "host"];
        let said = project.harness(&[&asked[..], &["--verbose", "--profile", profile]].concat());
        let twice = "the same twice";
        assert!(said.stdout.contains(twice), "{profile}: {}", said.stdout);
    }
}
