//! The layout's JSON documents and the choice of a manifest.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::archive::tar;
use super::image::{CONFIG, INDEX, Image, LAYER, Layer, MANIFEST, descriptor};
use super::{check_image, formats, reject_image, run};
use crate::digest::Algorithm;
use crate::{Request, convert};

fn image() -> Image {
    Image::of([tar("f a")])
}

#[track_caller]
fn edited(document: &'static str, from: &str, to: &str, reason: &str) {
    reject_image(&image().edit(document, from, to), reason);
}

#[test]
fn a_stopped_conversion_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    image().write(&layout);
    for format in formats() {
        let stop = AtomicBool::new(true);
        let stopped = convert(&Request {
            layout: &layout,
            reference: None,
            output: &place.path().join("out"),
            format,
            stop: Some(&stop),
        });
        let error = stopped.unwrap_err().to_string();
        assert!(error.contains("interrupted"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "{format:?}");
    }
}

#[test]
fn media_types_of_docker_and_others() {
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let gzip = |media_type: &str, name: &str| Layer {
        media_type: media_type.to_owned(),
        ..Layer::gzip(tar(&format!("f {name}")))
    };
    let zstd = |media_type: &str, name: &str| Layer {
        media_type: media_type.to_owned(),
        ..Layer::zstd(tar(&format!("f {name}")))
    };
    let layers = [
        gzip(docker, "a"),
        gzip(&format!("{nondistributable}+gzip"), "b"),
        zstd(&format!("{nondistributable}+zstd"), "c"),
        Layer::new(nondistributable, tar("f d"), tar("f d")),
        gzip(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "e",
        ),
    ];
    let manifest = "application/vnd.docker.distribution.manifest.v2+json";
    let config = "application/vnd.docker.container.image.v1+json";
    let image = Image::with(layers)
        .edit("index", MANIFEST, manifest)
        .edit("manifest", MANIFEST, manifest)
        .edit("manifest", CONFIG, config);
    check_image(&image, "f a=x, f b=x, f c=x, f d=x, f e=x");
}

#[test]
fn media_types_that_are_no_layers() {
    for media_type in [
        "application/vnd.acme.layer.v1.tar+lzma",
        "application/vnd.oci.image.layer.v1.tar+bzip2",
        "application/vnd.oci.empty.v1+json",
        "application/vnd.erofs",
        "application/vnd.erofs+zstd",
        "application/vnd.oci.image.layer.v1.TAR",
        "",
    ] {
        let layer = Layer::new(media_type, tar("f a"), tar("f a"));
        reject_image(&Image::with([layer]), "cannot unpack");
    }
    edited(
        "manifest",
        CONFIG,
        "application/vnd.oci.empty.v1+json",
        "not a container image",
    );
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    reject_image(
        &image().edit("index", MANIFEST, schema1),
        "lists no image manifest",
    );
}

#[test]
fn manifests() {
    edited(
        "manifest",
        "\"schemaVersion\":2",
        "\"schemaVersion\":1",
        "`schemaVersion` is 1",
    );
    edited(
        "manifest",
        "\"schemaVersion\":2,",
        "",
        "`schemaVersion` is missing",
    );
    edited(
        "manifest",
        "\"schemaVersion\":2",
        "\"schemaVersion\":\"2\"",
        "not a size",
    );
    edited("manifest", MANIFEST, INDEX, "but its descriptor says");
    edited(
        "manifest",
        "\"layers\":",
        "\"manifests\":[],\"layers\":",
        "`manifests`",
    );
    edited(
        "manifest",
        "\"layers\":",
        "\"layers\":[],\"layers\":",
        "duplicate key `layers`",
    );
    edited(
        "manifest",
        "\"layers\":",
        "\"Layers\":",
        "`layers` is missing",
    );
    edited(
        "manifest",
        "\"config\":",
        "\"other\":",
        "`config` is missing",
    );
    let unknown = image().edit("manifest", "\"layers\":", "\"Layers\":[],\"layers\":");
    check_image(&unknown, "f a=x");
    let unstated = image().edit("manifest", &format!("\"mediaType\":\"{MANIFEST}\","), "");
    check_image(&unstated, "f a=x");
}

#[test]
fn configurations() {
    edited(
        "config",
        "\"type\":\"layers\"",
        "\"type\":\"bogus\"",
        "expected `layers`",
    );
    edited("config", "\"rootfs\":", "\"other\":", "`rootfs` is missing");
    edited(
        "config",
        "\"diff_ids\":[",
        "\"diff_ids\":[\"sha256:00\",",
        "lower-case hexadecimal",
    );
    let zeros = format!("\"diff_ids\":[\"sha256:{}\",", "0".repeat(64));
    edited(
        "config",
        "\"diff_ids\":[",
        &zeros,
        "1 layers, but the configuration has 2",
    );
    edited(
        "config",
        "\"os\":",
        "\"rootfs\":{},\"os\":",
        "duplicate key `rootfs`",
    );
    let mut two = Image::of([tar("f a"), tar("f b")]);
    let second = descriptor(two.algorithm, LAYER, &tar("f b"))["digest"].to_string();
    two = two.edit("config", &format!(",{second}"), "");
    reject_image(&two, "2 layers, but the configuration has 1");
    let history = image().edit("config", "\"os\":", "\"history\":[{},{},{}],\"os\":");
    check_image(&history, "f a=x");
}

#[test]
fn layout_versions() {
    edited("oci-layout", "1.0.0", "1.0.1", "expected `1.0.0`");
    edited(
        "oci-layout",
        "imageLayoutVersion",
        "ImageLayoutVersion",
        "is missing",
    );
    edited("oci-layout", "{", "[{}, ", "not valid JSON");
    broken(
        |layout| fs::remove_file(layout.join("oci-layout")).unwrap(),
        "oci-layout",
    );
    broken(
        |layout| fs::remove_file(layout.join("index.json")).unwrap(),
        "index.json",
    );
}

#[test]
fn json_is_read_strictly() {
    for (to, reason) in [
        ("\u{feff}{", "not valid JSON"),
        ("{\"a\":1,\"b\":{\"c\":1,\"c\":2},", "duplicate key `c`"),
        ("{\"a\":1,\"\\u0061\":2,", "duplicate key `a`"),
        ("{\"a\":\0,", "not valid JSON"),
        ("{\"a\":\"\\ud800\",", "not valid JSON"),
        ("{\"a\":01,", "not valid JSON"),
        ("{\"a\":1e999,", "not valid JSON"),
        ("{\"a\":'x',", "not valid JSON"),
        ("{/**/\"a\":1,", "not valid JSON"),
    ] {
        for document in ["config", "manifest", "index", "oci-layout"] {
            reject_image(&image().edit(document, "{", to), reason);
        }
    }
    edited("index", "}]}", "}]} x", "not valid JSON");
    edited("index", "}]}", "}]}{}", "not valid JSON");
    let deep = |depth| format!("{{\"a\":{}{},", "[".repeat(depth), "]".repeat(depth));
    for depth in [64, 10_000] {
        reject_image(
            &image().edit("manifest", "{", &deep(depth)),
            "not valid JSON",
        );
    }
    check_image(&image().edit("manifest", "{", &deep(60)), "f a=x");
    let long = format!("{{\"a\":\"{}\",", "x".repeat(4 << 20));
    reject_image(&image().edit("manifest", "{", &long), "more than the limit");
    reject_image(
        &image().edit("index", "{", &long),
        "more than 4194304 bytes",
    );
    check_image(
        &image().edit(
            "manifest",
            "{",
            &long.replace("xxxx", "").replace(":\"", ":\"x"),
        ),
        "f a=x",
    );
}

#[test]
fn digests_and_sizes_of_descriptors() {
    let layer = descriptor(Algorithm::Sha256, LAYER, &tar("f a"));
    let (digest, size) = (layer["digest"].as_str().unwrap(), layer["size"].to_string());
    let hex = &digest["sha256:".len()..];
    for bad in [
        "sha256:../../etc/passwd",
        &format!("sha256:{}", hex.to_uppercase()),
        &format!("sha256:{}", &hex[1..]),
        &format!("sha256:{hex}0"),
        &format!("sha512:{hex}"),
        &format!("sha256:{}/", &hex[1..]),
        "sha256:",
        "sha256",
        "",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        &format!("SHA256:{hex}"),
        &format!("blake3:{hex}"),
        &format!("sha256+b64:{hex}"),
    ] {
        edited("manifest", digest, bad, "digest");
    }
    let stated = format!("\"size\":{size}}}]");
    for bad in [
        "-1",
        "1.5",
        "\"5\"",
        "18446744073709551616",
        "9223372036854775808",
        "null",
    ] {
        edited(
            "manifest",
            &stated,
            &format!("\"size\":{bad}}}]"),
            "not a size",
        );
    }
    edited("manifest", &format!(",{stated}"), "}]", "`size` is missing");
    for wrong in ["2047", "2049", "1"] {
        edited(
            "manifest",
            &stated,
            &format!("\"size\":{wrong}}}]"),
            "but its descriptor says",
        );
    }
}

#[test]
fn embedded_data() {
    let manifest_with = |data: &str| {
        let from = "\"layers\":[{";
        image().edit("manifest", from, &format!("{from}\"data\":\"{data}\","))
    };
    let good = data_encoding::BASE64.encode(&tar("f a"));
    check_image(&manifest_with(&good), "f a=x");
    let other = data_encoding::BASE64.encode(&tar("f b"));
    reject_image(&manifest_with(&other), "`data` is not the content");
    for bad in [&good[1..], "", "!", "====", &format!("{good}\\n")] {
        reject_image(&manifest_with(bad), "`data`");
    }
}

#[test]
fn indexes() {
    edited(
        "index",
        "\"schemaVersion\":2",
        "\"schemaVersion\":1",
        "`schemaVersion` is 1",
    );
    edited("index", "{", "{\"config\":{},", "an index that also has");
    edited("index", "{", "{\"layers\":[],", "an index that also has");
    edited("index", INDEX, MANIFEST, "but its descriptor says");
    edited(
        "index",
        "\"manifests\":",
        "\"manifests\":[],\"manifests\":",
        "duplicate key",
    );
    edited(
        "index",
        "\"manifests\":",
        "\"manifests\":[],\"x\":",
        "lists no image manifest",
    );
}

/// An image whose layout is broken on disk must be refused by both formats, at once.
#[track_caller]
fn broken(damage: impl Fn(&Path), reason: &str) {
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    image().write(&layout);
    damage(&layout);
    for format in formats() {
        let error = run(&layout, &place.path().join("out"), format)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "as {format:?}: {error}");
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn blobs_must_be_regular_files() {
    let layer = descriptor(Algorithm::Sha256, LAYER, &tar("f a"));
    let hex = &layer["digest"].as_str().unwrap()["sha256:".len()..];
    let blob = |layout: &Path| layout.join("blobs/sha256").join(hex);
    broken(
        |layout| fs::remove_file(blob(layout)).unwrap(),
        "No such file",
    );
    broken(
        |layout| {
            fs::rename(blob(layout), layout.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink("../../elsewhere", blob(layout)).unwrap();
        },
        "not a regular file",
    );
    broken(
        |layout| {
            fs::remove_file(blob(layout)).unwrap();
            fs::create_dir(blob(layout)).unwrap();
        },
        "not a regular file",
    );
    let fifo = |path: &Path| {
        fs::remove_file(path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    broken(|layout| fifo(&blob(layout)), "not a regular file");
    broken(
        |layout| fifo(&layout.join("index.json")),
        "not a regular file",
    );
    broken(
        |layout| fifo(&layout.join("oci-layout")),
        "not a regular file",
    );
    broken(
        |layout| {
            fs::rename(layout.join("blobs"), layout.join("other")).unwrap();
            std::os::unix::fs::symlink("other", layout.join("blobs")).unwrap();
        },
        "cannot read",
    );
    broken(
        |layout| fs::write(blob(layout), b"short").unwrap(),
        "5 bytes, but its descriptor says",
    );
}

#[test]
fn damaged_documents() {
    for (media_type, what) in [(MANIFEST, "manifest"), (CONFIG, "configuration")] {
        let damage = |layout: &Path| {
            for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
                let path = blob.unwrap().path();
                let mut bytes = fs::read(&path).unwrap();
                let is_manifest = bytes.starts_with(b"{\"schemaVersion\"");
                let is_config = bytes.starts_with(b"{\"architecture\"");
                if (is_manifest && media_type == MANIFEST) || (is_config && media_type == CONFIG) {
                    let last = bytes.len() - 1;
                    bytes[last] = b' ';
                    fs::write(&path, bytes).unwrap();
                }
            }
        };
        broken(damage, what);
        broken(damage, "its content has digest");
    }
}
