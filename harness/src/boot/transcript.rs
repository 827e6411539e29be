//! What the machine said on its serial line, and QEMU on its standard error.

use std::collections::VecDeque;
use std::io::Read;

/// How much is kept from the beginning, and as much from the end.
const BYTES_KEPT: usize = 256 << 10;

/// A text of which only the beginning and the end are kept.
#[derive(Default)]
pub(super) struct Transcript {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: u64,
}

impl Transcript {
    /// Reads until the writer is gone. A read that fails ends the text; there is nobody to tell.
    pub(super) fn read_from(mut from: impl Read) -> Transcript {
        let mut transcript = Transcript::default();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            transcript.add(&buffer[..count]);
        }
        transcript
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = BYTES_KEPT - self.head.len();
        let (head, tail) = bytes.split_at(room.min(bytes.len()));
        self.head.extend(head);
        self.tail.extend(tail);
        let over = self.tail.len().saturating_sub(BYTES_KEPT);
        self.tail.drain(..over);
        self.left_out += over as u64;
    }

    /// The text, with a line for what is left out.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if self.left_out > 0 {
            bytes.extend(format!("\n[{} bytes left out]\n", self.left_out).bytes());
        }
        let (front, back) = self.tail.as_slices();
        bytes.extend(front);
        bytes.extend(back);
        bytes
    }

    /// The last lines that hold something, joined into one, at most `count` and 600 characters.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let lines = self.lines();
        let from = lines.len().saturating_sub(count);
        let text = lines[from..].join(" | ");
        let cut = text.chars().count().saturating_sub(600);
        text.chars().skip(cut).collect()
    }

    /// The last line that contains one of `words`.
    pub(super) fn last_line_with(&self, words: &[&str]) -> Option<String> {
        let mut lines = self.lines().into_iter().rev();
        lines.find(|line| words.iter().any(|word| line.contains(word)))
    }

    /// The lines without time stamps, terminal sequences, control characters and empty ones.
    fn lines(&self) -> Vec<String> {
        let text = self.bytes();
        String::from_utf8_lossy(&text)
            .split(['\n', '\r'])
            .map(|line| without_time(printable(line).trim()).to_owned())
            .filter(|line: &String| !line.is_empty())
            .collect()
    }
}

/// The text without control characters and `ESC [ … letter` sequences.
fn printable(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' if rest.as_str().starts_with('[') => {
                rest.find(char::is_ascii_alphabetic);
            }
            '\x1b' => {
                rest.next();
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// `[    1.234567] text` is `text`.
fn without_time(line: &str) -> &str {
    let Some((time, text)) = line
        .strip_prefix('[')
        .and_then(|line| line.split_once("] "))
    else {
        return line;
    };
    let is_time = time.trim().chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_time { text } else { line }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_KEPT, Transcript};

    #[test]
    fn beginning_and_end_are_kept() {
        let text: Vec<u8> = (0..3 * BYTES_KEPT)
            .map(|index| b'a' + (index % 26) as u8)
            .collect();
        let bytes = Transcript::read_from(&text[..]).bytes();
        let note = format!("\n[{BYTES_KEPT} bytes left out]\n");
        assert_eq!(bytes.len(), 2 * BYTES_KEPT + note.len());
        assert_eq!(bytes[..BYTES_KEPT], text[..BYTES_KEPT]);
        assert_eq!(bytes[bytes.len() - BYTES_KEPT..], text[2 * BYTES_KEPT..]);
    }

    #[test]
    fn a_short_text_is_kept_as_it_is() {
        assert_eq!(Transcript::read_from(&b"\xff\0 x"[..]).bytes(), b"\xff\0 x");
    }

    #[test]
    fn lines_are_told_without_what_a_terminal_makes_of_them() {
        let text =
            b"\x1bc\x1b[?7l\x1b[2J[    1.5] Kernel panic - not syncing: x\r\n\n[a] b\n\xffz\n";
        let transcript = Transcript::read_from(&text[..]);
        let panic = transcript.last_line_with(&["Kernel panic"]);
        assert_eq!(panic.as_deref(), Some("Kernel panic - not syncing: x"));
        assert_eq!(transcript.last_lines(2), "[a] b | \u{fffd}z");
        assert_eq!(transcript.last_line_with(&["nothing"]), None);
    }
}
