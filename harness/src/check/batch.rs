//! What many trials do together: their first conversions, for converters that take long to start, or the
//! reading of their images by one guest.
//!
//! What comes of a batch counts only where the trial passes or fails as it is known to; whatever else comes
//! of it is asked again alone, so nothing new is said of a converter for what another image did to its daemon.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::{Equipment, Question, Source, Trial, Wanted, shelf};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{Converted, Setting, convert_batch};
use crate::tree::Tree;

/// How many images go through one start of a converter.
pub const BATCH: usize = 24;

/// What a batch made for a trial.
#[derive(Debug)]
pub struct Prepared {
    /// Of the question itself.
    pub(super) question: Converted,
    /// Of its twin, where it has one.
    pub(super) twin: Option<Converted>,
    /// What a guest read of the question's image, whose shell, where it has one, answered.
    pub(super) tree: Option<Tree>,
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
    let stages = &trial.chain.stages;
    let takes_batches = stages.len() == 1 && stages[0].batch.is_some();
    if takes_batches && !trial.question.privileged {
        return Some(Together::Convert);
    }
    shelf::fits(trial, equipment).then(|| match shelf::is_asked(trial.question) {
        true => Together::ReadAndAsk,
        false => Together::Read,
    })
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
    match what {
        Together::Convert => prepare_conversions(trials, equipment, work),
        Together::Read | Together::ReadAndAsk => shelf::prepare(trials, equipment, work),
    }
}

fn prepare_conversions(
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
            let (twin, tree) = (of_twin, None);
            let of = Prepared {
                question,
                twin,
                tree,
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
