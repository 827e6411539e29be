//! The kernel modules that the guest needs, each after those it depends on.
//!
//! The dependencies are read from the modules themselves: `modules.dep` is made by `depmod` when a
//! kernel package is installed, and ours may be only unpacked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};
use walkdir::WalkDir;

use super::decompress::decompress;

/// Without these there is no disk and no port.
const REQUIRED: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_console"];

/// What a kernel may lack; an image of such a filesystem then fails to mount with that reason.
const WANTED: [&str; 4] = ["ext4", "erofs", "squashfs", "overlay"];

/// One module, decompressed.
pub(super) struct Module {
    /// Its name with underscores, as `/proc/modules` shows it.
    pub(super) name: String,
    /// The ELF object.
    pub(super) object: Vec<u8>,
}

/// Collects the modules under `directory` (a `lib/modules/VERSION`) in loading order.
///
/// # Errors
///
/// One sentence: a required module is neither there nor built in, or a file cannot be read.
pub(super) fn collect(directory: &Path) -> Result<Vec<Module>, String> {
    let mut collection = Collection {
        files: files(directory),
        builtin: builtin(directory),
        done: BTreeSet::new(),
        modules: Vec::new(),
    };
    for name in REQUIRED {
        if !collection.add(name)? {
            return Err(format!("{} has no module {name}", directory.display()));
        }
    }
    for name in WANTED {
        collection.add(name)?;
    }
    Ok(collection.modules)
}

struct Collection {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    done: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Collection {
    /// Adds a module after its dependencies; false where the kernel does not have it.
    fn add(&mut self, name: &str) -> Result<bool, String> {
        if self.builtin.contains(name) || !self.done.insert(name.to_owned()) {
            return Ok(true);
        }
        let Some(path) = self.files.get(name) else {
            return Ok(false);
        };
        let shown = path.display().to_string();
        let object = fs_err::read(path)
            .and_then(|bytes| decompress(&bytes))
            .map_err(|error| format!("read module {shown}: {error}"))?;
        let info = modinfo(&object).ok_or_else(|| format!("{shown} is no kernel module"))?;
        for dependency in &info.depends {
            if !self.add(dependency)? {
                return Err(format!(
                    "{shown} needs the module {dependency}, which is missing"
                ));
            }
        }
        // A soft dependency names what may also be built in under another name.
        for dependency in &info.soft {
            self.add(dependency)?;
        }
        self.modules.push(Module {
            name: name.to_owned(),
            object,
        });
        Ok(true)
    }
}

fn files(directory: &Path) -> BTreeMap<String, PathBuf> {
    WalkDir::new(directory.join("kernel"))
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((module_name(entry.file_name().to_str()?)?, entry.into_path())))
        .collect()
}

fn builtin(directory: &Path) -> BTreeSet<String> {
    let list = fs_err::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
    list.lines()
        .filter_map(|line| module_name(line.rsplit('/').next()?))
        .collect()
}

/// `virtio-blk.ko.xz` is `virtio_blk`.
fn module_name(file_name: &str) -> Option<String> {
    let stem = ["", ".gz", ".xz", ".zst"]
        .iter()
        .find_map(|end| file_name.strip_suffix(&format!(".ko{end}")))?;
    Some(stem.replace('-', "_"))
}

#[derive(Default)]
struct ModuleInfo {
    depends: Vec<String>,
    soft: Vec<String>,
}

/// The `.modinfo` section: `key=value` strings, each ended by a zero byte.
fn modinfo(object: &[u8]) -> Option<ModuleInfo> {
    let header = elf::FileHeader64::<Endianness>::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let (_, section) = sections.section_by_name(endian, b".modinfo")?;
    let mut info = ModuleInfo::default();
    for line in section.data(endian, object).ok()?.split(|byte| *byte == 0) {
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        if let Some(names) = line.strip_prefix("depends=") {
            info.depends
                .extend(names.split(',').filter(|n| !n.is_empty()).map(underscored));
        } else if let Some(names) = line.strip_prefix("softdep=pre:") {
            let names = names.split(" post:").next().unwrap_or_default();
            info.soft.extend(names.split_whitespace().map(underscored));
        }
    }
    Some(info)
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::{collect, module_name};

    #[test]
    fn a_module_is_named_by_its_file() {
        assert_eq!(module_name("virtio_blk.ko").as_deref(), Some("virtio_blk"));
        assert_eq!(
            module_name("virtio-blk.ko.xz").as_deref(),
            Some("virtio_blk")
        );
        assert_eq!(
            module_name("crc32c-intel.ko.zst").as_deref(),
            Some("crc32c_intel")
        );
        assert_eq!(module_name("modules.order"), None);
    }

    /// A module with this `.modinfo` section and nothing else.
    fn module(modinfo: &[u8]) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
        let table = 64 + modinfo.len() as u64 + names.len() as u64;
        file.extend([0, 0, table].map(u64::to_le_bytes).concat());
        file.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
        file.extend(modinfo);
        file.extend(names);
        file.extend([0; 64]);
        for (name, kind, offset, size) in [
            (1u32, 1u32, 64, modinfo.len() as u64),
            (10, 3, 64 + modinfo.len() as u64, names.len() as u64),
        ] {
            file.extend([name, kind].map(u32::to_le_bytes).concat());
            file.extend([0, 0, offset, size, 0, 1, 0].map(u64::to_le_bytes).concat());
        }
        file
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("kernel");
        std::fs::create_dir(&kernel).unwrap();
        let write = |name: &str, modinfo: &[u8]| {
            std::fs::write(kernel.join(name), module(modinfo)).unwrap();
        };
        let names = || -> Result<Vec<String>, String> {
            Ok(collect(directory.path())?
                .into_iter()
                .map(|module| module.name)
                .collect())
        };
        write(
            "virtio-pci.ko",
            b"license=GPL\0depends=virtio_ring,virtio\0",
        );
        write("virtio-ring.ko", b"depends=virtio\0");
        write("virtio.ko", b"depends=\0");
        write("virtio_blk.ko", b"depends=virtio\0");
        write(
            "erofs.ko",
            b"softdep=pre: crc32c lz4-decompress post: x\0depends=\0",
        );
        write("lz4-decompress.ko", b"");
        let missing = names().unwrap_err();
        assert!(
            missing.ends_with("has no module virtio_console"),
            "{missing}"
        );
        let builtin = directory.path().join("modules.builtin");
        std::fs::write(builtin, "kernel/drivers/char/virtio_console.ko\n").unwrap();
        let expected = [
            "virtio",
            "virtio_ring",
            "virtio_pci",
            "virtio_blk",
            "lz4_decompress",
            "erofs",
        ];
        assert_eq!(names().unwrap(), expected);

        write("overlay.ko", b"depends=absent\0");
        let missing = names().unwrap_err();
        assert!(
            missing.ends_with("needs the module absent, which is missing"),
            "{missing}"
        );
        std::fs::write(kernel.join("overlay.ko"), "no module").unwrap();
        assert!(names().unwrap_err().ends_with("is no kernel module"));
    }
}
