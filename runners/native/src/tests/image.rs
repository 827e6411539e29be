//! Image layouts, right by default and wrong where a test says so.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::digest::{Algorithm, Digest};

pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A layer: media type, blob, and the tar stream its diff ID is made from.
pub(super) struct Layer {
    pub(super) media_type: String,
    pub(super) blob: Vec<u8>,
    pub(super) stream: Vec<u8>,
}

/// An image to be written.
pub(super) struct Image {
    pub(super) layers: Vec<Layer>,
    pub(super) algorithm: Algorithm,
    /// Texts to replace in `oci-layout`, `config`, `manifest` and `index`, before digests are made.
    edits: Vec<(&'static str, String, String)>,
    /// Blobs to put in addition, by digest.
    pub(super) extra: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Layers that are not compressed.
    pub(super) fn of(layers: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let layer = |tar: Vec<u8>| Layer::new(LAYER, tar.clone(), tar);
        Self::with(layers.into_iter().map(layer))
    }

    pub(super) fn with(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self {
            layers: layers.into_iter().collect(),
            algorithm: Algorithm::Sha256,
            edits: Vec::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Replaces a text in a document. It must be there.
    pub(super) fn edit(mut self, document: &'static str, from: &str, to: &str) -> Self {
        self.edits.push((document, from.to_owned(), to.to_owned()));
        self
    }

    pub(super) fn write(&self, to: &Path) {
        let mut blobs = self.extra.clone();
        let mut put = |media_type: &str, content: &[u8]| {
            let descriptor = descriptor(self.algorithm, media_type, content);
            let digest = descriptor["digest"].as_str().unwrap().to_owned();
            blobs.entry(digest).or_insert_with(|| content.to_vec());
            descriptor
        };
        let diff_id = |layer: &Layer| Digest::of(self.algorithm, &layer.stream).to_string();
        let diff_ids: Vec<_> = self.layers.iter().map(diff_id).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = put(CONFIG, self.edited("config", &config).as_bytes());
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|layer| put(&layer.media_type, &layer.blob))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let manifest = put(MANIFEST, self.edited("manifest", &manifest).as_bytes());
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
        fs::create_dir(to).unwrap();
        fs::create_dir(to.join("blobs")).unwrap();
        for (digest, content) in blobs {
            let (algorithm, hex) = digest.split_once(':').unwrap();
            fs::create_dir_all(to.join("blobs").join(algorithm)).unwrap();
            fs::write(to.join("blobs").join(algorithm).join(hex), content).unwrap();
        }
        fs::write(to.join("index.json"), self.edited("index", &index)).unwrap();
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        fs::write(to.join("oci-layout"), self.edited("oci-layout", &version)).unwrap();
    }

    fn edited(&self, document: &str, value: &Value) -> String {
        let mut text = value.to_string();
        for (_, from, to) in self.edits.iter().filter(|(name, ..)| *name == document) {
            assert!(text.contains(from.as_str()), "`{from}` is not in {text}");
            text = text.replacen(from.as_str(), to, 1);
        }
        text
    }
}

impl Layer {
    pub(super) fn new(media_type: &str, blob: Vec<u8>, stream: Vec<u8>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            blob,
            stream,
        }
    }

    pub(super) fn gzip(stream: Vec<u8>) -> Self {
        Self::new(&format!("{LAYER}+gzip"), gzip(&stream), stream)
    }

    pub(super) fn zstd(stream: Vec<u8>) -> Self {
        Self::new(&format!("{LAYER}+zstd"), zstd(&stream), stream)
    }
}

pub(super) fn descriptor(algorithm: Algorithm, media_type: &str, content: &[u8]) -> Value {
    let digest = Digest::of(algorithm, content).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
}

/// One gzip member.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One zstd frame.
pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}
