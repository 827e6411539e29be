//! What is asked of a converter: an image, and what must come of it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;

use crate::case::variant::Variant;
use crate::case::{Alternative, Case, Command, Expect, Layer};
use crate::image;
use crate::tree::{self, Tree, mtree};

/// One question with its expected answer.
#[derive(Debug, Clone)]
pub struct Question {
    /// The case's id, or `layout` with `--layout`.
    pub id: String,
    /// One sentence.
    pub title: String,
    /// The deciding place, its level and its words: `layer.md#whiteouts, must: "…"`.
    pub rule: String,
    /// The level's word: must, should, de-facto, policy.
    pub level: String,
    /// Whether findings are named by kind only.
    pub embargo: bool,
    /// Whether the converter is given `CAP_SYS_ADMIN`.
    pub privileged: bool,
    /// The image.
    pub source: Source,
    /// What must come of it.
    pub wanted: Wanted,
    /// More commands for the booted image's shell.
    pub run: Vec<Command>,
}

/// Where the image is.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a case, to be written.
    Case(Box<Case>),
    /// In an image layout on disk, under this reference.
    Layout(PathBuf, String),
}

/// What must come of an image.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Exactly this tree.
    Tree(Tree),
    /// A rejection, while the twin is accepted.
    Reject {
        /// What is wrong with the image.
        because: String,
        /// The same without it.
        twin: Box<Question>,
    },
    /// One of these trees, or a rejection where that is listed.
    OneOf {
        /// The outcomes by name.
        trees: Vec<(String, Tree)>,
        /// Whether a rejection is one of them.
        reject: bool,
    },
    /// Nothing but the global invariants.
    Record,
}

impl Wanted {
    /// The word of case files: tree, reject, one-of or record.
    pub fn word(&self) -> &'static str {
        match self {
            Wanted::Tree(_) => "tree",
            Wanted::Reject { .. } => "reject",
            Wanted::OneOf { .. } => "one-of",
            Wanted::Record => "record",
        }
    }
}

impl Question {
    /// The question of a corpus case. `golden` is the folder of the expected trees; nothing is
    /// computed here but for a scale family, whose tree is the model's.
    ///
    /// # Errors
    ///
    /// A missing or malformed golden.
    pub fn of_case(case: &Case, golden: &Path) -> anyhow::Result<Question> {
        let read = |name: &str| match case.is_family() {
            true => model_tree(case, name),
            false => read_golden(&golden.join(format!("{name}.mtree"))),
        };
        let wanted = match &case.expect {
            Expect::Tree if case.id.ends_with("+twin") => {
                let origin = case.origin().trim_end_matches("+twin");
                Wanted::Tree(read(&format!("{origin}.twin"))?)
            }
            Expect::Tree => Wanted::Tree(read(case.origin())?),
            Expect::Reject { because, twin } => Wanted::Reject {
                because: because.clone(),
                twin: Box::new(Question::of_case(twin, golden)?),
            },
            Expect::OneOf(outcomes) => {
                let mut trees = Vec::new();
                for outcome in outcomes {
                    if let Alternative::Tree { name, .. } = outcome {
                        trees.push((name.clone(), read(&format!("{}.{name}", case.origin()))?));
                    }
                }
                Wanted::OneOf {
                    trees,
                    reject: outcomes.contains(&Alternative::Reject),
                }
            }
            Expect::Record { .. } => Wanted::Record,
        };
        let level = case.level.word();
        let rule = if case.quote.is_empty() {
            format!("{}, {level}", case.spec)
        } else {
            format!("{}, {level}: \"{}\"", case.spec, case.quote)
        };
        Ok(Question {
            id: case.id.clone(),
            title: case.title.clone(),
            rule,
            level: level.to_owned(),
            embargo: case.embargo,
            privileged: case.privileged,
            source: Source::Case(Box::new(case.clone())),
            wanted,
            run: case.run.clone(),
        })
    }

    /// The question of a variant: its case's expectation, but for directories that the variant does not
    /// name any more.
    ///
    /// # Errors
    ///
    /// As [`Question::of_case`].
    pub fn of_variant(variant: &Variant, golden: &Path) -> anyhow::Result<Question> {
        let mut question = Question::of_case(&variant.case, golden)?;
        if let Wanted::Tree(tree) = &mut question.wanted {
            for path in &variant.unnamed {
                if let Some(inode) = tree.get_mut(path) {
                    (inode.mode, inode.uid, inode.gid, inode.mtime) = (None, None, None, None);
                }
            }
        }
        Ok(question)
    }

    /// The question of an image layout on disk; the model's tree is the expectation.
    ///
    /// # Errors
    ///
    /// A layout that cannot be read, or that the model has no tree for.
    pub fn of_layout(
        layout: &Path,
        reference: &str,
        run: Vec<Command>,
    ) -> anyhow::Result<Question> {
        let layers: Vec<Layer> = image::read_layout(layout, Some(reference))?;
        let tree = tree::apply_layers(&layers, false)
            .with_context(|| format!("the model has no tree for `{}`", layout.display()))?;
        Ok(Question {
            id: "layout".to_owned(),
            title: format!("the image `{reference}` of {}", layout.display()),
            rule: "layer.md#applying-changesets, must".to_owned(),
            level: "must".to_owned(),
            embargo: false,
            privileged: false,
            source: Source::Layout(fs::canonicalize(layout)?, reference.to_owned()),
            wanted: Wanted::Tree(tree),
            run,
        })
    }

    /// The deciding place and its level, without the words that decide.
    pub fn place(&self) -> String {
        let end = self.rule.find(": \"").unwrap_or(self.rule.len());
        self.rule[..end].to_owned()
    }

    /// Whether every accepted answer has a shell to run.
    pub fn has_shell(&self) -> bool {
        match &self.wanted {
            Wanted::Tree(tree) => tree.has_shell(),
            Wanted::OneOf { trees, .. } => trees.iter().all(|(_, tree)| tree.has_shell()),
            Wanted::Reject { .. } | Wanted::Record => false,
        }
    }

    /// How many layers the image has, where that is known.
    pub fn layers(&self) -> Option<usize> {
        match &self.source {
            Source::Case(case) => Some(case.layers.len()),
            Source::Layout(..) => None,
        }
    }
}

/// The model's tree in the place of a golden that would be too large to keep.
fn model_tree(case: &Case, golden: &str) -> anyhow::Result<Tree> {
    let goldens = case.goldens();
    let (_, layers) = goldens
        .iter()
        .find(|(name, _)| name == golden)
        .with_context(|| format!("`{}` expects no tree `{golden}`", case.id))?;
    tree::apply_layers(layers, case.parent_mtime_kept)
        .with_context(|| format!("the model has no tree for `{}`", case.id))
}

fn read_golden(path: &Path) -> anyhow::Result<Tree> {
    let text = fs::read_to_string(path)
        .context("a case has no golden; write it with `harness bless ID`")?;
    mtree::parse(&text).with_context(|| format!("failed to read the golden `{}`", path.display()))
}
