//! `ci setup`: a machine with nothing but Rust becomes one that can do everything.
//!
//! What is there is left alone, so the second time takes no time. What cannot be had is said at
//! the end, with what it means: the harness does the rest and says what it could not check.

use std::path::PathBuf;

use anyhow::Result;

use crate::apt::Privilege;
use crate::tools::{TOOLS, find, missing_packages, search_path};
use crate::workspace::Workspace;
use crate::{apt, console, kernel, unpack};

/// The package that is of no use unpacked: what it does needs rights of its own.
const NEEDS_INSTALLATION: &str = "mmdebstrap";

/// Installs and unpacks what is missing, prints the summary, and tells whether nothing is missing.
pub(crate) fn setup(workspace: &Workspace) -> Result<bool> {
    let dirs = provide(workspace);
    Ok(summary(workspace, &dirs))
}

/// Installs and unpacks what is missing; returns the directories in which programs are found.
pub(crate) fn provide(workspace: &Workspace) -> Vec<PathBuf> {
    let dirs = search_path(&unpack::programs(workspace));
    let mut packages = missing_packages(&dirs);
    let needs_kernel = kernel::present(workspace).is_none();
    if packages.is_empty() && !needs_kernel {
        return dirs;
    }
    let shell = &workspace.shell;
    if !apt::present(shell) {
        console::problem("setup: no apt-get here: install what is missing by other means");
        return dirs;
    }
    let privilege = Privilege::detect(shell);
    if privilege == Privilege::None {
        packages.retain(|package| *package != NEEDS_INSTALLATION);
    }
    if !packages.is_empty() || needs_kernel {
        fetch(workspace, privilege, &packages, needs_kernel);
    }
    dirs
}

fn fetch(workspace: &Workspace, privilege: Privilege, packages: &[&'static str], kernel: bool) {
    let shell = &workspace.shell;
    if privilege == Privilege::None
        && let Err(error) = unpack::own_lists(workspace)
    {
        console::problem(&format!("setup: nothing can be fetched: {error:#}"));
        return;
    }
    apt::update(shell, privilege);
    match privilege {
        _ if packages.is_empty() => {}
        Privilege::None => unpack(workspace),
        Privilege::Root | Privilege::Sudo => install(workspace, privilege, packages),
    }
    if kernel && let Err(error) = kernel::fetch(workspace) {
        console::problem(&format!("setup: no guest kernel: {error:#}"));
    }
}

/// Unpacks everything the machine itself lacks: what an earlier call unpacked is replaced.
fn unpack(workspace: &Workspace) {
    let shell = &workspace.shell;
    let [_unpacked, installed @ ..] = &search_path(&unpack::programs(workspace))[..] else {
        return;
    };
    let mut packages = missing_packages(installed);
    packages.retain(|package| {
        let offered = apt::policy(shell, package).is_ok_and(|known| known.candidate.is_some());
        if !offered {
            console::problem(&format!("setup: no source offers {package}"));
        }
        offered && *package != NEEDS_INSTALLATION
    });
    console::progress("setup: neither root nor `sudo` without a password, so nothing is installed");
    if let Err(error) = unpack::unpack(workspace, &packages) {
        console::problem(&format!("setup: not unpacked: {error:#}"));
    }
}

/// Installs the packages together, and one by one when that fails, so that one that cannot be had
/// does not keep the others away.
fn install(workspace: &Workspace, privilege: Privilege, packages: &[&str]) {
    let shell = &workspace.shell;
    console::progress(&format!("setup: installing {}", packages.join(" ")));
    if apt::install(shell, privilege, packages).is_ok() {
        return;
    }
    console::problem("setup: not all of them could be installed together, trying one by one");
    for package in packages {
        if let Err(error) = apt::install(shell, privilege, &[package]) {
            console::problem(&format!(
                "setup: {package} could not be installed: {error:#}"
            ));
        }
    }
}

/// Prints what is there and what is not; true when all is there.
fn summary(workspace: &Workspace, dirs: &[PathBuf]) -> bool {
    let mut missing = 0;
    for tool in TOOLS {
        let state = match find(dirs, tool.program) {
            Some(path) => path.display().to_string(),
            None => {
                missing += 1;
                format!("MISSING (package {}): {}", tool.package, tool.purpose)
            }
        };
        console::say(&format!("{:<20}{state}", tool.program));
    }
    match kernel::present(workspace) {
        Some(provenance) => console::say(&format!("{:<20}{provenance}", "guest kernel")),
        None => {
            missing += 1;
            console::say(&format!("{:<20}MISSING: booting images", "guest kernel"));
        }
    }
    if missing == 0 {
        console::say("setup: complete");
        return true;
    }
    console::say(&format!(
        "setup: {missing} missing; what needs them is skipped, and said"
    ));
    let packages = missing_packages(dirs).join(" ");
    if !packages.is_empty() {
        console::say(&format!(
            "setup: to install them: sudo apt-get install {packages}"
        ));
    }
    false
}
