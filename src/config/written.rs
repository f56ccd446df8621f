//! The files as written: a small typed reader over a TOML document that keeps positions.
//!
//! serde stops at the first fault; an operator wants all of them. So the document is walked: each
//! reader returns `None` after it has put a fault at its exact place, and the walk goes on. A
//! [`Table`] refuses unknown keys when it is opened. After a syntax error part of the document is
//! missing, so what was read from a broken line is not judged, and nothing is called missing.

use std::cell::RefCell;
use std::collections::HashSet;

use toml::de::DeTable;
use toml::de::DeValue;

use crate::base::diag::Lines;
use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::base::diag::did_you_mean;
use crate::config::Source;
use crate::config::item::Item;
use crate::config::item::one_of;
use crate::config::keys::Keys;
use crate::config::names::Names;
use crate::config::syntax;

/// Parses a file and lets `resolve` walk it; `keys` are those of its tables, the top level first.
///
/// Adds every fault to `report`, and returns a value only if there was no error.
pub(super) fn read<T>(
    source: &Source<'_>,
    keys: &'static [&'static Keys],
    report: &mut Report,
    resolve: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<T> {
    let syntax = syntax::check(source.text);
    let mut file = File {
        source,
        lines: Lines::new(&source.file, source.text),
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
    let (document, _) = DeTable::parse_recoverable(&syntax.readable);
    let top = Table::open(&file, keys[0], "", 0, document.get_ref());
    let resolved = resolve(&top);
    let found = file.report.into_inner();
    let usable = !found.has_errors();
    report.append(found);
    resolved.filter(|_| usable)
}

/// The file that is being read, and what was found in it.
pub(super) struct File<'a> {
    /// What is read.
    pub(super) source: &'a Source<'a>,
    lines: Lines<'a>,
    keys: &'static [&'static Keys],
    /// Lines with a syntax error; if there are any, the document is incomplete.
    broken_lines: HashSet<u32>,
    /// What stands for a table that is left out.
    nothing: DeTable<'a>,
    report: RefCell<Report>,
}

impl File<'_> {
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
        let message = one_line(message);
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
}

/// A message without line breaks or terminal sequences, whatever the operator's keys hold.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A table of known keys.
pub(super) struct Table<'a> {
    file: &'a File<'a>,
    keys: &'static Keys,
    /// As diagnostics call it.
    title: String,
    offset: usize,
    entries: &'a DeTable<'a>,
    /// Keys that unknown ones were probably meant to be: they are not called missing too.
    meant: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// Opens a table and reports its unknown keys; `name` fills the place of NAME in its title.
    pub(super) fn open(
        file: &'a File<'a>,
        keys: &'static Keys,
        name: &str,
        offset: usize,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let mut table = Self {
            file,
            keys,
            title: keys.title.replace("NAME", name),
            offset,
            entries,
            meant: Vec::new(),
        };
        for (key, value) in entries.iter() {
            if !keys.all().any(|known| known == key.get_ref()) {
                let message = table.unknown_key(name, key.get_ref(), value.get_ref());
                file.add(Severity::Error, key.span().start, &message);
            }
        }
        table
    }

    fn unknown_key(&mut self, name: &str, key: &str, value: &DeValue<'_>) -> String {
        let kind = if value.is_table() { "table" } else { "key" };
        let wrong = format!("unknown {kind} `{key}` in {}", self.title);
        if let Some(known) = did_you_mean(key, self.keys.all()) {
            self.meant.push(known);
            return format!("{wrong}; did you mean `{known}`?");
        }
        if value.is_table() && self.keys.title.contains("NAME") {
            self.meant.extend(self.keys.all());
            let title = self.keys.title.replace("\"NAME\"", "NAME");
            let title = title.replace("NAME", &format!("\"{}\"", dotted(name, key, value)));
            return format!("{wrong}, expected quotes around a name with dots: {title}");
        }
        let has_key = |keys: &&Keys| keys.all().any(|known| known == key);
        match self.file.keys.iter().position(has_key) {
            Some(0) => format!("{wrong}, expected it above the first [table]"),
            Some(at) => format!("{wrong}, expected it in {}", self.file.keys[at].title),
            None => {
                let known = self.keys.all().map(|known| format!("`{known}`"));
                format!("{wrong}, expected {}", one_of(known))
            }
        }
    }

    /// The value of a key, if it is given.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        debug_assert!(self.keys.all().any(|known| known == key), "unlisted {key}");
        let value = self.entries.get(key)?;
        Some(Item::new(self.file, format!("`{key}`"), value))
    }

    /// Reads a key that may be left out; `None` also if it is faulty.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        read(&self.get(key)?)
    }

    /// Reads a key that has a default, which also stands in for a faulty value.
    pub(super) fn read_or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> T {
        self.read(key, read).unwrap_or(default)
    }

    /// Reads a key that must be given; `expected` describes it where it is missing.
    pub(super) fn require<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        self.require_one_of(&[key], expected);
        self.read(key, read)
    }

    /// Whether a key is left out for certain: neither misspelt nor lost with a syntax error.
    pub(super) fn is_missing(&self, key: &'static str) -> bool {
        self.file.is_whole() && self.get(key).is_none() && !self.meant.contains(&key)
    }

    /// Reports that all of some keys are missing, of which one must be given.
    pub(super) fn require_one_of(&self, keys: &[&'static str], expected: &str) {
        if keys.iter().all(|key| self.is_missing(key)) {
            let keys = one_of(keys.iter().map(|key| format!("`{key}`")));
            self.fault(&format!("has no {keys}, expected {expected}"));
        }
    }

    /// A subtable; an empty one if it is left out.
    pub(super) fn table(&self, key: &'static str, keys: &'static Keys) -> Self {
        self.optional_table(key, keys)
            .unwrap_or_else(|| Self::open(self.file, keys, "", self.offset, &self.file.nothing))
    }

    /// A subtable that means something by being there.
    pub(super) fn optional_table(&self, key: &'static str, keys: &'static Keys) -> Option<Self> {
        self.get(key)?.table(keys, "")
    }

    /// The tables of an array of tables, none if it is left out; `name` as for the title.
    pub(super) fn tables(&self, key: &'static str, keys: &'static Keys, name: &str) -> Vec<Self> {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        let title = keys.title.replace("NAME", name);
        let Some(array) = item.value.as_array() else {
            item.expected(&format!("an array of tables, each headed {title}"));
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|value| {
                Item::new(self.file, format!("an entry of `{key}`"), value).table(keys, name)
            })
            .collect()
    }

    /// The tables that an operator names (`[pool.NAME]`), in file order: their names and, at the
    /// same positions, themselves; `None` for what is no table.
    pub(super) fn named_tables(
        &self,
        key: &'static str,
        keys: &'static Keys,
    ) -> (Names<'a>, Vec<Option<Self>>) {
        let item = self.get(key);
        let entries = item.as_ref().and_then(|item| item.value.as_table());
        if let (Some(item), None) = (&item, entries) {
            item.expected(&format!("tables such as {}", keys.title));
        }
        let mut entries: Vec<_> = entries.into_iter().flat_map(DeTable::iter).collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let written = entries
            .iter()
            .map(|(name, _)| (name.get_ref().as_ref(), name.span().start));
        let names = Names::new(self.file, key, written);
        let tables = entries
            .iter()
            .map(|(name, value)| {
                let name = name.get_ref();
                Item::new(self.file, format!("`{key}.{name}`"), value).table(keys, name)
            })
            .collect();
        (names, tables)
    }

    /// Adds an error about the table as a whole; the message goes on after its title.
    pub(super) fn fault(&self, message: &str) {
        let message = format!("{} {message}", self.title);
        self.file.add(Severity::Error, self.offset, &message);
    }

    /// Adds a warning about the table as a whole; the message goes on after its title.
    pub(super) fn warn(&self, message: &str) {
        let message = format!("{} {message}", self.title);
        self.file.add(Severity::Warning, self.offset, &message);
    }
}

/// What `[pool.a.b.c]` was meant to name: the keys down to the first table with more than one.
fn dotted(name: &str, key: &str, value: &DeValue<'_>) -> String {
    let mut dotted = format!("{name}.{key}");
    let mut value = value;
    while let Some((key, inner)) = value.as_table().and_then(|table| {
        let mut entries = table.iter();
        entries.next().filter(|_| entries.next().is_none())
    }) {
        if !inner.get_ref().is_table() {
            break;
        }
        dotted = format!("{dotted}.{}", key.get_ref());
        value = inner.get_ref();
    }
    dotted
}
