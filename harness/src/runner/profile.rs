//! How an image becomes the root of a booted machine.

use std::fmt;

use super::Format;

/// How an image becomes the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The image is the root, read-only.
    Ro,
    /// The image, or a stack of layers, lies read-only under a writable layer on a disk of its own.
    Overlay,
    /// The image is the root and is written to. The artifact is not: writes go to a file over it.
    Rw,
    /// Layers are stacked in the guest, and the stack is the root, read-only.
    Layers,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Profile; 4] = [Profile::Ro, Profile::Overlay, Profile::Rw, Profile::Layers];

    /// The word of descriptors, of `--profile` and of reports.
    pub fn word(self) -> &'static str {
        match self {
            Profile::Ro => "ro",
            Profile::Overlay => "overlay",
            Profile::Rw => "rw",
            Profile::Layers => "layers",
        }
    }

    /// Whether the root can be written to.
    pub fn is_writable(self) -> bool {
        matches!(self, Profile::Overlay | Profile::Rw)
    }

    /// The profile of an artifact for which nobody names one.
    pub fn of(format: Format) -> Profile {
        match format.is_layered() {
            true => Profile::Layers,
            false => Profile::Ro,
        }
    }

    /// Why an artifact of this format cannot be booted in this way; what is never booted has no why.
    pub fn refuses(self, format: Format) -> Option<String> {
        let why = match (self, format) {
            (Profile::Rw, Format::Erofs | Format::Squashfs) => "nothing can write to it",
            (Profile::Ro | Profile::Rw, _) if format.is_layered() => {
                "layers are only stacked, in the profiles layers and overlay"
            }
            (Profile::Layers, _) if format.is_filesystem() && !format.is_layered() => {
                "it is one image, there is nothing to stack"
            }
            _ => return None,
        };
        Some(format!("{format} is not booted {self}: {why}"))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(word: &str) -> Result<Profile, String> {
        Profile::ALL
            .into_iter()
            .find(|profile| profile.word() == word)
            .ok_or_else(|| {
                let words = Profile::ALL.map(Profile::word).join(", ");
                format!("`{word}` is no profile; there are {words}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;
    use crate::runner::Format;

    #[test]
    fn every_format_boots_in_the_profile_it_has_by_itself() {
        for format in Format::ALL {
            assert_eq!(Profile::of(format).refuses(format), None, "{format}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let refused: Vec<String> = Profile::ALL
            .into_iter()
            .flat_map(|profile| Format::ALL.map(|format| profile.refuses(format)))
            .flatten()
            .collect();
        assert_eq!(
            refused,
            [
                "erofs-layers is not booted ro: layers are only stacked, in the profiles layers and overlay",
                "layer-dirs is not booted ro: layers are only stacked, in the profiles layers and overlay",
                "erofs is not booted rw: nothing can write to it",
                "squashfs is not booted rw: nothing can write to it",
                "erofs-layers is not booted rw: layers are only stacked, in the profiles layers and overlay",
                "layer-dirs is not booted rw: layers are only stacked, in the profiles layers and overlay",
                "ext4 is not booted layers: it is one image, there is nothing to stack",
                "erofs is not booted layers: it is one image, there is nothing to stack",
                "squashfs is not booted layers: it is one image, there is nothing to stack",
            ]
        );
    }

    #[test]
    fn a_profile_is_known_by_its_word() {
        for profile in Profile::ALL {
            assert_eq!(profile.word().parse(), Ok(profile));
        }
        let unknown: Result<Profile, String> = "writable".parse();
        let why = "`writable` is no profile; there are ro, overlay, rw, layers";
        assert_eq!(unknown, Err(why.to_owned()));
    }
}
