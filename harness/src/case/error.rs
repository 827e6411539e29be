//! What is wrong with a case file, shown where it is wrong.

use std::fmt;
use std::ops::Range;

/// What is wrong with a case file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CaseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The number of characters the caret spans.
    pub width: usize,
    /// The text of the line.
    pub source_line: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl CaseError {
    /// The error at a span of `text`, or at its beginning.
    pub(super) fn at(
        text: &str,
        span: Option<Range<usize>>,
        message: impl Into<String>,
    ) -> CaseError {
        let span = span.unwrap_or(0..0);
        let start = span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let end = span.end.clamp(start, line_end);
        CaseError {
            line: line_number(text, start),
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].chars().count().max(1),
            source_line: text[line_start..line_end].to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CaseError {
            line,
            column,
            width,
            source_line,
            message,
        } = self;
        let gutter = " ".repeat(line.to_string().len());
        writeln!(f, "line {line}, column {column}: {message}")?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{line} | {source_line}")?;
        write!(
            f,
            "{gutter} | {}{}",
            " ".repeat(column - 1),
            "^".repeat(*width)
        )
    }
}

/// The line of an offset, from 1.
pub(super) fn line_number(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}
