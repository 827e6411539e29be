//! The `\ooo` escapes that corpus and golden share.
//!
//! A backslash and three octal digits stand for one byte; the backslash itself is `\134`. Text is
//! what remains: printable ASCII in goldens, any UTF-8 in case files.

use std::fmt::Write as _;

/// Bytes as an mtree(5) word: printable ASCII stays, all else becomes `\ooo`.
///
/// Glob characters, `#`, blanks and the backslash are escaped too, since readers of mtree treat them
/// specially.
pub fn escape(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' | b'#' | b'*' | b'?' | b'[' => octal(&mut word, byte),
            0x21..=0x7e => word.push(char::from(byte)),
            _ => octal(&mut word, byte),
        }
    }
    word
}

/// The bytes that an escaped text stands for.
///
/// # Errors
///
/// A backslash that three octal digits up to `377` do not follow; the offset of it is given.
pub fn unescape(text: &str) -> Result<Vec<u8>, BadEscape> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let value = tail.get(..3).and_then(octal_byte).ok_or(BadEscape {
            offset: text.len() - rest.len(),
        })?;
        bytes.push(value);
        rest = &tail[3..];
    }
    Ok(bytes)
}

/// A backslash that starts no `\ooo` escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    r"a backslash must be followed by three octal digits up to 377; the backslash itself is \134"
)]
pub struct BadEscape {
    /// The offset of the backslash in the text.
    pub offset: usize,
}

fn octal(word: &mut String, byte: u8) {
    write!(word, "\\{byte:03o}").expect("writing to a string cannot fail");
}

fn octal_byte(digits: &[u8]) -> Option<u8> {
    digits
        .iter()
        .try_fold(0u16, |value, digit| match digit {
            b'0'..=b'7' => Some(value * 8 + u16::from(digit - b'0')),
            _ => None,
        })
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{escape, unescape};

    proptest! {
        #[test]
        fn unescape_undoes_escape(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let word = escape(&bytes);
            assert!(word.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{word}");
            assert_eq!(unescape(&word).unwrap(), bytes);
        }
    }

    #[test]
    fn bad_escapes_are_named_by_offset() {
        for (text, offset) in [
            (r"a\", 1),
            (r"\12", 0),
            (r"ab\8", 2),
            (r"\400", 0),
            (r"\n", 0),
        ] {
            assert_eq!(unescape(text).unwrap_err().offset, offset, "{text}");
        }
    }
}
