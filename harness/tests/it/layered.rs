//! Outputs of one image or directory for each layer: right ones are green, and what is wrong is found.

use fs_err as fs;
use harness::boot::Mode;
use harness::case::Corpus;
use harness::image::write_archive;

use crate::boot::machine::machine;
use crate::project::{Project, Said};
use crate::require::{contained, root, tool};
use crate::second_oracle::translate;

/// Deletions of both kinds, in two layers over the shell's.
const CASE: &str = r#"
title = "a layer deletes what is below"
spec  = "layer.md#whiteouts"
quote = "whiteout"
level = "must"

[[layer]]
entries = [
  { dir = "a" },
  { file = "a/x", text = "x\n" },
  { file = "b", text = "b\n" },
]

[[layer]]
entries = [
  { dir = "a", mode = 0o750 },
  { opaque = "a" },
  { file = "a/y", text = "y\n" },
  { whiteout = "b" },
]

[expect]
tree = "golden"
"#;

/// The second of those layers as overlayfs has it.
const NATIVE: [(&str, &str); 2] = [
    (
        r#"{ dir = "a", mode = 0o750 },
  { opaque = "a" },"#,
        r#"{ dir = "a", mode = 0o750, xattrs = { "trusted.overlay.opaque" = "y" } },"#,
    ),
    (
        r#"{ whiteout = "b" }"#,
        r#"{ char = "b", major = 0, minor = 0 }"#,
    ),
];

const ID: &str = "whiteout/two";

/// A project with the case, and a converter that knows its answer and does something to it.
fn project(output: &str, make: &str, after: &str, more: &str) -> Project {
    let project = Project::with_cases(&[(ID, CASE)]);
    project.lend_machine();
    let script = format!("{make} && {after}");
    let text = format!(
        "summary = \"x\"\ninput = \"layout\"\noutput = \"{output}\"\n\
         command = [\"sh\", \"-c\", '''{script}''', \"{{out}}\"]\n{more}\n"
    );
    project.write("runners/mine/runner.toml", &text);
    project
}

/// A converter of EROFS layers.
fn erofs(after: &str, more: &str) -> Project {
    let project = project(
        "erofs-layers",
        "cp -r {runner}/layers $0 && cd $0",
        after,
        more,
    );
    let corpus = Corpus::read(&project.path("corpus")).unwrap();
    let layers = translate(&corpus.find(ID).unwrap().layers).unwrap();
    fs::create_dir_all(project.path("runners/mine/layers")).unwrap();
    for (number, layer) in layers.iter().enumerate() {
        let path = project.path(&format!("runners/mine/layers/{number:04}.erofs"));
        fs::write(path, layer.write().unwrap()).unwrap();
    }
    project
}

/// A converter of directories.
fn dirs(after: &str) -> Project {
    let make = "mkdir $0 && cd $0 && for n in 0000 0001 0002; do mkdir -m 755 $n && \
                tar --xattrs --xattrs-include=* -xpf {runner}/$n.tar -C $n || exit 1; done && \
                touch -d @0 0000 0001 0002";
    let project = project("layer-dirs", make, after, "needs = [\"root\"]");
    let native = NATIVE.iter().fold(CASE.to_owned(), |case, (spec, native)| {
        assert!(case.contains(spec));
        case.replace(spec, native)
    });
    let other = Project::with_cases(&[(ID, &native)]);
    let corpus = Corpus::read(&other.path("corpus")).unwrap();
    for (number, layer) in corpus.find(ID).unwrap().layers.iter().enumerate() {
        let mut archive = Vec::new();
        write_archive(layer, &mut archive).unwrap();
        archive.extend([0; 1024]);
        fs::write(
            project.path(&format!("runners/mine/{number:04}.tar")),
            archive,
        )
        .unwrap();
    }
    project
}

/// Whether there is all that these tests need.
#[track_caller]
fn possible() -> bool {
    contained("a converter of layers")
        && machine(Mode::Snapshot).is_some()
        && tool("fsck.erofs", "a converter of layers").is_some()
}

fn run(project: &Project, more: &[&str]) -> Said {
    project.harness(&[&["run", "--converter", "mine", "--tools", "host"], more].concat())
}

#[test]
fn erofs_layers_are_stacked_in_the_guest() {
    if !possible() {
        return;
    }
    let project = erofs("true", "");
    let common = "17 paths as expected, fsck.erofs clean, /bin/sh answered";
    run(&project, &[])
        .is(0)
        .prints(&format!("{common}, the same twice"));
    let written = format!("{common}, a file init wrote was there after a remount");
    run(&project, &["--profile", "overlay"])
        .is(0)
        .prints("· profile: overlay")
        .prints(&written);
    run(&project, &["--profile", "rw"])
        .is(0)
        .prints(
            "SKIP  mine/whiteout/two\n      erofs-layers is not booted rw: layers are only stacked",
        )
        .prints("0 pass   0 fail   0 known   0 fixed   1 skip");
    run(&project, &["--profile", "rw", "--require", "capability"]).is(1);
    // The runner's own word stands where nobody says otherwise.
    run(&erofs("true", "profile = \"overlay\""), &[])
        .is(0)
        .prints(&written);
}

#[test]
fn wrong_layers_are_found() {
    if !possible() {
        return;
    }
    for (after, found) in [
        ("rm 0002.erofs", &["extra     ./b", "missing   ./a/y"][..]),
        ("mv 0001.erofs 9", &["silent    extra     ./b"]),
        (
            "head -c 8192 /dev/zero > 9",
            &[
                "corrupt   fsck.erofs: ",
                "corrupt   the guest cannot mount the image: mount layer 3 as erofs",
            ],
        ),
        (
            "mkdir x",
            &["silent    the output has `x`, which is no layer"],
        ),
        ("rm *", &["silent    missing   ./a"]),
        (
            "rm -r $0 && touch $0",
            &["silent    the output is no directory of layers"],
        ),
    ] {
        let said = run(&erofs(after, ""), &["--once"]).is(1);
        for line in found {
            assert!(
                said.stdout.contains(line),
                "{after}: {line}\n{}",
                said.stdout
            );
        }
    }
}

#[test]
fn layers_must_be_the_same_twice() {
    if !possible() {
        return;
    }
    let twice = |change: &str| format!("{{ test $(umask) = 0022 || {change}; }}");
    let stray = "echo >> 0000.erofs";
    for (after, more, found) in [
        (
            twice("rm 0002.erofs"),
            "",
            "unstable  mine: only again  ./b",
        ),
        (
            twice(stray),
            "reproducible = true",
            "unstable  mine claims equal bytes: they differ at byte 12288 of layer 0000.erofs",
        ),
        (
            twice("touch x"),
            "",
            "unstable  mine: the second image cannot be read back",
        ),
        (
            twice("mkdir x"),
            "",
            "unstable  mine: the second time, the output has `x`",
        ),
    ] {
        let said = run(&erofs(&after, more), &[]).is(1);
        assert!(said.stdout.contains(found), "{after}: {}", said.stdout);
    }
    // Other bytes of the same tree are nothing against a converter that claims no more.
    run(&erofs(&twice(stray), ""), &[]).is(0);
}

#[test]
fn directories_of_layers_are_packed_and_stacked() {
    let what = "directories of layers";
    if !possible() || !root(what) || tool("tar", what).is_none() {
        return;
    }
    let common = "17 paths as expected, /bin/sh answered";
    run(&dirs("true"), &["--require", "fsck"])
        .is(0)
        .prints(&format!("{common}, the same twice"));
    run(&dirs("true"), &["--profile", "overlay"])
        .is(0)
        .prints(&format!("{common}, a file init wrote was there"));
    let twice = |change: &str| format!("{{ test $(umask) = 0022 || {change}; }}");
    let unix = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'";
    for (after, found) in [
        ("rm 0002/b".to_owned(), "silent    extra     ./b"),
        (
            "chmod 700 0002/a".to_owned(),
            "modified  ./a  mode  want 0750  got 0700",
        ),
        (
            "touch x".to_owned(),
            "the output has `x`, which is no layer",
        ),
        (
            format!("cd 0001 && {unix}"),
            "layer `0001`: `./s`: a socket",
        ),
        (twice("rm 0002/b"), "unstable  mine: only again  ./b"),
    ] {
        let said = run(&dirs(&after), &[]).is(1);
        assert!(said.stdout.contains(found), "{after}: {}", said.stdout);
    }
}

#[test]
fn a_profile_must_fit_what_is_made() {
    let mine = |output: &str, profile: &str| {
        let project = project(output, "true", "true", &format!("profile = \"{profile}\""));
        run(&project, &["--boot", "off"])
    };
    mine("squashfs", "rw").refuses("squashfs is not booted rw: nothing can write to it");
    mine("ext4", "layers").refuses("ext4 is not booted layers: it is one image");
    mine("layer-dirs", "ro").refuses("layer-dirs is not booted ro: layers are only stacked");
    mine("dir", "ro").refuses("dir is not booted: no profile");
    mine("ext4", "writable").refuses("unknown variant `writable`");
    let said = run(&Project::new(), &["--profile", "writable"]);
    said.refuses("`writable` is no profile; there are ro, overlay, rw, layers");
}
