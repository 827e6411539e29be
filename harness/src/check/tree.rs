//! An actual tree against the wanted one.

use super::{Finding, Wanted};
use crate::runner::Format;
use crate::tree::{Difference, Tree, diff, mtree};

/// The findings of a tree that was produced, and which of several outcomes it is.
pub(super) fn compare(
    wanted: &Wanted,
    got: &Tree,
    format: Format,
) -> (Vec<Finding>, Option<String>) {
    match wanted {
        Wanted::Tree(want) => (differences(want, got, format), None),
        Wanted::OneOf { trees, .. } => {
            let mut nearest: Option<Vec<Finding>> = None;
            for (name, want) in trees {
                let findings = differences(want, got, format);
                if findings.is_empty() {
                    return (findings, Some(name.clone()));
                }
                if nearest
                    .as_ref()
                    .is_none_or(|least| findings.len() < least.len())
                {
                    nearest = Some(findings);
                }
            }
            (nearest.unwrap_or_default(), None)
        }
        Wanted::Reject { .. } | Wanted::Record => (Vec::new(), None),
    }
}

fn differences(want: &Tree, got: &Tree, format: Format) -> Vec<Finding> {
    let own = |difference: &Difference| matches!(difference, Difference::Extra(path) if added(format, path));
    diff(want, got)
        .into_iter()
        .filter(|one| !own(one))
        .map(Finding::difference)
        .collect()
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
    use super::{compare, digest};
    use crate::check::Wanted;
    use crate::runner::Format;
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
        let (findings, _) = compare(wanted, got, format);
        findings.iter().map(|finding| finding.line()).collect()
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
        let second = compare(&wanted, &tree(&["a"]), Format::Dir);
        assert_eq!(second, (Vec::new(), Some("second".to_owned())));
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
