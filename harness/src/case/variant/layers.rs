//! What the axes share: which layers are theirs to change, and what a layer was given by hand.

use crate::case::{Entry, HeaderFields, Kind, Layer};

use super::LeftOut;

/// What an axis makes of one layer: other layers in its place, nothing, or why it keeps its hands off.
pub(super) type Change = Result<Option<Vec<Layer>>, LeftOut>;

/// Changes each layer by itself, given the layers up to and including it. Where no authored layer changes
/// there is no variant: the base below them is the same for all cases, and one variant of it is enough.
pub(super) fn each(
    layers: &[Layer],
    mut change: impl FnMut(&[Layer]) -> Change,
) -> Result<Vec<Layer>, LeftOut> {
    let mut changed = Vec::new();
    let mut any = false;
    let mut reason = None;
    for (index, layer) in layers.iter().enumerate() {
        let made = change(&layers[..=index]);
        let authored = !is_base(layer);
        match made {
            Ok(Some(made)) => {
                any |= authored && (made.len() != 1 || made[0] != *layer);
                changed.extend(made);
            }
            Ok(None) => changed.push(layer.clone()),
            Err(why) => {
                if authored && why != LeftOut::Same {
                    reason.get_or_insert(why);
                }
                changed.push(layer.clone());
            }
        }
    }
    match any {
        true => Ok(changed),
        false => Err(reason.unwrap_or(LeftOut::Same)),
    }
}

/// Changes the entries of one layer, each by itself; `None` leaves an entry as it is.
pub(super) fn map_entries(layer: &Layer, map: impl Fn(&Entry) -> Option<Entry>) -> Layer {
    let entries = layer.entries.iter();
    with(
        layer,
        entries
            .map(|e| map(e).unwrap_or_else(|| e.clone()))
            .collect(),
    )
}

/// The layer with other entries.
pub(super) fn with(layer: &Layer, entries: Vec<Entry>) -> Layer {
    Layer {
        entries,
        ..layer.clone()
    }
}

/// Whether a layer is the base that a case stands on without writing it: no entry stands in a case file.
fn is_base(layer: &Layer) -> bool {
    !layer.entries.is_empty() && layer.entries.iter().all(|entry| entry.line == 0)
}

/// Nothing of this layer's archive is bytes that stand at a place: no raw entry, no global header, nothing
/// cut off or appended.
pub(super) fn plain(layer: &Layer) -> Result<(), LeftOut> {
    let by_hand = |entry: &Entry| matches!(entry.kind, Kind::Raw(_) | Kind::Global);
    let is_plain = layer.cut == 0
        && layer.append.is_empty()
        && layer.append_compressed.is_empty()
        && layer.prepend_compressed.is_empty()
        && !layer.entries.iter().any(by_hand);
    is_plain.then_some(()).ok_or(LeftOut::HandWritten)
}

/// Whether the header of an entry is what its dialect makes of it.
pub(super) fn is_plain(entry: &Entry) -> bool {
    entry.pax.is_empty() && entry.header == HeaderFields::default()
}

/// The layer's entries have paths whose text says where they land.
pub(super) fn literal(layers: &[Layer]) -> Result<(), LeftOut> {
    match super::path::walks_links(layers) {
        true => Err(LeftOut::ThroughLink),
        false => Ok(()),
    }
}
