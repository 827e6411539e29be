//! `oci2rootfs-runner LAYOUT OUT`: one image with the library's own entry point and its defaults.

use anyhow::Result;
use oci2rootfs::{Converter, OciLayoutSource};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [layout, out] = &words[..] else {
        println!("oci2rootfs {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    };
    Ok(Converter::new(out).convert(OciLayoutSource::open(layout)?)?)
}
