//! The reverse walk: layers from the top, where the first entry of a path wins. Hard links are resolved at
//! the end, in the flattened tree, which is the mistake of `reverse-walk-first-wins`.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::Applier;
use crate::name::{Meaning, Name, meaning};
use crate::tar::{Entry, Kind};
use crate::{Fault, Refusal};

/// What upper layers hide from lower ones.
#[derive(Default)]
struct Hidden {
    paths: BTreeSet<Vec<Name>>,
    children_of: BTreeSet<Vec<Name>>,
}

impl Hidden {
    fn hides(&self, path: &[Name]) -> bool {
        let above = (0..path.len()).any(|end| self.children_of.contains(&path[..end]));
        above || (1..=path.len()).any(|end| self.paths.contains(&path[..end]))
    }
}

/// Flattens layers into the applier's tree.
pub(crate) fn apply(applier: &mut Applier, layers: Vec<Vec<Entry>>) -> Result<(), Refusal> {
    let mut kept: BTreeMap<Vec<Name>, Entry> = BTreeMap::new();
    let mut hidden = Hidden::default();
    for layer in layers.into_iter().rev() {
        let mut own = Hidden::default();
        let mut new: BTreeMap<Vec<Name>, Entry> = BTreeMap::new();
        for entry in layer {
            match meaning(&entry.path, applier.fault)? {
                Meaning::Root => drop(new.insert(Vec::new(), entry)),
                Meaning::Path(path) => drop(new.insert(path, entry)),
                Meaning::Explicit(mut dir, name) => {
                    dir.push(name);
                    own.paths.insert(dir);
                }
                Meaning::Opaque(dir) => drop(own.children_of.insert(dir)),
            }
        }
        new.retain(|path, _| !hidden.hides(path) && !is_covered(&kept, path));
        for (path, entry) in new {
            kept.entry(path).or_insert(entry);
        }
        if applier.fault == Some(Fault::WhiteoutReachesOneLayer) {
            hidden = Hidden::default();
        }
        hidden.paths.extend(own.paths);
        hidden.children_of.extend(own.children_of);
    }
    let (links, others): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .partition(|(_, entry)| matches!(entry.kind, Kind::Hardlink(_)));
    for (path, entry) in others.iter().chain(&links) {
        let meaning = match path.is_empty() {
            true => Meaning::Root,
            false => Meaning::Path(path.clone()),
        };
        applier.entry(&meaning, entry)?;
    }
    Ok(())
}

/// Whether an upper layer has something else than a directory above a path.
fn is_covered(kept: &BTreeMap<Vec<Name>, Entry>, path: &[Name]) -> bool {
    (1..path.len()).any(|end| {
        let above = kept.get(&path[..end]);
        above.is_some_and(|entry| matches!(entry.kind, Kind::File(_)))
    })
}
