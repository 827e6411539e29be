//! Debian's package tools: who may install, what is installed, which version comes from where.

mod archive;
mod policy;

pub(crate) use archive::Archive;
pub(crate) use policy::Policy;

use std::process::Command;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::console;

/// Options of every `apt-get` that changes the machine: it waits for another one that is at work.
const OPTIONS: [&str; 5] = [
    "-y",
    "-q",
    "-o",
    "DPkg::Lock::Timeout=600",
    "--no-install-recommends",
];

/// By which right packages are installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// The superuser already.
    Root,
    /// `sudo` that asks no password.
    Sudo,
    /// None: packages can be fetched and unpacked, not installed.
    None,
}

impl Privilege {
    /// Finds out, without ever asking a password.
    pub(crate) fn detect(shell: &Shell) -> Self {
        let root = cmd!(shell, "id -u")
            .quiet()
            .read()
            .is_ok_and(|id| id.trim() == "0");
        if root {
            return Self::Root;
        }
        let sudo = cmd!(shell, "sudo -n true")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run();
        if sudo.is_ok() { Self::Sudo } else { Self::None }
    }

    /// `apt-get` run by this right, asking no questions.
    fn apt_get(self, shell: &Shell) -> Cmd<'_> {
        let command = match self {
            Self::Sudo => cmd!(
                shell,
                "sudo -n env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get"
            ),
            Self::Root | Self::None => cmd!(shell, "apt-get"),
        };
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(OPTIONS)
            .quiet()
    }
}

/// Whether this machine has Debian's package tools at all.
pub(crate) fn present(shell: &Shell) -> bool {
    cmd!(shell, "apt-get --version")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_ok()
}

/// Fetches the package lists. A source that fails is reported and tolerated: whether the others
/// suffice is seen when a package is asked for.
pub(crate) fn update(shell: &Shell, privilege: Privilege) {
    console::progress("setup: fetching the package lists (apt-get update)");
    if let Err(error) = captured(privilege.apt_get(shell).arg("update")) {
        console::problem(&format!(
            "setup: some package list could not be fetched, going on: {error:#}"
        ));
    }
}

/// Installs packages, all or none.
pub(crate) fn install(shell: &Shell, privilege: Privilege, packages: &[&str]) -> Result<()> {
    let mut command = privilege.apt_get(shell).arg("install");
    if let Some(suite) = qemu_suite(shell, packages) {
        console::progress(&format!(
            "setup: QEMU is taken from `{suite}`, as what is installed of it"
        ));
        command = command.arg("-t").arg(suite);
    }
    captured(command.args(packages))
}

/// The packages of QEMU's source depend on each other's exact version: when a part is installed
/// from a suite that is not the preferred one (backports), the others must come from there too.
fn qemu_suite(shell: &Shell, packages: &[&str]) -> Option<String> {
    const PARTS: [&str; 4] = [
        "qemu-system-x86",
        "qemu-utils",
        "qemu-system-common",
        "qemu-system-data",
    ];
    let wanted = packages.iter().find(|package| PARTS.contains(package))?;
    let wanted = policy(shell, wanted).ok()?;
    PARTS
        .iter()
        .find_map(|part| wanted.suite_to_match(&policy(shell, part).ok()?))
}

/// What apt knows about one package.
pub(crate) fn policy(shell: &Shell, package: &str) -> Result<Policy> {
    let output = cmd!(shell, "apt-cache policy {package}").quiet().read()?;
    Policy::parse(&output).with_context(|| {
        format!("reading `apt-cache policy {package}`: no such package in the lists")
    })
}

/// The package's description of one version: a control stanza.
pub(crate) fn show(shell: &Shell, package: &str, version: &str) -> Result<String> {
    let exact = format!("{package}={version}");
    Ok(cmd!(shell, "apt-cache show {exact}")
        .quiet()
        .ignore_stderr()
        .read()?)
}

/// The value of a field of a control stanza.
pub(crate) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Runs a command whose output matters only when it fails.
pub(crate) fn captured(command: Cmd<'_>) -> Result<()> {
    captured_std(&mut command.into())
}

/// The same for a command that can be sent to another thread.
pub(crate) fn captured_std(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("running `{}`", shown(command)))?;
    if output.status.success() {
        return Ok(());
    }
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    bail!(
        "`{}`: {}:\n{}",
        shown(command),
        output.status,
        console::tail(&said.join("\n"), 8)
    )
}

/// A command as a person would type it; of a script only the first line.
fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    match line.trim().split_once('\n') {
        Some((first, _)) => format!("{first} ..."),
        None => line,
    }
}
