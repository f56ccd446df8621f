//! Shares of the world and who moves as JSON; made as [`json`](crate::admin::json) is. Shares are rounded to a
//! millionth, distances to 100 m, numbers of clients to a hundredth.

use serde::Deserialize;
use serde::Serialize;

use crate::base::ix::PoolIx;
use crate::base::rr::Rcode;
use crate::census;
use crate::census::Census;
use crate::census::Distances;
use crate::census::Group;
use crate::census::Served;
use crate::config::model::Pool;

/// `simulate --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Simulation {
    /// The pools that are supposed to be down.
    pub down: Vec<String>,
    /// The steered names in the order of the file.
    pub names: Vec<NameSimulation>,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NameSimulation {
    /// The name, without final dot.
    pub name: String,
    /// Clients with IPv4 addresses, who ask for A.
    pub ipv4: FamilySimulation,
    /// Clients with IPv6 addresses, who ask for AAAA.
    pub ipv6: FamilySimulation,
}

/// One name in one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FamilySimulation {
    /// With all pools up.
    #[serde(flatten)]
    pub shares: Shares,
    /// With the pools of `--down` down.
    pub down: Option<Down>,
}

/// What pools that are down change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Down {
    /// Who serves whom then.
    #[serde(flatten)]
    pub shares: Shares,
    /// Who moves.
    pub moved: Moves,
}

/// Who serves the clients of one name in one family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// IPv4 addresses, or IPv6 /48s, of which a place is known; of weighted clients their number.
    pub located: f64,
    /// The same of which none is known.
    pub not_located: f64,
    /// Kilometres from a located client to its pool.
    pub median_km: Option<f64>,
    /// 95 % of the located clients are no farther.
    pub p95_km: Option<f64>,
    /// What the located clients get, most first.
    pub pools: Vec<PoolShare>,
    /// The located clients by continent, most first.
    pub continents: Vec<Part>,
    /// The located clients by country, most first.
    pub countries: Vec<Part>,
    /// What clients get of whom no place is known.
    pub not_located_pools: Vec<PartShare>,
}

/// The located clients that one pool serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolShare {
    /// The pool; null: no address.
    pub pool: Option<String>,
    /// The response code.
    pub rcode: String,
    /// How many clients.
    pub clients: f64,
    /// Of the located clients.
    pub share: f64,
    /// Kilometres to the pool.
    pub median_km: Option<f64>,
    /// 95 % are no farther.
    pub p95_km: Option<f64>,
}

/// A continent or a country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Two letters; null: the database names none.
    pub code: Option<String>,
    /// How many clients.
    pub clients: f64,
    /// Of the located clients.
    pub share: f64,
    /// What they get, most first.
    pub pools: Vec<PartShare>,
}

/// What a share of the clients of a part gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartShare {
    /// The pool; null: no address.
    pub pool: Option<String>,
    /// The response code.
    pub rcode: String,
    /// Of the clients of the part.
    pub share: f64,
}

/// Who moves in one family of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moves {
    /// The located clients.
    pub located: f64,
    /// The share of them that leaves its pool.
    pub share: f64,
    /// From where to where, most clients first.
    pub moves: Vec<Move>,
}

/// The clients that move alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The pool of before; null: no address.
    pub from: Option<String>,
    /// The pool of after; null: no address.
    pub to: Option<String>,
    /// How many clients.
    pub clients: f64,
    /// Of the located clients.
    pub share: f64,
    /// Kilometres to the pool of before.
    pub median_km_before: Option<f64>,
    /// 95 % were no farther.
    pub p95_km_before: Option<f64>,
    /// Kilometres to the pool of after.
    pub median_km_after: Option<f64>,
    /// 95 % are no farther.
    pub p95_km_after: Option<f64>,
    /// Their countries, most clients first.
    pub countries: Vec<CountryShare>,
}

/// The clients of a country among those that move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountryShare {
    /// ISO 3166-1; null: the database names none.
    pub country: Option<String>,
    /// Of the located clients.
    pub share: f64,
}

/// A census in its printed form.
pub fn shares(census: &Census) -> Shares {
    let pools = census.pools();
    let located = census.n_located();
    let distances = census.distances();
    let not_located = census.not_located();
    let n_others = not_located.iter().map(|(_, n)| n).sum();
    let share = |share: &census::Share| PoolShare {
        pool: pool_name(pools, share.served),
        rcode: rcode(share.served),
        clients: hundredth(share.n),
        share: ratio(share.n, located),
        median_km: median(share.distances),
        p95_km: p95(share.distances),
    };
    let continents = census.by_continent();
    let continents = continents.iter();
    let countries = census.by_country();
    let countries = countries.iter();
    Shares {
        located: hundredth(located),
        not_located: hundredth(n_others),
        median_km: median(distances),
        p95_km: p95(distances),
        pools: census.shares().iter().map(share).collect(),
        continents: continents
            .map(|group| part(pools, group, located))
            .collect(),
        countries: countries.map(|group| part(pools, group, located)).collect(),
        not_located_pools: part_shares(pools, &not_located, n_others),
    }
}

/// Moves in their printed form.
pub fn moves(moves: &census::Moves) -> Moves {
    let [before, after] = moves.pools();
    let located = moves.n_located;
    let one = |one: &census::Move| Move {
        from: pool_name(before, one.from),
        to: pool_name(after, one.to),
        clients: hundredth(one.n),
        share: ratio(one.n, located),
        median_km_before: median(one.before),
        p95_km_before: p95(one.before),
        median_km_after: median(one.after),
        p95_km_after: p95(one.after),
        countries: (one.countries.iter())
            .map(|(country, n)| CountryShare {
                country: country.map(|country| country.to_string()),
                share: ratio(*n, located),
            })
            .collect(),
    };
    Moves {
        located: hundredth(located),
        share: ratio(moves.n_left(), located),
        moves: moves.all().iter().map(one).collect(),
    }
}

fn part<K: ToString>(pools: &[Pool], group: &Group<K>, located: f64) -> Part {
    Part {
        code: group.part.as_ref().map(ToString::to_string),
        clients: hundredth(group.n),
        share: ratio(group.n, located),
        pools: part_shares(pools, &group.shares, group.n),
    }
}

fn part_shares(pools: &[Pool], shares: &[(Served, f64)], of: f64) -> Vec<PartShare> {
    let share = |(served, n): &(Served, f64)| PartShare {
        pool: pool_name(pools, *served),
        rcode: rcode(*served),
        share: ratio(*n, of),
    };
    shares.iter().map(share).collect()
}

fn pool_name(pools: &[Pool], served: Served) -> Option<String> {
    let name = |pool: PoolIx| pools[pool.index()].name.to_string();
    match served {
        Served::Pool(pool) => Some(name(pool)),
        Served::NoData | Served::ServFail => None,
    }
}

fn rcode(served: Served) -> String {
    let rcode = match served {
        Served::Pool(_) | Served::NoData => Rcode::NoError,
        Served::ServFail => Rcode::ServFail,
    };
    rcode.as_str().to_owned()
}

fn median(distances: Option<Distances>) -> Option<f64> {
    distances.map(|distances| (distances.median_km * 10.0).round() / 10.0)
}

fn p95(distances: Option<Distances>) -> Option<f64> {
    distances.map(|distances| (distances.p95_km * 10.0).round() / 10.0)
}

fn hundredth(n: f64) -> f64 {
    (n * 100.0).round() / 100.0
}

/// A share, rounded to a millionth; 0 of nothing.
fn ratio(n: f64, of: f64) -> f64 {
    match of > 0.0 {
        true => (n / of * 1e6).round() / 1e6,
        false => 0.0,
    }
}
