//! Tar streams as different programs write them, and as none should.

use super::archive::{Member, end, member, record};
use super::{check_tar, reject_tar};

fn cat(parts: &[&[u8]]) -> Vec<u8> {
    end(parts.concat())
}

fn file(name: &str) -> Vec<u8> {
    Member::new(b'0', name, b"x").bytes()
}

fn long(flag: u8, payload: &[u8]) -> Vec<u8> {
    Member::raw(flag, b"././@LongLink", payload).bytes()
}

fn global(key: &str, value: &str) -> Vec<u8> {
    Member::raw(b'g', b"global", &record(key, value.as_bytes())).bytes()
}

#[test]
fn type_flags() {
    check_tar(
        &cat(&[&Member::new(0, "a", b"old").bytes(), &file("b")]),
        "f a=old, f b=x",
    );
    check_tar(
        &cat(&[&Member::new(b'7', "a", b"c").bytes(), &file("b")]),
        "f a=c, f b=x",
    );
    check_tar(
        &cat(&[&Member::new(0, "dd/", b"").bytes(), &file("dd/x")]),
        "d dd 0644, f dd/x=x",
    );
    for flag in [b'Z', b'A', b's', b'D', b'V', b'M', b'N', b'8', 0xff] {
        reject_tar(
            &cat(&[&Member::new(flag, "a", b"x").bytes(), &file("b")]),
            "unknown type flag",
        );
    }
    reject_tar(
        &cat(&[&Member::new(b'0', "a/", b"x").bytes()]),
        "ends in `/`",
    );
    reject_tar(
        &cat(&[&Member::new(b'7', "a/", b"").bytes()]),
        "ends in `/`",
    );
}

#[test]
fn header_families() {
    let mut v7 = Member::new(b'0', "a", b"x");
    v7.set(257, &[0; 8]).set(345, b"junk");
    check_tar(&cat(&[&v7.bytes()]), "f a=x");
    let mut v7_dir = Member::new(b'0', "a/", b"");
    v7_dir.set(257, &[0; 8]);
    check_tar(&cat(&[&v7_dir.bytes()]), "d a 0644");
    let mut gnu = Member::new(b'0', "a", b"x");
    gnu.set(257, b"ustar  \0").set(345, b"12345670123\0");
    check_tar(&cat(&[&gnu.bytes()]), "f a=x");
    let mut ustar = Member::new(b'0', "name", b"x");
    ustar.set(345, b"pre/fix");
    check_tar(
        &cat(&[&ustar.bytes()]),
        "d pre @0, d pre/fix @0, f pre/fix/name=x",
    );
    ustar.set(263, b"\0\0");
    check_tar(
        &cat(&[&ustar.bytes()]),
        "d pre @0, d pre/fix @0, f pre/fix/name=x",
    );
    let mut star = Member::new(b'0', "a", b"x");
    star.set(345, b"p")
        .set(476, b"12345670123 ")
        .set(508, b"tar\0");
    check_tar(&cat(&[&star.bytes()]), "d p @0, f p/a=x");
    let mut pad = Member::new(b'0', "a", b"x");
    pad.set(500, b"nonzero pad!");
    check_tar(&cat(&[&pad.bytes()]), "f a=x");
    let full = "n".repeat(100);
    check_tar(&cat(&[&file(&full)]), &format!("f {full}=x"));
}

#[test]
fn checksums() {
    let mut wrong = member("f b=x");
    wrong.checksum_error = 1;
    reject_tar(
        &cat(&[&file("a"), &wrong.bytes(), &file("c")]),
        "wrong header checksum",
    );
    reject_tar(&cat(&[&wrong.bytes()]), "not a tar archive");
    // Sums of signed bytes, as some old writers made them: 0xe9 counts 256 less.
    let mut signed = Member::raw(b'0', b"\xe9", b"x");
    signed.checksum_error = -256;
    check_tar(&cat(&[&signed.bytes(), &file("b")]), "f b=x, f \\xe9=x");
    signed.checksum_error = -255;
    reject_tar(&cat(&[&signed.bytes(), &file("b")]), "not a tar archive");
}

#[test]
fn sizes() {
    for field in [
        &b"\x80\0\0\0\0\0\0\0\0\0\0\x01"[..],
        b"000000000001",
        b"          1 ",
        b"1\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let mut entry = member("f a=x");
        entry.set(124, field);
        check_tar(&cat(&[&entry.bytes(), &file("b")]), "f a=x, f b=x");
    }
    for size in [1i128 << 63, (1 << 64) - 1, -1, i128::from(i64::MIN)] {
        let mut entry = member("f a=x");
        entry.base256(124..136, size);
        reject_tar(&cat(&[&entry.bytes()]), "size field");
    }
    for field in [
        &b"0000000 junk"[..],
        b"00000000009\0",
        b"-0000000001\0",
        b"0x000000001\0",
    ] {
        let mut entry = member("f a=x");
        entry.set(124, field);
        reject_tar(&cat(&[&entry.bytes()]), "size field");
    }
    let mut huge = member("f a=x");
    huge.base256(124..136, 1 << 40);
    reject_tar(&cat(&[&huge.bytes()]), "ends inside an entry");
}

#[test]
fn pax_overrides() {
    let content = vec![b'c'; 600];
    let mut sized = Member::new(b'0', "a", &content);
    sized.octal(124..136, 8).pax("size", b"600");
    check_tar(&cat(&[&sized.bytes(), &file("b")]), "f a=<600>, f b=x");
    // A reader that believes the header sees a link inside the content.
    let forged = [file("x"), Member::new(b'2', "smuggled", b"").bytes()].concat();
    let mut smuggler = Member::new(b'0', "a", &forged);
    smuggler
        .octal(124..136, 8)
        .pax("size", forged.len().to_string().as_bytes());
    check_tar(&cat(&[&smuggler.bytes(), &file("b")]), "f a=<1536>, f b=x");
    let mut link = member("f a=x");
    link.pax("linkpath", b"/etc/passwd")
        .pax("VENDOR.foo", b"bar")
        .pax("comment", b"c");
    check_tar(&cat(&[&link.bytes()]), "f a=x");
    let mut empty = member("f a=x");
    empty.pax("path", b"other").pax("path", b"").pax("uid", b"");
    check_tar(&cat(&[&empty.bytes()]), "f a=x");
    let mut last = member("f a=x");
    last.pax("path", b"first").pax("path", b"last");
    check_tar(&cat(&[&last.bytes()]), "f last=x");
    for size in ["-1", "9223372036854775808", "1e3", "0x10"] {
        let mut entry = member("f a=x");
        entry.pax("size", size.as_bytes());
        reject_tar(&cat(&[&entry.bytes()]), "pax `size`");
    }
}

#[test]
fn pax_headers_in_a_row() {
    let one = Member::raw(b'x', b"p", &record("path", b"one")).bytes();
    let two = Member::raw(b'x', b"p", &record("uid", b"7")).bytes();
    check_tar(
        &cat(&[&one, &two, &file("raw"), &file("b")]),
        "f b=x, f raw=x 7:0",
    );
    let solaris = Member::raw(b'X', b"p", &record("SCHILY.dev", b"7")).bytes();
    check_tar(&cat(&[&solaris, &file("a")]), "f a=x");
    let size = Member::raw(b'x', b"p", &record("size", b"600")).bytes();
    let mut sized = Member::new(b'0', "raw", &[b'c'; 600]);
    sized.octal(124..136, 8);
    let entries = [size, long(b'L', b"long\0"), sized.bytes(), file("b")].concat();
    check_tar(&end(entries), "f b=x, f long=<600>");
    reject_tar(&cat(&[&file("a"), &one]), "no entry follows");
    reject_tar(&cat(&[&long(b'L', b"a\0")]), "no entry follows");
}

#[test]
fn malformed_pax_records() {
    let nul = Member::raw(b'x', b"p", &record("path", b"safe\0/../x")).bytes();
    reject_tar(&cat(&[&nul, &file("raw")]), "pax `path`");
    let nul = Member::raw(b'x', b"p", &record("linkpath", b"a\0b")).bytes();
    reject_tar(&cat(&[&nul, &member("l raw->t").bytes()]), "pax `linkpath`");
    for payload in [
        &b"99 path=long\n"[..],
        b"13 path=long\n1",
        b"12 path=long",
        b"13 path=longX",
        b"4 a\n",
        b" path=x\n",
        b"path=x\n",
        b"0 \n",
        b"7 =val\n",
        b"8 novalu\n",
        b"1a path=xyz\n",
        b"99999999999999999999999 path=x\n",
        b"-9 path=x\n",
    ] {
        let header = Member::raw(b'x', b"p", payload).bytes();
        reject_tar(&cat(&[&header, &file("raw")]), "malformed pax record");
    }
    let comment = "c".repeat(1 << 20);
    let header = Member::raw(b'x', b"p", &record("comment", comment.as_bytes())).bytes();
    reject_tar(&cat(&[&header, &file("raw")]), "more than the limit");
    let mut claimed = Member::raw(b'x', b"p", b"");
    claimed.base256(124..136, 1 << 30);
    reject_tar(&cat(&[&claimed.bytes()]), "more than the limit");
}

#[test]
fn global_headers() {
    check_tar(&cat(&[&global("comment", "0123abcd"), &file("a")]), "f a=x");
    check_tar(&cat(&[&global("comment", "0123abcd")]), "");
    let times = [
        global("uid", "42"),
        global("mtime", "5"),
        file("a"),
        file("b"),
    ]
    .concat();
    check_tar(&end(times), "f a=x 42:0 @5, f b=x 42:0 @5");
    let mut own = member("f b=x");
    own.pax("uid", b"7");
    let taken_back = [
        global("uid", "42"),
        own.bytes(),
        global("uid", ""),
        file("c"),
    ]
    .concat();
    check_tar(&end(taken_back), "f b=x 7:0, f c=x");
    for key in [
        "path",
        "linkpath",
        "size",
        "SCHILY.xattr.user.g",
        "GNU.sparse.size",
    ] {
        reject_tar(&cat(&[&global(key, "1"), &file("a")]), "in a global header");
    }
}

#[test]
fn gnu_long_names() {
    let name = "n".repeat(200);
    let path = format!("{name}/{name}");
    let entries = [
        long(b'L', format!("{path}\0").as_bytes()),
        file("cut"),
        file("b"),
    ]
    .concat();
    check_tar(&end(entries), &format!("f b=x, d {name} @0, f {path}=x"));
    let target = "t".repeat(300);
    let entries = [long(b'K', target.as_bytes()), member("l s->cut").bytes()].concat();
    check_tar(&end(entries), &format!("l s->{target}"));
    check_tar(
        &end([long(b'L', b"nul\0path"), file("raw")].concat()),
        "f nul=x",
    );
    check_tar(
        &end([long(b'L', b"one"), long(b'L', b"two"), file("raw")].concat()),
        "f two=x",
    );
    let pax = Member::raw(b'x', b"p", &record("path", b"pax")).bytes();
    for both in [[pax.clone(), long(b'L', b"gnu")], [long(b'L', b"gnu"), pax]] {
        reject_tar(
            &end([both.concat(), file("raw")].concat()),
            "both a pax path and a GNU",
        );
    }
    let mut claimed = Member::raw(b'L', b"p", b"");
    claimed.base256(124..136, 1 << 30);
    reject_tar(&cat(&[&claimed.bytes()]), "more than the limit");
}

#[test]
fn ends() {
    let zeros = [0; 512];
    check_tar(&file("a"), "f a=x");
    check_tar(&[&file("a")[..], &zeros].concat(), "f a=x");
    check_tar(b"", "");
    check_tar(&[0; 1024], "");
    check_tar(&[0; 512], "");
    check_tar(&[end(file("a")), file("hidden")].concat(), "f a=x");
    check_tar(&[end(file("a")), b"junk".repeat(175)].concat(), "f a=x");
    check_tar(&[end(file("a")), vec![0; 1 << 20]].concat(), "f a=x");
    reject_tar(
        &end([&file("a")[..], &zeros, &file("b")].concat()),
        "single zero block",
    );
    reject_tar(&file("a")[..513], "ends inside an entry");
    reject_tar(&file("a")[..512], "ends inside an entry");
    reject_tar(
        &[&file("a")[..], &file("b")[..100]].concat(),
        "ends inside an entry",
    );
}

#[test]
fn what_is_no_tar() {
    let html = b"<html><body>404 not found</body></html>\n".repeat(300);
    for bytes in [
        &html[..],
        b"PK\x03\x04 zip",
        b"070701 cpio",
        &[0x1f, 0x8b, 8, 0][..],
    ] {
        reject_tar(bytes, "not a tar archive");
        reject_tar(&[bytes, &[b' '; 1024]].concat(), "not a tar archive");
    }
}

/// An old GNU sparse member: segments of the header, then those of one extension block.
fn gnu_sparse(size: u64, segments: &[(u64, u64)], content: &[u8]) -> Vec<u8> {
    let mut entry = Member::new(b'S', "sp", content);
    entry.set(257, b"ustar  \0").octal(483..495, size);
    for (index, (offset, length)) in segments.iter().take(4).enumerate() {
        let at = 386 + 24 * index;
        entry
            .octal(at..at + 12, *offset)
            .octal(at + 12..at + 24, *length);
    }
    if segments.len() <= 4 {
        return entry.bytes();
    }
    entry.set(482, b"\x01");
    let mut extension = Member::new(0, "", b"");
    extension.block = [0; 512];
    for (index, (offset, length)) in segments.iter().skip(4).enumerate() {
        let at = 24 * index;
        extension
            .octal(at..at + 12, *offset)
            .octal(at + 12..at + 24, *length);
    }
    let mut bytes = entry.bytes();
    bytes.splice(512..512, extension.block);
    bytes
}

#[test]
fn sparse_files_of_old_gnu() {
    let block = [b'd'; 512];
    check_tar(
        &cat(&[&gnu_sparse(2048, &[(1024, 512)], &block), &file("z")]),
        "f sp=<2048>, f z=x",
    );
    let five: Vec<_> = (0..5).map(|n| (10 * n, 5)).collect();
    check_tar(
        &cat(&[&gnu_sparse(46, &five, &[b'd'; 25]), &file("z")]),
        "f sp=<46>, f z=x",
    );
    check_tar(
        &cat(&[&gnu_sparse(20, &[(5, 5), (12, 2), (20, 0)], b"aaaaabb")]),
        "f sp=\\x00\\x00\\x00\\x00\\x00aaaaa\\x00\\x00bb\\x00\\x00\\x00\\x00\\x00\\x00",
    );
    for (size, segments) in [
        (2048, vec![(1024, 256)]),
        (1024, vec![(1024, 512)]),
        (2048, vec![(1024, 256), (512, 256)]),
        (2048, vec![(0, 256), (128, 256)]),
    ] {
        reject_tar(
            &cat(&[&gnu_sparse(size, &segments, &block)]),
            "malformed sparse map",
        );
    }
    reject_tar(
        &cat(&[&gnu_sparse(1 << 32, &[(0, 512)], &block)]),
        "total of holes",
    );
}

#[test]
fn sparse_files_of_pax() {
    let expected = "f sp=\\x00\\x00\\x00\\x00\\x00aaaaa\\x00\\x00, f z=x";
    let pax = |records: &[(&str, &str)], content: &[u8]| {
        let mut entry = Member::new(b'0', "GNUSparseFile.1/sp", content);
        for (key, value) in records {
            entry.pax(&format!("GNU.sparse.{key}"), value.as_bytes());
        }
        cat(&[&entry.bytes(), &file("z")])
    };
    let v00 = [
        ("size", "12"),
        ("numblocks", "1"),
        ("offset", "5"),
        ("numbytes", "5"),
        ("name", "sp"),
    ];
    check_tar(&pax(&v00, b"aaaaa"), expected);
    let v01 = [
        ("size", "12"),
        ("numblocks", "1"),
        ("map", "5,5"),
        ("name", "sp"),
    ];
    check_tar(&pax(&v01, b"aaaaa"), expected);
    let v10 = [
        ("major", "1"),
        ("minor", "0"),
        ("realsize", "12"),
        ("name", "sp"),
    ];
    let mut content = b"1\n5\n5\n".to_vec();
    content.resize(512, 0);
    content.extend_from_slice(b"aaaaa");
    check_tar(&pax(&v10, &content), expected);
    for (records, content) in [
        (&v10[..3], &b"1\n5\n"[..]),
        (&v10[..2], &content),
        (&v01[..2], b"aaaaa"),
        (&[("size", "12"), ("map", "5,5,6")], b"aaaaa"),
        (&[("size", "8"), ("map", "5,5")], b"aaaaa"),
        (&[("major", "2"), ("minor", "0"), ("size", "12")], b"aaaaa"),
    ] {
        reject_tar(&pax(records, content), "malformed sparse map");
    }
    reject_tar(
        &pax(&[("size", "12"), ("map", "5,")], b"aaaaa"),
        "GNU.sparse.map",
    );
    reject_tar(
        &pax(
            &[
                ("major", "1"),
                ("minor", "0"),
                ("realsize", "8796093022208"),
                ("name", "../x"),
            ],
            &[b"0\n".to_vec(), vec![0; 510]].concat(),
        ),
        "total of holes",
    );
    reject_tar(
        &pax(
            &[("size", "12"), ("map", "5,5"), ("name", "../victim")],
            b"aaaaa",
        ),
        "`..` component",
    );
}

#[test]
fn symbolic_link_targets() {
    reject_tar(&cat(&[&member("l s->").bytes()]), "an empty target");
    for target in [
        "a//b",
        "./x/../y",
        "/",
        ".",
        "..",
        "/etc/passwd",
        "../../../etc/shadow",
        "\u{e9}",
    ] {
        let shown = target.as_bytes().escape_ascii();
        check_tar(
            &cat(&[&member(&format!("l s->{target}")).bytes()]),
            &format!("l s->{shown}"),
        );
    }
    for (length, good) in [(59, true), (1024, true), (4095, true), (4096, false)] {
        let mut link = member("l s->cut");
        link.pax("linkpath", &vec![b't'; length]);
        match good {
            true => check_tar(
                &cat(&[&link.bytes()]),
                &format!("l s->{}", "t".repeat(length)),
            ),
            false => reject_tar(&cat(&[&link.bytes()]), "longer than 4095 bytes"),
        }
    }
}
