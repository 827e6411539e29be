//! A layer's archive, read back to entries, which the model then applies.
#![no_main]

use harness::case::Layer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entries) = harness::image::read_entries(bytes) {
        let layer = Layer {
            entries,
            ..Layer::default()
        };
        // Refusing is as good as applying.
        let _ = harness::tree::apply_layers(&[layer], false);
    }
});
