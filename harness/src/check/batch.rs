//! What many trials do together: their first conversions, in one container, and what is seen of their images, by
//! one fsck and one guest.
//!
//! What comes of a batch counts only where the trial passes or fails as it is known to; whatever else comes
//! of it is asked again alone, so nothing new is said of a converter for what another image did to its daemon.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::boot::Among;
use super::{Equipment, Question, Source, Trial, Wanted, shelf};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Converted, Setting, convert_batch, takes_batches};

/// How many images go through one start of a converter.
pub const BATCH: usize = 24;

/// What a batch made for a trial.
pub struct Prepared {
    /// Of the question itself.
    pub(super) question: Converted,
    /// Of its twin, where it has one.
    pub(super) twin: Option<Converted>,
    /// What came of the image that one of them is.
    pub(super) image: Seen,
}

/// What was seen of an image among others.
#[derive(Default)]
pub struct Seen {
    /// Whether fsck had nothing to say.
    pub(super) is_clean: bool,
    /// What a guest saw of it, whose shell, where it has one, answered.
    pub(super) among: Option<Among>,
}

/// What a trial can do together with others of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Together {
    /// Be converted.
    Convert,
    /// Have its image read by a guest.
    Read,
    /// Have its image read and its shell asked by a guest.
    ReadAndAsk,
}

/// What this trial can do together with others of its chain.
pub fn together(trial: &Trial<'_>, equipment: &Equipment) -> Option<Together> {
    if equipment.repeat || equipment.fault.is_some() || trial.skip(equipment).is_some() {
        return None;
    }
    if shelf::fits(trial, equipment) {
        return Some(match shelf::is_asked(trial.question) {
            true => Together::ReadAndAsk,
            false => Together::Read,
        });
    }
    is_converted_with_others(trial).then_some(Together::Convert)
}

/// Does for these trials, which are of one chain, what they do together, below the folder `work`. A trial
/// that is not in the answer is to be run alone.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub fn prepare(
    trials: &[(usize, &Trial<'_>)],
    what: Together,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let prepared = convert_together(trials, equipment, work)?;
    match what {
        Together::Convert => Ok(prepared),
        Together::Read | Together::ReadAndAsk => shelf::fill(trials, prepared, equipment, work),
    }
}

/// Whether a trial's image can be converted together with others.
fn is_converted_with_others(trial: &Trial<'_>) -> bool {
    let is_case = matches!(trial.question.source, Source::Case(_));
    is_case && !trial.question.privileged && takes_batches(trial.chain)
}

fn convert_together(
    trials: &[(usize, &Trial<'_>)],
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let mut prepared = BTreeMap::new();
    let layouts = work.join("layouts");
    let mut names = Vec::new();
    let fit = trials
        .iter()
        .filter(|(_, trial)| is_converted_with_others(trial));
    for (index, trial) in fit {
        let twin = twin(trial.question).map(|twin| (format!("{index}-twin"), twin));
        let asked = [(index.to_string(), trial.question)];
        for (name, question) in asked.into_iter().chain(twin) {
            if let Source::Case(case) = &question.source {
                image::write_layout(case, &layouts.join(&name))?;
                names.push(name);
            }
        }
    }
    let Some((_, first)) = trials.first().filter(|_| names.len() > 1) else {
        return Ok(prepared);
    };
    let setting = Setting {
        helper: &equipment.helper,
        limits: equipment.limits,
        surroundings: equipment.surroundings.clone(),
        privileged: false,
        faults: Faults::default(),
    };
    let outputs = work.join("out");
    fs::create_dir(&outputs)?;
    let mut made = convert_batch(
        first.chain,
        &layouts,
        &names,
        image::TAG,
        &outputs,
        &setting,
    )?;
    for (index, trial) in trials {
        let of_twin = made.remove(&format!("{index}-twin"));
        let Some(question) = made.remove(&index.to_string()) else {
            continue;
        };
        if twin(trial.question).is_none() || of_twin.is_some() {
            let of = Prepared {
                question,
                twin: of_twin,
                image: Seen::default(),
            };
            prepared.insert(*index, of);
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
