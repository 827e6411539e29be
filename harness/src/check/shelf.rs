//! Many filesystem images in one guest: each is read in full by its kernel, and its shell is asked.
//!
//! As with what is converted together, only what is no news counts: an image that cannot be mounted, that is not read
//! in full, whose tree is not the expected one or whose shell does not answer has a machine of its own before
//! anything is said of it. A shell sees nothing of the other images: it runs in namespaces of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::batch::Prepared;
use super::images::Images;
use super::{Equipment, Question, Source, Trial, Wanted, boot, cell, contain};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Conversion, Converted, Format, Profile, Setting, convert};

/// The largest image that is put beside others, in bytes: all of them are copied onto one disk.
const IMAGE_BYTES_MAX: u64 = 256 << 20;

/// Whether a guest does with this trial's image what it does with every other: it has no commands of its own.
pub(super) fn fits(trial: &Trial<'_>, equipment: &Equipment) -> bool {
    let question = trial.question;
    let is_plain = matches!(question.source, Source::Case(_)) && booted(question).run.is_empty();
    is_plain
        && filesystem(trial.chain.format()).is_some()
        && equipment.profile_of(trial.chain) == Profile::Ro
        && equipment.machine.is_ok()
}

/// Whether the shell of the image that a guest reads for this question is asked.
pub(super) fn is_asked(question: &Question) -> bool {
    booted(question).has_shell()
}

/// The question whose image a guest reads: where one is to be rejected, its twin.
fn booted(question: &Question) -> &Question {
    match &question.wanted {
        Wanted::Reject { twin, .. } => twin,
        _ => question,
    }
}

/// What was made for a trial, whose image a guest is to read.
struct Made {
    index: usize,
    question: Converted,
    twin: Option<Converted>,
    image: PathBuf,
}

/// Converts these trials, which are of one chain, one after the other below the folder `work`, and has one
/// guest read all that came of it. A trial that is not in the answer is to be run alone.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub(super) fn prepare(
    trials: &[(usize, &Trial<'_>)],
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let (Ok(machine), Some((_, first))) = (&equipment.machine, trials.first()) else {
        return Ok(BTreeMap::new());
    };
    let Some(filesystem) = filesystem(first.chain.format()) else {
        return Ok(BTreeMap::new());
    };
    let mut made = Vec::new();
    for (index, trial) in trials {
        let folder = work.join(index.to_string());
        fs::create_dir(&folder)?;
        made.extend(make(*index, trial, equipment, &folder)?);
    }
    if made.is_empty() {
        return Ok(BTreeMap::new());
    }
    let images = Images {
        paths: made.iter().map(|made| made.image.clone()).collect(),
        is_stack: false,
        filesystem,
    };
    images
        .paths
        .iter()
        .try_for_each(|image| cell::forget(image))?;
    let is_asked = is_asked(first.question);
    let trees = boot::read_shelf(machine, &images, is_asked, &work.join("transcript"))?;
    let prepared = made.into_iter().zip(trees).filter_map(|(made, tree)| {
        let prepared = Prepared {
            question: made.question,
            twin: made.twin,
            tree: Some(tree?),
        };
        Some((made.index, prepared))
    });
    Ok(prepared.collect())
}

/// Converts what a trial asks; nothing where that has no image to show, or shows more than one.
fn make(
    index: usize,
    trial: &Trial<'_>,
    equipment: &Equipment,
    folder: &Path,
) -> anyhow::Result<Option<Made>> {
    let question = quiet(trial, trial.question, equipment, &folder.join("question"))?;
    let (question, twin) = match (question, &trial.question.wanted) {
        (Some(converted), Wanted::Reject { twin, .. }) => {
            if !matches!(converted.conversion, Conversion::Rejected(..)) {
                return Ok(None);
            }
            match quiet(trial, twin, equipment, &folder.join("twin"))? {
                Some(twin) => (converted, Some(twin)),
                None => return Ok(None),
            }
        }
        (Some(converted), _) => (converted, None),
        (None, _) => return Ok(None),
    };
    let Conversion::Produced(image, _) = &twin.as_ref().unwrap_or(&question).conversion else {
        return Ok(None);
    };
    let image = image.clone();
    let metadata = fs::symlink_metadata(&image)?;
    let is_small = metadata.is_file() && metadata.len() <= IMAGE_BYTES_MAX;
    Ok(is_small.then_some(Made {
        index,
        question,
        twin,
        image,
    }))
}

/// A conversion of which nothing was seen but how it ended and its output.
fn quiet(
    trial: &Trial<'_>,
    question: &Question,
    equipment: &Equipment,
    folder: &Path,
) -> anyhow::Result<Option<Converted>> {
    let Source::Case(case) = &question.source else {
        return Ok(None);
    };
    let setting = Setting {
        helper: &equipment.helper,
        limits: equipment.limits,
        surroundings: equipment.surroundings.clone(),
        privileged: question.privileged,
        faults: Faults::default(),
    };
    let (layout, outputs) = (folder.join("layout"), folder.join("out"));
    image::write_layout(case, &layout)?;
    fs::create_dir(&outputs)?;
    let converted = convert(trial.chain, &layout, image::TAG, &outputs, &setting)?;
    let is_quiet =
        contain::findings(&converted).is_empty() && cell::partial_output(&converted).is_none();
    Ok(is_quiet.then_some(converted))
}

/// The type, as `mount` names it, of what is one filesystem image.
fn filesystem(format: Format) -> Option<&'static str> {
    let is_one = format.is_filesystem() && !format.is_layered();
    is_one.then(|| format.word())
}
