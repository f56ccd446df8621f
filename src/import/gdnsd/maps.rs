//! Maps of the geoip plugin: places and networks to ordered data centers.

use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::import::draft::Notes;
use crate::import::draft::Policy;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::import::tree::Value;
use crate::mmdb::countries;

/// How many data centers an automatic list has unless `auto_dc_limit` says otherwise.
const AUTO_DC_LIMIT: usize = 3;

/// A data center and where it is.
type Datacenter = (String, Option<(f64, f64)>);

/// A map as it was read.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) datacenters: Vec<Datacenter>,
    /// For clients that no rule matches.
    pub(super) policy: Policy,
    pub(super) order: Vec<String>,
    pub(super) rules: Vec<Rule>,
}

/// Clients with an order of their own.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) key: &'static str,
    pub(super) values: Vec<String>,
    pub(super) policy: Policy,
    pub(super) order: Vec<String>,
}

/// Reads a map; `nets` of a file of its own must have been put in.
pub(super) fn read(node: &Node, notes: &mut Notes) -> Map {
    let mut fields = Fields::of(node);
    let names = fields
        .take("datacenters")
        .map(Node::texts)
        .unwrap_or_default();
    let coordinates = fields.take("auto_dc_coords");
    let datacenters: Vec<Datacenter> = names
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                coordinates.and_then(|c| point(c.get(name)?)),
            )
        })
        .collect();
    let located = datacenters
        .iter()
        .filter(|(_, location)| location.is_some());
    let located: Vec<String> = located.map(|(name, _)| name.clone()).collect();
    let is_automatic = coordinates.is_some();
    let limit = fields.take_parsed("auto_dc_limit").unwrap_or(AUTO_DC_LIMIT);
    if is_automatic {
        note_automatic(limit, located.len(), datacenters.len(), notes);
    }
    if let Some(database) = fields.take_text("geoip2_db") {
        notes.say(format!(
            "geoip2_db => {database}: name it as `database` in [geoip] of meridian.toml"
        ));
    }
    let mut reader = Reader {
        all: names.iter().map(|name| (*name).to_owned()).collect(),
        automatic: is_automatic.then_some(located),
        rules: Vec::new(),
        notes,
    };
    let places = fields.take("map");
    let default = places.and_then(|places| places.get("default"));
    let (policy, order) = match default {
        Some(default) => reader.order(default),
        None => match &reader.automatic {
            Some(located) => ("nearest", located.clone()),
            None => ("failover", reader.all.clone()),
        },
    };
    if let Some(nets) = fields.take("nets") {
        reader.nets(nets);
    }
    for (code, node) in places.and_then(Node::as_map).unwrap_or_default() {
        if code != "default" {
            reader.continent(code, node);
        }
    }
    let rules = reader.rules;
    note_rest(fields, notes);
    Map {
        datacenters,
        policy,
        order,
        rules,
    }
}

/// Notes how automatic lists differ from the order by distance.
fn note_automatic(limit: usize, n_located: usize, n_datacenters: usize, notes: &mut Notes) {
    if limit != 0 && n_located > limit {
        let what = format!("`auto_dc_limit` of {limit}");
        notes.missing(
            &what,
            "when so many of the nearest are down, the next nearest is answered",
        );
    }
    if n_located < n_datacenters {
        let why = "some data centers have none; clients that cannot be located do not get these";
        notes.missing("`auto_dc_coords`", why);
    }
}

fn note_rest(fields: Fields<'_>, notes: &mut Notes) {
    for (key, node) in fields.rest() {
        let what = format!("`{key} => {}` of the map", node.in_line());
        let why = match key {
            "ignore_ecs" => {
                "the client subnet is used for all names or none ([ecs] in meridian.toml)"
            }
            _ => "not known here",
        };
        notes.missing(&what, why);
    }
}

fn point(node: &Node) -> Option<(f64, f64)> {
    match node.texts()[..] {
        [latitude, longitude] => Some((latitude.parse().ok()?, longitude.parse().ok()?)),
        _ => None,
    }
}

struct Reader<'n> {
    /// The data centers in the order written.
    all: Vec<String>,
    /// Those with coordinates, if the map uses these.
    automatic: Option<Vec<String>>,
    rules: Vec<Rule>,
    notes: &'n mut Notes,
}

impl Reader<'_> {
    /// What a list of data centers, or the word `auto`, stands for.
    fn order(&self, node: &Node) -> (Policy, Vec<String>) {
        match (&self.automatic, node.as_text()) {
            (Some(located), Some("auto")) => ("nearest", located.clone()),
            _ => (
                "failover",
                node.texts().into_iter().map(str::to_owned).collect(),
            ),
        }
    }

    fn rule(&mut self, key: &'static str, value: &str, node: &Node) {
        let (policy, order) = self.order(node);
        if order.is_empty() {
            let what = format!("no data center for {key} {value}");
            self.notes.missing(
                &what,
                "a rule has a pool; these clients are answered as the others are",
            );
            return;
        }
        let value = value.to_owned();
        // Places with the same order are one rule.
        let same = self
            .rules
            .iter_mut()
            .find(|rule| (rule.key, rule.policy, &rule.order) == (key, policy, &order));
        match same {
            Some(rule) => rule.values.push(value),
            None => self.rules.push(Rule {
                key,
                values: vec![value],
                policy,
                order,
            }),
        }
    }

    fn nets(&mut self, nets: &Node) {
        for (network, node) in nets.as_map().unwrap_or_default() {
            match network.parse::<Prefix>() {
                Ok(_) => self.rule("network", network, node),
                Err(error) => {
                    let what = format!("`{network} => {}` of `nets`", node.in_line());
                    self.notes.missing(&what, &error.to_string());
                }
            }
        }
    }

    fn continent(&mut self, code: &str, node: &Node) {
        if !Continent::ALL.iter().any(|known| known.as_str() == code) {
            self.unknown(code, node);
            return;
        }
        self.place("continent", code, node);
        for (code, node) in inner(node) {
            let country: Option<Country> = code.parse().ok();
            match country.filter(|country| countries::country(*country).is_some()) {
                Some(country) => {
                    self.place("country", country.as_str(), node);
                    for (code, node) in inner(node) {
                        self.subdivision(country, code, node);
                    }
                }
                None => self.unknown(code, node),
            }
        }
    }

    /// A subdivision, with those inside it; ISO 3166-2 has codes for both.
    fn subdivision(&mut self, country: Country, code: &str, node: &Node) {
        if Subdivision::new(country, code).is_none() {
            let what = format!("`{code} => {}` in {}", node.in_line(), country.as_str());
            self.notes.missing(
                &what,
                "rules know subdivisions by their ISO 3166-2 code, and no cities",
            );
            return;
        }
        self.place("subdivision", &format!("{}-{code}", country.as_str()), node);
        for (code, node) in inner(node) {
            self.subdivision(country, code, node);
        }
    }

    /// The rule of a place: its list, or the default of what is inside it.
    fn place(&mut self, key: &'static str, value: &str, node: &Node) {
        match &node.value {
            Value::Map(_) => {
                if let Some(default) = node.get("default") {
                    self.rule(key, value, default);
                }
            }
            _ => self.rule(key, value, node),
        }
    }

    fn unknown(&mut self, code: &str, node: &Node) {
        let what = format!("`{code} => {}` of the map", node.in_line());
        self.notes
            .missing(&what, "no continent or country that is known here");
    }
}

/// What is inside a place.
fn inner(node: &Node) -> impl Iterator<Item = &(String, Node)> {
    let entries = node.as_map().unwrap_or_default().iter();
    entries.filter(|(code, _)| code != "default")
}
