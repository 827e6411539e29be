//! gzip and zstd frames in stored form, so that no compressor's version shows in a digest.
//!
//! gzip: RFC 1952 with stored blocks of RFC 1951 §3.2.4. zstd: RFC 8878 frames of raw blocks.

use std::io::{self, Write};

use crate::case::Compression;

/// The most bytes a stored block of RFC 1951 holds.
const GZIP_BLOCK: usize = 0xffff;
/// The most bytes a zstd block holds (RFC 8878 §3.1.1.2.4).
const ZSTD_BLOCK: usize = 128 * 1024;

/// Packs what is written to it, over one or several members or frames.
pub(super) struct Packer<W> {
    out: W,
    compression: Compression,
    /// How many bytes each member holds but the last.
    member_size: u64,
    in_member: u64,
    crc: flate2::Crc,
    block: Vec<u8>,
    started: bool,
}

impl<W: Write> Packer<W> {
    /// Packs `size` bytes into `members` members of the same size; 0 means one.
    pub(super) fn new(out: W, compression: Compression, members: usize, size: u64) -> Packer<W> {
        let members = u64::try_from(members.max(1)).expect("a small number");
        Packer {
            out,
            compression,
            member_size: if members == 1 {
                u64::MAX
            } else {
                size.div_ceil(members).max(1)
            },
            in_member: 0,
            crc: flate2::Crc::new(),
            block: Vec::new(),
            started: false,
        }
    }

    /// Ends the last member and gives the writer back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.started {
            self.start_member()?;
        }
        self.end_member()?;
        Ok(self.out)
    }

    fn block_size(&self) -> usize {
        if self.compression == Compression::Zstd {
            ZSTD_BLOCK
        } else {
            GZIP_BLOCK
        }
    }

    fn start_member(&mut self) -> io::Result<()> {
        self.started = true;
        self.in_member = 0;
        match self.compression {
            Compression::None => Ok(()),
            Compression::Gzip => {
                self.crc = flate2::Crc::new();
                // No name, no time, deflate, "unknown" operating system.
                self.out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
            }
            Compression::Zstd => {
                self.out.write_all(&0xfd2f_b528_u32.to_le_bytes())?;
                // No content size, no checksum, no dictionary; a window of 128 KiB (2^(10+7)).
                self.out.write_all(&[0, 7 << 3])
            }
        }
    }

    fn end_member(&mut self) -> io::Result<()> {
        self.write_block(true)?;
        if self.compression == Compression::Gzip {
            self.out.write_all(&self.crc.sum().to_le_bytes())?;
            self.out.write_all(&self.crc.amount().to_le_bytes())?;
        }
        self.started = false;
        Ok(())
    }

    fn write_block(&mut self, last: bool) -> io::Result<()> {
        let length = u32::try_from(self.block.len()).expect("a block is small");
        match self.compression {
            Compression::None => {}
            Compression::Gzip => {
                let short = u16::try_from(length).expect("a block is small");
                self.out.write_all(&[u8::from(last)])?;
                self.out.write_all(&short.to_le_bytes())?;
                self.out.write_all(&(!short).to_le_bytes())?;
            }
            Compression::Zstd => {
                let header = length << 3 | u32::from(last);
                self.out.write_all(&header.to_le_bytes()[..3])?;
            }
        }
        self.out.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.started && self.in_member == self.member_size {
            self.end_member()?;
        }
        if !self.started {
            self.start_member()?;
        }
        if self.block.len() == self.block_size() {
            self.write_block(false)?;
        }
        let left = usize::try_from(self.member_size - self.in_member).unwrap_or(usize::MAX);
        let now = bytes
            .len()
            .min(self.block_size() - self.block.len())
            .min(left);
        self.block.extend_from_slice(&bytes[..now]);
        self.crc.update(&bytes[..now]);
        self.in_member += now as u64;
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::Packer;
    use crate::case::Compression;

    fn pack(compression: Compression, members: usize, bytes: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new(), compression, members, bytes.len() as u64);
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn decoders_of_others_read_our_frames() {
        for size in [0usize, 1, 65_535, 65_536, 131_072, 131_073, 400_000] {
            let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            for members in [1, 2, 3] {
                let mut gzip = Vec::new();
                flate2::read::MultiGzDecoder::new(&*pack(Compression::Gzip, members, &bytes))
                    .read_to_end(&mut gzip)
                    .unwrap();
                assert!(gzip == bytes, "gzip, {size} bytes, {members} members");
                let packed = pack(Compression::Zstd, members, &bytes);
                let mut zstd = Vec::new();
                let mut rest = &packed[..];
                while !rest.is_empty() {
                    let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).unwrap();
                    frame.read_to_end(&mut zstd).unwrap();
                }
                assert!(zstd == bytes, "zstd, {size} bytes, {members} frames");
            }
        }
    }

    #[test]
    fn members_are_really_several() {
        let packed = pack(Compression::Gzip, 2, &[7; 1000]);
        let mut first = Vec::new();
        flate2::read::GzDecoder::new(&*packed)
            .read_to_end(&mut first)
            .unwrap();
        assert_eq!(first.len(), 500);
    }
}
