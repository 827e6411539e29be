//! A question asked without a converter's process: of the reference model, or of an extractor that is
//! linked in. There is no containment here, so this is for our own code only; it makes questions cheap
//! enough to ask thousands of them.

use std::path::Path;

use super::tree::compare;
use super::{Finding, FindingKind, Question, Source, Wanted};
use crate::case::{Case, Layer};
use crate::image;
use crate::runner::Format;
use crate::tree::{Tree, apply_layers, diff};

/// What an extractor in this process does: an image layout becomes a tree, or it says why not. The outer
/// error is trouble of the host, or an output that cannot be read back, which is no refusal.
pub type Extract<'a> = &'a dyn Fn(&Path) -> anyhow::Result<Result<Tree, String>>;

/// The findings of an extractor on a question.
///
/// # Errors
///
/// Trouble of the host, and what the extractor gives as such.
pub fn ask(question: &Question, extract: Extract<'_>) -> anyhow::Result<Vec<Finding>> {
    let answer = match &question.source {
        Source::Case(case) => {
            let work = scratch()?;
            let layout = work.path().join("layout");
            image::write_layout(case, &layout)?;
            extract(&layout)?
        }
        Source::Layout(layout, _) => extract(layout)?,
    };
    Ok(match (answer, &question.wanted) {
        (Err(_), Wanted::Record | Wanted::OneOf { reject: true, .. }) => Vec::new(),
        (Err(_), Wanted::Reject { twin, .. }) => ask(twin, extract)?,
        (Err(why), Wanted::Tree(_) | Wanted::OneOf { .. }) => {
            vec![Finding::text(FindingKind::Rejected, why)]
        }
        (Ok(_), Wanted::Reject { because, .. }) => {
            let text = format!("accepted, though {because}");
            vec![Finding::text(FindingKind::Accepted, text)]
        }
        (Ok(tree), wanted) => compare(wanted, &tree, Format::Tar, &[]).findings,
    })
}

/// A folder for small things that are written and read once, by the thousand: in memory where the host has
/// `/dev/shm`, since a busy disk would take most of the time.
///
/// # Errors
///
/// Those of the file system.
pub fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

/// The findings of the reference model on a variant of `case`: its tree is the expected one to the last
/// attribute, and where the case has none, or several, it is what the case itself gives.
pub fn ask_model(variant: &Question, case: &Case) -> Vec<Finding> {
    let Source::Case(varied) = &variant.source else {
        return Vec::new();
    };
    let model = |layers: &[Layer]| apply_layers(layers, case.parent_mtime_kept);
    match (model(&varied.layers), model(&case.layers)) {
        (Ok(got), Ok(own)) => match &variant.wanted {
            Wanted::Tree(want) => exactly(want, got),
            _ => exactly(&own, got),
        },
        (Err(_), Err(_)) => Vec::new(),
        (Err(error), Ok(_)) => {
            vec![Finding::text(FindingKind::Rejected, error.to_string())]
        }
        (Ok(_), Err(error)) => {
            let text = format!("accepted, though for the case it is {error}");
            vec![Finding::text(FindingKind::Accepted, text)]
        }
    }
}

/// Differences in both directions: an attribute is open in `got` only where it is in `want`.
fn exactly(want: &Tree, mut got: Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = diff(want, &got)
        .into_iter()
        .map(Finding::difference)
        .collect();
    let paths: Vec<_> = want.iter().map(|(path, ..)| path.clone()).collect();
    for path in paths {
        let (Some(wanted), Some(actual)) = (want.get(&path), got.get_mut(&path)) else {
            continue;
        };
        let opened = [
            wanted.mode.is_some() && actual.mode.is_none(),
            wanted.uid.is_some() && actual.uid.is_none(),
            wanted.gid.is_some() && actual.gid.is_none(),
            wanted.mtime.is_some() && actual.mtime.is_none(),
        ];
        if opened.contains(&true) {
            let path = crate::case::escape::escape(&path);
            let text = format!("open      ./{path}, though the case says what it is");
            findings.push(Finding::text(FindingKind::Silent, text));
        }
    }
    findings
}
