//! What many trials do together: their first conversions, in one container, and what is seen of their images, by
//! one fsck and one guest.
//!
//! What comes of a batch counts only where the trial passes or fails as it is known to; whatever else comes
//! of it is asked again alone, so nothing new is said of a converter for what another image did to its daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::apart::apart;
use super::boot::Among;
use super::same::{SeenBefore, same_layouts};
use super::{Equipment, Question, Source, Trial, Wanted, shelf};
use crate::image;
use crate::runner::contain::Faults;
use crate::runner::{
    Chain, Conversion, Converted, Setting, Store, convert_batch, convert_rest, takes_batches,
};

/// How many images go through one start of a converter.
pub const BATCH: usize = 48;

/// What the trials of a run have in common.
pub struct Shared {
    store: Store,
    seen: SeenBefore,
}

impl Shared {
    /// What these chains have in common, nothing so far; artifacts are kept below `folder`, which need not be there.
    #[must_use]
    pub fn new(folder: PathBuf, chains: &[Chain]) -> Shared {
        Shared {
            store: Store::new(folder, chains),
            seen: SeenBefore::default(),
        }
    }
}

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
#[derive(Clone, Default)]
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

/// Does for these trials, which are of one chain, what they do together, below the folder `work`, with what the
/// run has of them. A trial that is not in the answer is to be run alone.
///
/// # Errors
///
/// Trouble of the harness or the host.
pub fn prepare(
    trials: &[(usize, &Trial<'_>)],
    what: Together,
    shared: &Shared,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let prepared = convert_together(trials, &shared.store, equipment, work)?;
    match what {
        Together::Convert => Ok(prepared),
        Together::Read | Together::ReadAndAsk => {
            shelf::fill(trials, prepared, &shared.seen, equipment, work)
        }
    }
}

/// Whether a trial's image can be converted together with others.
fn is_converted_with_others(trial: &Trial<'_>) -> bool {
    let is_case = matches!(trial.question.source, Source::Case(_));
    is_case && !trial.question.privileged && takes_batches(trial.chain)
}

fn convert_together(
    trials: &[(usize, &Trial<'_>)],
    store: &Store,
    equipment: &Equipment,
    work: &Path,
) -> anyhow::Result<BTreeMap<usize, Prepared>> {
    let mut prepared = BTreeMap::new();
    let mut images = Vec::new();
    let fit = trials
        .iter()
        .filter(|(_, trial)| is_converted_with_others(trial));
    for (index, trial) in fit {
        let id = &trial.question.id;
        images.push((index.to_string(), id.clone(), trial.question));
        if let Some(twin) = twin(trial.question) {
            images.push((format!("{index}-twin"), format!("{id} twin"), twin));
        }
    }
    let Some((_, first)) = trials.first().filter(|_| images.len() > 1) else {
        return Ok(prepared);
    };
    let setting = Setting {
        helper: &equipment.helper,
        limits: equipment.limits,
        surroundings: equipment.surroundings.clone(),
        privileged: false,
        faults: Faults::default(),
    };
    let mut made = convert_all(&images, first.chain, store, work, &setting)?;
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

/// Converts images, each with its name and what it is called in the store; those of equal layouts once.
fn convert_all(
    images: &[(String, String, &Question)],
    chain: &Chain,
    store: &Store,
    work: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<BTreeMap<String, Converted>> {
    let (layouts, outputs) = (work.join("layouts"), work.join("out"));
    let is_kept = store.keeps(chain);
    let mut names = Vec::new();
    for (name, key, question) in images {
        let is_there = is_kept && store.get(chain, key).is_some();
        if let (Source::Case(case), false) = (&question.source, is_there) {
            image::write_layout(case, &layouts.join(name))?;
            names.push(name.clone());
        }
    }
    let same = same_layouts(&layouts, &names)?;
    names.retain(|name| !same.contains_key(name));
    // A runner's own command for many converts whatever is there.
    for name in same.keys() {
        fs::remove_dir_all(layouts.join(name))?;
    }
    if chain.stages[0].shared_storage {
        let apart = apart(&layouts, &names);
        names.retain(|name| !apart.contains(name));
        for name in &apart {
            fs::remove_dir_all(layouts.join(name))?;
        }
    }
    fs::create_dir(&outputs)?;
    if !is_kept {
        let made = convert_batch(chain, &layouts, &names, image::TAG, &outputs, setting)?;
        return Ok(with_same(made, &same));
    }
    if !names.is_empty() {
        let alone = Chain {
            name: chain.stages[0].name.clone(),
            stages: vec![chain.stages[0].clone()],
        };
        let mut made = convert_batch(&alone, &layouts, &names, image::TAG, &outputs, setting)?;
        let keys: BTreeMap<&String, &String> =
            images.iter().map(|(name, key, _)| (name, key)).collect();
        for (name, key, _) in images {
            if let Some(made) = made.remove(name) {
                store.put(chain, key, made)?;
            }
        }
        for (name, first) in &same {
            store.put_same(chain, keys[name], keys[first]);
        }
    }
    pack_all(images, chain, store, &outputs, setting)
}

/// What the later stages of a chain make of what the first one did, which the store has; of the same once.
fn pack_all(
    images: &[(String, String, &Question)],
    chain: &Chain,
    store: &Store,
    outputs: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<BTreeMap<String, Converted>> {
    let (mut done, mut going) = (BTreeMap::new(), BTreeMap::new());
    let mut firsts: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut same = BTreeMap::new();
    for (name, key, _) in images {
        let Some(made) = store.get(chain, key) else {
            continue;
        };
        let Conversion::Produced(artifact, _) = &made.conversion else {
            done.insert(name.clone(), made);
            continue;
        };
        match firsts.get(artifact) {
            Some(first) => {
                same.insert(name.clone(), first.clone());
            }
            None => {
                firsts.insert(artifact.clone(), name.clone());
                let path = artifact.strip_prefix(store.folder()).unwrap_or(artifact);
                let path = path.to_string_lossy().into_owned();
                going.insert(name.clone(), (made, path));
            }
        }
    }
    let folder = store.folder();
    let rest = convert_rest(chain, 1, folder, going, image::TAG, outputs, setting)?;
    done.extend(with_same(rest, &same));
    Ok(done)
}

/// Adds what is the same as something that was made.
fn with_same(
    mut made: BTreeMap<String, Converted>,
    same: &BTreeMap<String, String>,
) -> BTreeMap<String, Converted> {
    for (name, first) in same {
        if let Some(first) = made.get(first).cloned() {
            made.insert(name.clone(), first);
        }
    }
    made
}

fn twin(question: &Question) -> Option<&Question> {
    match &question.wanted {
        Wanted::Reject { twin, .. } => Some(twin),
        _ => None,
    }
}
