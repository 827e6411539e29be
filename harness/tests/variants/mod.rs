//! Every variant of a case, asked of the model and of the native extractor in this process.

use std::path::Path;

use harness::case::variant::{AXES, Variant, variant, variants};
use harness::case::{Case, Corpus};
use harness::check::direct::{Extract, ask, ask_model, scratch};
use harness::check::{Finding, Question};
use harness::tree::Tree;

/// The converters that work on disk, and the cases whose variants each is asked: of each value the first
/// that has it.
pub(crate) const CHOSEN: [(&str, [&str; 4]); 2] = [
    (
        "umoci",
        [
            "opaque/first",
            "image/python",
            "whiteout/with-leading-dot-slash",
            "hardlink/target-long-in-gnu",
        ],
    ),
    (
        "native+mkfs.erofs",
        [
            "image/python",
            "opaque/first",
            "whiteout/with-leading-dot-slash",
            "hardlink/target-long-in-gnu",
        ],
    ),
];

/// Every value of every axis once, on the first of these cases that has it.
pub(crate) fn chosen(corpus: &Corpus, cases: &[&str]) -> anyhow::Result<Vec<Variant>> {
    let mut chosen = Vec::new();
    for axis in AXES {
        for value in axis.values {
            let mut cases = cases.iter().filter_map(|id| corpus.find(id));
            let first = cases.find_map(|case| variant(case, axis, value).ok());
            let first = first.ok_or_else(|| {
                let setting = format!("{}={}", axis.name, value.name);
                anyhow::anyhow!("none of the chosen cases has a variant {setting}; choose one more")
            })?;
            chosen.push(first);
        }
    }
    Ok(chosen)
}

/// Asks the model and an extractor every variant of a case; the error lists each wrong answer.
pub(crate) fn check(case: &Case, golden: &Path, extract: Extract<'_>) -> Result<usize, String> {
    let mut complaints = Vec::new();
    let mut count = 0;
    for variant in variants(case).filter_map(|(_, _, variant)| variant.ok()) {
        count += 1;
        let findings = check_one(&variant, case, golden, extract);
        let findings = findings.map_err(|error| format!("{}: {error:#}", variant.case.id))?;
        for (who, finding) in findings {
            complaints.push(format!("{}  {who}: {}", variant.case.id, finding.line()));
        }
    }
    match complaints.is_empty() {
        true => Ok(count),
        false => Err(complaints.join("\n")),
    }
}

/// The findings on one variant, each with who it is about.
pub(crate) fn check_one(
    variant: &Variant,
    case: &Case,
    golden: &Path,
    extract: Extract<'_>,
) -> anyhow::Result<Vec<(&'static str, Finding)>> {
    let question = Question::of_variant(variant, golden)?;
    let model = ask_model(&question, case)
        .into_iter()
        .map(|one| ("model", one));
    let extractor = ask(&question, extract)?
        .into_iter()
        .map(|one| ("native", one));
    Ok(model.chain(extractor).collect())
}

/// What the native extractor makes of a layout, as a tar archive, which needs no privileges.
pub(crate) fn native(layout: &Path) -> anyhow::Result<Result<Tree, String>> {
    let work = scratch()?;
    let output = work.path().join("out.tar");
    let request = native::Request {
        layout,
        reference: Some(harness::image::TAG),
        output: &output,
        format: native::Format::Tar,
        stop: None,
    };
    match native::convert(&request) {
        Ok(_) => Ok(Ok(harness::read::tar(&output)?)),
        Err(error) => Ok(Err(error.to_string())),
    }
}
