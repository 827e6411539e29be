//! Every variant of a case, asked of the model and of the native extractor in this process.

use std::path::Path;

use harness::case::Case;
use harness::case::variant::{Variant, variants};
use harness::check::direct::{Extract, ask, ask_model};
use harness::check::{Finding, Question};

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
    let work = tempfile::tempdir()?;
    let model = ask_model(&question, case)
        .into_iter()
        .map(|one| ("model", one));
    let extractor = ask(&question, extract, work.path())?;
    Ok(model
        .chain(extractor.into_iter().map(|one| ("native", one)))
        .collect())
}

/// The native extractor as a tar archive, which needs no privileges.
pub(crate) fn native(layout: &Path, output: &Path) -> Result<(), String> {
    let request = native::Request {
        layout,
        reference: Some(harness::image::TAG),
        output,
        format: native::Format::Tar,
    };
    native::convert(&request)
        .map(drop)
        .map_err(|error| error.to_string())
}
