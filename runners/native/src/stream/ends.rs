//! The two ends of a decompressor: the blob it reads and the stream it makes.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::chunk::{Chunk, Pool};
use super::digester::Job;
use super::{Message, Senders, StreamError, is_digested_once, send};
use crate::layout::Layer;
use crate::limits;

/// The bytes of a blob, digested on the side.
pub(super) struct Input<'a> {
    file: File,
    left: u64,
    pool: &'a Arc<Pool>,
    senders: &'a Senders,
    current: Option<Arc<Chunk>>,
    position: usize,
}

/// The uncompressed stream, cut into buffers, digested on the side.
pub(super) struct Output<'a> {
    pool: &'a Arc<Pool>,
    senders: &'a Senders,
    is_digested: bool,
    buffer: Box<[u8]>,
    filled: usize,
    written: u64,
    limit: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(file: File, size: u64, pool: &'a Arc<Pool>, senders: &'a Senders) -> Self {
        Self {
            file,
            left: size,
            pool,
            senders,
            current: None,
            position: 0,
        }
    }

    /// The next buffer of the blob, nothing at its end. The size was checked when it was opened; a blob
    /// that changed since then fails its digest.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Arc<Chunk>>, StreamError> {
        let mut buffer = self.pool.take();
        let want = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let mut filled = 0;
        while filled < want {
            match self.file.read(&mut buffer[filled..want]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.left = if filled < want {
            0
        } else {
            self.left - filled as u64
        };
        let chunk = self.pool.chunk(buffer, filled);
        if filled == 0 {
            return Ok(None);
        }
        send(&self.senders.blobs, Job::Bytes(Arc::clone(&chunk)))?;
        Ok(Some(chunk))
    }

    /// Bytes to decompress, empty at the end of the blob.
    pub(super) fn fill(&mut self) -> Result<&[u8], StreamError> {
        if self
            .current
            .as_ref()
            .is_none_or(|chunk| self.position == chunk.len())
        {
            self.current = self.next_chunk()?;
            self.position = 0;
        }
        Ok(self
            .current
            .as_ref()
            .map_or(&[], |chunk| &chunk[self.position..]))
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.position += bytes;
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(layer: &Layer, pool: &'a Arc<Pool>, senders: &'a Senders) -> Self {
        let by_ratio = layer.blob.size.saturating_mul(limits::LAYER_RATIO);
        Self {
            pool,
            senders,
            is_digested: !is_digested_once(layer),
            buffer: pool.take(),
            filled: 0,
            written: 0,
            limit: limits::LAYER_BYTES_FREE
                .saturating_add(by_ratio)
                .min(limits::LAYER_BYTES),
        }
    }

    /// Room to decompress into.
    pub(super) fn room(&mut self) -> Result<&mut [u8], StreamError> {
        if self.filled == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    /// Keeps the first bytes of the room.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    pub(super) fn flush(&mut self) -> Result<(), StreamError> {
        if self.filled == 0 {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, self.pool.take());
        let chunk = self.pool.chunk(full, std::mem::take(&mut self.filled));
        self.pass(chunk)
    }

    /// Hands on a buffer.
    pub(super) fn pass(&mut self, chunk: Arc<Chunk>) -> Result<(), StreamError> {
        self.written += chunk.len() as u64;
        if self.written > self.limit {
            return Err(StreamError::Budget(self.limit));
        }
        if self.is_digested {
            send(&self.senders.streams, Job::Bytes(Arc::clone(&chunk)))?;
        }
        send(&self.senders.messages, Message::Data(chunk))
    }
}
