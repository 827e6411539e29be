//! One self-contained page: who passes what, and for every case what was asked and what came of it.
//!
//! All that needs no filter is plain HTML; the matrix and the cases are data, drawn by one script. Nothing is
//! fetched, and a policy in the page forbids it: the only script that may run is the one whose digest it
//! states. Texts from images reach the page as data only, with characters that would act made visible.

mod data;
mod safe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::score::{KINDS, LEVELS, Score, stages, stated, trials_of};
use super::{Record, Report};
use data::{Detail, json};
use safe::text;

/// The HTML report.
#[derive(Default)]
pub struct Html {
    /// What a checkout says of the cases, by id; of others the page has what the record has.
    pub cases: BTreeMap<String, CaseText>,
}

/// What a checkout says of a case.
#[derive(Debug, Clone, Default)]
pub struct CaseText {
    /// Whether it is held back.
    pub embargo: bool,
    /// Where it was met.
    pub bugs: Vec<String>,
    /// Who is wrong and why.
    pub note: Option<String>,
    /// Why it must be rejected, or why there is no verdict.
    pub because: Option<String>,
    /// The case file.
    pub source: String,
    /// The expected trees: name and mtree(5) text.
    pub trees: Vec<(String, String)>,
}

/// The bytes a page may have; findings are shortened until it fits.
const PAGE_MAX: usize = 6_000_000;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

impl Report for Html {
    fn render(&self, record: &Record) -> String {
        let fixed = format!("{}{}", head(record), body(record));
        for detail in Detail::STEPS {
            let data = json(record, &self.cases, detail);
            if fixed.len() + data.len() + SCRIPT.len() <= PAGE_MAX || detail == Detail::LEAST {
                return format!(
                    "{fixed}<script type=\"application/json\" id=\"data\">{data}</script>\n\
                     <script>{SCRIPT}</script>\n</body>\n</html>\n"
                );
            }
        }
        unreachable!("the least detail is one of the steps")
    }
}

fn head(record: &Record) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = data_encoding::BASE64.encode(&Sha256::digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; \
         base-uri 'none'; form-action 'none'"
    );
    let fault = match &record.fault {
        Some(fault) => format!(" ({fault})"),
        None => String::new(),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>Conformance of OCI rootfs converters{}</title>\n<style>\n{STYLE}</style>\n</head>\n",
        text(&fault)
    )
}

fn body(record: &Record) -> String {
    let cases: std::collections::BTreeSet<&str> = record
        .trials
        .iter()
        .map(|trial| trial.case.as_str())
        .collect();
    format!(
        "<body>\n<a class=\"jump\" href=\"#matrix\">To the matrix</a>\n<header>\n\
         <h1>Conformance of OCI rootfs converters</h1>\n\
         <p>{} and {}: what each makes of images that OCI tools are known to get wrong.</p>\n{}</header>\n\
         <main>\n<div id=\"overview\">\n{}{}{}\
         <section id=\"matrix\" aria-labelledby=\"matrix-title\">\n<h2 id=\"matrix-title\">Cases</h2>\n\
         <noscript><p>The matrix and the single cases need JavaScript; nothing is fetched.</p></noscript>\n\
         </section>\n</div>\n<div id=\"case\" hidden></div>\n</main>\n",
        count(record.chains.len(), "converter"),
        count(cases.len(), "case"),
        warnings(record),
        made_with(record),
        scores(record),
        legend(),
    )
}

fn warnings(record: &Record) -> String {
    let mut out = String::new();
    if record.with_embargoed {
        out.push_str(
            "<p class=\"warning\"><strong>Not for the public.</strong> This page tells embargoed \
             findings: the record was made with <code>--with-embargoed</code>.</p>\n",
        );
    }
    if let Some(fault) = &record.fault {
        out.push_str(&format!(
            "<p class=\"warning\"><strong>Something went wrong on purpose</strong> in every conversion: \
             <code>{}</code>.</p>\n",
            text(fault)
        ));
    }
    out
}

fn made_with(record: &Record) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        rows.push_str(&format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
            text(name),
            text(value)
        ));
    };
    row("harness", &record.harness);
    for stage in stages(record) {
        let stated = match stated(stage) {
            stated if stated.is_empty() => "states no version".to_owned(),
            stated => stated,
        };
        row(&stage.name, &stated);
    }
    row("machine", &record.machine);
    row("containment", &record.containment);
    row("fault", record.fault.as_deref().unwrap_or("none"));
    let stages = count(stages(record).len(), "tool");
    format!(
        "<details class=\"made\"><summary>Versions of {stages}, machine, containment</summary>\n\
         <table>\n{rows}</table></details>\n"
    )
}

fn scores(record: &Record) -> String {
    let mut rows = String::new();
    let mut kinds_seen = [false; KINDS.len()];
    for trial in &record.trials {
        if let Some(finding) = trial.findings.first()
            && let Some(kind) = KINDS.iter().position(|kind| *kind == finding.kind)
        {
            kinds_seen[kind] = true;
        }
    }
    let kinds: Vec<usize> = (0..KINDS.len()).filter(|kind| kinds_seen[*kind]).collect();
    for chain in &record.chains {
        rows.push_str(&score_row(record, &chain.name, &kinds));
    }
    let levels: String = LEVELS
        .iter()
        .map(|level| format!("<th scope=\"col\">{level}</th>"))
        .collect();
    let kinds: String = kinds
        .into_iter()
        .map(|kind| {
            let word = KINDS[kind];
            format!("<th scope=\"col\" class=\"kind\">{}{word}</th>", mark(word))
        })
        .collect();
    format!(
        "<section aria-labelledby=\"scores-title\">\n<h2 id=\"scores-title\">Scores</h2>\n\
         <p>Passed of decided, by how binding the case is; then what fails, by its worst finding, the worst \
         kind first. A known failure is a failure.</p>\n\
         <div class=\"scroll scores\" tabindex=\"0\" role=\"region\" aria-label=\"Scores\">\n\
         <table id=\"scores\">\n<thead><tr><th scope=\"col\">converter</th>{levels}{kinds}\
         <th scope=\"col\">skipped</th><th scope=\"col\">error</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n"
    )
}

fn score_row(record: &Record, chain: &str, kinds: &[usize]) -> String {
    let mut row = format!("<tr><th scope=\"row\">{}</th>", text(chain));
    for level in LEVELS {
        let trials = trials_of(record, chain).filter(|trial| trial.level == level);
        let score = Score::of(trials);
        match score.decided {
            0 => row.push_str("<td class=\"none\">–</td>"),
            decided => row.push_str(&format!(
                "<td class=\"level\"><span class=\"share\"><b>{}</b>/{decided}</span>\
                 <progress value=\"{}\" max=\"{decided}\"></progress></td>",
                score.passed, score.passed
            )),
        }
    }
    let score = Score::of(trials_of(record, chain));
    for &kind in kinds {
        match score.kinds.get(&(kind, KINDS[kind])) {
            None => row.push_str("<td class=\"none\">·</td>"),
            Some(count) => row.push_str(&format!(
                "<td class=\"count\" data-chain=\"{}\" data-kind=\"{}\">{count}</td>",
                text(chain),
                KINDS[kind]
            )),
        }
    }
    for count in [score.skipped, score.errors] {
        match count {
            0 => row.push_str("<td class=\"none\">·</td>"),
            count => row.push_str(&format!("<td class=\"count\">{count}</td>")),
        }
    }
    row + "</tr>\n"
}

fn legend() -> String {
    const MEANINGS: [(&str, &str); 15] = [
        ("escape", "something outside the output changed"),
        ("silent", "exit 0 and the tree is wrong, or does not boot"),
        ("corrupt", "the filesystem is damaged"),
        ("accepted", "should have been rejected"),
        ("crash", "death by a signal"),
        ("timeout", "not done in time"),
        ("resource", "used more than its share"),
        ("rejected", "should have been accepted"),
        ("unstable", "two runs differ"),
        ("unclean", "left something behind"),
        ("pass", "as it should be"),
        ("skip", "not checked"),
        ("fixed", "known to fail, and passes"),
        ("error", "the harness failed, not the tool"),
        ("none", "not asked"),
    ];
    let items: String = MEANINGS
        .iter()
        .map(|(word, meaning)| format!("<li>{}<b>{word}</b> {meaning}</li>\n", mark(word)))
        .collect();
    format!(
        "<section aria-labelledby=\"legend-title\">\n<h2 id=\"legend-title\">Legend</h2>\n\
         <ul class=\"legend\">\n{items}\
         <li><span class=\"mark silent new\" aria-hidden=\"true\">S</span><b>framed</b> a failure nobody has \
         explained yet; without a frame it is a known one</li>\n\
         <li><span class=\"mark pass\" aria-hidden=\"true\">a</span><b>a, b, c …</b> the spec is silent: tools \
         with the same letter gave the same answer</li>\n</ul>\n</section>\n"
    )
}

/// The sign of a kind or a verdict; its word stands beside it.
fn mark(word: &str) -> String {
    format!(
        "<span class=\"mark {word}\" aria-hidden=\"true\">{}</span>",
        data::sign(word)
    )
}

fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
