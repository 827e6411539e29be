//! A layer's archive in a layout whose digests are right, through the native extractor.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fuzz_target!(|archive: &[u8]| {
    let place = tempfile::tempdir().expect("a temporary directory");
    let layout = place.path().join("layout");
    write(&layout, archive).expect("a layout in the temporary directory");
    let output = place.path().join("out.tar");
    let converted = native::convert(&native::Request {
        layout: &layout,
        reference: None,
        output: &output,
        format: native::Format::Tar,
        stop: None,
    });
    // The output appears complete or not at all.
    assert_eq!(converted.is_ok(), output.exists());
    let left = fs::read_dir(place.path())
        .expect("our own directory")
        .count();
    assert_eq!(left, 1 + usize::from(converted.is_ok()));
});

fn write(layout: &Path, archive: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let layer = store(layout, "application/vnd.oci.image.layer.v1.tar", archive)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config_type = "application/vnd.oci.image.config.v1+json";
    let config = store(layout, config_type, config.to_string().as_bytes())?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer] });
    let manifest = store(layout, manifest_type, manifest.to_string().as_bytes())?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn store(layout: &Path, media_type: &str, blob: &[u8]) -> std::io::Result<Value> {
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(blob));
    fs::write(layout.join("blobs/sha256").join(&hex), blob)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": blob.len() }))
}
