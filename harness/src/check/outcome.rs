//! What a trial came to, before anybody judges it.

use super::Finding;

/// What a trial came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All that was checked is right.
    Pass,
    /// Something is not.
    Fail(Vec<Finding>),
    /// Nothing could be checked.
    Skip(Reason),
}

/// Why something was not checked. A closed list: every reason can be forbidden with `--require`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The converter needs root.
    Root,
    /// A program is not installed.
    Tool,
    /// No machine to boot in: QEMU or a guest kernel is missing, or booting is switched off.
    Boot,
    /// No fsck for this format.
    Fsck,
    /// The host gives no full containment.
    Contain,
    /// The converter does not claim to do this.
    Capability,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::Root,
        Reason::Tool,
        Reason::Boot,
        Reason::Fsck,
        Reason::Contain,
        Reason::Capability,
    ];

    /// The word of `--require` and of reports.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Root => "root",
            Reason::Tool => "tool",
            Reason::Boot => "boot",
            Reason::Fsck => "fsck",
            Reason::Contain => "contain",
            Reason::Capability => "capability",
        }
    }
}

impl std::str::FromStr for Reason {
    type Err = String;

    fn from_str(word: &str) -> Result<Reason, String> {
        Reason::ALL
            .into_iter()
            .find(|reason| reason.word() == word)
            .ok_or_else(|| {
                let words = Reason::ALL.map(Reason::word).join(", ");
                format!("`{word}` is nothing to require; there are {words}, all")
            })
    }
}
