//! Scale families: cases too large for a file, whose layers are made on the fly.
//!
//! Each is as large as a tool with quadratic work needs to run out of time, while one with linear work is
//! done in seconds. All else about a family is a case file's text, read as any other.

use super::{Case, CaseError, Content, Entry, Kind, Layer, parse};

/// A case whose layers are made by code.
pub struct Family {
    /// The id: `scale/` and a name.
    pub id: &'static str,
    /// The case file without its layers.
    pub text: &'static str,
    /// How many paths every tree that is right has beside those of the shell's base layer.
    pub paths: usize,
    layers: fn() -> Vec<Layer>,
}

/// Files in one directory, and whiteouts of most of them.
const ONE_DIRECTORY: usize = 100_000;
/// Files spread over directories of a thousand.
const SMALL_FILES: usize = 50_000;
/// More names than ext4 gives an inode (`EXT4_LINK_MAX`, 65,000).
const LINKS: usize = 65_001;
/// How deep directories nest: their path is longer than `PATH_MAX`, and GNU tar stops at 2048.
const DEPTH: usize = 3000;
/// Files with an xattr value of their own.
const XATTRS: usize = 20_000;

/// Every family, in bytewise order of id.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    Family { id: "scale/directories-3000-deep", text: include_str!("family/directories-3000-deep.toml"), paths: DEPTH + 1, layers: deep },
    Family { id: "scale/directory-in-500-layers", text: include_str!("family/directory-in-500-layers.toml"), paths: 1 + 500 + 1, layers: || layers_of(500, "d/") },
    Family { id: "scale/files-100k-in-a-directory", text: include_str!("family/files-100k-in-a-directory.toml"), paths: 1 + ONE_DIRECTORY, layers: || vec![one_directory()] },
    Family { id: "scale/hard-links-65001", text: include_str!("family/hard-links-65001.toml"), paths: 1 + LINKS, layers: hard_links },
    Family { id: "scale/layers-127", text: include_str!("family/layers-127.toml"), paths: 126 + 1, layers: || layers_of(127 - 1, "") },
    Family { id: "scale/layers-129", text: include_str!("family/layers-129.toml"), paths: 128 + 1, layers: || layers_of(129 - 1, "") },
    Family { id: "scale/layers-501", text: include_str!("family/layers-501.toml"), paths: 500 + 1, layers: || layers_of(501 - 1, "") },
    Family { id: "scale/small-files-50k", text: include_str!("family/small-files-50k.toml"), paths: SMALL_FILES / 1000 + SMALL_FILES, layers: small_files },
    Family { id: "scale/whiteouts-100k", text: include_str!("family/whiteouts-100k.toml"), paths: 1 + ONE_DIRECTORY / 1000, layers: whiteouts },
    Family { id: "scale/xattr-values-20k", text: include_str!("family/xattr-values-20k.toml"), paths: 1 + XATTRS, layers: xattrs },
];

impl Family {
    /// The family of an id.
    pub fn find(id: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.id == id)
    }

    /// The case. `asset` gives the bytes of a file in `corpus/asset/`.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn case(&self, asset: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Case, CaseError> {
        let mut case = parse(self.id, self.text, asset)?;
        case.layers.extend((self.layers)());
        Ok(case)
    }
}

fn layer(entries: Vec<Entry>) -> Layer {
    Layer {
        entries,
        ..Layer::default()
    }
}

fn dir(path: impl Into<String>) -> Entry {
    Entry::new(Kind::Dir(None), path.into())
}

fn file(path: impl Into<String>, text: impl Into<Vec<u8>>) -> Entry {
    Entry::new(Kind::File(Content::Bytes(text.into())), path.into())
}

/// The numbers below `count` in an order that is neither theirs nor its reverse; `stride` and `count`
/// have no common divisor.
fn shuffled(count: usize, stride: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| index * stride % count)
}

fn one_directory() -> Layer {
    let files = shuffled(ONE_DIRECTORY, 61_803).map(|n| file(format!("d/f{n:06}"), ""));
    layer(std::iter::once(dir("d/")).chain(files).collect())
}

/// All files but every thousandth are whited out, in another order than they came.
fn whiteouts() -> Vec<Layer> {
    let gone = shuffled(ONE_DIRECTORY, 38_197).filter(|n| n % 1000 != 0);
    let markers = gone.map(|n| file(format!("d/.wh.f{n:06}"), ""));
    vec![
        one_directory(),
        layer(std::iter::once(dir("d/")).chain(markers).collect()),
    ]
}

fn small_files() -> Vec<Layer> {
    let mut entries = Vec::with_capacity(SMALL_FILES + SMALL_FILES / 1000);
    for n in 0..SMALL_FILES {
        if n % 1000 == 0 {
            entries.push(dir(format!("d{:03}/", n / 1000)));
        }
        entries.push(file(format!("d{:03}/f{:03}", n / 1000, n % 1000), "x"));
    }
    vec![layer(entries)]
}

fn hard_links() -> Vec<Layer> {
    let link = |n| Entry::new(Kind::Hardlink("l/f".into(), None), format!("l/l{n:05}"));
    let first = [dir("l/"), file("l/f", "one inode\n")];
    vec![layer(
        first.into_iter().chain((1..LINKS).map(link)).collect(),
    )]
}

fn deep() -> Vec<Layer> {
    let mut path = String::new();
    let mut entries = Vec::with_capacity(DEPTH + 1);
    for _ in 0..DEPTH {
        path.push_str("d/");
        entries.push(dir(path.as_str()));
    }
    entries.push(file(format!("{path}f"), "deep\n"));
    vec![layer(entries)]
}

/// `count` layers with a file each, which also replace the file of the layer below in part.
fn layers_of(count: usize, folder: &str) -> Vec<Layer> {
    let one = |n: usize| {
        let directory = (!folder.is_empty()).then(|| dir(folder));
        let own = file(format!("{folder}f{n:03}"), format!("{n}\n"));
        let last = file(format!("{folder}last"), format!("{n}\n"));
        layer(directory.into_iter().chain([own, last]).collect())
    };
    (1..=count).map(one).collect()
}

fn xattrs() -> Vec<Layer> {
    let one = |n: usize| {
        let mut entry = file(format!("x/f{n:05}"), "");
        let value = format!("value {n}");
        entry.xattrs.insert("user.own".into(), value.into());
        entry
    };
    vec![layer(
        std::iter::once(dir("x/"))
            .chain((0..XATTRS).map(one))
            .collect(),
    )]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FAMILIES, Family, ONE_DIRECTORY};
    use crate::case::{Case, Content, Kind};

    fn case(family: &Family) -> Case {
        let shell = |name: &str| (name == "sh").then(Vec::new);
        family.case(&shell).unwrap()
    }

    #[test]
    fn families_stand_in_order_and_are_found() {
        assert!(FAMILIES.is_sorted_by_key(|family| family.id.as_bytes()));
        for family in FAMILIES {
            assert!(family.id.starts_with("scale/"), "{}", family.id);
            let case = case(family);
            assert!(case.is_family() && case.layers.len() > 1, "{}", family.id);
            assert!(!case.goldens().is_empty(), "{}", family.id);
        }
        assert!(Family::find("whiteout/basic").is_none());
    }

    #[test]
    fn layers_are_counted_with_the_base() {
        for count in [127, 129, 501] {
            let family = Family::find(&format!("scale/layers-{count}")).unwrap();
            assert_eq!(case(family).layers.len(), count);
        }
    }

    #[test]
    fn each_whiteout_is_of_another_file_and_a_hundred_files_have_none() {
        let case = case(Family::find("scale/whiteouts-100k").unwrap());
        let paths = |layer: usize| {
            let entries = case.layers[layer].entries.iter();
            let files =
                entries.filter(|entry| entry.kind == Kind::File(Content::Bytes(Vec::new())));
            files
                .map(|entry| entry.path.to_string())
                .collect::<Vec<_>>()
        };
        let (files, markers) = (paths(1), paths(2));
        assert!(!files.is_sorted() && !markers.is_sorted());
        let unique: BTreeSet<&String> = files.iter().collect();
        assert_eq!((files.len(), unique.len()), (ONE_DIRECTORY, ONE_DIRECTORY));
        let hidden: BTreeSet<String> = markers
            .iter()
            .map(|path| path.replace(".wh.", ""))
            .collect();
        assert_eq!(hidden.len(), markers.len());
        let kept: Vec<&&String> = unique
            .iter()
            .filter(|file| !hidden.contains(**file))
            .collect();
        assert_eq!(kept.len(), ONE_DIRECTORY / 1000);
        assert_eq!(
            (kept[0].as_str(), kept[1].as_str()),
            ("d/f000000", "d/f001000")
        );
    }
}
