//! Finding a guest kernel and making of it what QEMU is given.

use std::path::{Path, PathBuf};

use super::Options;
use super::bzimage::elf_kernel;
use super::cache::{self, Entry, Key};
use super::error::{Error, Missing};
use super::initramfs::Initramfs;
use super::modules;
use super::qemu::Start;

/// The guest's init, as `build.rs` built it; empty where the guest's machine is not the host's.
const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

const KERNEL: &str = "vmlinux";
const INITRAMFS: &str = "initramfs";

/// A kernel image and the modules that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KernelFiles {
    /// The bzImage or ELF kernel.
    pub(super) image: PathBuf,
    /// The `lib/modules/VERSION` directory.
    pub(super) modules: PathBuf,
}

/// A kernel as QEMU is given it, in the cache.
#[derive(Debug)]
pub(super) struct Kernel {
    /// The file it was made of.
    pub(super) image: PathBuf,
    entry: Entry,
    image_digest: [u8; 32],
}

impl Kernel {
    /// A key for what depends on this kernel and this init.
    pub(super) fn key(&self, kind: &'static str) -> Key {
        self.key_of_image(kind).with(INIT)
    }

    /// A key for what depends on this kernel only.
    pub(super) fn key_of_image(&self, kind: &'static str) -> Key {
        Key::new(kind).with(&self.image_digest)
    }

    /// How a machine begins with this kernel; with a file for its memory, if it will be saved.
    pub(super) fn start(&self, memory: Option<PathBuf>) -> Start {
        let (kernel, initramfs) = (self.entry.file(KERNEL), self.entry.file(INITRAMFS));
        Start::Boot {
            kernel,
            initramfs,
            memory,
        }
    }

    /// The kernel as an ELF file.
    pub(super) fn elf(&self) -> PathBuf {
        self.entry.file(KERNEL)
    }

    /// What was found wrong with an older cache entry, if it had to be made again.
    pub(super) fn note(&self) -> Option<&str> {
        self.entry.note.as_deref()
    }
}

/// Finds the kernel: the one given, else the newest that is unpacked under one of the roots, in
/// their order.
pub(super) fn find(options: &Options) -> Result<KernelFiles, Missing> {
    let Options {
        kernel,
        modules,
        roots,
        ..
    } = options;
    let (image, modules) = (kernel.as_deref(), modules.as_deref());
    let mut tried = Vec::new();
    if let Some(image) = image {
        return given(image, modules, roots);
    }
    for root in roots {
        let boot = root.join("boot");
        tried.push(boot.join("vmlinuz-*").display().to_string());
        for (version, image) in versions(&boot) {
            let found = modules
                .map(Path::to_path_buf)
                .or_else(|| modules_of(root, &version));
            match found {
                // A kernel that only its owner may read (Ubuntu's /boot) does not help.
                Some(modules) if fs_err::File::open(&image).is_ok() => {
                    return Ok(KernelFiles { image, modules });
                }
                Some(_) => tried.push(format!("{} (not readable)", image.display())),
                None => tried.push(format!("{} (without its modules)", image.display())),
            }
        }
    }
    Err(Missing {
        what: "no guest kernel".to_owned(),
        tried,
        hint: "run `cargo run -p ci -- setup`, or give --kernel and --modules".to_owned(),
    })
}

fn given(image: &Path, modules: Option<&Path>, roots: &[PathBuf]) -> Result<KernelFiles, Missing> {
    let name = image
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let version = name.strip_prefix("vmlinuz-").unwrap_or(name);
    let beside = image.parent().and_then(Path::parent).map(Path::to_path_buf);
    let found = modules.map(Path::to_path_buf).or_else(|| {
        beside
            .iter()
            .chain(roots)
            .find_map(|root| modules_of(root, version))
    });
    let missing = |what: String| Missing {
        what,
        tried: vec![image.display().to_string()],
        hint: "give the directory lib/modules/VERSION of that kernel with --modules".to_owned(),
    };
    if !image.is_file() {
        return Err(missing(format!(
            "no guest kernel: {} is no file",
            image.display()
        )));
    }
    match found {
        Some(modules) if modules.is_dir() => Ok(KernelFiles {
            image: image.to_path_buf(),
            modules,
        }),
        Some(modules) => Err(missing(format!(
            "no modules: {} is no directory",
            modules.display()
        ))),
        None => Err(missing(format!(
            "no modules for the guest kernel {}",
            image.display()
        ))),
    }
}

/// Makes of a kernel what QEMU is given, or takes it from the cache.
pub(super) fn prepare(files: &KernelFiles, cache: &Path) -> Result<Kernel, Missing> {
    let missing = |why: String| Missing {
        what: format!("no usable guest kernel: {}: {why}", files.image.display()),
        tried: vec![
            files.image.display().to_string(),
            files.modules.display().to_string(),
        ],
        hint: "give another kernel with --kernel and --modules".to_owned(),
    };
    if INIT.is_empty() {
        return Err(Missing {
            what: "no guest init: this harness was built for another machine than x86-64 Linux"
                .to_owned(),
            tried: Vec::new(),
            hint: "build and run the harness on x86-64 Linux".to_owned(),
        });
    }
    let image = fs_err::read(&files.image).map_err(|error| missing(error.to_string()))?;
    // A kernel's modules are bound to it by their signatures and versions; their path will do.
    let modules = files.modules.as_os_str().as_encoded_bytes();
    let image_key = Key::new("kernel").with(&image).with(modules);
    let image_digest = image_key.digest();
    let key = image_key.with(INIT);
    let entry = cache::entry(cache, &key, |directory| {
        let kernel = elf_kernel(&image).map_err(Unprepared::Useless)?;
        let modules = modules::collect(&files.modules).map_err(Unprepared::Useless)?;
        fs_err::write(directory.join(KERNEL), kernel).map_err(Error::io("write to the cache"))?;
        fs_err::write(directory.join(INITRAMFS), initramfs(&modules))
            .map_err(Error::io("write to the cache"))?;
        Ok(())
    });
    match entry {
        Ok(entry) => Ok(Kernel {
            image: files.image.clone(),
            entry,
            image_digest,
        }),
        Err(Unprepared::Useless(why)) => Err(missing(why)),
        Err(Unprepared::Cache(error)) => Err(Missing {
            what: format!("no cache: {error}"),
            tried: vec![cache.display().to_string()],
            hint: "make room, or give another directory for the cache".to_owned(),
        }),
    }
}

/// Why a kernel could not be prepared: it is of no use, or the cache is.
enum Unprepared {
    Useless(String),
    Cache(Error),
}

impl From<Error> for Unprepared {
    fn from(error: Error) -> Unprepared {
        Unprepared::Cache(error)
    }
}

fn initramfs(modules: &[modules::Module]) -> Vec<u8> {
    let mut archive = Initramfs::new();
    archive.directory("dev");
    // The kernel opens it for init before init can mount anything.
    archive.character_device("dev/console", 5, 1);
    archive.directory("modules");
    let mut order = String::new();
    for module in modules {
        let path = format!("modules/{}.ko", module.name);
        archive.file(&path, 0o600, &module.object);
        order.push('/');
        order.push_str(&path);
        order.push('\n');
    }
    archive.file("modules/order", 0o600, order.as_bytes());
    archive.file("init", 0o700, INIT);
    archive.finish()
}

/// The kernels in a directory, the newest version first.
fn versions(boot: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = boot
        .read_dir()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix("vmlinuz-")?.to_owned(), entry.path()))
        })
        .collect();
    found.sort_by_cached_key(|(version, _)| std::cmp::Reverse(version_key(version)));
    found
}

/// Digits compare as numbers: 6.1.0-9 is older than 6.1.0-56.
fn version_key(version: &str) -> Vec<(u64, String)> {
    version
        .split(['.', '-', '+', '~'])
        .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
        .collect()
}

fn modules_of(root: &Path, version: &str) -> Option<PathBuf> {
    ["lib/modules", "usr/lib/modules"]
        .iter()
        .map(|place| root.join(place).join(version))
        .find(|directory| directory.is_dir())
}

#[cfg(test)]
mod tests {
    use super::versions;

    #[test]
    fn the_newest_kernel_comes_first() {
        let boot = tempfile::tempdir().unwrap();
        for version in [
            "6.1.0-9-amd64",
            "6.1.0-56-cloud-amd64",
            "6.1.0-56-amd64",
            "5.10.0-30-amd64",
        ] {
            std::fs::write(boot.path().join(format!("vmlinuz-{version}")), "").unwrap();
        }
        std::fs::write(boot.path().join("config-7.0"), "").unwrap();
        let found: Vec<String> = versions(boot.path())
            .into_iter()
            .map(|(version, _)| version)
            .collect();
        let expected = [
            "6.1.0-56-cloud-amd64",
            "6.1.0-56-amd64",
            "6.1.0-9-amd64",
            "5.10.0-30-amd64",
        ];
        assert_eq!(found, expected);
    }
}
