//! A layer blob to its tar archive.

use std::io::Read as _;

use flate2::bufread::{GzDecoder, MultiGzDecoder};

use crate::image::{Layer, digest_of};
use crate::{Fault, Refusal};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The most bytes one layer may become.
const ARCHIVE_BYTES_MAX: u64 = 1 << 30;

enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The archive of a layer, checked against its diff ID.
pub(crate) fn unpack(layer: &Layer, fault: Option<Fault>) -> Result<Vec<u8>, Refusal> {
    let blob = layer.blob.as_slice();
    let compression = compression_of(layer, fault)?;
    let archive = match compression {
        Compression::None => blob.to_vec(),
        Compression::Gzip => gunzip(blob, fault)?,
        Compression::Zstd => unzstd(blob, fault)?,
    };
    match &layer.diff_id {
        Some(id) if *id != digest_of(&archive) => {
            Err(Refusal::new("the archive is not what the diff ID names"))
        }
        _ => Ok(archive),
    }
}

fn compression_of(layer: &Layer, fault: Option<Fault>) -> Result<Compression, Refusal> {
    let media_type = layer.media_type.as_str();
    if let Some(Fault::LayerMediaTypeIgnored | Fault::MediaTypesIgnored) = fault {
        let blob = layer.blob.as_slice();
        return Ok(match () {
            () if blob.starts_with(GZIP) => Compression::Gzip,
            () if blob.starts_with(ZSTD) => Compression::Zstd,
            () => Compression::None,
        });
    }
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| {
            media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
        });
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .filter(|_| fault != Some(Fault::DockerMediaTypesRefused));
    match (oci, docker) {
        (Some(""), _) | (_, Some("")) => Ok(Compression::None),
        (Some("+gzip"), _) | (_, Some(".gzip")) => Ok(Compression::Gzip),
        (Some("+zstd"), _) if fault != Some(Fault::ZstdUnknown) => Ok(Compression::Zstd),
        _ => Err(Refusal::new(format!("`{media_type}` is no layer"))),
    }
}

fn gunzip(blob: &[u8], fault: Option<Fault>) -> Result<Vec<u8>, Refusal> {
    let mut archive = Vec::new();
    let result = match fault {
        Some(Fault::FirstGzipMemberOnly) => GzDecoder::new(blob)
            .take(ARCHIVE_BYTES_MAX)
            .read_to_end(&mut archive),
        Some(Fault::GzipTrailerUnchecked) => return inflate_only(blob),
        Some(Fault::GzipOptionalFieldsRefused | Fault::SecondGzipMemberRefused) => {
            return gunzip_members(blob, fault);
        }
        _ => MultiGzDecoder::new(blob)
            .take(ARCHIVE_BYTES_MAX)
            .read_to_end(&mut archive),
    };
    match result {
        Err(error) if !is_lax(fault) => Err(Refusal::new(format!("gzip: {error}"))),
        _ => Ok(archive),
    }
}

fn is_lax(fault: Option<Fault>) -> bool {
    matches!(
        fault,
        Some(Fault::GzipTruncationAccepted | Fault::IntegrityUnchecked)
    )
}

/// Members one by one, for faults that do not like what they see.
fn gunzip_members(blob: &[u8], fault: Option<Fault>) -> Result<Vec<u8>, Refusal> {
    let mut archive = Vec::new();
    let mut rest = blob;
    while rest.starts_with(GZIP) {
        let has_optional = rest.get(3).is_some_and(|flags| *flags != 0);
        if has_optional && fault == Some(Fault::GzipOptionalFieldsRefused) {
            return Err(Refusal::new("gzip: optional fields"));
        }
        if rest.len() < blob.len() && fault == Some(Fault::SecondGzipMemberRefused) {
            return Err(Refusal::new("gzip: something stands behind the stream"));
        }
        let mut member = GzDecoder::new(rest);
        let read = member.read_to_end(&mut archive);
        read.map_err(|error| Refusal::new(format!("gzip: {error}")))?;
        rest = member.into_inner();
    }
    Ok(archive)
}

/// The members' deflate streams alone; trailers are stepped over unread.
fn inflate_only(blob: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut archive = Vec::new();
    let mut rest = blob;
    while rest.starts_with(GZIP) {
        let mut member = GzDecoder::new(rest);
        if let Err(error) = member.read_to_end(&mut archive) {
            let is_trailer = error.kind() == std::io::ErrorKind::InvalidInput;
            return match is_trailer || archive.len().is_multiple_of(512) {
                true => Ok(archive),
                false => Err(Refusal::new(format!("gzip: {error}"))),
            };
        }
        rest = member.into_inner();
    }
    Ok(archive)
}

fn unzstd(blob: &[u8], fault: Option<Fault>) -> Result<Vec<u8>, Refusal> {
    let refusal = |error: std::io::Error| Refusal::new(format!("zstd: {error}"));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(blob).map_err(refusal)?;
    if fault == Some(Fault::FirstZstdFrameOnly) {
        decoder = decoder.single_frame();
    }
    let mut archive = Vec::new();
    decoder
        .take(ARCHIVE_BYTES_MAX)
        .read_to_end(&mut archive)
        .map_err(refusal)?;
    Ok(archive)
}
