//! The `harness` command: each way to go wrong has a clear message and the documented exit code (0
//! nothing red, 1 some verdict red, 2 usage or harness error), and leaves nothing behind.

use std::process::Stdio;

use fs_err as fs;

use crate::project::{GOOD, PLAIN, Project, Said, both, plain};

#[test]
fn unknown_names_are_usage_errors_that_say_what_there_is() {
    let project = Project::with_cases(&[("name/plain", PLAIN), ("image/python", PLAIN)]);
    let run = |arguments: &[&str]| project.harness(&[&["run"], arguments].concat());
    run(&["--converter", "umocy"]).refuses("no converter `umocy`; there are:");
    run(&["--converter", "native+mkfs.erfs"]).refuses("no converter `mkfs.erfs`; there are:");
    run(&["--image", "pyhton"]).refuses("no case `pyhton`; near it: image/python");
    run(&["--only", "name/pain"]).refuses("no case `name/pain`; near it: name/plain");
    run(&["--image", "q"]).refuses("no case `q`; `harness list` prints them all");
    run(&["--format", "ext5"]).refuses("`ext5` is no format; there are dir, tar, cpio, ext4");
    run(&["--converter", "native-tar", "--format", "erofs"]).refuses("native-tar makes no erofs");
    run(&["--require", "luck"]).refuses("`luck` is nothing to require; there are root, tool");
    run(&["--convert"]).refuses("unexpected argument '--convert'");
    project
        .harness(&["show", "name/pain"])
        .refuses("no case `name/pain`");
    project
        .harness(&["bless", "name/pain"])
        .refuses("no case `name/pain`");
    project
        .harness(&["jump"])
        .refuses("unrecognized subcommand 'jump'");
}

#[test]
fn a_filter_that_matches_nothing_is_an_error() {
    plain()
        .harness(&["run", "--converter", "native-tar", "no-such-thing"])
        .refuses("nothing matches; `harness list` prints all cases");
    let listed = plain().harness(&["list", "no-such-thing"]).is(2);
    assert_eq!(listed.stdout, "0 cases\n");
}

#[test]
fn compositions_that_do_not_fit_are_usage_errors() {
    let run = |name| plain().harness(&["run", "--converter", name]);
    run("mkfs.erofs")
        .refuses("`mkfs.erofs` packs a directory or an archive; put an extractor before");
    run("native-tar+mkfs.erofs")
        .refuses("`native-tar+mkfs.erofs` does not compose: `native-tar` makes tar");
    run("native+native-tar").refuses("`native` makes dir, `native-tar` does not read that");
}

#[test]
fn a_command_must_name_its_output() {
    let project = plain();
    project
        .convert("true {layout}", "tar", &[])
        .refuses("the command must name {out}");
    project
        .harness(&["run", "--command", "true {out}"])
        .refuses("--output <FORMAT>");
    project
        .convert(GOOD, "tar", &["--time-limit", "0"])
        .refuses("invalid value '0' for '--time-limit <SECONDS>'");
}

/// A part of the plain case, what stands there instead, the line and the text at the caret, the message.
const WRONG_CASES: [(&str, &str, usize, &str, &str); 9] = [
    (
        "level =",
        "levle =",
        5,
        "levle",
        "unknown field `levle`, expected one of",
    ),
    (
        "\"must\"",
        "\"most\"",
        5,
        "\"most\"",
        "unknown variant `most`, expected one of",
    ),
    (
        "mode =",
        "modus =",
        8,
        "modus",
        "unknown field `modus`, expected one of",
    ),
    (
        "\"plain\\n\"",
        "'caf\\9'",
        8,
        "'caf\\9'",
        "a backslash must be followed by three octal digits",
    ),
    (
        "0o640",
        "0o10000",
        8,
        "{ file",
        "mode has at most twelve bits (0o7777)",
    ),
    (
        "\"golden\"",
        "\"silver\"",
        11,
        "\"silver\"",
        "the only tree is \"golden\"",
    ),
    (
        "mode = 0o640",
        "to = 'etc'",
        8,
        "{ file",
        "an entry of kind file takes no to",
    ),
    (
        "mode = 0o640",
        "dir = 'etc'",
        8,
        "{ file",
        "an entry has exactly one of file, dir",
    ),
    ("title", "= title", 2, "=", "expected"),
];

#[test]
fn a_wrong_case_file_is_shown_with_line_and_caret() {
    for (good, bad, line, caret, message) in WRONG_CASES {
        assert!(PLAIN.contains(good), "{good}");
        let project = Project::new();
        project.write("corpus/name/plain.toml", &PLAIN.replacen(good, bad, 1));
        let said = project
            .harness(&["list"])
            .refuses("name/plain.toml`: line")
            .refuses(&format!("line {line}, column "))
            .refuses(message);
        let lines: Vec<&str> = said.stderr.trim_end().lines().collect();
        let [.., source, carets] = lines.as_slice() else {
            panic!("no caret in {}", said.stderr);
        };
        let under = &source[carets.find('^').expect("a caret")..];
        assert!(under.starts_with(caret), "{}", said.stderr);
    }
}

#[test]
fn a_stray_file_in_the_corpus_is_named() {
    let project = plain();
    project.write("corpus/name/Plain.toml", PLAIN);
    project
        .harness(&["list"])
        .refuses("name/Plain.toml` is no case: an id is made of a-z, 0-9");
    let project = plain();
    project.write("corpus/name/notes.txt", "");
    project
        .harness(&["list"])
        .refuses("name/notes.txt` is no case");
    Project::new().harness(&["list"]).refuses("no cases in `");
}

#[test]
fn a_golden_that_is_missing_or_malformed_stops_the_run() {
    let run = |project: &Project| project.harness(&["run", "--converter", "native-tar"]);
    let project = plain();
    fs::remove_file(project.path("golden/name/plain.mtree")).unwrap();
    run(&project).refuses("a case has no golden; write it with `harness bless ID`");
    project.write("golden/name/plain.mtree", "#mtree v2.0\n. type=dri\n");
    run(&project).refuses("name/plain.mtree`: line 2: `dri` is no type");
}

#[test]
fn bless_check_sees_a_golden_that_is_missing_changed_or_orphaned() {
    let project = both();
    let check = || project.harness(&["bless", "--all", "--check"]);
    check().is(0).prints("2 cases, 0 files changed");

    let golden = project.path("golden/name/plain.mtree");
    let good = fs::read_to_string(&golden).unwrap();
    fs::write(&golden, good.replace("mode=0640", "mode=0644")).unwrap();
    check()
        .is(1)
        .prints("  -./etc/plain type=file uid=0 gid=0 mode=0644")
        .prints("  +./etc/plain type=file uid=0 gid=0 mode=0640")
        .prints("2 cases, 1 files changed");
    fs::remove_file(&golden).unwrap();
    check().is(1).prints("2 cases, 1 files changed");
    fs::write(&golden, good).unwrap();

    project.write("golden/name/gone.mtree", "#mtree v2.0\n");
    check()
        .is(1)
        .prints("golden/name/gone.mtree: belongs to no case; remove it");
    fs::remove_file(project.path("golden/name/gone.mtree")).unwrap();

    let pins = fs::read_to_string(project.path("golden/digests")).unwrap();
    project.write(
        "golden/digests",
        &pins.replace("name/plain sha256:", "name/plain sha256:0"),
    );
    check().is(1).prints("2 cases, 1 files changed");
}

#[test]
fn a_broken_layout_is_an_error_of_the_question_not_of_the_converter() {
    let project = plain();
    project
        .harness(&["export", "name/plain", "--to", &project.arg("bundle")])
        .is(0);
    let layout = project.arg("bundle/layout");
    let run = || project.harness(&["run", "--converter", "native-tar", "--layout", &layout]);
    run().is(0).prints("PASS  native-tar/layout");
    project
        .harness(&["run", "--layout", &layout, "--reference", "lates"])
        .refuses("no linux/amd64 manifest named `lates` in the index");

    let blobs: Vec<_> = fs::read_dir(project.path("bundle/layout/blobs/sha256"))
        .unwrap()
        .map(|blob| blob.unwrap().path())
        .collect();
    assert_eq!(blobs.len(), 4);
    for blob in blobs {
        let bytes = fs::read(&blob).unwrap();
        fs::remove_file(&blob).unwrap();
        run()
            .refuses("No such file or directory")
            .refuses(blob.to_str().unwrap());

        let mut altered = bytes.clone();
        let last = altered.len() - 1;
        altered[last] ^= 1;
        fs::write(&blob, &altered).unwrap();
        run().refuses("the content's digest is sha256:");

        fs::write(&blob, &bytes[..last]).unwrap();
        run().refuses(&format!("stated size {}, found {last}", bytes.len()));

        fs::remove_file(&blob).unwrap();
        fs::create_dir(&blob).unwrap();
        run().refuses("is no regular file");
        fs::remove_dir(&blob).unwrap();
        fs::write(&blob, &bytes).unwrap();
    }

    for (file, text, error) in [
        ("index.json", None, "index.json`: No such file or directory"),
        (
            "index.json",
            Some("{\"manifests\":"),
            "index.json`: EOF while parsing",
        ),
        ("index.json", Some("{}"), "an index has no `manifests`"),
        ("oci-layout", None, "oci-layout`: No such file or directory"),
        (
            "oci-layout",
            Some("{}"),
            "`oci-layout` has no imageLayoutVersion 1.0.0",
        ),
    ] {
        let path = project.path("bundle/layout").join(file);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        run().refuses(error);
        fs::write(&path, good).unwrap();
    }
    project
        .harness(&["run", "--layout", &project.arg("nowhere")])
        .refuses("nowhere/oci-layout`: No such file or directory");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let project = plain();
    for arguments in [
        &["list"][..],
        &["show", "name/plain"],
        &["run", "--converter", "native-tar"],
        &["bless", "--all"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(arguments);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let project = plain();
    let mut command = project.command(&["list"]);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    command.stdout(full.into_file());
    let output = command
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("failed to write to standard output: No space left"),
        "{stderr}"
    );
}

#[test]
fn an_export_is_whole_or_not_there() {
    let project = both();
    let export = |id: &str| project.harness(&["export", id, "--to", &project.arg("bundle")]);
    let golden = project.path("golden/name/plain.mtree");
    let text = fs::read(&golden).unwrap();
    fs::remove_file(&golden).unwrap();
    export("name/plain").refuses("failed to export `name/plain`");
    let names: Vec<_> = fs::read_dir(project.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("export")),
        "{names:?}"
    );
    assert!(!names.iter().any(|name| name == "bundle"), "{names:?}");
    fs::write(&golden, text).unwrap();
    export("name/plain").is(0);
    export("name/plain").refuses("it exists; give a new folder");
}

#[test]
fn a_case_is_shown_with_its_damage_and_who_fails_it() {
    let shown = format!(
        "{}\n[image]\nedit = [{{ in = 'manifest', at = '/layers/1/size', set = 7 }}]\nblob = [{{ of = 'layer:1', \
         flip = 20 }}]\n",
        PLAIN.replace("[[layer]]", "[[layer]]\ncompression = 'zstd'\nmembers = 2")
    );
    let held = PLAIN.replace("level =", "embargo = true\nlevel =");
    let project = Project::with_cases(&[("name/held", &held), ("name/shown", &shown)]);
    project.write(
        "runners/umoci/expectations.toml",
        "[[known]]\ncases = ['name/held', 'name/shown']\nkinds = ['silent']\nreason = 'the time is lost'\n\
         link = 'here'\nversion = '0.4'\n",
    );
    project
        .harness(&["show", "name/shown"])
        .is(0)
        .prints("layer 1 (zstd, in 2 members)\n  file etc/plain (\"plain\\012\") 0640 0:0\n")
        .prints("then\n  manifest /layers/1/size = 7\n  blob of layer 1: flip(20)\n")
        .prints("known to fail\n  umoci 0.4: silent: the time is lost\n    here\n")
        .prints("golden/name/shown.mtree\n#mtree v2.0\n");
    let said = project
        .harness(&["show", "name/held"])
        .is(0)
        .prints("known to fail\n  umoci 0.4: silent (embargoed)\n");
    assert!(!said.stdout.contains("time is lost"), "{}", said.stdout);
}

#[test]
fn scale_families_are_asked_only_when_named_or_told() {
    let project = plain();
    let list = |more: &[&str]| project.harness(&[&["list"], more].concat());
    list(&["scale/"]).is(2).prints("0 cases");
    list(&["--scale", "scale/layers"]).is(0).prints("3 cases");
    project
        .harness(&["show", "scale/whiteouts-100k"])
        .is(0)
        .prints("  file d/.wh.f038197 (\"\")\n")
        .prints("  … and 99889 more\n")
        .prints("the model's tree has 116 paths\n");
    let run = |more: &[&str]| {
        let arguments = ["run", "--converter", "native-tar", "--boot", "off"];
        project.harness(&[&arguments, more].concat())
    };
    run(&["--only", "scale/layers-127"])
        .is(0)
        .prints("PASS  native-tar/scale/layers-127\n      142 paths as expected");
    run(&["--scale", "native-tar/scale/layers-129"])
        .is(0)
        .prints("144 paths as expected (merged)");
    let bundle = project.arg("bundle");
    let arguments = ["export", "scale/layers-129", "--to", &bundle];
    project.harness(&arguments).is(0);
    let tree = fs::read_to_string(project.path("bundle/expected.merged.mtree")).unwrap();
    assert!(tree.contains("\n./f128 type=file "));
}

#[test]
fn help_is_the_same_on_every_machine() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_run", &["run", "--help"]),
        ("help_list", &["list", "--help"]),
        ("help_show", &["show", "--help"]),
        ("help_export", &["export", "--help"]),
        ("help_bless", &["bless", "--help"]),
        ("help_convert", &["convert", "--help"]),
        ("help_bench", &["bench", "--help"]),
        ("help_report", &["report", "--help"]),
        ("help_baseline", &["baseline", "--help"]),
    ] {
        let mut command = std::process::Command::new(crate::require::HARNESS);
        command.args(arguments).env("COLUMNS", "40");
        let said = Said::of(command).is(0);
        assert_eq!(said.stderr, "");
        insta::assert_snapshot!(name, said.stdout);
    }
}
