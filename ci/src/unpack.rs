//! Tools without rights: packages fetched and unpacked under `target/tools/unpacked`, nothing installed.
//!
//! `target/tools/unpacked/bin` then holds one small script for each program, which starts it with its own
//! libraries. Apt works on lists of its own, because nobody may have fetched the machine's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::cmd;

use crate::tools::TOOLS;
use crate::workspace::{Workspace, publish};
use crate::{apt, console};

/// Where programs stand in a package.
const PROGRAM_DIRS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// Where libraries stand; the last is where QEMU's dependencies have one of their own.
const LIBRARY_DIRS: [&str; 3] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
];

/// Where QEMU's packages have its firmware.
const FIRMWARE_DIRS: [&str; 3] = ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"];

/// The directory with a script for each unpacked program.
pub(crate) fn programs(workspace: &Workspace) -> PathBuf {
    workspace.target("tools/unpacked/bin")
}

/// Gives apt lists and a cache of its own under `target/apt`, which needs no right.
pub(crate) fn own_lists(workspace: &Workspace) -> Result<()> {
    let directory = workspace.target("apt");
    for name in ["lists/partial", "cache/archives/partial"] {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making `{}`", path.display()))?;
    }
    let shown = directory.display();
    let configuration = directory.join("apt.conf");
    let text = format!("Dir::State::lists \"{shown}/lists\";\nDir::Cache \"{shown}/cache\";\n");
    fs::write(&configuration, text)
        .with_context(|| format!("writing `{}`", configuration.display()))?;
    workspace.shell.set_var("APT_CONFIG", configuration);
    Ok(())
}

/// Fetches the packages and what they depend on, and unpacks them with their scripts. What an
/// earlier call unpacked is replaced, so `packages` names all that are wanted.
pub(crate) fn unpack(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    let shell = &workspace.shell;
    let simulate = cmd!(
        shell,
        "apt-get --simulate -qq --no-install-recommends install {packages...}"
    )
    .quiet();
    let simulated = simulate
        .ignore_stderr()
        .read()
        .context("asking apt what to unpack")?;
    let wanted = to_install(&simulated);

    console::progress(&format!(
        "setup: unpacking {} packages under target/tools",
        wanted.len()
    ));
    let scratch = workspace.scratch("tools")?;
    let downloads = scratch.path().join("deb");
    fs::create_dir(&downloads).with_context(|| format!("making `{}`", downloads.display()))?;
    {
        let _there = shell.push_dir(&downloads);
        apt::captured(cmd!(shell, "apt-get download -q {wanted...}").quiet())?;
    }
    let tools = scratch.path().join("tools");
    let root = tools.join("root");
    fs::create_dir(&tools).with_context(|| format!("making `{}`", tools.display()))?;
    for package in shell.read_dir(&downloads)? {
        apt::captured(cmd!(shell, "dpkg-deb --extract {package} {root}").quiet())?;
    }
    let place = workspace.target("tools/unpacked");
    write_scripts(&root, &tools.join("bin"), &place.join("root"))?;
    publish(&tools, &place)
}

/// `name=version` of each package that a simulated installation would unpack.
fn to_install(simulated: &str) -> Vec<String> {
    let unpacked = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "));
    let exact = unpacked.filter_map(|line| {
        let (name, _) = line.split_once(' ')?;
        let (_, version) = line.split_once('(')?;
        Some(format!("{name}={}", version.split_whitespace().next()?))
    });
    exact.collect()
}

/// Writes into `bin` a script for each program unpacked in `root`, which will stand at `place`.
fn write_scripts(root: &Path, bin: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(bin).with_context(|| format!("making `{}`", bin.display()))?;
    for tool in TOOLS {
        let mut paths = PROGRAM_DIRS
            .iter()
            .map(|directory| format!("{directory}/{}", tool.program));
        let Some(program) = paths.find(|path| root.join(path).is_file()) else {
            continue;
        };
        let path = bin.join(tool.program);
        fs::write(&path, script(place, &program))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("writing `{}`", path.display()))?;
    }
    Ok(())
}

/// The script that starts the program `program` of the packages unpacked at `root`.
fn script(root: &Path, program: &str) -> String {
    let root = quoted(&root.display().to_string());
    let libraries = LIBRARY_DIRS
        .map(|directory| format!("$root/{directory}"))
        .join(":");
    let mut firmware = String::new();
    if program.contains("/qemu-system-") {
        for directory in FIRMWARE_DIRS {
            firmware += &format!(" -L \"$root/{directory}\"");
        }
    }
    format!(
        "#!/bin/sh\nroot={root}\nexport LD_LIBRARY_PATH=\"{libraries}\"\n\
         export QEMU_MODULE_DIR=\"$root/usr/lib/x86_64-linux-gnu/qemu\"\n\
         exec \"$root/{program}\"{firmware} \"$@\"\n"
    )
}

/// A word as the shell reads it back, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{script, to_install};

    #[test]
    fn a_simulated_installation_tells_the_packages() {
        let simulated = "\
Inst libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])
Inst libc-bin [2.36-9] (2.36-10 Debian:12.15/oldstable [amd64]) []
Inst qemu-utils (1:7.2+dfsg-7+deb12u18 Debian:12.15/oldstable, Debian-Security:12 [amd64])
Conf libfdt1 (1.6.1-4+b1 Debian:12.15/oldstable [amd64])
Remv something [1.0]
";
        assert_eq!(
            to_install(simulated),
            [
                "libfdt1=1.6.1-4+b1",
                "libc-bin=2.36-10",
                "qemu-utils=1:7.2+dfsg-7+deb12u18"
            ]
        );
        assert_eq!(to_install(""), Vec::<String>::new());
    }

    #[test]
    fn a_script_starts_the_program_with_its_own_libraries() {
        let text = script(Path::new("/home/o'neil/tools"), "usr/bin/umoci");
        assert!(text.contains("root='/home/o'\\''neil/tools'\n"), "{text}");
        assert!(
            text.ends_with("exec \"$root/usr/bin/umoci\" \"$@\"\n"),
            "{text}"
        );
        let qemu = script(Path::new("/t"), "usr/bin/qemu-system-x86_64");
        assert!(qemu.contains(" -L \"$root/usr/share/seabios\""), "{qemu}");
    }
}
