//! What a converter did besides making its output.

use super::{Finding, FindingKind};
use crate::runner::Converted;
use crate::runner::contain::Leftover;

/// Escapes and leftovers as findings.
pub(super) fn findings(converted: &Converted) -> Vec<Finding> {
    let escapes = converted.escapes.iter().map(|(stage, escape)| {
        let text = format!("{stage}: {:?} {}", escape.kind, escape.path.display());
        Finding::text(FindingKind::Escape, text)
    });
    let leftovers = converted.leftovers.iter().map(|(stage, leftover)| {
        let what = match leftover {
            Leftover::TemporaryFile(path) => format!("temporary file {}", path.display()),
            Leftover::Mount(path) => format!("mount at {}", path.display()),
            Leftover::LoopDevice(name, file) => {
                format!("loop device {name} on {}", file.display())
            }
            Leftover::DeviceMapper(name) => format!("device-mapper entry {name}"),
            Leftover::Process(name) => format!("process {name}"),
        };
        Finding::text(FindingKind::Unclean, format!("{stage} left a {what}"))
    });
    escapes.chain(leftovers).collect()
}
