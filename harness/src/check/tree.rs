//! An actual tree against the wanted one.

use std::collections::BTreeSet;

use super::{Finding, Wanted};
use crate::runner::{Capability, Format};
use crate::tree::{Difference, InodeKind, Key, Tree, diff, mtree};

/// What came of comparing a tree that was produced with what is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What is wrong.
    pub(super) findings: Vec<Finding>,
    /// Which of several outcomes it is.
    pub(super) outcome: Option<String>,
    /// What differs and was not claimed to be carried over.
    pub(super) unclaimed: BTreeSet<Capability>,
}

/// Compares a tree that was produced with what is wanted; differences in what the converter `lacks` are
/// not findings.
pub(super) fn compare(
    wanted: &Wanted,
    got: &Tree,
    format: Format,
    lacks: &[Capability],
) -> Comparison {
    match wanted {
        Wanted::Tree(want) => differences(want, got, format, lacks),
        Wanted::OneOf { trees, .. } => {
            let mut nearest: Option<Comparison> = None;
            for (name, want) in trees {
                let mut comparison = differences(want, got, format, lacks);
                if comparison.findings.is_empty() {
                    comparison.outcome = Some(name.clone());
                    return comparison;
                }
                if nearest
                    .as_ref()
                    .is_none_or(|least| comparison.findings.len() < least.findings.len())
                {
                    nearest = Some(comparison);
                }
            }
            nearest.unwrap_or_default()
        }
        Wanted::Reject { .. } | Wanted::Record => Comparison::default(),
    }
}

fn differences(want: &Tree, got: &Tree, format: Format, lacks: &[Capability]) -> Comparison {
    let mut comparison = Comparison::default();
    for difference in diff(want, got) {
        match &difference {
            Difference::Extra(path) if added(format, path) => continue,
            Difference::Modified { path, key, .. } => {
                let kind = got.get(path).map(|inode| &inode.kind);
                if let Some(unclaimed) = unclaimed(lacks, path, *key, kind) {
                    comparison.unclaimed.insert(unclaimed);
                    continue;
                }
            }
            _ => {}
        }
        comparison.findings.push(Finding::difference(difference));
    }
    comparison
}

/// Which of the capabilities that a converter `lacks` an attribute of a path, of a file of this kind, would need.
pub(super) fn unclaimed(
    lacks: &[Capability],
    path: &[u8],
    key: Key,
    kind: Option<&InodeKind>,
) -> Option<Capability> {
    let is_time = key == Key::Time;
    lacks.iter().copied().find(|capability| match capability {
        Capability::Layers => false,
        Capability::RootAttributes => path.is_empty(),
        Capability::Times => is_time,
        Capability::Xattrs => key == Key::Xattr,
        Capability::DirectoryTimes => is_time && matches!(kind, Some(InodeKind::Dir)),
        Capability::SymlinkTimes => is_time && matches!(kind, Some(InodeKind::Symlink { .. })),
    })
}

/// What a format itself puts into every filesystem, declared here and nowhere else.
pub(super) fn added(format: Format, path: &[u8]) -> bool {
    // mke2fs makes it for e2fsck, which refuses to work without.
    format == Format::Ext4 && path == b"lost+found"
}

/// What tells one tree from another: equal for trees that differ in nothing but what their formats added.
pub(super) fn digest(tree: &Tree, format: Format) -> String {
    use sha2::{Digest as _, Sha256};
    let own = tree.iter().filter(|(path, ..)| added(format, path));
    let own: Vec<String> = own
        .map(|(path, ..)| format!("{} ", mtree::name(path)))
        .collect();
    let text = mtree::print(tree, &[]);
    let mut digest = Sha256::new();
    for line in text.split_inclusive('\n') {
        if !own.iter().any(|name| line.starts_with(name)) {
            digest.update(line);
        }
    }
    data_encoding::HEXLOWER.encode(&digest.finalize())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Comparison, compare, digest};
    use crate::check::Wanted;
    use crate::runner::{Capability, Format};
    use crate::tree::{Tree, mtree};

    /// A tree of empty directories.
    fn tree(paths: &[&str]) -> Tree {
        let lines: String = paths
            .iter()
            .map(|path| format!("./{path} type=dir\n"))
            .collect();
        mtree::parse(&format!("#mtree v2.0\n. type=dir\n{lines}")).unwrap()
    }

    fn lines(wanted: &Wanted, got: &Tree, format: Format) -> Vec<String> {
        lines_of(&compare(wanted, got, format, &[]))
    }

    fn lines_of(comparison: &Comparison) -> Vec<String> {
        let findings = comparison.findings.iter();
        findings.map(|finding| finding.line()).collect()
    }

    #[test]
    fn what_is_not_claimed_is_set_aside_and_nothing_else() {
        let mtree = |text: &str| mtree::parse(&format!("#mtree v2.0\n{text}")).unwrap();
        let files = "./d type=dir mode=0755 time=1.0\n\
                     ./f type=file mode=0644 size=0 time=1.0 sha256=";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let files = format!("{files}{empty}\n./l type=link mode=0777 time=1.0 link=f\n");
        let xattr = "#@ xattr ./f user.k dg==\n";
        let want = mtree(&format!(". type=dir mode=0755 time=1.0\n{files}{xattr}"));
        let other = files.replace("time=1", "time=2").replace("0644", "0600");
        let got = mtree(&format!(". type=dir mode=0700 time=2.0\n{other}"));
        let mode = "modified  ./f  mode  want 0644  got 0600";
        let time = |path: &str| format!("modified  {path}  time  want 1.0  got 2.0");
        let root = "modified  .  mode  want 0755  got 0700";
        let all = [
            root.to_owned(),
            time("."),
            time("./d"),
            mode.to_owned(),
            time("./f"),
            time("./l"),
            "modified  ./f  xattr  want user.k=v  got no user.k".to_owned(),
        ];
        let one = |place: usize| all[place].clone();
        let wanted = Wanted::OneOf {
            trees: vec![("it".into(), want)],
            reject: false,
        };
        for (lacks, left) in [
            (vec![], (0..7).collect::<Vec<usize>>()),
            (vec![Capability::Layers], (0..7).collect()),
            (vec![Capability::RootAttributes], vec![2, 3, 4, 5, 6]),
            (vec![Capability::Times], vec![0, 3, 6]),
            (vec![Capability::Xattrs], vec![0, 1, 2, 3, 4, 5]),
            (vec![Capability::DirectoryTimes], vec![0, 3, 4, 5, 6]),
            (vec![Capability::SymlinkTimes], vec![0, 1, 2, 3, 4, 6]),
            (
                vec![Capability::Times, Capability::RootAttributes],
                vec![3, 6],
            ),
        ] {
            let comparison = compare(&wanted, &got, Format::Dir, &lacks);
            let mut left: Vec<String> = left.into_iter().map(one).collect();
            let mut lines = lines_of(&comparison);
            left.sort();
            lines.sort();
            assert_eq!(lines, left, "{lacks:?}");
            let set_aside: Vec<Capability> = comparison.unclaimed.into_iter().collect();
            let mut expected = lacks.clone();
            expected.retain(|capability| *capability != Capability::Layers);
            expected.sort();
            assert_eq!(set_aside, expected);
        }
    }

    #[test]
    fn only_what_the_format_itself_adds_is_not_extra() {
        let wanted = Wanted::Tree(tree(&["a"]));
        let got = tree(&["a", "lost+found"]);
        assert_eq!(lines(&wanted, &got, Format::Ext4), [""; 0]);
        for format in [Format::Dir, Format::Tar, Format::Erofs, Format::Squashfs] {
            assert_eq!(lines(&wanted, &got, format), ["extra     ./lost+found"]);
        }
        let below = tree(&["a", "a/lost+found"]);
        assert_eq!(
            lines(&wanted, &below, Format::Ext4),
            ["extra     ./a/lost+found"]
        );
        let wanted = Wanted::Tree(tree(&["a", "lost+found"]));
        let got = tree(&["a"]);
        assert_eq!(
            lines(&wanted, &got, Format::Ext4),
            ["missing   ./lost+found"]
        );
    }

    #[test]
    fn one_of_several_trees_is_named_or_the_nearest_is_compared_with() {
        let wanted = Wanted::OneOf {
            trees: vec![
                ("first".into(), tree(&["a", "b", "c"])),
                ("second".into(), tree(&["a"])),
            ],
            reject: false,
        };
        let second = compare(&wanted, &tree(&["a"]), Format::Dir, &[]);
        assert_eq!(second.outcome.as_deref(), Some("second"));
        assert_eq!(lines_of(&second), [""; 0]);
        let neither = tree(&["a", "x"]);
        assert_eq!(lines(&wanted, &neither, Format::Dir), ["extra     ./x"]);
    }

    #[test]
    fn a_digest_tells_trees_apart_and_no_formats() {
        let plain = digest(&tree(&["a"]), Format::Dir);
        assert_eq!(digest(&tree(&["a"]), Format::Erofs), plain);
        assert_eq!(digest(&tree(&["a", "lost+found"]), Format::Ext4), plain);
        assert_ne!(digest(&tree(&["a", "lost+found"]), Format::Dir), plain);
        assert_ne!(digest(&tree(&["a", "lost+found-too"]), Format::Ext4), plain);
        assert_ne!(digest(&tree(&["b"]), Format::Dir), plain);
    }
}
