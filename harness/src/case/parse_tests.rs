//! Every way a case file can be wrong, each with the text its caret is under and the message; and what
//! right ones mean.

use bstr::ByteSlice as _;

use super::{
    Alternative, Case, CaseError, Compression, Content, Damage, Expect, Kind, LayerFormat, Time,
    parse,
};

/// A case of these lines after the obligatory keys; what stands in `expect` may be one of them.
fn case(lines: &str) -> Result<Case, CaseError> {
    let expect = match lines.contains("[expect]") {
        true => "",
        false => "[expect]\ntree = 'golden'\n",
    };
    let text = format!("title = 'x'\nspec = 'x'\nlevel = 'policy'\n{lines}\n{expect}");
    parse("name/x", &text, &|name| {
        (name == "sh").then(|| b"#!".to_vec())
    })
}

/// A case of one layer with this entry.
fn entry(entry: &str) -> Result<Case, CaseError> {
    case(&format!("[[layer]]\nentries = [{{ {entry} }}]"))
}

#[track_caller]
fn check(result: Result<Case, CaseError>, caret: &str, message: &str) {
    let error = result.expect_err("a wrong case");
    let under: String = error.source_line.chars().skip(error.column - 1).collect();
    assert!(under.starts_with(caret), "{error}");
    assert!(error.message.contains(message), "{error}");
    let shown = error.to_string();
    let carets = format!(
        "{}{}",
        " ".repeat(error.column - 1),
        "^".repeat(error.width)
    );
    assert!(shown.ends_with(&carets), "{shown}");
}

/// The beginning of an entry as [`entry`] writes it.
const WHOLE: &str = "{ ";

/// A wrong entry, where the caret is, the message.
const WRONG_ENTRIES: &[(&str, &str, &str)] = &[
    (
        "mode = 0o644",
        WHOLE,
        "an entry has exactly one of file, dir, symlink",
    ),
    (
        "file = 'a', dir = 'a'",
        WHOLE,
        "an entry has exactly one of",
    ),
    (
        "file = 'a', raw = true",
        WHOLE,
        "an entry has exactly one of",
    ),
    (
        "file = 'a', text = 'x', zeros = 1",
        WHOLE,
        "a content is one of text, hex, zeros",
    ),
    ("file = 'a', hex = '0g'", "'0g'", "not hex"),
    ("file = 'a', hex = '0'", "'0'", "not hex"),
    (
        "file = 'a', asset = 'bash'",
        "'bash'",
        "no file `bash` in corpus/asset/",
    ),
    (
        "file = 'a', to = 'b'",
        WHOLE,
        "an entry of kind file takes no to",
    ),
    (
        "symlink = 'a', to = 'b', text = 'x'",
        WHOLE,
        "an entry of kind symlink takes no content",
    ),
    (
        "fifo = 'a', zeros = 0",
        WHOLE,
        "an entry of kind fifo takes no content",
    ),
    (
        "whiteout = 'a', text = 'x'",
        WHOLE,
        "an entry of kind whiteout takes no content",
    ),
    (
        "dir = 'a', major = 1",
        WHOLE,
        "an entry of kind dir takes no major",
    ),
    (
        "file = 'a', minor = 1",
        WHOLE,
        "an entry of kind file takes no minor",
    ),
    ("symlink = 'a'", WHOLE, "a link needs its target"),
    ("hardlink = 'a'", WHOLE, "a link needs its target"),
    (
        "char = 'a', major = 1",
        WHOLE,
        "a device needs major and minor",
    ),
    ("block = 'a'", WHOLE, "a device needs major and minor"),
    ("raw = true", WHOLE, "raw bytes need a content"),
    (
        "file = 'a', mode = 0o10000",
        WHOLE,
        "mode has at most twelve bits",
    ),
    (
        "file = 'a', nanos = 1_000_000_000",
        WHOLE,
        "nanos must be below",
    ),
    (
        "file = 'a', pax = { size = 3 }",
        WHOLE,
        "the pax record `size` must be a string",
    ),
    (
        "file = 'a', pax = { size = '\\8' }",
        WHOLE,
        "three octal digits",
    ),
    (
        "file = 'a', xattrs = { 'user.\\4' = 'x' }",
        WHOLE,
        "three octal digits",
    ),
    (
        "file = 'a', xattrs = { 'user.a' = '\\400' }",
        "'\\400'",
        "three octal digits",
    ),
    ("file = '\\'", "'\\'", "three octal digits"),
    (
        "file = 'a', header = { nmae = 'x' }",
        WHOLE,
        "`nmae` is no field of a ustar header",
    ),
    (
        "file = 'a', header = { version = '000' }",
        "'000'",
        "has only 2 bytes",
    ),
    (
        "file = 'a', tar = [{ dir = 'b', to = 'c' }]",
        WHOLE,
        "an entry of kind dir takes no to",
    ),
    (
        "file = 'a', dialect = 'star'",
        "'star'",
        "unknown variant `star`",
    ),
    ("file = 'a', uid = -1", "-1", "invalid value"),
];

#[test]
fn wrong_entries() {
    for (text, caret, message) in WRONG_ENTRIES {
        check(entry(text), caret, message);
    }
}

#[test]
fn wrong_images() {
    let edit = "an edit is `at` with `set`, `at` with `remove = true`, or `find`";
    let blob = "a blob takes exactly one of remove, flip, truncate, fifo, directory";
    for (text, caret, message) in [
        ("edit = [{ in = 'index' }]", "{ in", edit),
        ("edit = [{ in = 'index', at = '/a' }]", "{ in", edit),
        (
            "edit = [{ in = 'index', at = '/a', set = 1, remove = true }]",
            "{ in",
            edit,
        ),
        ("edit = [{ in = 'index', find = 'a' }]", "{ in", edit),
        (
            "edit = [{ in = 'blob', at = '/a', set = 1 }]",
            "'blob'",
            "unknown variant `blob`",
        ),
        ("blob = [{ of = 'config' }]", "{ of", blob),
        (
            "blob = [{ of = 'config', flip = 1, remove = true }]",
            "{ of",
            blob,
        ),
        (
            "blob = [{ of = 'layer:1', flip = 1 }]",
            "{ of",
            "layer:0 to layer:0 here",
        ),
        (
            "blob = [{ of = 'layer:x', flip = 1 }]",
            "{ of",
            "`of` is layout, index, manifest, config, or",
        ),
        ("blub = []", "blub", "unknown field `blub`"),
    ] {
        check(case(&format!("[image]\n{text}")), caret, message);
    }
}

#[test]
fn wrong_expectations() {
    let whole = "[expect]";
    for (text, caret, message) in [
        (
            "",
            whole,
            "expect exactly one of tree, reject, one-of, record",
        ),
        (
            "tree = 'golden'\nrecord = 'x'",
            whole,
            "expect exactly one of",
        ),
        ("tree = 'gold'", "'gold'", "the only tree is \"golden\""),
        (
            "reject = 'x'",
            whole,
            "a reject case needs its offence marked",
        ),
        (
            "one-of = [{ name = 'a' }]",
            whole,
            "one-of needs at least two outcomes",
        ),
        (
            "one-of = [{ name = 'A' }, { name = 'b' }]",
            "'A'",
            "an outcome's name is made of",
        ),
        (
            "one-of = [{ name = '' }, { name = 'b' }]",
            "''",
            "an outcome's name is made of",
        ),
        (
            "one-of = [{ name = 'twin' }, { name = 'b' }]",
            "'twin'",
            "an outcome's name is made of",
        ),
        (
            "one-of = [{ name = 'reject', layers = [] }, { name = 'b' }]",
            "{ name",
            "has no layers",
        ),
        ("parent-mtime = 'lost'", "'lost'", "unknown variant `lost`"),
    ] {
        check(case(&format!("[expect]\n{text}")), caret, message);
    }
    let both = "[[layer]]\nentries = [{ file = 'a', twin-drop = true, twin = { dir = 'a' } }]\n\
                [expect]\nreject = 'x'";
    check(
        case(both),
        "{ file",
        "either `twin` or `twin-drop`, not both",
    );
}

#[test]
fn wrong_top_keys() {
    let parsed = |text: &str| parse("name/x", text, &|_| None);
    check(parsed("title = 1"), "1", "invalid type");
    check(parsed("title = 'x"), "", "invalid literal string");
    check(parsed("title = 'x'\ntitle = 'y'"), "title", "duplicate key");
    check(parsed("title = 'x'\nspec = 'x'"), "title", "missing field");
    let no_shell = "title = 'x'\nspec = 'x'\nlevel = 'must'\n[expect]\ntree = 'golden'";
    check(parsed(no_shell), "title", "no file `sh` in corpus/asset/");
    let blank = no_shell.replace("title = 'x'", "title = ' '");
    check(parsed(&blank), "' '", "the title must say what is asked");
}

#[test]
fn a_caret_counts_characters_and_ends_with_its_line() {
    check(
        entry("file = 'é', text = '\\9'"),
        "'\\9'",
        "three octal digits",
    );
    let error = case("[[layer]]\nentries = [{ file = 'a',\n  to = 'b' }]").unwrap_err();
    assert_eq!((error.line, error.column, error.width), (5, 12, 13));
}

#[test]
fn an_entry_means_what_its_keys_say() {
    let text = "file = './caf\\351//x', hex = '00 fF', mode = 0o4711, uid = 4294967296, gid = 7, \
                mtime = -2, nanos = 5, xattrs = { 'user.k' = '\\000' }";
    let case = entry(text).unwrap();
    let entry = &case.layers[1].entries[0];
    assert_eq!(entry.path, b"./caf\xe9//x".as_bstr());
    assert_eq!(entry.kind, Kind::File(Content::Bytes(vec![0, 255])));
    assert_eq!((entry.mode, entry.uid, entry.gid), (0o4711, 1 << 32, 7));
    assert_eq!(
        entry.mtime,
        Time {
            seconds: -2,
            nanos: 5
        }
    );
    assert_eq!(entry.xattrs[b"user.k".as_bstr()], b"\0".as_bstr());
    assert_eq!(entry.line, 5);
}

#[test]
fn markers_are_files_of_their_directory() {
    for (text, path) in [
        ("whiteout = 'a/b'", "a/.wh.b"),
        ("whiteout = 'a'", ".wh.a"),
        ("whiteout = '/a'", "/.wh.a"),
        ("whiteout = 'a/'", "a/.wh."),
        ("opaque = 'a'", "a/.wh..wh..opq"),
        ("opaque = 'a/'", "a/.wh..wh..opq"),
        ("opaque = ''", ".wh..wh..opq"),
        ("opaque = '.'", "./.wh..wh..opq"),
    ] {
        let case = entry(text).unwrap();
        assert_eq!(case.layers[1].entries[0].path, path, "{text}");
    }
}

#[test]
fn a_twin_is_the_case_without_its_offence() {
    let text = "[[layer]]\ncut = 3\nappend = 'x'\nentries = [\n\
                { file = 'bad', twin = { file = 'good' } }, { file = 'worse', twin-drop = true },\n\
                { file = 'kept' }]\n\
                [image]\nedit = [{ in = 'index', at = '/a', set = 1 }, \
                { in = 'index', at = '/b', set = 1, keep = true }]\n\
                blob = [{ of = 'layer:1', flip = 1 }]\n\
                [expect]\nreject = 'because'\n";
    let case = case(text).unwrap();
    assert_eq!(case.image.blobs[0].damage, Damage::Flip(1));
    let Expect::Reject { because, twin } = &case.expect else {
        panic!("a reject case");
    };
    let paths: Vec<_> = twin.layers[1]
        .entries
        .iter()
        .map(|entry| entry.path.to_string())
        .collect();
    assert_eq!(
        (because.as_str(), paths),
        ("because", vec!["good".into(), "kept".into()])
    );
    assert_eq!((twin.layers[1].cut, twin.layers[1].append.len()), (0, 0));
    assert_eq!((twin.image.edits.len(), twin.image.blobs.len()), (1, 0));
    assert_eq!(
        (twin.id.as_str(), &twin.expect),
        ("name/x+twin", &Expect::Tree)
    );
    assert_eq!(case.goldens()[0].0, "name/x.twin");
}

#[test]
fn outcomes_have_goldens_of_their_own() {
    let text = "base = 'none'\n[expect]\n\
                one-of = [{ name = 'a' }, { name = 'b', layers = [[{ dir = 'd' }]] }, { name = 'reject' }]\n";
    let case = case(text).unwrap();
    let Expect::OneOf(outcomes) = &case.expect else {
        panic!("a one-of case");
    };
    assert_eq!((outcomes.len(), &outcomes[2]), (3, &Alternative::Reject));
    let goldens: Vec<_> = case
        .goldens()
        .into_iter()
        .map(|(name, layers)| (name, layers.len()))
        .collect();
    assert_eq!(
        goldens,
        [("name/x.a".to_owned(), 0), ("name/x.b".to_owned(), 1)]
    );
}

#[test]
fn an_erofs_layer_has_keys_of_its_own() {
    let layer = |keys: &str| case(&format!("[[layer]]\n{keys}\nentries = []"));
    check(
        layer("format = 'erofs'\ncompression = 'gzip'"),
        "'gzip'",
        "none or zstd",
    );
    check(
        layer("format = 'erofs'\nend-blocks = 0"),
        "0",
        "no zero blocks",
    );
    check(
        layer("patch = [{ at = 0, hex = '00' }]"),
        "{ at = 0, hex = '00' }",
        "only an EROFS layer",
    );
    check(
        layer("format = 'erofs'\npatch = [{ at = 0, hex = '0' }]"),
        "'0'",
        "not hex",
    );
    check(layer("format = 'cpio'"), "'cpio'", "unknown variant");
    let text = "base = 'erofs'\n[[layer]]\nformat = 'erofs'\npatch = [{ at = 7, hex = '0a' }]\n\
                entries = []\n[expect]\nreject = 'because'";
    let case = case(text).unwrap();
    for layer in &case.layers {
        assert_eq!(
            (layer.format, layer.compression),
            (LayerFormat::Erofs, Compression::None)
        );
    }
    assert_eq!(case.layers[1].patch, [(7, vec![10])]);
    // The twin says the same as tar layers, which no converter may refuse.
    let Expect::Reject { twin, .. } = &case.expect else {
        panic!("a reject case");
    };
    for layer in &twin.layers {
        assert_eq!(
            (layer.format, layer.compression),
            (LayerFormat::Tar, Compression::Gzip)
        );
        assert_eq!(layer.patch, []);
    }
}
