//! The names that operators give to tables, and references to them.

use std::cell::Cell;
use std::collections::HashMap;

use toml::de::DeTable;

use crate::base::diag::Place;
use crate::base::diag::Severity;
use crate::base::diag::did_you_mean;
use crate::base::diag::excerpt;
use crate::config::document::File;
use crate::config::keys::Keys;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::config::written::hint;
use crate::config::written::quoted;

/// A name that the operator gave to a table.
pub(super) struct Name<'a> {
    file: &'a File<'a>,
    /// The table that it stands in.
    kind: &'static str,
    /// Without quotes.
    pub(super) text: &'a str,
    offset: usize,
    used: Cell<bool>,
}

impl Name<'_> {
    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.file.place(self.offset)
    }

    /// Adds an error about the name; the message goes on after it.
    pub(super) fn fault(&self, message: &str) {
        self.add(Severity::Error, message);
    }

    /// The name, if it fits URLs and metric labels.
    pub(super) fn plain(&self) -> Option<Box<str>> {
        let plain = units::plain_name(self.text);
        if plain.is_none() {
            self.fault(&format!(
                "is no fitting name, expected {}",
                units::PLAIN_NAME
            ));
        }
        plain
    }

    fn add(&self, severity: Severity, message: &str) {
        let message = format!("{} {} {message}", self.kind, quoted(self.text));
        self.file.add(severity, self.offset, &message);
    }
}

/// All names of one kind, those of faulty tables too: a reference to one is no second fault.
pub(super) struct Names<'a> {
    file: &'a File<'a>,
    kind: &'static str,
    names: Vec<Name<'a>>,
    /// The position of each name.
    positions: HashMap<&'a str, usize>,
    n_searches: Cell<u32>,
}

/// How many unknown names are searched for the one that was meant.
const MAX_SEARCHES: u32 = 100;

impl<'a> Names<'a> {
    /// The tables that an operator names (`[pool.NAME]`), in file order: their names and, at the
    /// same positions, themselves; `None` for what is no table.
    pub(super) fn with_tables(
        parent: &Table<'a>,
        kind: &'static str,
        keys: &'static Keys,
    ) -> (Self, Vec<Option<Table<'a>>>) {
        let item = parent.get(kind);
        let entries = item.as_ref().and_then(|item| item.value.as_table());
        if let (Some(item), None) = (&item, entries) {
            item.expected(&format!("tables such as {}", keys.title));
        }
        let mut entries: Vec<_> = entries.into_iter().flat_map(DeTable::iter).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let file = parent.file;
        let names: Vec<_> = entries
            .iter()
            .map(|(name, _)| Name {
                file,
                kind,
                text: name.get_ref(),
                offset: name.span().start,
                used: Cell::new(false),
            })
            .collect();
        let tables = entries.iter().map(|(name, value)| {
            let name = name.get_ref();
            Item::new(file, format!("`{kind}.{}`", excerpt(name)), value).table(keys, name)
        });
        let tables = tables.collect();
        let positions = names.iter().zip(0..).map(|(name, at)| (name.text, at));
        let names = Self {
            file,
            kind,
            positions: positions.collect(),
            names,
            n_searches: Cell::new(0),
        };
        (names, tables)
    }

    /// The names in file order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Name<'a>> {
        self.names.iter()
    }

    /// The position of the name that a value refers to.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<usize> {
        let expected = format!("the name of a {}", self.kind);
        let text = item.text(&expected)?;
        let found = self.positions.get(text).copied();
        match found {
            Some(at) => self.names[at].used.set(true),
            None if self.file.is_whole() => {
                let near = self.near(text);
                if let Some(meant) = near.and_then(|near| self.positions.get(near)) {
                    self.names[*meant].used.set(true);
                }
                item.expected(&format!("{expected} of this file{}", hint(near)));
            }
            None => {}
        }
        found
    }

    /// The name that was probably meant. Only the first references to nothing are worth a search: where
    /// there are thousands, all for one reason, each would be held against thousands of names.
    fn near(&self, text: &str) -> Option<&'a str> {
        let n_searches = self.n_searches.get();
        self.n_searches.set(n_searches + 1);
        let names = self.iter().map(|name| name.text);
        (n_searches < MAX_SEARCHES).then(|| did_you_mean(text, names))?
    }

    /// Warns of each name that no reference was made to, unless a fault may have hidden one.
    pub(super) fn warn_unused(&self, message: &str) {
        if self.file.is_whole() && !self.file.has_errors() {
            for name in self.iter().filter(|name| !name.used.get()) {
                name.add(Severity::Warning, message);
            }
        }
    }
}
