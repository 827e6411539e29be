//! Why a program of the image cannot be executed, said about the one thing that is broken.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// As many symbolic links as the kernel follows.
const LINKS_MAX: usize = 40;

/// One sentence on why executing `program` failed with `error`.
pub fn explain_exec(program: &str, error: &io::Error) -> String {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let name = errno.map_or_else(|| error.to_string(), |errno| format!("{errno:?}"));
    match explain(program.as_bytes()) {
        Err(why) => format!("exec {program}: {name}: {why}"),
        Ok(()) => format!("exec {program}: {name}"),
    }
}

/// What is wrong with the program at `path`, if anything can be seen.
fn explain(path: &[u8]) -> Result<(), String> {
    let mut path = path.to_vec();
    // An interpreter may need an interpreter; the kernel follows five.
    for _ in 0..5 {
        let (real, metadata) = resolve(&path)?;
        let Some(next) = examine(&real, &metadata)? else {
            return Ok(());
        };
        path = next;
    }
    Ok(())
}

/// Follows a path component by component, as the kernel does below the current root.
fn resolve(path: &[u8]) -> Result<(PathBuf, Metadata), String> {
    let mut todo: VecDeque<(Vec<u8>, Option<String>)> =
        components(path).map(|part| (part, None)).collect();
    let mut real = PathBuf::from("/");
    let mut links = 0;
    while let Some((part, link)) = todo.pop_front() {
        if part == b".." {
            real.pop();
            continue;
        }
        let here = real.join(std::ffi::OsStr::from_bytes(&part));
        let shown = here.display();
        let metadata = fs::symlink_metadata(&here).map_err(|error| {
            let what = match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT) => "does not exist".to_owned(),
                errno => format!("cannot be looked up ({errno:?})"),
            };
            match link {
                Some(link) => format!("{link}: {shown} {what}"),
                None => format!("{shown} {what}"),
            }
        })?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINKS_MAX {
                return Err(format!(
                    "{shown} is one of over {LINKS_MAX} symlinks in a row"
                ));
            }
            let target = fs::read_link(&here).map_err(|error| format!("{shown}: {error}"))?;
            let said = format!("{shown} is a dangling symlink to {}", target.display());
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            for part in components(target.as_os_str().as_bytes()).rev() {
                todo.push_front((part, Some(said.clone())));
            }
        } else if !todo.is_empty() && !metadata.is_dir() {
            return Err(format!("{shown} is {}, not a directory", kind(&metadata)));
        } else {
            real = here;
        }
    }
    match fs::symlink_metadata(&real) {
        Ok(metadata) => Ok((real, metadata)),
        Err(error) => Err(format!("{}: {error}", real.display())),
    }
}

/// Looks at a program that exists; the path of its interpreter, if it has one.
fn examine(path: &Path, metadata: &Metadata) -> Result<Option<Vec<u8>>, String> {
    let shown = path.display();
    if !metadata.is_file() {
        return Err(format!("{shown} is {}", kind(metadata)));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o111 == 0 {
        return Err(format!("{shown} is not executable (mode {mode:04o})"));
    }
    if metadata.len() == 0 {
        return Err(format!("{shown} is empty"));
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(64 << 10).read_to_end(&mut head))
        .map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if let Some(rest) = head.strip_prefix(b"#!") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        return Ok(line
            .trim_ascii()
            .split(|byte| *byte == b' ')
            .next()
            .map(<[u8]>::to_vec));
    }
    if !head.starts_with(b"\x7fELF") {
        return Err(format!("{shown} is neither an ELF program nor a script"));
    }
    match number(&head, 18, 2) {
        Some(62 | 3) => Ok(elf_interpreter(&head)),
        machine => {
            let machine = machine.unwrap_or_default();
            Err(format!(
                "{shown} is a program for another machine (ELF machine {machine})"
            ))
        }
    }
}

/// The `PT_INTERP` of a 64-bit program.
fn elf_interpreter(head: &[u8]) -> Option<Vec<u8>> {
    let (table, size, count) = (
        number(head, 32, 8)?,
        number(head, 54, 2)?,
        number(head, 56, 2)?,
    );
    let at = (0..count)
        .map(|index| table.saturating_add(index * size))
        .find(|at| number(head, *at, 4) == Some(3))?;
    let (offset, length) = (number(head, at + 8, 8)?, number(head, at + 32, 8)?);
    let end = usize::try_from(offset.checked_add(length)?).ok()?;
    let interpreter = head.get(usize::try_from(offset).ok()?..end)?;
    Some(interpreter.split(|byte| *byte == 0).next()?.to_vec())
}

/// A little-endian number of the file's head.
fn number(head: &[u8], at: u64, length: usize) -> Option<u64> {
    let at = usize::try_from(at).ok()?;
    let bytes = head.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(<[u8]>::to_vec)
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a regular file"
    } else if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}
