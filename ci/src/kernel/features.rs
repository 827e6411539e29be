//! What an unpacked kernel can do, told by its list of built-in modules and its module files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What the guest needs: its disk and its line to the host, and every filesystem it mounts.
const NEEDED: [&str; 7] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "erofs",
    "ext4",
    "squashfs",
    "overlay",
];

/// What of that the kernel unpacked at `root` lacks, its image first; empty when it serves.
pub(crate) fn missing(root: &Path) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    if !has_image(&root.join("boot")) {
        missing.push("a kernel image");
    }
    let modules = modules(&root.join("lib/modules"))?;
    missing.extend(NEEDED.iter().filter(|name| !modules.contains(**name)));
    Ok(missing)
}

fn has_image(boot: &Path) -> bool {
    let names = fs::read_dir(boot).into_iter().flatten().flatten();
    names
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().starts_with("vmlinuz-"))
}

/// The names of all modules below a directory, loadable and built in.
fn modules(directory: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("reading `{}`", directory.display()))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            } else if path
                .file_name()
                .is_some_and(|name| name == "modules.builtin")
            {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("reading `{}`", path.display()))?;
                found.extend(text.lines().filter_map(module_name));
            } else {
                found.extend(path.to_str().and_then(module_name));
            }
        }
    }
    Ok(found)
}

/// The module a file holds: `fs/erofs/erofs.ko.xz` is `erofs`; `-` and `_` are one to the kernel.
fn module_name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, suffix) = file.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"]
        .contains(&suffix)
        .then(|| name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::module_name;

    #[test]
    fn a_module_file_tells_its_name() {
        for (path, want) in [
            ("kernel/fs/erofs/erofs.ko", Some("erofs")),
            ("kernel/fs/erofs/erofs.ko.xz", Some("erofs")),
            ("kernel/fs/overlayfs/overlay.ko.zst", Some("overlay")),
            (
                "kernel/drivers/char/hw_random/virtio-rng.ko",
                Some("virtio_rng"),
            ),
            ("modules.order", None),
            ("kernel/erofs.koala", None),
        ] {
            assert_eq!(module_name(path).as_deref(), want, "{path}");
        }
    }
}
