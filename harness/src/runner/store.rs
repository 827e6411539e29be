//! What first stages made of images, for all chains of a run that begin with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs_err as fs;

use super::{Chain, Conversion, Converted};

/// Conversions by a first stage, which are kept as long as the run lasts. No later stage can write to what is here:
/// all see it read-only.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The first stages that several chains have.
    shared: BTreeSet<String>,
    /// By stage and image.
    made: Mutex<BTreeMap<(String, String), Converted>>,
}

impl Store {
    /// A store for these chains below `folder`, which need not be there.
    #[must_use]
    pub fn new(folder: PathBuf, chains: &[Chain]) -> Store {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for chain in chains.iter().filter(|chain| chain.stages.len() > 1) {
            *count.entry(&chain.stages[0].name).or_default() += 1;
        }
        let shared = count.into_iter().filter(|(_, count)| *count > 1);
        Store {
            folder,
            shared: shared.map(|(name, _)| name.to_owned()).collect(),
            made: Mutex::default(),
        }
    }

    /// Where all artifacts are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether what the first stage of this chain makes is kept.
    #[must_use]
    pub fn keeps(&self, chain: &Chain) -> bool {
        chain.stages.len() > 1 && self.shared.contains(&chain.stages[0].name)
    }

    /// What the first stage of a chain made of an image.
    #[must_use]
    pub fn get(&self, chain: &Chain, image: &str) -> Option<Converted> {
        let key = (chain.stages[0].name.clone(), image.to_owned());
        self.lock().get(&key).cloned()
    }

    /// Keeps what the first stage of a chain made of an image, unless another has come first.
    ///
    /// # Errors
    ///
    /// Of moving the artifact.
    pub fn put(&self, chain: &Chain, image: &str, mut made: Converted) -> std::io::Result<()> {
        let key = (chain.stages[0].name.clone(), image.to_owned());
        let mut all = self.lock();
        if all.contains_key(&key) {
            return Ok(());
        }
        if let Conversion::Produced(artifact, _) = &mut made.conversion {
            let folder = self.folder.join(all.len().to_string());
            fs::create_dir_all(&folder)?;
            let to = folder.join(artifact.file_name().unwrap_or_default());
            fs::rename(&*artifact, &to)?;
            *artifact = to;
        }
        all.insert(key, made);
        Ok(())
    }

    /// Keeps for an image what the first stage of a chain made of another, if it is kept.
    pub fn put_same(&self, chain: &Chain, image: &str, other: &str) {
        let key = |image: &str| (chain.stages[0].name.clone(), image.to_owned());
        let mut all = self.lock();
        if let Some(made) = all.get(&key(other)).cloned() {
            all.entry(key(image)).or_insert(made);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Converted>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Store;
    use crate::runner::{Chain, Conversion, Converted, Format, Root, Runners, Tools};

    fn runners() -> Runners {
        let home = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Runners::read(&home.join("runners"), &Tools::Host).unwrap()
    }

    #[test]
    fn what_several_chains_begin_with_is_kept_as_the_first_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let runners = runners();
        let chain = |name: &str| runners.chain(name).unwrap();
        let names = [
            "native",
            "native+mkfs.erofs",
            "native+mkfs.ext4",
            "umoci+mkfs.erofs",
        ];
        let chains: Vec<Chain> = names.map(chain).to_vec();
        let store = Store::new(folder.path().join("shared"), &chains);
        let kept: Vec<bool> = chains.iter().map(|chain| store.keeps(chain)).collect();
        assert_eq!(kept, [false, true, true, false]);
        assert_eq!(chains[0].stages[0].root, Root::Host);

        for text in ["first", "second"] {
            let artifact = folder.path().join(text).join("rootfs");
            std::fs::create_dir_all(&artifact).unwrap();
            std::fs::write(artifact.join("file"), text).unwrap();
            let made = Converted {
                conversion: Conversion::Produced(artifact, Format::Dir),
                ..Converted::new()
            };
            store.put(&chains[1], "a/case", made).unwrap();
        }
        let Some(Conversion::Produced(artifact, Format::Dir)) =
            store.get(&chains[2], "a/case").map(|made| made.conversion)
        else {
            panic!("it is there");
        };
        assert!(artifact.starts_with(store.folder()));
        assert_eq!(
            std::fs::read_to_string(artifact.join("file")).unwrap(),
            "first"
        );
        assert!(store.get(&chains[2], "a/case twin").is_none());
        store.put_same(&chains[1], "a/case twin", "a/case");
        store.put_same(&chains[1], "b/case", "c/case");
        let twin = store.get(&chains[2], "a/case twin").unwrap();
        assert_eq!(twin.conversion, Conversion::Produced(artifact, Format::Dir));
        assert!(store.get(&chains[2], "b/case").is_none());
        assert!(store.get(&chains[3], "a/case").is_none());
    }
}
