//! `harness convert`: the native extractor as a tool of its own.

use std::path::PathBuf;

use clap::Args;

use super::{EXIT_GREEN, EXIT_RED, interrupt};

/// Converts an OCI image layout with this project's own extractor.
#[derive(Args)]
pub(super) struct Convert {
    /// The image layout.
    #[arg(long, value_name = "DIR")]
    layout: PathBuf,
    /// The reference of the image [default: the only one, or the first for linux/amd64].
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// What to make: `dir` (needs root for owners and devices) or `tar` (needs nothing).
    #[arg(long, value_name = "FORMAT", default_value = "dir")]
    format: native::Format,
    /// Where to make it; it must not exist.
    output: PathBuf,
}

impl Convert {
    /// Exit 0: converted; 1: rejected, and nothing is left at the output.
    pub(super) fn run(&self) -> anyhow::Result<u8> {
        let converted = native::convert(&native::Request {
            layout: &self.layout,
            reference: self.reference.as_deref(),
            output: &self.output,
            format: self.format,
            stop: Some(interrupt::leave_to_command()),
        });
        match converted {
            Ok(_) => Ok(EXIT_GREEN),
            Err(error) => {
                interrupt::end_if_arrived();
                super::complain(&format!("{:#}", anyhow::Error::new(error)));
                Ok(EXIT_RED)
            }
        }
    }
}
