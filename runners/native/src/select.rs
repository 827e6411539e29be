//! Which manifest: image-layout.md#indexjson-file, image-index.md, annotations.md.

use std::collections::HashSet;

use crate::error::Error;
use crate::json::{self, Object};
use crate::layout::{Descriptor, Layout, check_versioned};
use crate::limits;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What an index entry says about the machine its image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Platform {
    /// linux/amd64 and no feature we do not know.
    Ours,
    Unstated,
    Other,
}

/// Chooses the manifest. Among several the first one for linux/amd64 wins (image-index.md: "the first
/// matching entry SHOULD be used").
pub(crate) fn manifest(layout: &Layout, reference: Option<&str>) -> Result<Descriptor, Error> {
    let bytes = layout.document("index.json")?;
    let mut search = Search {
        layout,
        reference,
        expanded: HashSet::new(),
        found: Vec::new(),
    };
    search.index(&bytes, "index.json", OCI_INDEX, 0)?;
    let mut found = search.found;
    let first = |platform| found.iter().position(|(p, _)| *p == platform);
    let only = || (found.len() == 1).then_some(0);
    if let Some(chosen) = first(Platform::Ours)
        .or_else(|| first(Platform::Unstated))
        .or_else(only)
    {
        return found.swap_remove(chosen).1;
    }
    let problem = match (found.len(), reference) {
        (0, Some(name)) => format!("no image manifest is named `{}`", name.escape_default()),
        (0, None) => "lists no image manifest".to_owned(),
        (n, _) => format!("none of its {n} image manifests is for linux/amd64"),
    };
    Err(Error::document("index.json", problem))
}

struct Search<'a> {
    layout: &'a Layout,
    reference: Option<&'a str>,
    /// Indexes already looked into: a second look finds nothing new.
    expanded: HashSet<String>,
    /// A descriptor that is not chosen may be as wrong as it likes.
    found: Vec<(Platform, Result<Descriptor, Error>)>,
}

impl Search<'_> {
    fn index(
        &mut self,
        bytes: &[u8],
        name: &str,
        media_type: &str,
        depth: usize,
    ) -> Result<(), Error> {
        let map = json::parse(bytes, name)?;
        let object = Object::root(&map, name);
        check_versioned(&object, media_type)?;
        if object.has("config") || object.has("layers") {
            return Err(object.error("an index that also has `config` or `layers`"));
        }
        for entry in object.objects("manifests")? {
            if depth == 0 && !self.is_named(&entry)? {
                continue;
            }
            match entry.string("mediaType")? {
                OCI_MANIFEST | DOCKER_MANIFEST => self.candidate(&entry)?,
                OCI_INDEX | DOCKER_LIST => self.nested(&entry, depth + 1)?,
                // image-index.md: an unknown media type must not be an error.
                _ => {}
            }
        }
        Ok(())
    }

    fn is_named(&self, entry: &Object<'_>) -> Result<bool, Error> {
        let Some(reference) = self.reference else {
            return Ok(true);
        };
        match entry.optional_object("annotations")? {
            Some(annotations) => Ok(annotations.optional_string(REF_NAME)? == Some(reference)),
            None => Ok(false),
        }
    }

    fn candidate(&mut self, entry: &Object<'_>) -> Result<(), Error> {
        if let Some(platform) = platform(entry)? {
            if self.found.len() == limits::MANIFESTS {
                let limit = limits::MANIFESTS;
                return Err(entry.error(format_args!("more than {limit} manifests")));
            }
            self.found.push((platform, Descriptor::parse(entry)));
        }
        Ok(())
    }

    fn nested(&mut self, entry: &Object<'_>, depth: usize) -> Result<(), Error> {
        if depth > limits::INDEX_DEPTH {
            let limit = limits::INDEX_DEPTH;
            return Err(entry.error(format_args!("indexes nest deeper than {limit}")));
        }
        let descriptor = Descriptor::parse(entry)?;
        if !self.expanded.insert(descriptor.digest.to_string()) {
            return Ok(());
        }
        let name = format!("index {}", descriptor.digest);
        let bytes = self.layout.blob_content(&descriptor, &name)?;
        self.index(&bytes, &name, &descriptor.media_type, depth)
    }
}

/// The platform of an entry, or nothing if it is an attestation.
fn platform(entry: &Object<'_>) -> Result<Option<Platform>, Error> {
    let Some(platform) = entry.optional_object("platform")? else {
        return Ok(Some(Platform::Unstated));
    };
    let (os, architecture) = (platform.string("os")?, platform.string("architecture")?);
    if os == "unknown" && architecture == "unknown" {
        return Ok(None);
    }
    // `os.features` are mandatory features. No Linux one is known to us; erofs images carry one.
    let features = platform.has("os.features") && !platform.strings("os.features")?.is_empty();
    match os == "linux" && architecture == "amd64" && !features {
        true => Ok(Some(Platform::Ours)),
        false => Ok(Some(Platform::Other)),
    }
}
