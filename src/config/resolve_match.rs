//! Which clients a rule is for: continents, countries, subdivisions, cities, AS numbers, networks, or regions
//! that are named lists of all of these. Not the regions of vantages (`regions`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fmt::Display;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::location::City;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::base::prefix::PrefixError;
use crate::config::keys;
use crate::config::model::NamedRegion;
use crate::config::names::Name;
use crate::config::names::Names;
use crate::config::written::Item;
use crate::config::written::Table;
use crate::geo::rules::Matcher;
use crate::mmdb::countries;

/// What earlier rules of a steered name match, with the line of each.
#[derive(Default)]
pub(super) struct Matched(HashMap<String, u32>);

/// The keys that match clients by themselves, the most specific first.
const KEYS: [&str; 6] = [
    "network",
    "asn",
    "city",
    "subdivision",
    "country",
    "continent",
];

/// Which clients a rule is for.
pub(super) struct Match {
    /// Where the key was written.
    pub(super) place: Place,
    /// What it matches.
    pub(super) matcher: Arc<Matcher>,
    /// The regions that it was written with, if any.
    pub(super) regions: Vec<Box<str>>,
}

/// Reads the one key that says which clients a rule is for.
pub(super) fn of_rule(
    table: &Table<'_>,
    regions: &NamedRegions<'_>,
    matched: &mut Matched,
) -> Option<Match> {
    let keys = || std::iter::once("region").chain(KEYS);
    let given: Vec<_> = keys()
        .filter_map(|key| Some((key, table.get(key)?)))
        .collect();
    let all: Vec<&str> = keys().collect();
    table.require_one_of(&all, "the clients to match by one of them");
    if let [(first, _), rest @ ..] = &given[..] {
        for (_, item) in rest {
            item.fault(&format!(
                "stands beside `{first}`, expected one of them per rule"
            ));
        }
    }
    let matches: Vec<_> = given
        .iter()
        .map(|(key, item)| match *key {
            "region" => regions.matcher(item, matched),
            key => Some((Arc::new(matcher(key, item, matched)?), Vec::new())),
        })
        .collect();
    let place = given.first()?.1.place();
    let (matcher, regions) = matches.into_iter().next()??;
    Some(Match {
        place,
        matcher,
        regions,
    })
}

/// Reads the list of a key.
fn matcher(key: &str, item: &Item<'_>, matched: &mut Matched) -> Option<Matcher> {
    let mut matcher = Matcher::default();
    match key {
        "network" => matcher.networks = matched.list(item, NETWORKS, network)?,
        "asn" => matcher.systems = matched.list(item, ASNS, asn)?,
        "city" => matcher.cities = matched.list(item, CITIES, city)?,
        "subdivision" => matcher.subdivisions = matched.list(item, SUBDIVISIONS, subdivision)?,
        "country" => matcher.countries = matched.list(item, COUNTRIES, country)?,
        _ => matcher.continents = matched.list(item, CONTINENTS, continent)?,
    }
    Some(matcher)
}

/// `[region.NAME]`: lists of clients that rules call by one name.
pub(super) struct NamedRegions<'a> {
    names: Names<'a>,
    /// At the positions of the names; `None` for faulty ones.
    matchers: Vec<Option<Arc<Matcher>>>,
}

impl<'a> NamedRegions<'a> {
    /// Reads all.
    pub(super) fn read(top: &Table<'a>) -> Self {
        let (names, tables) = Names::with_tables(top, "region", &keys::REGION);
        let tables = names.iter().zip(&tables);
        let matchers = tables.map(|(name, table)| {
            name.plain();
            region(table.as_ref()?)
        });
        Self {
            matchers: matchers.collect(),
            names,
        }
    }

    /// What a list of regions matches, and their names.
    fn matcher(
        &self,
        item: &Item<'_>,
        matched: &mut Matched,
    ) -> Option<(Arc<Matcher>, Vec<Box<str>>)> {
        let regions = matched.list(item, REGIONS, |entry| {
            let at = self.names.find(entry)?;
            Some(Region {
                name: entry.text(REGIONS)?.into(),
                matcher: self.matchers.get(at)?.clone(),
            })
        })?;
        let matchers: Option<Vec<_>> = regions
            .iter()
            .map(|region| region.matcher.clone())
            .collect();
        let matcher = match &matchers?[..] {
            [only] => Arc::clone(only),
            several => {
                let mut together = Matcher::default();
                several.iter().for_each(|matcher| together.extend(matcher));
                Arc::new(together)
            }
        };
        let names = regions.into_iter().map(|region| region.name);
        Some((matcher, names.collect()))
    }

    /// Warns of those that no rule names, and returns all; without faults, none is left out.
    pub(super) fn finish(self) -> Vec<NamedRegion> {
        self.names.warn_unused("is used by no rule");
        let regions = self.names.iter().zip(self.matchers);
        let region = |(name, matcher): (&Name<'_>, Option<_>)| {
            Some(NamedRegion {
                place: name.place(),
                matcher: matcher?,
            })
        };
        regions.filter_map(region).collect()
    }
}

/// A region as a rule names it; without a matcher if it is faulty.
struct Region {
    name: Box<str>,
    matcher: Option<Arc<Matcher>>,
}

impl Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn region(table: &Table<'_>) -> Option<Arc<Matcher>> {
    table.require_one_of(&KEYS, "the clients to match by some of them");
    let mut matched = Matched::default();
    let given = KEYS.map(|key| Some(matcher(key, &table.get(key)?, &mut matched)));
    let mut region = Matcher::default();
    for matcher in given.into_iter().flatten() {
        region.extend(&matcher?);
    }
    Some(Arc::new(region))
}

const CONTINENTS: &str = "a list of continents such as [\"EU\", \"AF\"]";
const COUNTRIES: &str = "a list of countries such as [\"DE\", \"FR\"]";
const SUBDIVISIONS: &str = "a list of subdivisions such as [\"US-CA\"]";
const CITIES: &str =
    "a list of cities such as [\"DE:Hamburg\", \"US-IL:Springfield\", \"geoname:2911298\"]";
const REGIONS: &str = "a list of regions such as [\"nordics\"]";
const ASNS: &str = "a list of AS numbers such as [64496]";
const NETWORKS: &str = "a list of networks such as [\"192.0.2.0/24\", \"2001:db8::/32\"]";

impl Matched {
    /// Reads a list, and warns of what an earlier rule or entry took already.
    fn list<T: Display>(
        &mut self,
        item: &Item<'_>,
        expected: &str,
        read: impl Fn(&Item<'_>) -> Option<T>,
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

fn city(item: &Item<'_>) -> Option<City> {
    let expected = "a city with its country such as \"DE:Hamburg\", with its subdivision such as \
                    \"US-IL:Springfield\", or its GeoNames id such as \"geoname:2911298\"";
    item.parse(expected, |text| {
        let city = text.parse().ok()?;
        match &city {
            City::Named { country, .. } => is_assigned(*country).then_some(city),
            City::Id(_) => Some(city),
        }
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
