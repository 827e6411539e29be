//! The EROFS layers of the corpus: whole ones are what their cases say, to fsck and to the guest's kernel,
//! and each malformed one is seen to be malformed.

use std::path::Path;

use bstr::ByteSlice as _;
use fs_err as fs;
use harness::boot::Outcome;
use harness::case::{Case, Corpus, Entry, Expect, Kind, Layer, LayerFormat};
use harness::image::erofs::{layer_blob, layer_tree};
use harness::tree::{diff, mtree};

use super::{boot_of, run};
use crate::project::{Project, checkout};
use crate::require::tool;
use crate::second_oracle::{Disk, differences, golden_tree};

/// The cases whose layers are malformed images, and not whole ones in a malformed place.
const MALFORMED: [&str; 8] = [
    "layout/erofs-block-size",
    "layout/erofs-image-cut",
    "layout/erofs-name-with-slash",
    "layout/erofs-root-file",
    "layout/erofs-root-number",
    "layout/erofs-superblock-checksum",
    "layout/erofs-superblock-feature",
    "layout/erofs-superblock-magic",
];

/// The cases with EROFS layers.
fn cases() -> Vec<Case> {
    let corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    let with_erofs = |case: &Case| case.layers.iter().any(|layer| layer.format.is_erofs());
    corpus.cases.into_iter().filter(with_erofs).collect()
}

/// The bytes of a layer's image, as far as the layer has them.
fn blob(layer: &Layer) -> Vec<u8> {
    let mut blob = layer_blob(layer).unwrap();
    blob.truncate(blob.len() - layer.cut);
    blob
}

/// Whether overlayfs makes of a layer what the case says: of an EROFS layer that is not literal, and of
/// one without entries.
fn stacks(layer: &Layer) -> bool {
    let is_raw = |entry: &Entry| matches!(entry.kind, Kind::Raw(_));
    match layer.format {
        LayerFormat::Erofs => true,
        LayerFormat::ErofsLiteral => false,
        LayerFormat::Tar => layer.entries.iter().all(is_raw),
    }
}

#[test]
fn whole_layers_give_the_tree_of_their_case() {
    let mut disk = Disk::new();
    let mut goldens = Vec::new();
    for case in cases() {
        for (golden, layers) in case.goldens() {
            if layers.iter().all(stacks) {
                let erofs = layers.iter().filter(|layer| layer.format.is_erofs());
                let trees = erofs.map(|layer| layer_tree(layer).unwrap());
                disk.add(&trees.collect::<Vec<_>>());
                goldens.push(golden);
            }
        }
    }
    assert!(goldens.len() >= 12, "only {goldens:?}");
    let Some(seen) = disk.walk() else { return };
    for (golden, seen) in goldens.iter().zip(&seen) {
        let lines = differences(&golden_tree(golden), seen);
        assert_eq!(lines, [""; 0], "{golden}");
    }
}

/// Linux 6.1 has no lower directories that are there for their data only, so their own names show too.
#[test]
fn content_is_found_in_the_layer_of_data() {
    let cases = cases();
    let case = cases.iter().find(|c| c.id == "layout/erofs-overlay-data");
    let layers = case.unwrap().layers.iter();
    let trees: Vec<_> = layers.map(|layer| layer_tree(layer).unwrap()).collect();
    let mut disk = Disk::new();
    disk.add(&trees);
    disk.mount_last_with(",redirect_dir=follow,metacopy=on");
    disk.add(&trees);
    let Some(seen) = disk.walk() else { return };
    let want = golden_tree("layout/erofs-overlay-data.supported");
    assert_eq!(differences(&want, &seen[0]), ["extra ./content"]);
    // Without the options the kernel refuses what has content elsewhere (EPERM).
    let lines = differences(&want, &seen[1]);
    assert_eq!(lines, ["error 1 a", "missing ./a", "extra ./content"]);
}

#[test]
fn a_blob_boots_as_it_is() {
    let cases = cases();
    let single = cases.iter().find(|c| c.id == "layout/erofs-single-layer");
    let bytes = blob(&single.unwrap().layers[0]);
    let Some(boot) = boot_of(&bytes, &[b"cat /etc/name".to_vec()]) else {
        return;
    };
    assert_eq!((boot.failure, boot.read_errors), (None, Vec::new()));
    let got = mtree::parse(boot.mtree.unwrap().to_str().unwrap()).unwrap();
    let want = golden_tree("layout/erofs-single-layer.supported");
    assert_eq!(diff(&want, &got), []);
    assert_eq!(boot.commands[0].outcome, Outcome::Exited(0));
    assert_eq!(boot.commands[0].output, b"erofs\n");
}

#[test]
fn fsck_finds_no_fault_in_whole_layers() {
    let Some(fsck) = tool("fsck.erofs", "the EROFS layers of the corpus") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("layer.erofs");
    let mut count = 0;
    for case in cases() {
        if MALFORMED.contains(&case.id.as_str()) {
            continue;
        }
        for (index, layer) in case.layers.iter().enumerate().skip(1) {
            if layer.format.is_erofs() {
                fs::write(&image, blob(layer)).unwrap();
                let (clean, text) = run(&fsck, &[Path::new("--extract"), &image]);
                assert!(clean, "{} layer {index}: {text}", case.id);
                count += 1;
            }
        }
    }
    assert!(count > 20, "only {count} layers");
}

#[test]
fn malformed_layers_are_seen_to_be_so_by_the_kernel() {
    let cases = cases();
    for id in MALFORMED {
        let case = cases.iter().find(|case| case.id == id).unwrap();
        assert!(matches!(case.expect, Expect::Reject { .. }), "{id}");
        let top = case.layers.last().unwrap();
        let Some(boot) = boot_of(&blob(top), &[]) else {
            return;
        };
        let is_seen = boot.failure.is_some() || !boot.read_errors.is_empty();
        assert!(is_seen, "{id}: {boot:?}");
        // Without the offence it is a whole one.
        let mut whole = top.clone();
        (whole.patch, whole.cut) = (Vec::new(), 0);
        let boot = boot_of(&blob(&whole), &[]).unwrap();
        assert_eq!((boot.failure, boot.read_errors), (None, Vec::new()), "{id}");
    }
}

/// Who takes an EROFS layer for tar finds the end of an archive in it, and loses the layer in silence.
#[test]
fn a_converter_that_takes_erofs_for_tar_is_caught() {
    if tool("python3", "a converter that takes EROFS for tar").is_none() {
        return;
    }
    let script = r#"
import hashlib, json, os, shutil, subprocess, sys
harness, layout, tag, out = sys.argv[1:]
copy = os.environ["TMPDIR"] + "/copy"
shutil.copytree(layout, copy)
blob = lambda digest: copy + "/blobs/sha256/" + digest[7:]
index = json.load(open(copy + "/index.json"))
manifest = json.load(open(blob(index["manifests"][0]["digest"])))
for layer in manifest["layers"]:
    layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
text = json.dumps(manifest).encode()
top = index["manifests"][0]
top["digest"], top["size"] = "sha256:" + hashlib.sha256(text).hexdigest(), len(text)
open(blob(top["digest"]), "wb").write(text)
json.dump(index, open(copy + "/index.json", "w"))
code = subprocess.call([harness, "convert", "--layout", copy, "--reference", tag, "--format", "tar", out])
shutil.rmtree(copy)
sys.exit(code)
"#;
    let project = Project::of_corpus(&["layout/erofs-single-layer"]);
    let command = [
        "python3",
        "-c",
        script,
        "{harness}",
        "{layout}",
        "{tag}",
        "{out}",
    ];
    let command = toml::Value::from(command.to_vec());
    let runner = format!("summary = 'x'\ninput = 'layout'\noutput = 'tar'\ncommand = {command}\n");
    project.write("runners/taken/runner.toml", &runner);
    let said = project.harness(&["run", "--converter", "taken", "--boot", "off"]);
    assert_eq!(said.code, 1, "{said:?}");
    let lost = "silent    missing   ./usr/bin/sh";
    assert!(said.stdout.contains(lost), "{said:?}");
}
