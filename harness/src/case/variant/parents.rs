//! The axis of parents: whether a layer names the directories it walks through.
//!
//! **parents=explicit**: every directory above an entry has an entry of its own before it. layer.md, *Changeset
//! over existing files*: the attributes "MUST be replaced by those of the entry", and these are the ones the
//! directory has already; where no layer named it, all about it is open, and the corpus's defaults are as
//! right as any. Whiteouts are given no parents: a directory that is not there must not appear.
//!
//! **parents=implied**: a directory with the default mode and owner is not named where a child of the same
//! layer, standing behind it, implies it. layer.md, *Representing Changes*, shows `./etc/my-app.d/` without
//! `./etc/`, and an archive that names a child makes its parents. Nothing then says what attributes the
//! directory has, so they are not compared. Applies to directories that no lower layer names.
//!
//! Both apply to layers whose entries walk through no link and are not written by hand.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice as _};

use super::layers::{each, is_plain, literal, plain, with};
use super::path::{ancestors, hides, is_below, is_dir, is_marker, of};
use super::{LeftOut, Made};
use crate::case::{Entry, Kind, Layer};

/// The mode that a directory has where a case does not say, and in practice where nobody does.
const DEFAULT_MODE: u32 = 0o755;

pub(super) fn explicit(layers: &[Layer]) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        for count in 1..=upto.len() {
            literal(&upto[..count])?;
        }
        let mut named = dirs_of(layer);
        let mut entries = Vec::new();
        for entry in &layer.entries {
            if let Some(path) = of(entry).filter(|path| !is_marker(path)) {
                for dir in ancestors(&path).into_iter().filter(|dir| !dir.is_empty()) {
                    if named.insert(dir.into()) {
                        entries.push(again(upto, dir)?);
                    }
                }
            }
            entries.push(entry.clone());
        }
        Ok(Some(vec![with(layer, entries)]))
    })?;
    Ok(layers.into())
}

/// An entry for a directory with the attributes it has by then.
fn again(upto: &[Layer], dir: &[u8]) -> Result<Entry, LeftOut> {
    let known = in_force(upto, dir)?;
    let mut entry = known.unwrap_or_else(|| Entry::new(Kind::Dir(None), ""));
    entry.path = [dir, b"/"].concat().into();
    Ok(entry)
}

/// The entry whose attributes a directory has when the last of these layers is about to be applied, its
/// whiteouts done; `None` where no layer named it since it came into being.
pub(super) fn in_force(upto: &[Layer], dir: &[u8]) -> Result<Option<Entry>, LeftOut> {
    let (own, lower) = upto.split_last().ok_or(LeftOut::Same)?;
    if removes(own, dir) {
        return Ok(None);
    }
    for layer in lower.iter().rev() {
        let named = layer
            .entries
            .iter()
            .rev()
            .find(|entry| of(entry).is_some_and(|p| p == dir));
        match named {
            Some(entry) if is_dir(entry) => {
                plain(layer)?;
                return match is_plain(entry) {
                    true => Ok(Some(entry.clone())),
                    false => Err(LeftOut::HandWritten),
                };
            }
            Some(_) => return Ok(None),
            None if removes(layer, dir) => return Ok(None),
            None => {}
        }
    }
    Ok(None)
}

/// Whether a layer takes away what lower layers have at a path: by a whiteout, or by something that is no
/// directory in the place of a directory above.
fn removes(layer: &Layer, dir: &[u8]) -> bool {
    layer.entries.iter().any(|entry| {
        of(entry).is_some_and(|path| match is_marker(&path) {
            true => hides(&path, dir),
            false => !is_dir(entry) && is_below(dir, &path),
        })
    })
}

fn dirs_of(layer: &Layer) -> BTreeSet<BString> {
    let dirs = layer.entries.iter().filter(|entry| is_dir(entry));
    dirs.filter_map(of).collect()
}

pub(super) fn implied(layers: &[Layer]) -> Result<Made, LeftOut> {
    let mut unnamed = BTreeSet::new();
    let layers = each(layers, |upto| {
        let (layer, lower) = upto.split_last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        literal(upto)?;
        let taken: BTreeSet<BString> = lower
            .iter()
            .flat_map(|l| &l.entries)
            .filter_map(of)
            .collect();
        let counts = layer.entries.iter().filter_map(of).fold(
            BTreeMap::<BString, usize>::new(),
            |mut counts, path| {
                *counts.entry(path).or_default() += 1;
                counts
            },
        );
        let goes = |index: usize, entry: &Entry| {
            let path = of(entry).filter(|path| !path.is_empty())?;
            let free = !taken.contains(&path) && counts[&path] == 1;
            let implied = layer.entries[index + 1..]
                .iter()
                .filter(|later| !is_dir(later));
            let mut implied = implied.filter_map(of);
            let implied = implied.any(|child| is_below(&child, &path) && !is_marker(&child));
            (free && implied && is_ordinary(entry)).then_some(path)
        };
        let mut entries = Vec::new();
        for (index, entry) in layer.entries.iter().enumerate() {
            match goes(index, entry) {
                Some(path) => drop(unnamed.insert(path)),
                None => entries.push(entry.clone()),
            }
        }
        Ok(Some(vec![with(layer, entries)]))
    })?;
    // What another layer names is as that layer says.
    for path in layers.iter().flat_map(dirs_of) {
        unnamed.remove(path.as_bstr());
    }
    Ok(Made {
        layers,
        unnamed,
        ..Made::default()
    })
}

fn is_ordinary(entry: &Entry) -> bool {
    is_dir(entry)
        && is_plain(entry)
        && entry.xattrs.is_empty()
        && (entry.mode, entry.uid, entry.gid) == (DEFAULT_MODE, 0, 0)
}
