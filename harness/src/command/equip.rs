//! What a run works with, from flags and from what the machine has.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum, value_parser};

use super::Home;
use crate::boot::{self, Machine};
use crate::check::{Equipment, Fault, Kept, Reason, SharedFolder, WorkFolder};
use crate::runner::contain::{Limits, Surroundings};
use crate::runner::{Profile, Tools};

/// Where temporary files are, so that what a killed run left is removed with the rest.
static TEMPORARY: SharedFolder = SharedFolder::new();

/// How images are booted, and in what.
#[derive(Args, Clone)]
pub(super) struct Equip {
    /// How images are booted: from a snapshot of a booted guest, each from the start, or not at all.
    #[arg(long, value_enum, default_value_t = BootWay::Snapshot)]
    boot: BootWay,
    /// The QEMU to boot in [default: qemu-system-x86_64].
    #[arg(long, value_name = "FILE")]
    qemu: Option<PathBuf>,
    /// The guest kernel [default: target/kernel/, then the host's].
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The folder of the guest kernel's modules.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// How long a converter may take for one image, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..))]
    time_limit: u64,
    /// Where programs of converters come from: the tool roots of `ci setup`, or the host.
    #[arg(long, value_enum, default_value_t = ToolsFrom::Roots)]
    tools: ToolsFrom,
    /// Convert everything only once, and do not check whether a second conversion gives the same.
    #[arg(long)]
    once: bool,
    /// What goes wrong on purpose during each conversion, which must then fail cleanly or give the right
    /// tree all the same: disk-full, slow-blob, truncate-blob, kill-at=N%, term-at=N%.
    #[arg(long, value_name = "FAULT")]
    fault: Option<Fault>,
    /// How images become the root: ro (as they are, read-only), overlay (under a writable layer on a
    /// second disk), rw (as they are, writable), layers (stacked in the guest) [default: what the
    /// runner says, else ro, and layers where a converter makes them].
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ToolsFrom {
    Roots,
    Host,
}

#[derive(Clone, Copy, ValueEnum)]
enum BootWay {
    Snapshot,
    Cold,
    Off,
}

/// What must not be skipped.
#[derive(Args, Clone, Default)]
pub(super) struct Require {
    /// Turn skips into errors: root, tool, boot, fsck, contain, or all.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = required)]
    require: Vec<Required>,
}

#[derive(Clone, Copy)]
enum Required {
    All,
    One(Reason),
}

fn required(word: &str) -> Result<Required, String> {
    match word {
        "all" => Ok(Required::All),
        word => word.parse().map(Required::One),
    }
}

impl Require {
    /// The forbidden reasons. `all` is what a machine can lack; what a converter does not claim to do
    /// is no lack.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for required in &self.require {
            match required {
                Required::One(reason) => reasons.push(*reason),
                Required::All => {
                    reasons.extend(Reason::ALL.into_iter().filter(|r| *r != Reason::Capability));
                }
            }
        }
        reasons
    }
}

/// The equipment of `cargo test`: the ordinary one, with a program that is not the test's own.
///
/// # Errors
///
/// As for a run.
pub fn equipment_for_tests(home: &Home, helper: PathBuf, boots: bool) -> anyhow::Result<Equipment> {
    let equip = Equip {
        boot: BootWay::Snapshot,
        qemu: None,
        kernel: None,
        modules: None,
        time_limit: Limits::default().time.as_secs(),
        tools: ToolsFrom::Roots,
        once: false,
        fault: None,
        profile: None,
    };
    Ok(Equipment {
        helper,
        ..equip.equipment(home, boots)?
    })
}

impl Equip {
    /// Where programs of converters are looked for.
    pub(super) fn tools(&self, home: &Home) -> Tools {
        match self.tools {
            ToolsFrom::Roots => home.tools(),
            ToolsFrom::Host => Tools::Host,
        }
    }

    /// Finds what there is. The machine is only looked for when something will be booted.
    pub(super) fn equipment(&self, home: &Home, boots: bool) -> anyhow::Result<Equipment> {
        let mode = match self.boot {
            BootWay::Snapshot => Some(boot::Mode::Snapshot),
            BootWay::Cold => Some(boot::Mode::Cold),
            BootWay::Off => None,
        };
        let surroundings = surroundings(home)?;
        let machine = match mode {
            None => Err("booting is switched off (--boot off)".to_owned()),
            Some(_) if !boots => Err("nothing to boot: no filesystem image is made".to_owned()),
            Some(mode) => Machine::find(&boot::Options {
                qemu: self.qemu.clone().or_else(|| unpacked_qemu(home)),
                kernel: self.kernel.clone(),
                modules: self.modules.clone(),
                roots: vec![home.root.join("target/kernel"), PathBuf::from("/")],
                cache: home.scratch().join("boot"),
                mode,
                accel: boot::Accel::Auto,
            })
            .map_err(|missing| missing.to_string()),
        };
        let place = home.scratch().join("work");
        let work = WorkFolder::create(&place)?;
        let temporary = TEMPORARY.get(&place)?;
        // Only the first run of a process decides; it is the same folder for the others.
        let _ = tempfile::env::override_temp_dir(temporary.path());
        let helper = std::env::current_exe().context("failed to find the harness's own program")?;
        Ok(Equipment {
            helper,
            machine,
            is_root: rustix::process::geteuid().is_root(),
            limits: Limits {
                time: Duration::from_secs(self.time_limit),
                ..Limits::default()
            },
            work,
            temporary,
            surroundings,
            repeat: !self.once,
            fault: self.fault,
            profile: self.profile,
            kept: Kept::new(home.scratch().join("kept")),
        })
    }
}

/// Where `ci setup` puts programs that it may not install.
fn unpacked(home: &Home) -> PathBuf {
    home.root.join("target/tools/unpacked/bin")
}

/// What surrounds converters: installed programs first, then unpacked ones.
fn surroundings(home: &Home) -> anyhow::Result<Surroundings> {
    let mut surroundings = Surroundings::default();
    let installed = std::env::split_paths(&surroundings.path);
    surroundings.path =
        std::env::join_paths(installed.chain([unpacked(home)])).with_context(|| {
            format!(
                "failed to add `{}` to the search path",
                unpacked(home).display()
            )
        })?;
    Ok(surroundings)
}

/// An unpacked QEMU, where none is installed.
fn unpacked_qemu(home: &Home) -> Option<PathBuf> {
    const NAME: &str = "qemu-system-x86_64";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_installed = std::env::split_paths(&path).any(|folder| folder.join(NAME).is_file());
    let program = unpacked(home).join(NAME);
    (!is_installed && program.is_file()).then_some(program)
}
