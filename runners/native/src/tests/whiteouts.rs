//! layer.md#whiteouts and #opaque-whiteout.

use super::archive::{Member, end};
use super::{check, check_tar, reject};

#[test]
fn explicit_whiteouts_hide_lower_names() {
    check(
        &[
            "f file1, d a/, f a/file2, d b/, d c/, f c/file3",
            "w file1, w a/file2, w b, f file4",
        ],
        "d a, d c, f c/file3=x, f file4=x",
    );
    check(&["f x=1", "f x=2", "w x"], "");
    check(&["d a/, f a/x=1", "w a/x", "d a/, f a/x=3"], "d a, f a/x=3");
    check(&["d r/, f r/x, l ln->r", "w ln"], "d r, f r/x=x");
    check(&["f a=v, h b=>a", "w a"], "f b=v");
    check(&["c wo 0,0, f k", "w wo"], "f k=x");
}

#[test]
fn explicit_whiteouts_spare_their_own_layer_in_any_order() {
    for upper in ["d a/, w a/x, f a/x=new", "d a/, f a/x=new, w a/x"] {
        check(&["d a/, f a/x=old", upper], "d a, f a/x=new");
    }
    for upper in [
        "w a, d a/ 0711, f a/new",
        "d a/ 0711, f a/new, w a",
        "d a/ 0711, w a, f a/new",
    ] {
        check(
            &["d a/, f a/old, d a/s/, f a/s/o", upper],
            "d a 0711, f a/new=x",
        );
    }
    check(&["d a/, w a/x, f a/x=v, w a/gone"], "d a, f a/x=v");
    check(&["f p=1", "w p, d p/, f p/q"], "d p, f p/q=x");
    check(&["d p/, f p/q", "f p=file, w p"], "f p=file");
    check(
        &["d p/, f p/q, d t/", "w p, l p->t, f p/w"],
        "l p->t, d t, f t/w=x",
    );
}

#[test]
fn a_whiteout_makes_a_directory_that_is_only_implied_anew() {
    for upper in ["w a, f a/b/new", "f a/b/new, w a"] {
        check(
            &["d a/ 0700 1:1 @77, d a/b/ 0700, f a/b/old, d a/c/", upper],
            "d a @0, d a/b @0, f a/b/new=x",
        );
    }
}

#[test]
fn whiteouts_of_nothing_do_nothing() {
    check(&["d a/", "d a/, w a/nope"], "d a");
    check(&["f k", "w p/q/x"], "f k=x");
    check(&["d t/, f t/t", "w t, w t/t"], "");
    check(&["f a=file", "w a/x"], "f a=file");
    check(&["l a->nowhere", "w a/x"], "l a->nowhere");
    reject(&["l a->a", "w a/x"], "too many symbolic links");
}

#[test]
fn whiteouts_leave_parents_as_they_are() {
    check(
        &["d a/ @77, d a/b/ 0700 1:1 @78, f a/b/x, f a/b/y", "w a/b/x"],
        "d a @77, d a/b 0700 1:1 @78, f a/b/y=x",
    );
    check(
        &["d a/, d a/b/, f a/b/x, f a/b/y", "w a/b/x, f a/b/z"],
        "d a, d a/b, f a/b/y=x, f a/b/z=x",
    );
}

#[test]
fn whiteouts_go_through_symbolic_links_inside_the_root() {
    check(&["d r/, f r/x, l ln->/r", "w ln/x"], "l ln->/r, d r");
    check(
        &["d r/, f r/x, l ln->../../r", "o ln, f ln/n"],
        "l ln->../../r, d r, f r/n=x",
    );
}

#[test]
fn whiteout_names_are_bytes_and_may_be_long() {
    let long = "n".repeat(255);
    let lower = format!("f {long}, f k");
    let upper = format!("f x= {{path=.wh.{long}}}");
    check(&[&lower, &upper], "f k=x");
    check(&["d a/, f a/x", "f ./a/.wh.x="], "d a");
    check(&["d a/, f a/x", "f /a//.wh.x=data"], "d a");
    check(&["d a/, f a/x", "f a/.WH.x"], "d a, f a/.WH.x=x, f a/x=x");
    check(&["d a/, f a/x", "f a/.wh..wh.x"], "d a, f a/x=x");
    check(&["d a/, f a/x", "f a/.wh.__dir_opaque"], "d a, f a/x=x");
}

#[test]
fn whiteouts_that_name_nothing_are_refused() {
    for name in [".wh.", "etc/.wh.", "etc/.wh..", "etc/.wh...", "./.wh..."] {
        reject(
            &["d etc/, f etc/passwd", &format!("f {name}=")],
            "names nothing",
        );
    }
    reject(&["f k", "f .wh../../x"], "`..` component");
    reject(&["d a/", "f a/../.wh.k"], "`..` component");
}

#[test]
fn whiteouts_must_be_regular_files() {
    for upper in [
        "d a/.wh.x/",
        "l a/.wh.x->z",
        "c a/.wh.x 0,0",
        "q a/.wh.x",
        "h a/.wh.x=>a/x",
    ] {
        reject(&["d a/, f a/x", upper], "not a regular file");
    }
    reject(&["d a/, f a/x", "d a/.wh..wh..opq/"], "not a regular file");
    for flag in [0, b'7'] {
        let whiteout = Member::new(flag, "a/.wh.x", b"").bytes();
        let lower = Member::new(b'5', "a/", b"").bytes();
        check_tar(&end([lower, whiteout].concat()), "d a");
    }
}

#[test]
fn names_below_the_prefix_are_refused() {
    reject(&["d etc/", "f .wh.etc/some=x"], "begins with `.wh.`");
    reject(
        &["d .wh..wh.plnk/, f .wh..wh.plnk/1.2"],
        "not a regular file",
    );
    reject(&["f .wh..wh.plnk/1.2=x"], "AUFS");
}

#[test]
fn files_of_aufs_are_whiteouts_of_names_that_cannot_be() {
    for name in [".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk"] {
        let marker = Member::new(b'0', name, b"").bytes();
        let file = Member::new(b'5', "a/", b"").bytes();
        check_tar(&end([marker, file].concat()), "d a");
    }
}

#[test]
fn opaque_whiteouts_hide_lower_children_wherever_they_come() {
    let lower = "d a/ 0700 1:1 @77, f a/x, d a/s/, f a/s/y";
    for upper in ["o a, f a/n", "f a/n, o a", "f a/n, o a, f a/m, o a"] {
        let expected = match upper.contains("a/m") {
            true => "d a 0700 1:1 @77, f a/m=x, f a/n=x",
            false => "d a 0700 1:1 @77, f a/n=x",
        };
        check(&[lower, upper], expected);
    }
    check(&[lower, "o a"], "d a 0700 1:1 @77");
    check(&[lower, "d a/ @5, o a"], "d a @5");
    check(&["d d/, f d/old", "o d", "f d/new"], "d d, f d/new=x");
    check(&["d a/, f a/x=1", "o a, f a/x=2", "w a/x"], "d a");
}

#[test]
fn opaque_whiteouts_spare_nested_entries_of_their_layer() {
    for upper in ["f a/b/foo, o a", "o a, f a/b/foo"] {
        check(
            &["d a/, d a/b/ 0700 @5, f a/b/bar", upper],
            "d a, d a/b @0, f a/b/foo=x",
        );
    }
    check(
        &[
            "d a/, d a/b/, f a/b/bar",
            "d a/, d a/b/ 0711, f a/b/foo, o a",
        ],
        "d a, d a/b 0711, f a/b/foo=x",
    );
    check(
        &["d a/, d a/b/, f a/b/x", "d a/, o a, d a/b/, o a/b, f a/b/n"],
        "d a, d a/b, f a/b/n=x",
    );
    check(
        &[
            "d a/, d a/b/, d a/b/c/, f a/b/c/old, f a/b/old",
            "f a/b/c/new, o a/b",
        ],
        "d a, d a/b, d a/b/c @0, f a/b/c/new=x",
    );
}

#[test]
fn opaque_whiteouts_of_other_things() {
    check(&["f f1, d d1/, f d1/x", "f n, o "], "f n=x");
    check(&["d a/, o a, f a/x"], "d a, f a/x=x");
    check(
        &["d q/", "o z/y, f z/y/k"],
        "d q, d z @0, d z/y @0, f z/y/k=x",
    );
    for upper in ["o a, f a/n", "f a/n, o a"] {
        check(&["f a=file", upper], "d a @0, f a/n=x");
    }
    // The marker is inside the directory, so the layer has the directory.
    check(&["f a=file", "o a"], "d a @0");
    for upper in ["w a, o a", "o a, w a"] {
        check(&["d a/ 0700, f a/x", upper], "d a @0");
    }
}

#[test]
fn many_whiteouts_take_linear_time() {
    let names = |kind: &str| {
        let all = (0..4_000).map(|n| format!("{kind} d/{n}"));
        all.collect::<Vec<_>>().join(", ")
    };
    check(&[&names("f"), &names("w")], "d d @0");
    let opaque = vec!["o d"; 4_000].join(", ");
    let upper = format!("{}, {opaque}, w d/7", names("f"));
    let image = super::Image::of([names("f"), upper].iter().map(|text| super::tar(text)));
    for (format, outcome) in super::outcomes(&image) {
        let listing = outcome.unwrap();
        assert_eq!(listing.matches(", f d/").count(), 4_000, "as {format:?}");
    }
}

#[test]
fn whiteouts_of_links_that_earlier_entries_went_through() {
    let merged = "d usr/, d usr/lib/, f usr/lib/libc, l lib->usr/lib";
    for upper in ["f lib/new, w lib", "w lib, f lib/new"] {
        check(
            &[merged, upper],
            "d lib @0, f lib/new=x, d usr, d usr/lib, f usr/lib/libc=x",
        );
    }
    for upper in ["f lib/new, o ", "o , f lib/new"] {
        check(&[merged, upper], "d lib @0, f lib/new=x");
    }
    // What was in the way is gone, or still there.
    for link in ["l p->nowhere", "l p->p", "f t, l p->t"] {
        let expected = if link.contains('t') && link.starts_with('f') {
            ", f t=x"
        } else {
            ""
        };
        for upper in ["f p/q, w p", "w p, f p/q"] {
            check(&[link, upper], &format!("d p @0, f p/q=x{expected}"));
        }
    }
    reject(&["l p->nowhere", "f p/q, w k"], "leads nowhere");
    // A whiteout means the lower layers' path, not one through a link of its own layer.
    for upper in ["l a->b, w a/x", "w a/x, l a->b"] {
        check(&["d a/, f a/x, d b/, f b/x", upper], "l a->b, d b, f b/x=x");
    }
    // In a directory that nothing of the layer is in.
    for upper in ["f a/ln/n, w a", "w a, f a/ln/n"] {
        check(
            &["d a/, l a/ln->/r, d r/", upper],
            "d a @0, d a/ln @0, f a/ln/n=x, d r",
        );
    }
    for upper in ["o ln, w ln", "w ln, o ln"] {
        check(&["d r/, f r/x, l ln->r", upper], "d ln @0, d r, f r/x=x");
    }
    // A link that the layer replaces leads nowhere any more.
    for upper in ["d ln/, f ln/n, o ln, w ln/x", "o ln, w ln/x, d ln/, f ln/n"] {
        check(
            &["d r/, f r/x, l ln->r", upper],
            "d ln, f ln/n=x, d r, f r/x=x",
        );
    }
    for upper in ["l ln->s, w ln/x", "w ln/x, l ln->s"] {
        check(
            &["d r/, f r/x, l ln->r, d s/, f s/x", upper],
            "l ln->s, d r, f r/x=x, d s, f s/x=x",
        );
    }
    // A link that an entry went through and that the layer then replaces was hidden all along.
    for upper in ["d p/ln/n/, d p/ln/, w p", "w p, d p/ln/n/, d p/ln/"] {
        check(
            &["d r/", "l p/ln->../r", upper],
            "d p @0, d p/ln, d p/ln/n, d r",
        );
    }
    check(
        &["d r/, f r/x, l ln->r", "f ln/n, f later, w ln", "f top"],
        "f later=x, d ln @0, f ln/n=x, d r, f r/x=x, f top=x",
    );
}
