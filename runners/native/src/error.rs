//! The one error of the crate: operation, what it was about, cause.

use std::path::{Path, PathBuf};

/// Why an image was not converted. Nothing is left at the output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A document of the layout (`oci-layout`, index, manifest, configuration) is missing, malformed
    /// or asks for something this extractor refuses.
    #[error("{document}: {problem}")]
    Document {
        /// Which document, with its digest where it has one.
        document: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer's blob or stream is wrong.
    #[error("layer {layer} ({digest}): {cause}")]
    Layer {
        /// Position in the manifest, the base layer is 1.
        layer: usize,
        /// Digest of its blob.
        digest: String,
        /// What is wrong with it.
        cause: Cause,
    },
    /// An entry of a layer is refused, or could not be written.
    #[error("layer {layer} ({digest}), entry `{entry}`: {cause}")]
    Entry {
        /// Position in the manifest, the base layer is 1.
        layer: usize,
        /// Digest of its blob.
        digest: String,
        /// The entry's name, escaped.
        entry: String,
        /// What is wrong with it.
        cause: Cause,
    },
    /// The host refused an operation.
    #[error("cannot {operation} `{}`: {cause}", path.display())]
    Io {
        /// What was tried, a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        cause: Cause,
    },
}

/// The reason inside an [`Error`].
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    pub(crate) fn document(document: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Document {
            document: document.into(),
            problem: problem.into(),
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path, cause: impl Into<Cause>) -> Self {
        Self::Io {
            operation,
            path: path.to_owned(),
            cause: cause.into(),
        }
    }
}
