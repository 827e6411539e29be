//! Buffers that several threads read at once and that go back to a pool with their last reader.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

/// Large enough that channels cost nothing, small enough that a few fit the second-level cache.
const CHUNK_BYTES: usize = 256 << 10;

/// Buffers not in use. Fresh memory would cost a page fault for every 4 KiB.
#[derive(Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Box<[u8]>>>,
}

/// A buffer, filled up to a length.
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    length: usize,
    pool: Arc<Pool>,
}

impl Pool {
    /// A buffer of one chunk's size with old bytes in it.
    pub(super) fn take(&self) -> Box<[u8]> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop()
            .unwrap_or_else(|| vec![0; CHUNK_BYTES].into_boxed_slice())
    }

    /// The first `length` bytes of a buffer.
    pub(super) fn chunk(self: &Arc<Self>, bytes: Box<[u8]>, length: usize) -> Arc<Chunk> {
        Arc::new(Chunk {
            bytes,
            length,
            pool: Arc::clone(self),
        })
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut free = self
            .pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(bytes);
    }
}
