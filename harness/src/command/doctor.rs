//! `harness doctor`: what this host can check, and why not the rest.

use std::fmt::Write as _;

use clap::Args;

use super::equip::Equip;
use super::interrupt::Unfinished;
use super::{EXIT_GREEN, EXIT_RED, Home};
use crate::check::Equipment;
use crate::runner::{Runners, contain};
use crate::suite::version;

/// Shows what this host can check: containment, root, the machine to boot in, each converter's program.
#[derive(Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    equip: Equip,
}

impl Doctor {
    /// Exit 0: everything can be checked; 1: something cannot.
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        let equipment = self.equip.equipment(home, true)?;
        let folders = [&equipment.work, &*equipment.temporary];
        let _unfinished = folders.map(|folder| Unfinished::new(folder.path()));
        let runners = Runners::read(&home.root.join("runners"), &self.equip.tools(home))?;
        let mut out = String::new();
        let mut complete = host(&equipment, &mut out)?;
        for runner in runners.iter() {
            let name = &runner.name;
            let root = runner.root.word();
            match equipment.lacks(runner) {
                None => writeln!(out, "{name:24} {root:9} {}", version(runner, &equipment))?,
                Some(lack) => {
                    writeln!(out, "{name:24} missing   {lack}")?;
                    complete = false;
                }
            }
        }
        super::print(&out)?;
        Ok(if complete { EXIT_GREEN } else { EXIT_RED })
    }
}

fn host(equipment: &Equipment, out: &mut String) -> anyhow::Result<bool> {
    let protections = contain::probe(&equipment.helper);
    let way = format!("{:?}", protections.way).to_lowercase();
    match protections.missing.as_slice() {
        [] => writeln!(out, "containment  full ({way})")?,
        missing => writeln!(out, "containment  {way}, without {}", missing.join(", "))?,
    }
    for reason in &protections.reasons {
        writeln!(out, "             {reason}")?;
    }
    let root = if equipment.is_root {
        "yes"
    } else {
        "no: native and umoci need it for directories"
    };
    writeln!(out, "root         {root}")?;
    match &equipment.machine {
        Ok(machine) => writeln!(out, "machine      {}", machine.describe())?,
        Err(why) => writeln!(out, "machine      none: {why}")?,
    }
    let mut complete =
        protections.missing.is_empty() && equipment.is_root && equipment.machine.is_ok();
    for program in ["e2fsck", "fsck.erofs"] {
        let is_there = equipment.has(program);
        complete &= is_there;
        let word = if is_there { "found" } else { "missing" };
        writeln!(out, "{program:12} {word}")?;
    }
    Ok(complete)
}
