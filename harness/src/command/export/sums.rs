//! `SHA256SUMS`, and equal files as one inode.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

/// Writes `SHA256SUMS` over every file below `root`, as `sha256sum --check` reads it, in bytewise order
/// of path. Files of the same content become hard links of one: most layouts share most blobs.
pub(super) fn write(root: &Path) -> anyhow::Result<()> {
    let mut first_of: BTreeMap<String, std::path::PathBuf> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path();
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(fs::read(path)?));
        let name = path.strip_prefix(root)?.as_os_str().to_owned();
        lines.insert(name, digest.clone());
        match first_of.get(&digest) {
            Some(first) => share(first, path)?,
            None => drop(first_of.insert(digest, path.to_owned())),
        }
    }
    let text: String = lines
        .into_iter()
        .map(|(name, digest)| format!("{digest}  {}\n", name.to_string_lossy()))
        .collect();
    Ok(fs::write(root.join("SHA256SUMS"), text)?)
}

/// Makes `path` a hard link of `first`, whose content it has.
fn share(first: &Path, path: &Path) -> std::io::Result<()> {
    let link = path.with_extension("link");
    // A file system without hard links, or one that has no more for this file, keeps the copy.
    match fs::hard_link(first, &link) {
        Ok(()) => fs::rename(&link, path),
        Err(_) => Ok(()),
    }
}
