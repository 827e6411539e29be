//! One line per path, in the project's canonical mtree(5) form.

use data_encoding::BASE64;
use rustix::fs::{FileType, Statx};

use crate::wire::DIGEST_OF;

/// What the walk knows about one path.
pub struct Entry<'a> {
    /// The path below the root; empty for the root itself.
    pub path: &'a [u8],
    /// The kernel's own answer for it.
    pub stat: &'a Statx,
    /// The target of a symbolic link, where it could be read.
    pub target: Option<&'a [u8]>,
    /// The number of a regular file's content, where all of it could be read.
    pub content: Option<u64>,
}

impl Entry<'_> {
    /// Appends the entry's line. Keywords in fixed order: type uid gid mode nlink size time link
    /// device sha256, each only for the types that the format gives it to.
    pub fn line(&self, out: &mut Vec<u8>) {
        let stat = self.stat;
        let kind = FileType::from_raw_mode(u32::from(stat.stx_mode));
        path(self.path, out);
        let word = word(kind);
        let (uid, gid, mode) = (stat.stx_uid, stat.stx_gid, stat.stx_mode & 0o7777);
        text(
            out,
            &format!(" type={word} uid={uid} gid={gid} mode={mode:04o}"),
        );
        if kind == FileType::RegularFile {
            text(
                out,
                &format!(" nlink={} size={}", stat.stx_nlink, stat.stx_size),
            );
        }
        match stat.stx_mtime.tv_nsec {
            0 => text(out, &format!(" time={}.0", stat.stx_mtime.tv_sec)),
            nanos => text(out, &format!(" time={}.{nanos:09}", stat.stx_mtime.tv_sec)),
        }
        if let Some(target) = self.target {
            text(out, " link=");
            escape(target, out);
        }
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            let (major, minor) = (stat.stx_rdev_major, stat.stx_rdev_minor);
            text(out, &format!(" device=native,{major},{minor}"));
        }
        if let Some(number) = self.content {
            text(out, &format!("{DIGEST_OF}{number}"));
        }
        out.push(b'\n');
    }
}

/// Appends the `#@ xattr` line of one attribute.
pub fn xattr(of: &[u8], name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    text(out, "#@ xattr ");
    path(of, out);
    out.push(b' ');
    escape(name, out);
    out.push(b' ');
    text(out, &BASE64.encode(value));
    out.push(b'\n');
}

/// Appends the `#@ hardlink` line of one inode.
pub fn hardlink(paths: &[Vec<u8>], out: &mut Vec<u8>) {
    text(out, "#@ hardlink");
    for of in paths {
        out.push(b' ');
        path(of, out);
    }
    out.push(b'\n');
}

fn path(below_root: &[u8], out: &mut Vec<u8>) {
    out.push(b'.');
    if !below_root.is_empty() {
        out.push(b'/');
        escape(below_root, out);
    }
}

/// The bytes that would end a word, begin a comment or be a glob are written as `\ooo`.
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            0..=b' ' | 0x7f.. | b'\\' | b'#' | b'*' | b'?' | b'[' => {
                text(out, &format!("\\{byte:03o}"));
            }
            _ => out.push(byte),
        }
    }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "link",
        FileType::CharacterDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::Unknown => "unknown",
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
}
