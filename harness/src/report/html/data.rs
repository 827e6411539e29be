//! The data of the page, as compact JSON: every text stands in it once, and so does every result.
//!
//! `strings` holds the texts and everything else their numbers; `results` holds what a cell can say, and
//! the row of a case the number of a result for each chain, or -1 where it was not asked.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::score::{KINDS, VERDICTS, select, stated, word};
use super::super::{EMBARGOED, FindingRecord, Record, TrialRecord, visible};
use super::CaseText;
use super::safe::{script, shortened};

/// How much of the findings stands in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detail {
    /// How many findings of one trial.
    findings_max: usize,
    /// How many characters of each.
    chars_max: usize,
}

impl Detail {
    /// The least detail there is.
    pub(super) const LEAST: Detail = Detail::of(1, 100);
    /// From the most detail to the least.
    pub(super) const STEPS: [Detail; 5] = [
        Detail::of(20, 1000),
        Detail::of(10, 400),
        Detail::of(5, 200),
        Detail::of(2, 150),
        Detail::LEAST,
    ];

    const fn of(findings_max: usize, chars_max: usize) -> Detail {
        Detail {
            findings_max,
            chars_max,
        }
    }
}

/// The most characters of a title, a rule, a reason and the like.
const WORDS_MAX: usize = 2000;
/// The most bytes of a case file, and of an expected tree, that stand in the page.
const SOURCE_MAX: usize = 12_000;

/// The page's data.
pub(super) fn json(record: &Record, cases: &BTreeMap<String, CaseText>, detail: Detail) -> String {
    let mut pool = Pool::default();
    let chains: Vec<Value> = record
        .chains
        .iter()
        .map(|chain| {
            let trial = record.trials.iter().find(|trial| trial.chain == chain.name);
            let stages = chain.stages.iter().map(|stage| {
                let stated = visible(&shortened(&stated(stage), WORDS_MAX));
                json!([visible(&stage.name), stated])
            });
            json!({
                "name": visible(&chain.name),
                "select": visible(&select(record, &chain.name)),
                "format": trial.map_or_else(String::new, |trial| visible(&trial.format)),
                "stages": stages.collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut rows: BTreeMap<&str, BTreeMap<&str, &TrialRecord>> = BTreeMap::new();
    for trial in &record.trials {
        let row = rows.entry(&trial.case).or_default();
        row.insert(&trial.chain, trial);
    }
    let nothing = CaseText::default();
    let cases: Vec<Value> = rows
        .into_iter()
        .map(|(id, row)| {
            let cells = record.chains.iter().map(|chain| {
                let trial = row.get(chain.name.as_str());
                trial.map_or(-1, |trial| pool.result(trial, detail))
            });
            let cells: Vec<i64> = cells.collect();
            let trial = row.values().next().expect("a row has a trial");
            let text = cases.get(id).unwrap_or(&nothing);
            pool.case(trial, text, record.with_embargoed, cells)
        })
        .collect();
    let data = json!({
        "kinds": KINDS,
        "verdicts": VERDICTS,
        "signs": KINDS.iter().chain(&VERDICTS).map(|word| (*word, sign(word))).collect::<BTreeMap<_, _>>(),
        "findingsMax": detail.findings_max,
        "chains": chains,
        "cases": cases,
        "results": pool.results.items,
        "strings": pool.strings.items,
    });
    script(&data.to_string())
}

/// One character for a kind or a verdict, of which no two are the same.
pub(super) fn sign(word: &str) -> &'static str {
    match word {
        "escape" => "E",
        "silent" => "S",
        "corrupt" => "C",
        "accepted" => "A",
        "crash" => "X",
        "timeout" => "T",
        "resource" => "M",
        "rejected" => "R",
        "unstable" => "U",
        "unclean" => "L",
        "pass" => "·",
        "skip" => "–",
        "fixed" => "✓",
        "error" => "!",
        "none" => "\u{a0}",
        _ => "?",
    }
}

/// Values that each stand once, with their numbers.
struct Interned<T> {
    items: Vec<T>,
    numbers: BTreeMap<String, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned {
            items: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }
}

impl<T> Interned<T> {
    fn number(&mut self, key: String, item: impl FnOnce() -> T) -> usize {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        self.items.push(item());
        self.numbers.insert(key, self.items.len() - 1);
        self.items.len() - 1
    }
}

#[derive(Default)]
struct Pool {
    strings: Interned<String>,
    results: Interned<Value>,
}

impl Pool {
    fn string(&mut self, text: &str, chars_max: usize) -> usize {
        let text = visible(&shortened(text, chars_max));
        self.strings.number(text.clone(), || text)
    }

    fn words(&mut self, text: &str) -> usize {
        self.string(text, WORDS_MAX)
    }

    /// The number of what a cell says: word, verdict, findings, how many more there are, known failure,
    /// what was seen, what was not checked, answer, outcome, error, embargo.
    fn result(&mut self, trial: &TrialRecord, detail: Detail) -> i64 {
        let shown = trial.findings.iter().take(detail.findings_max);
        let findings: Vec<Value> = shown
            .map(|FindingRecord { kind, line }| {
                json!([self.words(kind), self.string(line, detail.chars_max)])
            })
            .collect();
        let more = trial.findings.len() - findings.len();
        let known = trial.known.as_ref().map(|known| {
            json!([
                self.words(&known.runner),
                self.words(&known.reason),
                self.words(&known.link)
            ])
        });
        let seen: Vec<usize> = trial.seen.iter().map(|seen| self.words(seen)).collect();
        let unchecked: Vec<Value> = trial
            .unchecked
            .iter()
            .map(|(reason, cause)| json!([self.words(reason), self.words(cause)]))
            .collect();
        let outcome = trial.outcome.as_deref().map(|name| self.words(name));
        let error = trial.error.as_deref().map(|error| self.words(error));
        let value = json!([
            self.words(word(trial)),
            self.words(&trial.verdict),
            findings,
            more,
            known,
            seen,
            unchecked,
            self.words(&trial.answer),
            outcome,
            error,
            u8::from(trial.embargo),
        ]);
        let number = self.results.number(value.to_string(), || value);
        i64::try_from(number).expect("a record has fewer trials")
    }

    fn case(
        &mut self,
        trial: &TrialRecord,
        text: &CaseText,
        with_embargoed: bool,
        cells: Vec<i64>,
    ) -> Value {
        let held_back = text.embargo && !with_embargoed || trial.title == EMBARGOED;
        let (title, rule) = match held_back {
            true => (EMBARGOED, place(&trial.rule)),
            false => (trial.title.as_str(), trial.rule.as_str()),
        };
        let mut case = json!({
            "id": visible(&trial.case),
            "title": visible(&shortened(title, WORDS_MAX)),
            "rule": visible(&shortened(rule, WORDS_MAX)),
            "level": visible(&trial.level),
            "expect": visible(&trial.expect),
            "cells": cells,
        });
        if held_back {
            case["embargo"] = json!(true);
        } else if !text.source.is_empty() {
            case["source"] = json!(visible(&shortened(&text.source, SOURCE_MAX)));
            case["bugs"] = json!(text.bugs.iter().map(|bug| visible(bug)).collect::<Vec<_>>());
            case["note"] = json!(text.note.as_deref().map(visible));
            case["because"] = json!(text.because.as_deref().map(visible));
            let trees = text.trees.iter();
            let trees: Vec<Value> = trees.map(|(name, tree)| self.tree(name, tree)).collect();
            case["trees"] = json!(trees);
        }
        case
    }

    /// A tree's name, its lines, and how many lines were left out.
    fn tree(&mut self, name: &str, tree: &str) -> Value {
        let mut bytes = 0;
        let mut lines = Vec::new();
        for line in tree.lines() {
            bytes += line.len().min(WORDS_MAX);
            if bytes > SOURCE_MAX {
                break;
            }
            lines.push(self.words(line));
        }
        let left_out = tree.lines().count() - lines.len();
        json!([visible(name), lines, left_out])
    }
}

/// The deciding place and its level, without the words that decide.
fn place(rule: &str) -> &str {
    rule.split_once(": \"").map_or(rule, |(place, _)| place)
}
