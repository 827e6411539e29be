//! The digests of the files whose contents the guest sends.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::unexpected;
use crate::boot::wire::DIGEST_OF;

/// The contents received so far.
#[derive(Default)]
pub(super) struct Contents {
    digests: Vec<[u8; 32]>,
    /// The large file that is being received.
    current: Sha256,
}

impl Contents {
    /// Takes a frame of whole files.
    pub(super) fn add_small(&mut self, mut payload: &[u8]) -> io::Result<()> {
        while let Some((length, rest)) = payload.split_first_chunk() {
            let (content, rest) = rest
                .split_at_checked(u32::from_le_bytes(*length) as usize)
                .ok_or_else(|| unexpected("a file that ends early".to_owned()))?;
            self.digests.push(Sha256::digest(content).into());
            payload = rest;
        }
        if payload.is_empty() {
            Ok(())
        } else {
            Err(unexpected("bytes after the last file".to_owned()))
        }
    }

    /// Takes a part of a large file.
    pub(super) fn add_piece(&mut self, payload: &[u8]) {
        self.current.update(payload);
    }

    /// Ends a large file; one that is not complete gets no number.
    pub(super) fn end_piece(&mut self, complete: bool) {
        let digest = std::mem::take(&mut self.current).finalize();
        if complete {
            self.digests.push(digest.into());
        }
    }

    /// Appends lines to a listing, with digests for the numbers of contents.
    pub(super) fn resolve(&self, lines: &[u8], listing: &mut Vec<u8>) -> io::Result<()> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let Some((before, number)) = split_number(line) else {
                listing.extend(line);
                continue;
            };
            let digest = number
                .and_then(|number| self.digests.get(number))
                .ok_or_else(|| unexpected("a line with a content that was not sent".to_owned()))?;
            listing.extend(before);
            writeln!(listing, " sha256={}", HEXLOWER.encode(digest))?;
        }
        Ok(())
    }
}

/// The line before [`DIGEST_OF`], and the number after it. Paths have no spaces, so this can be
/// nothing else than the last keyword.
fn split_number(line: &[u8]) -> Option<(&[u8], Option<usize>)> {
    let at = line
        .windows(DIGEST_OF.len())
        .rposition(|window| window == DIGEST_OF.as_bytes())?;
    let number = std::str::from_utf8(&line[at + DIGEST_OF.len()..]).ok();
    Some((
        &line[..at],
        number.and_then(|number| number.trim_end().parse().ok()),
    ))
}
