//! All runners of a checkout, and how their names compose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::descriptor::{Input, Need, Runner, read_folder};
use super::tools::{Root, Tools};
use super::{Format, Profile};

/// All runners of a checkout, by name.
#[derive(Debug, Clone, Default)]
pub struct Runners {
    by_name: BTreeMap<String, Runner>,
}

/// Why runners could not be read or composed.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// A file could not be read.
    #[error("failed to read the runners")]
    Io(#[from] std::io::Error),
    /// A descriptor or an expectations file is wrong.
    #[error("failed to read `{}`: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and caret where TOML gives them.
        what: String,
    },
    /// A name that is no runner.
    #[error("no converter `{name}`; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Stages that do not fit.
    #[error("`{chain}` does not compose: `{first}` makes {made}, `{second}` does not read that")]
    Misfit {
        /// The composition.
        chain: String,
        /// The stage whose output does not fit.
        first: String,
        /// What it makes.
        made: &'static str,
        /// The stage that does not read it.
        second: String,
    },
    /// A composition that does not begin with a layout.
    #[error("`{0}` packs a directory or an archive; put an extractor before it: native+{0}")]
    NoExtractor(String),
}

/// One converter, or several whose outputs meet inputs: `umoci+mkfs.erofs`.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The names joined by `+`.
    pub name: String,
    /// The stages, first to last; never empty.
    pub stages: Vec<Runner>,
}

impl Chain {
    /// The stage that makes the artifact.
    pub fn last(&self) -> &Runner {
        self.stages.last().expect("a chain has a stage")
    }

    /// What the last stage makes.
    pub fn format(&self) -> Format {
        self.last().output
    }

    /// How what the last stage makes is booted, if nobody says otherwise.
    pub fn profile(&self) -> Profile {
        let last = self.last();
        last.profile.unwrap_or(Profile::of(last.output))
    }

    /// The arguments of `harness run` that choose this chain.
    pub fn select(&self) -> String {
        let Some(typed) = &self.stages[0].typed else {
            return format!("--converter {}", self.name);
        };
        let command = typed.command.replace('\'', r"'\''");
        let output = self.stages[0].output.word();
        let format = match self.stages.len() {
            1 => String::new(),
            _ => format!(" --format {}", self.format().word()),
        };
        format!("--command '{command}' --output {output}{format}")
    }

    /// Whether one of the stages needs this.
    pub fn needs(&self, need: Need) -> bool {
        self.stages.iter().any(|stage| stage.needs.contains(&need))
    }
}

impl Runners {
    /// Reads every `runner.toml` below `root`, for programs in `tools`.
    ///
    /// # Errors
    ///
    /// The first unreadable or wrong file in bytewise order.
    pub fn read(root: &Path, tools: &Tools) -> Result<Runners, RunnerError> {
        let mut by_name = BTreeMap::new();
        for entry in walkdir::WalkDir::new(root)
            .min_depth(1)
            .max_depth(1)
            .sort_by_file_name()
        {
            // The text alone: it names the path, which the cause behind it would only repeat.
            let entry = entry.map_err(|error| std::io::Error::other(error.to_string()))?;
            if !entry.path().join("runner.toml").is_file() {
                continue;
            }
            for runner in read_folder(entry.path(), tools)? {
                let name = runner.name.clone();
                if by_name.insert(name.clone(), runner).is_some() {
                    let what = format!("there is another runner `{name}`: a folder or a variant");
                    let path = entry.path().to_owned();
                    return Err(RunnerError::File { path, what });
                }
            }
        }
        Ok(Runners { by_name })
    }

    /// Every runner, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Runner> {
        self.by_name.values()
    }

    /// Adds a converter that has no folder: `--command './convert.sh {layout} {out}'`.
    pub fn add(&mut self, runner: Runner) {
        self.by_name.insert(runner.name.clone(), runner);
    }

    /// The chain a name like `umoci+mkfs.erofs` stands for.
    ///
    /// # Errors
    ///
    /// An unknown name, stages that do not fit, or no extractor at the beginning.
    pub fn chain(&self, name: &str) -> Result<Chain, RunnerError> {
        let stages: Vec<Runner> = name
            .split('+')
            .map(|stage| self.runner(stage).cloned())
            .collect::<Result<_, _>>()?;
        if stages[0].input != Input::Layout {
            return Err(RunnerError::NoExtractor(name.to_owned()));
        }
        for pair in stages.windows(2) {
            if !fits(pair[0].output, pair[1].input) {
                return Err(RunnerError::Misfit {
                    chain: name.to_owned(),
                    first: pair[0].name.clone(),
                    made: pair[0].output.word(),
                    second: pair[1].name.clone(),
                });
            }
        }
        let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
        Ok(Chain {
            name: names.join("+"),
            stages,
        })
    }

    /// Every extractor by itself, and every packer behind native, whose trees are the model's.
    ///
    /// # Errors
    ///
    /// None that [`Runners::read`] does not have.
    pub fn all_chains(&self) -> Result<Vec<Chain>, RunnerError> {
        let mut chains = Vec::new();
        for runner in self.iter().filter(|one| one.input == Input::Layout) {
            let chain = self.chain(&runner.name)?;
            let packed = match runner.name.starts_with("native") {
                true => self.packed_by_all(&chain),
                false => Vec::new(),
            };
            chains.push(chain);
            chains.extend(packed);
        }
        Ok(chains)
    }

    /// The common packers that read what `chain` makes, as chains of their own.
    pub fn packed(&self, chain: &Chain) -> Vec<Chain> {
        self.pack(chain, |packer| packer.common)
    }

    /// Every packer that reads what `chain` makes, as chains of their own.
    pub fn packed_by_all(&self, chain: &Chain) -> Vec<Chain> {
        self.pack(chain, |_| true)
    }

    fn pack(&self, chain: &Chain, is_wanted: impl Fn(&Runner) -> bool) -> Vec<Chain> {
        let packers = self
            .iter()
            .filter(|runner| fits(chain.format(), runner.input) && is_wanted(runner));
        packers
            .map(|packer| Chain {
                name: format!("{}+{}", chain.name, packer.name),
                stages: chain.stages.iter().chain([packer]).cloned().collect(),
            })
            .collect()
    }

    /// The runner of a name; `umoci@0.6.0` is the one whose tool root has that version.
    fn runner(&self, name: &str) -> Result<&Runner, RunnerError> {
        if let Some(runner) = self.by_name.get(name) {
            return Ok(runner);
        }
        let (plain, version) = name.split_once('@').unwrap_or((name, ""));
        let versions = || {
            let all = self.iter().filter(|runner| runner.plain_name == plain);
            all.filter_map(|runner| match &runner.root {
                Root::Tool {
                    package_version: Some(version),
                    ..
                } => Some((runner, version.as_str())),
                _ => None,
            })
        };
        let is_asked = |is: &str| {
            // What comes before `:` is Debian's epoch, which no program prints.
            let upstream = is.split_once(':').map_or(is, |(_, version)| version);
            let rest = upstream.strip_prefix(version);
            !version.is_empty()
                && rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let found = versions().find(|(_, is)| is_asked(is));
        if let Some((runner, _)) = found {
            return Ok(runner);
        }
        let there: Vec<String> = versions()
            .map(|(runner, version)| format!("{} ({version})", runner.name))
            .collect();
        let known = match there.is_empty() {
            true => self.by_name.keys().cloned().collect::<Vec<_>>(),
            false => there,
        };
        Err(RunnerError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        })
    }
}

fn fits(output: Format, input: Input) -> bool {
    matches!(
        (output, input),
        (Format::Dir, Input::Dir) | (Format::Tar, Input::Tar)
    )
}
