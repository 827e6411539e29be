//! Texts that cannot turn the direction of what stands beside them, or act on a terminal.

/// A text with the characters made visible that would not be seen or would change how others are: control
/// characters but for the line feed, bidirectional formatting, what has no width, and stray tags.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_unseen(c) {
            true => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

fn is_unseen(c: char) -> bool {
    match c {
        '\n' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_would_not_be_seen_is() {
        assert_eq!(
            visible("a\u{202e}b\u{7}c\u{2066}d\re\nf"),
            "a\\u{202e}b\\u{7}c\\u{2066}d\\u{d}e\nf"
        );
        assert_eq!(visible("é 漢 \u{1f980}"), "é 漢 \u{1f980}");
        for c in [
            '\u{200b}',
            '\u{200f}',
            '\u{feff}',
            '\u{9b}',
            '\u{e0041}',
            '\t',
            '\u{2029}',
        ] {
            assert!(visible(&c.to_string()).starts_with("\\u{"), "{c:?}");
        }
    }
}
