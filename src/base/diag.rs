//! Diagnostics: what is wrong with something an operator wrote, and where.
//!
//! Loaders collect them in a [`Report`] instead of stopping at the first, and every reader (`check`,
//! `serve`, a reload, the API) prints them the same way: `FILE:LINE:COLUMN: what is wrong, what was
//! expected`. A warning has `warning: ` in front of its sentence.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but probably not as meant.
    Warning,
}

/// A position in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the operator would name it.
    pub file: Arc<str>,
    /// The line; 1 where the file as a whole is meant.
    pub line: u32,
    /// The column; 1 where the line or file as a whole is meant.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn file(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            line: 1,
            column: 1,
        }
    }

    /// The position of a byte offset in `text`.
    pub fn at_offset(file: &Arc<str>, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self {
            file: Arc::clone(file),
            line: line as u32,
            column: column as u32,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong and what was expected: lower case, no final dot, one line.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.severity == Severity::Warning {
            "warning: "
        } else {
            ""
        };
        write!(f, "{}: {warning}{}", self.place, self.message)
    }
}

/// Everything found while loading, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    /// The same again, so that a repeat is found at once: a large zone can have many.
    seen: HashSet<Diagnostic>,
}

impl Report {
    /// Adds an error.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.push(Severity::Error, place, message.into());
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.push(Severity::Warning, place, message.into());
    }

    fn push(&mut self, severity: Severity, place: Place, message: String) {
        let diagnostic = Diagnostic {
            severity,
            place,
            message,
        };
        if self.seen.insert(diagnostic.clone()) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Takes over everything another report holds.
    pub fn append(&mut self, other: Self) {
        for d in other.diagnostics {
            self.push(d.severity, d.place, d.message);
        }
    }

    /// Whether anything must be refused.
    pub fn has_errors(&self) -> bool {
        self.n_errors() > 0
    }

    /// The number of errors.
    pub fn n_errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// All diagnostics, by file, line and column; those of one place stay in the order found.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<_> = self.diagnostics.iter().collect();
        all.sort_by_key(|d| &d.place);
        all
    }
}

impl fmt::Display for Report {
    /// One line per diagnostic, sorted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.sorted() {
            writeln!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

/// The known word nearest to a misspelt one, if one is near enough to be meant.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = wrong.to_lowercase();
    known
        .into_iter()
        .map(|word| {
            (
                strsim::damerau_levenshtein(&folded, &word.to_lowercase()),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let file: Arc<str> = "x.toml".into();
        let text = "a = 1\nü = \"2\"\n";
        assert_eq!(Place::at_offset(&file, text, 0).to_string(), "x.toml:1:1");
        assert_eq!(Place::at_offset(&file, text, 6).to_string(), "x.toml:2:1");
        assert_eq!(Place::at_offset(&file, text, 11).to_string(), "x.toml:2:5");
        assert_eq!(Place::at_offset(&file, text, 7).to_string(), "x.toml:2:1");
        assert_eq!(Place::at_offset(&file, text, 999).to_string(), "x.toml:3:1");
    }

    #[test]
    fn reports_are_sorted_and_free_of_repeats() {
        let file: Arc<str> = "x.toml".into();
        let at = |line| Place {
            file: Arc::clone(&file),
            line,
            column: 1,
        };
        let mut report = Report::default();
        report.warning(at(9), "late");
        report.error(at(2), "early");
        report.error(at(2), "early");
        assert_eq!(
            report.to_string(),
            "x.toml:2:1: early\nx.toml:9:1: warning: late\n"
        );
        assert_eq!(report.n_errors(), 1);
    }

    #[test]
    fn suggestions_are_near() {
        let known = ["interval", "timeout", "path"];
        assert_eq!(did_you_mean("intervall", known), Some("interval"));
        assert_eq!(did_you_mean("tiemout", known), Some("timeout"));
        assert_eq!(did_you_mean("Path", known), Some("path"));
        assert_eq!(did_you_mean("weight", known), None);
    }
}
