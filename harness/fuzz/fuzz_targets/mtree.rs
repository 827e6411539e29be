//! An mtree file. What can be read is printed as something that reads back as the same.
#![no_main]

use harness::tree::mtree;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(tree) = mtree::parse(text) {
        let printed = mtree::print(&tree, &[]);
        assert_eq!(mtree::parse(&printed).expect("it was printed by us"), tree);
    }
});
