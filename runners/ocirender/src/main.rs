//! `ocirender-runner FORMAT LAYOUT OUT`: one image with the library's own entry point.

use std::path::Path;

use anyhow::{Result, bail};
use ocirender::ImageSpec;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [format, layout, out] = words[..] else {
        println!("ocirender {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    };
    let path = out.into();
    let spec = match format {
        "dir" => ImageSpec::Dir { path },
        "tar" => ImageSpec::Tar { path },
        "squashfs" => ImageSpec::Squashfs {
            path,
            binpath: None,
        },
        _ => bail!("no format `{format}`"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(ocirender::convert(Path::new(layout), spec))?)
}
