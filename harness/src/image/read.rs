//! Any OCI image layout back to layer changesets, for `--layout` and as a check on the writer.
//!
//! Tar headers are read by the `tar` crate, gzip by flate2 and zstd by ruzstd: none of them is used
//! by the writer or by `native`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::pax;
use crate::case::{Compression, Content, Device, Entry, Kind, Layer, Time};

/// The largest JSON document that is read.
const DOCUMENT_BYTES_MAX: u64 = 16 << 20;
/// How many indexes may be nested.
const INDEX_DEPTH_MAX: usize = 8;

/// Why a layout could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the image layout `{}`: {what}", layout.display())]
pub struct ReadError {
    /// The layout.
    pub layout: PathBuf,
    /// The place, the cause and, where there is one, the way out.
    pub what: String,
}

/// Reads the layer changesets of the image `reference` names (or the only one, or the first for
/// linux/amd64), base layer first. File contents are kept as size and SHA-256.
///
/// # Errors
///
/// A missing, unreadable or malformed document or blob; a digest, size or diff ID that does not
/// match; a media type that is no layer.
pub fn read_layout(layout: &Path, reference: Option<&str>) -> Result<Vec<Layer>, ReadError> {
    let reader = Reader { layout };
    reader.layers(reference).map_err(|what| ReadError {
        layout: layout.to_owned(),
        what,
    })
}

/// Reads the entries of one uncompressed archive.
///
/// # Errors
///
/// Those of `archive`, and headers the `tar` crate does not take.
pub fn read_entries(archive: impl Read) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let (watched, records) = pax::Watch::new(archive);
    for entry in tar::Archive::new(watched).entries()? {
        let entry = entry?;
        let records = records.borrow_mut().remove(&entry.raw_header_position());
        entries.extend(read_entry(entry, &records.unwrap_or_default())?);
    }
    Ok(entries)
}

struct Reader<'a> {
    layout: &'a Path,
}

impl Reader<'_> {
    fn layers(&self, reference: Option<&str>) -> Result<Vec<Layer>, String> {
        let version = self.document(&self.layout.join("oci-layout"))?;
        if version["imageLayoutVersion"] != "1.0.0" {
            return Err("`oci-layout` has no imageLayoutVersion 1.0.0".to_owned());
        }
        let index = self.document(&self.layout.join("index.json"))?;
        let manifest = self.manifest(&index, reference, 0)?;
        let config = self.blob_document(&manifest["config"])?;
        let descriptors = manifest["layers"]
            .as_array()
            .ok_or("the manifest has no `layers`")?;
        let diff_ids = config["rootfs"]["diff_ids"].as_array();
        let diff_ids = diff_ids.ok_or("the configuration has no `rootfs.diff_ids`")?;
        if diff_ids.len() != descriptors.len() {
            let (ids, layers) = (diff_ids.len(), descriptors.len());
            return Err(format!("{ids} diff IDs for {layers} layers"));
        }
        descriptors
            .iter()
            .zip(diff_ids)
            .enumerate()
            .map(|(index, (descriptor, diff_id))| {
                self.layer(descriptor, diff_id)
                    .map_err(|what| format!("layer {index}: {what}"))
            })
            .collect()
    }

    fn manifest(
        &self,
        index: &Value,
        reference: Option<&str>,
        depth: usize,
    ) -> Result<Value, String> {
        if depth > INDEX_DEPTH_MAX {
            return Err(format!(
                "indexes are nested more than {INDEX_DEPTH_MAX} deep"
            ));
        }
        let manifests = index["manifests"]
            .as_array()
            .ok_or("an index has no `manifests`")?;
        let name = |descriptor: &Value| {
            descriptor["annotations"]["org.opencontainers.image.ref.name"].clone()
        };
        let fits = |descriptor: &&Value| {
            let platform = &descriptor["platform"];
            platform.is_null() || platform["architecture"] == "amd64" && platform["os"] == "linux"
        };
        let chosen = match reference {
            Some(reference) => manifests
                .iter()
                .find(|one| name(one) == reference && fits(one)),
            None => manifests.iter().find(fits),
        };
        let chosen = chosen.ok_or_else(|| match reference {
            Some(reference) => format!("no linux/amd64 manifest named `{reference}` in the index"),
            None => "no manifest for linux/amd64 in the index".to_owned(),
        })?;
        let document = self.blob_document(chosen)?;
        if document["manifests"].is_array() {
            return self.manifest(&document, None, depth + 1);
        }
        Ok(document)
    }

    fn layer(&self, descriptor: &Value, diff_id: &Value) -> Result<Layer, String> {
        let media_type = descriptor["mediaType"]
            .as_str()
            .ok_or("a descriptor has no mediaType")?;
        let compression = compression_of(media_type)?;
        let path = self.blob_path(descriptor)?;
        self.check_blob(descriptor, &path)?;
        let file = BufReader::with_capacity(1 << 20, open(&path)?);
        let plain: Box<dyn Read> = match compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(ZstdFrames::new(file)),
        };
        let mut hashing = HashingReader {
            inner: plain,
            hash: Sha256::new(),
        };
        let entries = read_entries(&mut hashing).map_err(|error| error.to_string())?;
        io::copy(&mut hashing, &mut io::sink()).map_err(|error| error.to_string())?;
        let actual = format!(
            "sha256:{}",
            data_encoding::HEXLOWER.encode(&hashing.hash.finalize())
        );
        if diff_id.as_str() != Some(actual.as_str()) {
            return Err(format!(
                "the diff ID is {diff_id}, the archive's digest {actual}"
            ));
        }
        Ok(Layer {
            entries,
            compression,
            ..Layer::default()
        })
    }

    fn blob_document(&self, descriptor: &Value) -> Result<Value, String> {
        let path = self.blob_path(descriptor)?;
        self.check_blob(descriptor, &path)?;
        self.document(&path)
    }

    fn document(&self, path: &Path) -> Result<Value, String> {
        let mut text = Vec::new();
        open(path)?
            .take(DOCUMENT_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| format!("`{}`: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("`{}`: {error}", path.display()))
    }

    fn blob_path(&self, descriptor: &Value) -> Result<PathBuf, String> {
        let digest = descriptor["digest"]
            .as_str()
            .ok_or("a descriptor has no digest")?;
        let hex = digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        let hex = hex.ok_or_else(|| format!("`{digest}` is no sha256 digest"))?;
        Ok(self.layout.join("blobs/sha256").join(hex))
    }

    fn check_blob(&self, descriptor: &Value, path: &Path) -> Result<(), String> {
        let mut hash = Sha256::new();
        let mut file = open(path)?;
        let size = io::copy(&mut file, &mut HashingWriter(&mut hash))
            .map_err(|error| format!("`{}`: {error}", path.display()))?;
        if descriptor["size"].as_u64() != Some(size) {
            let stated = &descriptor["size"];
            return Err(format!(
                "`{}`: stated size {stated}, found {size}",
                path.display()
            ));
        }
        let actual = data_encoding::HEXLOWER.encode(&hash.finalize());
        if path.file_name().is_none_or(|name| name != actual.as_str()) {
            return Err(format!(
                "`{}`: the content's digest is sha256:{actual}",
                path.display()
            ));
        }
        Ok(())
    }
}

/// Opens a regular file; a named pipe in its place is an error, not a wait for ever.
fn open(path: &Path) -> Result<File, String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map(File::from)
        .map_err(|error| format!("`{}`: {error}", path.display()))?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file {
        Ok(file)
    } else {
        Err(format!("`{}` is no regular file", path.display()))
    }
}

fn compression_of(media_type: &str) -> Result<Compression, String> {
    const PREFIXES: [&str; 3] = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar",
    ];
    let suffix = PREFIXES
        .iter()
        .find_map(|prefix| media_type.strip_prefix(prefix));
    match suffix {
        Some("") => Ok(Compression::None),
        Some("+gzip" | ".gzip") => Ok(Compression::Gzip),
        Some("+zstd" | ".zstd") => Ok(Compression::Zstd),
        _ => Err(format!("`{media_type}` is no tar layer")),
    }
}

fn read_entry(
    mut entry: tar::Entry<'_, impl Read>,
    records: &[(Vec<u8>, Vec<u8>)],
) -> io::Result<Option<Entry>> {
    let header = entry.header().clone();
    let target = || {
        entry
            .link_name_bytes()
            .map(|name| name.into_owned())
            .unwrap_or_default()
    };
    let device = || -> io::Result<Device> {
        Ok(Device {
            major: header.device_major()?.unwrap_or(0),
            minor: header.device_minor()?.unwrap_or(0),
        })
    };
    let directory = entry.path_bytes().ends_with(b"/");
    let kind = match header.entry_type() {
        tar::EntryType::Regular if directory => Kind::Dir(None),
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            Kind::File(Content::Digest {
                size: 0,
                sha256: [0; 32],
            })
        }
        tar::EntryType::Link => Kind::Hardlink(target().into(), None),
        tar::EntryType::Symlink => Kind::Symlink(target().into()),
        tar::EntryType::Char => Kind::Char(device()?),
        tar::EntryType::Block => Kind::Block(device()?),
        tar::EntryType::Directory => Kind::Dir(None),
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::XGlobalHeader => return Ok(None),
        other => {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(io::Error::other(format!(
                "`{path}`: unknown entry type {other:?}"
            )));
        }
    };
    let mut result = Entry::new(kind, entry.path_bytes().into_owned());
    result.mode = header.mode()? & 0o7777;
    result.uid = header.uid()?;
    result.gid = header.gid()?;
    result.mtime.seconds = header.mtime()?.cast_signed();
    apply_pax(records, &mut result)?;
    if let Kind::File(content) = &mut result.kind {
        let mut hash = Sha256::new();
        let size = io::copy(&mut entry, &mut HashingWriter(&mut hash))?;
        *content = Content::Digest {
            size,
            sha256: hash.finalize().into(),
        };
    }
    Ok(Some(result))
}

fn apply_pax(records: &[(Vec<u8>, Vec<u8>)], result: &mut Entry) -> io::Result<()> {
    for (key, value) in records {
        let number = || {
            std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| io::Error::other("a pax number is no number"))
        };
        match key.as_slice() {
            b"uid" => result.uid = number()?,
            b"gid" => result.gid = number()?,
            b"mtime" => {
                result.mtime = parse_time(value)
                    .ok_or_else(|| io::Error::other("a pax mtime is no decimal number"))?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    result.xattrs.insert(name.into(), value.as_slice().into());
                }
            }
        }
    }
    Ok(())
}

/// A pax time: a decimal number of seconds; digits beyond nanoseconds are cut off.
fn parse_time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: u32 = format!("{:0<9}", &fraction[..fraction.len().min(9)])
        .parse()
        .ok()?;
    Some(match (negative, nanos) {
        (false, nanos) => Time { seconds, nanos },
        (true, 0) => Time {
            seconds: -seconds,
            nanos: 0,
        },
        (true, nanos) => Time {
            seconds: -seconds - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

/// zstd frames one after the other, skippable ones skipped (RFC 8878 §3.1).
struct ZstdFrames<R: BufRead> {
    state: Option<Frame<R>>,
}

enum Frame<R: BufRead> {
    Between(R),
    Inside(Box<Decoder<R>>),
}

type Decoder<R> = ruzstd::decoding::StreamingDecoder<Replay<R>, ruzstd::decoding::FrameDecoder>;

/// The four bytes that told a frame from a skippable one, then the rest of the source.
type Replay<R> = io::Chain<io::Cursor<[u8; 4]>, R>;

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> ZstdFrames<R> {
        ZstdFrames {
            state: Some(Frame::Between(source)),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(Frame::Inside(mut decoder)) => match decoder.read(out)? {
                    0 => self.state = Some(Frame::Between(decoder.into_inner().into_inner().1)),
                    count => {
                        self.state = Some(Frame::Inside(decoder));
                        return Ok(count);
                    }
                },
                Some(Frame::Between(mut source)) => {
                    if source.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    self.state = Some(next_frame(source)?);
                }
            }
        }
    }
}

fn next_frame<R: BufRead>(mut source: R) -> io::Result<Frame<R>> {
    let mut magic = [0; 4];
    source.read_exact(&mut magic)?;
    if (0x184d_2a50..=0x184d_2a5f).contains(&u32::from_le_bytes(magic)) {
        let mut length = [0; 4];
        source.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        io::copy(&mut source.by_ref().take(length), &mut io::sink())?;
        return Ok(Frame::Between(source));
    }
    let replay = io::Cursor::new(magic).chain(source);
    let decoder = ruzstd::decoding::StreamingDecoder::new(replay)
        .map_err(|error| io::Error::other(format!("zstd: {error}")))?;
    Ok(Frame::Inside(Box::new(decoder)))
}

struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.hash.update(&out[..count]);
        Ok(count)
    }
}

struct HashingWriter<'a>(&'a mut Sha256);

impl io::Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
