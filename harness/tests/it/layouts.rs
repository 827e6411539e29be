//! Layouts read back: what the corpus writes gives the golden's tree, what is damaged is refused, and
//! what a real tool makes is judged right.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use harness::case::{Case, Corpus, Damage, Expect};
use harness::check::{Question, Wanted};
use harness::image::{TAG, read_layout, write_layout};
use harness::tree::{apply_layers, diff, mtree};

use crate::project::{Project, Said, checkout};
use crate::require::{root, tool};
use crate::roundtrip;

#[test]
fn a_layout_of_the_corpus_gives_the_tree_of_its_golden() {
    let mut complaints = Vec::new();
    let mut count = 0;
    for case in corpus() {
        if case.expect == Expect::Tree && !roundtrip::is_exception(&case.id) {
            count += 1;
            if let Err(complaint) = gives_its_golden(&case) {
                complaints.push(format!("{}: {complaint}", case.id));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    assert!(count > 100, "only {count} layouts");
}

fn gives_its_golden(case: &Case) -> Result<(), String> {
    let layout = tempfile::tempdir().unwrap();
    write_layout(case, layout.path()).unwrap();
    let layers = read_layout(layout.path(), Some(TAG)).map_err(|error| error.to_string())?;
    let tree = apply_layers(&layers, case.parent_mtime_kept).map_err(|error| error.to_string())?;
    let golden = mtree::parse(&golden(&case.id)).unwrap();
    match mtree::print(&tree, &[]) == mtree::print(&golden, &[]) {
        true => Ok(()),
        false => Err(format!("{:#?}", diff(&golden, &tree))),
    }
}

/// Whatever is done to a layout, reading it ends, with a tree or with an error; and where a blob
/// is not what its descriptor says, with an error.
#[test]
fn a_damaged_layout_is_refused() {
    let mut kinds = BTreeMap::new();
    for case in corpus() {
        let layout = tempfile::tempdir().unwrap();
        write_layout(&case, layout.path()).unwrap();
        let read = read_layout(layout.path(), Some(TAG));
        for blob in &case.image.blobs {
            let error = match &read {
                Ok(_) => panic!("{}: read, though a blob is damaged", case.id),
                Err(error) => error.to_string(),
            };
            let (kind, word) = match blob.damage {
                Damage::Remove => ("remove", "No such file or directory"),
                Damage::Flip(_) => ("flip", "the content's digest is"),
                Damage::Truncate(_) => ("truncate", "stated size"),
                Damage::Fifo => ("fifo", "is no regular file"),
                Damage::Directory => ("directory", "is no regular file"),
            };
            assert!(error.contains(word), "{}: {error}", case.id);
            kinds.insert(kind, case.id.clone());
        }
    }
    let kinds: Vec<&str> = kinds.into_keys().collect();
    assert_eq!(kinds, ["directory", "fifo", "flip", "remove", "truncate"]);
}

#[test]
fn any_layout_is_a_question_whose_answer_is_the_models() {
    let project = Project::of_corpus(&["image/python"]);
    let bundle = project.arg("bundle");
    project
        .harness(&["export", "image/python", "--to", &bundle])
        .is(0);
    let layout = project.arg("bundle/layout");

    let question = Question::of_layout(Path::new(&layout), TAG, Vec::new()).unwrap();
    let Wanted::Tree(want) = question.wanted else {
        panic!("a layout wants a tree");
    };
    let golden = mtree::parse(&golden("image/python")).unwrap();
    assert_eq!(diff(&golden, &want), []);
    assert!(question.run.is_empty() && golden.has_shell());

    let run = |more: &[&str]| {
        let arguments = ["run", "--layout", &layout, "--boot", "off"];
        project.harness(&[&arguments, more].concat())
    };
    run(&["--converter", "native-tar"])
        .is(0)
        .prints(&format!("{} paths as expected", golden.len()));
    run(&[
        "--command",
        "mkdir {out}",
        "--output",
        "dir",
        "--format",
        "dir",
    ])
    .is(1)
    .prints("silent    missing   ./app");
}

/// What is done to the tree of each layer, one after the other.
const LAYERS: [&str; 3] = [
    "mkdir -p usr/bin etc/old/deep; ln -s usr/bin bin; echo one > usr/bin/one; chmod 4755 usr/bin/one
     ln usr/bin/one usr/bin/two; echo gone > etc/old/deep/file; mkfifo etc/pipe; chown 7:8 etc/pipe
     echo a > etc/becomes-dir; mkdir etc/becomes-file; echo b > etc/becomes-file/b",
    "rm -r etc/old usr/bin/one; rm etc/becomes-dir; mkdir etc/becomes-dir; echo c > etc/becomes-dir/c
     rm -r etc/becomes-file; echo d > etc/becomes-file",
    "rm etc/pipe; mkdir -p etc/old/deep; echo new > etc/old/deep/new; echo x > bin/three",
];

/// The paths that are there in the end.
const PATHS: [&str; 13] = [
    "",
    "bin",
    "etc",
    "etc/becomes-dir",
    "etc/becomes-dir/c",
    "etc/becomes-file",
    "etc/old",
    "etc/old/deep",
    "etc/old/deep/new",
    "usr",
    "usr/bin",
    "usr/bin/three",
    "usr/bin/two",
];

/// A layout made by umoci's own hands: the upper layers delete, replace types, link and set attributes.
/// The model, umoci's own unpacking and the native extractor agree on it.
#[test]
fn a_layout_of_a_real_tool_is_judged_right() {
    let what = "a layout that umoci makes";
    let (Some(umoci), true) = (tool("umoci", what), root(what)) else {
        return;
    };
    let project = Project::new();
    let layout = project.arg("layout");
    make_with_umoci(&umoci, &project);

    let layers = read_layout(Path::new(&layout), Some("mine")).unwrap();
    let tree = apply_layers(&layers, false).unwrap();
    let paths: Vec<String> = tree.iter().map(|(path, ..)| path.to_string()).collect();
    assert_eq!(
        (layers.len(), &paths[..]),
        (3, &PATHS.map(str::to_owned)[..])
    );

    for (converter, format) in [("native-tar", "tar"), ("native", "dir"), ("umoci", "dir")] {
        let arguments = ["run", "--layout", &layout, "--reference", "mine"];
        let more = ["--converter", converter, "--format", format];
        project
            .harness(&[&arguments[..], &more].concat())
            .is(0)
            .prints("13 paths as expected")
            .prints("1 pass   0 fail");
    }
}

/// Makes the image `mine` in `layout`, a layer after the other, as its users do.
fn make_with_umoci(umoci: &Path, project: &Project) {
    let bundle = project.arg("bundle");
    let image = format!("{}:mine", project.arg("layout"));
    let umoci = |arguments: &[&str]| {
        let mut command = Command::new(umoci);
        command.args(arguments).env("TMPDIR", project.path("tmp"));
        Said::of(command).is(0);
    };
    umoci(&["init", "--layout", &project.arg("layout")]);
    umoci(&["new", "--image", &image]);
    for script in LAYERS {
        umoci(&["unpack", "--image", &image, &bundle]);
        let mut shell = Command::new("sh");
        shell.args(["-euc", script]);
        shell.current_dir(project.path("bundle/rootfs"));
        Said::of(shell).is(0);
        umoci(&["repack", "--image", &image, &bundle]);
        fs::remove_dir_all(&bundle).unwrap();
    }
}

fn corpus() -> Vec<Case> {
    Corpus::read(&checkout().join("corpus")).unwrap().cases
}

fn golden(id: &str) -> String {
    fs::read_to_string(checkout().join(format!("golden/{id}.mtree"))).unwrap()
}
