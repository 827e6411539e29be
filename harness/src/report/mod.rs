//! Records of a run as text for people and machines: one file per format behind one trait.
//!
//! A report is a pure function of the record, so two runs with equal results print equal text.

mod json;
mod junit;
mod markdown;
mod record;
mod text;

pub use json::Json;
pub use junit::Junit;
pub use markdown::Markdown;
pub use record::{ChainRecord, FindingRecord, KnownRecord, Record, StageRecord, TrialRecord};
pub use text::Text;

/// A format of reports.
pub trait Report {
    /// The whole report.
    fn render(&self, record: &Record) -> String;
}
