//! Names of entries: normalised components, and the markers among them.

use crate::limits;

/// The prefix of layer.md#whiteouts.
const MARKER: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS keeps at the top of a branch. Old Docker layers carry it; it is not part of the image.
const AUFS: [&[u8]; 3] = [b".wh..wh.plnk", b".wh..wh.orph", b".wh..wh.aufs"];

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has a `..` component")]
    DotDot,
    #[error("the name has a NUL byte")]
    Nul,
    #[error("a component is longer than {} bytes", limits::NAME_BYTES)]
    Long,
    #[error("more than {} components", limits::PATH_COMPONENTS)]
    Deep,
    #[error("no file or directory may have a name that begins with `.wh.`")]
    Reserved,
    #[error("a whiteout that names nothing")]
    BareWhiteout,
    #[error("AUFS metadata, which is not part of an image")]
    Aufs,
}

/// What an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The root directory itself.
    Root,
    /// `name` in the directory `parent`.
    Entry {
        parent: Vec<&'a [u8]>,
        name: &'a [u8],
    },
    /// An explicit whiteout of `name` in the directory `parent`.
    Whiteout {
        parent: Vec<&'a [u8]>,
        name: &'a [u8],
    },
    /// An opaque whiteout of a directory.
    Opaque { directory: Vec<&'a [u8]> },
}

impl<'a> Target<'a> {
    /// Reads an entry's name.
    pub(crate) fn parse(raw: &'a [u8]) -> Result<Self, NameError> {
        let mut parent = components(raw)?;
        let Some(name) = parent.pop() else {
            return Ok(Self::Root);
        };
        if parent.iter().any(|component| component.starts_with(MARKER)) {
            let is_aufs = parent.iter().any(|component| AUFS.contains(component));
            return Err(if is_aufs {
                NameError::Aufs
            } else {
                NameError::Reserved
            });
        }
        match name.strip_prefix(MARKER) {
            None => {}
            Some(b"" | b"." | b"..") => return Err(NameError::BareWhiteout),
            Some(_) if name == OPAQUE => return Ok(Self::Opaque { directory: parent }),
            Some(hidden) => {
                return Ok(Self::Whiteout {
                    parent,
                    name: hidden,
                });
            }
        }
        if name.len() > limits::NAME_BYTES {
            return Err(NameError::Long);
        }
        Ok(Self::Entry { parent, name })
    }
}

impl Target<'_> {
    /// Whether it takes something away.
    pub(crate) fn is_whiteout(&self) -> bool {
        matches!(self, Self::Whiteout { .. } | Self::Opaque { .. })
    }
}

/// Splits a name; `/` at the front and the end, doubled `/` and `.` mean nothing. The root has no
/// components.
pub(crate) fn components(raw: &[u8]) -> Result<Vec<&[u8]>, NameError> {
    if raw.is_empty() {
        return Err(NameError::Empty);
    }
    if raw.contains(&0) {
        return Err(NameError::Nul);
    }
    let mut components = Vec::with_capacity(8);
    for component in raw.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(NameError::DotDot),
            _ if components.len() == limits::PATH_COMPONENTS => return Err(NameError::Deep),
            _ => components.push(component),
        }
    }
    let parents = components.len().saturating_sub(1);
    // The last one may be a marker for a name of full length.
    match components[..parents]
        .iter()
        .any(|component| component.len() > limits::NAME_BYTES)
    {
        true => Err(NameError::Long),
        false => Ok(components),
    }
}
