//! Owners, modes, times, extended attributes, devices.

use super::archive::{Member, end, member};
use super::{check, check_tar, reject, reject_tar};

fn one(change: impl for<'a> FnOnce(&'a mut Member) -> &'a mut Member) -> Vec<u8> {
    let mut member = member("f a=x");
    change(&mut member);
    end(member.bytes())
}

fn with_pax(key: &str, value: &str) -> Vec<u8> {
    one(|member| member.pax(key, value.as_bytes()))
}

#[test]
fn modes() {
    check(
        &["f a 0000, f b 7777, f s 4755 1000:0, f g 2755 0:1000, d t/ 1777"],
        "f a=x 0000, f b=x 7777, f g=x 2755 0:1000, f s=x 4755 1000:0, d t 1777",
    );
    check(
        &["d sg/ 2775 0:7, f sg/child, d sg/d/"],
        "d sg 2775 0:7, f sg/child=x, d sg/d",
    );
    check(
        &["q p 0600, c n 0666 1,3, b m 4600 7:0 259,1048575"],
        "b m 259,1048575 4600 7:0, c n 1,3 0666, q p 0600",
    );
    check_tar(&one(|m| m.octal(100..108, 0o100_644)), "f a=x");
}

#[test]
fn owners() {
    for id in [65_535u32, 65_536, 2_097_151, 2_097_152, 4_294_967_294] {
        let expected = format!("f a=x {id}:{id}");
        if id <= 2_097_151 {
            let octal = one(|m| m.octal(108..116, id.into()).octal(116..124, id.into()));
            check_tar(&octal, &expected);
        }
        check_tar(
            &one(|m| m.base256(108..116, id.into()).base256(116..124, id.into())),
            &expected,
        );
        let text = id.to_string();
        check_tar(
            &one(|m| m.pax("uid", text.as_bytes()).pax("gid", text.as_bytes())),
            &expected,
        );
    }
    for id in [
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "-1",
        "+1",
        "1.5",
        "0x1",
        " 1",
    ] {
        reject_tar(&with_pax("uid", id), "pax `uid`");
        reject_tar(&with_pax("gid", id), "pax `gid`");
    }
    for id in [-1, 1 << 32, (1 << 32) - 1] {
        reject_tar(&one(|m| m.base256(108..116, id)), "uid field");
        reject_tar(&one(|m| m.base256(116..124, id)), "gid field");
    }
    // Names of owners mean nothing, and an empty field is zero.
    check_tar(
        &one(|m| m.octal(108..116, 1234).set(265, b"root")),
        "f a=x 1234:0",
    );
    check_tar(&one(|m| m.set(108, &[0; 8]).set(265, b"daemon")), "f a=x");
}

#[test]
fn times() {
    for (value, expected) in [
        ("1000000000.123456789", "@1000000000.123456789"),
        ("1000000000.5", "@1000000000.500000000"),
        ("7.1234567899999", "@7.123456789"),
        ("0", "@0"),
        ("-86400", "@-86400"),
        ("-1.5", "@-2.500000000"),
        ("-0.25", "@-1.750000000"),
        ("2147483648", "@2147483648"),
        ("4294967301", "@4294967301"),
    ] {
        check_tar(&with_pax("mtime", value), &format!("f a=x {expected}"));
    }
    for value in [
        "1e9",
        "NaN",
        " 5",
        "+5",
        "0x10",
        "5 ",
        ".5",
        "5.",
        "-",
        "--5",
        "5.5.5",
        "5.-1",
        "99999999999999999999",
    ] {
        reject_tar(&with_pax("mtime", value), "pax `mtime`");
    }
    check_tar(&with_pax("mtime", ""), "f a=x");
    check_tar(
        &one(|m| m.pax("atime", b"5").pax("ctime", b"junk")),
        "f a=x",
    );
    check_tar(&one(|m| m.base256(136..148, -86_400)), "f a=x @-86400");
    check(
        &["d d/ @77, l s->d @78, q p @79, c c 1,3 @80, f d/x"],
        "c c 1,3 @80, d d @77, f d/x=x, q p @79, l s->d @78",
    );
    let time = "{mtime=5.000000001}";
    check(
        &[&format!("d d/ {time}, l s->d {time}, q p {time}")],
        "d d @5.000000001, q p @5.000000001, l s->d @5.000000001",
    );
}

#[test]
fn extended_attributes() {
    let user = "{SCHILY.xattr.user.k=v}";
    check(
        &[&format!("f a=x {user}, d d/ {user}")],
        "f a=x {user.k=v}, d d {user.k=v}",
    );
    check(&["f a=x {SCHILY.xattr.user.k=}"], "f a=x {user.k=}");
    check(&["f a=x {SCHILY.xattr.user.a=b=c}"], "f a=x {user.a=b=c}");
    check(
        &["d a/ {SCHILY.xattr.user.k=v}", "f a/x", "d a/"],
        "d a, f a/x=x",
    );
    check(
        &["d a/ {SCHILY.xattr.user.k=v}", "f a/x"],
        "d a {user.k=v}, f a/x=x",
    );
    check(
        &["f a=x {SCHILY.xattr.trusted.k=v}, l s->a {SCHILY.xattr.trusted.k=v}"],
        "f a=x {trusted.k=v}, l s->a {trusted.k=v}",
    );
    check(&["q p {SCHILY.xattr.trusted.k=v}"], "q p {trusted.k=v}");
    check(
        &["f a=x {LIBARCHIVE.xattr.user.k=dg}, f b=x {SCHILY.fflags=immutable}"],
        "f a=x, f b=x",
    );
    for entry in ["l s->a", "q p", "c c 1,3"] {
        reject(&[&format!("{entry} {user}")], "only files and directories");
    }
}

#[test]
fn capabilities_survive_owner_and_mode() {
    let capability =
        b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let mut entry = member("f a=x 4755 1000:1000");
    entry.pax("SCHILY.xattr.security.capability", capability);
    let shown = capability.escape_ascii();
    let layer = end([entry.bytes(), member("h b=>a").bytes()].concat());
    let expected = format!("f a=x 4755 1000:1000 {{security.capability={shown}}}, h b=>a");
    check_tar(&layer, &expected);
}

#[test]
fn limits_of_extended_attributes() {
    let name = |length: usize| format!("SCHILY.xattr.user.{}", "n".repeat(length - 5));
    // Larger ones are the filesystem's affair: ext4 keeps 4 KiB, and says so.
    let value = "v".repeat(3000);
    check_tar(
        &with_pax("SCHILY.xattr.user.k", &value),
        &format!("f a=x {{user.k={value}}}"),
    );
    check_tar(
        &with_pax(&name(255), "v"),
        &format!("f a=x {{user.{}=v}}", "n".repeat(250)),
    );
    reject_tar(&with_pax(&name(256), "v"), "longer than 255 bytes");
    for name in [
        "",
        "user.",
        "user",
        "foo.bar",
        "system.other",
        "trusted.",
        "os2.x",
    ] {
        reject_tar(
            &with_pax(&format!("SCHILY.xattr.{name}"), "v"),
            "no such attribute",
        );
    }
    reject_tar(&with_pax("SCHILY.xattr.user.\0k", "v"), "NUL byte");
    reject_tar(
        &with_pax("SCHILY.xattr.user.k", &"v".repeat(65_537)),
        "longer than 65536",
    );
}

#[test]
fn overlay_marks_of_an_image_mean_nothing() {
    check(
        &[
            "d a/, f a/low",
            "d a/ {SCHILY.xattr.trusted.overlay.opaque=y}, f a/n",
        ],
        "d a, f a/low=x, f a/n=x",
    );
    check(
        &["d a/, c a/wo 0,0, f a/wo2=low", "c a/wo2 0,0"],
        "d a, c a/wo 0,0, c a/wo2 0,0",
    );
    check(
        &["f x=low", "f x= {SCHILY.xattr.trusted.overlay.metacopy=}"],
        "f x=",
    );
}

/// An access list from `tag permissions id` triples.
fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&permissions.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

const NONE: u32 = u32::MAX;
const ACCESS: &str = "SCHILY.xattr.system.posix_acl_access";
const DEFAULT: &str = "SCHILY.xattr.system.posix_acl_default";

#[test]
fn access_lists_and_modes_agree() {
    // user::rw-, user:1:rw-, group::r--, mask::rw-, other::r--
    let given = [
        (1, 6, NONE),
        (2, 6, 1),
        (4, 4, NONE),
        (16, 6, NONE),
        (32, 4, NONE),
    ];
    let shown = |list: Vec<u8>| list.escape_ascii().to_string();
    let file = |mode: &str, list: &[u8]| {
        let mut file = member(&format!("f a=x {mode}"));
        file.pax(ACCESS, list);
        end(file.bytes())
    };
    for mode in ["0664", "4664"] {
        let expected = shown(list(&given));
        check_tar(
            &file(mode, &list(&given)),
            &format!("f a=x {mode} {{system.posix_acl_access={expected}}}"),
        );
    }
    // The mode decides where they disagree, and ids that mean nothing are none.
    let other = [(1, 7, 0), (2, 6, 1), (4, 4, 7), (16, 7, 0), (32, 0, 0)];
    let expected = shown(list(&given));
    check_tar(
        &file("0664", &list(&other)),
        &format!("f a=x 0664 {{system.posix_acl_access={expected}}}"),
    );
    check_tar(
        &file("0640", &list(&[(1, 6, NONE), (4, 4, NONE), (32, 0, NONE)])),
        "f a=x 0640",
    );
    check_tar(&file("0640", &list(&[])), "f a=x 0640");
}

#[test]
fn default_access_lists_reach_no_child() {
    let bytes = list(&[
        (1, 6, NONE),
        (2, 6, 1),
        (4, 4, NONE),
        (16, 6, NONE),
        (32, 4, NONE),
    ]);
    let shown = bytes.escape_ascii();
    let mut dir = member("d d/");
    dir.pax(DEFAULT, &bytes);
    let layer = end([
        dir.bytes(),
        member("f d/x").bytes(),
        member("d d/y/").bytes(),
    ]
    .concat());
    let expected = format!("d d {{system.posix_acl_default={shown}}}, f d/x=x, d d/y");
    check_tar(&layer, &expected);
    let mut file = member("f a=x");
    file.pax(DEFAULT, &bytes);
    reject_tar(&end(file.bytes()), "only a directory");
    let mut link = member("l a->b");
    link.pax(ACCESS, &bytes);
    reject_tar(&end(link.bytes()), "a symbolic link cannot");
}

#[test]
fn malformed_access_lists() {
    for bytes in [
        b"".to_vec(),
        b"\x02\0\0".to_vec(),
        b"\x01\0\0\0".to_vec(),
        [list(&[]), vec![0; 7]].concat(),
        list(&[(1, 6, NONE), (4, 4, NONE)]),
        list(&[(4, 4, NONE), (1, 6, NONE), (32, 4, NONE)]),
        list(&[(1, 6, NONE), (1, 6, NONE), (4, 4, NONE), (32, 4, NONE)]),
        list(&[(1, 6, NONE), (2, 6, 1), (4, 4, NONE), (32, 4, NONE)]),
        list(&[
            (1, 6, NONE),
            (2, 6, NONE),
            (4, 4, NONE),
            (16, 4, NONE),
            (32, 4, NONE),
        ]),
        list(&[
            (1, 8, NONE),
            (2, 6, 1),
            (4, 4, NONE),
            (16, 4, NONE),
            (32, 4, NONE),
        ]),
        list(&[(1, 6, NONE), (4, 4, NONE), (32, 4, NONE), (64, 4, NONE)]),
    ] {
        let mut file = member("f a=x");
        file.pax(ACCESS, &bytes);
        reject_tar(&end(file.bytes()), "not a POSIX access list");
    }
}

#[test]
fn devices() {
    check(
        &["b b 259,1048575, c c 4095,1048575, c z 0,0"],
        "b b 259,1048575, c c 4095,1048575, c z 0,0",
    );
    reject(&["c c 4096,0"], "device number out of range");
    reject(&["b c 1,1048576"], "device number out of range");
}
