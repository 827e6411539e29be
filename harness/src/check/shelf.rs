//! Many filesystem images in one guest: each is read in full by its kernel, and its shell is asked.
//!
//! As with what is converted together, only what is no news counts: an image that cannot be mounted, that is not read
//! in full, whose tree is not the expected one or whose shell does not answer has a machine of its own before
//! anything is said of it. A shell sees nothing of the other images: it runs in namespaces of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::batch::{Prepared, Seen};
use super::images::Images;
use super::same::{Key, SeenBefore};
use super::{Equipment, Question, Source, Trial, Wanted, boot, cell, contain, fsck};
use crate::boot::{LAYERS_MAX, Machine};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Conversion, Converted, Format, Profile, Setting, convert};

/// What the largest image that is put beside others takes, in bytes: all of them are copied onto one disk.
const IMAGE_BYTES_MAX: u64 = 256 << 20;

/// How long such an image may be, with its holes, which stay holes.
const IMAGE_LENGTH_MAX: u64 = 4 << 30;

/// Whether a guest does with this trial's image what it does with every other: it has no commands of its own.
pub(super) fn fits(trial: &Trial<'_>, equipment: &Equipment) -> bool {
    let question = trial.question;
    let is_plain = matches!(question.source, Source::Case(_)) && booted(question).run.is_empty();
    is_plain && trial.chain.format().is_filesystem() && equipment.machine.is_ok()
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
/// `work`, what fsck and one guest see of all images whose bytes were not seen before.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub(super) fn fill(
    trials: &[(usize, &Trial<'_>)],
    mut prepared: BTreeMap<usize, Prepared>,
    seen_before: &SeenBefore,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let (Ok(machine), Some((_, first))) = (&equipment.machine, trials.first()) else {
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
    let shelved = shelve(trials, &prepared, equipment, work)?;
    let mut seen_here: BTreeMap<Key, Seen> = BTreeMap::new();
    let mut new: Vec<(&Key, &Images)> = Vec::new();
    for (_, images, key) in &shelved {
        if let Some(seen) = seen_before.get(key) {
            seen_here.insert(key.clone(), seen);
        } else if !new.iter().any(|(other, _)| *other == key) {
            new.push((key, images));
        }
    }
    let roots: Vec<&Images> = new.iter().map(|(_, images)| *images).collect();
    let profile = equipment.profile_of(first.chain);
    let seen = look(&roots, machine, profile, first, equipment, work)?;
    for ((key, _), seen) in new.into_iter().zip(seen) {
        seen_before.put(key.clone(), seen.clone());
        seen_here.insert(key.clone(), seen);
    }
    for (index, _, key) in &shelved {
        if let (Some(made), Some(seen)) = (prepared.get_mut(index), seen_here.get(key)) {
            made.image = seen.clone();
        }
    }
    Ok(prepared)
}

/// The images of what was made that fit beside others, each with what its bytes are.
fn shelve(
    trials: &[(usize, &Trial<'_>)],
    prepared: &BTreeMap<usize, Prepared>,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<Vec<(usize, Images, Key)>> {
    let mut shelved = Vec::new();
    let mut partitions = 0;
    for (index, trial) in trials {
        let made = prepared.get(index);
        let artifact = made.and_then(|made| artifact(trial.question, made));
        let packed = work.join(format!("packed-{index}"));
        if let Some((artifact, format)) = artifact
            && let Ok(images) = Images::of(artifact, format, &packed)?
            && is_small(&images)
            && partitions + images.paths.len() <= LAYERS_MAX
        {
            partitions += images.paths.len();
            images
                .paths
                .iter()
                .try_for_each(|image| cell::forget(image))?;
            let key = Key::of(&images, trial.chain, trial.question, equipment)?;
            shelved.push((*index, images, key));
        }
    }
    Ok(shelved)
}

/// What fsck and one guest see of images, which were made for trials like this one.
fn look(
    roots: &[&Images],
    machine: &Machine,
    profile: Profile,
    trial: &Trial<'_>,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<Vec<Seen>> {
    let all: Vec<PathBuf> = roots.iter().flat_map(|root| root.paths.clone()).collect();
    let mut clean = fsck::are_clean(&all, trial.chain, work, equipment)?.into_iter();
    let transcript = work.join("transcript");
    let is_asked = is_asked(trial.question);
    let among = boot::read_shelf(machine, roots, profile, is_asked, &transcript)?;
    let seen = roots.iter().zip(among).map(|(root, among)| Seen {
        is_clean: clean.by_ref().take(root.paths.len()).all(|clean| clean),
        among,
    });
    Ok(seen.collect())
}

/// The artifact that is to be read for a question: where one is to be rejected and was, its twin's.
fn artifact<'a>(question: &Question, made: &'a Prepared) -> Option<(&'a Path, Format)> {
    let converted = match &question.wanted {
        Wanted::Reject { .. } => made.twin.as_ref().filter(|_| {
            let conversion = &made.question.conversion;
            matches!(conversion, Conversion::Rejected(..))
        })?,
        _ => &made.question,
    };
    match &converted.conversion {
        Conversion::Produced(artifact, format) => Some((artifact, *format)),
        _ => None,
    }
}

/// Whether images are files that are put beside others. There are none of an image without layers.
fn is_small(images: &Images) -> bool {
    let is_small = |image: &PathBuf| {
        let metadata = fs::symlink_metadata(image);
        metadata.is_ok_and(|image| {
            image.is_file()
                && image.blocks() * 512 <= IMAGE_BYTES_MAX
                && image.len() <= IMAGE_LENGTH_MAX
        })
    };
    !images.paths.is_empty() && images.paths.iter().all(is_small)
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
