//! The twin of a reject case: the same image with the offending thing repaired.
//!
//! A converter that rejects everything must not score, and a rejection must be for the right reason;
//! so a reject case only passes when its twin is accepted with the right tree.

use super::{Case, Compression, Entry, Expect, Layer, LayerFormat};

/// What the twin has in the place of an entry.
pub(super) enum Repair {
    Keep,
    Drop,
    Replace(Box<Entry>),
}

/// The twin of `case`, whose first `base` layers are not authored; `None` if nothing is repaired.
pub(super) fn of(case: &Case, base: usize, repairs: Vec<Vec<Repair>>) -> Option<Case> {
    let mut twin = case.clone();
    twin.id = format!("{}+twin", case.id);
    twin.expect = Expect::Tree;
    twin.image.edits.retain(|edit| edit.keep);
    twin.image.blobs.retain(|blob| blob.keep);
    twin.layers.iter_mut().for_each(as_tar);
    for (layer, repairs) in twin.layers[base..].iter_mut().zip(repairs) {
        repair_layer(layer, repairs);
    }
    let repaired = twin.layers != case.layers || twin.image != case.image;
    repaired.then_some(twin)
}

/// An EROFS layer is a tar layer in the twin, as not every converter that rejects an image of them does
/// so for the offence.
fn as_tar(layer: &mut Layer) {
    if layer.format.is_erofs() {
        layer.format = LayerFormat::Tar;
        layer.compression = Compression::Gzip;
        layer.patch.clear();
    }
}

/// Damage to a layer as a whole is never benign in a reject case, so the twin has none.
fn repair_layer(layer: &mut Layer, repairs: Vec<Repair>) {
    layer.media_type = None;
    layer.end_blocks = None;
    layer.append.clear();
    layer.prepend_compressed.clear();
    layer.append_compressed.clear();
    layer.cut = 0;
    let entries = std::mem::take(&mut layer.entries);
    layer.entries = entries
        .into_iter()
        .zip(repairs)
        .filter_map(|(entry, repair)| match repair {
            Repair::Keep => Some(entry),
            Repair::Drop => None,
            Repair::Replace(replacement) => Some(*replacement),
        })
        .collect();
}
