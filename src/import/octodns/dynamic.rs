//! Dynamic records: pools with fallbacks, and rules that choose among them.
//!
//! A rule's pool and its fallbacks become the pools of a rule behind a fence, as octoDNS never leaves them either. When all of
//! them are down the record's own values are answered, which become a pool without a monitor. Each value
//! of a pool stands for itself, so that an answer has one address.

use std::net::IpAddr;

use crate::base::diag::Report;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Subdivision;
use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::import::draft::AllDown;
use crate::import::draft::Monitor;
use crate::import::draft::Notes;
use crate::import::draft::Pool;
use crate::import::draft::PoolNames;
use crate::import::draft::Rule;
use crate::import::draft::Steered;
use crate::import::merge::Steering;
use crate::import::tree::Fields;
use crate::import::tree::Node;
use crate::mmdb::countries;

/// A dynamic record that is being read.
pub(super) struct Dynamic<'a> {
    pub(super) owner: &'a Name,
    /// The owner as pools' names begin.
    pub(super) scope: &'a str,
    pub(super) ttl: u32,
    pub(super) monitor: Option<Monitor>,
    /// What is answered when all else is down.
    pub(super) values: &'a [&'a Node],
    pub(super) names: &'a mut PoolNames,
}

impl Dynamic<'_> {
    /// What `dynamic:` says.
    pub(super) fn steering(&mut self, dynamic: &Node, report: &mut Report) -> Steering {
        let mut fields = Fields::of(dynamic);
        let pools = fields
            .take("pools")
            .and_then(Node::as_map)
            .unwrap_or_default();
        let rules = fields.take("rules").map(Node::items).unwrap_or_default();
        let mut steering = self.base();
        for (key, node) in fields.rest() {
            let what = format!("`dynamic.{key}: {}`", node.in_line());
            steering.steered.notes.missing(&what, "not known here");
        }
        for (key, node) in pools {
            let pool = self.pool(key, node, &mut steering.steered.notes);
            steering.pools.extend(pool);
        }
        for rule in rules {
            self.rule(rule, pools, &mut steering, report);
        }
        steering
    }

    /// What `geo:`, which `dynamic:` replaced, says: addresses by code.
    pub(super) fn of_geo(&mut self, geo: Option<&Node>) -> Steering {
        let mut steering = self.base();
        // Unlike the values of a pool, these are answered together.
        steering.steered.answers = None;
        for (code, node) in geo.and_then(Node::as_map).unwrap_or_default() {
            let mut pool = Pool::new(self.names.name(self.scope, code));
            pool.monitor = self.monitor.clone();
            self.add_addresses(&mut pool, node.items());
            let name = pool.name.clone();
            if pool.endpoints.is_empty() {
                steering.steered.notes.append(pool.notes);
                continue;
            }
            steering.pools.push(pool);
            let fallback = steering.steered.all_down.clone();
            let mut notes = Notes::default();
            let rules = places(&[code], &mut notes)
                .into_iter()
                .map(|(key, values)| Rule {
                    notes: Notes::default(),
                    key,
                    values,
                    policy: "failover",
                    pools: vec![name.clone()],
                    all_down: fallback.clone(),
                    fence: true,
                });
            steering.steered.rules.extend(rules);
            steering.steered.notes.append(notes);
        }
        steering
    }

    /// The name with the pool of the record's values alone.
    fn base(&mut self) -> Steering {
        let mut pool = Pool::new(self.names.name(self.scope, "values"));
        pool.notes
            .say("The record's own values: what octoDNS answers when all else is down, unprobed.");
        self.add_addresses(&mut pool, self.values.iter().copied());
        let name = pool.name.clone();
        Steering {
            steered: Steered {
                owner: self.owner.clone(),
                notes: Notes::default(),
                policy: "failover",
                pools: vec![name.clone()],
                ttl: self.ttl,
                answers: Some(1),
                all_down: AllDown::Fallback(name),
                rules: Vec::new(),
            },
            pools: vec![pool],
        }
    }

    fn add_addresses<'n>(&self, pool: &mut Pool, nodes: impl IntoIterator<Item = &'n Node>) {
        for node in nodes {
            match node.as_text().and_then(|text| text.parse::<IpAddr>().ok()) {
                Some(address) => pool.add(address, 1),
                None => pool
                    .notes
                    .missing(&format!("`{}`", node.in_line()), "no address"),
            }
        }
    }

    /// A pool; `None` if no value of it is ever served.
    fn pool(&mut self, key: &str, node: &Node, notes: &mut Notes) -> Option<Pool> {
        let mut pool = Pool::new(self.names.name(self.scope, key));
        let mut fields = Fields::of(node);
        fields.take("fallback");
        let mut statuses = Vec::new();
        for value in fields.take("values").map(Node::items).unwrap_or_default() {
            let mut fields = Fields::of(value);
            let status = fields.take_text("status").unwrap_or("obey");
            let weight = fields.take_parsed("weight").unwrap_or(1);
            let text = fields.take_text("value").unwrap_or_default();
            for (key, node) in fields.rest() {
                let what = format!("`{key}: {}` of {text}", node.in_line());
                pool.notes.missing(&what, "not known here");
            }
            match text.parse() {
                Ok(address) if status == "down" => {
                    let address: IpAddr = address;
                    pool.notes.say(format!(
                        "{address} has `status: down` and is left out: never served"
                    ));
                }
                Ok(address) => {
                    statuses.push((address, status));
                    pool.add(address, weight);
                }
                Err(_) => pool
                    .notes
                    .missing(&format!("`{}`", value.in_line()), "no address"),
            }
        }
        for (key, node) in fields.rest() {
            pool.notes
                .missing(&format!("`{key}: {}`", node.in_line()), "not known here");
        }
        if statuses.iter().any(|(_, status)| *status != "up") {
            pool.monitor = self.monitor.clone();
            for (address, _) in statuses.iter().filter(|(_, status)| *status == "up") {
                let why = "a pool has one monitor; the address is probed as the others are";
                pool.notes
                    .missing(&format!("`status: up` of {address}"), why);
            }
        }
        if pool.endpoints.is_empty() {
            notes.say(format!(
                "The pool `{key}` has no address that is ever served, and is left out."
            ));
            notes.append(pool.notes);
            return None;
        }
        Some(pool)
    }

    fn rule(
        &mut self,
        rule: &Node,
        pools: &[(String, Node)],
        steering: &mut Steering,
        report: &mut Report,
    ) {
        let mut fields = Fields::of(rule);
        let Some(first) = fields.take_text("pool") else {
            report.error(rule.place.clone(), "a rule has no `pool`");
            return;
        };
        if !pools.iter().any(|(name, _)| name == first) {
            let message = format!("the rule's pool `{first}` is not among the record's pools");
            report.error(rule.place.clone(), message);
            return;
        }
        let chain = chain(first, pools);
        let names = chain.iter().map(|pool| self.names.name(self.scope, pool));
        let mut names: Vec<_> = names.filter(|name| is_there(steering, name)).collect();
        let AllDown::Fallback(values) = steering.steered.all_down.clone() else {
            return;
        };
        if names.is_empty() {
            names.push(values.clone());
        }
        let codes = fields.take("geos").map(Node::texts).unwrap_or_default();
        let subnets = fields.take("subnets").map(Node::texts).unwrap_or_default();
        let mut notes = Notes::default();
        for (key, node) in fields.rest() {
            notes.missing(
                &format!("`{key}: {}` of a rule", node.in_line()),
                "not known here",
            );
        }
        if codes.is_empty() && subnets.is_empty() {
            steering.steered.pools = names;
            steering.steered.notes.append(notes);
            return;
        }
        let mut matches = places(&codes, &mut notes);
        matches.extend(networks(&subnets, &mut notes));
        if matches.is_empty() {
            steering.steered.notes.append(notes);
            return;
        }
        for (key, values_of_key) in matches {
            steering.steered.rules.push(Rule {
                notes: std::mem::take(&mut notes),
                key,
                values: values_of_key,
                policy: "failover",
                pools: names.clone(),
                all_down: AllDown::Fallback(values.clone()),
                fence: true,
            });
        }
    }
}

fn is_there(steering: &Steering, name: &str) -> bool {
    steering.pools.iter().any(|pool| pool.name == name)
}

/// A pool and its fallbacks, each once.
fn chain<'a>(first: &'a str, pools: &'a [(String, Node)]) -> Vec<&'a str> {
    let mut chain = vec![first];
    while let Some(next) = chain
        .last()
        .and_then(|last| pools.iter().find(|(name, _)| name == last))
        .and_then(|(_, pool)| pool.get("fallback")?.as_text())
        .filter(|next| !chain.contains(next))
    {
        chain.push(next);
    }
    chain
}

/// The keys and values of the rules that geo codes become.
fn places(codes: &[&str], notes: &mut Notes) -> Vec<(&'static str, Vec<String>)> {
    let mut places = vec![
        ("subdivision", Vec::new()),
        ("country", Vec::new()),
        ("continent", Vec::new()),
    ];
    for code in codes {
        match place(code) {
            Some((at, value)) => places[at].1.push(value),
            None => notes.missing(
                &format!("geo `{code}`"),
                "no place of ISO 3166 that is known here",
            ),
        }
    }
    places.retain(|(_, values)| !values.is_empty());
    places
}

/// Which of [`places`] a code such as `NA-US-CA` belongs to, and what it is there.
fn place(code: &str) -> Option<(usize, String)> {
    let mut parts = code.splitn(3, '-');
    let continent = parts.next()?;
    Continent::ALL
        .iter()
        .find(|known| known.as_str() == continent)?;
    let country: Option<Country> = match parts.next() {
        Some(country) => Some(country.parse().ok()?),
        None => None,
    };
    if let Some(country) = country {
        countries::country(country)?;
    }
    match (country, parts.next()) {
        (None, _) => Some((2, continent.to_owned())),
        (Some(country), None) => Some((1, country.as_str().to_owned())),
        (Some(country), Some(code)) => {
            Subdivision::new(country, code)?;
            Some((0, format!("{}-{code}", country.as_str())))
        }
    }
}

/// The rule that subnets become.
fn networks(subnets: &[&str], notes: &mut Notes) -> Option<(&'static str, Vec<String>)> {
    let mut networks = Vec::new();
    for subnet in subnets {
        match subnet.parse::<Prefix>() {
            Ok(_) => networks.push((*subnet).to_owned()),
            Err(error) => notes.missing(&format!("subnet `{subnet}`"), &error.to_string()),
        }
    }
    (!networks.is_empty()).then_some(("network", networks))
}
