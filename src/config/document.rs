//! The document that is being read: its text, where its bytes stand, and what was found in it.

use std::cell::RefCell;
use std::collections::HashSet;

use toml::de::DeTable;

use crate::base::diag::LineIndex;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::config::Source;
use crate::config::keys::Keys;
use crate::config::syntax::Syntax;

/// The file that is being read, and what was found in it.
pub(super) struct File<'a> {
    /// What is read.
    pub(super) source: &'a Source<'a>,
    lines: LineIndex<'a>,
    /// Those of its tables, the top level first.
    pub(super) keys: &'static [&'static Keys],
    /// Lines with a syntax error; if there are any, the document is incomplete.
    broken_lines: HashSet<u32>,
    /// What stands for a table that is left out.
    pub(super) nothing: DeTable<'a>,
    report: RefCell<Report>,
}

impl<'a> File<'a> {
    /// A file whose syntax was checked; its syntax errors are added.
    pub(super) fn new(
        source: &'a Source<'a>,
        keys: &'static [&'static Keys],
        syntax: &Syntax,
    ) -> Self {
        let mut file = Self {
            source,
            lines: LineIndex::new(&source.file, source.text),
            keys,
            broken_lines: HashSet::new(),
            nothing: DeTable::new(),
            report: RefCell::default(),
        };
        for fault in &syntax.faults {
            file.add(Severity::Error, fault.offset, &fault.message);
            if fault.breaks_line {
                let line = file.place(fault.offset).line;
                file.broken_lines.insert(line);
            }
        }
        file
    }

    /// The place of a byte.
    pub(super) fn place(&self, offset: usize) -> Place {
        self.lines.place(offset)
    }

    /// Adds a fault, unless its line is broken anyway.
    pub(super) fn add(&self, severity: Severity, offset: usize, message: &str) {
        let place = self.place(offset);
        if self.broken_lines.contains(&place.line) {
            return;
        }
        let mut report = self.report.borrow_mut();
        match severity {
            Severity::Error => report.error(place, message),
            Severity::Warning => report.warning(place, message),
        }
    }

    /// Whether the document holds everything that the operator wrote.
    pub(super) fn is_whole(&self) -> bool {
        self.broken_lines.is_empty()
    }

    /// Whether there was an error so far.
    pub(super) fn has_errors(&self) -> bool {
        self.report.borrow().has_errors()
    }

    /// Everything that was found.
    pub(super) fn into_report(self) -> Report {
        self.report.into_inner()
    }
}
