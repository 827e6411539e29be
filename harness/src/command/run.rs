//! `harness run`: the conformance run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;

use super::equip::{Equip, Require};
use super::interrupt::Unfinished;
use super::progress::Bar;
use super::{EXIT_GREEN, EXIT_RED, Home, find, find_variant};
use crate::case::variant::variants;
use crate::case::{Case, Command};
use crate::check::Question;
use crate::image;
use crate::report::{Json, Record, Report as _, Text};
use crate::runner::{
    Capability, Chain, Expectations, Format, Input, Need, Root, Runner, Runners, Typed,
};
use crate::suite::{Suite, check_expectations};

/// Runs cases through converters: converts, reads back, compares, checks, boots.
#[derive(Args)]
pub(super) struct Run {
    /// A converter, or several joined by `+`; may be given more than once [default: native].
    #[arg(long, value_name = "NAME")]
    converter: Vec<String>,
    /// A case by its id, `image/` may be left out; may be given more than once.
    #[arg(long, value_name = "ID")]
    image: Vec<String>,
    /// Exactly this case, or the variant CASE@AXIS=VALUE; may be given more than once.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// The scale families too: cases of many entries or layers, made on the fly.
    #[arg(long)]
    scale: bool,
    /// The variants of the cases instead of the cases; `harness list --variants` prints them.
    #[arg(long, conflicts_with = "layout")]
    variants: bool,
    /// An OCI image layout instead of the corpus; the model's tree is the expectation.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["image", "only", "filter"])]
    layout: Option<PathBuf>,
    /// The reference of the image in the layout.
    #[arg(long, value_name = "NAME", default_value = image::TAG)]
    reference: String,
    /// Ask the booted image's shell for more: a command and its exact output.
    #[arg(long, num_args = 2, value_names = ["COMMAND", "OUTPUT"], requires = "layout")]
    sh: Vec<String>,
    /// Only outputs of this format; may be given more than once. Otherwise a converter that makes a
    /// directory is also packed with every packer.
    #[arg(long, value_name = "FORMAT")]
    format: Vec<Format>,
    /// A converter that has no folder: a command with {layout}, {tag} and {out}.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "output",
        conflicts_with = "converter"
    )]
    command: Option<String>,
    /// What that command makes.
    #[arg(long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Every converter there is: extractors by themselves, packers behind native.
    #[arg(long, conflicts_with_all = ["converter", "command"])]
    all: bool,
    /// How many trials run at a time [default: two for each core, since the half of them waits for the kernel].
    #[arg(long, value_name = "N", default_value_t = default_jobs(), hide_default_value = true)]
    jobs: usize,
    /// Where to write the record of the run.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tell what embargoed findings are, in the record too; do not pass such a record on.
    #[arg(long)]
    with_embargoed: bool,
    /// List every trial, passed ones too.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    equip: Equip,
    #[command(flatten)]
    require: Require,
    /// Only trials whose name, `converter/case`, contains this text.
    filter: Option<String>,
}

impl Run {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let runners = self.runners(home)?;
        let mut chains = self.chains(&runners)?;
        let mut questions = self.questions(home, &runners, &chains)?;
        if let Some(filter) = &self.filter {
            let hit = |chain: &Chain, question: &Question| {
                format!("{}/{}", chain.name, question.id).contains(filter.as_str())
            };
            chains.retain(|chain| questions.iter().any(|question| hit(chain, question)));
            questions.retain(|question| chains.iter().any(|chain| hit(chain, question)));
        }
        anyhow::ensure!(
            !chains.is_empty() && !questions.is_empty(),
            "nothing matches; `harness list` prints all cases, runners/ has all converters"
        );
        let equipment = self
            .equip
            .equipment(home, chains.iter().any(|c| c.format().is_booted()))?;
        let folders = [&equipment.work, &*equipment.temporary];
        let _unfinished = folders.map(|folder| Unfinished::new(folder.path()));
        let mut suite = Suite::new(chains, questions, equipment, self.require.reasons());
        suite.with_embargoed = self.with_embargoed;
        let record = self.run_suite(&suite);
        let json = match &self.json {
            Some(path) => path.clone(),
            None => home.scratch().join("run.json"),
        };
        if let Some(folder) = json
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder)?;
        }
        fs::write(&json, Json.render(&record))?;
        super::print(
            &Text {
                verbose: self.verbose,
            }
            .render(&record),
        )?;
        let red = record.trials.iter().any(|trial| trial.is_red());
        Ok(if red { EXIT_RED } else { EXIT_GREEN })
    }

    fn run_suite(&self, suite: &Suite) -> Record {
        let bar = Bar::new(suite);
        let record = suite.run(self.jobs, &|progress| bar.tell(progress));
        bar.finish();
        record
    }

    fn runners(&self, home: &Home) -> anyhow::Result<Runners> {
        let mut runners = Runners::read(&home.root.join("runners"), &self.equip.tools(home))?;
        if let (Some(command), Some(output)) = (&self.command, self.output) {
            runners.add(typed(command, output)?);
        }
        Ok(runners)
    }

    fn chains(&self, runners: &Runners) -> anyhow::Result<Vec<Chain>> {
        let names: Vec<String> = match &self.command {
            Some(_) => vec!["command".to_owned()],
            None if self.converter.is_empty() => vec!["native".to_owned()],
            None => self.converter.clone(),
        };
        let mut chains = Vec::new();
        if self.all {
            chains = runners.all_chains()?;
        } else {
            for name in &names {
                let chain = runners.chain(name)?;
                let packed = runners.packed(&chain);
                chains.push(chain);
                chains.extend(packed);
            }
        }
        if !self.format.is_empty() {
            chains.retain(|chain| self.format.contains(&chain.format()));
            let formats: Vec<&str> = self.format.iter().map(|format| format.word()).collect();
            anyhow::ensure!(
                !chains.is_empty(),
                "{} makes no {}",
                names.join(", "),
                formats.join(", ")
            );
        }
        Ok(chains)
    }

    fn questions(
        &self,
        home: &Home,
        runners: &Runners,
        chains: &[Chain],
    ) -> anyhow::Result<Vec<Question>> {
        if let Some(layout) = &self.layout {
            let (pairs, _) = self.sh.as_chunks::<2>();
            let run = pairs.iter().map(|[command, output]| Command {
                command: command.clone(),
                output: format!("{}\n", output.trim_end_matches('\n')),
            });
            let question = Question::of_layout(layout, &self.reference, run.collect())?;
            return Ok(vec![question]);
        }
        let is_named = |id: &str| self.image.iter().chain(&self.only).any(|name| name == id);
        let corpus = home.corpus_with_families(|id| {
            let mut names = chains.iter().map(|chain| format!("{}/{id}", chain.name));
            let filter = self.filter.as_deref().unwrap_or_default();
            is_named(id) || self.scale && names.any(|name| name.contains(filter))
        })?;
        check_expectations(runners, |id| corpus.knows(id)).map_err(anyhow::Error::msg)?;
        let golden = home.root.join("golden");
        let mut questions = Vec::new();
        let mut cases: Vec<&Case> = Vec::new();
        for id in self.image.iter().chain(&self.only) {
            match find_variant(&corpus, id)? {
                Some(variant) => questions.push(Question::of_variant(&variant, &golden)?),
                None => cases.push(find(&corpus, id)?),
            }
        }
        if questions.is_empty() && cases.is_empty() {
            cases = corpus.cases.iter().collect();
        }
        for case in cases {
            questions.extend(self.questions_of(case, &golden)?);
        }
        Ok(questions)
    }

    /// The question of a case, or those of its variants.
    fn questions_of(&self, case: &Case, golden: &Path) -> anyhow::Result<Vec<Question>> {
        if !self.variants {
            return Ok(vec![Question::of_case(case, golden)?]);
        }
        variants(case)
            .filter_map(|(_, _, variant)| variant.ok())
            .map(|variant| Question::of_variant(&variant, golden))
            .collect()
    }
}

/// The runner of a command line, which the shell of the container gets in the folder it was typed in.
fn typed(command: &str, output: Format) -> anyhow::Result<Runner> {
    anyhow::ensure!(command.contains("{out}"), "the command must name {{out}}");
    let here = std::env::current_dir().context("failed to find the current folder")?;
    // A container has a /tmp of its own; there the folder is the second input.
    let is_hidden = here.starts_with("/tmp");
    let folder = match is_hidden {
        true => "{in1}".to_owned(),
        false => here.display().to_string(),
    };
    let script = format!("cd \"$0\" && {command}");
    Ok(Runner {
        name: "command".to_owned(),
        plain_name: "command".to_owned(),
        folder: here.clone(),
        root: Root::Host,
        summary: command.to_owned(),
        input: Input::Layout,
        output,
        command: vec!["sh".to_owned(), "-c".to_owned(), script, folder],
        batch: None,
        version: Vec::new(),
        needs: Vec::<Need>::new(),
        state: Vec::new(),
        package: None,
        common: false,
        built: None,
        lacks: Vec::<Capability>::new(),
        sparse: false,
        shared_storage: false,
        waits: false,
        reproducible: false,
        profile: None,
        expectations: Expectations::default(),
        typed: Some(Typed {
            command: command.to_owned(),
            hidden_folder: is_hidden.then_some(here),
        }),
    })
}

fn default_jobs() -> usize {
    2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
