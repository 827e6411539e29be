//! A file that is written into a writable root, and read again when nothing of it can be in memory.
//!
//! The image's own shell is asked first, and may leave anything in the file's place: so nothing is
//! followed, and only a regular file is opened.

use std::ffi::OsStr;
use std::fs::{File, remove_file};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags};

use crate::wire::Written;

/// More than any content of ours has.
const BYTES_MAX: u64 = 4096;

/// The command that has a shell write the file.
pub fn command(mark: &[u8]) -> Vec<u8> {
    let path = path("/", mark);
    [b"echo ", mark, b" > ", path.as_os_str().as_bytes()].concat()
}

/// Where the shell has not written the file, writes it; then has the kernel write all to the disk.
pub fn complete(mark: &[u8]) -> Written {
    let by_shell = read("/", mark).is_ok_and(|bytes| bytes == content(mark));
    let written = match by_shell {
        true => Ok(()),
        false => write(mark),
    };
    rustix::fs::sync();
    Written {
        by_shell,
        read: written
            .map(|()| Vec::new())
            .map_err(|error| format!("it cannot be written: {error}")),
    }
}

/// Reads the file below a directory.
pub fn read(root: &str, mark: &[u8]) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path(root, mark), flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::from(file).take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(mark: &[u8]) -> io::Result<()> {
    let path = path("/", mark);
    match remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&path)?;
    file.write_all(&content(mark))?;
    file.sync_all()
}

fn path(root: &str, mark: &[u8]) -> PathBuf {
    let name = [b"written-", mark].concat();
    PathBuf::from(root).join(OsStr::from_bytes(&name))
}

fn content(mark: &[u8]) -> Vec<u8> {
    [mark, b"\n"].concat()
}
