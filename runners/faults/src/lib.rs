//! A deliberately naive extractor with named mistakes: what the corpus is tested with.
//!
//! Without a fault it does what the image-spec says, all in memory: an image layout becomes one flattened
//! tar archive, or is rejected. With one it makes exactly one mistake, most of them a mistake that a real
//! project shipped. A corpus is worth something when each of them is found by a case.
//!
//! It shares no code with the judge nor with `native`. A mistake that would act outside the output (a
//! write through a link on the host, a whiteout above the root) is not done but told: see
//! [`Conversion::outside`].

mod fault;
mod json;
mod image;
mod blob;
mod tar;
mod name;
mod rootfs;
mod apply;
mod backwards;
mod output;

use std::path::Path;

pub use fault::Fault;

use apply::Applier;
use image::Image;

/// Why an image is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    fn new(what: impl Into<String>) -> Refusal {
        Refusal(what.into())
    }
}

/// What a converter must not let show through in its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// The umask of the process.
    pub umask: u32,
    /// The clock, in seconds.
    pub now: i64,
}

impl Default for Surroundings {
    fn default() -> Surroundings {
        Surroundings {
            umask: 0o022,
            now: 1_700_000_000,
        }
    }
}

/// What came of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The answer.
    pub answer: Answer,
    /// The paths on the host that a real process with this mistake would have changed.
    pub outside: Vec<String>,
}

/// The answer to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Exit 0 and this tar archive.
    Archive(Vec<u8>),
    /// Exit 0 and no output.
    Nothing,
    /// A rejection.
    Rejected(Refusal),
}

/// Converts the image that `tag` names in the layout at `layout`, with at most one mistake.
pub fn convert(
    layout: &Path,
    tag: &str,
    fault: Option<Fault>,
    surroundings: Surroundings,
) -> Conversion {
    let null = match fault {
        Some(Fault::AlwaysRejects) => Some(Answer::Rejected(Refusal::new("as always"))),
        Some(Fault::ExitsWithoutOutput) => Some(Answer::Nothing),
        Some(Fault::AlwaysEmptyTree) => Some(Answer::Archive(output::empty())),
        _ => None,
    };
    if let Some(answer) = null {
        let outside = Vec::new();
        return Conversion { answer, outside };
    }
    let mut applier = Applier::new(fault, surroundings);
    let answer = match archive(layout, tag, &mut applier) {
        Ok(archive) => Answer::Archive(archive),
        Err(refusal) => Answer::Rejected(refusal),
    };
    Conversion {
        answer,
        outside: applier.outside,
    }
}

fn archive(layout: &Path, tag: &str, applier: &mut Applier) -> Result<Vec<u8>, Refusal> {
    let fault = applier.fault;
    let image = Image::open(layout, tag, fault)?;
    let mut layers = Vec::new();
    for layer in &image.layers {
        let archive = blob::unpack(layer, fault)?;
        layers.push(tar::entries(&archive, fault)?);
    }
    if fault == Some(Fault::CopiesLastLayer) {
        layers.drain(..layers.len().saturating_sub(1));
    }
    match fault {
        Some(Fault::ReverseWalkFirstWins | Fault::WhiteoutReachesOneLayer) => {
            backwards::apply(applier, layers)?;
        }
        _ => applier.layers(&layers)?,
    }
    Ok(output::write(&applier.rootfs, fault))
}
