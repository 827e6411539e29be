//! The image layout on disk: image-layout.md, descriptor.md.
//!
//! Blobs are opened one component at a time without following symbolic links and without blocking, so
//! that a link, fifo, device or directory in their place is an error and never a hang.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};

use crate::digest::Digest;
use crate::error::Error;
use crate::json::{self, Object};
use crate::limits;
use crate::select;

/// An opened layout.
pub(crate) struct Layout {
    path: PathBuf,
    dir: OwnedFd,
}

/// A content descriptor whose digest has the right form.
#[derive(Clone, Debug)]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// How a layer's tar stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// One layer of the chosen image.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) blob: Descriptor,
    pub(crate) compression: Compression,
    /// Digest of the uncompressed tar stream.
    pub(crate) diff_id: Digest,
}

/// The chosen image, base layer first.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Layer>,
}

impl Layout {
    /// Opens a layout and checks its version.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|e| Error::io("open the image layout", path, e))?;
        let layout = Self {
            path: path.to_owned(),
            dir,
        };
        let map = json::parse(&layout.document("oci-layout")?, "oci-layout")?;
        let object = Object::root(&map, "oci-layout");
        match object.string("imageLayoutVersion")? {
            "1.0.0" => Ok(layout),
            other => Err(object.error(format_args!(
                "`imageLayoutVersion` is `{}`, expected `1.0.0`",
                other.escape_default()
            ))),
        }
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Selects the image and reads its manifest and configuration.
    pub(crate) fn image(&self, reference: Option<&str>) -> Result<Image, Error> {
        let manifest = select::manifest(self, reference)?;
        let name = format!("manifest {}", manifest.digest);
        let map = json::parse(&self.blob_content(&manifest, &name)?, &name)?;
        let object = Object::root(&map, &name);
        check_versioned(&object, &manifest.media_type)?;
        if object.has("manifests") {
            return Err(object.error("has both the `layers` of a manifest and `manifests`"));
        }
        let config = Descriptor::parse(&object.object("config")?)?;
        if !is_image_config(&config.media_type) {
            let found = config.media_type.escape_default();
            return Err(object.error(format_args!(
                "not a container image: its configuration has media type `{found}`"
            )));
        }
        let blobs = object.objects("layers")?;
        let diff_ids = self.diff_ids(&config)?;
        if blobs.len() != diff_ids.len() {
            return Err(object.error(format_args!(
                "{} layers, but the configuration has {} diff IDs",
                blobs.len(),
                diff_ids.len()
            )));
        }
        let layer = |(blob, diff_id)| self.layer(blob, diff_id);
        Ok(Image {
            layers: blobs
                .iter()
                .zip(diff_ids)
                .map(layer)
                .collect::<Result<_, _>>()?,
        })
    }

    fn layer(&self, object: &Object<'_>, diff_id: Digest) -> Result<Layer, Error> {
        let blob = Descriptor::parse(object)?;
        let Some(compression) = layer_compression(&blob.media_type) else {
            return Err(object.error(format_args!(
                "layer {} has media type `{}`, which this extractor cannot unpack",
                blob.digest,
                blob.media_type.escape_default()
            )));
        };
        // Missing and misplaced blobs show up before anything is written.
        self.stat_blob(&blob, &format!("layer {}", blob.digest))?;
        Ok(Layer {
            blob,
            compression,
            diff_id,
        })
    }

    /// The diff IDs of the configuration, config.md#properties.
    fn diff_ids(&self, config: &Descriptor) -> Result<Vec<Digest>, Error> {
        let name = format!("configuration {}", config.digest);
        let map = json::parse(&self.blob_content(config, &name)?, &name)?;
        let rootfs = Object::root(&map, &name).object("rootfs")?;
        match rootfs.string("type")? {
            "layers" => {}
            other => {
                let other = other.escape_default();
                return Err(rootfs.error(format_args!("`type` is `{other}`, expected `layers`")));
            }
        }
        let parse = |text| Digest::parse(text).map_err(|problem| rootfs.error(problem));
        rootfs.strings("diff_ids")?.into_iter().map(parse).collect()
    }

    /// A document at the top of the layout.
    pub(crate) fn document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let shown = self.path.join(name);
        let file = open_regular(&self.dir, name).map_err(|e| e.at(&shown))?;
        read_bounded(file, limits::DOCUMENT_BYTES).map_err(|e| e.at(&shown))
    }

    /// The content of a small blob, with size and digest verified.
    pub(crate) fn blob_content(&self, blob: &Descriptor, what: &str) -> Result<Vec<u8>, Error> {
        if blob.size > limits::DOCUMENT_BYTES {
            let limit = limits::DOCUMENT_BYTES;
            let problem = format!("is {} bytes, more than the limit of {limit}", blob.size);
            return Err(Error::document(what, problem));
        }
        let file = self
            .open_blob(blob)
            .map_err(|e| self.blob_error(blob, what, e))?;
        let content = read_bounded(file, blob.size).map_err(|e| self.blob_error(blob, what, e))?;
        let digest = Digest::of(blob.digest.algorithm(), &content);
        if digest != blob.digest {
            return Err(Error::document(
                what,
                format!("its content has digest {digest}"),
            ));
        }
        Ok(content)
    }

    /// Opens a blob whose size matches its descriptor.
    pub(crate) fn open_blob(&self, blob: &Descriptor) -> Result<File, OpenError> {
        let dir = self.blob_dir(blob)?;
        let file = open_regular(&dir, blob.digest.hex())?;
        let size = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
        check_size(blob, size)?;
        Ok(file)
    }

    fn stat_blob(&self, blob: &Descriptor, what: &str) -> Result<(), Error> {
        let stat = || {
            let stat = stat_regular(&self.blob_dir(blob)?, blob.digest.hex())?;
            check_size(blob, stat)
        };
        stat().map_err(|e| self.blob_error(blob, what, e))
    }

    fn blob_dir(&self, blob: &Descriptor) -> Result<OwnedFd, OpenError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let blobs = openat(&self.dir, "blobs", flags, Mode::empty())?;
        Ok(openat(
            &blobs,
            blob.digest.algorithm().name(),
            flags,
            Mode::empty(),
        )?)
    }

    fn blob_error(&self, blob: &Descriptor, what: &str, error: OpenError) -> Error {
        let algorithm = blob.digest.algorithm().name();
        let path = self
            .path
            .join("blobs")
            .join(algorithm)
            .join(blob.digest.hex());
        Error::document(what, format!("cannot read `{}`: {error}", path.display()))
    }
}

impl Descriptor {
    /// Parses a descriptor, descriptor.md#properties. `urls` are never fetched.
    pub(crate) fn parse(object: &Object<'_>) -> Result<Self, Error> {
        let media_type = object.string("mediaType")?.to_owned();
        let digest = Digest::parse(object.string("digest")?).map_err(|e| object.error(e))?;
        let size = object.number("size")?;
        if let Some(data) = object.optional_string("data")? {
            check_data(data, &digest, size).map_err(|problem| object.error(problem))?;
        }
        Ok(Self {
            media_type,
            digest,
            size,
        })
    }
}

/// Why a file of the layout cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("not a regular file")]
    NotRegular,
    #[error("{found} bytes, but its descriptor says {expected}")]
    Size { found: u64, expected: u64 },
    #[error("more than {0} bytes")]
    TooLarge(u64),
}

impl From<rustix::io::Errno> for OpenError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl OpenError {
    fn at(self, path: &Path) -> Error {
        Error::io("read", path, self)
    }
}

/// `schemaVersion` must be 2 and a `mediaType` inside must say what the descriptor said.
pub(crate) fn check_versioned(object: &Object<'_>, media_type: &str) -> Result<(), Error> {
    match object.number("schemaVersion")? {
        2 => {}
        other => return Err(object.error(format_args!("`schemaVersion` is {other}, expected 2"))),
    }
    match object.optional_string("mediaType")? {
        Some(found) if found != media_type => Err(object.error(format_args!(
            "`mediaType` is `{}`, but its descriptor says `{}`",
            found.escape_default(),
            media_type.escape_default()
        ))),
        _ => Ok(()),
    }
}

fn check_data(data: &str, digest: &Digest, size: u64) -> Result<(), String> {
    let content = BASE64
        .decode(data.as_bytes())
        .map_err(|e| format!("`data`: {e}"))?;
    if content.len() as u64 != size || Digest::of(digest.algorithm(), &content) != *digest {
        return Err(format!("`data` is not the content of {digest}"));
    }
    Ok(())
}

fn check_size(blob: &Descriptor, found: u64) -> Result<(), OpenError> {
    match found == blob.size {
        true => Ok(()),
        false => Err(OpenError::Size {
            found,
            expected: blob.size,
        }),
    }
}

fn stat_regular(dir: &OwnedFd, name: &str) -> Result<u64, OpenError> {
    let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
        _ => Err(OpenError::NotRegular),
    }
}

/// Opens a regular file. It is looked at before it is opened, because opening a device can act, and
/// again afterwards, because the first look may be stale.
fn open_regular(dir: &OwnedFd, name: &str) -> Result<File, OpenError> {
    stat_regular(dir, name)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(File::from(file)),
        _ => Err(OpenError::NotRegular),
    }
}

fn read_bounded(file: File, limit: u64) -> Result<Vec<u8>, OpenError> {
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content)?;
    match content.len() as u64 > limit {
        true => Err(OpenError::TooLarge(limit)),
        false => Ok(content),
    }
}

fn is_image_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
    )
}

/// The layer media types of media-types.md and Docker's equivalents, non-distributable ones included.
fn layer_compression(media_type: &str) -> Option<Compression> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Some(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Compression::Zstd),
        _ => None,
    }
}
