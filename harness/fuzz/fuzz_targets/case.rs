//! The text of a case file. Its errors must have a line, whatever the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = harness::case::parse("fuzz/case", text, &|_| Some(Vec::new())) {
        assert!(!error.to_string().is_empty());
    }
});
