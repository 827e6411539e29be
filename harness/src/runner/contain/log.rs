//! A stream of unknown length, of which the beginning and the end are kept.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::wire;

/// What a stream said: all of it, or its head and tail when it said too much.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The first bytes.
    #[serde(with = "wire::bytes")]
    pub head: Vec<u8>,
    /// How many bytes between head and tail were thrown away.
    pub omitted: u64,
    /// The last bytes; empty when the head holds everything.
    #[serde(with = "wire::bytes")]
    pub tail: Vec<u8>,
}

impl Log {
    /// The log as text, with a line that says how much is missing.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head).into_owned();
        if self.omitted > 0 {
            text.push_str(&format!("\n… {} bytes omitted …\n", self.omitted));
        }
        text.push_str(&String::from_utf8_lossy(&self.tail));
        text
    }
}

/// Takes a stream in pieces and keeps at most a given number of bytes.
pub(super) struct Recorder {
    half: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    omitted: u64,
}

impl Recorder {
    pub(super) fn new(log_bytes: usize) -> Self {
        Self {
            half: log_bytes / 2,
            head: Vec::new(),
            tail: VecDeque::new(),
            omitted: 0,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let to_head = bytes.len().min(self.half - self.head.len());
        let (head, rest) = bytes.split_at(to_head);
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..excess);
        self.omitted += excess as u64;
    }

    pub(super) fn finish(self) -> Log {
        Log {
            head: self.head,
            omitted: self.omitted,
            tail: self.tail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Log, Recorder};

    fn record(limit: usize, pieces: &[&[u8]]) -> Log {
        let mut recorder = Recorder::new(limit);
        pieces.iter().for_each(|piece| recorder.push(piece));
        recorder.finish()
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        let log = record(8, &[b"ab", b"cd", b"ef"]);
        assert_eq!((log.omitted, log.text().as_str()), (0, "abcdef"));
    }

    #[test]
    fn a_long_stream_keeps_head_and_tail() {
        let log = record(8, &[b"0123456", b"789", b"abcdef"]);
        assert_eq!(
            (&log.head[..], log.omitted, &log.tail[..]),
            (&b"0123"[..], 8, &b"cdef"[..])
        );
        assert_eq!(log.text(), "0123\n… 8 bytes omitted …\ncdef");
    }

    #[test]
    fn a_limit_of_zero_keeps_nothing_but_the_count() {
        assert_eq!(
            record(0, &[b"abc"]),
            Log {
                omitted: 3,
                ..Log::default()
            }
        );
    }
}
