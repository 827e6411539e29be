//! The ways in which a guest comes to life in `harness bench boot`.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::boot::{Machine, Mode, Options};
use crate::runner::contain::Surroundings;

/// As everybody boots: firmware, and a kernel that decompresses itself.
pub(super) const FIRMWARE: &str = "cold, bzImage";

/// The ELF kernel taken out of the bzImage, through its PVH entry.
pub(super) const PVH: &str = "cold, PVH";

/// Restored from a snapshot.
pub(super) const SNAPSHOT: &str = "snapshot";

/// A way and the machine that goes it.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) machine: Machine,
}

/// Finds the machines; what keeps the one for the bzImage away is a note. `work` gets a file that
/// that one needs.
///
/// # Errors
///
/// QEMU or the guest kernel is missing.
pub(super) fn ways(options: &Options, work: &Path) -> anyhow::Result<(Vec<Way>, Vec<String>)> {
    let mut options = options.clone();
    // So that all have the same kernel, and its file is known.
    options.kernel = options.kernel.or_else(|| newest_kernel(&options.roots));
    let cold = Way {
        name: PVH,
        machine: Machine::find(&options)?,
    };
    let snapshot = Way {
        name: SNAPSHOT,
        machine: Machine::find(&Options {
            mode: Mode::Snapshot,
            ..options.clone()
        })?,
    };
    let mut notes = Vec::new();
    let mut ways = match firmware(&options, work) {
        Ok(machine) => vec![Way {
            name: FIRMWARE,
            machine,
        }],
        Err(error) => {
            notes.push(format!("no boot with a bzImage: {error:#}"));
            Vec::new()
        }
    };
    ways.extend([cold, snapshot]);
    for way in &ways {
        notes.extend(way.machine.take_notes());
    }
    Ok((ways, notes))
}

/// The machine that starts the bzImage as it is. A [`Machine`] gives QEMU the ELF kernel; between
/// the two stands a script that gives it the bzImage instead and leaves all else alone.
fn firmware(options: &Options, work: &Path) -> anyhow::Result<Machine> {
    let Some(kernel) = &options.kernel else {
        anyhow::bail!("no kernel file is known; give one with --kernel");
    };
    let kernel = fs::canonicalize(kernel)?;
    anyhow::ensure!(
        is_bzimage(&fs::read(&kernel)?),
        "`{}` is no bzImage",
        kernel.display()
    );
    let path = Surroundings::default().path;
    let qemu = match &options.qemu {
        Some(qemu) => fs::canonicalize(qemu)?,
        None => std::env::split_paths(&path)
            .map(|folder| folder.join("qemu-system-x86_64"))
            .find(|program| program.is_file())
            .ok_or_else(|| anyhow::anyhow!("no qemu-system-x86_64; give one with --qemu"))?,
    };
    let script = work.join("qemu-with-bzimage");
    fs::write(&script, substituting(&qemu, &kernel))?;
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
    Ok(Machine::find(&Options {
        qemu: Some(script),
        mode: Mode::Cold,
        ..options.clone()
    })?)
}

/// boot.rst, "The real-mode kernel header".
fn is_bzimage(file: &[u8]) -> bool {
    file.get(0x202..0x206) == Some(b"HdrS")
}

/// A script that runs QEMU with its arguments, but for the one after `-kernel`.
fn substituting(qemu: &Path, kernel: &Path) -> Vec<u8> {
    let head = "#!/bin/sh\n\
                last=\n\
                for word do\n\
                \x20 shift\n\
                \x20 [ \"$last\" = -kernel ] && set -- \"$@\" ";
    let mut script = head.as_bytes().to_vec();
    script.extend(quoted(kernel));
    script.extend(b" || set -- \"$@\" \"$word\"\n  last=$word\ndone\nexec ");
    script.extend(quoted(qemu));
    script.extend(b" \"$@\"\n");
    script
}

fn quoted(path: &Path) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => quoted.extend(br"'\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// The kernel of the first root that has one that can be read; of several the last by name.
fn newest_kernel(roots: &[PathBuf]) -> Option<PathBuf> {
    roots.iter().find_map(|root| {
        let mut found: Vec<PathBuf> = std::fs::read_dir(root.join("boot"))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().as_bytes();
                name.starts_with(b"vmlinuz-") && std::fs::File::open(path).is_ok()
            })
            .collect();
        found.sort();
        found.pop()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;

    use super::{is_bzimage, newest_kernel, substituting};

    #[test]
    fn only_the_kernel_of_the_arguments_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("it's a script");
        let kernel = Path::new("/it's a bzImage");
        std::fs::write(&script, substituting(Path::new("/bin/echo"), kernel)).unwrap();
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let words = ["-m", "a  b", "-kernel", "elf", "-initrd", "-kernels", "$x"];
        let output = Command::new("/bin/sh")
            .arg(&script)
            .args(words)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            said,
            "-m a  b -kernel /it's a bzImage -initrd -kernels $x\n"
        );
    }

    #[test]
    fn an_elf_kernel_is_no_bzimage() {
        let mut file = vec![0; 0x300];
        assert!(!is_bzimage(&file));
        assert!(!is_bzimage(b"\x7fELF"));
        file[0x202..0x206].copy_from_slice(b"HdrS");
        assert!(is_bzimage(&file));
    }

    #[test]
    fn the_first_root_with_a_kernel_is_taken() {
        let [empty, full] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let boot = full.path().join("boot");
        std::fs::create_dir(&boot).unwrap();
        for name in ["vmlinuz-6.1", "vmlinuz-6.12", "config-6.12"] {
            std::fs::write(boot.join(name), "").unwrap();
        }
        let roots = [empty.path().to_owned(), full.path().to_owned()];
        assert_eq!(newest_kernel(&roots), Some(boot.join("vmlinuz-6.12")));
        assert_eq!(newest_kernel(&roots[..1]), None);
    }
}
