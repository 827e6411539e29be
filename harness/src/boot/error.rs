//! What stops a boot check before it is about the image.

use std::fmt;

/// Something that the machine needs is not there, so nothing can be booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, as a phrase: `no guest kernel`.
    pub what: String,
    /// The places and names that were tried.
    pub tried: Vec<String>,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.tried.is_empty() {
            write!(f, " (tried {})", self.tried.join(", "))?;
        }
        write!(f, "; {}", self.hint)
    }
}

impl std::error::Error for Missing {}

/// The harness's own failure in booting, which says nothing about the image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket of the harness.
    #[error("{operation}: {source}")]
    Io {
        /// What was tried, with its object.
        operation: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// QEMU did not run as it must.
    #[error("qemu {what}{}", tail(.said))]
    Qemu {
        /// What happened, as a verb phrase: `ended with exit status 1`.
        what: String,
        /// The end of what it printed.
        said: String,
    },
    /// The guest did not get as far as asking for a job.
    #[error("the guest did not start: {what}{}", tail(.said))]
    Guest {
        /// What happened.
        what: String,
        /// The end of the transcript.
        said: String,
    },
}

impl Error {
    /// QEMU did something that it must not, and has said nothing of its own about it yet.
    pub(super) fn qemu(what: impl Into<String>) -> Error {
        Error::Qemu {
            what: what.into(),
            said: String::new(),
        }
    }

    /// The guest did something that our init does not do.
    pub(super) fn guest(what: impl Into<String>) -> Error {
        Error::Guest {
            what: what.into(),
            said: String::new(),
        }
    }

    /// For `map_err`: names the operation that failed.
    pub(super) fn io(operation: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let operation = operation.into();
        move |source| Error::Io { operation, source }
    }
}

fn tail(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!("; it said: {said}")
    }
}
