//! Layer blobs as uncompressed tar streams.
//!
//! Four threads: one reads and decompresses, one digests blobs, one digests streams, and the caller
//! applies. They share buffers over short bounded channels, so that memory does not depend on the
//! image, and the scheduler balances them over whatever cores there are. The next layer is already
//! being decompressed while the last one is applied.

mod chunk;
mod digester;
mod ends;
mod gzip;
mod zstd;

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use self::chunk::{Chunk, Pool};
use self::digester::Job;
use self::ends::{Input, Output};
use crate::digest::Digest;
use crate::layout::{Compression, Layer, Layout, OpenError};

/// Buffers under way in each channel: with 256 KiB each, a few MiB.
const QUEUE: usize = 16;

/// What is wrong with a layer's blob or stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("cannot read the blob: {0}")]
    Open(#[from] OpenError),
    #[error("cannot read the blob: {0}")]
    Io(#[from] io::Error),
    #[error("the blob has digest {0}")]
    BlobDigest(Digest),
    #[error("the uncompressed stream has digest {found}, but the diff ID is {expected}")]
    DiffId { found: Digest, expected: Digest },
    #[error("not a gzip stream: {0}")]
    Gzip(&'static str),
    #[error("not a zstd stream: {0}")]
    Zstd(String),
    #[error("expands to more than {0} bytes")]
    Budget(u64),
    /// Another thread failed and says why.
    #[error("stopped")]
    Stopped,
    /// The caller does not want it any more.
    #[error("interrupted")]
    Interrupted,
}

enum Message {
    Data(Arc<Chunk>),
    /// A layer is over.
    End,
    Failed(StreamError),
}

/// Where the decompressing thread sends what it reads and makes.
struct Senders {
    messages: SyncSender<Message>,
    blobs: SyncSender<Job>,
    streams: SyncSender<Job>,
}

/// The layers' streams, one after another.
pub(crate) struct Streams<'a> {
    stop: Option<&'a AtomicBool>,
    messages: Receiver<Message>,
    blob_digests: Receiver<Digest>,
    stream_digests: Receiver<Digest>,
}

/// The stream of one layer, up to its end.
pub(crate) struct Stream<'a> {
    streams: &'a Streams<'a>,
    layer: &'a Layer,
    current: Option<Arc<Chunk>>,
    position: usize,
    ended: bool,
}

/// Runs `consume` on the streams of `layers`.
///
/// # Errors
///
/// If the host has no threads left.
pub(crate) fn run<T>(
    layout: &Layout,
    layers: &[Layer],
    stop: Option<&AtomicBool>,
    consume: impl FnOnce(Streams<'_>) -> T,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        // A thread that is alone ends at once: the other ends of its channels are gone.
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let digester = |name| {
            let (jobs, received_jobs) = sync_channel(QUEUE);
            let (digests, received_digests) = channel();
            let work = move || digester::run(&received_jobs, &digests);
            thread(name).spawn_scoped(scope, work)?;
            Ok::<_, io::Error>((jobs, received_digests))
        };
        let (blobs, blob_digests) = digester("digest blobs")?;
        let (streams, stream_digests) = digester("digest streams")?;
        let (messages, received) = sync_channel(QUEUE);
        let senders = Senders {
            messages,
            blobs,
            streams,
        };
        thread("decompress").spawn_scoped(scope, move || produce(layout, layers, &senders))?;
        // Dropping the receivers at the end of `consume` stops all threads.
        Ok(consume(Streams {
            stop,
            messages: received,
            blob_digests,
            stream_digests,
        }))
    })
}

fn produce(layout: &Layout, layers: &[Layer], senders: &Senders) {
    let pool = Arc::new(Pool::default());
    for layer in layers {
        let message = match decompress(layout, layer, &pool, senders) {
            Ok(()) => Message::End,
            Err(error) => Message::Failed(error),
        };
        let failed = matches!(message, Message::Failed(_));
        if senders.messages.send(message).is_err() || failed {
            return;
        }
    }
}

fn decompress(
    layout: &Layout,
    layer: &Layer,
    pool: &Arc<Pool>,
    senders: &Senders,
) -> Result<(), StreamError> {
    let file = layout.open_blob(&layer.blob)?;
    send(&senders.blobs, Job::Start(layer.blob.digest.algorithm()))?;
    send(&senders.streams, Job::Start(layer.diff_id.algorithm()))?;
    let mut input = Input::new(file, layer.blob.size, pool, senders);
    let mut output = Output::new(layer, pool, senders);
    match layer.compression {
        Compression::None => {
            while let Some(chunk) = input.next_chunk()? {
                output.pass(chunk)?;
            }
        }
        Compression::Gzip => gzip::decompress(&mut input, &mut output)?,
        Compression::Zstd => zstd::decompress(&mut input, &mut output)?,
    }
    output.flush()?;
    send(&senders.blobs, Job::End)?;
    send(&senders.streams, Job::End)
}

fn send<T>(channel: &SyncSender<T>, value: T) -> Result<(), StreamError> {
    channel.send(value).map_err(|_| StreamError::Stopped)
}

/// A blob that is not compressed is its own stream and need not be digested twice.
fn is_digested_once(layer: &Layer) -> bool {
    layer.compression == Compression::None
        && layer.blob.digest.algorithm() == layer.diff_id.algorithm()
}

impl Streams<'_> {
    /// The stream of the next layer, which is `layer`.
    pub(crate) fn next_layer<'a>(&'a self, layer: &'a Layer) -> Stream<'a> {
        Stream {
            streams: self,
            layer,
            current: None,
            position: 0,
            ended: false,
        }
    }
}

impl Stream<'_> {
    /// Reads what is left (padding, and anything after the end of the archive) and checks the digests.
    pub(crate) fn finish(mut self) -> Result<(), StreamError> {
        while !self.ended {
            self.receive()?;
        }
        let receive = |from: &Receiver<Digest>| from.recv().map_err(|_| StreamError::Stopped);
        let blob = receive(&self.streams.blob_digests)?;
        let stream = receive(&self.streams.stream_digests)?;
        let found = if is_digested_once(self.layer) {
            blob.clone()
        } else {
            stream
        };
        if blob != self.layer.blob.digest {
            return Err(StreamError::BlobDigest(blob));
        }
        if found != self.layer.diff_id {
            return Err(StreamError::DiffId {
                found,
                expected: self.layer.diff_id.clone(),
            });
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), StreamError> {
        self.current = None;
        self.position = 0;
        if self
            .streams
            .stop
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
        {
            return Err(StreamError::Interrupted);
        }
        match self.streams.messages.recv() {
            Ok(Message::Data(chunk)) => self.current = Some(chunk),
            Ok(Message::End) => self.ended = true,
            Ok(Message::Failed(error)) => return Err(error),
            Err(_) => return Err(StreamError::Stopped),
        }
        Ok(())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.ended
            && self
                .current
                .as_ref()
                .is_none_or(|chunk| self.position == chunk.len())
        {
            self.receive().map_err(io::Error::other)?;
        }
        Ok(self
            .current
            .as_ref()
            .map_or(&[], |chunk| &chunk[self.position..]))
    }

    fn consume(&mut self, bytes: usize) {
        self.position += bytes;
    }
}
