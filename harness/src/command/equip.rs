//! What a run works with, from flags and from what the machine has.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum, value_parser};

use super::Home;
use crate::boot::{self, Machine};
use crate::check::{Equipment, Reason};
use crate::runner::contain::Limits;

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
    };
    Ok(Equipment {
        helper,
        ..equip.equipment(home, boots)?
    })
}

impl Equip {
    /// Finds what there is. The machine is only looked for when something will be booted.
    pub(super) fn equipment(&self, home: &Home, boots: bool) -> anyhow::Result<Equipment> {
        let mode = match self.boot {
            BootWay::Snapshot => Some(boot::Mode::Snapshot),
            BootWay::Cold => Some(boot::Mode::Cold),
            BootWay::Off => None,
        };
        let machine = match mode {
            None => Err("booting is switched off (--boot off)".to_owned()),
            Some(_) if !boots => Err("nothing to boot: no filesystem image is made".to_owned()),
            Some(mode) => Machine::find(&boot::Options {
                qemu: self.qemu.clone(),
                kernel: self.kernel.clone(),
                modules: self.modules.clone(),
                roots: vec![home.root.join("target/kernel"), PathBuf::from("/")],
                cache: home.scratch().join("boot"),
                mode,
                accel: boot::Accel::Auto,
            })
            .map_err(|missing| missing.to_string()),
        };
        let helper = std::env::current_exe().context("failed to find the harness's own program")?;
        Ok(Equipment {
            helper,
            machine,
            is_root: rustix::process::geteuid().is_root(),
            limits: Limits {
                time: Duration::from_secs(self.time_limit),
                ..Limits::default()
            },
            work: home.scratch().join("work"),
            kept: home.scratch().join("kept"),
        })
    }
}
