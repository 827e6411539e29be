//! Where things are: the checkout, and the folders below `target/` that this program fills.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use anyhow::{Context, Result};
use xshell::Shell;

/// The checkout and a shell whose working directory is its root.
pub(crate) struct Workspace {
    /// Runs programs; its locale is `C`, so that what they print can be parsed.
    pub(crate) shell: Shell,
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout: where Cargo says the running package is, else where it was built.
    pub(crate) fn open() -> Result<Self> {
        let built_at = env!("CARGO_MANIFEST_DIR");
        let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_at.into());
        let root = Path::new(&package)
            .parent()
            .context("finding the workspace: the package `ci` has no parent directory")?
            .to_owned();
        let shell = Shell::new().context("opening a shell")?;
        shell.change_dir(&root);
        shell.set_var("LC_ALL", "C");
        Ok(Self { shell, root })
    }

    /// A path below `target/`.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.root.join("target").join(name)
    }

    /// The folder of the converters.
    pub(crate) fn runners(&self) -> PathBuf {
        self.root.join("runners")
    }

    /// Makes an empty directory `target/.NAME-PID` that is removed when the value is dropped.
    ///
    /// It stands on the same filesystem as the results, so that finished work is renamed into
    /// place. What an earlier run that was killed left behind is removed first.
    pub(crate) fn scratch(&self, name: &str) -> Result<Scratch> {
        let target = self.target("");
        fs::create_dir_all(&target).with_context(|| format!("making `{}`", target.display()))?;
        remove_abandoned(&target, name);
        let path = target.join(format!(".{name}-{}", process::id()));
        remove_tree(&path)?;
        fs::create_dir(&path).with_context(|| format!("making `{}`", path.display()))?;
        Ok(Scratch { path })
    }
}

/// A temporary directory, removed with all it holds when dropped.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            crate::console::problem(&format!("ci: {error:#}"));
        }
    }
}

/// Puts a finished directory in its place; whatever stood there is replaced.
pub(crate) fn publish(finished: &Path, place: &Path) -> Result<()> {
    remove_tree(place)?;
    fs::rename(finished, place)
        .with_context(|| format!("renaming `{}` to `{}`", finished.display(), place.display()))
}

/// Removes a directory tree; one that is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes scratch directories of processes that are gone; what cannot be removed stays.
fn remove_abandoned(target: &Path, name: &str) {
    let prefix = format!(".{name}-");
    for entry in fs::read_dir(target).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let Some(pid) = file_name
            .to_str()
            .and_then(|text| text.strip_prefix(&prefix))
        else {
            continue;
        };
        if !Path::new("/proc").join(pid).exists() {
            // A failure shows again, with its reason, when the name is needed.
            let _ = remove_tree(&entry.path());
        }
    }
}
