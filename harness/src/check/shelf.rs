//! Many filesystem images in one guest: each is read in full by its kernel, and its shell is asked.
//!
//! As with what is converted together, only what is no news counts: an image that cannot be mounted, that is not read
//! in full, whose tree is not the expected one or whose shell does not answer has a machine of its own before
//! anything is said of it. A shell sees nothing of the other images: it runs in namespaces of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::batch::{Prepared, Seen};
use super::images::Images;
use super::{Equipment, Question, Source, Trial, Wanted, boot, cell, contain, fsck};
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

/// Adds to what was made for trials of one chain, together or else, here, one after the other below the folder
/// `work`, what fsck and one guest see of all images.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub(super) fn fill(
    trials: &[(usize, &Trial<'_>)],
    mut prepared: BTreeMap<usize, Prepared>,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let (Ok(machine), Some((_, first))) = (&equipment.machine, trials.first()) else {
        return Ok(prepared);
    };
    let Some(filesystem) = filesystem(first.chain.format()) else {
        return Ok(prepared);
    };
    for (index, trial) in trials {
        if !prepared.contains_key(index) {
            let folder = work.join(format!("alone-{index}"));
            fs::create_dir(&folder)?;
            let made = make(trial, equipment, &folder)?;
            prepared.extend(made.map(|made| (*index, made)));
        }
    }
    let mut shelved = Vec::new();
    for (index, trial) in trials {
        let image = prepared
            .get(index)
            .and_then(|made| image(trial.question, made));
        shelved.extend(image.map(|image| (*index, image)));
    }
    shelved.retain(|(_, image)| is_small(image));
    if shelved.is_empty() {
        return Ok(prepared);
    }
    let images = Images {
        paths: shelved.iter().map(|(_, image)| image.clone()).collect(),
        is_stack: false,
        filesystem,
    };
    let clean = fsck::are_clean(&images.paths, first.chain, work, equipment)?;
    images
        .paths
        .iter()
        .try_for_each(|image| cell::forget(image))?;
    let is_asked = is_asked(first.question);
    let trees = boot::read_shelf(machine, &images, is_asked, &work.join("transcript"))?;
    for ((index, _), (is_clean, tree)) in shelved.iter().zip(clean.into_iter().zip(trees)) {
        if let Some(made) = prepared.get_mut(index) {
            made.image = Seen { is_clean, tree };
        }
    }
    Ok(prepared)
}

/// The image that is to be read for a question: where one is to be rejected and was, its twin's.
fn image(question: &Question, made: &Prepared) -> Option<PathBuf> {
    let converted = match &question.wanted {
        Wanted::Reject { .. } => made.twin.as_ref().filter(|_| {
            let conversion = &made.question.conversion;
            matches!(conversion, Conversion::Rejected(..))
        })?,
        _ => &made.question,
    };
    match &converted.conversion {
        Conversion::Produced(image, _) => Some(image.clone()),
        _ => None,
    }
}

/// Whether an image is a file that is put beside others.
fn is_small(image: &Path) -> bool {
    fs::symlink_metadata(image).is_ok_and(|image| image.is_file() && image.len() <= IMAGE_BYTES_MAX)
}

/// Converts what a trial asks; nothing where more was seen than that.
fn make(
    trial: &Trial<'_>,
    equipment: &Equipment,
    folder: &Path,
) -> anyhow::Result<Option<Prepared>> {
    let Some(question) = quiet(trial, trial.question, equipment, &folder.join("question"))? else {
        return Ok(None);
    };
    let twin = match &trial.question.wanted {
        Wanted::Reject { twin, .. } => quiet(trial, twin, equipment, &folder.join("twin"))?,
        _ => None,
    };
    Ok(Some(Prepared {
        question,
        twin,
        image: Seen::default(),
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
