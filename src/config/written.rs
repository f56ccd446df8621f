//! The files as written: a small typed reader over a TOML document that keeps positions.
//!
//! serde stops at the first fault; an operator wants all of them. So the document is parsed once,
//! with the TOML library's recovery, and then walked: each reader returns `None` after it has put a
//! fault at its exact place, and the walk goes on. A [`Table`] refuses unknown keys when it is
//! opened. After a syntax error part of the document is missing, so what was read from a broken line
//! is not judged and nothing is called missing or unknown.

use std::cell::Cell;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::base::diag::did_you_mean;
use crate::config::Source;
use crate::config::keys::Keys;
use crate::config::units;

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
struct File<'a> {
    source: &'a Source<'a>,
    keys: &'static [&'static Keys],
    /// Lines with a syntax error; if there are any, the document is incomplete.
    broken_lines: Vec<u32>,
    /// What stands for a table that is left out.
    nothing: DeTable<'a>,
    report: RefCell<Report>,
}

impl File<'_> {
    fn place(&self, offset: usize) -> Place {
        Place::at_offset(&self.source.file, self.source.text, offset)
    }

    fn add(&self, severity: Severity, offset: usize, message: String) {
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

    /// Reports the syntax errors, one per line; returns whether the rest is worth reading.
    fn note_syntax(&mut self, faults: &[toml::de::Error]) -> bool {
        let mut faults: Vec<_> = faults
            .iter()
            .map(|fault| (fault.span().unwrap_or(0..0), fault.message()))
            .collect();
        faults.sort_by_key(|(span, _)| span.start);
        // A bracket that never closes swallows the rest of the file: only the first fault is real.
        let swallowed = faults.iter().any(|(_, message)| {
            message.starts_with("unclosed array") || message.starts_with("unclosed inline")
        });
        if swallowed {
            faults.truncate(1);
        }
        let mut broken_lines = Vec::new();
        for (span, message) in faults {
            let text = self.source.text.get(span.clone()).unwrap_or_default();
            if message == "duplicate key" {
                let message = format!("`{text}` is given twice, expected each key and table once");
                self.add(Severity::Error, span.start, message);
                continue;
            }
            let place = self.place(span.start);
            if !broken_lines.contains(&place.line) {
                broken_lines.push(place.line);
                self.report.get_mut().error(place, message);
            }
        }
        self.broken_lines = broken_lines;
        !swallowed
    }

    /// Whether the document holds everything that the operator wrote.
    fn is_whole(&self) -> bool {
        self.broken_lines.is_empty()
    }
}

/// A table of known keys.
pub(super) struct Table<'a> {
    file: &'a File<'a>,
    keys: &'static Keys,
    /// As diagnostics call it.
    title: String,
    offset: usize,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// Opens a table and reports its unknown keys; `name` fills the place of NAME in its title.
    fn open(
        file: &'a File<'a>,
        keys: &'static Keys,
        name: &str,
        offset: usize,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let table = Self {
            file,
            keys,
            title: keys.title.replace("NAME", name),
            offset,
            entries,
        };
        for (key, value) in entries.iter() {
            if !keys.all().any(|known| known == key.get_ref()) {
                let message = table.unknown_key(key.get_ref(), value.get_ref());
                file.add(Severity::Error, key.span().start, message);
            }
        }
        table
    }

    fn unknown_key(&self, key: &str, value: &DeValue<'_>) -> String {
        let kind = if value.is_table() { "table" } else { "key" };
        let wrong = format!("unknown {kind} `{key}` in {}", self.title);
        if let Some(known) = did_you_mean(key, self.keys.all()) {
            return format!("{wrong}; did you mean `{known}`?");
        }
        if value.is_table() && self.keys.title.contains("NAME") {
            return format!("{wrong}, expected quotes around a name with dots: \"a.example\"");
        }
        let elsewhere = |keys: &&&Keys| keys.all().any(|known| known == key);
        match self.file.keys.iter().find(elsewhere) {
            Some(keys) => format!("{wrong}, expected it in {}", keys.title),
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
        let item = self.get(key);
        if item.is_none() {
            self.missing(&format!("`{key}`"), expected);
        }
        read(&item?)
    }

    /// Whether a key is left out for certain, and not lost with a syntax error.
    pub(super) fn is_missing(&self, key: &'static str) -> bool {
        self.file.is_whole() && self.get(key).is_none()
    }

    /// Reports something that must be given and is not.
    pub(super) fn missing(&self, what: &str, expected: &str) {
        if self.file.is_whole() {
            self.fault(&format!("has no {what}, expected {expected}"));
        }
    }

    /// A subtable; an empty one if it is left out.
    pub(super) fn table(&self, key: &'static str, keys: &'static Keys) -> Table<'a> {
        self.optional_table(key, keys)
            .unwrap_or_else(|| Self::open(self.file, keys, "", self.offset, &self.file.nothing))
    }

    /// A subtable that means something by being there.
    pub(super) fn optional_table(
        &self,
        key: &'static str,
        keys: &'static Keys,
    ) -> Option<Table<'a>> {
        self.get(key)?.table(keys, "")
    }

    /// The tables of an array of tables, none if it is left out; `name` as for the title.
    pub(super) fn tables(
        &self,
        key: &'static str,
        keys: &'static Keys,
        name: &str,
    ) -> Vec<Table<'a>> {
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
    ) -> (Names<'a>, Vec<Option<Table<'a>>>) {
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
        (Names(names), tables)
    }

    /// Adds an error about the table as a whole; the message goes on after its title.
    pub(super) fn fault(&self, message: &str) {
        let message = format!("{} {message}", self.title);
        self.file.add(Severity::Error, self.offset, message);
    }

    /// Adds a warning about the table as a whole; the message goes on after its title.
    pub(super) fn warn(&self, message: &str) {
        let message = format!("{} {message}", self.title);
        self.file.add(Severity::Warning, self.offset, message);
    }
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
        let message = format!("{} {} {message}", self.kind, quoted(self.text));
        self.file.add(Severity::Error, self.offset, message);
    }
}

/// All names of one kind, those of faulty tables too, so that a reference to one is no second fault.
pub(super) struct Names<'a>(Vec<Name<'a>>);

impl<'a> Names<'a> {
    /// The names in file order.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Name<'a>> {
        self.0.iter()
    }

    /// The position of the name that a value refers to.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<usize> {
        let kind = self.0.first().map_or("table", |name| name.kind);
        let text = item.text(&format!("the name of a {kind}"))?;
        let found = self.iter().position(|name| name.text == text);
        match found {
            Some(at) => self.0[at].used.set(true),
            None if item.file.is_whole() => {
                let hint = hint(text, self.iter().map(|name| name.text));
                item.expected(&format!("the name of a {kind} of this file{hint}"));
            }
            None => {}
        }
        found
    }

    /// Warns of each name that no reference was made to, unless one may have been lost.
    pub(super) fn warn_unused(&self, message: &str) {
        for name in self.iter().filter(|name| !name.used.get()) {
            if name.file.is_whole() {
                let message = format!("{} {} {message}", name.kind, quoted(name.text));
                name.file.add(Severity::Warning, name.offset, message);
            }
        }
    }
}

/// A value and what diagnostics call it.
pub(super) struct Item<'a> {
    file: &'a File<'a>,
    what: String,
    offset: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    fn new(file: &'a File<'a>, what: String, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            file,
            what,
            offset: value.span().start,
            value: value.get_ref(),
        }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.file.place(self.offset)
    }

    /// Adds an error about the value; the message goes on after its name.
    pub(super) fn fault(&self, message: &str) {
        let message = format!("{} {message}", self.what);
        self.file.add(Severity::Error, self.offset, message);
    }

    /// Adds a warning about the value; the message goes on after its name.
    pub(super) fn warn(&self, message: &str) {
        let message = format!("{} {message}", self.what);
        self.file.add(Severity::Warning, self.offset, message);
    }

    /// Adds the error that it is not what was expected.
    pub(super) fn expected(&self, expected: &str) {
        let found = match self.value {
            DeValue::String(text) if text.is_empty() => "empty".to_owned(),
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => format!("the integer {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(word) => format!("the boolean {word}"),
            DeValue::Datetime(_) => "a date or time".to_owned(),
            DeValue::Array(array) if array.is_empty() => "empty".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.fault(&format!("is {found}, expected {expected}"));
    }

    /// A string.
    pub(super) fn text(&self, expected: &str) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.expected(expected);
        }
        text
    }

    /// A path; a relative one is joined to the folder of the file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.parse("a path in quotes", |text| {
            (!text.is_empty() && !text.contains('\0')).then(|| self.file.source.dir.join(text))
        })
    }

    /// A string with a form of its own.
    pub(super) fn parse<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.text(expected)?);
        if parsed.is_none() {
            self.expected(expected);
        }
        parsed
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        self.word_or(words, None)
    }

    /// One of several words; `also` says what else the key takes.
    pub(super) fn word_or<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        also: Option<&str>,
    ) -> Option<T> {
        let names = || words.iter().map(|(word, _)| *word);
        let quoted = names().map(|word| format!("\"{word}\""));
        let expected = one_of(quoted.chain(also.map(str::to_owned)));
        let text = self.text(&expected)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let hint = hint(text, names());
            self.expected(&format!("{expected}{hint}"));
        }
        found.map(|(_, value)| *value)
    }

    /// An integer in a range.
    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.value.as_integer().and_then(|number| {
            let value = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            u32::try_from(value).ok()
        });
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            self.expected(&format!("an integer from {low} to {high}"));
        }
        number
    }

    /// A number in a range, with or without a decimal point.
    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number: Option<f64> = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            self.expected(&format!("a number from {low} to {high}"));
        }
        number
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.expected("true or false");
        }
        value
    }

    /// A duration in a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = self.parse(units::DURATION, units::duration)?;
        if !range.contains(&duration) {
            let (low, high) = (range.start(), range.end());
            self.expected(&format!(
                "a duration from {} to {}",
                units::duration_text(*low),
                units::duration_text(*high)
            ));
            return None;
        }
        Some(duration)
    }

    /// The entries of an array that may not be empty; `expected` describes the array.
    pub(super) fn list<T>(
        &self,
        expected: &str,
        mut read: impl FnMut(&Item<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let array = self.value.as_array().filter(|array| !array.is_empty());
        if array.is_none() {
            self.expected(expected);
        }
        let what = format!("an entry of {}", self.what);
        let entries: Vec<_> = array?
            .iter()
            .map(|value| read(&Item::new(self.file, what.clone(), value)))
            .collect();
        // All are read before any is missed, so that every faulty entry is reported.
        entries.into_iter().collect()
    }

    /// Whether it is an integer, for values that may also be something else.
    pub(super) fn is_integer(&self) -> bool {
        self.value.is_integer()
    }

    /// Whether it is a table, for values that may also be something else.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// A table of known keys; `name` fills the place of NAME in its title.
    pub(super) fn table(&self, keys: &'static Keys, name: &str) -> Option<Table<'a>> {
        let entries = self.value.as_table();
        if entries.is_none() {
            self.expected(&format!("a table {}", keys.title.replace("NAME", name)));
        }
        Some(Table::open(self.file, keys, name, self.offset, entries?))
    }
}

/// The text in quotes, cut to a length that fits a line.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The end of a message about a word that may be misspelt.
fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(wrong, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Lists alternatives: `a, b or c`.
fn one_of(alternatives: impl Iterator<Item = String>) -> String {
    let mut alternatives: Vec<_> = alternatives.collect();
    match alternatives.pop() {
        Some(last) if alternatives.is_empty() => last,
        Some(last) => format!("{} or {last}", alternatives.join(", ")),
        None => "nothing".to_owned(),
    }
}
