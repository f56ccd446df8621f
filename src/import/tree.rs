//! What YAML, JSON and gdnsd's syntax have in common: texts, lists and maps, with their places.
//!
//! Importers take from a map what they know with [`Fields`], and note the rest: so nothing that an operator
//! wrote is left out silently.

use std::sync::Arc;

use crate::base::diag::Place;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    /// In the order written; no key stands twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A text of a place.
    pub(super) fn text(place: Place, text: impl Into<String>) -> Self {
        let value = Value::Text(text.into());
        Self { place, value }
    }

    /// A JSON value; the file as a whole is its place, since JSON's reader keeps none.
    pub(super) fn of_json(file: &Arc<str>, json: serde_json::Value) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(word) => Value::Text(word.to_string()),
            serde_json::Value::Number(number) => Value::Text(number.to_string()),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(list) => {
                let nodes = list.into_iter().map(|json| Self::of_json(file, json));
                Value::List(nodes.collect())
            }
            serde_json::Value::Object(map) => {
                let nodes = map.into_iter();
                Value::Map(nodes.map(|(k, v)| (k, Self::of_json(file, v))).collect())
            }
        };
        let place = Place::file(file);
        Self { place, value }
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    pub(super) fn as_map(&self) -> Option<&[(String, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, if it is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let entries = self.as_map()?;
        entries.iter().find_map(|(k, v)| (k == key).then_some(v))
    }

    /// The entries of a list; a value alone counts as a list of one, null as none.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::Null => &[],
            Value::List(list) => list,
            _ => std::slice::from_ref(self),
        }
    }

    /// The texts of a list, or of a value alone.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.items().iter().filter_map(Self::as_text).collect()
    }

    /// In one line, for notes to quote.
    pub(super) fn in_line(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(", ");
        match &self.value {
            Value::Null => "null".into(),
            Value::Text(text) => text.clone(),
            Value::List(list) => {
                format!("[{}]", joined(list.iter().map(Self::in_line).collect()))
            }
            Value::Map(map) => {
                let entry = |(key, value): &(String, Self)| format!("{key}: {}", value.in_line());
                format!("{{{}}}", joined(map.iter().map(entry).collect()))
            }
        }
    }
}

/// The entries of a map that nobody has taken yet.
pub(super) struct Fields<'a> {
    rest: Vec<(&'a str, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// All entries of a map; none of anything else.
    pub(super) fn of(node: &'a Node) -> Self {
        let entries = node.as_map().unwrap_or_default().iter();
        Self {
            rest: entries.map(|(key, value)| (&**key, value)).collect(),
        }
    }

    /// Takes the value of a key.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a Node> {
        let at = self.rest.iter().position(|(name, _)| *name == key)?;
        Some(self.rest.remove(at).1)
    }

    /// Takes the text of a key; what is no text stays.
    pub(super) fn take_text(&mut self, key: &str) -> Option<&'a str> {
        let (_, node) = self.rest.iter().find(|(name, _)| *name == key)?;
        let text = node.as_text()?;
        self.take(key);
        Some(text)
    }

    /// Takes a value that has a form of its own; what has not stays.
    pub(super) fn take_parsed<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        let (_, node) = self.rest.iter().find(|(name, _)| *name == key)?;
        let parsed = node.as_text()?.parse().ok()?;
        self.take(key);
        Some(parsed)
    }

    /// What is left.
    pub(super) fn rest(self) -> Vec<(&'a str, &'a Node)> {
        self.rest
    }
}
