//! What the geography is compiled from: pools as sites, and rules by network, AS, city, subdivision,
//! country, continent.

use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::PoolIx;
use crate::base::location::City;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Direction;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::base::rank::Policy;

/// Everything that decides how the clients of one or more steered names are ranked; names with equal
/// specs share one compiled table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The name's policy.
    pub policy: Policy,
    /// The name's pools in the operator's order; never empty.
    pub sites: Vec<Site>,
    /// The name's rules in file order.
    pub rules: Vec<Rule>,
    /// Where vantages judge for the clients near them; empty if they judge none of the pools so.
    pub regions: Vec<Point>,
}

/// A pool as the compiler sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Which pool.
    pub pool: PoolIx,
    /// Where it is.
    pub direction: Direction,
    /// Share among pools at the same distance, and under policy weighted.
    pub weight: u32,
    /// Subtracted from the distance, in kilometres.
    pub bias_km: f64,
}

impl Site {
    /// A pool of weight 1, without a bias.
    pub fn new(pool: PoolIx, at: Point) -> Self {
        Self {
            pool,
            direction: at.direction(),
            weight: 1,
            bias_km: 0.0,
        }
    }
}

/// Directions and biases are made of checked numbers: none is a NaN.
impl Eq for Site {}

impl Hash for Site {
    /// By what tells sites apart as a rule: equal floating-point numbers may differ in their bits.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.pool, self.weight).hash(state);
    }
}

/// Clients that are ranked in their own way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Which clients.
    pub matcher: Arc<Matcher>,
    /// Their pools in the operator's order; never empty.
    pub sites: Vec<Site>,
    /// How those are ordered.
    pub policy: Policy,
    /// Never leave these pools; otherwise the name's other pools follow, by the name's policy.
    pub fence: bool,
}

/// Which clients a rule is for: those that anything in it holds for. What is more specific comes first, here
/// and among rules; a rule is as specific as what matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// By network; among networks the longest match wins.
    pub networks: Vec<Prefix>,
    /// By autonomous system.
    pub systems: Vec<u32>,
    /// By city.
    pub cities: Vec<City>,
    /// By subdivision.
    pub subdivisions: Vec<Subdivision>,
    /// By country.
    pub countries: Vec<Country>,
    /// By continent.
    pub continents: Vec<Continent>,
}

impl Matcher {
    /// Adds what another one matches.
    pub fn extend(&mut self, other: &Self) {
        self.networks.extend_from_slice(&other.networks);
        self.systems.extend_from_slice(&other.systems);
        self.cities.extend_from_slice(&other.cities);
        self.subdivisions.extend_from_slice(&other.subdivisions);
        self.countries.extend_from_slice(&other.countries);
        self.continents.extend_from_slice(&other.continents);
    }
}

impl Spec {
    /// The name's sites and those of its rules; a pool may occur several times.
    pub fn all_sites(&self) -> impl Iterator<Item = &Site> {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.sites);
        self.sites.iter().chain(of_rules)
    }

    /// The sites of the clients under a rule: those of the rule and, unless it is a fence, of the name. A pool may
    /// occur twice.
    pub fn sites_of(&self, rule: Option<u32>) -> impl Iterator<Item = &Site> {
        let rule = rule.map(|rule| &self.rules[rule as usize]);
        let own = rule.into_iter().flat_map(|rule| &rule.sites);
        let others = self.sites.iter();
        own.chain(others.filter(move |_| rule.is_none_or(|rule| !rule.fence)))
    }

    /// How a pool of the clients under a rule is ordered: as the rule says of its own pools, as the name says
    /// of those behind them.
    pub fn policy_of(&self, rule: Option<u32>, pool: PoolIx) -> Policy {
        let rule = rule.map(|rule| &self.rules[rule as usize]);
        let rule = rule.filter(|rule| rule.policy != self.policy);
        match rule.filter(|rule| rule.sites.iter().any(|site| site.pool == pool)) {
            Some(rule) => rule.policy,
            None => self.policy,
        }
    }

    /// Whether any of its clients are ranked by a policy.
    pub fn has_policy(&self, policy: Policy) -> bool {
        self.policy == policy || self.rules.iter().any(|rule| rule.policy == policy)
    }

    /// The rule for clients at a location, of those that look at nothing else: city before subdivision
    /// before country before continent, smaller subdivisions before those around them, then file order.
    pub fn rule_for(&self, location: &Location) -> Option<u32> {
        let first = |matches: &dyn Fn(&Matcher) -> bool| {
            let position = self.rules.iter().position(|rule| matches(&rule.matcher));
            position.map(|at| at as u32)
        };
        let mut smallest_first = location.subdivisions.iter().rev();
        first(&|m| m.cities.iter().any(|city| city.contains(location)))
            .or_else(|| smallest_first.find_map(|s| first(&|m| m.subdivisions.contains(s))))
            .or_else(|| {
                let country = location.country?;
                first(&|m| m.countries.contains(&country))
            })
            .or_else(|| {
                let continent = location.continent?;
                first(&|m| m.continents.contains(&continent))
            })
    }

    /// The first rule for each AS number.
    pub(super) fn asn_rules(&self) -> FxHashMap<u32, u32> {
        let mut rules = FxHashMap::default();
        for (rule, at) in self.rules.iter().zip(0..) {
            for asn in &rule.matcher.systems {
                rules.entry(*asn).or_insert(at);
            }
        }
        rules
    }

    /// The networks of all network rules, each with its rule, in file order.
    pub(super) fn network_rules(&self) -> Vec<(Prefix, u32)> {
        let mut networks = Vec::new();
        for (rule, at) in self.rules.iter().zip(0..) {
            let prefixes = rule.matcher.networks.iter();
            networks.extend(prefixes.map(|prefix| (*prefix, at)));
        }
        networks
    }
}
