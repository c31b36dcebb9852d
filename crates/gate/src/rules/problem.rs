//! What is wrong with a rule set, with the place where its author finds it.

use std::fmt;

use miette::Diagnostic;
use serde::Serialize;

/// One thing that is wrong, or doubtful, in a source text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which text: `policies`, `schema`, `manifest`, `table`, `never`, or `bytes` for the canonical form.
    pub part: &'static str,
    /// Line, from 1; 0 where the text as a whole is meant. In a table: the row, the header being row 1.
    pub line: usize,
    /// Column in characters, from 1; in a table the column's number. 0 where the line as a whole is meant.
    pub column: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// A problem of a text as a whole.
    pub(crate) fn of(part: &'static str, message: impl Into<String>) -> Self {
        Self { part, line: 0, column: 0, message: message.into() }
    }

    /// A problem at a byte offset of `source`.
    pub(crate) fn at(part: &'static str, source: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = position(source, offset);
        Self { part, line, column, message: message.into() }
    }

    /// What Cedar says, at the place it names.
    pub(crate) fn from_cedar(part: &'static str, source: &str, diagnostic: &(dyn Diagnostic + '_)) -> Self {
        let mut message = diagnostic.to_string();
        if let Some(help) = diagnostic.help() {
            message = format!("{message} ({help})");
        }
        let label = diagnostic.labels().and_then(|mut labels| labels.next());
        if let Some(text) = label.as_ref().and_then(|label| label.label()) {
            message = format!("{message}: {text}");
        }
        match label {
            Some(label) => Self::at(part, source, label.offset(), message),
            None => Self::of(part, message),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}: {}", self.part, self.message),
            (line, 0) => write!(f, "{}:{line}: {}", self.part, self.message),
            (line, column) => write!(f, "{}:{line}:{column}: {}", self.part, self.message),
        }
    }
}

/// Line and column, from 1, of a byte offset.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(source.len());
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let before = &source[..end];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Why a rule set is no rule set: every problem found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
