//! One case as files: the layouts, the expected trees, the case as JSON and as it is authored.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};

use super::super::Home;
use super::hostile;
use crate::case::{Alternative, Case, Expect};
use crate::image;

/// Writes a case into the folder `at` and gives the text of its `case.json` as a value.
pub(super) fn write(case: &Case, home: &Home, at: &Path) -> anyhow::Result<Value> {
    let image = layout(case, "layout", at)?;
    for (name, layers) in case.goldens() {
        let text = home.expected(case, &name, layers)?;
        fs::write(at.join(expected(case, &name)), text)?;
    }
    fs::write(at.join("case.toml"), home.authored(case)?)?;
    let document = json!({
        "id": case.id,
        "title": case.title,
        "spec": case.spec,
        "quote": (!case.quote.is_empty()).then_some(&case.quote),
        "level": case.level.word(),
        "bugs": case.bugs,
        "note": case.note,
        "embargo": case.embargo,
        "privileged": case.privileged,
        "hostile": hostile::may_escape(case),
        "image": image,
        "expect": expectation(case, at)?,
    });
    fs::write(at.join("case.json"), json_text(&document)?)?;
    Ok(document)
}

/// A document as the text of a file.
pub(super) fn json_text(document: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

/// The file of a golden in a bundle.
fn expected(case: &Case, golden: &str) -> String {
    match golden.strip_prefix(case.origin()) {
        Some(outcome) if !outcome.is_empty() => format!("expected{outcome}.mtree"),
        _ => "expected.mtree".to_owned(),
    }
}

fn expectation(case: &Case, at: &Path) -> anyhow::Result<Value> {
    Ok(match &case.expect {
        Expect::Tree => json!({ "kind": "tree", "tree": "expected.mtree" }),
        Expect::Reject { because, twin } => json!({
            "kind": "reject",
            "because": because,
            "twin": { "image": layout(twin, "twin", at)?, "tree": "expected.twin.mtree" },
        }),
        Expect::Record { why } => json!({ "kind": "record", "why": why }),
        Expect::OneOf(outcomes) => {
            let trees: Vec<Value> = outcomes
                .iter()
                .filter_map(|outcome| match outcome {
                    Alternative::Tree { name, .. } => {
                        Some(json!({ "name": name, "tree": format!("expected.{name}.mtree") }))
                    }
                    Alternative::Reject => None,
                })
                .collect();
            let reject = outcomes.contains(&Alternative::Reject);
            json!({ "kind": "one-of", "trees": trees, "reject": reject })
        }
    })
}

/// Writes an image and gives its description. Blobs that are a named pipe or a directory are
/// described and left out: neither git nor zip would carry them.
fn layout(case: &Case, name: &str, at: &Path) -> anyhow::Result<Value> {
    let folder = at.join(name);
    let written = image::write_layout(case, &folder)?;
    let mut make = Vec::new();
    for blob in walkdir::WalkDir::new(folder.join("blobs/sha256"))
        .min_depth(1)
        .sort_by_file_name()
    {
        let blob = blob?;
        let kind = if blob.file_type().is_fifo() {
            fs::remove_file(blob.path())?;
            "fifo"
        } else if blob.file_type().is_dir() {
            fs::remove_dir(blob.path())?;
            "dir"
        } else {
            continue;
        };
        let blob = blob.file_name().to_string_lossy().into_owned();
        make.push(json!({ "path": format!("blobs/sha256/{blob}"), "kind": kind }));
    }
    Ok(json!({ "layout": name, "manifest": written.manifest, "make": make }))
}

/// What a person who was sent one bundle reads.
pub(super) fn readme(case: &Case, document: &Value) -> String {
    let quote = if case.quote.is_empty() {
        "The spec is silent.".to_owned()
    } else {
        format!("> {}", case.quote)
    };
    let expectation = match &case.expect {
        Expect::Tree => "It must exit 0, and the tree must be the one in `expected.mtree`:\n\n    \
                         mtree -f expected.mtree -p rootfs\n"
            .to_owned(),
        Expect::Reject { because, .. } => format!(
            "It must exit non-zero and leave no usable output: {because}. The image in `twin/`, the \
             same without the offence, must be accepted with the tree in `expected.twin.mtree`:\n\n    \
             mtree -f expected.twin.mtree -p rootfs\n"
        ),
        Expect::OneOf(_) => {
            "The spec is silent. Any tree of `expected.*.mtree` is right, and so is \
                             a rejection where `case.json` lists it:\n\n    \
                             mtree -f expected.NAME.mtree -p rootfs\n"
                .to_owned()
        }
        Expect::Record { why } => {
            format!(
                "There is no right or wrong ({why}), but nothing outside the output may change.\n"
            )
        }
    };
    format!(
        "# {title}\n\nCase `{id}` of the OCI rootfs conformance corpus.\n\n{spec}, {level}:\n\n{quote}\n\n\
         ## To reproduce\n\n{first}`layout/` is an OCI image layout, tag `{tag}`. Convert it, as root, with the \
         tool in question, for example\n\n    umoci raw unpack --image layout:{tag} rootfs\n\n\
         {expectation}\n`#@` lines in an mtree file are hard-link groups and extended attributes \
         (base64); mtree skips them. A keyword that is absent is not compared.\n",
        title = case.title,
        id = case.id,
        spec = case.spec,
        level = case.level.word(),
        first = first_steps(document),
        tag = image::TAG,
    )
}

/// The commands for what a bundle cannot carry.
fn first_steps(document: &Value) -> String {
    let twin = &document["expect"]["twin"]["image"];
    let commands: Vec<String> = [&document["image"], twin]
        .into_iter()
        .flat_map(|image| {
            let made = image["make"].as_array().into_iter().flatten();
            made.map(move |one| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let program = match text(&one["kind"]).as_str() {
                    "fifo" => "mkfifo",
                    _ => "mkdir",
                };
                let (layout, path) = (text(&image["layout"]), text(&one["path"]));
                format!("    {program} {layout}/{path}\n")
            })
        })
        .collect();
    match commands.is_empty() {
        true => String::new(),
        false => format!(
            "First make what archives do not carry:\n\n{}\n",
            commands.concat()
        ),
    }
}
