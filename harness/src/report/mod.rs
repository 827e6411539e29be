//! Records of a run as text for people and machines: one file per format behind one trait.
//!
//! A report is a pure function of the record, so two runs with equal results print equal text.

mod html;
mod json;
mod junit;
mod markdown;
mod merge;
mod record;
#[cfg(test)]
mod sample;
mod score;
mod text;
mod visible;

pub use html::{CaseText, Html};
pub use json::Json;
pub use junit::Junit;
pub use markdown::Markdown;
pub use merge::merge;
pub use record::{
    ChainRecord, EMBARGOED, FindingRecord, KnownRecord, Record, StageRecord, TrialRecord,
};
pub use text::Text;
pub use visible::visible;

/// A format of reports.
pub trait Report {
    /// The whole report.
    fn render(&self, record: &Record) -> String;
}
