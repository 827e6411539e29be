//! A thread that digests streams, one after another.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::chunk::Chunk;
use crate::digest::{Algorithm, Digest, Hasher};

/// Work, in stream order.
pub(super) enum Job {
    Start(Algorithm),
    Bytes(Arc<Chunk>),
    End,
}

/// Digests until the other side is gone.
pub(super) fn run(jobs: &Receiver<Job>, digests: &Sender<Digest>) {
    let mut hasher = None;
    while let Ok(job) = jobs.recv() {
        match (job, &mut hasher) {
            (Job::Start(algorithm), hasher) => *hasher = Some(Hasher::new(algorithm)),
            (Job::Bytes(chunk), Some(hasher)) => hasher.update(&chunk),
            (Job::End, started) => {
                let Some(hasher) = started.take() else { return };
                if digests.send(hasher.finish()).is_err() {
                    return;
                }
            }
            (Job::Bytes(_), None) => return,
        }
    }
}
