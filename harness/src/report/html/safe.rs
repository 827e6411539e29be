//! Texts that cannot act as markup.

use super::super::visible;

/// A text as the content of an element, or as the value of an attribute in quotes.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// JSON that cannot end the element it stands in, or open a comment in it.
pub(super) fn script(json: &str) -> String {
    // Outside of strings JSON has none of these.
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// At most so many characters, and how many there were more.
pub(super) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            format!("{}… ({more} more characters)", &text[..end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{script, shortened, text};

    #[test]
    fn no_text_is_markup() {
        assert_eq!(
            text("</script><script>alert(1)</script>&\"'"),
            "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"
        );
        let json = script(&serde_json::to_string("<!--</script>&").unwrap());
        assert_eq!(json, r#""\u003c!--\u003c/script\u003e\u0026""#);
        let back: String = serde_json::from_str(&json).unwrap();
        assert_eq!(back, "<!--</script>&");
    }

    #[test]
    fn a_long_text_says_how_long_it_was() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 1), "ä… (2 more characters)");
    }
}
