//! The invariants of the source that no compiler holds. Each rule is a function from text to
//! complaints, and each is seen to complain.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;
use harness::case::{Case, Corpus};

use crate::project::{Project, Said, checkout};
use crate::require::HARNESS;
use rules::{
    case_complaints, contains, imports_from_below, mentions, module_of, module_order, strangers,
    too_long, untidy_blanks,
};

/// The most lines of a file of logic.
const FILE_LINES_MAX: usize = 500;
/// The most lines of a function, its first and last included.
const FUNCTION_LINES_MAX: usize = 70;
/// The most lines of the README.
const README_LINES_MAX: usize = 150;

#[test]
fn modules_import_only_from_those_above_them() {
    let order = module_order(&read("harness/src/lib.rs"));
    assert!(order.len() >= 10, "{order:?}");
    hold(sources("harness/src"), |path, text| match module_of(path) {
        Some(module) => imports_from_below(&order, module, text),
        None => Vec::new(),
    });
}

#[test]
fn an_import_from_below_is_seen() {
    let order = ["case", "image", "tree", "report"].map(str::to_owned);
    let seen = |text| imports_from_below(&order, "image", text);
    for text in [
        "use crate::tree;",
        "use crate::tree::Tree;",
        "    use crate::{case::Case, tree::{self, mtree}};",
        "use crate::{\n    case::Case,\n    tree::Tree,\n};",
        "    let tree = crate::tree::Tree::new();",
        "pub(in crate::tree) fn x() {}",
    ] {
        assert_eq!(seen(text), ["`image` imports `tree`"], "{text}");
    }
    assert_eq!(
        seen("use crate::elsewhere;"),
        ["`image` imports `elsewhere`"]
    );
    for text in [
        "use crate::case::Case;",
        "use crate::{case, image::layout};",
        "use super::tree;",
        "/// See [`crate::tree`].",
        "// as crate::tree does",
        "use other_crate::tree;",
    ] {
        assert_eq!(seen(text), [""; 0], "{text}");
    }
    assert_eq!(
        module_order("//! x\npub mod a;\n#[cfg(x)]\nmod b;\nuse c::d;\n"),
        ["a", "b"]
    );
}

#[test]
fn trees_never_see_tar_bytes_and_reports_never_see_runners() {
    hold(sources("harness/src/tree"), |_, text| {
        mentions(
            text,
            &[
                "read_entries",
                "read_layout",
                "tar::",
                "flate2",
                "ruzstd",
                "zstd::",
            ],
        )
    });
    hold(sources("harness/src/report"), |_, text| {
        mentions(text, &["crate::runner"])
    });
    hold(sources("harness/src/case"), |_, text| {
        mentions(text, &["std::env", "SystemTime"])
    });
    hold(sources("harness/src/image"), |_, text| {
        mentions(text, &["std::env", "SystemTime"])
    });
    hold(sources("harness/src/tree"), |_, text| {
        mentions(text, &["std::env", "SystemTime"])
    });
}

#[test]
fn the_native_extractor_and_its_judge_share_nothing() {
    hold(sources("runners/native"), |_, text| {
        mentions(text, &["harness::"])
    });
    let manifest = read("runners/native/Cargo.toml");
    assert_eq!(mentions(&manifest, &["harness"]), [""; 0]);
    let users: Vec<PathBuf> = sources("harness/src")
        .into_iter()
        .filter(|(_, text)| !mentions(text, &["native::"]).is_empty())
        .map(|(path, _)| path)
        .collect();
    // One runs it, the other feeds it nonsense; neither judges by what it says.
    let commands = ["convert.rs", "soak/mod.rs"];
    let commands = commands.map(|name| Path::new("harness/src/command").join(name));
    assert_eq!(users, commands);
}

#[test]
fn the_faults_share_nothing_and_write_nothing() {
    hold(sources("runners/faults"), |_, text| {
        mentions(text, &["harness::", "native::"])
    });
    let manifest = read("runners/faults/Cargo.toml");
    assert_eq!(mentions(&manifest, &["harness", "native"]), [""; 0]);
    // An escape is told, never done: only the program writes, and only the file it is told to.
    const WRITES: [&str; 10] = [
        "fs::write",
        "File::create",
        "create_dir",
        "OpenOptions",
        "remove_file",
        "remove_dir",
        "rename",
        "set_permissions",
        "std::os",
        "std::process",
    ];
    hold(sources("runners/faults/src"), |path, text| {
        match path.ends_with("main.rs") {
            true => Vec::new(),
            false => mentions(text, &WRITES),
        }
    });
    let program = read("runners/faults/src/main.rs");
    assert_eq!(mentions(&program, &["std::fs::"]).len(), 1);
    for (path, text) in sources("harness/src") {
        assert_eq!(
            mentions(&text, &["faults::"]),
            [""; 0],
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_word_in_code_is_seen_and_one_in_a_comment_is_not() {
    let seen = |text| mentions(text, &["native::"]);
    assert_eq!(
        seen("fn f() {\n    native::convert()\n}"),
        ["line 2: `native::`"]
    );
    assert_eq!(seen("use alternative::x;"), [""; 0]);
    assert_eq!(seen("// native:: is not used"), [""; 0]);
}

#[test]
fn files_and_functions_fit() {
    hold(sources("."), |path, text| {
        // Tests are tables and scripts: as many as there is to test.
        let is_test = path.iter().any(|folder| folder == "tests");
        let lines_max = if is_test { usize::MAX } else { FILE_LINES_MAX };
        too_long(text, lines_max, FUNCTION_LINES_MAX)
    });
    let readme = checkout().join("README.md");
    if readme.exists() {
        let lines = fs::read_to_string(readme).unwrap().lines().count();
        assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
    }
}

#[test]
fn what_is_too_long_is_seen() {
    let text = "mod a {\n    pub(crate) fn f() {\n        x();\n        y();\n    }\n}\n";
    assert_eq!(too_long(text, 6, 4), [""; 0]);
    assert_eq!(too_long(text, 5, 4), ["6 lines, of at most 5"]);
    assert_eq!(
        too_long(text, 6, 3),
        ["line 2: `f` has 4 lines, of at most 3"]
    );
    let header = "fn f<T>(\n    a: A,\n) -> R\nwhere\n    T: X,\n{\n    a\n}\n";
    assert_eq!(
        too_long(header, 9, 7),
        ["line 1: `f` has 8 lines, of at most 7"]
    );
}

#[test]
fn nothing_is_left_undone_or_silenced() {
    // Put together here, so that this file does not contain what it looks for.
    let words = [
        concat!("#[", "ignore"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("allow", "("),
        concat!("should", "_panic"),
    ];
    hold(sources("."), |_, text| mentions(text, &words));
    for word in words {
        assert_eq!(mentions(&format!("    {word}"), &words).len(), 1, "{word}");
    }
}

#[test]
fn no_text_has_tabs_or_trailing_blanks_or_an_unfinished_line() {
    hold(texts(), |path, text| match path.extension() {
        // A snapshot is what a program printed; Go's formatter writes tabs.
        Some(ending) if ending == "snap" || ending == "go" => Vec::new(),
        _ => untidy_blanks(text),
    });
    assert_eq!(untidy_blanks("a\n  b\n"), [""; 0]);
    assert_eq!(untidy_blanks(""), [""; 0]);
    assert_eq!(
        untidy_blanks("a \nb\tc\nd"),
        [
            "line 1: a blank at its end",
            "line 2: a tab",
            "the last line has no end",
        ]
    );
    assert_eq!(untidy_blanks("a\r\n"), ["line 1: a blank at its end"]);
    assert_eq!(untidy_blanks("a\n\n"), ["a blank line at the end"]);
}

#[test]
fn no_text_names_a_registry() {
    // Put together here, so that this file does not contain what it looks for.
    let hosts = [
        concat!("crates", ".io"),
        concat!("deb.debian", ".org"),
        concat!("snapshot.debian", ".org"),
        concat!("archive.ubuntu", ".com"),
        concat!("registry.", "npmjs"),
        concat!("pypi", ".org"),
        concat!("proxy.golang", ".org"),
    ];
    hold(texts(), |path, text| {
        // Lock files are cargo's; a file name in an image is nothing anybody connects to.
        match path.ends_with("Cargo.lock") || path.starts_with("corpus") {
            true => Vec::new(),
            false => contains(text, &hosts),
        }
    });
    for host in hosts {
        assert_eq!(
            contains(&format!("a\nhttps://{host}/b\n"), &hosts).len(),
            1,
            "{host}"
        );
    }
}

#[test]
fn the_top_level_is_the_architecture() {
    let names = names_in(checkout());
    assert_eq!(strangers(&names), BTreeSet::new());
    for name in ["harness", "corpus", "golden", "runners", "ci", "Cargo.toml"] {
        assert!(names.contains(name), "{name} is missing");
    }
    let names = ["corpus", ".github", "LICENSE-MIT", "notes.md", "src"].map(str::to_owned);
    assert_eq!(
        strangers(&names.into()),
        ["notes.md", "src"].map(str::to_owned).into()
    );
}

#[test]
fn goldens_and_pinned_digests_are_what_the_model_makes() {
    // What this sees is shown in `cli`.
    let mut command = std::process::Command::new(HARNESS);
    command.args(["bless", "--all", "--check"]);
    Said::of(command).is(0).prints(" 0 files changed");
}

#[test]
fn every_case_is_well_formed() {
    let mut corpus = Corpus::read(&checkout().join("corpus")).unwrap();
    corpus.add_families(|_| true).unwrap();
    let complaints: Vec<String> = corpus.cases.iter().flat_map(case_complaints).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    let ids: BTreeSet<&str> = corpus.cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), corpus.cases.len(), "an id stands twice");
    let titles: BTreeMap<&str, &str> = corpus
        .cases
        .iter()
        .map(|case| (case.title.as_str(), case.id.as_str()))
        .collect();
    for case in &corpus.cases {
        let other = titles[case.title.as_str()];
        assert_eq!(other, case.id, "two cases with the title `{}`", case.title);
    }
}

#[test]
fn a_case_that_is_not_well_formed_is_seen() {
    let project = Project::with_cases(&[("name/plain", crate::project::PLAIN)]);
    let case = Corpus::read(&project.path("corpus"))
        .unwrap()
        .cases
        .remove(0);
    let seen = |change: &dyn Fn(&mut Case)| {
        let mut case = case.clone();
        change(&mut case);
        case_complaints(&case)
    };
    assert_eq!(seen(&|_| {}), [""; 0]);
    let titled = |title: &'static str| seen(&|case| title.clone_into(&mut case.title));
    assert_eq!(titled("GNU names are as they are"), [""; 0]);
    assert_eq!(titled("`..` is an error"), [""; 0]);
    assert_eq!(
        titled("A file is there"),
        ["name/plain: the title starts upper-case"]
    );
    assert_eq!(
        titled("a file is there."),
        ["name/plain: the title ends with a full stop"]
    );
    assert_eq!(
        titled("a file. A dir"),
        ["name/plain: the title is several sentences"]
    );
    assert_eq!(
        titled("a\nfile"),
        ["name/plain: the title is several lines"]
    );
    assert_eq!(
        seen(&|case| case.quote.clear()),
        ["name/plain: a must without a quote"]
    );
    assert_eq!(
        seen(&|case| case.spec.clear()),
        ["name/plain: no deciding place"]
    );
    for id in [
        "name/-plain",
        "name/a--b",
        "name",
        "nam/plain",
        "name/a/b",
        "name/plain-",
    ] {
        let complaints = seen(&|case| id.clone_into(&mut case.id));
        assert_eq!(complaints.len(), 1, "{id}: {complaints:?}");
    }
}

/// Applies a rule to files and fails with every complaint, by path.
#[track_caller]
fn hold(files: Vec<(PathBuf, String)>, rule: impl Fn(&Path, &str) -> Vec<String>) {
    assert!(
        !files.is_empty(),
        "a rule that looks at nothing holds nothing"
    );
    let mut complaints = Vec::new();
    for (path, text) in &files {
        for complaint in rule(path, text) {
            complaints.push(format!("{}: {complaint}", path.display()));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn read(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap()
}

/// The Rust sources below a folder of the checkout, by path relative to it.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let below = |path: &Path| folder == "." || path.starts_with(folder);
    texts()
        .into_iter()
        .filter(|(path, _)| path.extension().is_some_and(|ending| ending == "rs") && below(path))
        .collect()
}

/// Every text of the checkout, by path relative to it; assets in binary are none.
fn texts() -> Vec<(PathBuf, String)> {
    let walk = walkdir::WalkDir::new(checkout())
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.file_name() != "target" && entry.file_name() != ".git");
    let mut texts = Vec::new();
    for entry in walk {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        if let Ok(text) = String::from_utf8(fs::read(entry.path()).unwrap()) {
            let path = entry.path().strip_prefix(checkout()).unwrap();
            texts.push((path.to_owned(), text));
        }
    }
    texts
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
