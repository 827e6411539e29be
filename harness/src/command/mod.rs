//! The subcommands, one file each.

mod baseline;
mod bench;
mod bless;
mod convert;
mod doctor;
mod equip;
mod export;
mod interrupt;
mod list;
mod progress;
mod report;
mod run;
mod show;
mod soak;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::case::variant::{Variant, split_id};
use crate::case::{Case, Corpus, Family, Layer};
use crate::runner::Tools;
use crate::tree::{self, mtree};

/// Nothing red.
pub const EXIT_GREEN: u8 = 0;
/// Some verdict is red.
pub const EXIT_RED: u8 = 1;
/// A usage error, or the harness itself failed.
pub const EXIT_ERROR: u8 = 2;

/// Tests tools that turn OCI container images into root filesystems.
#[derive(Parser)]
#[command(name = "harness", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The project's folder, which holds corpus/, golden/ and runners/ [default: the checkout that this
    /// program was built in].
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Run>),
    List(list::List),
    Show(show::Show),
    Export(export::Export),
    Bless(bless::Bless),
    Convert(convert::Convert),
    Bench(bench::Bench),
    Report(report::Report),
    Baseline(baseline::Baseline),
    Soak(soak::Soak),
    Doctor(Box<doctor::Doctor>),
}

/// Runs the command line and gives the exit code: 0 nothing red, 1 some verdict red, 2 usage or
/// harness error.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = interrupt::watch() {
        complain(&format!("cannot watch for signals: {error:#}"));
        return ExitCode::from(EXIT_ERROR);
    }
    let home = Home {
        root: arguments.home.unwrap_or_else(default_home),
    };
    let result = match arguments.command {
        Command::Run(run) => run.run(&home),
        Command::List(list) => list.run(&home),
        Command::Show(show) => show.run(&home),
        Command::Export(export) => export.run(&home),
        Command::Bless(bless) => bless.run(&home),
        Command::Convert(convert) => convert.run(),
        Command::Bench(bench) => bench.run(&home),
        Command::Report(report) => report.run(&home),
        Command::Baseline(baseline) => baseline.run(&home),
        Command::Soak(soak) => soak.run(&home),
        Command::Doctor(doctor) => doctor.run(&home),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(EXIT_ERROR)
        }
    }
}

pub use bless::check_goldens;
pub use equip::equipment_for_tests;

/// The folder with corpus/, golden/ and runners/.
#[derive(Debug, Clone)]
pub struct Home {
    /// The folder.
    pub root: PathBuf,
}

impl Home {
    /// The folder of this checkout.
    pub fn of_checkout() -> Home {
        Home {
            root: default_home(),
        }
    }

    /// Every case of the corpus.
    ///
    /// # Errors
    ///
    /// As [`Corpus::read`].
    pub fn corpus(&self) -> anyhow::Result<Corpus> {
        let corpus = Corpus::read(&self.root.join("corpus"))?;
        anyhow::ensure!(
            !corpus.cases.is_empty(),
            "no cases in `{}`: give the project's folder with --home",
            self.root.join("corpus").display()
        );
        Ok(corpus)
    }

    /// Every case of the corpus, and the scale families whose ids are wanted.
    ///
    /// # Errors
    ///
    /// As [`Corpus::read`].
    pub fn corpus_with_families(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Corpus> {
        let mut corpus = self.corpus()?;
        corpus.add_families(wanted)?;
        Ok(corpus)
    }

    /// The text of an expected tree of a case: the golden, or for a scale family the model's.
    fn expected(&self, case: &Case, golden: &str, layers: &[Layer]) -> anyhow::Result<String> {
        if case.is_family() {
            let tree = tree::apply_layers(layers, case.parent_mtime_kept)?;
            return Ok(mtree::print(&tree, &[]));
        }
        Ok(fs_err::read_to_string(self.golden(golden))?)
    }

    /// The text a case is authored as; that of a scale family lacks the layers, which code makes.
    fn authored(&self, case: &Case) -> anyhow::Result<String> {
        if let Some(family) = Family::find(&case.id) {
            return Ok(family.text.to_owned());
        }
        let file = self
            .root
            .join("corpus")
            .join(format!("{}.toml", case.origin()));
        Ok(fs_err::read_to_string(file)?)
    }

    /// Where a golden stands.
    pub fn golden(&self, name: &str) -> PathBuf {
        self.root.join("golden").join(format!("{name}.mtree"))
    }

    /// The tool roots that `ci setup` makes.
    pub fn tools(&self) -> Tools {
        Tools::Roots(self.root.join("target").join("tools"))
    }

    /// Where work in progress, caches and kept failures go.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("target").join("harness")
    }

    /// Where the manifest digests are pinned.
    pub fn pins(&self) -> PathBuf {
        self.root.join("golden").join("digests")
    }
}

/// The case of an id, or an error that says what is near.
fn find<'a>(corpus: &'a Corpus, id: &str) -> anyhow::Result<&'a Case> {
    corpus
        .find(id)
        .with_context(|| match near(corpus, id).as_slice() {
            [] => format!("no case `{id}`; `harness list` prints them all"),
            near => format!("no case `{id}`; near it: {}", near.join(", ")),
        })
}

/// The variant of an id; `None` where the id is not that of a variant.
fn find_variant(corpus: &Corpus, id: &str) -> anyhow::Result<Option<Variant>> {
    let (case, setting) = split_id(id);
    if setting.is_none() {
        return Ok(None);
    }
    find(corpus, case)?;
    corpus
        .variant(id)
        .transpose()
        .with_context(|| format!("failed to find `{id}`"))
}

/// The ids that somebody who typed `id` may have meant: those that contain its last part, then those
/// that are spelled nearly so, with or without the folder.
fn near<'a>(corpus: &'a Corpus, id: &str) -> Vec<&'a str> {
    const MOST: usize = 5;
    const LIKENESS: f32 = 0.7;
    let last = |id: &'a str| id.rsplit('/').next().unwrap_or(id);
    let ids: Vec<&str> = corpus.cases.iter().map(|case| case.id.as_str()).collect();
    let part = id.rsplit('/').next().unwrap_or(id);
    let mut near: Vec<&str> = ids.iter().copied().filter(|id| id.contains(part)).collect();
    near.extend(similar::get_close_matches(id, &ids, MOST, LIKENESS));
    let names: Vec<&str> = ids.iter().copied().map(last).collect();
    for name in similar::get_close_matches(part, &names, MOST, LIKENESS) {
        near.extend(ids.iter().copied().filter(|id| last(id) == name));
    }
    let mut seen = std::collections::BTreeSet::new();
    near.retain(|id| seen.insert(*id));
    near.truncate(MOST);
    near
}

fn default_home() -> PathBuf {
    // Compiled in, so that the command works from any folder of the machine it was built on.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Writes to standard output; a reader that went away ends the command quietly.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("failed to write to standard output"),
    }
}

/// Says on standard error why a command failed; where that is closed, the exit code still does.
fn complain(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "harness: {what}");
}
