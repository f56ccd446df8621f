//! What the compiler is told: pools as sites, and rules by network, AS, subdivision, country, continent.

use crate::base::ix::PoolIx;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Point;
use crate::base::location::Subdivision;
use crate::base::prefix::Prefix;
use crate::base::rank::Policy;

/// Everything that decides how the clients of one or more steered names are ranked; names with equal
/// specs share one compiled table.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The name's policy.
    pub policy: Policy,
    /// The name's pools in the operator's order; never empty.
    pub sites: Vec<Site>,
    /// The name's rules in file order.
    pub rules: Vec<Rule>,
}

/// A pool as the compiler sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Which pool.
    pub pool: PoolIx,
    /// Where it is.
    pub point: Point,
    /// Share among pools at the same distance, and under policy weighted.
    pub weight: u32,
    /// Subtracted from the distance, in kilometres.
    pub bias_km: f64,
}

/// Clients that are ranked in their own way.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which clients.
    pub matcher: Matcher,
    /// Their pools in the operator's order; never empty.
    pub sites: Vec<Site>,
    /// How those are ordered.
    pub policy: Policy,
    /// Never leave these pools; otherwise the name's other pools follow, by the name's policy.
    pub fence: bool,
}

/// Which clients a rule is for; never empty. The order is from least to most specific.
#[derive(Clone, Debug, PartialEq)]
pub enum Matcher {
    /// By continent.
    Continent(Vec<Continent>),
    /// By country.
    Country(Vec<Country>),
    /// By subdivision.
    Subdivision(Vec<Subdivision>),
    /// By autonomous system.
    Asn(Vec<u32>),
    /// By network; among networks the longest match wins.
    Network(Vec<Prefix>),
}
