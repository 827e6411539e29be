//! How the project is gated: set-up of the machine, the tests, the real image.
//!
//! `.ci/run` and the workflow file only call this program, so what a person runs at the desk is
//! what the gate runs. It needs nothing but Rust, and arranges programs; it judges nothing itself.

mod apt;
mod built_tools;
mod console;
mod gate;
mod kernel;
mod main_job;
mod real_image;
mod setup;
mod sources;
mod tool_roots;
mod tools;
mod unpack;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Sets up the machine, runs every test, makes the real image.
#[derive(Parser)]
#[command(name = "ci", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the tools the project works with, unpack a guest kernel under `target/kernel`, and make the
    /// systems with other versions of tools under `target/tools`
    Setup {
        /// Fail when a tool or the kernel is missing at the end
        #[arg(long)]
        strict: bool,
        /// Make the tool roots again although they are there
        #[arg(long)]
        renew_roots: bool,
        /// Where Debian's archive is; else what this machine's apt is set up with
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Set up, then convert, check and boot the corpus's python image, and a real Debian image
    Try,
    /// Set up, then check format and lints, build, test, and run the conformance suite
    Test {
        /// Require exactly these checks to be possible, instead of all this machine can do
        #[arg(long, value_delimiter = ',', value_name = "LIST", value_parser = gate::NAMES)]
        require: Option<Vec<String>>,
    },
    /// Build what converters need that no distribution packages, under `target/tools/built`
    Tool {
        /// The converters' names; none: all that need something built
        names: Vec<String>,
        /// Build again although it is there
        #[arg(long)]
        force: bool,
    },
    /// Make an image of the distribution's packages with Python, as an OCI layout `target/real`
    RealImage {
        /// Make it again although it is there
        #[arg(long)]
        force: bool,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            console::problem(&format!("ci: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let workspace = Workspace::open()?;
    let done = match &cli.command {
        Command::Setup {
            strict,
            renew_roots,
            mirror,
        } => {
            let complete = setup::setup(&workspace)?;
            let rooted = tool_roots::make(&workspace, mirror.as_deref(), *renew_roots);
            complete && rooted || !strict
        }
        Command::Try => main_job::try_it(&workspace)?,
        Command::Test { require } => gate::test(&workspace, require.as_deref())?,
        Command::Tool { names, force } => built_tools::build(&workspace, names, *force)?,
        Command::RealImage { force } => {
            real_image::real_image(&workspace, *force)?;
            true
        }
    };
    Ok(if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
