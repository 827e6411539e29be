//! Images that cannot be converted with one storage for many: of a blob that one image says to be one thing another says
//! something else, or what it says cannot be told.
//!
//! Storages find layers by digest, diff ID or chain, and images by their configuration. What another image brought is
//! then found for what this one would have brought, which makes no difference only where both say the very same of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use fs_err as fs;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Of these folders below `layouts` those whose images are to be converted alone. Of two that contradict each other it
/// is the later one.
pub(super) fn apart(layouts: &Path, names: &[String]) -> BTreeSet<String> {
    let mut said = BTreeMap::new();
    let is_apart = |name: &&String| match statements(&layouts.join(name)) {
        Some(of_image) => {
            let is_against = |(what, value): (&String, &String)| {
                said.get(what).is_some_and(|before| before != value)
            };
            let is_apart = of_image.iter().any(is_against);
            if !is_apart {
                said.extend(of_image);
            }
            is_apart
        }
        None => true,
    };
    names.iter().filter(is_apart).cloned().collect()
}

/// What an image says of each of its blobs, by what a storage may find it by. Nothing where the layout is anything but one
/// manifest for one configuration with all their blobs as files that are what their descriptors say.
fn statements(layout: &Path) -> Option<BTreeMap<String, String>> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).ok()?).ok()?;
    let [manifest] = index.get("manifests")?.as_array()?.as_slice() else {
        return None;
    };
    let contents: Value = serde_json::from_slice(&blob(layout, manifest)?).ok()?;
    let config = contents.get("config")?;
    let of_config: Value = serde_json::from_slice(&blob(layout, config)?).ok()?;
    let layers = contents.get("layers")?.as_array()?;
    let diff_ids = of_config.get("rootfs")?.get("diff_ids")?.as_array()?;
    if layers.len() != diff_ids.len() {
        return None;
    }
    let mut statements = BTreeMap::new();
    let mut is_consistent = true;
    let mut say = |what: &Value, value: String| {
        let before = statements.insert(what.to_string(), value.clone());
        is_consistent &= before.is_none_or(|before| before == value);
    };
    say(config.get("digest")?, manifest.to_string());
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        blob(layout, layer)?;
        diff_id.as_str()?;
        let value = format!("{layer} {diff_id}");
        say(layer.get("digest")?, value.clone());
        say(diff_id, value);
    }
    is_consistent.then_some(statements)
}

/// The bytes that a descriptor names, if they are what it says.
fn blob(layout: &Path, descriptor: &Value) -> Option<Vec<u8>> {
    let digest = descriptor.get("digest")?.as_str()?;
    let digits = digest.strip_prefix("sha256:")?;
    let path = layout.join("blobs/sha256").join(digits);
    if !fs::symlink_metadata(&path).ok()?.is_file() {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let mut hex = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    let is_right = hex == digits && descriptor.get("size")?.as_u64()? == bytes.len() as u64;
    is_right.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};

    use super::apart;

    const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

    fn put(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
        let digits: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let folder = layout.join("blobs/sha256");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(&digits), bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{digits}"), "size": bytes.len()})
    }

    /// An image of layers, each with its media type, its bytes and its diff ID.
    fn image(layout: &Path, layers: &[(&str, &[u8], &str)], note: &str) {
        let diff_ids: Vec<&str> = layers.iter().map(|(_, _, diff_id)| *diff_id).collect();
        let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = put(layout, "config", config.to_string().as_bytes());
        let layers: Vec<Value> = layers
            .iter()
            .map(|(media_type, bytes, _)| put(layout, media_type, bytes))
            .collect();
        let manifest = json!({"config": config, "layers": layers, "annotations": {"note": note}});
        let manifest = put(layout, "manifest", manifest.to_string().as_bytes());
        let index = json!({"manifests": [manifest]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
    }

    /// Which of the images that `make` makes, each in a folder of its number, are apart.
    fn apart_of(make: &[&dyn Fn(&Path)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..make.len()).map(|number| number.to_string()).collect();
        for (name, make) in names.iter().zip(make) {
            make(&folder.path().join(name));
        }
        apart(folder.path(), &names).into_iter().collect()
    }

    #[test]
    fn images_that_say_the_same_of_what_they_share_stay_together() {
        let base = (TAR, &b"base"[..], "sha256:base");
        let top = (TAR, &b"top"[..], "sha256:top");
        let others: [&dyn Fn(&Path); 4] = [
            &|to| image(to, &[base], ""),
            &|to| image(to, &[base, top], ""),
            &|to| image(to, &[base, base, top], ""),
            &|to| image(to, &[base, top], ""),
        ];
        assert_eq!(apart_of(&others), [""; 0]);
    }

    #[test]
    fn who_says_something_else_of_a_blob_is_apart() {
        let plain: &dyn Fn(&Path) = &|to| image(to, &[(TAR, b"base", "sha256:base")], "");
        let other_type = |to: &Path| image(to, &[("erofs", b"base", "sha256:base")], "");
        let other_bytes = |to: &Path| image(to, &[(TAR, b"packed", "sha256:base")], "");
        let other_diff_id = |to: &Path| image(to, &[(TAR, b"base", "sha256:other")], "");
        let other_manifest = |to: &Path| image(to, &[(TAR, b"base", "sha256:base")], "note");
        let at_odds_with_itself = |to: &Path| {
            let layers = [(TAR, &b"x"[..], "sha256:x"), ("erofs", b"x", "sha256:x")];
            image(to, &layers, "");
        };
        let others: [&dyn Fn(&Path); 5] = [
            &other_type,
            &other_bytes,
            &other_diff_id,
            &other_manifest,
            &at_odds_with_itself,
        ];
        for other in others {
            assert_eq!(apart_of(&[plain, other, plain]), ["1"]);
        }
    }

    #[test]
    fn who_is_not_what_its_descriptors_say_is_apart() {
        let plain = |to: &Path| image(to, &[(TAR, b"base", "sha256:base")], "");
        let change = |to: &Path, change: &dyn Fn(&mut Value)| {
            plain(to);
            let path = to.join("index.json");
            let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(&mut index);
            fs::write(path, index.to_string()).unwrap();
        };
        let no_json = |to: &Path| {
            plain(to);
            fs::write(to.join("index.json"), "{").unwrap();
        };
        let two_manifests = |to: &Path| {
            change(to, &|index| {
                let manifest = index["manifests"][0].clone();
                index["manifests"].as_array_mut().unwrap().push(manifest);
            });
        };
        let other_size = |to: &Path| change(to, &|index| index["manifests"][0]["size"] = 1.into());
        let all_blobs = |to: &Path, change: &dyn Fn(&Path)| {
            plain(to);
            for entry in fs::read_dir(to.join("blobs/sha256")).unwrap() {
                let path = entry.unwrap().path();
                if fs::read(&path).unwrap() == b"base" {
                    change(&path);
                }
            }
        };
        let no_layer = |to: &Path| all_blobs(to, &|path| fs::remove_file(path).unwrap());
        let other_layer = |to: &Path| all_blobs(to, &|path| fs::write(path, "esab").unwrap());
        let linked_layer = |to: &Path| {
            all_blobs(to, &|path| {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside).unwrap();
                std::os::unix::fs::symlink(aside, path).unwrap();
            });
        };
        let makes: [&dyn Fn(&Path); 6] = [
            &no_json,
            &two_manifests,
            &other_size,
            &no_layer,
            &other_layer,
            &linked_layer,
        ];
        for make in makes {
            assert_eq!(apart_of(&[&plain, make]), ["1"]);
        }
    }
}
