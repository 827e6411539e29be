//! Layouts whose documents are not as they must be, and what reading them says.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{TAG, read_layout, write_layout};
use crate::case::{Case, parse};

/// A case of one small layer with these edits.
fn case(edits: &str) -> Case {
    let text = format!(
        "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n[[layer]]\n\
         entries = [{{ file = 'a', text = 'a' }}]\n[image]\nedit = [{edits}]\n[expect]\nrecord = 'x'\n"
    );
    parse("layout/x", &text, &|_| None).unwrap()
}

/// Reads the layout with one edit; the reader must refuse it with these words.
#[track_caller]
fn check(edit: &str, what: &str) {
    let layout = tempfile::tempdir().unwrap();
    write_layout(&case(&format!("{{ {edit} }}")), layout.path()).unwrap();
    for reference in [None, Some(TAG)] {
        let error = read_layout(layout.path(), reference)
            .expect_err(edit)
            .to_string();
        assert!(error.contains(what), "{edit}: {error}");
        assert!(error.contains(layout.path().to_str().unwrap()), "{error}");
    }
}

/// An edit and what reading the layout then says.
const EDITS: &[(&str, &str)] = &[
    (
        "in = 'layout', at = '/imageLayoutVersion', set = '2.0.0'",
        "imageLayoutVersion 1.0.0",
    ),
    ("in = 'layout', find = '{', replace = ''", "oci-layout`: "),
    (
        "in = 'index', at = '/manifests', remove = true",
        "an index has no `manifests`",
    ),
    ("in = 'index', at = '/manifests/0', remove = true", "no "),
    (
        "in = 'index', at = '/manifests/0/platform/architecture', set = 'arm64'",
        "linux/amd64",
    ),
    (
        "in = 'index', at = '/manifests/0/digest', remove = true",
        "a descriptor has no digest",
    ),
    (
        "in = 'index', at = '/manifests/0/digest', set = 'sha256:../../a'",
        "is no sha256 digest",
    ),
    (
        "in = 'index', at = '/manifests/0/digest', set = 'md5:00'",
        "is no sha256 digest",
    ),
    (
        "in = 'index', at = '/manifests/0/size', set = 1",
        "stated size 1, found",
    ),
    (
        "in = 'index', at = '/manifests/0/size', remove = true",
        "stated size null, found",
    ),
    ("in = 'manifest', find = '{', replace = '['", "expected"),
    (
        "in = 'manifest', at = '/config', remove = true",
        "a descriptor has no digest",
    ),
    (
        "in = 'manifest', at = '/layers', remove = true",
        "the manifest has no `layers`",
    ),
    (
        "in = 'manifest', at = '/layers/0/mediaType', remove = true",
        "has no mediaType",
    ),
    (
        "in = 'manifest', at = '/layers/0/mediaType', set = 'text/plain'",
        "is no tar layer",
    ),
    (
        "in = 'manifest', at = '/layers/0/size', set = -1",
        "layer 0: `",
    ),
    (
        "in = 'config', at = '/rootfs', remove = true",
        "has no `rootfs.diff_ids`",
    ),
    (
        "in = 'config', at = '/rootfs/diff_ids/-', set = 'x'",
        "2 diff IDs for 1 layers",
    ),
    (
        "in = 'config', at = '/rootfs/diff_ids/0', set = 'x'",
        "the diff ID is \"x\", the archive's",
    ),
];

#[test]
fn an_edited_document_is_refused() {
    for (edit, what) in EDITS {
        check(edit, what);
    }
}

#[test]
fn an_edit_without_a_place_is_an_error_of_the_case() {
    for edit in [
        "in = 'manifest', at = '/nothing/there', set = 1",
        "in = 'manifest', at = '/layers/7', set = 1",
        "in = 'manifest', at = '/layers/x', set = 1",
        "in = 'manifest', at = '/schemaVersion/x', set = 1",
        "in = 'config', at = '/nothing', remove = true",
        "in = 'manifest', at = '/layers/7', remove = true",
        "in = 'index', find = 'nothing', replace = ''",
    ] {
        let layout = tempfile::tempdir().unwrap();
        let error = write_layout(&case(&format!("{{ {edit} }}")), layout.path()).unwrap_err();
        assert!(
            error.to_string().contains("there is no `"),
            "{edit}: {error}"
        );
    }
}

#[test]
fn the_reference_or_the_first_image_for_this_machine_is_read() {
    let layout = tempfile::tempdir().unwrap();
    write_layout(&case(""), layout.path()).unwrap();
    let index = layout.path().join("index.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let good = document["manifests"][0].clone();
    let mut other = good.clone();
    other["platform"]["os"] = json!("windows");
    other["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    document["manifests"] = json!([other, good]);
    fs::write(&index, document.to_string()).unwrap();
    for reference in [None, Some(TAG)] {
        assert_eq!(read_layout(layout.path(), reference).unwrap().len(), 1);
    }
    let error = read_layout(layout.path(), Some("other"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no linux/amd64 manifest named `other` in the index"),
        "{error}"
    );
}

#[test]
fn indexes_nest_so_deep_and_no_deeper() {
    let layout = tempfile::tempdir().unwrap();
    write_layout(&case(""), layout.path()).unwrap();
    let index = layout.path().join("index.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    for depth in 1..=9 {
        document = json!({ "manifests": [store(layout.path(), &document)] });
        fs::write(&index, document.to_string()).unwrap();
        match read_layout(layout.path(), None) {
            Ok(layers) => assert!(depth <= 8 && layers.len() == 1, "{depth}"),
            Err(error) => {
                assert!(depth > 8, "{depth}: {error}");
                assert!(
                    error
                        .to_string()
                        .contains("indexes are nested more than 8 deep"),
                    "{error}"
                );
            }
        }
    }
}

/// Stores a document as a blob and gives its descriptor.
fn store(layout: &Path, document: &Value) -> Value {
    let text = document.to_string();
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(&text));
    fs::write(layout.join("blobs/sha256").join(&hex), &text).unwrap();
    json!({ "digest": format!("sha256:{hex}"), "size": text.len() })
}

#[test]
fn erofs_layers_say_what_they_are() {
    let text = "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n\
                [[layer]]\nformat = 'erofs'\nentries = [{ file = 'a' }]\n\
                [[layer]]\nformat = 'erofs'\ncompression = 'zstd'\nentries = [{ file = 'b' }]\n\
                [expect]\nrecord = 'x'\n";
    let case = parse("layout/x", text, &|_| None).unwrap();
    let layout = tempfile::tempdir().unwrap();
    let written = write_layout(&case, layout.path()).unwrap();
    let document = |path: &str| -> Value {
        let text = fs::read_to_string(layout.path().join(path)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let blob = |digest: &Value| {
        let hex = digest.as_str().unwrap().trim_start_matches("sha256:");
        document(&format!("blobs/sha256/{hex}"))
    };
    let index = document("index.json");
    let features = json!(["erofs"]);
    assert_eq!(index["manifests"][0]["platform"]["os.features"], features);
    let manifest = blob(&json!(written.manifest));
    let config = blob(&manifest["config"]["digest"]);
    assert_eq!(config["os.features"], features);
    let diff_ids = &config["rootfs"]["diff_ids"];
    let [lower, top] = [&manifest["layers"][0], &manifest["layers"][1]];
    assert_eq!(lower["mediaType"], "application/vnd.erofs");
    assert_eq!(lower["digest"], diff_ids[0]);
    assert_eq!(
        lower["annotations"],
        json!({ "org.erofs.role": "overlay-lower" })
    );
    assert_eq!(top["mediaType"], "application/vnd.erofs+zstd");
    assert_eq!(
        top["annotations"],
        json!({ "org.erofs.uncompressed-digest": diff_ids[1] })
    );
    let image = super::erofs::layer_blob(&case.layers[1]).unwrap();
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(image));
    assert_eq!(diff_ids[1], format!("sha256:{digest}"));
}

#[test]
fn indexes_nest_and_files_beside_the_blobs_go_missing() {
    let case = |image: &str| {
        let text = format!(
            "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n[[layer]]\n\
             prepend-compressed = 'before'\nentries = []\n[image]\n{image}\n[expect]\nrecord = 'x'\n"
        );
        parse("layout/x", &text, &|_| None).unwrap()
    };
    let write = |image: &str| {
        let layout = tempfile::tempdir().unwrap();
        let written = write_layout(&case(image), layout.path()).unwrap();
        (layout, written)
    };
    let (layout, written) = write("nested = 2");
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        layout.path().join("blobs/sha256").join(hex)
    };
    let mut place = layout.path().join("index.json");
    for depth in 0..=2 {
        let index: Value = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry.get("annotations").is_some(), depth == 0);
        let digest = entry["digest"].as_str().unwrap();
        assert_eq!(digest == written.manifest, depth == 2);
        place = blob(digest);
        assert_eq!(entry["size"], fs::metadata(&place).unwrap().len());
    }
    let layer = fs::read(blob(&written.layers[0])).unwrap();
    assert!(layer.starts_with(b"before\x1f\x8b"));

    for (of, file) in [("layout", "oci-layout"), ("index", "index.json")] {
        let (layout, _) = write(&format!("blob = [{{ of = '{of}', remove = true }}]"));
        let missing = ["oci-layout", "index.json"].map(|file| !layout.path().join(file).exists());
        assert_eq!(missing, [file == "oci-layout", file == "index.json"]);
    }
}
