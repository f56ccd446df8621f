//! The files as written: small typed readers over a TOML document that keep positions.
//!
//! serde stops at the first fault; an operator wants all of them. So the document is walked: each
//! reader returns `None` after it has put a fault at its exact place, and the walk goes on. A
//! [`Table`] refuses unknown keys when it is opened. After a syntax error part of the document is
//! missing, so what was read from a broken line is not judged, and nothing is called missing.
//!
//! A fault of an [`Item`] has the form "`key` is FOUND, expected EXPECTED".

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
use crate::base::diag::excerpt;
use crate::config::Source;
use crate::config::document::File;
use crate::config::keys::Keys;
use crate::config::syntax;
use crate::config::units;

/// Parses a file and lets `resolve` walk it; `keys` are those of its tables, the top level first.
///
/// Adds every fault to `report`.
///
/// # Errors
/// What could be read, if there was an error.
pub(super) fn read<T>(
    source: &Source<'_>,
    keys: &'static [&'static Keys],
    report: &mut Report,
    resolve: impl FnOnce(&Table<'_>) -> T,
) -> Result<T, T> {
    let syntax = syntax::check(source.text);
    let file = File::new(source, keys, &syntax);
    let (document, _) = DeTable::parse_recoverable(&syntax.readable);
    let top = Table::open(&file, keys[0], "", 0, document.get_ref());
    let resolved = resolve(&top);
    let found = file.into_report();
    let is_faulty = found.has_errors();
    report.append(found);
    if is_faulty {
        Err(resolved)
    } else {
        Ok(resolved)
    }
}

/// A table of known keys.
pub(super) struct Table<'a> {
    pub(super) file: &'a File<'a>,
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
            title: title(keys, name),
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
        let wrong = format!("unknown {kind} `{}` in {}", excerpt(key), self.title);
        if let Some(known) = did_you_mean(key, self.keys.all()) {
            self.meant.push(known);
            return format!("{wrong}; did you mean `{known}`?");
        }
        if value.is_table() && self.keys.title.contains("NAME") {
            self.meant.extend(self.keys.all());
            let title = self.keys.title.replace("\"NAME\"", "NAME");
            let title = title.replace(
                "NAME",
                &format!("\"{}\"", excerpt(&dotted(name, key, value))),
            );
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
        let title = title(keys, name);
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

/// What diagnostics call a table; `name` fills the place of NAME.
fn title(keys: &Keys, name: &str) -> String {
    keys.title.replace("NAME", &excerpt(name))
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

/// A value and what diagnostics call it.
pub(super) struct Item<'a> {
    file: &'a File<'a>,
    what: String,
    offset: usize,
    /// As TOML has it.
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    /// A value of the file; `what` is its key or what else names it.
    pub(super) fn new(file: &'a File<'a>, what: String, value: &'a Spanned<DeValue<'a>>) -> Self {
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
        self.file.add(Severity::Error, self.offset, &message);
    }

    /// Adds a warning about the value; the message goes on after its name.
    pub(super) fn warn(&self, message: &str) {
        let message = format!("{} {message}", self.what);
        self.file.add(Severity::Warning, self.offset, &message);
    }

    /// Adds the error that it is not what was expected.
    pub(super) fn expected(&self, expected: &str) {
        let found = match self.value {
            DeValue::String(text) if text.is_empty() => "empty".to_owned(),
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => format!("the integer {}", excerpt(&number.to_string())),
            DeValue::Float(number) => format!("the number {}", excerpt(&number.to_string())),
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
            let hint = hint(did_you_mean(text, names()));
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
        mut read: impl FnMut(&Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let array = self.value.as_array().filter(|array| !array.is_empty());
        if array.is_none() {
            self.expected(expected);
        }
        let what = format!("an entry of {}", self.what);
        let entries: Vec<_> = array?
            .iter()
            .map(|value| read(&Self::new(self.file, what.clone(), value)))
            .collect();
        // All are read before any is missed, so that every faulty entry is reported.
        entries.into_iter().collect()
    }

    /// Whether it is an integer, for values that may also be something else.
    pub(super) fn is_integer(&self) -> bool {
        self.value.is_integer()
    }

    /// Whether it is a text, for values that may also be something else.
    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    /// Whether it is an array without entries, for keys that take one.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(|array| array.is_empty())
    }

    /// Whether it is a table, for values that may also be something else.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The entries of a table whose keys are the operator's, in file order: each with what stands for its key in
    /// diagnostics, and its value. `kind` is what an entry is, `expected` describes the table.
    pub(super) fn entries(&self, kind: &str, expected: &str) -> Option<Vec<(&'a str, Self, Self)>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.expected(expected);
        }
        let mut entries: Vec<_> = table?.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let what = format!("{kind} {}", quoted(key.get_ref()));
            let value = Self::new(self.file, what.clone(), value);
            let offset = key.span().start;
            let key_item = Self {
                what,
                offset,
                ..value
            };
            (&**key.get_ref(), key_item, value)
        });
        Some(entries.collect())
    }

    /// A table of known keys; `name` fills the place of NAME in its title.
    pub(super) fn table(&self, keys: &'static Keys, name: &str) -> Option<Table<'a>> {
        let entries = self.value.as_table();
        if entries.is_none() {
            self.expected(&format!("a table {}", title(keys, name)));
        }
        Some(Table::open(self.file, keys, name, self.offset, entries?))
    }
}

/// The beginning of a text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", excerpt(text))
}

/// The end of a message about a word that may be misspelt.
pub(super) fn hint(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Lists alternatives: `a, b or c`.
pub(super) fn one_of(alternatives: impl Iterator<Item = String>) -> String {
    let mut alternatives: Vec<_> = alternatives.collect();
    match alternatives.pop() {
        Some(last) if alternatives.is_empty() => last,
        Some(last) => format!("{} or {last}", alternatives.join(", ")),
        None => "nothing".to_owned(),
    }
}
