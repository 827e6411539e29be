//! layer.md#changeset-over-existing-files, implied parents and symlinked parents.

use super::{check, reject};

#[test]
fn other_kinds_replace() {
    check(&["f p=1", "d p/, f p/q"], "d p, f p/q=x");
    check(&["d p/, d p/s/, f p/s/q", "f p=1"], "f p=1");
    check(&["d p/, f p/old", "f p", "d p/, f p/new"], "d p, f p/new=x");
    check(
        &["d r/, f r/x, l ln->r", "d ln/, f ln/y"],
        "d ln, f ln/y=x, d r, f r/x=x",
    );
    check(&["d p/, f p/q, d t/", "l p->t"], "l p->t, d t");
    check(&["f r=v, l p->r", "f p=new"], "f p=new, f r=v");
    check(&["f p, f k", "l p->k"], "f k=x, l p->k");
    check(&["f p, f k", "q p"], "f k=x, q p");
    check(&["f p, f k", "c p 1,3"], "f k=x, c p 1,3");
    check(&["f p, f k", "h p=>k"], "f k=x, h p=>k");
    check(&["q p", "f p=x"], "f p=x");
}

#[test]
fn a_directory_over_a_directory_replaces_attributes() {
    check(
        &["d a/ 0700 1:0 @7, f a/x", "d a/ 0755 2:0 @77"],
        "d a 2:0 @77, f a/x=x",
    );
}

#[test]
fn the_last_of_two_entries_stands() {
    check(&["f a=1 0600, f a=2"], "f a=2");
    check(
        &["d a/ 0700, f a/x, d a/ 0711 5:0"],
        "d a 0711 5:0, f a/x=x",
    );
    check(&["d a/, f a/x=1, f ./a//x=2, f /a/x=3"], "d a, f a/x=3");
    check(&["d p/, d p/s/, f p/s/q, f p=1"], "f p=1");
    check(&["d dd/ @5, l dd->t"], "l dd->t");
    check(&["l lv->t, d lv/ 0777"], "d lv 0777");
    check(&["d a/, f a/x, d a/b/, l a->b"], "l a->b");
}

#[test]
fn lower_files_make_room_for_implied_parents() {
    check(&["f p=1", "f p/q"], "d p @0, f p/q=x");
    check(&["q p", "f p/q/r"], "d p @0, d p/q @0, f p/q/r=x");
    reject(&["f p=1, f p/q"], "not a directory in the same layer");
    reject(&["f t, l x->t, f x/f"], "something that is not a directory");
    reject(
        &["f t, l x->t", "f x/f"],
        "something that is not a directory",
    );
}

#[test]
fn implied_parents_are_neutral_and_existing_ones_untouched() {
    check(&["f i/j/x"], "d i @0, d i/j @0, f i/j/x=x");
    check(
        &["d a/ 0700 1:0 @77, f a/x", "f a/y"],
        "d a 0700 1:0 @77, f a/x=x, f a/y=x",
    );
    check(&["f a/x, d a/ 0700 @77"], "d a 0700 @77, f a/x=x");
    check(
        &["d a/ 0555, f a/x, d a/b/ 0000, f a/b/y"],
        "d a 0555, d a/b 0000, f a/b/y=x, f a/x=x",
    );
}

#[test]
fn the_root_is_a_directory_like_any_other() {
    for root in ["./", ".", "/", "//./"] {
        check(
            &[&format!("d {root} 0700 3:4 @500"), "f x"],
            "d  0700 3:4 @500, f x=x",
        );
    }
    check(&["d ./", "d ./ 0711"], "d  0711");
    for other in ["f ./=data", "f /=", "l .->/etc", "q ./", "c / 1,3"] {
        let reason = if other.starts_with('f') {
            "ends in `/`"
        } else {
            "only be a directory"
        };
        reject(&[other], reason);
    }
    reject(&["f .=data"], "only be a directory");
    reject(&["f a, h .=>a"], "only be a directory");
}

#[test]
fn symlinked_parents_are_followed() {
    let merged = "d usr/, d usr/lib/, f usr/lib/libc=c, l lib->usr/lib";
    let with_new = "l lib->usr/lib, d usr, d usr/lib, f usr/lib/libc=c, f usr/lib/new=x";
    check(&[merged, "f lib/new"], with_new);
    check(&[&format!("{merged}, f lib/new")], with_new);
    check(
        &[merged, "d lib/, f lib/new"],
        "d lib, f lib/new=x, d usr, d usr/lib, f usr/lib/libc=c",
    );
    check(
        &["d run/, d var/, l var/run->/run", "f var/run/a/b/f"],
        "d run, d run/a @0, d run/a/b @0, f run/a/b/f=x, d var, l var/run->/run",
    );
    check(
        &["d a/, l b->a, l c->b, f c/x"],
        "d a, f a/x=x, l b->a, l c->b",
    );
    check(
        &["d d/, l s->../../d/./, f s/x"],
        "d d, f d/x=x, l s->../../d/./",
    );
    check(
        &["d a/, d a/b/, l a/up->b/.., f a/up/x"],
        "d a, d a/b, l a/up->b/.., f a/x=x",
    );
    check(&["l s->/, f s/x"], "l s->/, f x=x");
}

#[test]
fn symlinks_that_lead_nowhere_are_refused_as_parents() {
    reject(&["l x->y, l y->x, f x/f"], "too many symbolic links");
    reject(&["l x->x, f x/f"], "too many symbolic links");
    reject(&["l x->nowhere, f x/f"], "leads nowhere");
    reject(&["l p->/proc/self/root", "f p/tmp/pwn"], "leads nowhere");
    reject(
        &["l proc->/proc/self/root", "f proc/tmp/pwn"],
        "too many symbolic links",
    );
    let chain = |links: usize| {
        let links: Vec<_> = (0..links).map(|n| format!("l {n}->{}", n + 1)).collect();
        format!("{}, d {}/, f 0/x", links.join(", "), links.len())
    };
    reject(&[&chain(41)], "too many symbolic links");
    super::outcomes(&super::Image::of([super::tar(&chain(40))]))
        .into_iter()
        .for_each(|(_, o)| {
            assert!(o.unwrap().contains("f 40/x=x"));
        });
}

#[test]
fn final_symlinks_are_never_followed() {
    check(&["d v/ 0700, l lv->v, d lv/ 0777"], "d lv 0777, d v 0700");
    check(&["d v/ 0700, l lv->v, d lv/. 0777"], "d lv 0777, d v 0700");
    check(&["d v/ @7, l lv->v @8 1:1"], "l lv->v 1:1 @8, d v @7");
    check(&["f t=v, l s->t, f s=n"], "f s=n, f t=v");
}
