//! Tool roots: Debian systems in folders under `target/tools`, whose tools everybody tests alike.
//!
//! `target/tools/NAME` is the system and `target/tools/NAME.packages` the list of its packages, written
//! last. The newer one is of a suite that moves: what versions it had is in that list and in every record
//! of a run, and a package that it no longer has is said and left out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::apt::{Archive, captured};
use crate::real_image::Rights;
use crate::workspace::{Workspace, publish};
use crate::{apt, console, sources, tools};

/// A system that is made.
struct ToolRoot {
    /// The suite, which is the name too.
    suite: &'static str,
    /// What is in it beside the essential packages.
    packages: &'static [&'static str],
}

#[rustfmt::skip]
const ROOTS: [ToolRoot; 2] = [
    ToolRoot {
        suite: "bookworm",
        packages: &[
            "buildah", "busybox-static", "ca-certificates", "cpio", "e2fsprogs", "erofs-utils", "jq", "libarchive-tools",
            "python3-minimal", "skopeo", "squashfs-tools", "squashfs-tools-ng", "umoci", "zstd",
        ],
    },
    ToolRoot {
        suite: "sid",
        packages: &[
            "apptainer", "buildah", "busybox-static", "ca-certificates", "composefs", "containerd", "cpio", "crane",
            "docker-cli", "docker.io", "e2fsprogs", "erofs-utils", "iproute2", "jq", "libarchive-tools", "libarchive13t64", "oci-image-tool",
            "podman", "python3", "skopeo", "squashfs-tools", "squashfs-tools-ng", "systemd-container", "umoci", "zstd",
        ],
    },
];

/// What no tool needs.
const LEFT_OUT: [&str; 4] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "/usr/share/info/*",
];

/// Makes what is missing, and tells whether everything is there. Without it the harness uses the host's
/// tools, and says what it could not run.
pub(crate) fn make(workspace: &Workspace, mirror: Option<&str>, again: bool) -> bool {
    let mut complete = true;
    for root in &ROOTS {
        match root.provide(workspace, mirror, again) {
            Ok(state) => console::say(&format!("{:<20}{state}", root.suite)),
            Err(error) => {
                complete = false;
                console::problem(&format!("setup: no tool root `{}`: {error:#}", root.suite));
            }
        }
    }
    complete
}

impl ToolRoot {
    /// Makes the root unless it is there with all its packages; returns what there is in a line.
    fn provide(&self, workspace: &Workspace, mirror: Option<&str>, again: bool) -> Result<String> {
        let tools = workspace.target("tools");
        let list = tools.join(format!("{}.packages", self.suite));
        let asked = format!("# asked for: {}\n", self.packages.join(" "));
        let there = fs::read_to_string(&list).unwrap_or_default();
        if again || !there.starts_with(&asked) {
            // Until it is written anew, what stands there does not count.
            match fs::remove_file(&list) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing `{}`", list.display()));
                }
                _ => {}
            }
            let installed = self.bootstrap(workspace, mirror)?;
            fs::write(&list, asked + &installed)
                .with_context(|| format!("writing `{}`", list.display()))?;
        }
        let there =
            fs::read_to_string(&list).with_context(|| format!("reading `{}`", list.display()))?;
        let has = |package: &&&str| {
            let mut lines = there.lines();
            lines.any(|line| line.split(' ').next() == Some(**package))
        };
        let missing: Vec<_> = self.packages.iter().filter(|name| !has(name)).collect();
        let count = there.lines().count() - 1;
        let place = tools.join(self.suite);
        Ok(match missing.is_empty() {
            true => format!("{} ({count} packages)", place.display()),
            false => format!(
                "{} without {missing:?}, which the suite lacks",
                place.display()
            ),
        })
    }

    /// Installs the system and puts it in its place; returns its packages, one `NAME VERSION` a line.
    fn bootstrap(&self, workspace: &Workspace, mirror: Option<&str>) -> Result<String> {
        let shell = &workspace.shell;
        let dirs = tools::search_path(&crate::unpack::programs(workspace));
        if tools::find(&dirs, "mmdebstrap").is_none() {
            bail!("`mmdebstrap` is missing: install it, then run `cargo run -p ci -- setup` again");
        }
        let rights = Rights::detect(shell)?;
        let mirror = match mirror {
            Some(mirror) => mirror.to_owned(),
            None => sources::debian_mirror(shell)?,
        };
        let started = Instant::now();
        console::progress(&format!("setup: making the tool root {}", self.suite));
        let scratch = workspace.scratch(&format!("root-{}", self.suite))?;
        let place = scratch.path().join("root");
        let packages = self.offered(workspace, &mirror, scratch.path())?;
        let (mode, suite) = (rights.mode(), self.suite);
        let include = packages.into_iter().collect::<Vec<_>>().join(",");
        let excluded = LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}"));
        let line = format!("deb {mirror} {suite} main");
        let command = cmd!(
            shell,
            "mmdebstrap --mode={mode} --variant=minbase --format=directory {excluded...}"
        );
        // A suite that moves, and a clock that is not quite right, must not keep anybody from testing.
        let command = command
            .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .arg(format!("--include={include}"))
            .arg(suite)
            .arg(&place)
            .arg(line);
        captured(command.quiet())?;
        let admin = place.join("var/lib/dpkg");
        let format = "${Package} ${Version}\\n";
        let installed = cmd!(
            shell,
            "dpkg-query --admindir={admin} --show --showformat={format}"
        )
        .quiet()
        .read()?;
        let tools = workspace.target("tools");
        fs::create_dir_all(&tools).with_context(|| format!("making `{}`", tools.display()))?;
        publish(&place, &tools.join(suite))?;
        let seconds = started.elapsed().as_secs();
        console::progress(&format!("setup: the tool root {suite} took {seconds} s"));
        Ok(installed + "\n")
    }

    /// Those of the packages that the suite has now; the others are said.
    fn offered(
        &self,
        workspace: &Workspace,
        mirror: &str,
        scratch: &Path,
    ) -> Result<BTreeSet<&'static str>> {
        let shell = &workspace.shell;
        let suite = self.suite;
        let archive = Archive::fetch(shell, mirror, suite, scratch)?;
        let _apt = archive.enter(shell);
        let mut offered = BTreeSet::new();
        for package in self.packages {
            if apt::policy(shell, package).is_ok_and(|known| known.candidate.is_some()) {
                offered.insert(*package);
            } else {
                console::problem(&format!(
                    "setup: {suite} has no package {package}: left out"
                ));
            }
        }
        Ok(offered)
    }
}
