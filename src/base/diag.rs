//! Diagnostics: what is wrong with something an operator wrote, and where.
//!
//! Loaders collect them in a [`Report`] instead of stopping at the first, and every reader (`check`,
//! `serve`, a reload, the API) prints them the same way: `FILE:LINE:COLUMN: what is wrong, what was
//! expected`. A warning has `warning: ` in front of its sentence.
//!
//! Files are strangers' text at a hoster, so what is printed is bounded and harmless, whatever they hold:
//! messages quote an [`excerpt`] of what was written, a report holds so many diagnostics and octets and
//! counts the others, and what a terminal would obey is escaped.

use std::borrow::Cow;
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
}

/// A file's text with its lines counted, for any number of places in it.
#[derive(Debug)]
pub struct LineIndex<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    /// Where each line but the first begins, in octets.
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    /// Counts the lines of a file.
    pub fn new(file: &'a Arc<str>, text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { file, text, starts }
    }

    /// The position of a byte offset; one behind the end is that of the end.
    pub fn place(&self, offset: usize) -> Place {
        let end = self.text.floor_char_boundary(offset);
        let n_before = self.starts.partition_point(|start| *start <= end);
        let start = n_before.checked_sub(1).map_or(0, |last| self.starts[last]);
        Place {
            file: Arc::clone(self.file),
            line: n_before as u32 + 1,
            column: self.text[start..end].chars().count() as u32 + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", one_line(&self.file), self.line, self.column)
    }
}

/// One fault or warning for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What is wrong and what was expected: lower case, no final dot, one line that a terminal shows as
    /// it is.
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

/// The most that a report holds. A file that is something else altogether has a fault on every line.
const MAX_DIAGNOSTICS: usize = 10_000;

/// The most octets that a report's messages have together.
const MAX_REPORT_LEN: usize = 4 << 20;

/// The most characters of a message.
const MAX_MESSAGE: usize = 1_000;

/// The most characters of a token that a message repeats.
const MAX_EXCERPT: usize = 60;

/// The beginning of what was written, for a message to quote.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    cut(text, MAX_EXCERPT)
}

/// A text cut to a number of characters, with an ellipsis in place of the rest.
fn cut(text: &str, max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text.into(),
    }
}

/// A text on one line: what a terminal obeys (control characters, and those that change the direction of
/// writing) is escaped, and so is what nobody sees.
pub fn one_line(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| matches!(c, ' '..='~');
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    line.into()
}

/// Everything found while loading, in the order it was found; of what is more than ten thousand, or more
/// than 4 MiB, only the number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    /// The same again, so that a repeat is found at once: a large zone can have many.
    seen: HashSet<Diagnostic>,
    /// Octets of all messages.
    len: usize,
    left_out: LeftOut,
}

/// How many more there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LeftOut {
    errors: usize,
    warnings: usize,
}

impl Report {
    /// Adds an error.
    pub fn error(&mut self, place: Place, message: impl AsRef<str>) {
        self.push(Severity::Error, place, message.as_ref());
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: Place, message: impl AsRef<str>) {
        self.push(Severity::Warning, place, message.as_ref());
    }

    fn push(&mut self, severity: Severity, place: Place, message: &str) {
        let diagnostic = Diagnostic {
            severity,
            place,
            message: cut(&one_line(message), MAX_MESSAGE).into_owned(),
        };
        if self.seen.contains(&diagnostic) {
            return;
        }
        if self.diagnostics.len() < MAX_DIAGNOSTICS && self.len < MAX_REPORT_LEN {
            self.len += diagnostic.message.len();
            self.seen.insert(diagnostic.clone());
            self.diagnostics.push(diagnostic);
        } else {
            match severity {
                Severity::Error => self.left_out.errors += 1,
                Severity::Warning => self.left_out.warnings += 1,
            }
        }
    }

    /// Takes over everything another report holds.
    pub fn append(&mut self, other: Self) {
        for d in other.diagnostics {
            self.push(d.severity, d.place, &d.message);
        }
        self.left_out.errors += other.left_out.errors;
        self.left_out.warnings += other.left_out.warnings;
    }

    /// The same with its errors as warnings: of something that is not taken, but refuses nothing.
    #[must_use]
    pub fn into_warnings(self) -> Self {
        let mut warnings = Self::default();
        for d in self.diagnostics {
            warnings.warning(d.place, d.message);
        }
        warnings.left_out.warnings += self.left_out.errors + self.left_out.warnings;
        warnings
    }

    /// The same without its warnings.
    #[must_use]
    pub fn without_warnings(mut self) -> Self {
        let is_error = |d: &Diagnostic| d.severity == Severity::Error;
        self.diagnostics.retain(is_error);
        self.seen.retain(is_error);
        self.left_out.warnings = 0;
        self
    }

    /// Whether anything must be refused.
    pub fn has_errors(&self) -> bool {
        self.n_errors() > 0
    }

    /// The number of errors.
    pub fn n_errors(&self) -> usize {
        let is_error = |d: &&Diagnostic| d.severity == Severity::Error;
        self.diagnostics.iter().filter(is_error).count() + self.left_out.errors
    }

    /// All diagnostics, by file, line and column; those of one place stay in the order found.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<_> = self.diagnostics.iter().collect();
        all.sort_by_key(|d| &d.place);
        all
    }
}

impl fmt::Display for Report {
    /// One line per diagnostic, sorted, and one for those that were left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.sorted() {
            writeln!(f, "{diagnostic}")?;
        }
        match self.left_out.errors + self.left_out.warnings {
            0 => Ok(()),
            n => writeln!(f, "and {n} more"),
        }
    }
}

/// The longest word that [`did_you_mean`] looks at, in octets.
const MAX_MISSPELT_LEN: usize = 100;

/// The known word nearest to a misspelt one, if one is near enough to be meant.
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes time in proportion to the length, which may be that of a whole file.
    if wrong.len() > MAX_MISSPELT_LEN {
        return None;
    }
    let folded = wrong.to_lowercase();
    let len = folded.chars().count();
    let largest = |word: &str| 1 + word.chars().count() / 4;
    known
        .into_iter()
        // Words differ by at least the difference of their lengths, and a key can be megabytes long.
        .filter(|word| word.chars().count().abs_diff(len) <= largest(word))
        .map(|word| {
            (
                strsim::damerau_levenshtein(&folded, &word.to_lowercase()),
                word,
            )
        })
        .filter(|(distance, word)| *distance <= largest(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let file: Arc<str> = "x.toml".into();
        let lines = LineIndex::new(&file, "a = 1\nü = \"2\"\n");
        for (offset, place) in [
            (0, "x.toml:1:1"),
            (5, "x.toml:1:6"),
            (6, "x.toml:2:1"),
            (7, "x.toml:2:1"),
            (11, "x.toml:2:5"),
            (999, "x.toml:3:1"),
        ] {
            assert_eq!(lines.place(offset).to_string(), place);
        }
        assert_eq!(LineIndex::new(&file, "").place(0).to_string(), "x.toml:1:1");
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
    fn reports_end_somewhere_and_still_count() {
        let file: Arc<str> = "x.toml".into();
        let mut report = Report::default();
        for line in 0..MAX_DIAGNOSTICS {
            let place = Place {
                line: line as u32,
                ..Place::file(&file)
            };
            report.warning(place, "strange");
        }
        assert!(!report.has_errors());
        report.warning(Place::file(&file), "late");
        report.error(Place::file(&file), "late");
        report.append(report.clone());
        assert!(report.has_errors());
        assert_eq!(report.sorted().len(), MAX_DIAGNOSTICS);
        assert_eq!(report.n_errors(), 2);
        assert!(report.to_string().ends_with("strange\nand 4 more\n"));
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        for (written, printed) in [
            (
                "plain text, \"quoted\" \\ and `ticked`",
                "plain text, \"quoted\" \\ and `ticked`",
            ),
            ("größer 日本 ✓", "größer 日本 ✓"),
            ("\x1b[31mred\x1b[0m", r"\u{1b}[31mred\u{1b}[0m"),
            ("a\nb\r\tc\0", r"a\nb\r\tc\0"),
            ("\x08\x07\x7f", r"\u{8}\u{7}\u{7f}"),
            ("\u{9b}2J\u{85}", r"\u{9b}2J\u{85}"),
            ("\u{202e}gnp.\u{2066}", r"\u{202e}gnp.\u{2066}"),
            ("\u{200e}\u{200f}\u{61c}", r"\u{200e}\u{200f}\u{61c}"),
            (
                "\u{2028}\u{2029}\u{feff}\u{200b}",
                r"\u{2028}\u{2029}\u{feff}\u{200b}",
            ),
        ] {
            let mut report = Report::default();
            report.error(Place::file(&written.into()), written);
            assert_eq!(report.to_string(), format!("{printed}:1:1: {printed}\n"));
            assert_eq!(report.sorted()[0].message, printed);
        }
    }

    #[test]
    fn messages_and_reports_have_a_bounded_length() {
        let file: Arc<str> = "x.toml".into();
        let mut report = Report::default();
        let n = 2 * MAX_REPORT_LEN / MAX_MESSAGE;
        for line in 0..n {
            let place = Place {
                line: line as u32,
                ..Place::file(&file)
            };
            report.error(place, "x".repeat(1 << 12));
        }
        let shown = report.sorted();
        let longest = shown.iter().map(|d| d.message.chars().count()).max();
        assert_eq!(longest, Some(MAX_MESSAGE + 1));
        assert!(shown[0].message.ends_with("x…"));
        assert!(report.to_string().len() < MAX_REPORT_LEN + MAX_REPORT_LEN / 10);
        assert_eq!(report.n_errors(), n);
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"ü".repeat(61)), "ü".repeat(60) + "…");
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
