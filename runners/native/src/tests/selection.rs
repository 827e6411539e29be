//! Which manifest of a layout is taken.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::archive::tar;
use super::image::{INDEX, Image, descriptor};
use super::listing;
use crate::digest::Algorithm;
use crate::{Format, Request, convert};

/// Images with one file each, as entries of an index: `(name, more keys of the entry)`.
struct Choice {
    place: tempfile::TempDir,
}

impl Choice {
    fn new(entries: &[(&str, Value)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let layout = place.path().join("layout");
        let mut all = Image::of([tar("f unused")]);
        let mut manifests = Vec::new();
        for (name, more) in entries {
            let scratch = place.path().join("scratch");
            Image::of([tar(&format!("f {name}"))]).write(&scratch);
            take_blobs(&scratch, &mut all);
            let index = fs::read(scratch.join("index.json")).unwrap();
            let mut index: Value = serde_json::from_slice(&index).unwrap();
            let mut entry = index["manifests"][0].take();
            for (key, value) in more.as_object().unwrap() {
                entry[key] = value.clone();
            }
            manifests.push(entry);
            fs::remove_dir_all(&scratch).unwrap();
        }
        all.write(&layout);
        let choice = Self { place };
        choice.set_index(manifests);
        choice
    }

    fn set_index(&self, manifests: Vec<Value>) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.layout().join("index.json"), index.to_string()).unwrap();
    }

    fn layout(&self) -> std::path::PathBuf {
        self.place.path().join("layout")
    }

    /// Moves the index into a blob of its own, `depth` times, beside other entries.
    fn nest(self, depth: usize) -> Self {
        for _ in 0..depth {
            let content = fs::read(self.layout().join("index.json")).unwrap();
            let descriptor = descriptor(Algorithm::Sha256, INDEX, &content);
            let hex = &descriptor["digest"].as_str().unwrap()["sha256:".len()..];
            fs::write(self.layout().join("blobs/sha256").join(hex), content).unwrap();
            self.set_index(vec![descriptor.clone(), descriptor]);
        }
        self
    }

    fn choose(&self, reference: Option<&str>) -> String {
        let output = self.place.path().join("out");
        let layout = self.layout();
        let request = Request {
            layout: &layout,
            reference,
            output: &output,
            format: Format::Tar,
            stop: None,
        };
        match convert(&request) {
            Ok(_) => {
                let listing = listing::of_tar(&fs::read(&output).unwrap());
                fs::remove_file(&output).unwrap();
                listing
                    .strip_prefix("f ")
                    .unwrap()
                    .strip_suffix("=x")
                    .unwrap()
                    .to_owned()
            }
            Err(error) => format!("error: {error}"),
        }
    }
}

fn take_blobs(layout: &Path, into: &mut Image) {
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let digest = format!("sha256:{}", blob.file_name().into_string().unwrap());
        into.extra.insert(digest, fs::read(blob.path()).unwrap());
    }
}

fn platform(os: &str, architecture: &str) -> Value {
    json!({ "platform": { "os": os, "architecture": architecture } })
}

fn named(name: &str) -> Value {
    json!({ "annotations": { "org.opencontainers.image.ref.name": name } })
}

#[test]
fn the_platform_decides() {
    let (amd, arm) = (platform("linux", "amd64"), platform("linux", "arm64"));
    let attestation = platform("unknown", "unknown");
    let features = json!({ "platform": {
        "os": "linux", "architecture": "amd64", "os.features": ["erofs"],
    } });
    let choose = |entries: &[(&str, &Value)]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, more)| (*name, (*more).clone()))
            .collect();
        Choice::new(&entries).choose(None)
    };
    let none = json!({});
    assert_eq!(choose(&[("a", &none)]), "a");
    assert_eq!(choose(&[("a", &arm), ("b", &amd), ("c", &amd)]), "b");
    assert_eq!(choose(&[("a", &attestation), ("b", &none)]), "b");
    assert_eq!(choose(&[("a", &arm), ("b", &none), ("c", &none)]), "b");
    assert_eq!(choose(&[("a", &features), ("b", &amd)]), "b");
    assert_eq!(choose(&[("a", &arm)]), "a");
    let error = choose(&[("a", &arm), ("b", &platform("windows", "amd64"))]);
    assert!(error.contains("none of its 2 image manifests"), "{error}");
    let error = choose(&[("a", &attestation)]);
    assert!(error.contains("lists no image manifest"), "{error}");
}

#[test]
fn the_reference_decides() {
    let choice = Choice::new(&[
        ("a", named("one")),
        ("b", named("two")),
        ("c", named("two")),
        ("d", named("a/b:c@d\n")),
    ]);
    assert_eq!(choice.choose(Some("one")), "a");
    assert_eq!(choice.choose(Some("two")), "b");
    assert_eq!(choice.choose(Some("a/b:c@d\n")), "d");
    assert_eq!(choice.choose(None), "a");
    let error = choice.choose(Some("three"));
    assert!(
        error.contains("no image manifest is named `three`"),
        "{error}"
    );
}

#[test]
fn indexes_nest_so_deep() {
    let entries = [
        ("a", platform("linux", "arm64")),
        ("b", platform("linux", "amd64")),
    ];
    for depth in [1, 5, 8] {
        assert_eq!(Choice::new(&entries).nest(depth).choose(None), "b");
    }
    let error = Choice::new(&entries).nest(9).choose(None);
    assert!(error.contains("nest deeper than 8"), "{error}");
}
