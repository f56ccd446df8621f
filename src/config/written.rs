//! The files as written: a small typed reader over a TOML document that keeps positions.
//!
//! serde stops at the first fault; an operator wants all of them. So the document is parsed once,
//! with the TOML library's recovery, and then walked: each reader returns `None` after it has put a
//! fault at its exact place, and the walk goes on. A [`Table`] refuses unknown keys when it is
//! opened. After a syntax error part of the document is missing, so what was read from a broken line
//! is not judged and nothing is called missing or unknown.

use std::cell::Cell;
use std::cell::RefCell;

use toml::de::DeTable;
use toml::de::DeValue;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::base::diag::did_you_mean;
use crate::config::Source;
use crate::config::item::Item;
use crate::config::item::hint;
use crate::config::item::one_of;
use crate::config::item::quoted;
use crate::config::keys::Keys;

/// Parses a file and lets `resolve` walk it; `keys` are those of all its tables, the top level first.
///
/// Adds every fault to `report`, and returns a value only if there was no error.
pub(super) fn read<T>(
    source: &Source<'_>,
    keys: &'static [&'static Keys],
    report: &mut Report,
    resolve: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Option<T> {
    let (document, faults) = DeTable::parse_recoverable(source.text);
    let mut file = File {
        source,
        keys,
        broken_lines: Vec::new(),
        nothing: DeTable::new(),
        report: RefCell::default(),
    };
    let resolved = file.note_syntax(&faults).then(|| {
        let top = Table::open(&file, keys[0], "", 0, document.get_ref());
        resolve(&top)
    });
    let found = file.report.into_inner();
    let usable = !found.has_errors();
    report.append(found);
    resolved.flatten().filter(|_| usable)
}

/// The file that is being read, and what was found in it.
pub(super) struct File<'a> {
    /// What is read.
    pub(super) source: &'a Source<'a>,
    keys: &'static [&'static Keys],
    /// Lines with a syntax error; if there are any, the document is incomplete.
    broken_lines: Vec<u32>,
    /// What stands for a table that is left out.
    nothing: DeTable<'a>,
    report: RefCell<Report>,
}

impl File<'_> {
    /// The place of a byte.
    pub(super) fn place(&self, offset: usize) -> Place {
        Place::at_offset(&self.source.file, self.source.text, offset)
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

    /// Reports the syntax errors, one per line; returns whether the rest is worth reading.
    fn note_syntax(&mut self, faults: &[toml::de::Error]) -> bool {
        let mut faults: Vec<_> = faults
            .iter()
            .map(|fault| (fault.span().unwrap_or(0..0), fault.message()))
            .collect();
        faults.sort_by_key(|(span, _)| span.start);
        // A bracket that never closes swallows the rest of the file: the first fault inside is real,
        // the following ones are its echo.
        let swallowed = faults.iter().any(|(_, message)| {
            message.starts_with("unclosed array") || message.starts_with("unclosed inline")
        });
        if swallowed {
            let echo = faults
                .iter()
                .position(|(_, message)| is_inside_brackets(message));
            faults.truncate(echo.map_or(1, |first| first + 1));
        }
        let last = faults.len();
        for (at, (span, message)) in faults.into_iter().enumerate() {
            let text = self.source.text.get(span.clone()).unwrap_or_default();
            // A repeated key leaves nothing unread.
            let is_repeat = message == DUPLICATE;
            let mut message = syntax_message(message, text);
            if swallowed && at + 1 == last {
                message.push_str(" or what closes the bracket before");
            }
            self.add(Severity::Error, span.start, &message);
            let line = self.place(span.start).line;
            if !is_repeat && !self.broken_lines.contains(&line) {
                self.broken_lines.push(line);
            }
        }
        !swallowed
    }

    /// Whether the document holds everything that the operator wrote.
    fn is_whole(&self) -> bool {
        self.broken_lines.is_empty()
    }
}

/// What the TOML library says of a key or table that is given twice.
const DUPLICATE: &str = "duplicate key";

/// Whether the TOML library says this of an array or inline table.
fn is_inside_brackets(message: &str) -> bool {
    ["array", "inline table", "key-value"]
        .iter()
        .any(|word| message.contains(word))
}

/// The TOML library's sentence, or a plainer one for what happens most; `text` is what it points at.
fn syntax_message(message: &str, text: &str) -> String {
    match message {
        DUPLICATE => format!("`{text}` is given twice, expected each key and table once"),
        _ if !message.starts_with("string values must be quoted") => message.to_owned(),
        _ if text.is_empty() => "the value is missing, expected one behind `=`".to_owned(),
        _ => format!("`{text}` is no value, expected quotes around text"),
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
        let names = entries
            .iter()
            .map(|(name, _)| Name {
                file: self.file,
                kind: key,
                text: name.get_ref(),
                offset: name.span().start,
                used: Cell::new(false),
            })
            .collect();
        let tables = entries
            .iter()
            .map(|(name, value)| {
                let name = name.get_ref();
                Item::new(self.file, format!("`{key}.{name}`"), value).table(keys, name)
            })
            .collect();
        let names = Names {
            file: self.file,
            kind: key,
            names,
        };
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

/// What `[pool.a.b.c]` was meant to name: the keys down to the first table that holds more than one.
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

    fn add(&self, severity: Severity, message: &str) {
        let message = format!("{} {} {message}", self.kind, quoted(self.text));
        self.file.add(severity, self.offset, &message);
    }
}

/// All names of one kind, those of faulty tables too, so that a reference to one is no second fault.
pub(super) struct Names<'a> {
    file: &'a File<'a>,
    kind: &'static str,
    names: Vec<Name<'a>>,
}

impl<'a> Names<'a> {
    /// The names in file order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Name<'a>> {
        self.names.iter()
    }

    /// The position of the name that a value refers to.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<usize> {
        let expected = format!("the name of a {}", self.kind);
        let text = item.text(&expected)?;
        let found = self.iter().position(|name| name.text == text);
        match found {
            Some(at) => self.names[at].used.set(true),
            None if self.file.is_whole() => {
                let near = did_you_mean(text, self.iter().map(|name| name.text));
                if let Some(meant) = self.iter().find(|name| Some(name.text) == near) {
                    meant.used.set(true);
                }
                item.expected(&format!("{expected} of this file{}", hint(near)));
            }
            None => {}
        }
        found
    }

    /// Warns of each name that no reference was made to, unless one may have been lost.
    pub(super) fn warn_unused(&self, message: &str) {
        if self.file.is_whole() {
            for name in self.iter().filter(|name| !name.used.get()) {
                name.add(Severity::Warning, message);
            }
        }
    }
}
