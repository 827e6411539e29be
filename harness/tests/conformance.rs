//! The conformance trials: the model against every golden, all variants of a case asked of the model and of
//! native in this process (`variants/case`), then every case, and chosen variants, through the gated
//! converters. Named `converter/case`, filterable and listable; nextest runs them too.
//!
//! `HARNESS_REQUIRE=all` (or a list of root, tool, boot, fsck, contain) turns what could not be checked
//! into failures; `.ci/run` does so. Without it the trials that cannot run here pass as ignored, and the
//! last lines say how many and why.
//!
//! `HARNESS_SCALE=1` adds the scale families for the converters that read layouts, and holds the model's tree
//! of each to its hand-counted size. They take minutes, a gigabyte of disk and half of one of memory.

mod variants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use harness::case::{Case, Family};
use harness::check::{Question, Reason, Wanted};
use harness::command::{Home, equipment_for_tests};
use harness::report::{Record, Report as _, Text, TrialRecord};
use harness::runner::{Chain, Runners};
use harness::suite::{Suite, check_expectations};
use harness::tree::Tree;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The converters `cargo test` gates, where their programs are installed.
const GATED: [&str; 7] = [
    "native",
    "native-tar",
    "native+mkfs.ext4",
    "native+mkfs.erofs",
    "umoci",
    "umoci+mkfs.erofs",
    "umoci+mkfs.ext4",
];

/// The converters that are asked the scale families.
const SCALED: [&str; 3] = ["native", "native-tar", "umoci"];
/// How many paths the shell's base layer has.
const BASE_PATHS: usize = 15;

/// What was not checked: reason and cause, with the number of trials.
type Unchecked = Arc<Mutex<BTreeMap<(String, String), usize>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two machines at a time on two cores; more only makes each slower.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    arguments.test_threads = arguments.test_threads.or(Some(cores));
    let home = Home::of_checkout();
    match plan(&home, arguments.list) {
        Ok((trials, unchecked)) => {
            let conclusion = libtest_mimic::run(&arguments, trials);
            say_unchecked(&unchecked);
            conclusion.exit_code()
        }
        Err(error) => {
            say(&format!(
                "the conformance trials cannot be planned: {error:#}"
            ));
            ExitCode::from(2)
        }
    }
}

fn plan(home: &Home, list_only: bool) -> anyhow::Result<(Vec<Trial>, Unchecked)> {
    let scaled = std::env::var("HARNESS_SCALE").is_ok_and(|value| value == "1");
    let corpus = home.corpus_with_families(|_| scaled)?;
    let runners = Runners::read(&home.root.join("runners"), &home.tools())?;
    check_expectations(&runners, |id| corpus.knows(id)).map_err(anyhow::Error::msg)?;
    let (families, cases): (Vec<Case>, Vec<Case>) =
        corpus.cases.iter().cloned().partition(Case::is_family);
    let mut trials: Vec<Trial> = Vec::new();
    for case in cases.clone() {
        let home = home.clone();
        trials.push(Trial::test(format!("model/{}", case.id), move || {
            harness::command::check_goldens(&case, &home).map_err(Failed::from)
        }));
    }
    let unchecked = Unchecked::default();
    let golden = home.root.join("golden");
    for case in cases.clone() {
        let golden = golden.clone();
        trials.push(Trial::test(format!("variants/{}", case.id), move || {
            variants::check(&case, &golden, &variants::native)?;
            Ok(())
        }));
    }
    let mut asked_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut varied: Vec<Question> = Vec::new();
    for (chain, cases) in &variants::CHOSEN {
        for variant in variants::chosen(&corpus, cases)? {
            let converters = asked_of.entry(variant.case.id.clone()).or_default();
            if converters.is_empty() {
                varied.push(Question::of_variant(&variant, &golden)?);
            }
            converters.push(chain);
        }
    }
    let planned = [
        (&GATED[..], cases, varied),
        (&SCALED[..], families, Vec::new()),
    ];
    for (names, cases, varied) in planned
        .into_iter()
        .filter(|(_, cases, _)| !cases.is_empty())
    {
        let mut questions: Vec<Question> = cases
            .iter()
            .map(|case| Question::of_case(case, &golden))
            .collect::<anyhow::Result<_>>()?;
        questions.extend(varied);
        let chains: Vec<Chain> = names
            .iter()
            .map(|name| Ok(runners.chain(name)?))
            .collect::<anyhow::Result<_>>()?;
        let helper = PathBuf::from(env!("CARGO_BIN_EXE_harness"));
        let boots = !list_only && chains.iter().any(|chain| chain.format().is_filesystem());
        let equipment = equipment_for_tests(home, helper, boots)?;
        let suite = Arc::new(Suite::new(chains, questions, equipment, required()?));
        add_trials(&mut trials, &suite, &asked_of, &unchecked);
    }
    Ok((trials, unchecked))
}

/// A trial for each of the suite's, and for each family one of the model itself.
/// A variant is only asked of the converters it was chosen for.
fn add_trials(
    trials: &mut Vec<Trial>,
    suite: &Arc<Suite>,
    asked_of: &BTreeMap<String, Vec<&str>>,
    unchecked: &Unchecked,
) {
    for (index, question) in suite.questions.iter().enumerate() {
        if let Some(family) = Family::find(&question.id) {
            let suite = Arc::clone(suite);
            trials.push(Trial::test(format!("model/{}", family.id), move || {
                check_size(family, &suite.questions[index].wanted)
            }));
        }
    }
    for (index, trial) in suite.trials().iter().enumerate() {
        let converters = asked_of.get(&trial.question.id);
        if converters.is_some_and(|asked| !asked.contains(&trial.chain.name.as_str())) {
            continue;
        }
        let (suite, unchecked) = (Arc::clone(suite), Arc::clone(unchecked));
        trials.push(Trial::ignorable_test(trial.name(), move || {
            let record = suite.run_one(&suite.trials()[index]);
            note_unchecked(&unchecked, &record);
            complete(record)
        }));
    }
}

/// Whether the model's trees have as many paths as a person counted.
fn check_size(family: &Family, wanted: &Wanted) -> Result<(), Failed> {
    let trees: Vec<&Tree> = match wanted {
        Wanted::Tree(tree) => vec![tree],
        Wanted::OneOf { trees, .. } => trees.iter().map(|(_, tree)| tree).collect(),
        Wanted::Reject { .. } | Wanted::Record => Vec::new(),
    };
    if trees.is_empty() {
        return Err(Failed::from("no tree is expected"));
    }
    for tree in trees {
        let (got, want) = (tree.len(), BASE_PATHS + family.paths);
        if got != want {
            return Err(Failed::from(format!(
                "{got} paths in the model's tree, not {want}"
            )));
        }
    }
    Ok(())
}

fn complete(record: TrialRecord) -> Result<Completion, Failed> {
    if record.verdict == "skip" {
        let causes: Vec<_> = record.unchecked.into_values().collect();
        return Ok(Completion::ignored_with(causes.join("; ")));
    }
    if !record.is_red() {
        return Ok(Completion::Completed);
    }
    let record = Record {
        harness: String::new(),
        chains: Vec::new(),
        machine: String::new(),
        containment: String::new(),
        fault: None,
        profile: None,
        trials: vec![record],
    };
    Err(Failed::from(Text { verbose: false }.render(&record)))
}

fn note_unchecked(unchecked: &Unchecked, record: &TrialRecord) {
    let mut unchecked = unchecked.lock().expect("no panic holds it");
    for (reason, cause) in &record.unchecked {
        *unchecked
            .entry((reason.clone(), cause.clone()))
            .or_default() += 1;
    }
}

fn say_unchecked(unchecked: &Unchecked) {
    for ((reason, cause), count) in unchecked.lock().expect("no panic holds it").iter() {
        say(&format!("not checked in {count} trials: {reason}: {cause}"));
    }
}

/// The skips that `HARNESS_REQUIRE` forbids.
fn required() -> anyhow::Result<Vec<Reason>> {
    let words = std::env::var("HARNESS_REQUIRE").unwrap_or_default();
    if words == "all" {
        return Ok(Reason::ALL
            .into_iter()
            .filter(|reason| *reason != Reason::Capability)
            .collect());
    }
    let words = words.split(',').filter(|word| !word.is_empty());
    words
        .map(|word| word.parse().map_err(anyhow::Error::msg))
        .collect()
}

#[expect(clippy::print_stderr, reason = "a test's own voice")]
fn say(line: &str) {
    eprintln!("{line}");
}
