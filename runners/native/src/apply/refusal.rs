//! Why an entry cannot be applied.

use crate::limits;
use crate::name::NameError;
use crate::sink::SinkError;
use crate::tar::TarError;

/// Why an entry cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Output(#[from] SinkError),
    #[error("the root of the filesystem can only be a directory")]
    RootKind,
    #[error("a whiteout that is not a regular file")]
    WhiteoutKind,
    #[error("a parent is not a directory in the same layer")]
    ParentNotDirectory,
    #[error("a parent is a symbolic link that leads nowhere")]
    ParentDangling,
    #[error("a parent is a symbolic link to something that is not a directory")]
    ParentLinkToFile,
    #[error("a parent leads through too many symbolic links")]
    ParentLoop,
    #[error("the target `{0}` of the hard link does not exist")]
    LinkTarget(String),
    #[error("the target `{0}` of the hard link is a directory")]
    LinkToDirectory(String),
    #[error("the hard link replaces the directory that its target is in")]
    LinkReplacesTarget,
    #[error("more than {} names", limits::TREE_NAMES)]
    TooManyNames,
    #[error("more than {} bytes of extended attributes", limits::XATTR_BYTES_HELD)]
    TooManyXattrs,
    #[error("more than {} bytes of whiteouts", limits::WHITEOUT_BYTES_HELD)]
    TooManyWhiteouts,
    /// Final only if applying the layer's whiteouts first does not help.
    #[error("a whiteout changes where earlier entries of its layer belong")]
    WhiteoutTooLate,
}

impl Refusal {
    /// Whether it could be otherwise if the layer's whiteouts had come first.
    pub(super) fn depends_on_order(&self) -> bool {
        matches!(
            self,
            Self::WhiteoutTooLate
                | Self::ParentDangling
                | Self::ParentLinkToFile
                | Self::ParentLoop
        )
    }
}
