//! The exported suite: the same every time, whole, valid for its schema and for other tools, and its own
//! script judges as the harness does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};

use crate::project::{GOOD, PLAIN, Project, Said, both, checkout};
use crate::require::{HARNESS, root, tool};

/// One case of each expectation, a blob that archives do not carry, and one that is hostile.
const SAMPLE: [&str; 6] = [
    "hostile/blob-is-fifo",
    "layout/layer-is-fifo",
    "opaque/as-directory",
    "opaque/first",
    "whiteout/of-dot-dot",
    "whiteout/prefix-on-directory",
];

/// The most bytes of the whole suite, packed.
const PACKED_MAX: usize = 3_000_000;

/// Exports every case of a project and gives the folder.
fn exported(project: &Project, name: &str) -> PathBuf {
    let to = project.arg(name);
    project.harness(&["export", "--all", "--to", &to]).is(0);
    PathBuf::from(to)
}

/// Exports the checkout's whole corpus.
fn whole(project: &Project) -> PathBuf {
    let to = project.path("whole");
    let mut command = Command::new(HARNESS);
    command.args(["export", "--all", "--to"]).arg(&to);
    Said::of(command).is(0);
    to
}

/// Every file with its content; whatever is no file counts by its kind alone.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let walk = walkdir::WalkDir::new(folder).min_depth(1);
    walk.into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(folder).unwrap().to_owned();
            let is_file = entry.file_type().is_file();
            assert!(is_file || entry.file_type().is_dir(), "{}", name.display());
            (name, is_file.then(|| fs::read(entry.path()).unwrap()))
        })
        .collect()
}

fn suite(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("suite.json")).unwrap()).unwrap()
}

#[test]
fn two_exports_are_the_same_files_whole_or_not_there() {
    let project = Project::of_corpus(&SAMPLE);
    let (one, two) = (exported(&project, "one"), exported(&project, "two"));
    assert!(contents(&one) == contents(&two));
    project
        .harness(&["export", "--all", "--to", &project.arg("one")])
        .refuses("it exists; give a new folder");
    fs::remove_file(project.path("golden/opaque/first.mtree")).unwrap();
    project
        .harness(&["export", "--all", "--to", &project.arg("three")])
        .refuses("failed to write the case `opaque/first`");
    let left = fs::read_dir(project.path("")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left
        .filter(|name| name == "three" || name.contains("export"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_case_alone_and_in_the_suite_is_the_same() {
    let project = Project::of_corpus(&SAMPLE);
    let all = exported(&project, "all");
    for id in SAMPLE {
        let alone = project.path(&id.replace('/', "-"));
        project
            .harness(&["export", id, "--to", alone.to_str().unwrap()])
            .is(0);
        let mut alone = contents(&alone);
        assert!(alone.remove(Path::new("README.md")).is_some());
        assert!(contents(&all.join("cases").join(id)) == alone, "{id}");
    }
    let readme = project.path("layout-layer-is-fifo/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    assert!(
        readme.contains("    mkfifo layout/blobs/sha256/"),
        "{readme}"
    );
}

#[test]
fn sums_cover_every_file_and_see_a_change() {
    let Some(sha256sum) = tool("sha256sum", "the exported SHA256SUMS") else {
        return;
    };
    let project = Project::of_corpus(&SAMPLE);
    let folder = exported(&project, "all");
    let check = || {
        let mut command = Command::new(&sha256sum);
        command
            .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(&folder);
        Said::of(command)
    };
    assert_eq!(check().is(0).stdout, "");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let listed: Vec<&str> = sums.lines().map(|line| &line[66..]).collect();
    let mut files = contents(&folder);
    files.retain(|name, content| content.is_some() && name != Path::new("SHA256SUMS"));
    let files: Vec<&str> = files.keys().map(|name| name.to_str().unwrap()).collect();
    assert!(listed.is_sorted());
    assert_eq!(listed.len(), files.len());
    assert!(files.iter().all(|file| listed.contains(file)));

    fs::write(folder.join("cases/opaque/first/case.toml"), "changed").unwrap();
    check().is(1).prints("cases/opaque/first/case.toml: FAILED");
}

#[test]
fn the_whole_suite_is_as_its_schema_says_and_small() {
    let project = Project::new();
    let folder = whole(&project);
    let schema = fs::read(folder.join("suite.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let good = suite(&folder);
    let complaints: Vec<String> = schema
        .iter_errors(&good)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    for (pointer, value) in [
        ("/format", json!(2)),
        ("/cases", json!([])),
        ("/cases/0/level", json!("most")),
        ("/cases/0/title", json!("")),
        ("/cases/0/surprise", json!(1)),
        ("/cases/0/image/manifest", json!("sha256:0")),
        ("/cases/0/expect/kind", json!("guess")),
        ("/cases/0/expect/tree", json!("../../etc/passwd")),
        ("/cases/0/folder", json!("../case")),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        assert!(!schema.is_valid(&bad), "{pointer}");
    }

    let pins = fs::read_to_string(checkout().join("golden/digests")).unwrap();
    for case in good["cases"].as_array().unwrap() {
        let (id, manifest) = (case["id"].as_str(), case["image"]["manifest"].as_str());
        let line = format!("{} {} ", id.unwrap(), manifest.unwrap());
        assert!(pins.lines().any(|pin| pin.starts_with(&line)), "{line}");
        assert!(
            folder
                .join(case["folder"].as_str().unwrap())
                .join("case.json")
                .is_file()
        );
    }
    let mut archive = tar::Builder::new(Vec::new());
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(".", &folder).unwrap();
    let packed = zstd::encode_all(archive.into_inner().unwrap().as_slice(), 19).unwrap();
    assert!(packed.len() < PACKED_MAX, "{} bytes", packed.len());
}

#[test]
fn other_tools_accept_the_exported_layouts() {
    let what = "exported layouts as umoci and skopeo read them";
    let (Some(umoci), Some(skopeo), true) = (tool("umoci", what), tool("skopeo", what), root(what))
    else {
        return;
    };
    let project = Project::of_corpus(&SAMPLE);
    let folder = exported(&project, "all");
    for case in suite(&folder)["cases"].as_array().unwrap() {
        if case["expect"]["kind"] != "one-of" && case["expect"]["kind"] != "tree" {
            continue;
        }
        let layout = folder.join(case["folder"].as_str().unwrap()).join("layout");
        let mut command = Command::new(&umoci);
        command.args(["list", "--layout"]).arg(&layout);
        assert_eq!(Said::of(command).is(0).stdout, "latest\n");
        let image = format!("{}:latest", layout.display());
        let mut command = Command::new(&umoci);
        command
            .args(["raw", "unpack", "--image", &image])
            .arg(project.path("rootfs"));
        Said::of(command).is(0);
        assert!(project.path("rootfs/usr/bin/sh").is_file());
        fs::remove_dir_all(project.path("rootfs")).unwrap();
        // A copy reads every blob and checks its digest.
        let copy = project.path("copy");
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy", "copy", &format!("oci:{image}")]);
        command.arg(format!("dir:{}", copy.display()));
        Said::of(command).is(0);
        assert!(copy.join("manifest.json").is_file());
        fs::remove_dir_all(&copy).unwrap();
    }
}

/// `run.py` of an exported suite.
fn run_py(folder: &Path, arguments: &[&str]) -> Option<Said> {
    let python = tool("python3", "the exported run.py")?;
    let mut command = Command::new(python);
    command.arg(folder.join("run.py")).args(arguments);
    // No compiled modules, which would be files that SHA256SUMS does not have.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(Said::of(command))
}

#[test]
fn the_script_refuses_what_it_cannot_run() {
    let project = both();
    let folder = exported(&project, "all");
    for (arguments, message) in [
        (&[][..], "the command must name {layout} and {out}"),
        (&["--command", "cp {layout}"], "the command must name"),
        (
            &["--command", "no-such-program {layout} {out}"],
            "`no-such-program` is not to be found",
        ),
        (
            &["--command", "false {layout} {out}", "no-such-case"],
            "nothing matches",
        ),
        (&["--comand", "x"], "unrecognized arguments"),
    ] {
        let Some(said) = run_py(&folder, arguments) else {
            return;
        };
        said.refuses(message);
    }
    fs::write(folder.join("suite.json"), "{}").unwrap();
    run_py(&folder, &["--list"])
        .unwrap()
        .refuses("has format None");
    fs::remove_file(folder.join("suite.json")).unwrap();
    run_py(&folder, &["--list"])
        .unwrap()
        .refuses("failed to read suite.json");
}

#[test]
fn the_script_finds_each_way_to_fail() {
    let project = both();
    let folder = exported(&project, "all");
    for (script, said) in [
        (
            "exit 1",
            &["rejected  exit 1", "the twin, which is repaired: exit 1"][..],
        ),
        ("exit 0", &["silent    exit 0, but there is no output"]),
        (
            "mkdir $1",
            &[
                "silent    missing   ./etc/plain",
                "accepted  accepted, though",
            ],
        ),
        (
            "mkdir $1; exit 3",
            &["unclean   failed and left its output"],
        ),
        ("kill -SEGV $$", &["crash     killed by signal 11"]),
        (
            "touch $1.x; exit 1",
            &["escape    beside the output something changed: a/b"],
        ),
        (
            "rm -r ${1%/b/out}; exit 1",
            &["escape    beside the output"],
        ),
        ("touch $0/x; exit 1", &["escape    the layout changed"]),
        ("touch $TMPDIR/x; exit 1", &["unclean   left in $TMPDIR: x"]),
        ("sleep 60", &["timeout   not done in time"]),
    ] {
        let command = format!("sh -c '{script}' {{layout}} {{out}}");
        let arguments = ["--timeout", "1", "--command", &command];
        let Some(mut out) = run_py(&folder, &arguments).map(|said| said.is(1)) else {
            return;
        };
        for line in said {
            out = out.prints(line);
        }
        out.prints("0 pass   2 fail   0 skip");
    }
}

#[test]
fn the_script_passes_a_good_converter_and_runs_hostile_cases_only_when_told() {
    if !root("the exported run.py on a good converter") {
        return;
    }
    let project = Project::of_corpus(&SAMPLE);
    let folder = exported(&project, "all");
    let good = GOOD
        .replace("{harness}", HARNESS)
        .replace("--format tar", "--format dir");
    let run = |more: &[&str]| run_py(&folder, &[&["--command", &good], more].concat());
    let Some(said) = run(&[]) else { return };
    said.is(0)
        .prints("2 hostile cases not run: nothing here contains them")
        .prints("4 pass   0 fail   2 skip");
    run(&["hostile/"])
        .unwrap()
        .is(2)
        .complains("nothing was run");
    run(&["--hostile"])
        .unwrap()
        .is(0)
        .prints("6 pass   0 fail   0 skip");
    assert!(!contents(&folder).contains_key(Path::new("__pycache__")));
}

#[test]
fn the_script_names_embargoed_findings_by_kind_only() {
    let text = PLAIN.replace("level =", "embargo = true\nlevel =");
    let project = Project::with_cases(&[("name/plain", &text)]);
    let folder = exported(&project, "all");
    let arguments = ["--hostile", "--command", "false {layout} {out}"];
    let Some(said) = run_py(&folder, &arguments) else {
        return;
    };
    let said = said.is(1).prints("rejected  (embargoed)");
    assert!(!said.stdout.contains("exit 1"), "{}", said.stdout);
}

/// The short script of the README, as a file beside it.
fn short_py(folder: &Path, command: &str) -> Option<Said> {
    let what = "the short script of an exported suite";
    let (Some(python), Some(_)) = (tool("python3", what), tool("mtree", what)) else {
        return None;
    };
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let (_, script) = readme.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```\n").unwrap();
    let path = folder.with_extension("py");
    fs::write(&path, script).unwrap();
    let mut run = Command::new(python);
    run.arg(path).args(command.split(' ')).current_dir(folder);
    Some(Said::of(run))
}

#[test]
fn the_short_script_tells_right_from_wrong() {
    if !root("the short script of an exported suite") {
        return;
    }
    let project = both();
    let folder = exported(&project, "all");
    let good = GOOD
        .replace("{harness}", HARNESS)
        .replace("--format tar", "--format dir");
    let Some(said) = short_py(&folder, &good) else {
        return;
    };
    said.is(0).prints("0 failed");
    short_py(&folder, "mkdir {out}")
        .unwrap()
        .is(1)
        .prints("must      layout/altered: another tree")
        .prints("must      name/plain: another tree")
        .prints("2 failed");
    short_py(&folder, "false")
        .unwrap()
        .is(1)
        .prints("must      layout/altered: reject")
        .prints("must      name/plain: reject");
}
