//! The layer blobs of an image, for those contenders that know no layouts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;
use serde::Serialize;
use serde_json::Value;

/// The hidden subcommand that [`inflate`] is.
pub(in crate::command::bench) const HELPER: &str = "__inflate";

/// How many indexes may be nested.
const INDEX_DEPTH_MAX: usize = 8;

/// The layer blob of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Blob {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size as it is.
    pub(super) bytes: u64,
    /// How it is compressed.
    pub(super) compression: Compression,
}

/// How a blob is compressed, by its magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The layer blobs of the linux/amd64 image that `reference` names, base layer first. The layout has
/// been read and verified before.
///
/// # Errors
///
/// A document that is missing or not as image-layout.md says, or no such image.
pub(super) fn blobs(layout: &Path, reference: &str) -> anyhow::Result<Vec<Blob>> {
    let mut document = read(&layout.join("index.json"))?;
    let mut wanted = Some(reference);
    for _ in 0..INDEX_DEPTH_MAX {
        let Some(manifests) = document["manifests"].as_array() else {
            break;
        };
        let chosen = manifests.iter().find(|one| {
            let name = &one["annotations"]["org.opencontainers.image.ref.name"];
            let platform = &one["platform"];
            wanted.is_none_or(|wanted| name == wanted)
                && (platform.is_null()
                    || platform["architecture"] == "amd64" && platform["os"] == "linux")
        });
        let chosen = chosen.with_context(|| {
            format!(
                "no linux/amd64 image `{reference}` in `{}`",
                layout.display()
            )
        })?;
        document = read(&blob_path(layout, chosen)?)?;
        wanted = None;
    }
    let layers = document["layers"].as_array();
    layers
        .context("the manifest has no `layers`")?
        .iter()
        .map(|layer| blob(blob_path(layout, layer)?))
        .collect()
}

/// Decompresses gzip and zstd blobs, one after the other in one thread, and drops what comes out.
///
/// # Errors
///
/// A blob that cannot be read or is broken.
pub(in crate::command::bench) fn inflate(blobs: &[PathBuf]) -> anyhow::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    for path in blobs {
        let blob = blob(path.clone())?;
        let file = BufReader::with_capacity(256 << 10, File::open(path)?);
        let mut plain: Box<dyn Read> = match blob.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
        };
        while plain
            .read(&mut buffer)
            .with_context(|| format!("failed to decompress `{}`", path.display()))?
            > 0
        {}
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path)?;
    serde_json::from_slice(&bytes).with_context(|| format!("failed to read `{}`", path.display()))
}

/// The path of a descriptor's blob. Only what looks like a digest becomes a path.
fn blob_path(layout: &Path, descriptor: &Value) -> anyhow::Result<PathBuf> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    match digest.split_once(':') {
        Some((algorithm @ ("sha256" | "sha512"), hex))
            if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            Ok(layout.join("blobs").join(algorithm).join(hex))
        }
        _ => anyhow::bail!("`{}` is no digest", digest.escape_default()),
    }
}

fn blob(path: PathBuf) -> anyhow::Result<Blob> {
    let mut file = fs::File::open(&path)?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    };
    Ok(Blob {
        bytes: file.metadata()?.len(),
        path,
        compression,
    })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use serde_json::json;

    use super::{Blob, Compression, blob_path, blobs, inflate};
    use crate::case::parse;
    use crate::image::{TAG, write_layout};

    const CASE: &str = r#"
title = "a gzip layer below a plain one"
spec = "layer.md"
level = "policy"
base = "none"
[[layer]]
compression = "gzip"
entries = [{ file = "a", text = "lower" }]
[[layer]]
compression = "none"
entries = [{ file = "b", text = "upper" }]
[expect]
tree = "golden"
"#;

    fn layers(layout: &tempfile::TempDir) -> Vec<Blob> {
        let case = parse("bench", CASE, &|_| None).unwrap();
        write_layout(&case, layout.path()).unwrap();
        blobs(layout.path(), TAG).unwrap()
    }

    #[test]
    fn the_layers_of_an_image_are_found_base_layer_first() {
        let layout = tempfile::tempdir().unwrap();
        let layers = layers(&layout);
        let compressions: Vec<_> = layers.iter().map(|blob| blob.compression).collect();
        assert_eq!(compressions, [Compression::Gzip, Compression::None]);
        let error = blobs(layout.path(), "other").unwrap_err().to_string();
        assert!(
            error.starts_with("no linux/amd64 image `other` in "),
            "{error}"
        );
    }

    #[test]
    fn the_floor_reads_all_and_a_broken_blob_fails() {
        let layout = tempfile::tempdir().unwrap();
        let paths: Vec<_> = layers(&layout).into_iter().map(|blob| blob.path).collect();
        inflate(&paths).unwrap();
        let mut bytes = fs::read(&paths[0]).unwrap();
        // Before the eight bytes of CRC and length is the end of the content.
        let last = bytes.len() - 9;
        bytes[last] ^= 1;
        fs::write(&paths[0], bytes).unwrap();
        let error = inflate(&paths).unwrap_err().to_string();
        assert!(error.starts_with("failed to decompress "), "{error}");
    }

    #[test]
    fn a_digest_that_leads_elsewhere_is_no_path() {
        let path = |digest| blob_path("/l".as_ref(), &json!({ "digest": digest }));
        assert_eq!(path("sha256:ab").unwrap(), *"/l/blobs/sha256/ab");
        for digest in ["sha256:../x", "../x:ab", "md5:ab", "ab"] {
            let error = path(digest).unwrap_err().to_string();
            assert_eq!(error, format!("`{digest}` is no digest"));
        }
    }
}
