//! Texts that are not in the dialect, each with its line and what is wrong.

use super::mtree::{parse, print};

#[track_caller]
fn check(line: &str, what: &str) {
    let text = format!("#mtree v2.0\n# a comment\n. type=dir\n./d type=dir mode=0755\n{line}\n");
    let error = parse(&text).expect_err(line);
    assert_eq!(error.line, 5, "{line}");
    assert!(error.what.contains(what), "{line}: {error}");
}

/// A wrong line and what is wrong with it.
const WRONG_LINES: &[(&str, &str)] = &[
    ("./a", "`type=` is missing"),
    ("./a type=hole", "`hole` is no type"),
    ("./a type=dir mode", "`mode` is no keyword=value"),
    ("./a type=dir  mode=0755", "`` is no keyword=value"),
    ("./a type=dir mode=0755 mode=0755", "`mode` stands twice"),
    ("./a type=dir mode=0855", "`0855` is not octal"),
    ("./a type=dir uid=-1", "`-1` is no number in range"),
    (
        "./a type=dir uid=4294967296",
        "`4294967296` is no number in range",
    ),
    ("./a type=dir gid=x", "`x` is no number in range"),
    ("./a type=dir time=1", "`1` is no time"),
    (
        "./a type=dir time=1.5",
        "`1.5`: the fraction has nine digits",
    ),
    (
        "./a type=dir size=3",
        "`size` is no keyword of this dialect for this type",
    ),
    (
        "./a type=dir link=b",
        "`link` is no keyword of this dialect for this type",
    ),
    ("./a type=file size=1", "`sha256=` is missing"),
    ("./a type=file", "`size=` is missing"),
    (
        "./a type=file size=1 sha256=00",
        "sha256 is not 64 hex digits",
    ),
    ("./a type=link", "`link=` is missing"),
    ("./a type=link link=\\8", "three octal digits"),
    (
        "./a type=char device=1,3",
        "`1,3` is not native,MAJOR,MINOR",
    ),
    (
        "./a type=block device=native,1",
        "is not native,MAJOR,MINOR",
    ),
    (
        "./a type=block device=native,1,x",
        "`x` is no number in range",
    ),
    ("a type=dir", "`a` does not begin `./`"),
    ("", "does not begin `./`"),
    ("./d type=dir", "`./d` stands twice"),
    ("#@ hardlink ./d", "begins `hardlink PATH PATH"),
    (
        "#@ hardlink ./x ./d",
        "a hard link of a path that is not listed",
    ),
    (
        "#@ hardlink ./d ./x",
        "hard links whose lines differ or are not listed",
    ),
    (
        "#@ hardlink ./d .",
        "hard links whose lines differ or are not listed",
    ),
    (
        "#@ xattr ./x user.k -",
        "an extended attribute of a path that is not listed",
    ),
    ("#@ xattr ./d user.k ?", "not base64"),
    ("#@ xattr ./d user.k", "begins `hardlink PATH PATH"),
    ("#@ acl ./d", "begins `hardlink PATH PATH"),
];

#[test]
fn wrong_lines() {
    for (line, what) in WRONG_LINES {
        check(line, what);
    }
    let twice = "#mtree v2.0\n. type=dir\n#@ xattr . user.k -\n#@ xattr . user.k -\n";
    assert_eq!(
        parse(twice).unwrap_err().to_string(),
        "line 4: an extended attribute stands twice"
    );
    for text in ["", "#mtree v1.0\n", ". type=dir\n"] {
        assert_eq!(
            parse(text).unwrap_err().to_string(),
            "line 1: the first line must be `#mtree v2.0`"
        );
    }
}

#[test]
fn an_absent_keyword_is_open_and_stays_absent() {
    let text = "#mtree v2.0\n. type=dir\n./a type=fifo uid=0 time=-1.000000005\n";
    let tree = parse(text).unwrap();
    let inode = tree.get(b"a").unwrap();
    assert_eq!((inode.mode, inode.gid, inode.uid), (None, None, Some(0)));
    assert_eq!(print(&tree, &[]), text);
}
