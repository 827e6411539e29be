//! layer.md#hardlinks.

use super::archive::{Member, end, members};
use super::{check, check_tar, reject};

#[test]
fn names_of_one_inode() {
    check(&["f a=v, h b=>a, h c=>b"], "f a=v, h b=>a, h c=>a");
    check(&["f a=, h b=>a"], "f a=, h b=>a");
    check(&["f s=x 4755 1000:0, h t=>s"], "f s=x 4755 1000:0, h t=>s");
    check(
        &["f a=v, h p/q/b=>a"],
        "f a=v, d p @0, d p/q @0, h p/q/b=>a",
    );
    check(
        &["d x/, f x/a, h b=>/x/a, h c=>./x//a"],
        "f b=x, h c=>b, d x, h x/a=>b",
    );
    check(
        &["f a 0600 1:1, h b=>a 0755 2:2 @9"],
        "f a=x 0600 1:1, h b=>a",
    );
}

#[test]
fn across_layers() {
    check(&["f a=v", "h b=>a"], "f a=v, h b=>a");
    check(&["f a=v1", "h b=>a", "f a=v2"], "f a=v2, f b=v1");
    check(&["f a=v1, h b=>a", "w a"], "f b=v1");
    check(&["f a=v, h b=>a", "f a=n"], "f a=n, f b=v");
    check(&["f a=v", "h b=>a, w a"], "f b=v");
    reject(&["f a=v", "w a, h b=>a"], "does not exist");
}

#[test]
fn replacing_one_name_leaves_the_others() {
    check(&["f a=v, h b=>a, f a=new"], "f a=new, f b=v");
    check(&["f a=v, h b=>a, h a=>b"], "f a=v, h b=>a");
    check(&["f a=1, h c=>a, f b=2, h c=>b"], "f a=1, f b=2, h c=>b");
    check(&["d b/, f b/k, f a=v, h b=>a"], "f a=v, h b=>a");
}

#[test]
fn any_kind_but_directories() {
    check(&["f a=v, l s->a, h t=>s"], "f a=v, l s->a, h t=>s");
    check(&["l s->nowhere @5, h t=>s"], "l s->nowhere @5, h t=>s");
    check(
        &["q f, h g=>f, c d 1,3, h e=>d"],
        "c d 1,3, h e=>d, q f, h g=>f",
    );
    check(&["c w 0,0, h v=>w"], "c v 0,0, h w=>v");
    reject(&["d a/, h b=>a"], "is a directory");
    reject(&["h b=>/"], "is a directory");
}

#[test]
fn a_link_to_itself_changes_nothing() {
    check(&["f a=v, h a=>a"], "f a=v");
    check(&["f a=v", "h a=>./a"], "f a=v");
}

#[test]
fn targets_that_are_not_there() {
    for layer in [
        "h b=>nope",
        "h b=>a, f a=v",
        "h a=>b, h b=>a",
        "l s->nowhere, h b=>s/x",
    ] {
        reject(&[layer], "does not exist");
    }
    reject(&["f a", "h b=>.wh.a, w a"], "does not exist");
    reject(&["h x=>../victim/hello"], "`..` component");
    reject(&["h x=>"], "name is empty");
    reject(&["d b/, f b/k, h b=>b/k"], "replaces the directory");
}

#[test]
fn targets_through_symbolic_links() {
    check(
        &["d x/, f x/a=v, l y->/x, h b=>y/a"],
        "f b=v, d x, h x/a=>b, l y->/x",
    );
    reject(&["l v->/etc, h x=>v/passwd"], "does not exist");
}

#[test]
fn payload_on_a_link_is_skipped() {
    for kind in ["h b=>a", "l b->a", "d b/", "q b", "c b 1,3"] {
        let mut entries = members(&format!("f a=v, {kind}, f c=after"));
        entries[1].octal(124..136, 7);
        entries[1].content = b"payload".to_vec();
        let layer = end(entries.iter().flat_map(Member::bytes).collect());
        let shown = match kind {
            "d b/" => "d b",
            other => other,
        };
        check_tar(&layer, &format!("f a=v, {shown}, f c=after"));
    }
}

#[test]
fn long_targets() {
    for length in [100, 101, 255, 300] {
        let name = format!("{}/{}", "d".repeat(50), "n".repeat(length - 51))
            .replace("nnnnnnnn", "nnn/nnnn");
        let mut file = Member::new(b'0', "short", b"v");
        file.pax("path", name.as_bytes());
        let mut link = Member::new(b'1', "z", b"");
        link.pax("linkpath", name.as_bytes());
        let layer = end([file.bytes(), link.bytes()].concat());
        for (_, outcome) in super::outcomes(&super::Image::of([layer])) {
            let listing = outcome.unwrap();
            assert!(listing.ends_with(&format!("h z=>{name}")), "{listing}");
        }
    }
    let name = "n".repeat(100);
    check(
        &[&format!("f {name}=v, h z=>{name}")],
        &format!("f {name}=v, h z=>{name}"),
    );
}
