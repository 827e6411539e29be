//! What of many trials is the very same, and need not be done twice where everything is done once: the layouts that a
//! converter is given, and the images that a guest and an fsck are given.
//!
//! They get nothing else of a trial, so what comes of it does not depend on which case it is. Cases whose trees are
//! equal are many: the repaired twins of what is to be rejected, for one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use super::batch::Seen;
use super::images::Images;
use super::{Equipment, Question, shelf};
use crate::boot::digest;
use crate::runner::{Chain, Profile};

/// Of each of these folders below `layouts` the first that has the very same in it; nothing of the first itself.
///
/// # Errors
///
/// Of reading them.
pub(super) fn same_layouts(
    layouts: &Path,
    names: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut firsts: BTreeMap<Vec<u8>, &String> = BTreeMap::new();
    let mut same = BTreeMap::new();
    for name in names {
        let first = firsts
            .entry(everything_in(&layouts.join(name))?)
            .or_insert(name);
        if *first != name {
            same.insert(name.clone(), (*first).clone());
        }
    }
    Ok(same)
}

/// A digest of all that a converter can see of a layout: names, types, modes, contents.
fn everything_in(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let path = entry.path().strip_prefix(folder)?;
        add(path.as_os_str().as_encoded_bytes());
        add(&metadata.mode().to_le_bytes());
        if metadata.is_file() {
            add(&fs::read(entry.path())?);
        } else if metadata.is_symlink() {
            add(fs::read_link(entry.path())?.as_os_str().as_encoded_bytes());
        } else {
            add(&metadata.rdev().to_le_bytes());
        }
    }
    Ok(digest.finalize().to_vec())
}

/// What was seen in a run, by what was looked at.
#[derive(Default)]
pub(super) struct SeenBefore {
    by_image: Mutex<BTreeMap<Key, Seen>>,
}

/// Bytes, and all that decides how they are looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Of each image, base layer first, its digest and length.
    images: Vec<(String, u64)>,
    is_stack: bool,
    filesystem: &'static str,
    profile: Profile,
    is_asked: bool,
    /// The folder whose fsck it is, if not the host's.
    root: Option<PathBuf>,
}

impl Key {
    /// Of these images, made by this chain for this question.
    ///
    /// # Errors
    ///
    /// Of reading them.
    pub(super) fn of(
        images: &Images,
        chain: &Chain,
        question: &Question,
        equipment: &Equipment,
    ) -> anyhow::Result<Key> {
        let mut digests = Vec::new();
        for path in &images.paths {
            let file = fs::File::open(path)?.into_parts().0;
            digests.push((digest(&file)?, file.metadata()?.len()));
        }
        Ok(Key {
            images: digests,
            is_stack: images.is_stack,
            filesystem: images.filesystem,
            profile: equipment.profile_of(chain),
            is_asked: shelf::is_asked(question),
            root: chain.last().root.path().map(Into::into),
        })
    }
}

impl SeenBefore {
    /// What was seen of such an image.
    pub(super) fn get(&self, key: &Key) -> Option<Seen> {
        self.lock().get(key).cloned()
    }

    /// Keeps what was seen of an image, if a guest read it; else each trial has to see for itself.
    pub(super) fn put(&self, key: Key, seen: Seen) {
        if seen.among.is_some() {
            self.lock().entry(key).or_insert(seen);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.by_image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::{Key, SeenBefore};
    use crate::boot::digest;
    use crate::check::batch::Seen;
    use crate::check::boot::Among;
    use crate::runner::Profile;
    use crate::tree::Tree;

    fn key(contents: &[&[u8]]) -> Key {
        let folder = tempfile::tempdir().unwrap();
        let of = |bytes: &&[u8]| {
            let path = folder.path().join("image");
            fs::write(&path, bytes).unwrap();
            let file = fs::File::open(&path).unwrap().into_parts().0;
            (digest(&file).unwrap(), file.metadata().unwrap().len())
        };
        Key {
            images: contents.iter().map(of).collect(),
            is_stack: false,
            filesystem: "erofs",
            profile: Profile::Ro,
            is_asked: true,
            root: None,
        }
    }

    #[test]
    fn only_the_same_bytes_looked_at_in_the_same_way_are_the_same() {
        let page = [7; 4096];
        let key_of_page = key(&[&page]);
        assert_eq!(key_of_page, key(&[&page]));
        let after_hole = [&[0; 4096][..], &page].concat();
        let before_hole = [&page[..], &[0; 4096]].concat();
        for other in [&[8; 4096][..], &page[..4095], &after_hole, &before_hole] {
            assert_ne!(key_of_page, key(&[other]));
        }
        assert_ne!(key(&[&page, &[1]]), key(&[&[1], &page]));
        assert_ne!(key_of_page, key(&[&page, &page]));
        for other in [
            Key {
                profile: Profile::Overlay,
                ..key_of_page.clone()
            },
            Key {
                is_asked: false,
                ..key_of_page.clone()
            },
            Key {
                root: Some("/other".into()),
                ..key_of_page.clone()
            },
        ] {
            assert_ne!(key_of_page, other);
        }
    }

    #[test]
    fn what_a_guest_could_not_read_is_not_kept() {
        let (seen_before, key) = (SeenBefore::default(), key(&[b"image"]));
        seen_before.put(key.clone(), Seen::default());
        assert!(seen_before.get(&key).is_none());
        let among = Among {
            tree: Tree::new(),
            written: None,
        };
        let seen = Seen {
            is_clean: true,
            among: Some(among),
        };
        seen_before.put(key.clone(), seen);
        assert!(seen_before.get(&key).is_some_and(|seen| seen.is_clean));
    }
}
