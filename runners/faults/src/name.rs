//! What an entry's name means: layer.md#whiteouts.

use crate::{Fault, Refusal};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The longest name of a file on Linux.
const NAME_MAX: usize = 255;

/// One component of a path.
pub(crate) type Name = Vec<u8>;

/// What an entry's name means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Meaning {
    /// The root directory.
    Root,
    /// A file or directory.
    Path(Vec<Name>),
    /// A whiteout of a name in a directory.
    Explicit(Vec<Name>, Name),
    /// An opaque whiteout of a directory.
    Opaque(Vec<Name>),
}

/// Reads an entry's name.
pub(crate) fn meaning(raw: &[u8], fault: Option<Fault>) -> Result<Meaning, Refusal> {
    let mut names = components(raw, fault)?;
    let Some(name) = names.pop() else {
        return Ok(Meaning::Root);
    };
    let is_unseen = match fault {
        Some(Fault::WhiteoutsIgnored) => true,
        Some(Fault::MarkersMatchedOnRawNames) => raw.starts_with(b"./") || raw.starts_with(b"/"),
        _ => false,
    };
    if !is_unseen && names.iter().any(|name| name.starts_with(PREFIX)) {
        return Err(Refusal::new("a directory named as a whiteout"));
    }
    if !is_unseen && let Some(marker) = marker(&names, &name, fault)? {
        if fault == Some(Fault::MarkersMadeAsFiles) && name.len() > NAME_MAX {
            return Err(Refusal::new("a marker longer than a file's name may be"));
        }
        return Ok(marker);
    }
    if name.len() > NAME_MAX && fault != Some(Fault::NameLengthUnchecked) {
        return Err(Refusal::new("a name of more than 255 bytes"));
    }
    names.push(name);
    Ok(Meaning::Path(names))
}

fn marker(dir: &[Name], name: &[u8], fault: Option<Fault>) -> Result<Option<Meaning>, Refusal> {
    let dir = || dir.to_vec();
    if is_opaque(name, fault) {
        return Ok(Some(Meaning::Opaque(dir())));
    }
    let hidden = match fault {
        Some(Fault::WhiteoutPrefixWithoutDot) => name
            .strip_prefix(PREFIX)
            .or_else(|| name.strip_prefix(b".wh")),
        Some(Fault::WhiteoutPrefixFoldsCase) => name
            .split_at_checked(PREFIX.len())
            .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX))
            .map(|(_, rest)| rest),
        _ => name.strip_prefix(PREFIX),
    };
    let hides_dir = |names: &[Name]| match names.split_last() {
        Some((last, above)) => Meaning::Explicit(above.to_vec(), last.clone()),
        None => Meaning::Opaque(Vec::new()),
    };
    let Some(hidden) = hidden else {
        return Ok(None);
    };
    Ok(Some(match (hidden, fault) {
        (b"" | b".", Some(Fault::NamelessWhiteoutHidesDirectory)) => hides_dir(&dir()),
        (b"..", Some(Fault::WhiteoutOfDotDotObeyed)) => Meaning::Explicit(dir(), b"..".to_vec()),
        (b"" | b"." | b"..", _) => return Err(Refusal::new("a whiteout of no file")),
        (hidden, Some(Fault::DoublePrefixHidesDirectory)) if hidden.starts_with(PREFIX) => {
            hides_dir(&dir())
        }
        (b"__dir_opaque", Some(Fault::OpaqueOfAufsObeyed)) => Meaning::Opaque(dir()),
        (hidden, _) => Meaning::Explicit(dir(), hidden.to_vec()),
    }))
}

fn is_opaque(name: &[u8], fault: Option<Fault>) -> bool {
    match fault {
        Some(Fault::OpaqueNameMisspelt) => name == b".wh..wh.opq",
        Some(Fault::OpaqueMatchedByPrefix) => name.starts_with(OPAQUE),
        _ => name == OPAQUE,
    }
}

/// The components of a path; `/` at either end, doubled `/` and `.` mean nothing.
pub(crate) fn components(raw: &[u8], fault: Option<Fault>) -> Result<Vec<Name>, Refusal> {
    if raw.is_empty() {
        return Err(Refusal::new("an empty name"));
    }
    if raw.contains(&0) {
        return Err(Refusal::new("a NUL byte in a name"));
    }
    if fault == Some(Fault::AbsoluteNameRefused) && raw.len() > 1 && raw.starts_with(b"/") {
        return Err(Refusal::new("an absolute name"));
    }
    if fault == Some(Fault::UncleanNameRefused) && !is_clean(raw) {
        return Err(Refusal::new("a name that is not clean"));
    }
    let mut names = Vec::new();
    for name in raw.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if fault != Some(Fault::DotDotFollowed) => {
                return Err(Refusal::new("a `..` in a name"));
            }
            name => names.push(spelt(name, fault)),
        }
    }
    let is_long = |name: &Name| name.len() > NAME_MAX;
    let parents = names.len().saturating_sub(1);
    if names[..parents].iter().any(is_long) && fault != Some(Fault::NameLengthUnchecked) {
        return Err(Refusal::new("a name of more than 255 bytes"));
    }
    Ok(names)
}

/// Whether only a `./` or `/` before a name and a slash behind it mean nothing.
fn is_clean(raw: &[u8]) -> bool {
    let start = [&b"./"[..], b"/"]
        .iter()
        .find_map(|start| raw.strip_prefix(*start));
    let name = start.unwrap_or(raw);
    let name = name.strip_suffix(b"/").unwrap_or(name);
    let is_idle = |part: &[u8]| part.is_empty() || part == b".";
    name.is_empty() || name == b"." || !name.split(|byte| *byte == b'/').any(is_idle)
}

/// A name as a fault stores it.
fn spelt(name: &[u8], fault: Option<Fault>) -> Name {
    match fault {
        Some(Fault::NamesComposed) => composed(name),
        Some(Fault::NamesGoThroughScript) => scripted(name),
        _ => name.to_vec(),
    }
}

/// Vowels and the acute accent behind them as one letter: as much of Unicode's NFC as a corpus needs.
fn composed(name: &[u8]) -> Name {
    let Ok(text) = std::str::from_utf8(name) else {
        return name.to_vec();
    };
    let pairs = [("a", "á"), ("e", "é"), ("i", "í"), ("o", "ó"), ("u", "ú")];
    let text = pairs
        .iter()
        .fold(text.to_owned(), |text, (letter, accented)| {
            text.replace(&format!("{letter}\u{301}"), accented)
        });
    text.into_bytes()
}

/// What is left of a name in a script that quotes nothing.
pub(crate) fn scripted(name: &[u8]) -> Name {
    let lines = |byte: &u8| *byte == b'\n';
    let line = name.split(lines).next().unwrap_or_default();
    let eaten = |byte: &u8| b"\"'\\$*?`".contains(byte) || byte.is_ascii_control();
    let left: Name = line
        .trim_ascii()
        .iter()
        .copied()
        .filter(|byte| !eaten(byte))
        .collect();
    match left.strip_prefix(b"-") {
        _ if left.is_empty() => b"_".to_vec(),
        Some(option) => option.to_vec(),
        None => left,
    }
}
