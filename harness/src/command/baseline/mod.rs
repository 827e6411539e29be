//! `harness baseline`: known failures proposed from a run, for a person to look at.
//!
//! What a person wrote stays: entries that still hold are kept with their comments, those that do not are
//! named on standard error. What is new has no reason, and no run takes the file until somebody wrote one.

mod keep;
mod propose;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;

use super::{EXIT_GREEN, Home, report};
use crate::report::{ChainRecord, Record, TrialRecord};
use crate::runner::{Everywhere, Expectations};
use crate::verdict::begins;

/// Proposes a converter's known failures from a recorded run, grouped by what fails; the reasons are a
/// person's to write.
#[derive(Args)]
pub(super) struct Baseline {
    /// The converter, as `harness run` names it. Of a packer it is what `native+NAME` fails, of another what
    /// it fails by itself.
    #[arg(long, value_name = "NAME")]
    converter: String,
    /// The record of the run [default: target/harness/run.json].
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write the file in place instead of to standard output.
    #[arg(long)]
    write: bool,
}

impl Baseline {
    /// Exit 0, whatever fails: that is the run's to say.
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let name = &self.converter;
        let folder = folder_of(&home.root.join("runners"), name)
            .with_context(|| format!("no converter `{name}`; runners/ has all of them"))?;
        let from = match &self.from {
            Some(path) => path.clone(),
            None => home.scratch().join("run.json"),
        };
        let mut run = Run::of(report::read(&from)?, name)
            .with_context(|| format!("nothing to learn from `{}`", from.display()))?;
        run.is_one_of_several = has_variants(&folder)?;
        let path = folder.join("expectations.toml");
        let (text, dropped) = baseline(&read_or_empty(&path)?, &run)
            .with_context(|| format!("failed to read `{}`", path.display()))?;
        for line in dropped {
            super::complain(&line);
        }
        match self.write {
            true => fs::write(&path, text)?,
            false => super::print(&text)?,
        }
        Ok(EXIT_GREEN)
    }
}

/// What a record says of one converter.
#[derive(Clone, Default)]
struct Run {
    /// Its name without the tool root.
    runner: String,
    /// Whether its folder describes others, too, which do not fail what it fails.
    is_one_of_several: bool,
    /// The version it stated.
    version: String,
    /// The trials that show its failures alone.
    trials: Vec<TrialRecord>,
}

impl Run {
    fn of(record: Record, name: &str) -> anyhow::Result<Run> {
        if let Some(fault) = record.fault {
            anyhow::bail!("something went wrong on purpose in it: {fault}");
        }
        let chains: Vec<&ChainRecord> = record
            .chains
            .iter()
            .filter(|chain| shows_alone(chain, name))
            .collect();
        anyhow::ensure!(
            !chains.is_empty(),
            "`{name}` was not run by itself, nor behind native"
        );
        let stages = chains.iter().flat_map(|chain| &chain.stages);
        let stage = stages.into_iter().find(|stage| stage.name == name);
        let version = stage.map_or_else(String::new, |stage| stage.version.clone());
        let mut trials = record.trials;
        trials.retain(|trial| chains.iter().any(|chain| chain.name == trial.chain));
        Ok(Run {
            runner: plain(name).to_owned(),
            is_one_of_several: false,
            version,
            trials,
        })
    }
}

impl Run {
    /// The same without the findings that are known whatever the case: no entry for cases speaks of them.
    fn without(&self, everywhere: &[Everywhere]) -> Run {
        let mut run = self.clone();
        let here = |every: &&Everywhere| every.holds_for(&run.runner, &run.version);
        let everywhere: Vec<&Everywhere> = everywhere.iter().filter(here).collect();
        for trial in &mut run.trials {
            trial.findings.retain(|finding| {
                let is_said = |every: &&Everywhere| {
                    every.kind == finding.kind && begins(&finding.line, &every.line)
                };
                !everywhere.iter().any(is_said)
            });
        }
        run
    }
}

/// Whether what this chain fails is this converter's doing.
fn shows_alone(chain: &ChainRecord, name: &str) -> bool {
    match chain.stages.as_slice() {
        [only] => only.name == name,
        [first, .., last] => first.name.starts_with("native") && last.name == name,
        [] => false,
    }
}

/// The new text of an expectations file, and what of the old one is dropped, in words.
fn baseline(old: &str, run: &Run) -> anyhow::Result<(String, Vec<String>)> {
    let known = Expectations::parse_proposed(old).map_err(anyhow::Error::msg)?;
    let run = run.without(&known.everywhere);
    let kept = keep::keep(old, &known.known, &run)?;
    let proposals = propose::propose(&kept.uncovered, &run);
    let parts = [kept.text.trim_end(), proposals.trim()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let end = if parts.is_empty() { "" } else { "\n" };
    Ok((parts.join("\n\n") + end, kept.dropped))
}

/// A name without the tool root.
fn plain(name: &str) -> &str {
    name.split_once('@').map_or(name, |(plain, _)| plain)
}

/// The folder that describes a converter: its own, or of a variant the one before the `-`.
fn folder_of(runners: &Path, name: &str) -> Option<PathBuf> {
    let plain = plain(name);
    let dashes = plain.match_indices('-').map(|(at, _)| at);
    let mut ends: Vec<usize> = dashes.chain([plain.len()]).collect();
    ends.reverse();
    let mut folders = ends.into_iter().map(|end| runners.join(&plain[..end]));
    folders.find(|folder| folder.join("runner.toml").is_file())
}

fn has_variants(folder: &Path) -> anyhow::Result<bool> {
    let text = fs::read_to_string(folder.join("runner.toml"))?;
    let table: toml::Table = text.parse()?;
    Ok(table.contains_key("variant"))
}

fn read_or_empty(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        text => Ok(text?),
    }
}

#[cfg(test)]
mod tests;
