//! Names, from one byte to thousands of components.

use super::archive::{Member, end, tar};
use super::{Image, check, check_tar, outcomes, reject, reject_tar};

#[test]
fn spellings_of_one_name() {
    check(&["f ./x"], "f x=x");
    check(&["f /abs/x"], "d abs @0, f abs/x=x");
    check(&["f ././a/./b, d a//c/.//"], "d a @0, f a/b=x, d a/c");
    check(&["d dd, d ee///"], "d dd, d ee");
    check(&["l a/->b"], "l a->b");
}

#[test]
fn names_are_bytes() {
    for name in [
        &b"caf\xe9\xff"[..],
        b"a\nb",
        b"\x01\x7f\x1b",
        b"-rf",
        b"a\\b:c*",
        b" lead trail ",
    ] {
        let shown = name.escape_ascii();
        let raw = end(Member::raw(b'0', name, b"x").bytes());
        check_tar(&raw, &format!("f {shown}=x"));
        let mut member = Member::new(b'0', "other", b"x");
        member.pax("hdrcharset", b"BINARY").pax("path", name);
        check_tar(&end(member.bytes()), &format!("f {shown}=x"));
    }
    check(&["f README, f readme"], "f README=x, f readme=x");
    check(&["f \u{e9}, f e\u{301}"], "f e\\xcc\\x81=x, f \\xc3\\xa9=x");
    check(&["f ..., f ..a, f a.."], "f ...=x, f ..a=x, f a..=x");
}

#[test]
fn names_that_leave_the_root_or_are_none() {
    for name in ["../x", "/../x", "a/../b", "a/..", "..", "nope/../../b"] {
        reject(&[&format!("f {name}")], "`..` component");
        reject(&[&format!("d {name}/")], "`..` component");
    }
    reject_tar(&end(Member::new(b'0', "", b"x").bytes()), "name is empty");
    let mut member = Member::new(b'0', "safe", b"x");
    member.pax("path", b"../x");
    reject_tar(&end(member.bytes()), "`..` component");
    let mut member = Member::new(b'0', "../x", b"x");
    member.pax("path", b"safe");
    check_tar(&end(member.bytes()), "f safe=x");
}

#[test]
fn the_limit_of_one_name() {
    let name = |length| format!("f x= {{path={}}}", "n".repeat(length));
    check(&[&name(255)], &format!("f {}=", "n".repeat(255)));
    reject(&[&name(256)], "longer than 255 bytes");
    reject(
        &[&format!("f x= {{path={}/x}}", "n".repeat(256))],
        "longer than 255 bytes",
    );
}

#[test]
fn depth_needs_no_stack_no_path_and_few_descriptors() {
    let deep = |depth: usize, last: &str| {
        let path = vec!["d"; depth].join("/");
        format!("f x=bottom {{path={path}/{last}}}")
    };
    reject(&[&deep(4096, "f")], "more than 4096 components");
    // Made, replaced below, and removed again from the top.
    let lower = deep(3000, "f");
    let upper = deep(3000, "g");
    for (_, outcome) in outcomes(&Image::of([tar(&lower), tar(&upper), tar("w d, f end")])) {
        assert_eq!(outcome.unwrap(), "f end=x");
    }
    // Left standing at the end; and thrown away when a later layer fails.
    let place = tempfile::tempdir().unwrap();
    let layout = place.path().join("layout");
    Image::of([tar(&lower)]).write(&layout);
    for format in super::formats() {
        let out = place.path().join(format!("{format:?}"));
        let summary = super::run(&layout, &out, format).unwrap();
        assert_eq!((summary.layers, summary.entries, summary.bytes), (1, 1, 6));
    }
    for (_, outcome) in outcomes(&Image::of([tar(&lower), tar("f ../x")])) {
        assert!(outcome.unwrap_err().to_string().contains("layer 2"));
    }
}

#[test]
fn more_directories_than_descriptors() {
    let layer = |kind: &str| {
        let names = (0..200).flat_map(|n| [format!("{kind} a{n}/b/c"), format!("{kind} z{n}")]);
        names.collect::<Vec<_>>().join(", ")
    };
    let image = Image::of([tar(&layer("f")), tar(&layer("f")), tar(&layer("w"))]);
    for (_, outcome) in outcomes(&image) {
        let listing = outcome.unwrap();
        assert_eq!(listing.split(", ").count(), 400, "{listing}");
        assert!(
            listing.starts_with("d a0 @0, d a0/b @0, d a1 @0"),
            "{listing}"
        );
    }
}
