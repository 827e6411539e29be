//! From an artifact to findings.

mod apart;
pub mod batch;
mod boot;
mod cell;
mod contain;
pub mod direct;
mod fault;
mod finding;
mod fsck;
mod images;
mod kept;
mod outcome;
mod question;
mod repeat;
mod same;
mod shelf;
mod tree;
mod trial;
mod unequal;
mod work;

pub use fault::Fault;
pub use finding::{Finding, FindingKind, FindingPlace, OF_TWIN};
pub use kept::Kept;
pub use outcome::{Outcome, Reason};
pub use question::{Question, Source, Wanted};
pub use trial::{Equipment, Trial, TrialResult};
pub use work::{SharedFolder, WorkFolder};
