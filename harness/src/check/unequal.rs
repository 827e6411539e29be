//! Where two artifacts of one format differ.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::images::layers;
use crate::case::escape::escape;
use crate::read;
use crate::runner::Format;
use crate::tree::diff;

/// Where two artifacts first differ, in words; nothing where they are equal: files in their bytes,
/// directories of layers in what a reader sees of them.
///
/// # Errors
///
/// Of reading files.
pub(super) fn first_unequal(a: &Path, b: &Path, format: Format) -> anyhow::Result<Option<String>> {
    if !format.is_layered() {
        let offset = first_difference(a, b)?;
        return Ok(offset.map(|offset| format!("byte {offset}")));
    }
    let (a, b) = match (layers(a, format), layers(b, format)) {
        (Ok(a), Ok(b)) if names(&a) == names(&b) => (a, b),
        _ => return Ok(Some("the names of their layers".to_owned())),
    };
    for ((a, b), name) in a.iter().zip(&b).zip(names(&a)) {
        let place = match format {
            Format::LayerDirs if is_same_directory(a, b) => None,
            Format::LayerDirs => Some(format!("layer {name}")),
            _ => first_difference(a, b)?.map(|offset| format!("byte {offset} of layer {name}")),
        };
        if place.is_some() {
            return Ok(place);
        }
    }
    Ok(None)
}

fn is_same_directory(a: &Path, b: &Path) -> bool {
    matches!((read::dir(a), read::dir(b)), (Ok(a), Ok(b)) if diff(&a, &b).is_empty())
}

/// The names of layers.
fn names(layers: &[PathBuf]) -> Vec<String> {
    let name = |path: &PathBuf| escape(path.file_name().unwrap_or_default().as_encoded_bytes());
    layers.iter().map(name).collect()
}

/// The offset of the first byte in which two files differ, their end included.
fn first_difference(a: &Path, b: &Path) -> anyhow::Result<Option<u64>> {
    let (mut a, mut b) = (fs::File::open(a)?, fs::File::open(b)?);
    let mut offset = 0;
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let (m, n) = (
            fill(a.file_mut(), &mut left)?,
            fill(b.file_mut(), &mut right)?,
        );
        let differs = left[..m].iter().zip(&right[..n]).position(|(x, y)| x != y);
        if let Some(at) = differs.or((m != n).then_some(m.min(n))) {
            return Ok(Some(offset + at as u64));
        }
        if m == 0 {
            return Ok(None);
        }
        offset += m as u64;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::first_unequal;
    use crate::runner::Format;

    #[test]
    fn layers_are_compared_one_by_one() {
        let place = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| place.path().join(name));
        for artifact in [&a, &b] {
            fs::create_dir(artifact).unwrap();
            fs::write(artifact.join("0"), "same").unwrap();
            fs::write(artifact.join("1"), "other").unwrap();
        }
        let unequal = || first_unequal(&a, &b, Format::ErofsLayers).unwrap();
        assert_eq!(unequal(), None);
        fs::write(b.join("1"), "oth").unwrap();
        assert_eq!(unequal().as_deref(), Some("byte 3 of layer 1"));
        fs::rename(b.join("1"), b.join("2")).unwrap();
        assert_eq!(unequal().as_deref(), Some("the names of their layers"));
    }

    #[test]
    fn directories_of_layers_are_compared_as_trees() {
        let place = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| place.path().join(name));
        let time = std::time::SystemTime::UNIX_EPOCH;
        for artifact in [&a, &b] {
            fs::create_dir_all(artifact.join("0")).unwrap();
            fs::write(artifact.join("0/f"), "same").unwrap();
            for path in ["0/f", "0"] {
                let file = std::fs::File::open(artifact.join(path)).unwrap();
                file.set_modified(time).unwrap();
            }
        }
        let unequal = || first_unequal(&a, &b, Format::LayerDirs).unwrap();
        assert_eq!(unequal(), None);
        fs::write(b.join("0/f"), "othr").unwrap();
        assert_eq!(unequal().as_deref(), Some("layer 0"));
    }
}
