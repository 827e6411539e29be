//! What the finished layout is: digest, layers, sizes, and the command that judges it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::console;

/// The command that judges the image: its own shell and its own Python answer from inside the VM.
const NEXT: &str = "next    cargo run -p harness -- run --converter native --layout target/real \
                    --sh \"python3 -c 'print(6*7)'\" 42";

/// Prints the layout's path, the manifest's digest, the layers' sizes and the next command.
pub(super) fn describe(layout: &Path) -> Result<()> {
    let index = layout.join("index.json");
    let [manifest] = digests(&read(&index)?)[..]
        .to_vec()
        .try_into()
        .map_err(|_| one(&index))?;
    let blob = layout.join("blobs/sha256").join(&manifest);
    let digests = digests(&read(&blob)?);
    // The manifest names its config first, then its layers.
    let Some((_config, layers)) = digests.split_first() else {
        bail!(
            "`{}` names no blobs: make the image again with --force",
            blob.display()
        );
    };
    console::say(&format!("layout  {}", layout.display()));
    console::say(&format!("digest  sha256:{manifest}"));
    for (number, layer) in layers.iter().enumerate() {
        let path = layout.join("blobs/sha256").join(layer);
        let size = fs::metadata(&path).with_context(|| format!("finding `{}`", path.display()))?;
        console::say(&format!(
            "layer {number} sha256:{layer} {} bytes",
            size.len()
        ));
    }
    console::say(NEXT);
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("reading `{}`: make it with --force", path.display()))
}

fn one(index: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "`{}` names not one manifest: make it with --force",
        index.display()
    )
}

/// Every SHA-256 digest in a document, in order, in hexadecimal. What umoci writes needs no
/// parser of JSON to find them, and this program keeps to few dependencies.
fn digests(json: &str) -> Vec<String> {
    let after = json.split("\"sha256:").skip(1);
    let hex = after
        .filter_map(|rest| rest.split_once('"'))
        .map(|(hex, _)| hex);
    hex.filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::digests;

    #[test]
    fn digests_are_found_in_order() {
        let (a, b) = ("a".repeat(64), "0".repeat(64));
        let json = format!(r#"{{"digest":"sha256:{a}","layers":[{{"digest": "sha256:{b}"}}]}}"#);
        assert_eq!(digests(&json), [a, b]);
        for none in ["{}", r#""sha256:short""#, r#""sha512:aa""#, r#""sha256:"#] {
            assert_eq!(digests(none), Vec::<String>::new(), "{none}");
        }
    }
}
