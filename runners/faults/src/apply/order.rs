//! The order in which the entries of one layer are applied: most mistakes with markers are mistakes here.

use std::collections::BTreeSet;

use crate::Fault;
use crate::name::{Meaning, Name};
use crate::tar::Entry;

/// An entry and what its name means.
pub(super) type Meant<'a> = (Meaning, &'a Entry);

/// What is applied now, in this order, and what only after all layers. Rightly, markers come first.
pub(super) fn order(
    entries: Vec<Meant<'_>>,
    fault: Option<Fault>,
) -> (Vec<Meant<'_>>, Vec<Meant<'_>>) {
    let is_explicit = |(meaning, _): &Meant<'_>| matches!(meaning, Meaning::Explicit(..));
    let is_opaque = |(meaning, _): &Meant<'_>| matches!(meaning, Meaning::Opaque(_));
    let is_marker = |one: &Meant<'_>| is_explicit(one) || is_opaque(one);
    match fault {
        Some(Fault::WhiteoutHidesOwnLayer) => (first(entries, is_opaque), Vec::new()),
        Some(Fault::OpaqueWhenSeen | Fault::OpaqueSparesExplicitOnly) => {
            (first(entries, is_explicit), Vec::new())
        }
        Some(Fault::HypemanInVm) => (first(entries, |one| !is_marker(one)), Vec::new()),
        Some(Fault::WhiteoutsAfterAllLayers) => {
            entries.into_iter().partition(|one| !is_marker(one))
        }
        Some(Fault::WhiteoutHidesLaterEntry) => {
            (first(without_hidden(entries), is_marker), Vec::new())
        }
        _ => (first(entries, is_marker), Vec::new()),
    }
}

/// Moves some entries before the others; either keep their order.
fn first<'a>(entries: Vec<Meant<'a>>, is_first: impl Fn(&Meant<'a>) -> bool) -> Vec<Meant<'a>> {
    let (mut first, then): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_first);
    first.extend(then);
    first
}

/// Leaves out what stands behind a whiteout of it in the same archive.
fn without_hidden(entries: Vec<Meant<'_>>) -> Vec<Meant<'_>> {
    let mut hidden: BTreeSet<Vec<Name>> = BTreeSet::new();
    let stays = |(meaning, _): &Meant<'_>| match meaning {
        Meaning::Explicit(dir, name) => {
            let mut path = dir.clone();
            path.push(name.clone());
            hidden.insert(path);
            true
        }
        Meaning::Path(path) => !(1..=path.len()).any(|end| hidden.contains(&path[..end])),
        Meaning::Root | Meaning::Opaque(_) => true,
    };
    entries.into_iter().filter(stays).collect()
}
