//! Runners are data: `runners/<name>/runner.toml`, and how their names compose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::{Expectations, Format};

/// A converter or packer, as its folder describes it.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The folder's name.
    pub name: String,
    /// One sentence for lists.
    pub summary: String,
    /// What it reads.
    pub input: Input,
    /// What it makes.
    pub output: Format,
    /// The command, with `{layout}`, `{tag}`, `{in}`, `{out}`, `{harness}`, `{mebibytes}` and
    /// `{inodes}` to be filled in.
    pub command: Vec<String>,
    /// A command that prints the version.
    pub version: Vec<String>,
    /// What the host must give it.
    pub needs: Vec<Need>,
    /// The Debian package that has the program.
    pub package: Option<String>,
    /// What it cannot do by design and does not claim.
    pub lacks: Vec<Capability>,
    /// Whether it claims the same bytes for the same input, whenever and wherever it runs.
    pub reproducible: bool,
    /// Failures that are known, with their reasons.
    pub expectations: Expectations,
    /// For a converter typed at the terminal, what was typed and the folder it was typed in.
    pub typed: Option<Typed>,
}

/// A converter that has no folder.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The command line.
    pub command: String,
    /// The folder it was typed in, where a container would hide that: it is seen read-only instead.
    pub hidden_folder: Option<PathBuf>,
}

impl Runner {
    /// The program that must be installed: the one that is asked for its version, since a command may
    /// begin with `env`, else the command's first word.
    pub fn program(&self) -> &str {
        self.version.first().unwrap_or(&self.command[0])
    }
}

/// What a runner reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// An OCI image layout.
    Layout,
    /// A flattened tar archive.
    Tar,
    /// A directory.
    Dir,
}

/// What a runner needs of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// To run as root: owners and device nodes.
    Root,
    /// The privilege to mount.
    Mount,
}

/// Something a runner cannot do by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Images with more than one layer.
    Layers,
    /// The root directory's own owner, mode, time and extended attributes.
    RootAttributes,
}

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
    /// What the last stage makes.
    pub fn format(&self) -> Format {
        self.stages.last().expect("a chain has a stage").output
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
    /// Reads every `runner.toml` below `root`.
    ///
    /// # Errors
    ///
    /// The first unreadable or wrong file in bytewise order.
    pub fn read(root: &Path) -> Result<Runners, RunnerError> {
        let mut by_name = BTreeMap::new();
        for entry in walkdir::WalkDir::new(root)
            .min_depth(1)
            .max_depth(1)
            .sort_by_file_name()
        {
            // The text alone: it names the path, which the cause behind it would only repeat.
            let entry = entry.map_err(|error| std::io::Error::other(error.to_string()))?;
            let file = entry.path().join("runner.toml");
            if file.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                by_name.insert(name.clone(), read_runner(name, entry.path(), &file)?);
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
        Ok(Chain {
            name: name.to_owned(),
            stages,
        })
    }

    /// The packers that read what `chain` makes, as chains of their own.
    pub fn packed(&self, chain: &Chain) -> Vec<Chain> {
        let packers = self
            .iter()
            .filter(|runner| fits(chain.format(), runner.input));
        packers
            .map(|packer| Chain {
                name: format!("{}+{}", chain.name, packer.name),
                stages: chain.stages.iter().chain([packer]).cloned().collect(),
            })
            .collect()
    }

    fn runner(&self, name: &str) -> Result<&Runner, RunnerError> {
        self.by_name.get(name).ok_or_else(|| RunnerError::Unknown {
            name: name.to_owned(),
            known: self.by_name.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

fn fits(output: Format, input: Input) -> bool {
    matches!(
        (output, input),
        (Format::Dir, Input::Dir) | (Format::Tar, Input::Tar)
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RunnerFile {
    summary: String,
    input: Input,
    output: Format,
    command: Vec<String>,
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    needs: Vec<Need>,
    package: Option<String>,
    #[serde(default)]
    lacks: Vec<Capability>,
    #[serde(default)]
    reproducible: bool,
}

fn read_runner(name: String, folder: &Path, file: &Path) -> Result<Runner, RunnerError> {
    let wrong = |path: &Path, what: String| RunnerError::File {
        path: path.to_owned(),
        what,
    };
    let parsed: RunnerFile = toml::from_str(&fs::read_to_string(file)?)
        .map_err(|error| wrong(file, error.to_string()))?;
    if parsed.command.is_empty() || !parsed.command.iter().any(|word| word.contains("{out}")) {
        return Err(wrong(file, "the command must name {out}".to_owned()));
    }
    let known = folder.join("expectations.toml");
    let expectations = match known.is_file() {
        false => Expectations::default(),
        true => {
            Expectations::parse(&fs::read_to_string(&known)?).map_err(|what| wrong(&known, what))?
        }
    };
    Ok(Runner {
        name,
        summary: parsed.summary,
        input: parsed.input,
        output: parsed.output,
        command: parsed.command,
        version: parsed.version,
        needs: parsed.needs,
        package: parsed.package,
        lacks: parsed.lacks,
        reproducible: parsed.reproducible,
        expectations,
        typed: None,
    })
}
