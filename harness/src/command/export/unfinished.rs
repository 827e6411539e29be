//! A folder that is whole or not there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;

use super::super::interrupt;

/// A folder in the making, beside the place it will have; dropped unfinished, it is removed.
pub(super) struct Unfinished {
    folder: tempfile::TempDir,
    /// A signal removes it too.
    _known: interrupt::Unfinished,
}

impl Unfinished {
    /// Begins a folder that will be `to`.
    pub(super) fn beside(to: &Path) -> anyhow::Result<Unfinished> {
        let parent = match to.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent)?;
        let mut name = tempfile::Builder::new();
        let folder = name.prefix(".export-").tempdir_in(parent)?;
        let known = interrupt::Unfinished::new(folder.path());
        Ok(Unfinished {
            folder,
            _known: known,
        })
    }

    /// Where it is made.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts it in its place.
    pub(super) fn finish(self, to: &Path) -> anyhow::Result<()> {
        fs::set_permissions(self.path(), std::fs::Permissions::from_mode(0o755))?;
        fs::rename(self.path(), to)?;
        // It is not there any more, so there is nothing to remove.
        let _ = self.folder.keep();
        Ok(())
    }
}
