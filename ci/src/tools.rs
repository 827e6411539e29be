//! The programs the project works with, and the packages that bring them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::Shell;

/// One program and what it is for.
pub(crate) struct Tool {
    /// The file looked for in the search path.
    pub(crate) program: &'static str,
    /// The Debian and Ubuntu package that brings it.
    pub(crate) package: &'static str,
    /// What cannot be done without it.
    pub(crate) purpose: &'static str,
}

/// Every program, in the order of the summary.
#[rustfmt::skip]
pub(crate) const TOOLS: &[Tool] = &[
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "booting images" },
    Tool { program: "qemu-img", package: "qemu-utils", purpose: "booting images" },
    Tool { program: "mkfs.erofs", package: "erofs-utils", purpose: "making EROFS images" },
    Tool { program: "fsck.erofs", package: "erofs-utils", purpose: "checking EROFS images" },
    Tool { program: "mksquashfs", package: "squashfs-tools", purpose: "making squashfs images" },
    Tool { program: "mke2fs", package: "e2fsprogs", purpose: "making ext4 images" },
    Tool { program: "e2fsck", package: "e2fsprogs", purpose: "checking ext4 images" },
    Tool { program: "cpio", package: "cpio", purpose: "making archives for the kernel" },
    Tool { program: "umoci", package: "umoci", purpose: "the converter umoci, the real image" },
    Tool { program: "skopeo", package: "skopeo", purpose: "reading exported layouts" },
    Tool { program: "python3", package: "python3", purpose: "the script of exported suites" },
    Tool { program: "mtree", package: "mtree-netbsd", purpose: "a second reader of the goldens" },
    Tool { program: "bsdtar", package: "libarchive-tools", purpose: "a second reader of goldens and tars" },
    Tool { program: "xz", package: "xz-utils", purpose: "unpacking kernels and modules" },
    Tool { program: "zstd", package: "zstd", purpose: "unpacking kernels and modules" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "the real image" },
];

/// Where programs of the superuser live; the search path of a plain user often leaves them out.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The directories searched for programs: first `unpacked`, then the search path, then the
/// superuser's.
pub(crate) fn search_path(unpacked: &Path) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![unpacked.to_owned()];
    for dir in env::split_paths(&path).chain(SYSTEM_DIRS.map(PathBuf::from)) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// Makes every later command of `shell` look for programs in these directories first.
pub(crate) fn put_on_path(shell: &Shell, dirs: &[PathBuf]) -> Result<()> {
    let path = env::join_paths(dirs).context("making the search path")?;
    shell.set_var("PATH", path);
    Ok(())
}

/// The file a program's name stands for.
pub(crate) fn find(dirs: &[PathBuf], program: &str) -> Option<PathBuf> {
    dirs.iter()
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// The packages that bring what is missing, each once, in the table's order.
pub(crate) fn missing_packages(dirs: &[PathBuf]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for tool in TOOLS {
        if find(dirs, tool.program).is_none() && !packages.contains(&tool.package) {
            packages.push(tool.package);
        }
    }
    packages
}
