//! Runners are data: `runners/<name>/runner.toml`, which may describe several.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use serde::Deserialize;

use super::chain::RunnerError;
use super::tools::{Root, Tools};
use super::{Expectations, Format, Profile};

/// A converter or packer, as its folder describes it.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The folder's name; of a variant with `-` and the variant's name after it; and in another tool root
    /// than the usual with `@` and that root's name at the end.
    pub name: String,
    /// The name without the root.
    pub plain_name: String,
    /// The folder, with what else the command needs.
    pub folder: PathBuf,
    /// Where its program runs.
    pub root: Root,
    /// One sentence for lists.
    pub summary: String,
    /// What it reads.
    pub input: Input,
    /// What it makes.
    pub output: Format,
    /// The command, with `{layout}`, `{tag}`, `{in}`, `{out}`, `{harness}`, `{runner}`, `{built}`,
    /// `{mebibytes}` and `{inodes}` to be filled in.
    pub command: Vec<String>,
    /// A command that converts many images at once, where starting takes longer than converting. For each
    /// folder NAME in `{layout}` it makes `{out}/NAME/rootfs`, and writes the exit status of that image,
    /// which is to take no longer than `{seconds}`, to `{out}/NAME/status` and what was said to
    /// `{out}/NAME/log`.
    pub batch: Option<Vec<String>>,
    /// Whether that command has one storage for all images, in which what one brought is found by the next: images that
    /// say something else of the same blobs are then converted alone.
    pub shared_storage: bool,
    /// Whether it waits most of the time, not for the machine: then it runs beside the others.
    pub waits: bool,
    /// A command that prints the version.
    pub version: Vec<String>,
    /// What the host must give it.
    pub needs: Vec<Need>,
    /// Directories in which the program keeps state of its own by design, such as `/run/containerd`: what
    /// it does there is no escape. Nothing else is excused.
    pub state: Vec<PathBuf>,
    /// The Debian package that has the program.
    pub package: Option<String>,
    /// What it cannot do by design and does not claim.
    pub lacks: Vec<Capability>,
    /// Whether what makes a directory or an archive is packed with it, too, if nothing else is asked for.
    pub common: bool,
    /// The folder of what is built on demand for it (`ci tool NAME`), where it needs that.
    pub built: Option<PathBuf>,
    /// Whether it makes a file with holes far beyond its output and cuts it at the end, as `mkfs.erofs --tar`
    /// does: then a file may seem larger than others may make one. What it takes on disk is held all the same.
    pub sparse: bool,
    /// Whether it claims the same bytes for the same input, whenever and wherever it runs.
    pub reproducible: bool,
    /// How what it makes is booted, where that is not as its format is by itself.
    pub profile: Option<Profile>,
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
    /// To mount through loop devices.
    Loop,
}

/// Something a runner cannot do by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Images with more than one layer.
    Layers,
    /// The root directory's own owner, mode, time and extended attributes.
    RootAttributes,
    /// Modification times of anything.
    Times,
    /// Modification times of directories.
    DirectoryTimes,
    /// Modification times of symbolic links.
    SymlinkTimes,
    /// Extended attributes of anything.
    Xattrs,
}

impl Capability {
    /// What is not claimed, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Capability::Layers => "images of several layers",
            Capability::RootAttributes => "the root's own attributes",
            Capability::Times => "modification times",
            Capability::DirectoryTimes => "modification times of directories",
            Capability::Xattrs => "extended attributes",
            Capability::SymlinkTimes => "modification times of symbolic links",
        }
    }
}

/// The text of a `runner.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RunnerFile {
    summary: String,
    input: Input,
    output: Format,
    command: Vec<String>,
    batch: Option<Vec<String>>,
    #[serde(default)]
    shared_storage: bool,
    #[serde(default)]
    waits: bool,
    #[serde(default)]
    version: Vec<String>,
    #[serde(default)]
    needs: Vec<Need>,
    #[serde(default)]
    state: Vec<PathBuf>,
    package: Option<String>,
    #[serde(default)]
    lacks: Vec<Capability>,
    #[serde(default)]
    common: bool,
    #[serde(default)]
    sparse: bool,
    #[serde(default)]
    reproducible: bool,
    profile: Option<Profile>,
    /// Tool roots that have the program; the plain name stands for the first.
    #[serde(default)]
    roots: Vec<String>,
    /// What `ci tool` builds it with.
    build: Option<Vec<String>>,
    #[serde(default)]
    variant: BTreeMap<String, VariantFile>,
}

/// What is different in a variant of a runner.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VariantFile {
    summary: String,
    command: Vec<String>,
    batch: Option<Vec<String>>,
    output: Option<Format>,
    version: Option<Vec<String>>,
    needs: Option<Vec<Need>>,
    state: Option<Vec<PathBuf>>,
    package: Option<String>,
    lacks: Option<Vec<Capability>>,
    reproducible: Option<bool>,
    profile: Option<Profile>,
    roots: Option<Vec<String>>,
}

/// Reads the folder of a runner: the runner itself, its variants, and each in its further tool roots.
///
/// # Errors
///
/// A file that is wrong.
pub(super) fn read_folder(folder: &Path, tools: &Tools) -> Result<Vec<Runner>, RunnerError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let file = folder.join("runner.toml");
    let wrong = |path: &Path, what: String| RunnerError::File {
        path: path.to_owned(),
        what,
    };
    if name.contains(['+', '@']) {
        let what = "a runner's name has neither `+` nor `@`".to_owned();
        return Err(wrong(folder, what));
    }
    let parsed: RunnerFile = toml::from_str(&fs::read_to_string(&file)?)
        .map_err(|error| wrong(&file, error.to_string()))?;
    let known = folder.join("expectations.toml");
    let expectations = match known.is_file() {
        false => Expectations::default(),
        true => {
            Expectations::parse(&fs::read_to_string(&known)?).map_err(|what| wrong(&known, what))?
        }
    };
    let built = match (&parsed.build, tools) {
        (None, _) => None,
        (Some(_), Tools::Roots(place)) => Some(place.join("built").join(&*name)),
        // On the host the search path has it, or it is not there.
        (Some(_), Tools::Host) => Some(PathBuf::from("/usr/local")),
    };
    let plain = Runner {
        name: name.clone().into_owned(),
        plain_name: name.into_owned(),
        folder: folder.to_owned(),
        root: Root::Host,
        summary: parsed.summary,
        input: parsed.input,
        output: parsed.output,
        command: parsed.command,
        batch: parsed.batch,
        shared_storage: parsed.shared_storage,
        waits: parsed.waits,
        version: parsed.version,
        needs: parsed.needs,
        state: parsed.state,
        package: parsed.package,
        lacks: parsed.lacks,
        common: parsed.common,
        built,
        sparse: parsed.sparse,
        reproducible: parsed.reproducible,
        profile: parsed.profile,
        expectations,
        typed: None,
    };
    let variants = parsed.variant.into_iter().map(|(name, variant)| {
        let roots = variant.roots.clone();
        (plain.varied(&name, variant), roots)
    });
    let all: Vec<_> = [(plain.clone(), None)]
        .into_iter()
        .chain(variants)
        .collect();
    let mut runners = Vec::new();
    for (runner, roots) in all {
        if let Some(what) = runner.mistake() {
            return Err(wrong(&file, what));
        }
        let roots = roots.unwrap_or_else(|| parsed.roots.clone());
        runners.extend(runner.in_roots(&roots, tools));
    }
    Ok(runners)
}

impl Runner {
    /// What is wrong with a descriptor, beyond its shape.
    fn mistake(&self) -> Option<String> {
        if !self.command.iter().any(|word| word.contains("{out}")) {
            return Some("the command must name {out}".to_owned());
        }
        if let Some(batch) = &self.batch
            && !batch.iter().any(|word| word.contains("{out}"))
        {
            return Some("the batch command must name {out}".to_owned());
        }
        let refusal = self
            .profile
            .and_then(|profile| match self.output.is_filesystem() {
                true => profile.refuses(self.output),
                false => Some(format!("{} is not booted: no profile", self.output)),
            });
        if refusal.is_some() {
            return refusal;
        }
        let is_vague = |path: &&PathBuf| {
            let plain = path
                .components()
                .skip(1)
                .all(|part| matches!(part, Component::Normal(_)));
            !path.is_absolute() || !plain || path.components().count() < 3
        };
        let vague = self.state.iter().find(is_vague)?;
        Some(format!(
            "state `{}` must be an absolute directory below one of the root's",
            vague.display()
        ))
    }

    fn varied(&self, name: &str, variant: VariantFile) -> Runner {
        let name = format!("{}-{name}", self.name);
        Runner {
            plain_name: name.clone(),
            name,
            summary: variant.summary,
            command: variant.command,
            batch: variant.batch,
            output: variant.output.unwrap_or(self.output),
            version: variant.version.unwrap_or_else(|| self.version.clone()),
            needs: variant.needs.unwrap_or_else(|| self.needs.clone()),
            state: variant.state.unwrap_or_else(|| self.state.clone()),
            package: variant.package.or_else(|| self.package.clone()),
            lacks: variant.lacks.unwrap_or_else(|| self.lacks.clone()),
            common: false,
            reproducible: variant.reproducible.unwrap_or(self.reproducible),
            profile: variant.profile.or(self.profile),
            ..self.clone()
        }
    }

    /// The runner where its plain name has it, and once in each further root.
    fn in_roots(self, roots: &[String], tools: &Tools) -> Vec<Runner> {
        let package = self.package.as_deref();
        let Some((first, others)) = roots.split_first() else {
            return vec![self];
        };
        let plain = Runner {
            root: tools.preferred(first, package),
            ..self.clone()
        };
        let others = others.iter().map(|root| Runner {
            name: format!("{}@{root}", self.name),
            root: tools.named(root, package),
            common: false,
            ..self.clone()
        });
        [plain].into_iter().chain(others).collect()
    }
}
