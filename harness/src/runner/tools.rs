//! Tool roots: whole Debian systems in folders, so that everybody tests the same versions of tools.
//!
//! `ci setup` makes them under `target/tools/NAME`, with the versions of their packages beside them in
//! `target/tools/NAME.packages`. A converter that runs in one sees it as its root directory.

use std::path::{Path, PathBuf};

use fs_err as fs;

/// Where the programs of converters are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tools {
    /// In the tool roots below this folder, and on the host where a root was not made.
    Roots(PathBuf),
    /// On the host only.
    Host,
}

/// The root directory a converter sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// The host's own.
    Host,
    /// A tool root.
    Tool {
        /// Its name.
        name: String,
        /// Its folder.
        path: PathBuf,
        /// The version of the runner's package in it, as Debian writes it, where that is known.
        package_version: Option<String>,
    },
    /// A tool root that was asked for by name and has not been made.
    Missing {
        /// Its name.
        name: String,
    },
}

impl Root {
    /// The word of records: `host`, or the root's name.
    pub fn word(&self) -> &str {
        match self {
            Root::Host => "host",
            Root::Tool { name, .. } | Root::Missing { name } => name,
        }
    }

    /// The folder, where it is not the host's root directory.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Root::Tool { path, .. } => Some(path),
            Root::Host | Root::Missing { .. } => None,
        }
    }
}

impl Tools {
    /// The root for a runner that names it first among its `roots`: the host's where there is none.
    pub(super) fn preferred(&self, name: &str, package: Option<&str>) -> Root {
        match self.named(name, package) {
            Root::Missing { .. } => Root::Host,
            root => root,
        }
    }

    /// The root of a name.
    pub(super) fn named(&self, name: &str, package: Option<&str>) -> Root {
        let missing = Root::Missing {
            name: name.to_owned(),
        };
        let Tools::Roots(folder) = self else {
            return missing;
        };
        let path = folder.join(name);
        // The list is written last, so a root without one is not whole.
        let Ok(list) = fs::read_to_string(folder.join(format!("{name}.packages"))) else {
            return missing;
        };
        Root::Tool {
            name: name.to_owned(),
            path,
            package_version: package.and_then(|package| package_version(&list, package)),
        }
    }
}

/// The version of a package in a list of `NAME VERSION` lines.
fn package_version(list: &str, package: &str) -> Option<String> {
    let mut pairs = list.lines().filter_map(|line| line.split_once(' '));
    pairs
        .find(|(name, _)| *name == package)
        .map(|(_, version)| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Root, Tools};

    #[test]
    fn a_root_counts_once_its_list_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools::Roots(folder.path().to_owned());
        std::fs::create_dir(folder.path().join("sid")).unwrap();
        let missing = Root::Missing { name: "sid".into() };
        assert_eq!(tools.named("sid", Some("umoci")), missing);
        assert_eq!(tools.preferred("sid", Some("umoci")), Root::Host);
        let list = "tar 1.35\numoci 0.6.0+ds-1\numoci-extra 2\n";
        std::fs::write(folder.path().join("sid.packages"), list).unwrap();
        let root = |version: Option<&str>| Root::Tool {
            name: "sid".into(),
            path: folder.path().join("sid"),
            package_version: version.map(str::to_owned),
        };
        assert_eq!(tools.named("sid", Some("umoci")), root(Some("0.6.0+ds-1")));
        assert_eq!(tools.preferred("sid", Some("absent")), root(None));
        assert_eq!(Tools::Host.named("sid", None), missing);
        assert_eq!(Tools::Host.preferred("sid", None), Root::Host);
    }
}
