//! Which clients a rule is for: continents, countries, subdivisions, AS numbers or networks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;

use crate::base::diag::Place;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::base::prefix::PrefixError;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::geo::rules::Matcher;
use crate::mmdb::countries;

/// What earlier rules of a steered name match, with the line of each.
#[derive(Default)]
pub(super) struct Matched(HashMap<String, u32>);

/// Reads the one key that says which clients a rule is for,
/// with its place.
pub(super) fn matcher(table: &Table<'_>, matched: &mut Matched) -> Option<(Matcher, Place)> {
    const KEYS: [&str; 5] = ["network", "asn", "subdivision", "country", "continent"];
    let given: Vec<_> = KEYS
        .into_iter()
        .filter_map(|key| Some((key, table.get(key)?)))
        .collect();
    table.require_one_of(&KEYS, "the clients to match by one of them");
    if let [(first, _), rest @ ..] = &given[..] {
        for (_, item) in rest {
            item.fault(&format!(
                "stands beside `{first}`, expected one of them per rule"
            ));
        }
    }
    let matchers: Vec<_> = given
        .iter()
        .map(|(key, item)| match *key {
            "network" => matched.list(item, NETWORKS, network).map(Matcher::Network),
            "asn" => matched.list(item, ASNS, asn).map(Matcher::Asn),
            "subdivision" => matched
                .list(item, SUBDIVISIONS, subdivision)
                .map(Matcher::Subdivision),
            "country" => matched.list(item, COUNTRIES, country).map(Matcher::Country),
            _ => matched
                .list(item, CONTINENTS, continent)
                .map(Matcher::Continent),
        })
        .collect();
    let place = given.first()?.1.place();
    Some((matchers.into_iter().next()??, place))
}

const CONTINENTS: &str = "a list of continents such as [\"EU\", \"AF\"]";
const COUNTRIES: &str = "a list of countries such as [\"DE\", \"FR\"]";
const SUBDIVISIONS: &str = "a list of subdivisions such as [\"US-CA\"]";
const ASNS: &str = "a list of AS numbers such as [64496]";
const NETWORKS: &str = "a list of networks such as [\"192.0.2.0/24\", \"2001:db8::/32\"]";

impl Matched {
    /// Reads a list, and warns of what an earlier rule or entry took already.
    fn list<T: Display>(
        &mut self,
        item: &Item<'_>,
        expected: &str,
        read: fn(&Item<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        item.list(expected, |entry| {
            let value = read(entry)?;
            // An AS number and a subdivision of one name differ in the description of the list.
            match self.0.entry(format!("{expected} {value}")) {
                Entry::Occupied(first) => entry.warn(&format!(
                    "is {value}, which line {} has already: the first rule counts",
                    first.get()
                )),
                Entry::Vacant(vacant) => {
                    vacant.insert(entry.place().line);
                }
            }
            Some(value)
        })
    }
}

fn continent(item: &Item<'_>) -> Option<Continent> {
    item.word(&Continent::ALL.map(|continent| (continent.as_str(), continent)))
}

fn country(item: &Item<'_>) -> Option<Country> {
    code(item, "an ISO 3166 country code such as \"DE\"", |text| {
        text.parse().ok().filter(|country| is_assigned(*country))
    })
}

fn subdivision(item: &Item<'_>) -> Option<Subdivision> {
    code(item, "an ISO 3166-2 code such as \"US-CA\"", |text| {
        let subdivision: Subdivision = text.parse().ok()?;
        is_assigned(subdivision.country).then_some(subdivision)
    })
}

/// Reads an upper-case code.
fn code<T: Display>(item: &Item<'_>, expected: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
    let text = item.text(expected)?;
    let value = parse(text);
    if value.is_none() {
        match parse(&text.to_uppercase()) {
            Some(meant) => item.expected(&format!("{expected}; did you mean `{meant}`?")),
            None => item.expected(expected),
        }
    }
    value
}

/// Whether ISO 3166-1 assigns a code, or databases use it all the same (XK).
fn is_assigned(code: Country) -> bool {
    countries::country(code).is_some()
}

fn asn(item: &Item<'_>) -> Option<u32> {
    item.integer(1..=u32::MAX)
}

fn network(item: &Item<'_>) -> Option<Prefix> {
    let expected = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
    let text = item.text(expected)?;
    match text.parse() {
        Ok(prefix) => Some(prefix),
        Err(PrefixError::HostBits) => {
            let meant = meant_network(text).map_or(expected.to_owned(), |p| format!("\"{p}\""));
            item.fault(&format!(
                "is \"{text}\", which has bits set past its length, expected {meant}"
            ));
            None
        }
        Err(PrefixError::Address | PrefixError::Length) => {
            item.expected(expected);
            None
        }
    }
}

/// The network without the host bits.
fn meant_network(text: &str) -> Option<Prefix> {
    let (address, len) = text.split_once('/')?;
    Some(Prefix::cut(address.parse().ok()?, len.parse().ok()?))
}
