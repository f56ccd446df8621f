//! One value of a file: the typed readers that report what is wrong with it at its place.
//!
//! A reader returns `None` after it has added a fault, so that its caller can go on with the rest.
//! Every message has the form "`key` is FOUND, expected EXPECTED".

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::base::diag::Place;
use crate::base::diag::Severity;
use crate::base::diag::did_you_mean;
use crate::config::keys::Keys;
use crate::config::units;
use crate::config::written::File;
use crate::config::written::Table;

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
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
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
