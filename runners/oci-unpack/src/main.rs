//! `oci-unpack-runner LAYOUT TAG TARGET`: one image, as the library's own example unpacks it.

mod registry;

use std::path::Path;

use anyhow::Result;
use oci_unpack::{Reference, Unpacker};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [layout, tag, target] = &words[..] else {
        println!("oci-unpack {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    };
    let registry = registry::serve(Path::new(layout))?;
    let image = format!("{registry}/image:{tag}");
    Ok(Unpacker::new(Reference::try_from(image.as_str())?).unpack(target)?)
}
