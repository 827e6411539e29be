//! Many filesystem images read by the kernel of one guest, where nothing of them is to be run.
//!
//! As with what is converted together, only a pass counts: an image that cannot be mounted, that is not
//! read in full or whose tree is not the expected one has a machine of its own before anything is said of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::batch::Prepared;
use super::images::Images;
use super::{Equipment, Source, Trial, Wanted, boot, cell, contain};
use crate::boot::Machine;
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Conversion, Converted, Format, Profile, Setting, convert};

/// The largest image that is put beside others, in bytes: all of them are copied onto one disk.
const IMAGE_BYTES_MAX: u64 = 256 << 20;

/// Whether all that a guest would do with this trial's image is to read it.
pub(super) fn is_only_read(trial: &Trial<'_>, equipment: &Equipment) -> bool {
    let question = trial.question;
    let is_read = matches!(question.wanted, Wanted::Tree(_) | Wanted::OneOf { .. });
    let is_case = matches!(question.source, Source::Case(_));
    is_case
        && is_read
        && !question.has_shell()
        && filesystem(trial.chain.format()).is_some()
        && equipment.profile_of(trial.chain) == Profile::Ro
        && equipment.machine.is_ok()
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
        if let Some((converted, image)) = converted(trial, equipment, &folder)? {
            made.push((*index, converted, image));
        }
    }
    if made.is_empty() {
        return Ok(BTreeMap::new());
    }
    let images = Images {
        paths: made.iter().map(|(.., image)| image.clone()).collect(),
        is_stack: false,
        filesystem,
    };
    let trees = read(machine, &images, &work.join("transcript"))?;
    let prepared = made.into_iter().zip(trees);
    Ok(prepared
        .filter_map(|((index, question, _), tree)| {
            let prepared = Prepared {
                question,
                twin: None,
                tree: Some(tree?),
            };
            Some((index, prepared))
        })
        .collect())
}

fn read(
    machine: &Machine,
    images: &Images,
    transcript: &Path,
) -> anyhow::Result<Vec<Option<crate::tree::Tree>>> {
    images
        .paths
        .iter()
        .try_for_each(|image| cell::forget(image))?;
    boot::read_shelf(machine, images, transcript)
}

/// What came of a conversion in which nothing but its output was seen, and the image.
fn converted(
    trial: &Trial<'_>,
    equipment: &Equipment,
    folder: &Path,
) -> anyhow::Result<Option<(Converted, PathBuf)>> {
    let Source::Case(case) = &trial.question.source else {
        return Ok(None);
    };
    let setting = Setting {
        helper: &equipment.helper,
        limits: equipment.limits,
        surroundings: equipment.surroundings.clone(),
        privileged: trial.question.privileged,
        faults: Faults::default(),
    };
    let (layout, outputs) = (folder.join("layout"), folder.join("out"));
    image::write_layout(case, &layout)?;
    fs::create_dir(&outputs)?;
    let converted = convert(trial.chain, &layout, image::TAG, &outputs, &setting)?;
    let Conversion::Produced(artifact, _) = &converted.conversion else {
        return Ok(None);
    };
    let artifact = artifact.clone();
    let metadata = fs::symlink_metadata(&artifact)?;
    let is_plain = metadata.is_file() && metadata.len() <= IMAGE_BYTES_MAX;
    let is_quiet = contain::findings(&converted).is_empty();
    Ok((is_plain && is_quiet).then_some((converted, artifact)))
}

/// The type, as `mount` names it, of what is one filesystem image.
fn filesystem(format: Format) -> Option<&'static str> {
    let is_one = format.is_filesystem() && !format.is_layered();
    is_one.then(|| format.word())
}
