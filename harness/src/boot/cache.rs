//! Files that are made once and used by many runs, at the same time if it comes to that.
//!
//! An entry is a directory that appears under its final name only when it is complete, with a file
//! of checksums over all others. Whoever uses an entry holds a shared lock on it; it is made, made
//! again and thrown away only under the exclusive one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use rustix::fs::{FlockOperation, SeekFrom, flock, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::error::Error;

/// How long another run may take to make an entry.
const LOCK_TIME_LIMIT: Duration = Duration::from_secs(300);

/// How many entries of one kind are kept: old ones are those of kernels and builds of yesterday.
const ENTRIES_KEPT: usize = 4;

const SUMS: &str = "sums";

/// An entry in use.
#[derive(Debug)]
pub(super) struct Entry {
    directory: PathBuf,
    /// What a person may want to know of how it came to be, if it was there but not good.
    pub(super) note: Option<String>,
    /// Keeps the shared lock.
    _lock: File,
}

impl Entry {
    /// The path of one of its files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Has the next one who wants this entry make it again. Whoever uses it now is not disturbed.
    pub(super) fn condemn(&self) {
        // Nothing to do about it if that fails; the next one will find out for itself.
        let _ = std::fs::write(self.directory.join(SUMS), "condemned\n");
    }
}

/// The name of an entry: its kind, and a digest of all that it depends on.
pub(super) struct Key {
    kind: &'static str,
    digest: Sha256,
}

impl Key {
    /// A key that depends on nothing yet.
    pub(super) fn new(kind: &'static str) -> Key {
        Key {
            kind,
            digest: Sha256::new(),
        }
    }

    /// Adds something that the entry depends on.
    pub(super) fn with(mut self, bytes: &[u8]) -> Key {
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
        self
    }

    /// The digest of all that was added.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    fn name(&self) -> String {
        let digest = HEXLOWER.encode(&self.digest());
        format!("{}-{}", self.kind, &digest[..32])
    }
}

/// The entry of this key in `cache`: the one that is there if its checksums hold, else one that
/// `make` fills a new directory for.
///
/// # Errors
///
/// What `make` says; a cache that cannot be written to; another run that holds the lock too long.
pub(super) fn entry<E: From<Error>>(
    cache: &Path,
    key: &Key,
    make: impl Fn(&Path) -> Result<(), E>,
) -> Result<Entry, E> {
    fs_err::create_dir_all(cache).map_err(Error::io("make the cache"))?;
    let name = key.name();
    let directory = cache.join(&name);
    let mut note = None;
    loop {
        // A whole entry is shared at once: its users hold it for as long as they run.
        let path = cache.join(format!("{name}.lock"));
        let shared = lock(&path, FlockOperation::NonBlockingLockShared)?;
        if verify(&directory).is_ok() {
            return Ok(Entry {
                directory,
                note,
                _lock: shared,
            });
        }
        drop(shared);
        let lock = lock(&path, FlockOperation::NonBlockingLockExclusive)?;
        let state = match directory.exists() {
            true => verify(&directory),
            false => Err("it is not there".to_owned()),
        };
        if let Err(why) = state {
            if directory.exists() {
                note = Some(format!("{} was made again: {why}", directory.display()));
                fs_err::remove_dir_all(&directory).map_err(Error::io("clear the cache"))?;
            }
            make_entry(cache, &directory, &make)?;
            evict(cache, key.kind, &name);
        }
        // Becoming a shared lock may let somebody else in between.
        flock(&lock, FlockOperation::LockShared)
            .map_err(|errno| Error::io("lock the cache")(errno.into()))?;
        if directory.join(SUMS).exists() {
            return Ok(Entry {
                directory,
                note,
                _lock: lock,
            });
        }
    }
}

fn make_entry<E: From<Error>>(
    cache: &Path,
    directory: &Path,
    make: &impl Fn(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = tempfile::Builder::new()
        .prefix("unfinished-")
        .tempdir_in(cache)
        .map_err(Error::io(format!("write to the cache {}", cache.display())))?;
    make(unfinished.path())?;
    let sums = sums(unfinished.path()).map_err(Error::io("read back what was cached"))?;
    fs_err::write(unfinished.path().join(SUMS), sums).map_err(Error::io("write to the cache"))?;
    let unfinished = unfinished.keep();
    fs_err::rename(unfinished, directory).map_err(Error::io("complete the cache"))?;
    Ok(())
}

/// Removes what earlier runs left, the oldest first, if nobody uses it. What cannot be removed now
/// is removed by a later run.
fn evict(cache: &Path, kind: &str, but: &str) {
    let mut old: Vec<_> = cache
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let metadata = entry.metadata().ok()?;
            let is_old = metadata.is_dir()
                && name != but
                && name
                    .strip_prefix(kind)
                    .is_some_and(|rest| rest.starts_with('-'));
            is_old.then_some((metadata.modified().ok()?, name))
        })
        .collect();
    old.sort();
    old.reverse();
    for (_, name) in old.iter().skip(ENTRIES_KEPT - 1) {
        let path = cache.join(format!("{name}.lock"));
        let Ok(lock) = File::open(&path) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_dir_all(cache.join(name));
        }
    }
}

fn lock(path: &Path, how: FlockOperation) -> Result<File, Error> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Error::io("lock the cache"))?
        .into_parts()
        .0;
    let deadline = Instant::now() + LOCK_TIME_LIMIT;
    loop {
        match flock(&file, how) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(errno) => {
                let operation = format!("lock {}, which another run may hold", path.display());
                return Err(Error::io(operation)(errno.into()));
            }
        }
    }
}

fn verify(directory: &Path) -> Result<(), String> {
    let written = std::fs::read_to_string(directory.join(SUMS))
        .map_err(|error| format!("its checksums cannot be read: {error}"))?;
    match sums(directory) {
        Ok(sums) if sums == written => Ok(()),
        Ok(_) => Err("its checksums do not match".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// One line per file, by name: digest, length and name.
fn sums(directory: &Path) -> io::Result<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != SUMS {
            names.push(name);
        }
    }
    names.sort();
    let mut sums = String::new();
    for name in names {
        let file = fs_err::File::open(directory.join(&name))?.into_parts().0;
        let (digest, length) = (digest(&file)?, file.metadata()?.len());
        sums.push_str(&format!("{digest} {length} {name}\n"));
    }
    Ok(sums)
}

/// The SHA-256 of the pages that are not all zero, each after its number: a guest's memory is mostly
/// holes, which need not be read to be known. What is equal and as long has equal bytes.
///
/// # Errors
///
/// Of reading the file.
pub fn digest(mut file: &File) -> io::Result<String> {
    const PAGE: usize = 4096;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * PAGE];
    let mut at = 0;
    while let Some(data) = next_data(file, at)? {
        // Data begins where the filesystem says, a page where we say.
        at = data - data % PAGE as u64;
        seek(file, SeekFrom::Start(at))?;
        let mut count = 0;
        while count < buffer.len() {
            match file.read(&mut buffer[count..])? {
                0 => break,
                more => count += more,
            }
        }
        for page in buffer[..count].chunks(PAGE) {
            if page.iter().any(|byte| *byte != 0) {
                digest.update(at.to_le_bytes());
                digest.update(page);
            }
            at += PAGE as u64;
        }
    }
    Ok(HEXLOWER.encode(&digest.finalize()))
}

/// Where the next bytes are that may not be zero.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{ENTRIES_KEPT, Entry, Key, entry};
    use crate::boot::Error;

    fn get(cache: &Path, content: &[u8], makes: &AtomicUsize) -> Entry {
        let key = Key::new("test").with(content);
        let made = entry::<Error>(cache, &key, |directory| {
            makes.fetch_add(1, Ordering::SeqCst);
            std::fs::write(directory.join("file"), content).map_err(Error::io("write"))
        });
        made.unwrap()
    }

    #[test]
    fn an_entry_is_made_once() {
        let cache = tempfile::tempdir().unwrap();
        let makes = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let entry = get(cache.path(), b"x", &makes);
                    assert_eq!(std::fs::read(entry.file("file")).unwrap(), b"x");
                    assert_eq!(entry.note, None);
                });
            }
        });
        assert_eq!(makes.load(Ordering::SeqCst), 1);
        get(cache.path(), b"y", &makes);
        assert_eq!(makes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_entry_in_use_is_shared_at_once() {
        let cache = tempfile::tempdir().unwrap();
        let makes = AtomicUsize::new(0);
        let first = get(cache.path(), b"x", &makes);
        let second = get(cache.path(), b"x", &makes);
        assert_eq!(first.file("file"), second.file("file"));
        assert_eq!(makes.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_changed_entry_is_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let makes = AtomicUsize::new(0);
        let file = get(cache.path(), b"xyz", &makes).file("file");
        type Damage = fn(&Path);
        let damages: [Damage; 4] = [
            |file| std::fs::write(file, b"xyZ").unwrap(),
            |file| std::fs::write(file, b"xyz\0").unwrap(),
            |file| std::fs::remove_file(file).unwrap(),
            |file| std::fs::write(file.with_file_name("more"), b"").unwrap(),
        ];
        for (index, damage) in damages.iter().enumerate() {
            damage(&file);
            let entry = get(cache.path(), b"xyz", &makes);
            assert!(
                entry
                    .note
                    .is_some_and(|note| note.contains("was made again"))
            );
            assert_eq!(makes.load(Ordering::SeqCst), index + 2);
            assert_eq!(std::fs::read(&file).unwrap(), b"xyz");
        }
    }

    #[test]
    fn a_condemned_entry_is_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let makes = AtomicUsize::new(0);
        get(cache.path(), b"x", &makes).condemn();
        get(cache.path(), b"x", &makes);
        assert_eq!(makes.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let failed = entry::<Error>(cache.path(), &Key::new("test"), |directory| {
            std::fs::write(directory.join("file"), b"x").map_err(Error::io("write"))?;
            Err(Error::guest("no"))
        });
        assert_eq!(
            failed.unwrap_err().to_string(),
            "the guest did not start: no"
        );
        let left: Vec<_> = cache
            .path()
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }

    #[test]
    fn old_entries_are_removed_if_nobody_uses_them() {
        let cache = tempfile::tempdir().unwrap();
        let makes = AtomicUsize::new(0);
        let used = get(cache.path(), &[0], &makes);
        for index in 1..10 {
            get(cache.path(), &[index], &makes);
        }
        let directories = cache
            .path()
            .read_dir()
            .unwrap()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
        assert_eq!(directories.count(), ENTRIES_KEPT + 1);
        assert!(used.file("file").exists());
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failed = entry::<Error>(file.path(), &Key::new("test"), |_| Ok(()));
        assert!(
            failed
                .unwrap_err()
                .to_string()
                .starts_with("make the cache: ")
        );
    }

    #[test]
    fn keys_differ_where_their_parts_do() {
        let name = |parts: &[&[u8]]| {
            parts
                .iter()
                .fold(Key::new("test"), |key, part| key.with(part))
                .name()
        };
        assert_ne!(name(&[b"ab", b"c"]), name(&[b"a", b"bc"]));
        assert_ne!(name(&[b"", b"a"]), name(&[b"a", b""]));
    }
}
