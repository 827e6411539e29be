//! The model against answers decided by hand, sentence by sentence of layer.md.
//!
//! A layer is written as words: `a/` a directory, `a=x` a file with content, `a->b` a link, `a=>b` a hard
//! link; markers are ordinary names. The answer is written the same way, hard links as `a==b`.

use bstr::ByteSlice as _;

use super::{InodeKind, Tree, apply_layers};
use crate::case::{Content, Entry, Kind, Layer};

#[track_caller]
fn check(layers: &[&str], want: &str) {
    let layers: Vec<Layer> = layers.iter().map(|words| layer(words)).collect();
    let tree = apply_layers(&layers, false).unwrap();
    assert_eq!(listing(&tree), want);
}

#[track_caller]
fn check_error(layers: &[&str], what: &str) {
    let layers: Vec<Layer> = layers.iter().map(|words| layer(words)).collect();
    assert_eq!(apply_layers(&layers, false).unwrap_err().what, what);
}

fn layer(words: &str) -> Layer {
    let entry = |word: &str| match (
        word.split_once("->"),
        word.split_once("=>"),
        word.split_once('='),
    ) {
        (Some((path, to)), ..) => Entry::new(Kind::Symlink(to.into()), path),
        (_, Some((path, to)), _) => Entry::new(Kind::Hardlink(to.into(), None), path),
        (.., Some((path, text))) => Entry::new(Kind::File(Content::Bytes(text.into())), path),
        _ if word.ends_with('/') => Entry::new(Kind::Dir(None), word),
        _ => Entry::new(Kind::File(Content::Bytes(Vec::new())), word),
    };
    Layer {
        entries: words.split_whitespace().map(entry).collect(),
        ..Layer::default()
    }
}

fn listing(tree: &Tree) -> String {
    let groups = tree.groups();
    let mut words = Vec::new();
    for (path, id, inode) in tree.iter().filter(|(path, ..)| !path.is_empty()) {
        let first = groups
            .values()
            .find(|names| tree.id(names[0]) == Some(id))
            .unwrap()[0];
        let path = path.to_str().unwrap();
        words.push(match &inode.kind {
            _ if first.as_bytes() != path.as_bytes() => format!("{path}=={first}"),
            InodeKind::Dir => format!("{path}/"),
            InodeKind::Symlink(to) => format!("{path}->{to}"),
            InodeKind::File { size, .. } => format!("{path}:{size}"),
            kind => format!("{path}({})", kind.word()),
        });
    }
    words.join(" ")
}

#[test]
fn the_examples_of_the_spec() {
    // "Representing Changes": one added, one modified, one deleted.
    let base = "./ ./etc/ ./etc/my-app-config ./bin/ ./bin/my-app-binary ./bin/my-app-tools=1";
    let change = "./etc/my-app.d/ ./etc/my-app.d/default.cfg ./bin/my-app-tools=22 \
                  ./etc/.wh.my-app-config";
    let want = "bin/ bin/my-app-binary:0 bin/my-app-tools:2 etc/ etc/my-app.d/ \
                etc/my-app.d/default.cfg:0";
    check(&[base, change], want);
    // "Whiteouts": a/b is deleted and made anew, wherever the marker stands.
    let base = "a/ a/b/ a/b/c/ a/b/c/bar";
    let want = "a/ a/b/ a/b/c/ a/b/c/foo:0";
    check(&[base, "a/ a/.wh..wh..opq a/b/ a/b/c/ a/b/c/foo"], want);
    check(&[base, "a/ a/b/ a/b/c/ a/b/c/foo a/.wh..wh..opq"], want);
    // "Opaque Whiteout": equal to one explicit whiteout for each child.
    let base = "etc/ etc/my-app-config bin/ bin/my-app-binary bin/my-app-tools bin/tools/ \
                bin/tools/my-app-tool-one";
    check(
        &[base, "bin/ bin/.wh..wh..opq"],
        "bin/ etc/ etc/my-app-config:0",
    );
    let explicit = "bin/ bin/.wh.my-app-binary bin/.wh.my-app-tools bin/.wh.tools";
    check(&[base, explicit], "bin/ etc/ etc/my-app-config:0");
}

#[test]
fn whiteouts_apply_to_lower_layers_only() {
    check(&["a/ a/x=1", "a/.wh.x a/x=22"], "a/ a/x:2");
    check(&["a/ a/x=1", "a/x=22 a/.wh.x"], "a/ a/x:2");
    check(&["a/ a/old", ".wh.a a/ a/new"], "a/ a/new:0");
    check(&["a/ a/old", "a/ a/new .wh.a"], "a/ a/new:0");
    check(&["a/ a/.wh.x a/x a/.wh.gone"], "a/ a/x:0");
    check(&["x=1", ".wh.x", "x=333"], "x:3");
    check(&["x=1", "x=22", ".wh.x"], "");
    check(&["t/ t/t", ".wh.t t/.wh.t"], "");
    check(&["a/", "z/.wh.y"], "a/");
}

#[test]
fn an_entry_over_an_existing_path() {
    check(&["p=1", "p/ p/q"], "p/ p/q:0");
    check(&["p/ p/q", "p=1"], "p:1");
    check(&["p/ p/q t/", "p->t"], "p->t t/");
    check(
        &["real/ real/x ln->real", "ln/ ln/y"],
        "ln/ ln/y:0 real/ real/x:0",
    );
    check(&["real=v p->real", "p=new"], "p:3 real:1");
    check(&["a/ a/x", "a/"], "a/ a/x:0");
    check(&["p=1", "p/q"], "p/ p/q:0");
}

#[test]
fn parents_that_are_links_are_followed_inside_the_root() {
    let usr = "usr/ usr/lib/ lib->usr/lib";
    check(
        &[usr, "lib/new.so"],
        "lib->usr/lib usr/ usr/lib/ usr/lib/new.so:0",
    );
    check(
        &["run/ var/ var/run->/run", "var/run/a/f"],
        "run/ run/a/ run/a/f:0 var/ var/run->/run",
    );
    check(&["a/ b->../../../a", "b/x"], "a/ a/x:0 b->../../../a");
    check(&["real/ real/x ln->real", "ln/.wh.x"], "ln->real real/");
    // An opaque directory of its own in the place of a link hides nothing of where the link led.
    let own = "ln/ ln/.wh..wh..opq ln/n";
    check(&["real/ real/x ln->real", own], "ln/ ln/n:0 real/ real/x:0");
    check_error(&["x->y y->x x/f"], "too many links in a path");
    check_error(&["x->nowhere x/f"], "a parent is a link to nowhere");
    check_error(
        &["t x->t x/f"],
        "a parent is a link to something that is no directory",
    );
}

#[test]
fn hard_links_are_names_of_one_inode() {
    check(&["a=v b=>a c=>b"], "a:1 b==a c==a");
    check(&["a=v", "b=>a"], "a:1 b==a");
    check(&["a=v1 b=>a", ".wh.a"], "b:2");
    check(&["a=v1 b=>a", "a=new"], "a:3 b:2");
    check(&["a=v1", "b=>a", "a=new"], "a:3 b:2");
    check(&["a=v s->a h=>s"], "a:1 h->a s==h");
    check(&["a=v a=>a"], "a:1");
    check_error(&["a/ b=>a"], "a hard link to a directory");
    check_error(&["b=>nope"], "the hard link's target does not exist");
}

#[test]
fn what_has_no_meaning_is_an_error() {
    check_error(
        &["etc/ etc/passwd", "etc/.wh."],
        "a whiteout without a name",
    );
    check_error(&["etc/", "etc/.wh.."], "a whiteout of `.`");
    check_error(&["etc/", "etc/.wh..."], "a whiteout of `..`");
    check_error(&[".wh.etc/some=x"], "a directory whose name begins `.wh.`");
    check_error(&["../x"], "`..` in a path");
    check_error(&["./=data"], "the root is a directory");
    check_error(&["s->"], "a link with an empty target");
}

#[test]
fn the_time_of_a_directory_is_open_once_a_later_layer_changes_its_children() {
    let layers = |words: &[&str]| words.iter().map(|words| layer(words)).collect::<Vec<_>>();
    let time = |words: &[&str], kept| {
        apply_layers(&layers(words), kept)
            .unwrap()
            .get(b"a")
            .unwrap()
            .mtime
            .is_some()
    };
    assert!(time(&["a/ a/x"], false));
    assert!(!time(&["a/", "a/x"], false));
    assert!(!time(&["a/ a/x", "a/.wh.x"], false));
    assert!(time(&["a/ a/x", "a/ a/.wh.x"], false));
    assert!(time(&["a/", "a/x"], true));
}
