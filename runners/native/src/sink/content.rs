//! File contents on their way to a descriptor.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::ftruncate;
use rustix::io::{Errno, pread, pwrite};

use super::SinkError;
use crate::tar::{Piece, Reader};

/// Data at least this long is looked through: zeros are not written, the file gets a hole. It makes
/// archives of zeros harmless, and an ordinary file costs one comparison.
const HOLE_BYTES: usize = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;
const BLOCK: u64 = 512;

type Result<T, E = SinkError> = std::result::Result<T, E>;

/// Writes the content of the reader's current entry from `offset` on; returns its length.
pub(super) fn write_content(file: &OwnedFd, offset: u64, reader: &mut Reader<'_>) -> Result<u64> {
    let (mut length, mut written) = (0, 0);
    while let Some(piece) = reader.next_piece()? {
        match piece {
            Piece::Hole(hole) => length += hole,
            Piece::Data(bytes) => {
                if write_or_skip(file, bytes, offset + length)? {
                    written = length + bytes.len() as u64;
                }
                length += bytes.len() as u64;
            }
        }
    }
    if length > written {
        ftruncate(file, offset + length).map_err(SinkError::host("extend the file"))?;
    }
    Ok(length)
}

/// A tar file being written from front to back.
pub(super) struct Tape<'a> {
    file: BorrowedFd<'a>,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    offset: u64,
}

impl<'a> Tape<'a> {
    pub(super) fn new(file: BorrowedFd<'a>) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            offset: 0,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Copies `size` bytes of another file and pads them to a block.
    pub(super) fn copy(&mut self, from: &OwnedFd, offset: u64, size: u64) -> Result<()> {
        let mut done = 0;
        while done < size {
            if self.buffer.len() == BUFFER_BYTES {
                self.flush()?;
            }
            let start = self.buffer.len();
            let room = (BUFFER_BYTES - start) as u64;
            let want = usize::try_from(room.min(size - done)).expect("at most the buffer");
            self.buffer.resize(start + want, 0);
            let read = loop {
                match pread(from, &mut self.buffer[start..], offset + done) {
                    Err(Errno::INTR) => {}
                    other => break other.map_err(SinkError::host("read back"))?,
                }
            };
            self.buffer.truncate(start + read);
            if read == 0 {
                return Err(SinkError::host("read back")(Errno::IO));
            }
            done += read as u64;
        }
        let padding = size.wrapping_neg() % BLOCK;
        self.write(&[0; BLOCK as usize][..usize::try_from(padding).expect("less than a block")])
    }

    /// Writes the end of the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK as usize])?;
        self.flush()?;
        // The last thing written may have been a hole.
        ftruncate(self.file, self.offset).map_err(SinkError::host("extend the file"))
    }

    fn flush(&mut self) -> Result<()> {
        write_or_skip(self.file, &self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes `bytes`, or leaves a hole and says so.
fn write_or_skip(file: impl rustix::fd::AsFd, mut bytes: &[u8], mut offset: u64) -> Result<bool> {
    if bytes.len() >= HOLE_BYTES && bytes.iter().all(|&byte| byte == 0) {
        return Ok(false);
    }
    while !bytes.is_empty() {
        match pwrite(&file, bytes, offset) {
            Ok(0) => return Err(SinkError::host("write")(Errno::NOSPC)),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(SinkError::host("write")(e)),
        }
    }
    Ok(true)
}
