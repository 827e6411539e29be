//! A case as an OCI image layout: `oci-layout`, `index.json` and `blobs/sha256/`.
//!
//! image-layout.md, manifest.md, config.md, descriptor.md. Documents are written bottom up, and an
//! edit happens before the digest of its document is taken, so that everything above stays
//! consistent and only the authored defect is there.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::TAG;
use super::compress::Packer;
use super::erofs;
use super::tar::write_archive;
use crate::case::{BlobName, Case, Compression, Damage, Document, Edit, EditChange, Layer};

/// The media type of an image index.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What [`write_layout`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The digest of the manifest, `sha256:…`.
    pub manifest: String,
    /// The digests of the layer blobs, base layer first.
    pub layers: Vec<String>,
}

/// Writes the image of `case` as an OCI image layout into the directory `to`, which is made.
///
/// # Errors
///
/// Those of the file system, and an edit whose place does not exist.
pub fn write_layout(case: &Case, to: &Path) -> io::Result<Written> {
    let blobs = to.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layers: Vec<Blob> = case
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| write_layer(layer, index, &blobs))
        .collect::<io::Result<_>>()?;

    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let mut config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["/bin/sh"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    declare_features(case, &mut config);
    let config = write_document(case, Document::Config, config, &blobs)?;

    let descriptors: Vec<Value> = layers
        .iter()
        .enumerate()
        .map(|(index, layer)| layer_descriptor(case, index, layer))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config.digest, config.size),
        "layers": descriptors,
    });
    let manifest = write_document(case, Document::Manifest, manifest, &blobs)?;

    let mut top = descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        &manifest.digest,
        manifest.size,
    );
    top["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    declare_features(case, &mut top["platform"]);
    for _ in 0..case.image.nested {
        let inner = write_text(&index(top).to_string(), &blobs)?;
        top = descriptor(INDEX, &inner.digest, inner.size);
    }
    top["annotations"] = json!({ "org.opencontainers.image.ref.name": TAG });
    let index = edited(case, Document::Index, index(top))?;
    fs::write(to.join("index.json"), index)?;
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(
        to.join("oci-layout"),
        edited(case, Document::Layout, version)?,
    )?;

    for blob in &case.image.blobs {
        let file = match blob.of {
            BlobName::Layout => to.join("oci-layout"),
            BlobName::Index => to.join("index.json"),
            BlobName::Manifest => blobs.join(hex_of(&manifest.digest)),
            BlobName::Config => blobs.join(hex_of(&config.digest)),
            BlobName::Layer(index) => blobs.join(hex_of(&layers[index].digest)),
        };
        damage(&file, &blob.damage)?;
    }
    Ok(Written {
        manifest: manifest.digest,
        layers: layers.into_iter().map(|layer| layer.digest).collect(),
    })
}

/// The SHA-256 over every file of a layout: path, length and content, in bytewise order of path; a
/// named pipe or directory among the blobs counts by its kind. Two layouts with the same digest are
/// the same question.
///
/// # Errors
///
/// Those of the file system.
pub fn layout_digest(layout: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for entry in walkdir::WalkDir::new(layout)
        .min_depth(1)
        .sort_by_file_name()
    {
        let entry = entry?;
        let name = entry.path().strip_prefix(layout).expect("below the layout");
        hash.update(name.as_os_str().as_encoded_bytes());
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path())?;
            hash.update([0, 1]);
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(&bytes);
        } else if entry.file_type().is_dir() {
            hash.update([0, 2]);
        } else {
            hash.update([0, 3]);
        }
    }
    Ok(digest_text(hash))
}

struct Blob {
    media_type: String,
    digest: String,
    size: u64,
    diff_id: String,
}

fn write_layer(layer: &Layer, index: usize, blobs: &Path) -> io::Result<Blob> {
    let source = Source::of(layer)?;
    let mut length = Counter(0);
    source.write(&mut length)?;
    let keep = length.0.saturating_sub(layer.cut as u64);

    let unfinished = blobs.join(format!("unfinished-{index}"));
    let file = BufWriter::new(fs::File::create(&unfinished)?);
    let mut blob = Hashing {
        out: file,
        hash: Sha256::new(),
        size: 0,
    };
    blob.write_all(&layer.prepend_compressed)?;
    let packer = Packer::new(blob, layer.compression, layer.members, keep);
    let mut archive = Hashing {
        out: Limit {
            out: packer,
            left: keep,
        },
        hash: Sha256::new(),
        size: 0,
    };
    source.write(&mut archive)?;
    // The diff ID is taken over what a decompressor gives: the cut archive.
    let diff_id = if layer.cut == 0 {
        digest_text(archive.hash)
    } else {
        cut_digest(&source, keep)?
    };
    let mut blob = archive.out.out.finish()?;
    blob.write_all(&layer.append_compressed)?;
    blob.out.flush()?;
    let digest = digest_text(blob.hash);
    fs::rename(&unfinished, blobs.join(hex_of(&digest)))?;
    let media_type = layer.media_type.clone().unwrap_or_else(|| {
        let base = match layer.format.is_erofs() {
            true => "application/vnd.erofs",
            false => "application/vnd.oci.image.layer.v1.tar",
        };
        let suffix = match layer.compression {
            Compression::None => "",
            Compression::Gzip => "+gzip",
            Compression::Zstd => "+zstd",
        };
        format!("{base}{suffix}")
    });
    Ok(Blob {
        media_type,
        digest,
        size: blob.size,
        diff_id,
    })
}

fn cut_digest(source: &Source<'_>, keep: u64) -> io::Result<String> {
    let mut hashing = Limit {
        out: Hashing {
            out: io::sink(),
            hash: Sha256::new(),
            size: 0,
        },
        left: keep,
    };
    source.write(&mut hashing)?;
    Ok(digest_text(hashing.out.hash))
}

/// What is packed into a layer blob.
enum Source<'a> {
    Archive(&'a Layer),
    Erofs(Vec<u8>),
}

impl Source<'_> {
    fn of(layer: &Layer) -> io::Result<Source<'_>> {
        if !layer.format.is_erofs() {
            return Ok(Source::Archive(layer));
        }
        let mut image = erofs::layer_blob(layer).map_err(io::Error::other)?;
        image.extend(&layer.append);
        Ok(Source::Erofs(image))
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Source::Archive(layer) => write_archive(layer, out),
            Source::Erofs(image) => out.write_all(image),
        }
    }
}

fn write_document(case: &Case, document: Document, value: Value, blobs: &Path) -> io::Result<Blob> {
    write_text(&edited(case, document, value)?, blobs)
}

/// An image index with one entry.
fn index(entry: Value) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] })
}

fn write_text(text: &str, blobs: &Path) -> io::Result<Blob> {
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    let digest = digest_text(hash);
    fs::write(blobs.join(hex_of(&digest)), text)?;
    Ok(Blob {
        media_type: String::new(),
        size: text.len() as u64,
        diff_id: digest.clone(),
        digest,
    })
}

fn edited(case: &Case, document: Document, mut value: Value) -> io::Result<String> {
    let edits = || {
        case.image
            .edits
            .iter()
            .filter(|edit| edit.document == document)
    };
    for edit in edits() {
        match &edit.change {
            EditChange::Set(pointer, new) => *place(&mut value, pointer, edit)? = new.clone(),
            EditChange::Remove(pointer) => remove(&mut value, pointer, edit)?,
            EditChange::Replace(..) => {}
        }
    }
    let mut text = value.to_string();
    for edit in edits() {
        if let EditChange::Replace(find, replace) = &edit.change {
            if !text.contains(find.as_str()) {
                return Err(no_place(edit, find));
            }
            text = text.replacen(find.as_str(), replace, 1);
        }
    }
    Ok(text)
}

/// The value at an RFC 6901 pointer; the last member is added where it is missing.
fn place<'a>(value: &'a mut Value, pointer: &str, edit: &Edit) -> io::Result<&'a mut Value> {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return Ok(value);
    };
    let parent = value
        .pointer_mut(parent)
        .ok_or_else(|| no_place(edit, pointer))?;
    match parent {
        Value::Object(members) => Ok(members.entry(key).or_insert(Value::Null)),
        Value::Array(items) => {
            let index = if key == "-" {
                items.len()
            } else {
                key.parse().unwrap_or(usize::MAX)
            };
            if index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(index).ok_or_else(|| no_place(edit, pointer))
        }
        _ => Err(no_place(edit, pointer)),
    }
}

fn remove(value: &mut Value, pointer: &str, edit: &Edit) -> io::Result<()> {
    let (parent, key) = pointer
        .rsplit_once('/')
        .ok_or_else(|| no_place(edit, pointer))?;
    let removed = match value.pointer_mut(parent) {
        Some(Value::Object(members)) => members.shift_remove(key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    };
    if removed {
        Ok(())
    } else {
        Err(no_place(edit, pointer))
    }
}

fn no_place(edit: &Edit, place: &str) -> io::Error {
    io::Error::other(format!(
        "failed to edit the {:?}: there is no `{place}`",
        edit.document
    ))
}

fn damage(blob: &PathBuf, damage: &Damage) -> io::Result<()> {
    match damage {
        Damage::Remove => fs::remove_file(blob),
        Damage::Flip(offset) => {
            let mut bytes = fs::read(blob)?;
            let at = usize::try_from(*offset).ok().filter(|at| *at < bytes.len());
            let at = at.ok_or_else(|| io::Error::other("failed to flip: beyond the blob's end"))?;
            bytes[at] ^= 0xff;
            fs::write(blob, bytes)
        }
        Damage::Truncate(length) => fs::OpenOptions::new()
            .write(true)
            .open(blob)?
            .set_len(*length),
        Damage::Fifo => {
            fs::remove_file(blob)?;
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            Ok(rustix::fs::mknodat(
                rustix::fs::CWD,
                blob,
                rustix::fs::FileType::Fifo,
                mode,
                0,
            )?)
        }
        Damage::Directory => {
            fs::remove_file(blob)?;
            fs::create_dir(blob)
        }
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// A layer's descriptor; that of an EROFS layer has the annotations its place asks for (erofs-image-spec
/// §2.3, §2.4).
fn layer_descriptor(case: &Case, index: usize, blob: &Blob) -> Value {
    let mut value = descriptor(&blob.media_type, &blob.digest, blob.size);
    let layer = &case.layers[index];
    if !layer.format.is_erofs() {
        return value;
    }
    let mut annotations = serde_json::Map::new();
    if index + 1 < case.layers.len() {
        annotations.insert("org.erofs.role".to_owned(), json!("overlay-lower"));
    }
    if layer.compression != Compression::None {
        let key = "org.erofs.uncompressed-digest".to_owned();
        annotations.insert(key, json!(blob.diff_id));
    }
    if !annotations.is_empty() {
        value["annotations"] = Value::Object(annotations);
    }
    value
}

/// Says that an image has EROFS layers, where it has (erofs-image-spec §5.4).
fn declare_features(case: &Case, to: &mut Value) {
    if case.layers.iter().any(|layer| layer.format.is_erofs()) {
        to["os.features"] = json!(["erofs"]);
    }
}

fn digest_text(hash: Sha256) -> String {
    format!(
        "sha256:{}",
        data_encoding::HEXLOWER.encode(&hash.finalize())
    )
}

fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Passes on the first `left` bytes and swallows the rest.
struct Limit<W> {
    out: W,
    left: u64,
}

impl<W: Write> Write for Limit<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.out.write_all(&bytes[..now])?;
        self.left -= now as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
