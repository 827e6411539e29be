//! The record itself, as JSON.

use super::{Record, Report};

/// `run.json`.
pub struct Json;

impl Report for Json {
    fn render(&self, record: &Record) -> String {
        serde_json::to_string_pretty(record).expect("a record is plain data") + "\n"
    }
}
