//! The filesystem images that the guest is given of an artifact: itself, or one for each layer.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fs_err as fs;

use super::{Finding, FindingKind};
use crate::boot::LAYERS_MAX;
use crate::case::escape::escape;
use crate::read;
use crate::runner::Format;

/// The images of an artifact.
#[derive(Debug)]
pub(super) struct Images {
    /// One, or those of the layers, base layer first.
    pub(super) paths: Vec<PathBuf>,
    /// Whether they are layers.
    pub(super) is_stack: bool,
    /// Their type, as `mount` names it.
    pub(super) filesystem: &'static str,
}

impl Images {
    /// The images of an artifact; layers that are directories are packed into `work`, which need not be
    /// there. Where the artifact is not what its format says, the finding.
    ///
    /// # Errors
    ///
    /// Of writing to `work`; layers that are more than we pack.
    pub(super) fn of(
        artifact: &Path,
        format: Format,
        work: &Path,
    ) -> anyhow::Result<Result<Images, Finding>> {
        let paths = match format.is_layered() {
            false => Ok(vec![artifact.to_owned()]),
            true => layers(artifact, format),
        };
        let paths = match (paths, format) {
            (Ok(paths), Format::LayerDirs) => pack(&paths, work)?,
            (paths, _) => paths,
        };
        Ok(paths.map(|paths| Images {
            paths,
            is_stack: format.is_layered(),
            filesystem: match format {
                Format::ErofsLayers | Format::LayerDirs => Format::Erofs.word(),
                format => format.word(),
            },
        }))
    }
}

/// What stands in an artifact for each layer, base layer first.
pub(super) fn layers(artifact: &Path, format: Format) -> Result<Vec<PathBuf>, Finding> {
    let failed = |what: String| Finding::text(FindingKind::Silent, format!("the output {what}"));
    let entries = match fs::symlink_metadata(artifact) {
        Ok(metadata) if metadata.is_dir() => fs::read_dir(artifact),
        _ => return Err(failed("is no directory of layers".to_owned())),
    };
    let entries: Result<Vec<_>, _> = entries.and_then(Iterator::collect);
    let mut entries = entries.map_err(|error| failed(format!("cannot be listed: {error}")))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in &entries {
        let kind = entry.file_type();
        let is_layer = kind.is_ok_and(|kind| match format {
            Format::LayerDirs => kind.is_dir(),
            _ => kind.is_file(),
        });
        if !is_layer {
            let name = escape(entry.file_name().as_encoded_bytes());
            return Err(failed(format!("has `{name}`, which is no layer")));
        }
    }
    if entries.len() > LAYERS_MAX {
        let count = entries.len();
        let text = format!("has {count} layers, and the kernel stacks {LAYERS_MAX}");
        return Err(failed(text));
    }
    Ok(entries.iter().map(fs::DirEntry::path).collect())
}

/// Packs directories, as they are, into images that the guest can mount.
fn pack(layers: &[PathBuf], work: &Path) -> anyhow::Result<Result<Vec<PathBuf>, Finding>> {
    fs::create_dir(work)?;
    let mut images = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let tree = match read::layer(layer) {
            Ok(tree) => tree,
            Err(error) => {
                let name = escape(layer.file_name().unwrap_or_default().as_encoded_bytes());
                let text = format!("the output cannot be read back: layer `{name}`: {error}");
                return Ok(Err(Finding::text(FindingKind::Silent, text)));
            }
        };
        let image = work.join(format!("{number:04}.erofs"));
        let bytes = tree
            .write()
            .with_context(|| format!("failed to pack `{}`", layer.display()))?;
        fs::write(&image, bytes)?;
        images.push(image);
    }
    Ok(Ok(images))
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::layers;
    use crate::boot::LAYERS_MAX;
    use crate::runner::Format;

    #[test]
    fn layers_are_what_the_format_says_in_the_order_of_their_names() {
        let artifact = tempfile::tempdir().unwrap();
        let place = artifact.path();
        let names = |format| -> Result<Vec<String>, String> {
            let paths = layers(place, format).map_err(|finding| finding.line())?;
            let name = |path: &std::path::PathBuf| path.file_name().unwrap().display().to_string();
            Ok(paths.iter().map(name).collect())
        };
        assert_eq!(names(Format::ErofsLayers), Ok(Vec::new()));
        for name in ["10", "9", "0", "A"] {
            fs::write(place.join(name), "").unwrap();
        }
        let sorted = ["0", "10", "9", "A"].map(str::to_owned).to_vec();
        assert_eq!(names(Format::ErofsLayers), Ok(sorted));
        let no_layer = |name| Err(format!("the output has `{name}`, which is no layer"));
        assert_eq!(names(Format::LayerDirs), no_layer("0"));
        fs::create_dir(place.join("1")).unwrap();
        assert_eq!(names(Format::ErofsLayers), no_layer("1"));
        fs::remove_dir(place.join("1")).unwrap();
        std::os::unix::fs::symlink("0", place.join("1")).unwrap();
        assert_eq!(names(Format::ErofsLayers), no_layer("1"));
        let file = layers(&place.join("0"), Format::LayerDirs).unwrap_err();
        assert_eq!(file.line(), "the output is no directory of layers");
    }

    #[test]
    fn more_layers_than_the_kernel_stacks_are_refused() {
        let artifact = tempfile::tempdir().unwrap();
        for number in 0..LAYERS_MAX {
            fs::write(artifact.path().join(format!("{number:04}")), "").unwrap();
        }
        let format = Format::ErofsLayers;
        assert_eq!(layers(artifact.path(), format).unwrap().len(), LAYERS_MAX);
        fs::write(artifact.path().join("more"), "").unwrap();
        let finding = layers(artifact.path(), format).unwrap_err();
        let line = "the output has 501 layers, and the kernel stacks 500";
        assert_eq!(finding.line(), line);
    }
}
