//! Images to mutate, and mutated images.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use fs_err as fs;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::mutate::{self, Random};
use crate::case::{Case, Compression, Expect};
use crate::command::Home;
use crate::image::write_layout;

/// The images that mutations start from.
pub(super) struct Pool(Vec<Image>);

/// An image in memory, with the texts that belong to it.
struct Image {
    id: String,
    /// As the case has it.
    packed: BTreeMap<String, Vec<u8>>,
    /// With plain layers, whose digests can be mended.
    plain: BTreeMap<String, Vec<u8>>,
    case: String,
    mtree: String,
}

/// A mutated image, and mutated texts.
pub(super) struct Damaged {
    files: BTreeMap<String, Vec<u8>>,
    /// A layer's archive by itself.
    pub(super) archive: Vec<u8>,
    /// The text of a case file.
    pub(super) case: String,
    /// The text of an mtree file.
    pub(super) mtree: String,
}

impl Pool {
    /// The small cases that are accepted.
    pub(super) fn new(cases: &[Case], home: &Home, work: &Path) -> anyhow::Result<Pool> {
        let mut images = Vec::new();
        for case in cases {
            if !matches!(case.expect, Expect::Tree) || !super::is_small(case) {
                continue;
            }
            let mut plain = case.clone();
            for layer in &mut plain.layers {
                layer.compression = Compression::None;
                layer.members = 0;
            }
            let source = home.root.join("corpus").join(format!("{}.toml", case.id));
            images.push(Image {
                id: case.id.clone(),
                packed: files(case, work)?,
                plain: files(&plain, work)?,
                case: fs::read_to_string(source)?,
                mtree: fs::read_to_string(home.golden(&case.id))?,
            });
        }
        anyhow::ensure!(!images.is_empty(), "the corpus has no small case to mutate");
        Ok(Pool(images))
    }

    /// Writes what each fuzz target can begin with into a folder of its name; returns how many files.
    pub(super) fn write_seeds(&self, folder: &Path) -> anyhow::Result<usize> {
        let mut count = 0;
        for image in &self.0 {
            let name = image.id.replace('/', "-");
            let archives = Documents::read(&image.plain).map_or(Vec::new(), |documents| {
                let layers = documents.manifest["layers"].as_array();
                let layers = layers.map_or(&[][..], Vec::as_slice).iter();
                layers
                    .filter_map(|layer| follow(&image.plain, layer).cloned())
                    .collect()
            });
            let mut seeds = vec![
                ("case", name.clone(), image.case.clone().into_bytes()),
                ("mtree", name.clone(), image.mtree.clone().into_bytes()),
            ];
            for (index, archive) in archives.into_iter().enumerate() {
                seeds.push(("archive", format!("{name}-{index}"), archive.clone()));
                seeds.push(("native", format!("{name}-{index}"), archive));
            }
            for (target, name, content) in seeds {
                fs::create_dir_all(folder.join(target))?;
                fs::write(folder.join(target).join(name), content)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The next image with something wrong with it.
    pub(super) fn damaged(&self, random: &mut Random) -> Damaged {
        let image = &self.0[random.below(self.0.len())];
        let (files, archive) = match random.below(4) {
            // Nothing is mended: the digests must catch it.
            0 => {
                let mut files = image.packed.clone();
                let name = pick(&files, random);
                mutate::bytes(files.get_mut(&name).expect("it was picked"), random);
                (files, Vec::new())
            }
            // A document, which nothing but its parent's digest protects.
            1 => (document(&image.plain, random), Vec::new()),
            _ => stream(&image.plain, random),
        };
        Damaged {
            files,
            archive,
            case: mutate::text(&image.case, random),
            mtree: mutate::text(&image.mtree, random),
        }
    }
}

impl Damaged {
    /// Writes the layout.
    pub(super) fn write(&self, to: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(to.join("blobs/sha256"))?;
        for (name, content) in &self.files {
            fs::write(to.join(name), content)?;
        }
        Ok(())
    }
}

/// A case's layout, read back into memory.
fn files(case: &Case, work: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let layout = work.join("pool");
    write_layout(case, &layout).with_context(|| format!("failed to write `{}`", case.id))?;
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&layout) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(&layout)?.display().to_string();
            files.insert(name, fs::read(entry.path())?);
        }
    }
    fs::remove_dir_all(&layout)?;
    Ok(files)
}

fn pick(files: &BTreeMap<String, Vec<u8>>, random: &mut Random) -> String {
    let names: Vec<&String> = files.keys().collect();
    names[random.below(names.len())].clone()
}

/// The documents of a layout, top down, with the file names of the blobs.
struct Documents {
    index: Value,
    manifest: Value,
    config: Value,
}

impl Documents {
    fn read(files: &BTreeMap<String, Vec<u8>>) -> Option<Documents> {
        let index: Value = serde_json::from_slice(files.get("index.json")?).ok()?;
        let manifest = follow(files, &index["manifests"][0])?;
        let manifest: Value = serde_json::from_slice(manifest).ok()?;
        let config = serde_json::from_slice(follow(files, &manifest["config"])?).ok()?;
        Some(Documents {
            index,
            manifest,
            config,
        })
    }

    /// Stores configuration, manifest and index anew, each with the digest of the one below.
    fn write(mut self, files: &mut BTreeMap<String, Vec<u8>>) {
        let config = self.config.to_string().into_bytes();
        store(files, &mut self.manifest["config"], config);
        let manifest = self.manifest.to_string().into_bytes();
        store(files, &mut self.index["manifests"][0], manifest);
        files.insert("index.json".to_owned(), self.index.to_string().into_bytes());
    }
}

fn follow<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Option<&'a Vec<u8>> {
    let hex = descriptor["digest"].as_str()?.strip_prefix("sha256:")?;
    files.get(&format!("blobs/sha256/{hex}"))
}

/// Stores a blob and makes the descriptor tell of it; returns its digest.
fn store(files: &mut BTreeMap<String, Vec<u8>>, descriptor: &mut Value, blob: Vec<u8>) -> String {
    let hex = data_encoding::HEXLOWER.encode(&Sha256::digest(&blob));
    let digest = format!("sha256:{hex}");
    if let Some(fields) = descriptor.as_object_mut() {
        fields.insert("digest".to_owned(), digest.clone().into());
        fields.insert("size".to_owned(), blob.len().into());
    }
    files.insert(format!("blobs/sha256/{hex}"), blob);
    digest
}

/// Mutates the archive of a layer, and mends every digest above it.
fn stream(
    files: &BTreeMap<String, Vec<u8>>,
    random: &mut Random,
) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
    let mut files = files.clone();
    let Some(mut documents) = Documents::read(&files) else {
        return (files, Vec::new());
    };
    let layers = documents.manifest["layers"].as_array().map_or(0, Vec::len);
    let layer = random.below(layers);
    let mut archive = match follow(&files, &documents.manifest["layers"][layer]) {
        Some(archive) => archive.clone(),
        None => return (files, Vec::new()),
    };
    if random.below(2) == 0 {
        mutate::header(&mut archive, random);
    } else {
        mutate::bytes(&mut archive, random);
    }
    let descriptor = &mut documents.manifest["layers"][layer];
    let digest = store(&mut files, descriptor, archive.clone());
    if let Some(diff_id) = documents
        .config
        .pointer_mut(&format!("/rootfs/diff_ids/{layer}"))
    {
        *diff_id = digest.into();
    }
    documents.write(&mut files);
    (files, archive)
}

/// Mutates the text of a document, or swaps two descriptors, and mends the digests above it.
fn document(files: &BTreeMap<String, Vec<u8>>, random: &mut Random) -> BTreeMap<String, Vec<u8>> {
    let mut files = files.clone();
    let Some(mut documents) = Documents::read(&files) else {
        return files;
    };
    match random.below(4) {
        0 => {
            let layers = documents.manifest["layers"].as_array_mut();
            if let Some(layers) = layers.filter(|layers| !layers.is_empty()) {
                let (a, b) = (random.below(layers.len()), random.below(layers.len()));
                layers.swap(a, b);
            }
            documents.write(&mut files);
        }
        1 => {
            let text = mutate::text(&documents.index.to_string(), random);
            files.insert("index.json".to_owned(), text.into_bytes());
        }
        2 => {
            let text = mutate::text(&documents.manifest.to_string(), random);
            store(
                &mut files,
                &mut documents.index["manifests"][0],
                text.into_bytes(),
            );
            let index = documents.index.to_string().into_bytes();
            files.insert("index.json".to_owned(), index);
        }
        _ => {
            let text = mutate::text(&documents.config.to_string(), random);
            store(
                &mut files,
                &mut documents.manifest["config"],
                text.into_bytes(),
            );
            let manifest = documents.manifest.to_string().into_bytes();
            store(&mut files, &mut documents.index["manifests"][0], manifest);
            let index = documents.index.to_string().into_bytes();
            files.insert("index.json".to_owned(), index);
        }
    }
    files
}
