//! The first conversions of many trials at once, for converters that take long to start.
//!
//! What comes of a batch counts only where it makes the trial pass; whatever else comes of it is asked
//! again alone, so no verdict against a converter rests on what another image did to its daemon.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::{Equipment, Question, Source, Trial, Wanted};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Converted, Setting, convert_batch};

/// How many images go through one start of a converter.
pub const BATCH: usize = 24;

/// What a batch made for a trial.
#[derive(Debug)]
pub struct Prepared {
    /// Of the question itself.
    pub(super) question: Converted,
    /// Of its twin, where it has one.
    pub(super) twin: Option<Converted>,
}

/// Whether this trial can go through in a batch with others of its chain.
pub fn is_batched(trial: &Trial<'_>, equipment: &Equipment) -> bool {
    let is_plain = !equipment.repeat && equipment.fault.is_none() && !trial.question.privileged;
    let stages = &trial.chain.stages;
    is_plain && stages.len() == 1 && stages[0].batch.is_some() && trial.skip(equipment).is_none()
}

/// Converts the images of these trials, which are of one chain, in one batch below the folder `work`. A trial
/// that is not in the answer is to be run alone.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub fn prepare(
    trials: &[(usize, &Trial<'_>)],
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let Some((_, first)) = trials.first() else {
        return Ok(BTreeMap::new());
    };
    let layouts = work.join("layouts");
    let mut names = Vec::new();
    for (index, trial) in trials {
        let twin = twin(trial.question).map(|twin| (format!("{index}-twin"), twin));
        let asked = [(index.to_string(), trial.question)];
        for (name, question) in asked.into_iter().chain(twin) {
            if let Source::Case(case) = &question.source {
                image::write_layout(case, &layouts.join(&name))?;
                names.push(name);
            }
        }
    }
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let setting = Setting {
        helper: &equipment.helper,
        limits: equipment.limits,
        surroundings: equipment.surroundings.clone(),
        privileged: false,
        faults: Faults::default(),
    };
    let outputs = work.join("out");
    fs::create_dir(&outputs)?;
    let stage = first.chain.last();
    let made = convert_batch(stage, &layouts, &names, image::TAG, &outputs, &setting)?;
    let mut made = made.unwrap_or_default();
    let mut prepared = BTreeMap::new();
    for (index, trial) in trials {
        let of_twin = made.remove(&format!("{index}-twin"));
        let Some(question) = made.remove(&index.to_string()) else {
            continue;
        };
        if twin(trial.question).is_none() || of_twin.is_some() {
            let twin = of_twin;
            prepared.insert(*index, Prepared { question, twin });
        }
    }
    Ok(prepared)
}

fn twin(question: &Question) -> Option<&Question> {
    match &question.wanted {
        Wanted::Reject { twin, .. } => Some(twin),
        _ => None,
    }
}
