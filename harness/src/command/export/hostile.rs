//! Which cases can hurt the machine of somebody who runs them without containment.

use std::collections::BTreeSet;

use crate::case::{Case, Entry, Kind};

/// Whether a converter that gets the case wrong may write, remove or read outside its output, or use
/// up the machine. Rather too many than too few.
pub(super) fn may_escape(case: &Case) -> bool {
    let entries = || case.layers.iter().flat_map(|layer| &layer.entries);
    let links: BTreeSet<Vec<&[u8]>> = entries().filter_map(link_outwards).collect();
    case.embargo
        || case.id.starts_with("hostile/")
        || entries().any(|entry| names(entry).any(points_outwards) || passes(entry, &links))
}

/// Every path a parser may take an entry to mean: where it stands, and what it is a hard link of.
fn names(entry: &Entry) -> impl Iterator<Item = &[u8]> {
    let target = match &entry.kind {
        Kind::Hardlink(to, _) => Some(to.as_slice()),
        _ => None,
    };
    let records = entry.pax.iter().map(|(_, value)| value.as_slice());
    let fields = entry
        .header
        .fields
        .iter()
        .map(|(_, value)| value.as_slice());
    std::iter::once(entry.path.as_slice())
        .chain(target)
        .chain(records)
        .chain(fields)
}

/// Absolute, or through a parent; `.wh...` is the whiteout of a parent.
fn points_outwards(path: &[u8]) -> bool {
    path.starts_with(b"/")
        || path
            .split(|byte| *byte == b'/')
            .any(|part| matches!(part, b".." | b".wh.." | b".wh..." | b".wh."))
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .collect()
}

/// The place of a symbolic link that a converter could follow out of its output.
fn link_outwards(entry: &Entry) -> Option<Vec<&[u8]>> {
    match &entry.kind {
        Kind::Symlink(to) if points_outwards(to) => Some(parts(&entry.path)),
        _ => None,
    }
}

/// Whether an entry stands below such a link, takes its place, or hides it or something below it.
fn passes(entry: &Entry, links: &BTreeSet<Vec<&[u8]>>) -> bool {
    let mut place = parts(&entry.path);
    if let Some(last) = place.last_mut()
        && let Some(hidden) = last.strip_prefix(b".wh.")
    {
        *last = hidden;
    }
    let is_link = matches!(entry.kind, Kind::Symlink(_));
    let longest = if is_link {
        place.len().saturating_sub(1)
    } else {
        place.len()
    };
    (1..=longest).any(|length| links.contains(&place[..length]))
}

#[cfg(test)]
mod tests {
    use super::may_escape;
    use crate::case::parse;

    fn hostile(entries: &str) -> bool {
        let text = format!(
            "title = 'x'\nspec = 'x'\nlevel = 'policy'\nbase = 'none'\n[[layer]]\nentries = [{entries}]\n\
             [expect]\nrecord = 'x'\n"
        );
        may_escape(&parse("name/x", &text, &|_| None).unwrap())
    }

    #[test]
    fn whatever_could_lead_outwards_is_hostile() {
        for entries in [
            "{ file = '../x' }",
            "{ file = '/x' }",
            "{ file = 'a/../../x' }",
            "{ file = 'x', pax = { path = '../x' } }",
            "{ file = 'x', header = { name = '/x' } }",
            "{ hardlink = 'x', to = '/etc/passwd' }",
            "{ file = '.wh...' }",
            "{ symlink = 'a', to = '/etc' }, { file = 'a/x' }",
            "{ symlink = 'a', to = '../b' }, { file = './a' }",
            "{ symlink = 'a', to = '/etc' }, { whiteout = 'a/x' }",
            "{ symlink = 'a', to = '/etc' }, { opaque = 'a' }",
        ] {
            assert!(hostile(entries), "{entries}");
        }
    }

    #[test]
    fn links_that_nothing_passes_are_not_hostile() {
        for entries in [
            "{ file = 'a/b' }",
            "{ symlink = 'a', to = '/etc' }",
            "{ symlink = 'a', to = '/etc' }, { file = 'ab/x' }",
            "{ symlink = 'a', to = 'b' }, { file = 'a/x' }",
            "{ file = '..x' }, { whiteout = 'b' }",
        ] {
            assert!(!hostile(entries), "{entries}");
        }
    }
}
