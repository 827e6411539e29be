//! The guest kernel: the distribution's own package, unpacked under `target/kernel`.
//!
//! Nothing is installed and no right is needed: the package is fetched, unpacked as files, and
//! what it was is written down beside it in `PROVENANCE`.

mod features;
mod package;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::apt::Archive;
use crate::workspace::{Workspace, publish};
use crate::{apt, console, sources};

/// Packages that depend on the current kernel, the smallest first: Debian's for virtual machines
/// and for anything, then Ubuntu's.
const META_PACKAGES: [&str; 4] = [
    "linux-image-cloud-amd64",
    "linux-image-amd64",
    "linux-image-virtual",
    "linux-image-generic",
];

/// The suite that a kernel is taken from where it can be had: its EROFS reads every compression, that of
/// the release before only LZ4.
const SUITE: &str = "trixie";

/// The file that says which package the kernel came from, after a line that says what was looked for.
const PROVENANCE: &str = "PROVENANCE";

/// Where the kernel is: `boot/vmlinuz-*` and `lib/modules/*` stand below.
pub(crate) fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target("kernel")
}

/// The package a kernel came from, when there is one and a look would find no other.
pub(crate) fn present(workspace: &Workspace) -> Option<String> {
    let text = fs::read_to_string(directory(workspace).join(PROVENANCE)).ok()?;
    let (asked, packages) = text.split_once('\n')?;
    let is_ours = asked == looked_for();
    is_ours.then(|| packages.lines().next().map(str::to_owned))?
}

fn looked_for() -> String {
    format!("# looked for: {SUITE}, then this machine's sources")
}

/// Fetches and unpacks the newest kernel that can do everything the guest needs: of [`SUITE`], else of what
/// the configured sources offer.
pub(crate) fn fetch(workspace: &Workspace) -> Result<()> {
    let shell = &workspace.shell;
    let scratch = workspace.scratch("lists")?;
    let archive = sources::debian_mirror(shell)
        .and_then(|mirror| Archive::fetch(shell, &mirror, SUITE, scratch.path()));
    let newer = archive.and_then(|archive| {
        let _apt = archive.enter(shell);
        fetch_any(workspace)
    });
    newer.or_else(|error| {
        console::problem(&format!(
            "setup: no kernel of {SUITE}, so one of this machine's release: {error:#}"
        ));
        fetch_any(workspace)
    })
}

fn fetch_any(workspace: &Workspace) -> Result<()> {
    let mut reasons = Vec::new();
    for meta in META_PACKAGES {
        match fetch_from(workspace, meta) {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{meta}: {error:#}")),
        }
    }
    bail!("no kernel package serves:\n  {}", reasons.join("\n  "))
}

fn fetch_from(workspace: &Workspace, meta: &str) -> Result<()> {
    let shell = &workspace.shell;
    let policy = apt::policy(shell, meta)?;
    let version = policy.newest_offered().context("no source offers it")?;
    let stanza = apt::show(shell, meta, version)?;
    let image = package::image(apt::field(&stanza, "Depends").unwrap_or_default())
        .with_context(|| format!("version {version} depends on no kernel image"))?;

    let scratch = workspace.scratch("kernel")?;
    let root = scratch.path().join("root");
    let mut provenance = looked_for() + "\n";
    for wanted in package::wanted(&image) {
        if features::missing(&root)?.is_empty() {
            break;
        }
        // Debian ships kernel and modules in one package, Ubuntu in up to three: what is not
        // there is decided by what is missing in the end.
        if apt::policy(shell, &wanted.name).is_ok_and(|policy| policy.newest_offered().is_some()) {
            console::progress(&format!(
                "setup: fetching the guest kernel: {}",
                wanted.name
            ));
            provenance += &unpack(workspace, &wanted, &root)?;
        }
    }
    let missing = features::missing(&root)?;
    if !missing.is_empty() {
        bail!("{} lacks {}", image.name, missing.join(", "));
    }
    fs::write(root.join(PROVENANCE), provenance).context("writing `PROVENANCE`")?;
    publish(&root, &directory(workspace))
}

/// Downloads one package and unpacks it; returns its line for `PROVENANCE`.
fn unpack(workspace: &Workspace, package: &package::Package, root: &Path) -> Result<String> {
    let shell = &workspace.shell;
    let downloads = root.with_file_name("deb");
    let _in_downloads = {
        fs::create_dir_all(&downloads)
            .with_context(|| format!("making `{}`", downloads.display()))?;
        shell.push_dir(&downloads)
    };
    let exact = package.exact();
    apt::captured(cmd!(shell, "apt-get download -q {exact}").quiet())?;
    let file = shell
        .read_dir(&downloads)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("`apt-get download {exact}` left no package"))?;
    let sum = cmd!(shell, "sha256sum --binary {file}").quiet().read()?;
    let sum = sum.split(' ').next().unwrap_or_default();
    let version = cmd!(shell, "dpkg-deb --field {file} Version")
        .quiet()
        .read()?;
    apt::captured(cmd!(shell, "dpkg-deb --extract {file} {root}").quiet())?;
    shell.remove_path(&file)?;
    unmerge(root)?;
    Ok(format!("{} {version} sha256:{sum}\n", package.name))
}

/// Brings modules to `lib/modules`, where packages older than the merged `/usr` have them.
fn unmerge(root: &Path) -> Result<()> {
    let merged = root.join("usr/lib/modules");
    let place = root.join("lib/modules");
    if merged.is_dir() && !place.exists() {
        fs::create_dir_all(root.join("lib")).context("making `lib`")?;
        fs::rename(&merged, &place).with_context(|| format!("renaming `{}`", merged.display()))?;
    }
    Ok(())
}
