//! From an image layout to the layer blobs of one image: image-layout.md, image-index.md, manifest.md,
//! config.md, descriptor.md.

use std::fs;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::json::{self, Json};
use crate::{Fault, Refusal};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIGS: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// The layers of an image, base layer first.
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
}

/// One layer as the manifest and the configuration have it.
pub(crate) struct Layer {
    pub(crate) media_type: String,
    pub(crate) blob: Vec<u8>,
    /// `None`: nothing to compare with.
    pub(crate) diff_id: Option<String>,
}

impl Image {
    /// Finds the image that `tag` names.
    pub(crate) fn open(layout: &Path, tag: &str, fault: Option<Fault>) -> Result<Image, Refusal> {
        let store = Store { layout, fault };
        let version = store.document("oci-layout")?;
        if version.text_at(&["imageLayoutVersion"]) != Some("1.0.0")
            && fault != Some(Fault::LayoutVersionUnchecked)
        {
            return Err(Refusal::new("oci-layout: no imageLayoutVersion 1.0.0"));
        }
        if fault == Some(Fault::UnknownKeysRefused) {
            check_known(&version)?;
        }
        let index = store.document("index.json")?;
        let manifest = store.manifest(&index, Some(tag), 0)?;
        let layers = manifest
            .get("layers")
            .and_then(Json::array)
            .ok_or_else(|| Refusal::new("the manifest has no `layers`"))?;
        let diff_ids = store.diff_ids(&manifest, layers.len())?;
        let mut read = Vec::new();
        for (index, descriptor) in layers.iter().enumerate() {
            let layer = store.layer(descriptor, diff_ids.get(index).cloned());
            let layer =
                layer.map_err(|refusal| Refusal::new(format!("layer {index}: {refusal}")))?;
            let digest = |layer: &Json| layer.text_at(&["digest"]).map(str::to_owned);
            let is_known = layers[..index]
                .iter()
                .any(|one| digest(one) == digest(descriptor));
            match fault {
                Some(Fault::LayersDeduplicated) if is_known => continue,
                Some(Fault::DuplicateLayerRefused) if is_known => {
                    return Err(Refusal::new("duplicate layer"));
                }
                _ => {}
            }
            read.extend(layer);
        }
        Ok(Image { layers: read })
    }
}

struct Store<'a> {
    layout: &'a Path,
    fault: Option<Fault>,
}

impl Store<'_> {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn document(&self, name: &str) -> Result<Json, Refusal> {
        let text = read(&self.layout.join(name), name)?;
        json::parse(&text, name, self.fault)
    }

    /// The manifest for this machine, through nested indexes.
    fn manifest(&self, index: &Json, tag: Option<&str>, depth: usize) -> Result<Json, Refusal> {
        self.check_index(index)?;
        if depth > 8 {
            return Err(Refusal::new("indexes are nested too deep"));
        }
        let all = index.get("manifests").and_then(Json::array);
        let all = all.ok_or_else(|| Refusal::new("the index has no `manifests`"))?;
        let chosen = match self.fault {
            Some(Fault::FirstManifestTaken) => all.first(),
            _ => all.iter().find(|one| self.fits(one, tag)),
        };
        let chosen =
            chosen.ok_or_else(|| Refusal::new("no manifest for linux/amd64 of this name"))?;
        let text = self.blob(chosen, "the manifest")?;
        let document = json::parse(&text, "the manifest", self.fault)?;
        let media_type = chosen.text_at(&["mediaType"]).unwrap_or_default();
        if INDEXES.contains(&media_type) && self.is(Fault::NestedIndexRefused) {
            return Err(Refusal::new("an index that leads to an index"));
        }
        if INDEXES.contains(&media_type) {
            return self.manifest(&document, None, depth + 1);
        }
        self.check_manifest(&document)?;
        Ok(document)
    }

    fn fits(&self, descriptor: &Json, tag: Option<&str>) -> bool {
        let media_type = descriptor.text_at(&["mediaType"]).unwrap_or_default();
        let named = tag.is_none() || descriptor.text_at(&["annotations", REF_NAME]) == tag;
        let is_ours = match descriptor.get("platform") {
            None => true,
            Some(platform) => {
                platform.text_at(&["os"]) == Some("linux")
                    && platform.text_at(&["architecture"]) == Some("amd64")
            }
        };
        let is_known = MANIFESTS.contains(&media_type) || INDEXES.contains(&media_type);
        named && is_ours && is_known
    }

    fn check_index(&self, index: &Json) -> Result<(), Refusal> {
        self.check_head(index, &INDEXES, "the index")?;
        let is_both = index.get("config").is_some() || index.get("layers").is_some();
        if is_both && !self.is(Fault::ManifestAndIndexAtOnce) {
            return Err(Refusal::new("an index that is a manifest too"));
        }
        Ok(())
    }

    fn check_manifest(&self, manifest: &Json) -> Result<(), Refusal> {
        self.check_head(manifest, &MANIFESTS, "the manifest")?;
        if manifest.get("manifests").is_some() && !self.is(Fault::ManifestAndIndexAtOnce) {
            return Err(Refusal::new("a manifest that is an index too"));
        }
        let config = manifest
            .text_at(&["config", "mediaType"])
            .unwrap_or_default();
        if !CONFIGS.contains(&config) && !self.is(Fault::MediaTypesIgnored) {
            return Err(Refusal::new(format!(
                "`{config}` is no image configuration"
            )));
        }
        Ok(())
    }

    fn check_head(&self, document: &Json, types: &[&str], what: &str) -> Result<(), Refusal> {
        let version = document.get("schemaVersion").and_then(Json::number);
        if version != Some(2) && !self.is(Fault::SchemaVersionUnchecked) {
            return Err(Refusal::new(format!("{what}: schemaVersion is not 2")));
        }
        match document.get("mediaType").map(Json::text) {
            Some(own) if !own.is_some_and(|own| types.contains(&own)) => {
                if self.is(Fault::MediaTypeInsideUnchecked) {
                    return Ok(());
                }
                Err(Refusal::new(format!("{what} says it is something else")))
            }
            _ => Ok(()),
        }
    }

    fn diff_ids(&self, manifest: &Json, layers: usize) -> Result<Vec<String>, Refusal> {
        if self.is(Fault::ConfigNotRead) {
            return Ok(Vec::new());
        }
        let descriptor = manifest.get("config");
        let descriptor = descriptor.ok_or_else(|| Refusal::new("the manifest has no `config`"))?;
        let text = self.blob(descriptor, "the configuration")?;
        let config = json::parse(&text, "the configuration", self.fault)?;
        if config.text_at(&["rootfs", "type"]) != Some("layers")
            && !self.is(Fault::RootfsTypeUnchecked)
        {
            return Err(Refusal::new(
                "the configuration's rootfs type is not `layers`",
            ));
        }
        if self.is(Fault::HistoryCounted) {
            check_history(&config, layers)?;
        }
        if self.is(Fault::NullsRefused) && has_null(&config) {
            return Err(Refusal::new("the configuration: a null"));
        }
        if self.is(Fault::UnknownKeysRefused) {
            check_known(&config)?;
        }
        let skips = [
            Fault::DiffIdUnchecked,
            Fault::DigestUnchecked,
            Fault::IntegrityUnchecked,
        ];
        if skips.iter().any(|fault| self.is(*fault)) {
            return Ok(Vec::new());
        }
        let ids = config.at(&["rootfs", "diff_ids"]).and_then(Json::array);
        let ids = ids.ok_or_else(|| Refusal::new("the configuration has no `diff_ids`"))?;
        let counts = !self.is(Fault::DiffIdsNotCounted) && !self.is(Fault::LastJsonKeyWins);
        if ids.len() != layers && counts {
            let ids = ids.len();
            return Err(Refusal::new(format!("{ids} diff IDs for {layers} layers")));
        }
        ids.iter()
            .map(|id| id.text().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| Refusal::new("a diff ID is no text"))
    }

    /// The layer; `None` where a fault leaves it out.
    fn layer(&self, descriptor: &Json, diff_id: Option<String>) -> Result<Option<Layer>, Refusal> {
        let media_type = descriptor.text_at(&["mediaType"]);
        let media_type = media_type.ok_or_else(|| Refusal::new("no mediaType"))?;
        let is_layer = media_type.contains(".layer.") || media_type.contains(".rootfs.diff.");
        if self.is(Fault::UnknownLayersLeftOut) && !is_layer {
            return Ok(None);
        }
        if self.is(Fault::NondistributableLeftOut) && media_type.contains("nondistributable") {
            return Ok(None);
        }
        check_embedded(descriptor)?;
        let blob = self.blob(descriptor, "the blob")?;
        Ok(Some(Layer {
            media_type: media_type.to_owned(),
            blob,
            diff_id,
        }))
    }

    fn blob(&self, descriptor: &Json, what: &str) -> Result<Vec<u8>, Refusal> {
        let digest = descriptor.text_at(&["digest"]);
        let digest = digest.ok_or_else(|| Refusal::new(format!("{what}: no digest")))?;
        let hex = digest.strip_prefix("sha256:").filter(|hex| is_hex(hex));
        let lower = digest.to_ascii_lowercase();
        let hex = match hex {
            None if self.is(Fault::DigestCaseIgnored) => lower.strip_prefix("sha256:"),
            hex => hex,
        };
        let hex = hex.ok_or_else(|| Refusal::new(format!("{what}: `{digest}` is no digest")))?;
        let blob = read(&self.layout.join("blobs/sha256").join(hex), what)?;
        let size = descriptor.get("size").and_then(Json::number);
        let is_size_wrong = size != Some(blob.len() as u64);
        let is_lax = self.is(Fault::IntegrityUnchecked);
        if is_size_wrong && !is_lax && !self.is(Fault::SizeUnchecked) {
            return Err(Refusal::new(format!("{what}: not of the stated size")));
        }
        let is_digest_wrong = digest_of(&blob).strip_prefix("sha256:") != Some(hex);
        if is_digest_wrong && !is_lax && !self.is(Fault::DigestUnchecked) {
            return Err(Refusal::new(format!("{what}: not of the stated digest")));
        }
        Ok(blob)
    }
}

/// descriptor.md: `data` must be what the digest names. The blob itself is used in any case.
fn check_embedded(descriptor: &Json) -> Result<(), Refusal> {
    let Some(data) = descriptor.text_at(&["data"]) else {
        return Ok(());
    };
    let data = BASE64.decode(data.as_bytes());
    let data = data.map_err(|error| Refusal::new(format!("`data`: {error}")))?;
    match descriptor.text_at(&["digest"]) == Some(digest_of(&data).as_str()) {
        true => Ok(()),
        false => Err(Refusal::new("`data` is not what the digest names")),
    }
}

fn check_history(config: &Json, layers: usize) -> Result<(), Refusal> {
    let Some(history) = config.get("history").and_then(Json::array) else {
        return Ok(());
    };
    let filled = history
        .iter()
        .filter(|one| one.get("empty_layer").is_none());
    match filled.count() == layers {
        true => Ok(()),
        false => Err(Refusal::new("the history does not match the layers")),
    }
}

fn has_null(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Array(items) => items.iter().any(has_null),
        Json::Object(members) => members.iter().any(|(_, value)| has_null(value)),
        _ => false,
    }
}

fn check_known(document: &Json) -> Result<(), Refusal> {
    const KNOWN: [&str; 9] = [
        "architecture",
        "author",
        "config",
        "created",
        "history",
        "imageLayoutVersion",
        "os",
        "rootfs",
        "variant",
    ];
    match document.keys().find(|key| !KNOWN.contains(key)) {
        Some(key) => Err(Refusal::new(format!("unknown key `{key}`"))),
        None => Ok(()),
    }
}

fn is_hex(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(is_digit)
}

/// The digest of some bytes, with its algorithm.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(bytes)))
}

/// Reads a regular file; opening a named pipe would wait for ever.
fn read(path: &Path, what: &str) -> Result<Vec<u8>, Refusal> {
    let refusal = |error: std::io::Error| Refusal::new(format!("{what}: {error}"));
    if !fs::metadata(path).map_err(refusal)?.is_file() {
        return Err(Refusal::new(format!("{what}: no regular file")));
    }
    fs::read(path).map_err(refusal)
}
