//! The corpus folder: every case file, found by walking, in bytewise order of id.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::variant::{self, NoVariant, Variant};
use super::{Case, CaseError, FAMILIES, Family, parse};

/// All cases of a corpus folder, sorted by id.
#[derive(Debug)]
pub struct Corpus {
    /// The folder.
    pub root: PathBuf,
    /// The cases, sorted bytewise by id.
    pub cases: Vec<Case>,
}

/// Why a corpus could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A folder or file could not be read.
    #[error("failed to read the corpus")]
    Io(#[from] std::io::Error),
    /// A case file is wrong.
    #[error("failed to read the case `{}`: {error}", path.display())]
    Case {
        /// The case file.
        path: PathBuf,
        /// What is wrong, and where.
        error: CaseError,
    },
    /// A file name that cannot be an id.
    #[error("failed to read the corpus: `{}` is no case: an id is made of a-z, 0-9 and `-`, and a case ends in .toml", .0.display())]
    Name(PathBuf),
}

impl Corpus {
    /// Reads every case below `root`, but for the assets.
    ///
    /// # Errors
    ///
    /// The first unreadable file, wrong case or stray name, in bytewise order.
    pub fn read(root: &Path) -> Result<Corpus, CorpusError> {
        let mut cases = Vec::new();
        let walk = walkdir::WalkDir::new(root).min_depth(2).sort_by_file_name();
        let assets = root.join("asset");
        let files = walk
            .into_iter()
            .filter_entry(|entry| !entry.path().starts_with(&assets));
        for file in files {
            // The text alone: it names the path, which the cause behind it would only repeat.
            let file = file.map_err(|error| std::io::Error::other(error.to_string()))?;
            if file.file_type().is_file() {
                cases.push(read_case(root, file.path())?);
            }
        }
        cases.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        Ok(Corpus {
            root: root.to_owned(),
            cases,
        })
    }

    /// Adds the scale families that `wanted` names by id, which takes memory for each.
    ///
    /// # Errors
    ///
    /// A family whose text is wrong, or no shell for its base layer.
    pub fn add_families(&mut self, wanted: impl Fn(&str) -> bool) -> Result<(), CorpusError> {
        let asset = asset_of(&self.root);
        let families = FAMILIES.iter().filter(|family| wanted(family.id));
        for family in families {
            let case = family.case(&asset).map_err(|error| CorpusError::Case {
                path: family.id.into(),
                error,
            })?;
            self.cases.push(case);
        }
        self.cases
            .sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        Ok(())
    }

    /// Whether there is a case, a variant or a scale family of this id.
    pub fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
            || self.variant(id).is_some_and(|variant| variant.is_ok())
            || Family::find(id).is_some()
    }

    /// The case of this id; `--image python` names `image/python`.
    pub fn find(&self, id: &str) -> Option<&Case> {
        let in_image = format!("image/{id}");
        self.cases
            .iter()
            .find(|case| case.id == id || case.id == in_image)
    }

    /// The variant of an id `case@axis=value`; `None` where the case does not exist or the id is none of a
    /// variant.
    pub fn variant(&self, id: &str) -> Option<Result<Variant, NoVariant>> {
        let (case, setting) = variant::split_id(id);
        Some(variant::named(self.find(case)?, setting?))
    }
}

/// The bytes of a file in the corpus's folder of assets.
fn asset_of(root: &Path) -> impl Fn(&str) -> Option<Vec<u8>> + use<> {
    let assets = root.join("asset");
    move |name| fs::read(assets.join(name)).ok()
}

fn read_case(root: &Path, path: &Path) -> Result<Case, CorpusError> {
    let id = path
        .strip_prefix(root)
        .ok()
        .and_then(Path::to_str)
        .and_then(|name| name.strip_suffix(".toml"))
        .filter(|id| {
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-/".contains(&b))
        })
        .ok_or_else(|| CorpusError::Name(path.to_owned()))?;
    let text = fs::read_to_string(path)?;
    parse(id, &text, &asset_of(root)).map_err(|error| CorpusError::Case {
        path: path.to_owned(),
        error,
    })
}
