//! What a test needs of the machine, and what becomes of the test where that is missing.
//!
//! Nothing is skipped silently: what could not be checked is said on standard error, and where
//! `HARNESS_REQUIRE` names the reason (`all`, or a comma list of the words of `--require`) it is a
//! failure. `.ci/run` requires all that its machine can do.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use harness::check::Reason;
use harness::runner::contain;

/// The `harness` program of this build.
pub(crate) const HARNESS: &str = env!("CARGO_BIN_EXE_harness");

/// The folders programs are looked for in: those a contained converter has in its `PATH`.
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// The full path of a program, or `None` after saying that `what` goes unchecked without it.
#[track_caller]
pub(crate) fn tool(program: &str, what: &str) -> Option<PathBuf> {
    let found = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        missing(Reason::Tool, what, &format!("`{program}` is not installed"));
    }
    found
}

/// Whether this process may set owners and make devices.
#[track_caller]
pub(crate) fn root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        missing(Reason::Root, what, "this needs root");
    }
    is_root
}

/// Whether the host can hold a converter so that escapes are seen.
#[track_caller]
pub(crate) fn contained(what: &str) -> bool {
    let found = contain::probe(Path::new(HARNESS));
    if !found.contained() {
        missing(Reason::Contain, what, &found.reasons.join("; "));
    }
    found.contained()
}

/// Says that `what` is not checked and why, or fails where that is forbidden.
#[track_caller]
pub(crate) fn missing(reason: Reason, what: &str, cause: &str) {
    let words = std::env::var("HARNESS_REQUIRE").unwrap_or_default();
    let forbidden = is_forbidden(&words, reason).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        !forbidden,
        "{what} must be checked (HARNESS_REQUIRE={words}), but: {cause}"
    );
    let reason = reason.word();
    writeln!(std::io::stderr(), "not checked: {what}: {reason}: {cause}")
        .expect("standard error is open in a test");
}

/// Whether the words of `HARNESS_REQUIRE` forbid this reason.
fn is_forbidden(words: &str, reason: Reason) -> Result<bool, String> {
    let mut forbidden = false;
    for word in words.split(',').filter(|word| !word.is_empty()) {
        forbidden |= word == "all" || word.parse::<Reason>()? == reason;
    }
    Ok(forbidden)
}

#[test]
fn required_reasons_are_forbidden_ones() {
    for (words, forbidden) in [
        ("", Ok(false)),
        ("all", Ok(true)),
        ("tool", Ok(true)),
        ("root,tool", Ok(true)),
        ("root,boot", Ok(false)),
    ] {
        assert_eq!(is_forbidden(words, Reason::Tool), forbidden, "{words}");
    }
    let error = is_forbidden("root,everything", Reason::Tool).unwrap_err();
    assert!(
        error.contains("`everything` is nothing to require"),
        "{error}"
    );
}
