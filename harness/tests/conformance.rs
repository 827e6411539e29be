//! The conformance trials: the model against every golden, all variants of a case asked of the model and of
//! native in this process (`variants/case`), then every case, and chosen variants, through the gated
//! converters. Named `converter/case`, filterable and listable; nextest runs them too.
//!
//! `HARNESS_REQUIRE=all` (or a list of root, tool, boot, fsck, contain) turns what could not be checked
//! into failures; `.ci/run` does so. Without it the trials that cannot run here pass as ignored, and the
//! last lines say how many and why.

mod variants;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use harness::check::{Question, Reason};
use harness::command::{Home, equipment_for_tests};
use harness::report::{Record, Report as _, Text, TrialRecord};
use harness::runner::{Chain, Runners};
use harness::suite::{Suite, check_expectations};
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
    let corpus = home.corpus()?;
    let runners = Runners::read(&home.root.join("runners"))?;
    check_expectations(&runners, |id| corpus.has(id)).map_err(anyhow::Error::msg)?;
    let unchecked = Unchecked::default();
    let mut trials: Vec<Trial> = Vec::new();
    for case in corpus.cases.clone() {
        let home = home.clone();
        trials.push(Trial::test(format!("model/{}", case.id), move || {
            harness::command::check_goldens(&case, &home).map_err(Failed::from)
        }));
    }
    let golden = home.root.join("golden");
    for case in corpus.cases.clone() {
        let golden = golden.clone();
        trials.push(Trial::test(format!("variants/{}", case.id), move || {
            variants::check(&case, &golden, &variants::native)?;
            Ok(())
        }));
    }
    let mut questions: Vec<Question> = corpus
        .cases
        .iter()
        .map(|case| Question::of_case(case, &golden))
        .collect::<anyhow::Result<_>>()?;
    let mut asked_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (chain, cases) in &variants::CHOSEN {
        for variant in variants::chosen(&corpus, cases)? {
            let converters = asked_of.entry(variant.case.id.clone()).or_default();
            if converters.is_empty() {
                questions.push(Question::of_variant(&variant, &golden)?);
            }
            converters.push(chain);
        }
    }
    let chains: Vec<Chain> = GATED
        .iter()
        .map(|name| Ok(runners.chain(name)?))
        .collect::<anyhow::Result<_>>()?;
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_harness"));
    let equipment = equipment_for_tests(home, helper, !list_only)?;
    let suite = Arc::new(Suite::new(chains, questions, equipment, required()?));
    for (index, trial) in suite.trials().iter().enumerate() {
        let converters = asked_of.get(&trial.question.id);
        if converters.is_some_and(|asked| !asked.contains(&trial.chain.name.as_str())) {
            continue;
        }
        let (suite, unchecked) = (Arc::clone(&suite), Arc::clone(&unchecked));
        trials.push(Trial::ignorable_test(trial.name(), move || {
            let record = suite.run_one(&suite.trials()[index]);
            note_unchecked(&unchecked, &record);
            complete(record)
        }));
    }
    Ok((trials, unchecked))
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
