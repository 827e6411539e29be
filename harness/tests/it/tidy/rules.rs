//! The rules: functions from text to complaints.

use std::collections::BTreeSet;
use std::path::Path;

use harness::case::{Case, Level};

/// The modules of a `lib.rs`, in the order they stand.
pub(super) fn module_order(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|rest| rest.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

/// The top module a source file belongs to; the crate's roots belong to none.
pub(super) fn module_of(path: &Path) -> Option<&str> {
    let below = path.strip_prefix("harness/src").ok()?;
    let first = below.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib" && name != "main").then_some(name)
}

pub(super) fn imports_from_below(order: &[String], module: &str, text: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|known| known == name);
    let own = place(module);
    let mut bad = BTreeSet::new();
    for name in crate_paths(&code(text)) {
        let above = place(&name).is_some_and(|place| Some(place) <= own);
        if !above {
            bad.insert(format!("`{module}` imports `{name}`"));
        }
    }
    bad.into_iter().collect()
}

/// The first name of every path that starts `crate::`, those of a group included.
fn crate_paths(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_members(group)),
            None => names.push(first_name(rest)),
        }
    }
    names
}

/// The first names in `a::b, c::{d, e}, f}…`, up to the brace that closes the group.
fn group_members(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> String {
    path.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// A source text without its line comments; their lines stay, so that numbers hold.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let is_comment = line.trim_start().starts_with("//");
        if is_comment { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where code mentions one of these words, not as the tail of a longer name.
pub(super) fn mentions(text: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code(text).lines().enumerate() {
        for word in words {
            let is_mentioned = line.match_indices(word).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            });
            if is_mentioned {
                found.push(format!("line {}: `{word}`", number + 1));
            }
        }
    }
    found
}

/// Where a text contains one of these words, comments included.
pub(super) fn contains(text: &str, words: &[&str]) -> Vec<String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(number, line)| format!("line {}: {line}", number + 1))
        .collect()
}

/// A file and the functions in it, measured by the layout rustfmt gives them.
pub(super) fn too_long(text: &str, file_max: usize, function_max: usize) -> Vec<String> {
    let mut bad = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > file_max {
        bad.push(format!("{} lines, of at most {file_max}", lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = lines[start..]
            .iter()
            .position(|line| *line == format!("{indent}}}"));
        let length = end.map_or(1, |end| end + 1);
        if length > function_max && !line.ends_with(['}', ';']) {
            let number = start + 1;
            bad.push(format!(
                "line {number}: `{name}` has {length} lines, of at most {function_max}"
            ));
        }
    }
    bad
}

/// The name of the function that starts on this line.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || ["const", "async", "extern", "\"C\""].contains(word)
    });
    (words.next() == Some("fn")).then_some(())?;
    let name = words.next()?;
    let end = name.find(['(', '<']).unwrap_or(name.len());
    Some(&name[..end])
}

pub(super) fn untidy_blanks(text: &str) -> Vec<String> {
    let mut bad = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            bad.push(format!("line {}: a blank at its end", number + 1));
        }
        if line.contains('\t') {
            bad.push(format!("line {}: a tab", number + 1));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        bad.push("the last line has no end".to_owned());
    }
    if text.ends_with("\n\n") {
        bad.push("a blank line at the end".to_owned());
    }
    bad
}

/// What stands at the top level and does not belong there. `target` is cargo's.
pub(super) fn strangers(names: &BTreeSet<String>) -> BTreeSet<String> {
    const KNOWN: [&str; 9] = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "harness",
        "corpus",
        "golden",
        "runners",
        "ci",
        "target",
    ];
    let strange = names.iter().filter(|name| {
        !KNOWN.contains(&name.as_str()) && !name.starts_with('.') && !name.starts_with("LICENSE")
    });
    strange.cloned().collect()
}

pub(super) fn case_complaints(case: &Case) -> Vec<String> {
    let title = case.title.as_str();
    let complaints = [
        (starts_like_a_sentence(title), "the title starts upper-case"),
        (title.ends_with('.'), "the title ends with a full stop"),
        (
            title.replace("..", "").contains(". "),
            "the title is several sentences",
        ),
        (title.contains('\n'), "the title is several lines"),
        (
            case.level == Level::Must && case.quote.trim().is_empty(),
            "a must without a quote",
        ),
        (case.spec.trim().is_empty(), "no deciding place"),
        (!is_id(&case.id), "no id: FOLDER/words-of-a-z-and-0-9"),
    ];
    complaints
        .into_iter()
        .filter(|(is_bad, _)| *is_bad)
        .map(|(_, what)| format!("{}: {what}", case.id))
        .collect()
}

/// Whether a title's first word is upper-case as a sentence's is, not as a name like `GNU` is.
fn starts_like_a_sentence(title: &str) -> bool {
    let word = title.split_whitespace().next().unwrap_or_default();
    let mut letters = word.chars();
    let upper = letters.next().is_some_and(char::is_uppercase);
    upper && !letters.any(|c| c.is_uppercase() || c.is_ascii_digit())
}

fn is_id(id: &str) -> bool {
    const FOLDERS: [&str; 13] = [
        "whiteout",
        "opaque",
        "replace",
        "symlink",
        "hardlink",
        "attribute",
        "special",
        "name",
        "tar",
        "layout",
        "hostile",
        "scale",
        "image",
    ];
    let plain = |word: &str| {
        let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        !word.is_empty() && word.bytes().all(letter)
    };
    match id.split_once('/') {
        Some((folder, name)) => FOLDERS.contains(&folder) && name.split('-').all(plain),
        None => false,
    }
}
