//! Axes of names: which path an entry means stays, how it is spelled changes.
//!
//! **root**: layer.md, *Populate Initial Filesystem*, begins an archive with `./`; *Changeset over existing
//! files* has a directory's attributes replaced by the entry's, which here are the same again. manifest.md
//! leaves the root's attributes unspecified until a layer names it, so where the variant takes its entries
//! away they are not compared. Applies to cases with one tree.
//!
//! **spelling**: layer.md spells entries `./etc/` (*Representing Changes*) and `a/b/` (*Whiteouts*) and means
//! the same by them; that a directory is one is said by its type, not by its slash. For a leading and a
//! double slash the spec is silent and POSIX pathname resolution decides, as moby, containerd and umoci
//! have it. Link targets of symbolic links are content and stay; targets of hard links are names. Applies
//! to entries whose headers are not written by hand and whose path stays below 4096 bytes (and in a header
//! of Unix v7 below 101), and not to the slash behind a name that is no directory.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice as _};

use super::layers::{each, is_plain, map_entries, plain, with};
use super::parents::in_force;
use super::path::{is_dir, normal, of};
use super::{LeftOut, Made};
use crate::case::{Dialect, Entry, Kind, Layer};

/// The most bytes of a path that Linux takes, without its NUL.
const PATH_BYTES_MAX: usize = 4095;
/// The bytes of the name field, all a header of Unix v7 has.
const V7_PATH_BYTES_MAX: usize = 100;

pub(super) fn root_absent(layers: &[Layer]) -> Result<Made, LeftOut> {
    let roots = || {
        layers
            .iter()
            .flat_map(|layer| &layer.entries)
            .filter(|e| is_root(e))
    };
    if roots().any(|root| !root.xattrs.is_empty()) {
        return Err(LeftOut::RootXattrs);
    }
    // This one counts where the base alone changes, too: then no layer of the image names the root.
    for layer in layers
        .iter()
        .filter(|layer| layer.entries.iter().any(is_root))
    {
        plain(layer)?;
    }
    if roots().any(|root| !is_plain(root)) {
        return Err(LeftOut::HandWritten);
    }
    let without = layers.iter().map(|layer| {
        let entries = layer.entries.iter().filter(|entry| !is_root(entry));
        with(layer, entries.cloned().collect())
    });
    Ok(Made {
        layers: without.collect(),
        unnamed: BTreeSet::from([BString::default()]),
        ..Made::default()
    })
}

pub(super) fn root_dot_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    root(layers, "./")
}

pub(super) fn root_dot(layers: &[Layer]) -> Result<Made, LeftOut> {
    root(layers, ".")
}

pub(super) fn root_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    root(layers, "/")
}

/// Every layer has a root entry of this spelling, at its beginning where it had none, with the attributes
/// that the root has by then.
fn root(layers: &[Layer], spelling: &str) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        if layer.entries.iter().any(is_root) {
            return Ok(Some(vec![map_entries(layer, |entry| {
                (is_root(entry) && is_plain(entry) && entry.dialect != Dialect::V7).then(|| Entry {
                    path: spelling.into(),
                    ..entry.clone()
                })
            })]));
        }
        let mut root = in_force(upto, b"")?.unwrap_or_else(|| Entry::new(Kind::Dir(None), ""));
        root.path = spelling.into();
        let mut entries = vec![root];
        entries.extend(layer.entries.iter().cloned());
        Ok(Some(vec![with(layer, entries)]))
    })?;
    Ok(layers.into())
}

fn is_root(entry: &Entry) -> bool {
    is_dir(entry) && of(entry).is_some_and(|path| path.is_empty())
}

pub(super) fn plain_names(layers: &[Layer]) -> Result<Made, LeftOut> {
    respell(layers, |path, slash| [path, slash].concat())
}

pub(super) fn dot_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    respell(layers, |path, slash| [b"./", path, slash].concat())
}

pub(super) fn leading_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    respell(layers, |path, slash| [b"/", path, slash].concat())
}

pub(super) fn double_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    respell(layers, |path, slash| {
        [&path.replace("/", "//"), slash].concat()
    })
}

/// Directories end in a slash; the rest of a path stays.
pub(super) fn directory_slash(layers: &[Layer]) -> Result<Made, LeftOut> {
    directories(layers, b"/")
}

/// Directories do not end in a slash; the rest of a path stays.
pub(super) fn directory_plain(layers: &[Layer]) -> Result<Made, LeftOut> {
    directories(layers, b"")
}

fn directories(layers: &[Layer], slash: &[u8]) -> Result<Made, LeftOut> {
    respell_entries(layers, |entry| {
        // The header of Unix v7 has no type for directories: there the slash is all that says so.
        if !is_dir(entry) || is_root(entry) || entry.dialect == Dialect::V7 {
            return None;
        }
        let bare = entry.path.trim_end_with(|c| c == '/');
        (!bare.is_empty()).then(|| [bare, slash].concat())
    })
}

fn respell(layers: &[Layer], spell: fn(&[u8], &[u8]) -> Vec<u8>) -> Result<Made, LeftOut> {
    respell_entries(layers, |entry| {
        let path = of(entry).filter(|path| !path.is_empty())?;
        let slash: &[u8] = match entry.path.ends_with(b"/") {
            true if is_dir(entry) => b"/",
            true => return None,
            false => b"",
        };
        Some(spell(&path, slash))
    })
    .map(|mut made| {
        respell_targets(&mut made.layers, spell);
        made
    })
}

fn respell_entries(
    layers: &[Layer],
    spell: impl Fn(&Entry) -> Option<Vec<u8>>,
) -> Result<Made, LeftOut> {
    let layers = each(layers, |upto| {
        let layer = upto.last().ok_or(LeftOut::Same)?;
        plain(layer)?;
        if !layer.entries.is_empty() && !layer.entries.iter().any(is_plain) {
            return Err(LeftOut::HandWritten);
        }
        let too_long =
            |entry: &Entry| is_plain(entry) && spell(entry).is_some_and(|path| !fits(entry, &path));
        if layer.entries.iter().any(too_long) {
            return Err(LeftOut::TooLarge);
        }
        Ok(Some(vec![map_entries(layer, |entry| {
            let path = spell(entry).filter(|_| is_plain(entry))?;
            Some(Entry {
                path: path.into(),
                ..entry.clone()
            })
        })]))
    })?;
    Ok(layers.into())
}

fn fits(entry: &Entry, path: &[u8]) -> bool {
    match entry.dialect {
        Dialect::V7 => path.len() <= V7_PATH_BYTES_MAX,
        _ => path.len() <= PATH_BYTES_MAX,
    }
}

fn respell_targets(layers: &mut [Layer], spell: fn(&[u8], &[u8]) -> Vec<u8>) {
    for layer in layers {
        if plain(layer).is_err() {
            continue;
        }
        for entry in layer.entries.iter_mut().filter(|entry| is_plain(entry)) {
            let dialect = entry.dialect;
            if let Kind::Hardlink(target, _) = &mut entry.kind
                && dialect != Dialect::V7
                && let Some(path) = normal(target).filter(|path| !path.is_empty())
            {
                *target = spell(&path, b"").into();
            }
        }
    }
}
