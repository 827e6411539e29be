//! `harness bench`: how long things take, measured side by side in one run.
//!
//! A figure by itself says little on a machine that others use too. So every contender runs once
//! per round, in an order that rotates, and what counts is the median over the rounds and the ratio
//! to another contender of the same round.

mod boot;
mod convert;
mod figures;
mod race;
mod table;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use fs_err as fs;
use serde::Serialize;

use super::{EXIT_GREEN, Home};

/// Times conversions and boots side by side.
#[derive(Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Convert(convert::Convert),
    Boot(boot::Boot),
    /// Runs the commands of a plan, read from standard input, and measures them.
    #[command(name = convert::MEASURE, hide = true)]
    Measure,
    /// Decompresses files and drops what comes out.
    #[command(name = convert::INFLATE, hide = true)]
    Inflate {
        blobs: Vec<PathBuf>,
    },
}

impl Bench {
    /// Exit 0: every contender that could run was timed; 1: one failed.
    pub(super) fn run(&self, home: &Home) -> anyhow::Result<u8> {
        match &self.what {
            What::Convert(convert) => convert.run(home),
            What::Boot(boot) => boot.run(home),
            What::Measure => convert::measure_main().map(|()| EXIT_GREEN),
            What::Inflate { blobs } => convert::inflate(blobs).map(|()| EXIT_GREEN),
        }
    }
}

/// The machine that the figures are of, and how busy it was with other things.
#[derive(Clone, Debug, Serialize)]
struct Host {
    /// The harness's version and how it was built.
    harness: String,
    /// Processors that this process may use.
    processors: usize,
}

impl Host {
    fn here() -> Host {
        let build = match cfg!(debug_assertions) {
            true => "debug build: its own figures mean little, build with --release",
            false => "release build",
        };
        Host {
            harness: format!("{}, {build}", env!("CARGO_PKG_VERSION")),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// The load averages over 1, 5 and 15 minutes, as the kernel says them.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    match words.as_slice() {
        [] => "unknown".to_owned(),
        words => words.join(" "),
    }
}

fn write_json(path: &Path, report: &impl Serialize) -> anyhow::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(())
}

/// `--runs`: at least one, and not so many that nobody waits for the end.
fn rounds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("give a number from 1 to 1000".to_owned()),
    }
}
