//! Each axis on cases made for it: what it changes, what it leaves alone, and why it leaves a case out.

mod rules;

use super::{LeftOut, NoVariant, Variant, named};
use crate::case::{Case, Compression, Dialect, Kind, parse};

/// A must case of these layers, each a list of entries, that expects a tree.
fn case(layers: &[&str]) -> Case {
    with(layers, "[expect]\ntree = 'golden'\n")
}

fn with(layers: &[&str], rest: &str) -> Case {
    let layers: String = layers
        .iter()
        .map(|entries| format!("[[layer]]\nentries = [{entries}]\n"))
        .collect();
    let text = format!("title = 'x'\nspec = 'x'\nlevel = 'must'\nbase = 'none'\n{layers}{rest}");
    parse("name/x", &text, &|_| None).unwrap()
}

#[track_caller]
fn made(case: &Case, setting: &str) -> Variant {
    named(case, setting).unwrap_or_else(|error| panic!("{setting}: {error}"))
}

/// The paths of each layer; a hard link with its target, a directory with its attributes where they are not
/// the default ones.
fn shown(case: &Case) -> Vec<String> {
    let entry = |entry: &crate::case::Entry| {
        let path = &entry.path;
        match &entry.kind {
            Kind::Hardlink(to, _) => format!("{path}={to}"),
            Kind::Dir(_) if entry.mode != 0o755 => format!("{path}:{:o}", entry.mode),
            _ => path.to_string(),
        }
    };
    let layers = case.layers.iter();
    layers
        .map(|layer| {
            layer
                .entries
                .iter()
                .map(entry)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[track_caller]
fn check(layers: &[&str], setting: &str, want: &[&str]) {
    assert_eq!(shown(&made(&case(layers), setting).case), want, "{setting}");
}

#[track_caller]
fn left_out(case: &Case, setting: &str, reason: LeftOut) {
    let error = named(case, setting)
        .map(|variant| shown(&variant.case))
        .unwrap_err();
    assert_eq!(error, NoVariant::LeftOut(setting.to_owned(), reason));
}

const A_DIR: &str = "{dir='a/',mode=0o700}";
const IN_A: &str = "{dir='a/'},{file='a/x'},{file='a/y'}";

#[test]
fn roots() {
    let layers = [A_DIR, "{file='x'},{dir='./',mode=0o711}", "{file='y'}"];
    check(
        &layers,
        "root=dot-slash",
        &["./ a/:700", "x ./:711", "./:711 y"],
    );
    check(&layers, "root=dot", &[". a/:700", "x .:711", ".:711 y"]);
    check(&layers, "root=slash", &["/ a/:700", "x /:711", "/:711 y"]);
    check(&layers, "root=absent", &["a/:700", "x", "y"]);
    let absent = made(&case(&layers), "root=absent");
    assert_eq!(absent.unnamed.into_iter().collect::<Vec<_>>(), [""]);
    left_out(&case(&[A_DIR]), "root=absent", LeftOut::Same);
    left_out(
        &case(&["{dir='./',xattrs={'user.k'='v'}}"]),
        "root=absent",
        LeftOut::RootXattrs,
    );
    left_out(
        &case(&["{dir='./',header={version='00'}}"]),
        "root=absent",
        LeftOut::HandWritten,
    );
}

#[test]
fn spellings() {
    let layers = ["{dir='./'},{dir='a'},{file='./a/x'},{hardlink='/l',to='a/x'},{whiteout='a//b'}"];
    check(&layers, "spelling=plain", &["./ a a/x l=a/x a/.wh.b"]);
    check(
        &layers,
        "spelling=dot-slash",
        &["./ ./a ./a/x ./l=./a/x ./a/.wh.b"],
    );
    check(&layers, "spelling=slash", &["./ /a /a/x /l=/a/x /a/.wh.b"]);
    check(
        &layers,
        "spelling=double-slash",
        &["./ a a//x l=a//x a//.wh.b"],
    );
    check(
        &layers,
        "spelling=directory-slash",
        &["./ a/ ./a/x /l=a/x a//.wh.b"],
    );
    check(&["{dir='a/'}"], "spelling=directory-plain", &["a"]);
    // Only types say what is a directory, so the slash of other files is not touched, nor that of Unix v7.
    check(
        &["{file='a/',text='x'},{file='b'}"],
        "spelling=dot-slash",
        &["a/ ./b"],
    );
    left_out(
        &case(&["{dir='a/',dialect='v7'}"]),
        "spelling=directory-plain",
        LeftOut::Same,
    );
    let long = format!("{{file='{}'}}", "n/".repeat(2047) + "n");
    left_out(&case(&[&long]), "spelling=dot-slash", LeftOut::TooLarge);
    left_out(
        &case(&["{file='a',header={name='b'}}"]),
        "spelling=dot-slash",
        LeftOut::HandWritten,
    );
    left_out(
        &case(&["{file='a',pax={path='a'}}"]),
        "spelling=dot-slash",
        LeftOut::HandWritten,
    );
    // A symbolic link's target is content.
    let link = made(&case(&["{symlink='a',to='b//c'}"]), "spelling=dot-slash");
    assert_eq!(
        link.case.layers[0].entries[0].kind,
        Kind::Symlink("b//c".into())
    );
}

#[test]
fn parents() {
    let named = "parents=explicit";
    check(
        &[A_DIR, "{file='a/b/c'}"],
        named,
        &["a/:700", "a/:700 a/b/ a/b/c"],
    );
    // What was hidden or replaced is not what is there.
    check(
        &[A_DIR, "{whiteout='a'},{file='a/x'}"],
        named,
        &["a/:700", ".wh.a a/ a/x"],
    );
    check(
        &["{dir='a/b/',mode=0o700}", "{opaque='a'},{file='a/b/x'}"],
        named,
        &["a/ a/b/:700", "a/.wh..wh..opq a/ a/b/ a/b/x"],
    );
    check(
        &[A_DIR, "{file='a'}", "{dir='b/'}", "{file='a/x'}"],
        named,
        &["a/:700", "a", "b/", "a/ a/x"],
    );
    // A whiteout makes no directory.
    left_out(&case(&[A_DIR, "{whiteout='b/x'}"]), named, LeftOut::Same);
    left_out(
        &case(&["{symlink='l',to='a'}", "{file='l/x/y'}"]),
        named,
        LeftOut::ThroughLink,
    );
    left_out(
        &case(&["{dir='a/',header={version='00'}}", "{file='a/x'}"]),
        named,
        LeftOut::HandWritten,
    );

    let implied = "parents=implied";
    check(&[IN_A], implied, &["a/x a/y"]);
    assert_eq!(
        made(&case(&[IN_A]), implied)
            .unnamed
            .into_iter()
            .collect::<Vec<_>>(),
        ["a"]
    );
    // An upper layer that names it says how it is.
    let twice = made(&case(&[IN_A, "{dir='a/'}"]), implied);
    assert_eq!(shown(&twice.case), ["a/x a/y", "a/"]);
    assert_eq!(twice.unnamed.len(), 0);
    // Of its own: attributes, no child, a whiteout alone, a child before it, something there already.
    for layers in [
        &["{dir='a/',mode=0o700},{file='a/x'}"][..],
        &["{dir='a/',xattrs={'user.k'='v'}},{file='a/x'}"],
        &["{dir='a/'}"],
        &["{dir='a/'},{whiteout='a/x'}"],
        &["{file='a/x'},{dir='a/'}"],
        &["{file='a'}", IN_A],
    ] {
        left_out(&case(layers), implied, LeftOut::Same);
    }
}

#[test]
fn orders() {
    let layers = ["{file='x'},{whiteout='x'},{dir='a/'},{file='a/y'},{opaque='b'}"];
    check(
        &layers,
        "order=whiteouts-first",
        &[".wh.x b/.wh..wh..opq x a/ a/y"],
    );
    check(
        &layers,
        "order=whiteouts-last",
        &["x a/ a/y .wh.x b/.wh..wh..opq"],
    );
    check(
        &layers,
        "order=directories-last",
        &["x .wh.x a/y b/.wh..wh..opq a/"],
    );
    check(
        &layers,
        "order=reversed",
        &["b/.wh..wh..opq a/ a/y .wh.x x"],
    );
    check(&layers, "order=sorted", &[".wh.x a/ a/y b/.wh..wh..opq x"]);
    // A hard link stays behind its target, and a target before what comes in its place.
    let links = ["{file='b'},{hardlink='a',to='b'},{file='c'}"];
    check(&links, "order=reversed", &["c b a=b"]);
    check(
        &["{file='c'},{file='b'},{hardlink='a',to='b'}"],
        "order=sorted",
        &["b a=b c"],
    );
    left_out(&case(&links), "order=sorted", LeftOut::Same);
    let down = case(&["{file='b'}", "{hardlink='a',to='b'},{whiteout='b'}"]);
    left_out(&down, "order=whiteouts-first", LeftOut::LinkAcrossLayers);
    let replaces = case(&["{file='a'}", IN_A]);
    left_out(&replaces, "order=directories-last", LeftOut::Replaces);
    let walks = case(&[
        "{symlink='l',to='a'},{file='x'}",
        "{file='l/x'},{whiteout='x'}",
    ]);
    left_out(&walks, "order=whiteouts-first", LeftOut::ThroughLink);
    left_out(
        &case(&["{raw=true,zeros=512},{file='x'}"]),
        "order=reversed",
        LeftOut::HandWritten,
    );
}

#[test]
fn splits() {
    let halves = "split=halves";
    check(&[IN_A], halves, &["a/", "a/ a/x a/y"]);
    check(
        &["{dir='a/',mode=0o700},{file='a/x'},{file='y'},{file='z'}"],
        halves,
        &["a/:700 a/x", "y z"],
    );
    check(&[IN_A], "split=everywhere", &["a/", "a/ a/x", "a/ a/y"]);
    // Whiteouts are for lower layers, a hard link stays with its target.
    check(
        &["{file='a'},{file='b'},{whiteout='c'},{file='d'}"],
        halves,
        &["a b .wh.c", "d"],
    );
    check(
        &["{file='a'},{file='b'},{hardlink='c',to='b'},{file='d'}"],
        "split=everywhere",
        &["a", "b c=b", "d"],
    );
    left_out(
        &case(&["{file='a'},{whiteout='c'}"]),
        halves,
        LeftOut::Whiteout,
    );
    left_out(
        &case(&["{file='a'},{hardlink='c',to='a'}"]),
        halves,
        LeftOut::LinkAcrossLayers,
    );
    left_out(
        &case(&["{file='x'}", "{file='a'},{hardlink='c',to='x'}"]),
        halves,
        LeftOut::LinkAcrossLayers,
    );
    left_out(&case(&["{file='a'},{dir='a/'}"]), halves, LeftOut::Replaces);
    left_out(
        &case(&["{file='a/x'},{file='a'}"]),
        halves,
        LeftOut::Replaces,
    );
    left_out(&case(&["{dir='a/'}"]), halves, LeftOut::Same);
    let cut = with(
        &["{file='a'},{file='b'}"],
        "cut = 512\n[expect]\ntree = 'golden'\n",
    );
    left_out(&cut, halves, LeftOut::HandWritten);
    let many: Vec<String> = (0..100).map(|n| format!("{{file='n{n}'}}")).collect();
    let parts = made(&case(&[&many.join(",")]), "split=everywhere")
        .case
        .layers;
    assert!((12..=24).contains(&parts.len()), "{}", parts.len());
    assert_eq!(
        parts.iter().map(|part| part.entries.len()).sum::<usize>(),
        100
    );
}

#[test]
fn headers() {
    let plain = case(&["{file='a',text='x'}", "{file='b',nanos=5}"]);
    let dialects = |setting| {
        let layers = made(&plain, setting).case.layers;
        layers
            .into_iter()
            .flat_map(|layer| layer.entries)
            .map(|e| e.dialect)
            .collect::<Vec<_>>()
    };
    assert_eq!(dialects("header=pax"), [Dialect::Pax, Dialect::Pax]);
    // GNU headers have no fractions of seconds.
    assert_eq!(dialects("header=gnu"), [Dialect::Gnu, Dialect::Ustar]);
    left_out(&plain, "header=ustar", LeftOut::Same);
    left_out(
        &case(&["{file='a',nanos=5}"]),
        "header=gnu",
        LeftOut::Unholdable,
    );
    left_out(
        &case(&["{file='\\351',text='x'}"]),
        "header=pax",
        LeftOut::Unholdable,
    );
    left_out(
        &case(&["{file='a',header={name='b'}}"]),
        "header=gnu",
        LeftOut::HandWritten,
    );
}

#[test]
fn blobs_and_layers() {
    let plain = case(&["{file='a',text='x'}", "{file='b'}"]);
    let zstd = made(&plain, "compression=zstd-frames").case.layers;
    assert!(
        zstd.iter()
            .all(|layer| (layer.compression, layer.members) == (Compression::Zstd, 3))
    );
    left_out(&plain, "compression=gzip", LeftOut::Same);
    let typed = with(
        &["{file='a'}"],
        "media-type = 'x'\n[expect]\ntree = 'golden'\n",
    );
    left_out(&typed, "compression=zstd", LeftOut::HandWritten);
    left_out(&typed, "media-type=docker", LeftOut::HandWritten);

    let docker = made(&plain, "media-type=docker").case;
    let types: Vec<_> = docker
        .layers
        .iter()
        .filter_map(|layer| layer.media_type.clone())
        .collect();
    assert_eq!(
        types,
        ["application/vnd.docker.image.rootfs.diff.tar.gzip"; 2]
    );
    assert_eq!(docker.image.edits.len(), 3);
    let zstd = with(
        &["{file='a'}"],
        "compression = 'zstd'\n[expect]\ntree = 'golden'\n",
    );
    left_out(&zstd, "media-type=docker-layers", LeftOut::Unholdable);

    check(
        &[A_DIR, IN_A],
        "empty-layer=bottom",
        &["", "a/:700", "a/ a/x a/y"],
    );
    check(
        &[A_DIR, IN_A],
        "empty-layer=middle",
        &["a/:700", "", "a/ a/x a/y"],
    );
    check(
        &[A_DIR, IN_A],
        "empty-layer=top",
        &["a/:700", "a/ a/x a/y", ""],
    );
    left_out(&case(&[A_DIR]), "empty-layer=middle", LeftOut::Same);
    left_out(&case(&[]), "empty-layer=top", LeftOut::Same);
}
