//! The conformance trials: the model against every golden, all variants of a case asked of the model and of
//! native in this process (`variants/case`), then every case, and chosen variants, through the gated
//! converters. Named `converter/case`, filterable and listable; nextest runs them too.
//!
//! `HARNESS_REQUIRE=all` (or a list of root, tool, boot, fsck, contain) turns what could not be checked
//! into failures; `.ci/run` does so. Without it the trials that cannot run here pass as ignored, and the
//! last lines say how many and why.
//!
//! Of the converters of the tool roots six are asked the cases of `golden/kill-matrix` that are enough to find
//! every fault, and each of the others a thirteenth of them, another than the one before it, so that all
//! together are asked all; `harness run --all` asks everybody everything. A tool that was not made, or is of a version whose
//! failures nobody has looked at, is said and not gated: one of the roots is of a suite that moves.
//!
//! `HARNESS_SCALE=1` adds the scale families for the converters that read layouts, and holds the model's tree
//! of each to its hand-counted size. They take minutes, a gigabyte of disk and half of one of memory.

mod variants;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use harness::case::{Case, Corpus, Family};
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

/// The converters of the tool roots that are asked all that is enough to find every fault.
const ASKED_ENOUGH: [&str; 6] = [
    "umoci@sid",
    "umoci-rootless",
    "umoci-rootless@sid",
    "umoci-unpack",
    "umoci-unpack@sid",
    "native+mksquashfs",
];
/// Of how many of those cases each other converter of the tool roots is asked one.
const PORTION: usize = 13;

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
        // A variant is only asked of the converters it was chosen for.
        let is_asked = |chain: &str, case: &str| {
            let converters = asked_of.get(case);
            converters.is_none_or(|asked| asked.contains(&chain))
        };
        add_trials(&mut trials, &suite, &is_asked, &unchecked);
    }
    add_rooted(&mut trials, home, &runners, &corpus, &unchecked, list_only)?;
    Ok((trials, unchecked))
}

/// The trials of all other converters that have a program here.
fn add_rooted(
    trials: &mut Vec<Trial>,
    home: &Home,
    runners: &Runners,
    corpus: &Corpus,
    unchecked: &Unchecked,
    list_only: bool,
) -> anyhow::Result<()> {
    let golden = home.root.join("golden");
    let ids = enough(&fs_err::read_to_string(golden.join("kill-matrix"))?)?;
    let questions: Vec<Question> = corpus
        .cases
        .iter()
        .filter(|case| ids.contains(&case.id))
        .map(|case| Question::of_case(case, &golden))
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(
        questions.len() == ids.len(),
        "golden/kill-matrix names a case that is not there"
    );
    let mut chains = runners.all_chains()?;
    chains.retain(|chain| !GATED.contains(&chain.name.as_str()));
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_harness"));
    let boots = !list_only && chains.iter().any(|chain| chain.format().is_filesystem());
    let equipment = equipment_for_tests(home, helper, boots)?;
    chains.retain(|chain| {
        let mut lacks = chain
            .stages
            .iter()
            .filter_map(|stage| equipment.lacks(stage));
        let lack = lacks.next();
        if let Some(lack) = &lack {
            note(unchecked, "tool", lack, questions.len());
        }
        lack.is_none()
    });
    let forbidden = required()?;
    let forbidden = forbidden.into_iter().filter(|one| *one != Reason::Tool);
    let mut suite = Suite::new(chains, questions, equipment, forbidden.collect());
    let unrated: Vec<String> = suite
        .chains
        .iter()
        .filter_map(|chain| {
            let (stage, version) = suite.unrated(chain)?;
            let rated = stage.expectations.rated.join(", ");
            let cause = match rated.is_empty() {
                true => format!(
                    "nobody has finished looking at the failures of {}",
                    stage.name
                ),
                false => format!("{} is `{version}`; looked at were {rated}", stage.name),
            };
            note(unchecked, "version", &cause, suite.questions.len());
            Some(chain.name.clone())
        })
        .collect();
    suite.chains.retain(|chain| !unrated.contains(&chain.name));
    add_portions(trials, &Arc::new(suite), unchecked);
    Ok(())
}

/// The trials of a suite of which most converters are asked a portion each.
fn add_portions(trials: &mut Vec<Trial>, suite: &Arc<Suite>, unchecked: &Unchecked) {
    let places: Vec<&str> = suite.chains.iter().map(|one| one.name.as_str()).collect();
    let ids: Vec<&str> = suite.questions.iter().map(|one| one.id.as_str()).collect();
    let is_asked = |chain: &str, case: &str| {
        let place = |of: &[&str], name: &str| of.iter().position(|one| *one == name);
        let (chain_place, case_place) = (place(&places, chain), place(&ids, case));
        let is_its_turn = chain_place
            .zip(case_place)
            .is_some_and(|(a, b)| a % PORTION == b % PORTION);
        ASKED_ENOUGH.contains(&chain) || is_its_turn
    };
    add_trials(trials, suite, &is_asked, unchecked);
}

/// The cases that the kill matrix gives as enough.
fn enough(matrix: &str) -> anyhow::Result<BTreeSet<String>> {
    let (_, section) = matrix
        .split_once("\n## Enough to find every fault")
        .context("golden/kill-matrix has no section of cases that are enough")?;
    let lines = section
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("##"));
    let ids = lines.filter(|line| !line.is_empty() && !line.starts_with(' '));
    Ok(ids.map(str::to_owned).collect())
}

/// A trial for each of the suite's that is asked, and for each family one of the model itself.
fn add_trials(
    trials: &mut Vec<Trial>,
    suite: &Arc<Suite>,
    is_asked: &dyn Fn(&str, &str) -> bool,
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
        if !is_asked(&trial.chain.name, &trial.question.id) {
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
        with_embargoed: false,
        trials: vec![record],
    };
    Err(Failed::from(Text { verbose: false }.render(&record)))
}

/// Counts trials in which something could not be checked.
fn note(unchecked: &Unchecked, reason: &str, cause: &str, trials: usize) {
    let mut unchecked = unchecked.lock().expect("no panic holds it");
    let key = (reason.to_owned(), cause.to_owned());
    *unchecked.entry(key).or_default() += trials;
}

fn note_unchecked(unchecked: &Unchecked, record: &TrialRecord) {
    for (reason, cause) in &record.unchecked {
        note(unchecked, reason, cause, 1);
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
