//! The content of files, sent to the host, which hashes it.
//!
//! Emulated hashing is some hundred times slower than the host's own. So small files are sent many
//! to a frame, and large ones are spliced: their pages go from the page cache to the host without
//! being copied in the guest at all.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::port::Conversation;
use crate::wire::Kind;

/// What the walk reports where the kernel reports nothing but the answers contradict each other.
pub const CONTRADICTION: Errno = Errno::UCLEAN;

/// Up to this size a file is read and sent together with others.
const SMALL_BYTES: usize = 32 << 10;

/// How much of a large file is sent at once.
const PIECE_BYTES: usize = 1 << 20;

/// A frame of small files is sent when it has grown to this size.
const BATCH_BYTES: usize = 256 << 10;

/// The contents sent so far.
pub struct Contents {
    batch: Vec<u8>,
    pipe: (OwnedFd, OwnedFd),
    count: u64,
}

impl Contents {
    pub fn new() -> io::Result<Contents> {
        let pipe = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&pipe.1, PIECE_BYTES)?;
        Ok(Contents {
            batch: Vec::new(),
            pipe,
            count: 0,
        })
    }

    /// Sends all of a file; its number, by which the host knows its digest. The inner error is what
    /// the image makes of it; more or fewer bytes than `size` are one.
    pub fn send(
        &mut self,
        file: &OwnedFd,
        size: u64,
        to: &mut Conversation,
    ) -> io::Result<Result<u64, Errno>> {
        let sent = if size <= SMALL_BYTES as u64 {
            self.send_small(file, size as usize)
        } else {
            self.flush(to)?;
            self.send_large(file, size, to)?
        };
        if self.batch.len() > BATCH_BYTES {
            self.flush(to)?;
        }
        Ok(sent.map(|()| {
            self.count += 1;
            self.count - 1
        }))
    }

    /// Sends what waits for company. Must come before any line that tells of it.
    pub fn flush(&mut self, to: &mut Conversation) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        to.send_content(Kind::SmallContents, &self.batch)?;
        self.batch.clear();
        Ok(())
    }

    fn send_small(&mut self, file: &OwnedFd, size: usize) -> Result<(), Errno> {
        let start = self.batch.len();
        self.batch.extend((size as u32).to_le_bytes());
        // One more, to see that there is no more.
        self.batch.resize(start + 4 + size + 1, 0);
        let read = read_all(file, &mut self.batch[start + 4..]);
        let whole = read.and_then(|read| {
            if read == size {
                Ok(())
            } else {
                Err(CONTRADICTION)
            }
        });
        self.batch.truncate(if whole.is_ok() {
            start + 4 + size
        } else {
            start
        });
        whole
    }

    fn send_large(
        &mut self,
        file: &OwnedFd,
        size: u64,
        to: &mut Conversation,
    ) -> io::Result<Result<(), Errno>> {
        let mut total = 0;
        let whole = loop {
            match splice(
                file,
                None,
                &self.pipe.1,
                None,
                PIECE_BYTES,
                SpliceFlags::empty(),
            ) {
                Ok(0) if total == size => break Ok(()),
                Ok(0) => break Err(CONTRADICTION),
                Ok(count) => {
                    to.send_spliced(Kind::Piece, &self.pipe.0, count)?;
                    total += count as u64;
                }
                Err(errno) => break Err(errno),
            }
        };
        to.send(Kind::PieceEnd, &[u8::from(whole.is_ok())])?;
        Ok(whole)
    }
}

fn read_all(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut read = 0;
    while read < buffer.len() {
        match rustix::io::read(file, &mut buffer[read..])? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}
