//! What importers make: monitors, pools, steered names and zones, each with its notes.
//!
//! A note is a comment above what it is about. Most say that something has no equivalent here; these are
//! counted.

use std::collections::HashMap;
use std::collections::HashSet;
use std::net::IpAddr;

use crate::base::name::Name;

/// Comments for what follows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) lines: Vec<Note>,
}

/// One comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Whether something has no equivalent.
    pub(super) is_missing: bool,
    pub(super) text: String,
}

impl Notes {
    /// Notes what has no equivalent, and why.
    pub(super) fn missing(&mut self, what: &str, why: &str) {
        self.push(true, format!("{what}: {why}"));
    }

    /// Notes what an operator should know.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.push(false, text.into());
    }

    fn push(&mut self, is_missing: bool, text: String) {
        let note = Note { is_missing, text };
        if !self.lines.contains(&note) {
            self.lines.push(note);
        }
    }

    /// Takes over the notes of another.
    pub(super) fn append(&mut self, other: Self) {
        for note in other.lines {
            self.push(note.is_missing, note.text);
        }
    }

    pub(super) fn n_missing(&self) -> usize {
        self.lines.iter().filter(|note| note.is_missing).count()
    }
}

/// `[monitor.NAME]` without its name: what is alike is written once. `None` is the default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Monitor {
    /// `http`, `https` or `tcp`.
    pub(super) kind: &'static str,
    pub(super) port: u16,
    pub(super) path: Option<String>,
    pub(super) host: Option<String>,
    pub(super) expect_status: Option<String>,
    pub(super) expect_body: Option<String>,
    /// In seconds.
    pub(super) interval: Option<u32>,
    /// In seconds.
    pub(super) timeout: Option<u32>,
    pub(super) failure_threshold: Option<u32>,
    pub(super) success_threshold: Option<u32>,
}

impl Monitor {
    /// With defaults for all else.
    pub(super) fn new(kind: &'static str, port: u16) -> Self {
        Self {
            kind,
            port,
            path: None,
            host: None,
            expect_status: None,
            expect_body: None,
            interval: None,
            timeout: None,
            failure_threshold: None,
            success_threshold: None,
        }
    }
}

/// An address of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) weight: u32,
}

/// `[pool.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) notes: Notes,
    /// Latitude and longitude; `None` where the other system does not say.
    pub(super) location: Option<(f64, f64)>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) monitor: Option<Monitor>,
    pub(super) min_healthy: usize,
    pub(super) weight: u32,
}

impl Pool {
    /// Without endpoints, and always up.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            notes: Notes::default(),
            location: None,
            endpoints: Vec::new(),
            monitor: None,
            min_healthy: 1,
            weight: 1,
        }
    }

    /// Adds an endpoint; an address that it has already is noted.
    pub(super) fn add(&mut self, address: IpAddr, weight: u32) {
        if self.endpoints.iter().any(|e| e.address == address) {
            let why = "a pool lists each address once";
            self.notes.missing(&format!("{address} again"), why);
        } else {
            self.endpoints.push(Endpoint { address, weight });
        }
    }
}

/// A policy's word.
pub(super) type Policy = &'static str;

/// What is answered when all pools are down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllDown {
    /// As if all were up.
    Nearest,
    /// This pool.
    Fallback(String),
}

/// `[[steer.NAME.rule]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    pub(super) notes: Notes,
    /// `continent`, `country`, `subdivision` or `network`.
    pub(super) key: &'static str,
    pub(super) values: Vec<String>,
    pub(super) policy: Policy,
    pub(super) pools: Vec<String>,
    /// Behind its fence.
    pub(super) all_down: AllDown,
    pub(super) fence: bool,
}

/// `[steer.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steered {
    pub(super) owner: Name,
    pub(super) notes: Notes,
    pub(super) policy: Policy,
    pub(super) pools: Vec<String>,
    pub(super) ttl: u32,
    /// At most so many addresses; `None` is the default.
    pub(super) answers: Option<u32>,
    pub(super) all_down: AllDown,
    pub(super) rules: Vec<Rule>,
}

/// A zone's master file.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) origin: Name,
    pub(super) text: String,
}

/// All that was made of another system's files.
#[derive(Debug, Default)]
pub struct Draft {
    /// For the file as a whole.
    pub(super) notes: Notes,
    pub(super) pools: Vec<Pool>,
    pub(super) steered: Vec<Steered>,
    pub(super) zones: Vec<Zone>,
    /// What has no equivalent in the zones.
    pub(super) n_missing_in_zones: usize,
}

/// Names for pools: unique, and of the characters that `pools.toml` takes.
#[derive(Default)]
pub(super) struct PoolNames {
    by_key: HashMap<(String, String), String>,
    taken: HashSet<String>,
}

impl PoolNames {
    /// The name of a pool that another system calls `pool` at or in `scope`: the same for the same two.
    pub(super) fn name(&mut self, scope: &str, pool: &str) -> String {
        let key = (scope.to_owned(), pool.to_owned());
        if let Some(name) = self.by_key.get(&key) {
            return name.clone();
        }
        let wanted = plain(&format!("{scope}-{pool}"));
        let numbered = (2..).map(|n| format!("{wanted}-{n}"));
        let name = std::iter::once(wanted.clone())
            .chain(numbered)
            .find(|name| !self.taken.contains(name))
            .unwrap_or(wanted);
        self.taken.insert(name.clone());
        self.by_key.insert(key, name.clone());
        name
    }
}

/// The most characters of a name, with room for a number behind it.
const MAX_PLAIN_LEN: usize = 120;

/// A text of the characters that names in `pools.toml` have.
pub(super) fn plain(text: &str) -> String {
    let text = text.replace('*', "any");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let plain = text.chars().map(|c| if is_plain(c) { c } else { '-' });
    let plain: String = plain.take(MAX_PLAIN_LEN).collect();
    let plain = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    match plain {
        "" => "unnamed".into(),
        _ => plain.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_names_are_plain_and_unique() {
        let mut names = PoolNames::default();
        for (scope, pool, expected) in [
            ("www", "eu", "www-eu"),
            ("www", "eu", "www-eu"),
            ("a", "b-c", "a-b-c"),
            ("a-b", "c", "a-b-c-2"),
            ("*.app", "Größe 1", "any.app-Gr--e-1"),
            ("", "", "unnamed"),
            ("é", "é", "unnamed-2"),
        ] {
            assert_eq!(names.name(scope, pool), expected, "{scope} {pool}");
        }
        assert!(plain(&"x".repeat(200)).len() <= MAX_PLAIN_LEN);
    }
}
