//! Small filesystem images, and ways to damage them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use harness::boot::{Arrangement, Job};
use harness::case::{Content, Device, Time};
use harness::check::Reason;
use harness::image::erofs::{Filesystem, Inode, Kind};
use harness::runner::Profile;
use tempfile::TempDir;

use super::machine::{LONG, not_checked};
use crate::require;

/// The corpus's shell.
pub(crate) const SHELL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/asset/sh");

/// A directory that is packed into images.
pub(crate) struct Tree {
    directory: TempDir,
}

impl Tree {
    /// A tree that boots: merged /usr, the corpus's shell, and some names that are hard to order.
    pub(crate) fn new() -> Tree {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for path in ["a", "a.d", "dev", "etc", "proc", "usr/bin"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::copy(SHELL, root.join("usr/bin/sh")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        for path in ["a!", "a0", "a/b"] {
            fs::write(root.join(path), path).unwrap();
        }
        fs::write(
            root.join("etc").join(OsStr::from_bytes(b"odd name\\\xff")),
            "odd",
        )
        .unwrap();
        let name = root.join("etc/name");
        fs::write(&name, "box\n").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o640)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options()
            .write(true)
            .open(&name)
            .unwrap()
            .set_modified(time)
            .unwrap();
        fs::hard_link(&name, root.join("etc/same")).unwrap();
        Tree { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a file of a pattern that can be found in an image; the pattern's first bytes.
    pub(crate) fn big_file(&self) -> &'static [u8] {
        let mut content = Vec::new();
        for line in 0..20_000 {
            content.extend(format!("{line:06} find me in the image\n").bytes());
        }
        fs::write(self.path().join("big"), content).unwrap();
        b"010000 find me in the image"
    }

    /// Sets an attribute; false where the host's filesystem has none.
    pub(crate) fn set_attribute(&self, path: &str, name: &str, value: &[u8]) -> bool {
        let path = self.path().join(path);
        let set = rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty());
        set.map_err(|errno| not_checked(&format!("set {name}: {errno}")))
            .is_ok()
    }

    pub(crate) fn ext4(&self) -> Option<Image> {
        self.ext4_with(&[])
    }

    pub(crate) fn ext4_with(&self, options: &[&str]) -> Option<Image> {
        self.pack("ext4", "mkfs.ext4", |image| {
            File::create(image).unwrap().set_len(16 << 20).unwrap();
            let mut arguments: Vec<PathBuf> = options.iter().map(PathBuf::from).collect();
            arguments.extend(["-q".into(), "-d".into(), self.path().into(), image.into()]);
            arguments
        })
    }

    pub(crate) fn erofs(&self, options: &[&str]) -> Option<Image> {
        self.pack("erofs", "mkfs.erofs", |image| {
            let mut arguments: Vec<PathBuf> = options.iter().map(PathBuf::from).collect();
            arguments.extend(["--quiet".into(), image.into(), self.path().into()]);
            arguments
        })
    }

    pub(crate) fn squashfs(&self) -> Option<Image> {
        self.pack("squashfs", "mksquashfs", |image| {
            vec![
                self.path().into(),
                image.into(),
                "-quiet".into(),
                "-no-progress".into(),
            ]
        })
    }

    fn pack(
        &self,
        filesystem: &'static str,
        program: &str,
        arguments: impl FnOnce(&Path) -> Vec<PathBuf>,
    ) -> Option<Image> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        // Debian keeps some of these where a user's PATH does not look.
        let search = format!(
            "{}:/usr/sbin:/sbin",
            std::env::var("PATH").unwrap_or_default()
        );
        let ran = Command::new(program)
            .args(arguments(&path))
            .env("PATH", search)
            .output();
        match ran {
            Ok(output) if output.status.success() => Some(Image::new(path, filesystem, directory)),
            Ok(output) => panic!("{program}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                let what = format!("booting {filesystem}");
                require::missing(Reason::Tool, &what, &format!("{program}: {error}"));
                None
            }
        }
    }
}

/// A filesystem image that a test may damage.
pub(crate) struct Image {
    path: PathBuf,
    pub(crate) filesystem: &'static str,
    pub(crate) transcript: PathBuf,
    /// Of the transcript, and of the image where it is the test's own.
    _directory: TempDir,
}

impl Image {
    fn new(path: PathBuf, filesystem: &'static str, directory: TempDir) -> Image {
        let transcript = directory.path().join("transcript");
        Image {
            path,
            filesystem,
            transcript,
            _directory: directory,
        }
    }

    /// A file that is not the test's own.
    pub(crate) fn at(path: &Path) -> Image {
        let directory = tempfile::tempdir().unwrap();
        Image::new(path.to_path_buf(), "ext4", directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn copy(&self) -> Image {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        fs::copy(&self.path, &path).unwrap();
        Image::new(path, self.filesystem, directory)
    }

    /// Inverts the bits of one byte.
    pub(crate) fn flip_at(&mut self, offset: u64) {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[!byte[0]], offset).unwrap();
    }

    /// Inverts the bits of the first byte of a text that is in the image.
    pub(crate) fn flip(&mut self, text: &[u8]) {
        let bytes = fs::read(&self.path).unwrap();
        let offset = bytes
            .windows(text.len())
            .position(|window| window == text)
            .unwrap();
        self.flip_at(offset as u64);
    }

    pub(crate) fn zero(&mut self, offset: u64, count: usize) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(&vec![0; count], offset).unwrap();
    }

    /// Leaves one of so many parts.
    pub(crate) fn truncate(&mut self, parts: u64) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(file.metadata().unwrap().len() / parts)
            .unwrap();
    }

    pub(crate) fn job<'a>(&'a self, commands: &'a [Vec<u8>]) -> Job<'a> {
        Job {
            images: std::slice::from_ref(&self.path),
            arrangement: Arrangement::Single,
            filesystem: self.filesystem,
            profile: Profile::Ro,
            upper: None,
            walk: true,
            stacks: &[],
            commands,
            transcript: &self.transcript,
            time_limit: LONG,
        }
    }
}

/// A file of this name somewhere below a directory.
pub(crate) fn find_file(directory: &Path, name: &str) -> PathBuf {
    let found = walkdir::WalkDir::new(directory)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .find(|path| path.file_name() == Some(OsStr::new(name)));
    found.unwrap_or_else(|| panic!("no {name} in {}", directory.display()))
}

/// A directory of these files, for an image of a layer. A name that begins with `!` is a whiteout, and the
/// content [`SHELL`] is that of the file.
pub(crate) fn layer(files: &[(&str, &str)]) -> Filesystem {
    let plain = |kind, mode| Inode {
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: BTreeMap::new(),
    };
    let directory = || plain(Kind::Dir(BTreeMap::new()), 0o755);
    let mut tree = Filesystem::new(directory());
    for (path, content) in files {
        let kind = match (path.strip_prefix('!'), *content) {
            (Some(_), _) => Kind::Char(Device { major: 0, minor: 0 }),
            (None, SHELL) => Kind::File(Content::Bytes(fs::read(SHELL).unwrap())),
            (None, content) => Kind::File(Content::Bytes(content.into())),
        };
        let mut parent = tree.root();
        let mut names: Vec<&str> = path.trim_start_matches('!').split('/').collect();
        let name = names.pop().unwrap();
        for name in names {
            parent = tree.child(parent, name.as_bytes()).unwrap_or_else(|| {
                let new = tree.add(directory());
                tree.link(parent, name, new);
                new
            });
        }
        let file = tree.add(plain(kind, 0o755));
        tree.link(parent, name, file);
    }
    tree
}

/// Compiles a program of `tests/guest` for the guest, as a static one.
pub(crate) fn compile(name: &str, to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/guest/{name}.rs"));
    let output = Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "strip=symbols",
        ])
        .arg("-o")
        .arg(to)
        .arg(source)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
