//! From a meta package's dependencies to the packages that hold kernel and modules.

/// A package, with a version when it must be that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// The package's name.
    pub(crate) name: String,
    /// The exact version.
    pub(crate) version: Option<String>,
}

impl Package {
    /// The argument that names it to apt: `name` or `name=version`.
    pub(crate) fn exact(&self) -> String {
        match &self.version {
            Some(version) => format!("{}={version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// The kernel image among the dependencies of a meta package: the value of its `Depends` field.
pub(crate) fn image(depends: &str) -> Option<Package> {
    let first_alternatives = depends
        .split(',')
        .filter_map(|dependency| dependency.split('|').next());
    first_alternatives.map(parse).find(|package| {
        package
            .name
            .strip_prefix("linux-image-")
            .is_some_and(is_release)
    })
}

/// The packages to unpack for an image, in order, until nothing is missing: the image itself, and
/// the modules where the distribution keeps them apart.
pub(crate) fn wanted(image: &Package) -> Vec<Package> {
    let release = image.name.trim_start_matches("linux-image-");
    let modules = ["linux-modules-", "linux-modules-extra-"].map(|prefix| Package {
        name: format!("{prefix}{release}"),
        version: None,
    });
    [image.clone()].into_iter().chain(modules).collect()
}

/// `name`, `name (= version)` or `name (relation version)`.
fn parse(dependency: &str) -> Package {
    let (name, relation) = dependency.split_once('(').unwrap_or((dependency, ""));
    let version = relation
        .trim()
        .strip_prefix('=')
        .map(|version| version.trim_end_matches(')').trim().to_owned());
    Package {
        name: name.trim().to_owned(),
        version,
    }
}

/// A kernel release starts with its number; a meta package's suffix does not.
fn is_release(suffix: &str) -> bool {
    suffix.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{image, wanted};

    #[test]
    fn the_image_is_found_among_the_dependencies() {
        for (depends, want) in [
            (
                "linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)",
                Some("linux-image-6.1.0-56-cloud-amd64=6.1.192-2"),
            ),
            (
                "linux-base (>= 4.3~), linux-image-6.8.0-90-generic, linux-firmware",
                Some("linux-image-6.8.0-90-generic"),
            ),
            (
                "linux-image-6.12.9-amd64 (>= 6.12) | linux-image-6.12.9-amd64-unsigned",
                Some("linux-image-6.12.9-amd64"),
            ),
            ("linux-image-amd64 (= 6.1.192-2)", None),
            ("linux-headers-6.1.0-56-amd64", None),
            ("", None),
        ] {
            assert_eq!(
                image(depends).map(|package| package.exact()).as_deref(),
                want,
                "{depends}"
            );
        }
    }

    #[test]
    fn modules_that_are_packaged_apart_follow_the_image() {
        let image = image("linux-image-6.8.0-90-generic").expect("an image");
        let names: Vec<String> = wanted(&image)
            .into_iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(
            names,
            [
                "linux-image-6.8.0-90-generic",
                "linux-modules-6.8.0-90-generic",
                "linux-modules-extra-6.8.0-90-generic",
            ]
        );
    }
}
