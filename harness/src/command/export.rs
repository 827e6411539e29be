//! `harness export`: a bundle that anyone can rerun, in any language.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fs_err as fs;
use serde_json::json;

use super::interrupt::Unfinished;
use super::{EXIT_GREEN, Home, find, find_variant};
use crate::case::variant::Variant;
use crate::case::{Alternative, Case, Expect};
use crate::check::{Question, Wanted};
use crate::image;
use crate::tree::mtree;

/// Writes a case as a bundle: the OCI layout, the expected tree, the case as JSON, and a README with
/// the commands.
#[derive(Args)]
pub(super) struct Export {
    /// The case's id, or that of a variant: CASE@AXIS=VALUE.
    id: String,
    /// The folder to write the bundle into; it must not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Export {
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let corpus = home.corpus()?;
        let variant = find_variant(&corpus, &self.id)?;
        let case = match &variant {
            Some(variant) => &variant.case,
            None => find(&corpus, &self.id)?,
        };
        anyhow::ensure!(
            !self.to.exists(),
            "failed to export to `{}`: it exists; give a new folder",
            self.to.display()
        );
        bundle(case, home, &self.to).with_context(|| {
            format!("failed to export `{}` to `{}`", case.id, self.to.display())
        })?;
        if let Some(variant) = &variant {
            open_unnamed(variant, home, &self.to)?;
        }
        super::print(&format!("{}\n", self.to.display()))?;
        Ok(EXIT_GREEN)
    }
}

/// The expected tree of a variant says nothing of directories that it does not name any more.
fn open_unnamed(variant: &Variant, home: &Home, to: &Path) -> anyhow::Result<()> {
    let question = Question::of_variant(variant, &home.root.join("golden"))?;
    if let (Wanted::Tree(tree), false) = (&question.wanted, variant.unnamed.is_empty()) {
        fs::write(to.join("expected.mtree"), mtree::print(tree, &[]))?;
    }
    Ok(())
}

/// Writes the bundle of one case; on an error nothing is left at `to`.
pub(crate) fn bundle(case: &Case, home: &Home, to: &Path) -> anyhow::Result<()> {
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".export-")
        .tempdir_in(parent)?;
    let at = unfinished.path();
    let _unfinished = Unfinished::new(at);
    image::write_layout(case, &at.join("layout"))?;
    if let Expect::Reject { twin, .. } = &case.expect {
        image::write_layout(twin, &at.join("twin"))?;
    }
    for (name, _) in case.goldens() {
        let file = match name
            .strip_prefix(case.origin())
            .and_then(|rest| rest.strip_prefix('.'))
        {
            Some(outcome) => format!("expected.{outcome}.mtree"),
            None => "expected.mtree".to_owned(),
        };
        fs::copy(home.golden(&name), at.join(file))?;
    }
    let document = serde_json::to_string_pretty(&case_json(case))? + "\n";
    fs::write(at.join("case.json"), document)?;
    fs::copy(
        home.root
            .join("corpus")
            .join(format!("{}.toml", case.origin())),
        at.join("case.toml"),
    )?;
    fs::write(at.join("README.md"), readme(case))?;
    fs::set_permissions(at, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    fs::rename(unfinished.keep(), to)?;
    Ok(())
}

/// A case's question and expectation as JSON, for readers in any language.
pub(crate) fn case_json(case: &Case) -> serde_json::Value {
    let expect = match &case.expect {
        Expect::Tree => json!({ "kind": "tree" }),
        Expect::Reject { because, .. } => json!({ "kind": "reject", "because": because }),
        Expect::Record { why } => json!({ "kind": "record", "why": why }),
        Expect::OneOf(outcomes) => {
            let names: Vec<&str> = outcomes
                .iter()
                .map(|outcome| match outcome {
                    Alternative::Tree { name, .. } => name.as_str(),
                    Alternative::Reject => "reject",
                })
                .collect();
            json!({ "kind": "one-of", "outcomes": names })
        }
    };
    json!({
        "id": case.id,
        "title": case.title,
        "spec": case.spec,
        "quote": case.quote,
        "level": case.level.word(),
        "bugs": case.bugs,
        "note": case.note,
        "expect": expect,
    })
}

fn readme(case: &Case) -> String {
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
         ## To reproduce\n\n`layout/` is an OCI image layout, tag `{tag}`. Convert it, as root, with the \
         tool in question, for example\n\n    umoci raw unpack --image layout:{tag} rootfs\n\n\
         {expectation}\n`#@` lines in an mtree file are hard-link groups and extended attributes \
         (base64); mtree skips them. A keyword that is absent is not compared.\n",
        title = case.title,
        id = case.id,
        spec = case.spec,
        level = case.level.word(),
        tag = image::TAG,
    )
}
