//! What can be wrong, in order of severity; each with its own word in reports.

use crate::case::escape::escape;
use crate::tree::{Difference, mtree};

/// The kinds of finding, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// Something outside the output changed.
    Escape,
    /// Exit 0 and the tree is wrong, or the image does not boot: worse than a crash.
    Silent,
    /// The filesystem is damaged: fsck, or an error on a full read.
    Corrupt,
    /// Should have been rejected.
    Accepted,
    /// Death by a signal.
    Crash,
    /// Not done in time.
    Timeout,
    /// Used more than its share of memory, disk or processes.
    Resource,
    /// Should have been accepted.
    Rejected,
    /// Two runs differ.
    Unstable,
    /// Left something behind, or a usable-looking output after a failure.
    Unclean,
}

/// What the line of a finding begins with that is one of a question's twin.
pub const OF_TWIN: &str = "the twin, which is repaired: ";

impl FindingKind {
    /// Every kind, the worst first.
    pub const ALL: [FindingKind; 10] = [
        FindingKind::Escape,
        FindingKind::Silent,
        FindingKind::Corrupt,
        FindingKind::Accepted,
        FindingKind::Crash,
        FindingKind::Timeout,
        FindingKind::Resource,
        FindingKind::Rejected,
        FindingKind::Unstable,
        FindingKind::Unclean,
    ];

    /// The word of reports and expectations.
    pub fn word(self) -> &'static str {
        match self {
            FindingKind::Escape => "escape",
            FindingKind::Silent => "silent",
            FindingKind::Corrupt => "corrupt",
            FindingKind::Accepted => "accepted",
            FindingKind::Crash => "crash",
            FindingKind::Timeout => "timeout",
            FindingKind::Resource => "resource",
            FindingKind::Rejected => "rejected",
            FindingKind::Unstable => "unstable",
            FindingKind::Unclean => "unclean",
        }
    }

    /// The kind of this word.
    pub fn named(word: &str) -> Option<FindingKind> {
        FindingKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// One thing that is wrong: a kind, a place and what was seen there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// The place.
    pub place: FindingPlace,
}

/// Where a finding is and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingPlace {
    /// A difference between the expected and the actual tree.
    Tree(Difference),
    /// Something else, in words.
    Text(String),
}

impl Finding {
    /// A finding in words.
    pub fn text(kind: FindingKind, text: impl Into<String>) -> Finding {
        Finding {
            kind,
            place: FindingPlace::Text(text.into()),
        }
    }

    /// A difference of trees: exit 0 and the tree is wrong.
    pub fn difference(difference: Difference) -> Finding {
        Finding {
            kind: FindingKind::Silent,
            place: FindingPlace::Tree(difference),
        }
    }

    /// Whether it is of the same kind and place as another, whatever values were seen there.
    pub fn is_at_the_place_of(&self, other: &Finding) -> bool {
        let same = match (&self.place, &other.place) {
            (
                FindingPlace::Tree(Difference::Modified { path, key, .. }),
                FindingPlace::Tree(Difference::Modified {
                    path: other_path,
                    key: other_key,
                    ..
                }),
            ) => path == other_path && key == other_key,
            (one, other) => one == other,
        };
        same && self.kind == other.kind
    }

    /// One line: what, where, and for a modified attribute the two values.
    pub fn line(&self) -> String {
        match &self.place {
            FindingPlace::Text(text) => text.clone(),
            FindingPlace::Tree(Difference::Missing(path)) => {
                format!("missing   {}", mtree::name(path))
            }
            FindingPlace::Tree(Difference::Extra(path)) => {
                format!("extra     {}", mtree::name(path))
            }
            FindingPlace::Tree(Difference::Modified {
                path,
                key,
                want,
                got,
            }) => {
                let (path, key) = (mtree::name(path), key.word());
                format!("modified  {path}  {key}  want {want}  got {got}")
            }
        }
    }

    /// The finding as one line that is safe to print whatever an image put into it.
    pub fn safe_line(&self) -> String {
        self.line()
            .chars()
            .map(|c| {
                if c.is_control() {
                    escape(c.to_string().as_bytes())
                } else {
                    c.to_string()
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, FindingKind};
    use crate::tree::Difference;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_the_worst_stands_first() {
        assert!(FindingKind::ALL.is_sorted());
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::named(kind.word()), Some(kind));
        }
        assert_eq!(FindingKind::named("sad"), None);
    }

    #[test]
    fn a_line_cannot_act_on_the_terminal() {
        let hostile = "a\x1b[2Jb\r\nc\u{9b}d";
        let line = Finding::text(FindingKind::Silent, hostile).safe_line();
        assert_eq!(line, "a\\033[2Jb\\015\\012c\\302\\233d");
        let path = Finding::difference(Difference::Extra("a\n\x1bb".into()));
        assert_eq!(path.safe_line(), "extra     ./a\\012\\033b");
    }
}
