//! Axes of packing: what an entry means stays, how it is written changes.
//!
//! **header**: layer.md, *Distributable Format*, asks for a tar archive and no dialect of it, so ustar, pax
//! and GNU headers of one meaning are one entry. Applies to entries whose headers are not written by hand;
//! for GNU, to those without the times and attributes that only pax records hold.
//!
//! **compression**: layer.md, *+gzip* and *+zstd Media Types*: the compressed blob "represents" the same tar
//! payload; RFC 1952 §2.2 and RFC 8878 §3 make a file of any number of members or frames. Applies to layers
//! without a media type or bytes behind their end.
//!
//! **media-type**: media-types.md, *Compatibility Matrix*: docker's layer type is "interchangeable and fully
//! compatible", its manifest and configuration "similar". Applies where docker has a type for the layers.
//!
//! **empty-layer**: manifest.md, *layers*: the result is that of applying the layers; an empty changeset adds,
//! modifies and removes nothing. Applies to images that have layers.

use bstr::{BString, ByteSlice as _};
use serde_json::json;

use super::layers::{Change, each, is_plain, map_entries, plain};
use super::{LeftOut, Made};
use crate::case::{Compression, Dialect, Document, Edit, EditChange, Entry, Kind, Layer};

const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

pub(super) fn ustar(layers: &[Layer]) -> Result<Made, LeftOut> {
    header(layers, Dialect::Ustar, |_| Vec::new())
}

pub(super) fn pax(layers: &[Layer]) -> Result<Made, LeftOut> {
    // A pax header without records is legal and nobody writes one: real archives repeat the name.
    header(layers, Dialect::Pax, |entry| {
        vec![("path".into(), entry.path.clone())]
    })
}

pub(super) fn gnu(layers: &[Layer]) -> Result<Made, LeftOut> {
    header(layers, Dialect::Gnu, |_| Vec::new())
}

fn header(
    layers: &[Layer],
    dialect: Dialect,
    records: fn(&Entry) -> Vec<(BString, BString)>,
) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        if !layer.entries.is_empty() && !layer.entries.iter().any(is_plain) {
            return Err(LeftOut::HandWritten);
        }
        if !layer.entries.iter().any(|entry| holds(dialect, entry)) {
            return Err(LeftOut::Unholdable);
        }
        Ok(Some(vec![map_entries(layer, |entry| {
            let change = is_plain(entry) && entry.dialect != dialect && holds(dialect, entry);
            change.then(|| Entry {
                dialect,
                pax: records(entry),
                ..entry.clone()
            })
        })]))
    })?;
    Ok(layers.into())
}

/// Whether a header family has a way to say what an entry says that every reader of it knows. A name ends
/// at its first NUL in some of them; pax names are UTF-8; GNU has no fractions of seconds and no attributes.
fn holds(dialect: Dialect, entry: &Entry) -> bool {
    let target = match &entry.kind {
        Kind::Symlink(target) | Kind::Hardlink(target, _) => target.as_slice(),
        _ => b"",
    };
    let names = [entry.path.as_slice(), target];
    if entry.path.is_empty() || names.iter().any(|name| name.contains(&0)) {
        return false;
    }
    match dialect {
        Dialect::Pax => names.iter().all(|name| name.to_str().is_ok()),
        Dialect::Gnu => entry.mtime.nanos == 0 && entry.xattrs.is_empty(),
        Dialect::Ustar | Dialect::V7 => true,
    }
}

pub(super) fn uncompressed(layers: &[Layer]) -> Result<Made, LeftOut> {
    compression(layers, Compression::None, 0)
}

pub(super) fn gzip(layers: &[Layer]) -> Result<Made, LeftOut> {
    compression(layers, Compression::Gzip, 0)
}

pub(super) fn gzip_members(layers: &[Layer]) -> Result<Made, LeftOut> {
    compression(layers, Compression::Gzip, 3)
}

pub(super) fn zstd(layers: &[Layer]) -> Result<Made, LeftOut> {
    compression(layers, Compression::Zstd, 0)
}

pub(super) fn zstd_frames(layers: &[Layer]) -> Result<Made, LeftOut> {
    compression(layers, Compression::Zstd, 3)
}

fn compression(
    layers: &[Layer],
    compression: Compression,
    members: usize,
) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| -> Change {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        let by_hand = [&layer.prepend_compressed, &layer.append_compressed];
        if layer.media_type.is_some() || by_hand.iter().any(|bytes| !bytes.is_empty()) {
            return Err(LeftOut::HandWritten);
        }
        Ok(Some(vec![Layer {
            compression,
            members,
            ..layer.clone()
        }]))
    })?;
    Ok(layers.into())
}

/// The layers alone have docker's types; manifest and configuration stay OCI's.
pub(super) fn docker_layers(layers: &[Layer]) -> Result<Made, LeftOut> {
    let layers = layers.iter().map(|layer| {
        if layer.media_type.is_some() {
            return Err(LeftOut::HandWritten);
        }
        let suffix = match layer.compression {
            Compression::None => "",
            Compression::Gzip => ".gzip",
            // Written by some, specified by nobody.
            Compression::Zstd => return Err(LeftOut::Unholdable),
        };
        Ok(Layer {
            media_type: Some(format!("{DOCKER_LAYER}{suffix}")),
            ..layer.clone()
        })
    });
    Ok(layers.collect::<Result<Vec<_>, _>>()?.into())
}

/// Everything has docker's types: an image of schema 2 in an OCI layout.
pub(super) fn docker(layers: &[Layer]) -> Result<Made, LeftOut> {
    let edit = |document, at: &str, to: &str| Edit {
        document,
        change: EditChange::Set(at.to_owned(), json!(to)),
        keep: true,
    };
    Ok(Made {
        edits: vec![
            edit(Document::Index, "/manifests/0/mediaType", DOCKER_MANIFEST),
            edit(Document::Manifest, "/mediaType", DOCKER_MANIFEST),
            edit(Document::Manifest, "/config/mediaType", DOCKER_CONFIG),
        ],
        ..docker_layers(layers)?
    })
}

pub(super) fn empty_bottom(layers: &[Layer]) -> Result<Made, LeftOut> {
    with_empty(layers, 0)
}

pub(super) fn empty_middle(layers: &[Layer]) -> Result<Made, LeftOut> {
    match layers.len() {
        0 | 1 => Err(LeftOut::Same),
        count => with_empty(layers, count.div_ceil(2)),
    }
}

pub(super) fn empty_top(layers: &[Layer]) -> Result<Made, LeftOut> {
    with_empty(layers, layers.len())
}

fn with_empty(layers: &[Layer], at: usize) -> Result<Made, LeftOut> {
    if layers.is_empty() {
        return Err(LeftOut::Same);
    }
    let mut layers = layers.to_vec();
    layers.insert(at, Layer::default());
    Ok(layers.into())
}
