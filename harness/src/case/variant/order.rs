//! The axis of order: entries of a layer stand elsewhere in its archive.
//!
//! **whiteouts-first**, **whiteouts-last**: layer.md, *Whiteouts*: they "MUST only apply to resources in
//! lower/parent layers", and an opaque one is applied "regardless of the ordering in which the whiteout file
//! was encountered". Applies to layers without a hard link into a lower layer, whose whiteout may come before
//! or after the link.
//!
//! **reversed**, **sorted**: *Applying Changesets* has the archive extracted "like a regular tar archive", one
//! entry after the other, so entries of which neither's path is, or stands above, the other's path or link
//! target can change places. **directories-last** moves directories behind what is in them: the entry then
//! finds a directory and replaces its attributes (*Changeset over existing files*). Applies where no lower
//! layer has anything else at their paths.
//!
//! All apply to layers whose entries walk through no link and whose bytes are not written by hand.

use std::collections::BTreeSet;

use bstr::BString;

use super::layers::{Change, each, literal, plain, with};
use super::path::{is_dir, is_marker, is_related, of, target};
use super::{LeftOut, Made};
use crate::case::{Entry, Layer};

pub(super) fn whiteouts_first(layers: &[Layer]) -> Result<Made, LeftOut> {
    reorder(layers, |_, entries| {
        let (whiteouts, rest) = parted(entries, is_whiteout);
        Ok([whiteouts, rest].concat())
    })
}

pub(super) fn whiteouts_last(layers: &[Layer]) -> Result<Made, LeftOut> {
    reorder(layers, |_, entries| {
        let (whiteouts, rest) = parted(entries, is_whiteout);
        Ok([rest, whiteouts].concat())
    })
}

pub(super) fn directories_last(layers: &[Layer]) -> Result<Made, LeftOut> {
    reorder(layers, |lower, entries| {
        let dirs: BTreeSet<BString> = entries
            .iter()
            .filter(|e| is_dir(e))
            .filter_map(of)
            .collect();
        let others = lower.iter().flat_map(|layer| &layer.entries).chain(entries);
        let in_the_way =
            |entry: &Entry| !is_dir(entry) && of(entry).is_some_and(|path| dirs.contains(&path));
        if others.into_iter().any(in_the_way) {
            return Err(LeftOut::Replaces);
        }
        let (dirs, rest) = parted(entries, is_dir);
        Ok([rest, dirs].concat())
    })
}

pub(super) fn reversed(layers: &[Layer]) -> Result<Made, LeftOut> {
    reorder(layers, |_, entries| {
        Ok(picked(entries, |ready| ready.last().copied()))
    })
}

pub(super) fn sorted(layers: &[Layer]) -> Result<Made, LeftOut> {
    reorder(layers, |_, entries| {
        let name = |index: &usize| of(&entries[*index]);
        Ok(picked(entries, |ready| {
            ready.iter().copied().min_by(|a, b| name(a).cmp(&name(b)))
        }))
    })
}

/// Puts the entries of each layer in another order, given the layers below it.
fn reorder(
    layers: &[Layer],
    order: impl Fn(&[Layer], &[Entry]) -> Result<Vec<Entry>, LeftOut>,
) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| -> Change {
        let (layer, lower) = upto.split_last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        literal(upto)?;
        if layer.entries.iter().any(is_whiteout) && links_down(&layer.entries) {
            return Err(LeftOut::LinkAcrossLayers);
        }
        Ok(Some(vec![with(layer, order(lower, &layer.entries)?)]))
    })?;
    Ok(layers.into())
}

fn parted(entries: &[Entry], first: impl Fn(&Entry) -> bool) -> (Vec<Entry>, Vec<Entry>) {
    entries.iter().cloned().partition(|entry| first(entry))
}

fn is_whiteout(entry: &Entry) -> bool {
    of(entry).is_some_and(|path| is_marker(&path))
}

/// Whether a hard link's target is not among the entries.
fn links_down(entries: &[Entry]) -> bool {
    let own: BTreeSet<BString> = entries.iter().filter_map(of).collect();
    entries
        .iter()
        .filter_map(target)
        .any(|target| !own.contains(&target))
}

/// All entries, each time the one `pick` takes among those that nothing still waiting must precede.
fn picked(entries: &[Entry], pick: impl Fn(&[usize]) -> Option<usize>) -> Vec<Entry> {
    let names: Vec<_> = entries.iter().map(|e| (of(e), target(e))).collect();
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (late, name) in names.iter().enumerate() {
        let preceding = (0..late).filter(|early| depends(&names[*early], name));
        before.push(preceding.collect());
    }
    let mut waiting: Vec<usize> = (0..entries.len()).collect();
    let mut result = Vec::new();
    while !waiting.is_empty() {
        let ready: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|index| before[*index].iter().all(|early| !waiting.contains(early)))
            .collect();
        // The first that waits is always ready.
        let next = pick(&ready).unwrap_or(waiting[0]);
        waiting.retain(|index| *index != next);
        result.push(entries[next].clone());
    }
    result
}

type Names = (Option<BString>, Option<BString>);

/// Whether two entries must keep their order: their paths are related, or one's path and the other's target.
fn depends(a: &Names, b: &Names) -> bool {
    let related = |x: &Option<BString>, y: &Option<BString>| match (x, y) {
        (Some(x), Some(y)) => is_related(x, y),
        _ => false,
    };
    related(&a.0, &b.0) || related(&a.1, &b.0) || related(&a.0, &b.1)
}
