//! What was seen of images, for those of the very same bytes: they are read once in a run.
//!
//! An image is all that a guest and an fsck are given of a trial, so what they say of it does not depend on which
//! converter made it, nor of which case. Cases whose trees are equal are many: the repaired twins of what is to be
//! rejected, for one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use fs_err as fs;

use super::batch::Seen;
use super::images::Images;
use super::{Equipment, Question, shelf};
use crate::boot::digest;
use crate::runner::{Chain, Profile};

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
