//! Trees as mtree(5) text: one canonical, flat dialect.
//!
//! Only keywords that BSD mtree, libarchive and go-mtree all read; hard-link groups and extended
//! attributes stand in `#@` comment lines, which every one of them skips. Print ∘ parse is the identity.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bstr::BString;

use super::{Device, Inode, InodeKind, Time, Tree};
use crate::case::escape::{escape, unescape};

/// The first line of every file.
const SIGNATURE: &str = "#mtree v2.0";

/// The text of a tree: the signature, one line for each path in bytewise order, then the hard-link
/// groups, then the extended attributes. `comments` go below the signature, one line each.
pub fn print(tree: &Tree, comments: &[&str]) -> String {
    let mut text = format!("{SIGNATURE}\n");
    for comment in comments {
        line(&mut text, format_args!("# {comment}"));
    }
    let groups = tree.groups();
    let nlink: BTreeMap<_, _> = groups
        .values()
        .flat_map(|names| names.iter().map(|name| (*name, names.len())))
        .collect();
    for (path, _, inode) in tree.iter() {
        line(
            &mut text,
            format_args!("{}{}", name(path), keywords(inode, nlink[path])),
        );
    }
    for names in groups.values().filter(|names| names.len() > 1) {
        let words: Vec<String> = names.iter().map(|path| name(path)).collect();
        line(&mut text, format_args!("#@ hardlink {}", words.join(" ")));
    }
    for (first, names) in &groups {
        let inode = tree.get(names[0]).expect("a group has an inode");
        for (key, value) in &inode.xattrs {
            let value = data_encoding::BASE64.encode(value);
            let value = if value.is_empty() { "-" } else { &value };
            line(
                &mut text,
                format_args!("#@ xattr {} {} {value}", name(first), escape(key)),
            );
        }
    }
    text
}

/// A text that is not in the dialect of [`print`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct MtreeError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Reads what [`print`] printed.
///
/// # Errors
///
/// The first line that is not in the dialect.
pub fn parse(text: &str) -> Result<Tree, MtreeError> {
    let mut tree = Tree::new();
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    if lines.next().is_none_or(|(_, first)| first != SIGNATURE) {
        return Err(MtreeError {
            line: 1,
            what: format!("the first line must be `{SIGNATURE}`"),
        });
    }
    for (number, line) in lines {
        let result = match line.strip_prefix("#@ ") {
            Some(comment) => parse_comment(&mut tree, comment),
            None if line.starts_with('#') => Ok(()),
            None => parse_line(&mut tree, line),
        };
        result.map_err(|what| MtreeError { line: number, what })?;
    }
    Ok(tree)
}

/// A time as mtree(5) has it: seconds, a dot, nanoseconds (nine digits, or one for none).
pub(super) fn time(time: Time) -> String {
    match time.nanos {
        0 => format!("{}.0", time.seconds),
        nanos => format!("{}.{nanos:09}", time.seconds),
    }
}

/// The path as it stands in the text: `.` for the root, `./a/b` for all else.
pub fn name(path: &[u8]) -> String {
    if path.is_empty() {
        ".".to_owned()
    } else {
        format!("./{}", escape(path))
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("writing to a string cannot fail");
}

fn keywords(inode: &Inode, nlink: usize) -> String {
    let mut words = format!(" type={}", inode.kind.word());
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push_str(&format!(" {key}={value}"));
        }
    };
    add("uid", inode.uid.map(|uid| uid.to_string()));
    add("gid", inode.gid.map(|gid| gid.to_string()));
    add("mode", inode.mode.map(|mode| format!("{mode:04o}")));
    if let InodeKind::File { size, .. } = inode.kind {
        add("nlink", Some(nlink.to_string()));
        add("size", Some(size.to_string()));
    }
    add("time", inode.mtime.map(time));
    match &inode.kind {
        InodeKind::File { sha256, .. } => {
            add("sha256", Some(data_encoding::HEXLOWER.encode(sha256)));
        }
        InodeKind::Symlink(target) => add("link", Some(escape(target))),
        InodeKind::Char(device) | InodeKind::Block(device) => {
            add(
                "device",
                Some(format!("native,{},{}", device.major, device.minor)),
            );
        }
        _ => {}
    }
    words
}

fn parse_line(tree: &mut Tree, line: &str) -> Result<(), String> {
    let mut words = line.split(' ');
    let path = parse_name(words.next().unwrap_or_default())?;
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or(format!("`{word}` is no keyword=value"))?;
        if values.insert(key, value).is_some() {
            return Err(format!("`{key}` stands twice"));
        }
    }
    let inode = parse_inode(&mut values)?;
    values.remove("nlink");
    if let Some(key) = values.keys().next() {
        return Err(format!(
            "`{key}` is no keyword of this dialect for this type"
        ));
    }
    if tree.id(&path).is_some() {
        return Err(format!("`{}` stands twice", name(&path)));
    }
    tree.insert(path, inode);
    Ok(())
}

fn parse_inode(values: &mut BTreeMap<&str, &str>) -> Result<Inode, String> {
    let kind = match take(values, "type")? {
        "file" => InodeKind::File {
            size: number(take(values, "size")?)?,
            sha256: data_encoding::HEXLOWER
                .decode(take(values, "sha256")?.as_bytes())
                .ok()
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or("sha256 is not 64 hex digits")?,
        },
        "dir" => InodeKind::Dir,
        "link" => InodeKind::Symlink(bytes(take(values, "link")?)?),
        "char" => InodeKind::Char(parse_device(take(values, "device")?)?),
        "block" => InodeKind::Block(parse_device(take(values, "device")?)?),
        "fifo" => InodeKind::Fifo,
        "socket" => InodeKind::Socket,
        other => return Err(format!("`{other}` is no type")),
    };
    let mut optional = |key| values.remove(key);
    Ok(Inode {
        kind,
        uid: optional("uid").map(number).transpose()?,
        gid: optional("gid").map(number).transpose()?,
        mode: optional("mode")
            .map(|mode| u32::from_str_radix(mode, 8).map_err(|_| format!("`{mode}` is not octal")))
            .transpose()?,
        mtime: optional("time").map(parse_time).transpose()?,
        xattrs: BTreeMap::new(),
    })
}

fn parse_comment(tree: &mut Tree, comment: &str) -> Result<(), String> {
    let words: Vec<&str> = comment.split(' ').collect();
    match words.as_slice() {
        ["hardlink", first, rest @ ..] if !rest.is_empty() => {
            let first = parse_name(first)?;
            let id = tree
                .id(&first)
                .ok_or("a hard link of a path that is not listed")?;
            for path in rest {
                let path = parse_name(path)?;
                let same = tree
                    .get(&path)
                    .is_some_and(|inode| Some(inode) == tree.get(&first));
                if !same {
                    return Err("hard links whose lines differ or are not listed".to_owned());
                }
                tree.link(path, id);
            }
            Ok(())
        }
        ["xattr", path, key, value] => {
            let value = if *value == "-" { "" } else { value }; // `-` is the empty value
            let value = data_encoding::BASE64
                .decode(value.as_bytes())
                .map_err(|error| format!("not base64: {error}"))?;
            let inode = tree
                .get_mut(&parse_name(path)?)
                .ok_or("an extended attribute of a path that is not listed")?;
            match inode.xattrs.insert(bytes(key)?, value.into()) {
                None => Ok(()),
                Some(_) => Err("an extended attribute stands twice".to_owned()),
            }
        }
        _ => Err("`#@` begins `hardlink PATH PATH…` or `xattr PATH NAME BASE64`".to_owned()),
    }
}

fn parse_name(word: &str) -> Result<BString, String> {
    match word {
        "." => Ok(BString::default()),
        _ => bytes(
            word.strip_prefix("./")
                .ok_or(format!("`{word}` does not begin `./`"))?,
        ),
    }
}

fn bytes(word: &str) -> Result<BString, String> {
    unescape(word)
        .map(BString::from)
        .map_err(|error| error.to_string())
}

fn take<'a>(values: &mut BTreeMap<&str, &'a str>, key: &str) -> Result<&'a str, String> {
    values.remove(key).ok_or(format!("`{key}=` is missing"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no number in range"))
}

fn parse_device(text: &str) -> Result<Device, String> {
    let numbers = text
        .strip_prefix("native,")
        .and_then(|numbers| numbers.split_once(','));
    let (major, minor) = numbers.ok_or(format!("`{text}` is not native,MAJOR,MINOR"))?;
    Ok(Device {
        major: number(major)?,
        minor: number(minor)?,
    })
}

fn parse_time(text: &str) -> Result<Time, String> {
    let (seconds, nanos) = text.split_once('.').ok_or(format!("`{text}` is no time"))?;
    if nanos != "0" && nanos.len() != 9 {
        return Err(format!("`{text}`: the fraction has nine digits"));
    }
    Ok(Time {
        seconds: number(seconds)?,
        nanos: number(nanos)?,
    })
}
