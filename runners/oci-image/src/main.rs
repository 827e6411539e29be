//! `oci-image-runner LAYOUT TAG OUT`: pulls one image into a store, and has the store unpack it as one tree.

// The libraries that read from registries only share one.
#[path = "../../oci-unpack/src/registry.rs"]
mod registry;

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use oci_image::{LayerStore, UnpackOptions, pull};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [layout, tag, out] = &words[..] else {
        println!("oci-image {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    };
    let image = format!("{}/image:{tag}", registry::serve(Path::new(layout))?);
    // Beside the output, so that the tree can be moved there.
    let beside = Path::new(out)
        .parent()
        .context("no folder for the output")?;
    let place = tempfile::tempdir_in(beside)?;
    let store = LayerStore::open(place.path())?;
    let client = reqwest::Client::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pulled = runtime.block_on(pull::pull(&client, &image, &store, &mut |line| {
        println!("{line}")
    }))?;
    fs::rename(
        store.rootfs(&pulled.blobs(), &UnpackOptions::default())?,
        out,
    )?;
    Ok(())
}
