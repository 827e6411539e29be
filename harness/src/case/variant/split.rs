//! The axis of layers: one changeset cut into several.
//!
//! **split**: manifest.md, *layers*: "The final filesystem layout MUST match the result of applying the layers
//! to an empty directory", and layer.md, *Applying Changesets*: an archive without whiteouts is extracted
//! like a regular one. So it does not matter where one archive ends and the next begins. Three things do:
//!
//! - A whiteout is for lower layers, so nothing is cut before the layer's last whiteout.
//! - A hard link "to files outside of the layer may fail", so it stays with its target.
//! - Extracting into a directory moves its time. The second part names again, with the same attributes, the
//!   directories that the first one named and it walks through, as a layer does that a builder makes.
//!
//! Nothing is cut between an entry and one that takes its place, and that is no directory, either: there the
//! spec says different things of one layer and of two. Applies to layers whose entries walk through no link
//! and whose bytes are not written by hand.

use std::collections::BTreeSet;

use bstr::BString;

use super::layers::{Change, each, literal, plain, with};
use super::path::{ancestors, is_dir, is_marker, is_related, of, target};
use super::{LeftOut, Made};
use crate::case::{Entry, Layer};

/// The most layers one is cut into; some hundred is all that overlayfs and many engines take.
const PARTS_MAX: usize = 24;

/// Each layer in two, as near to its middle as may be.
pub(super) fn halves(layers: &[Layer]) -> Result<Made, LeftOut> {
    split(layers, |cuts, length| {
        let from_middle = |cut: &&usize| (2 * **cut).abs_diff(length);
        cuts.iter()
            .min_by_key(from_middle)
            .copied()
            .into_iter()
            .collect()
    })
}

/// Each layer wherever it may be cut, evenly thinned out where that is too often.
pub(super) fn everywhere(layers: &[Layer]) -> Result<Made, LeftOut> {
    split(layers, |cuts, _| {
        let step = cuts.len().div_ceil(PARTS_MAX - 1).max(1);
        cuts.iter().copied().step_by(step).collect()
    })
}

fn split(
    layers: &[Layer],
    choose: impl Fn(&[usize], usize) -> Vec<usize>,
) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| -> Change {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        literal(upto)?;
        if layer.entries.len() < 2 {
            return Err(LeftOut::Same);
        }
        let cuts = choose(&cuts(&layer.entries)?, layer.entries.len());
        Ok(Some(parts(layer, &cuts)))
    })?;
    Ok(layers.into())
}

/// Where entries may be cut: before each of these.
fn cuts(entries: &[Entry]) -> Result<Vec<usize>, LeftOut> {
    let names: Vec<_> = entries.iter().map(|e| (of(e), target(e))).collect();
    let mut allowed: BTreeSet<usize> = (1..entries.len()).collect();
    let mut why = LeftOut::Same;
    let mut keep_together = |first: usize, last: usize, reason| {
        let count = allowed.len();
        allowed.retain(|cut| *cut <= first || *cut > last);
        if allowed.len() < count {
            why = reason;
        }
    };
    for (index, (path, link)) in names.iter().enumerate() {
        if path.as_ref().is_some_and(|path| is_marker(path)) {
            keep_together(0, index, LeftOut::Whiteout);
        }
        if let Some(link) = link {
            let own = names[..index]
                .iter()
                .rposition(|(path, _)| path.as_ref() == Some(link));
            keep_together(
                own.ok_or(LeftOut::LinkAcrossLayers)?,
                index,
                LeftOut::LinkAcrossLayers,
            );
        }
        let Some(path) = path else { continue };
        for (earlier, (other, _)) in names[..index].iter().enumerate() {
            let both_dirs = is_dir(&entries[earlier]) && is_dir(&entries[index]);
            let clash = other.as_ref().is_some_and(|other| match other == path {
                true => !both_dirs,
                false => {
                    !is_dir(upper(entries, earlier, index, other, path)) && is_related(other, path)
                }
            });
            if clash {
                keep_together(earlier, index, LeftOut::Replaces);
            }
        }
    }
    match allowed.is_empty() {
        true => Err(why),
        false => Ok(allowed.into_iter().collect()),
    }
}

/// Of two entries, the one whose path is the shorter.
fn upper<'a>(entries: &'a [Entry], a: usize, b: usize, a_path: &[u8], b_path: &[u8]) -> &'a Entry {
    match a_path.len() < b_path.len() {
        true => &entries[a],
        false => &entries[b],
    }
}

fn parts(layer: &Layer, cuts: &[usize]) -> Vec<Layer> {
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([layer.entries.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| {
            let (before, own) = (&layer.entries[..start], &layer.entries[start..end]);
            with(layer, [named_again(before, own), own.to_vec()].concat())
        })
        .collect()
}

/// The directories that earlier parts named and this one walks through, as they were named last.
fn named_again(before: &[Entry], own: &[Entry]) -> Vec<Entry> {
    let paths: Vec<BString> = own.iter().filter_map(of).collect();
    let walked: BTreeSet<BString> = paths
        .iter()
        .flat_map(|path| ancestors(path))
        .map(BString::from)
        .collect();
    let mut again: Vec<Entry> = Vec::new();
    for entry in before.iter().filter(|entry| is_dir(entry)) {
        if let Some(path) = of(entry).filter(|path| walked.contains(path) && !paths.contains(path))
        {
            again.retain(|known| of(known).as_ref() != Some(&path));
            again.push(entry.clone());
        }
    }
    again
}
