//! The compressed forms in which distributions ship kernels and modules.

use std::io::{self, Read};

/// A generous bound on what one file may become: a kernel with all its drivers is about 100 MiB.
const BYTES_MAX: u64 = 512 << 20;

/// Decompresses `bytes` by their magic number: gzip, xz, zstd or lz4 (the legacy frame that the
/// kernel's build writes). What has none of these magics is returned as it is. Bytes after the
/// stream's end are left alone: a kernel's payload carries its length there.
///
/// # Errors
///
/// What the decoder says of a broken stream, and `InvalidData` for more than 512 MiB.
pub(super) fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    match bytes {
        [0x1f, 0x8b, ..] => collect(flate2::bufread::GzDecoder::new(bytes)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => collect(lzma_rust2::XzReader::new(bytes, false)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            collect(decoder.map_err(io::Error::other)?)
        }
        [0x02, 0x21, 0x4c, 0x18, blocks @ ..] => lz4_legacy(blocks),
        _ => Ok(bytes.to_vec()),
    }
}

fn collect(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BYTES_MAX).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it decompresses to over 512 MiB",
        ));
    }
    Ok(bytes)
}

/// Blocks of at most 8 MiB of content, each after its compressed length, until a length that
/// cannot be one.
fn lz4_legacy(mut blocks: &[u8]) -> io::Result<Vec<u8>> {
    const BLOCK_BYTES: usize = 8 << 20;
    let mut bytes = Vec::new();
    let mut block = vec![0; BLOCK_BYTES];
    while let Some((length, rest)) = blocks.split_first_chunk() {
        let Some((compressed, rest)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        else {
            break;
        };
        let count =
            lz4_flex::block::decompress_into(compressed, &mut block).map_err(io::Error::other)?;
        bytes.extend(&block[..count]);
        if count < BLOCK_BYTES {
            break;
        }
        blocks = rest;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::decompress;

    /// One line, compressed by `gzip -n`, `xz --check=crc32 --x86` (as the kernel's build does it),
    /// `zstd` and `lz4 -l`.
    const COMPRESSED: [&str; 4] = [
        "1f8b0800000000000003cb48cdc9c957c840905c003b7c8adf12000000",
        "fd377a585a0000016922de3602010400210116000d86351fe00011000c5d00341949ee8de94f7e2121b000003b7c8adf00012412c525d7229042990d010000000001595a",
        "28b52ffd24126d00003868656c6c6f200a0100314a11a3aa74ce",
        "02214c180f0000006368656c6c6f20060050656c6c6f0a",
    ];

    const LINE: &[u8] = b"hello hello hello\n";

    #[test]
    fn every_form_that_kernels_come_in() {
        for hex in COMPRESSED {
            let compressed = HEXLOWER.decode(hex.as_bytes()).unwrap();
            assert_eq!(decompress(&compressed).unwrap(), LINE, "{hex}");
            // In a bzImage the length of the content follows.
            let followed = [&compressed[..], b"\x12\0\0\0"].concat();
            assert_eq!(decompress(&followed).unwrap(), LINE, "{hex}");
            let cut = decompress(&compressed[..compressed.len() / 2]);
            assert!(!cut.is_ok_and(|bytes| bytes == LINE), "{hex}");
        }
    }

    #[test]
    fn what_is_not_compressed_is_left_alone() {
        assert_eq!(decompress(b"\x7fELF").unwrap(), b"\x7fELF");
        assert_eq!(decompress(b"").unwrap(), b"");
    }
}
