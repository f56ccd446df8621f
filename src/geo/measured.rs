//! `Measured`: a latency table joined with pools and databases: the round-trip time of any client to any pool.
//!
//! For each pool the most specific measurement of a client counts: the smallest network, then AS, subdivision,
//! country, continent. A pool that nobody measured from there is estimated by its distance
//! (`geo/fit.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::PoolIx;
use crate::base::location::Continent;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::prefix::Prefix;
use crate::geo::atlas::Atlas;
use crate::geo::fit::Fit;
use crate::geo::fit::Fits;
use crate::geo::fit::Pair;
use crate::geo::table::PrefixTable;
use crate::latency::key::Key;
use crate::latency::table::Entry;
use crate::latency::table::Table;

/// A pool as it is named in a latency table, and where it is.
pub type NamedPool = (Box<str>, Point);

/// How many networks the fit looks at: more say nothing new.
const MAX_FITTED: usize = 1 << 16;

/// What is known of the round-trip times to some pools.
#[derive(Debug)]
pub struct Measured {
    table: Arc<Table>,
    /// By [`PoolIx`].
    pools: Vec<NamedPool>,
    /// By a table's pool.
    pool_of: Vec<Option<PoolIx>>,
    /// One more than the position of the smallest network of the table around an address; 0: none.
    networks: PrefixTable,
    /// The same for the network around each network, by position less `first_network`.
    around: Vec<u32>,
    first_network: usize,
    /// The position of every other key.
    others: FxHashMap<Key, u32>,
    fits: Fits,
}

/// A client as far as measurements go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'a> {
    pub(super) location: &'a Location,
    /// The autonomous system, 0 if unknown.
    pub(super) asn: u32,
    /// The value of [`Measured::networks`].
    pub(super) network: u32,
}

/// A round-trip time, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rtt {
    /// Milliseconds.
    pub ms: f32,
    /// Measured from whom, or estimated.
    pub source: RttSource,
}

/// Where a round-trip time comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RttSource {
    /// The latency table.
    Measured {
        /// Which clients were measured.
        key: Key,
        /// How many samples, if the table says so.
        samples: Option<u32>,
        /// When, in seconds since 1970, if the table says so.
        measured: Option<u64>,
    },
    /// The distance.
    Estimated {
        /// Kilometres.
        km: f64,
    },
}

impl Measured {
    /// Whether it was made from the same table as another, or both from none.
    pub fn has_same_table(&self, other: &Self) -> bool {
        let (a, b) = (&self.table, &other.table);
        Arc::ptr_eq(a, b) || (a.keys().is_empty() && b.keys().is_empty())
    }

    /// Joins a table with the pools of a configuration, by [`PoolIx`], and the databases.
    pub fn new(table: Arc<Table>, pools: Vec<NamedPool>, atlas: &Atlas) -> Self {
        let by_name: FxHashMap<&str, PoolIx> = pools
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (&**name, PoolIx::new(at)))
            .collect();
        let pool_of = table
            .pools()
            .iter()
            .map(|name| by_name.get(&**name).copied());
        let pool_of = pool_of.collect();
        let network = |key: &Key| match key {
            Key::Network(network) => Some(*network),
            _ => None,
        };
        let first_network = table.keys().partition_point(|key| network(key).is_none());
        let (others, networks) = table.keys().split_at(first_network);
        let others = others.iter().copied().zip(0..).collect();
        let networks: Vec<Prefix> = networks.iter().filter_map(network).collect();
        let numbered = networks.iter().copied().zip(first_network as u32 + 1..);
        let numbered: Vec<(Prefix, u32)> = numbered.collect();
        let mut measured = Self {
            networks: PrefixTable::longest_match(&numbered),
            around: around(&numbered),
            table,
            pools,
            pool_of,
            first_network,
            others,
            fits: Fits::default(),
        };
        measured.fits = Fits::of(&measured.pairs(atlas));
        measured
    }

    /// Whether joining this table with these pools would give the same, for the same databases.
    pub fn is_of(&self, table: &Arc<Table>, pools: &[NamedPool]) -> bool {
        Arc::ptr_eq(&self.table, table) && self.pools == pools
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// How distance is turned into time for clients of a continent.
    pub fn fit(&self, continent: Option<Continent>) -> &Fit {
        self.fits.of_continent(continent)
    }

    /// Heap memory in bytes, without the table's.
    pub fn n_bytes(&self) -> usize {
        self.networks.n_bytes() + size_of_val(&*self.around)
    }

    /// One more than the position of the smallest measured network around each address; 0: none.
    pub(super) fn networks(&self) -> &PrefixTable {
        &self.networks
    }

    /// Whether any measurement is of networks.
    pub(super) fn has_networks(&self) -> bool {
        self.first_network < self.table.keys().len()
    }

    /// Whether any measurement is of autonomous systems.
    pub(super) fn has_systems(&self) -> bool {
        self.others.keys().any(|key| matches!(key, Key::Asn(_)))
    }

    /// Whether clients of an autonomous system were measured.
    pub(super) fn has_system(&self, asn: u32) -> bool {
        self.others.contains_key(&Key::Asn(asn))
    }

    /// The position of every key that a client falls under, the most specific first.
    fn keys(&self, client: Client<'_>) -> impl Iterator<Item = usize> {
        let network = client.network.checked_sub(1);
        let networks = std::iter::successors(network, |at| {
            self.around[*at as usize - self.first_network].checked_sub(1)
        });
        let asn = Some(client.asn).filter(|asn| *asn != 0).map(Key::Asn);
        let location = client.location;
        let smallest_first = location.subdivisions.iter().rev().copied();
        let others = asn
            .into_iter()
            .chain(smallest_first.map(Key::Subdivision))
            .chain(location.country.map(Key::Country))
            .chain(location.continent.map(Key::Continent));
        let others = others.filter_map(|key| self.others.get(&key).copied());
        networks.chain(others).map(|at| at as usize)
    }

    /// Every measurement of a client with its pool, the most specific first; a pool may occur several times.
    pub(super) fn entries(
        &self,
        client: Client<'_>,
    ) -> impl Iterator<Item = (PoolIx, usize, &Entry)> {
        self.keys(client).flat_map(move |key| {
            let entries = self.table.entries(key).iter();
            entries.filter_map(move |entry| Some((self.pool_of[entry.pool as usize]?, key, entry)))
        })
    }

    /// The time from a place to one so far away, by the distance alone.
    pub(super) fn estimate(&self, location: &Location, km: f64) -> f32 {
        self.fit(location.continent).rtt_ms(km)
    }

    /// The round-trip time of the clients at an address, which are at `location`; `None` if it can only be
    /// guessed.
    pub fn rtt(&self, addr: IpAddr, location: &Location, pool: PoolIx) -> Option<Rtt> {
        let inside = Prefix::host(addr).embedded_v4().map(|(v4, _)| v4.addr());
        let client = Client {
            location,
            asn: location.asn.unwrap_or(0),
            network: match (self.networks.value(addr), inside) {
                (0, Some(v4)) => self.networks.value(v4),
                (network, _) => network,
            },
        };
        let measured = self.entries(client).find(|(of, ..)| *of == pool);
        if let Some((_, key, entry)) = measured {
            return Some(Rtt {
                ms: entry.rtt_ms,
                source: RttSource::Measured {
                    key: self.table.keys()[key],
                    samples: entry.samples,
                    measured: entry.measured,
                },
            });
        }
        let (_, at) = self.pools.get(pool.index())?;
        let km = location.point?.distance_km(*at);
        Some(Rtt {
            ms: self.estimate(location, km),
            source: RttSource::Estimated { km },
        })
    }

    /// How many measurements are to pools that there are not.
    pub fn n_to_unknown_pools(&self) -> usize {
        let counts = self.table.n_by_pool().into_iter().zip(&self.pool_of);
        counts
            .filter(|(_, pool)| pool.is_none())
            .map(|(n, _)| n)
            .sum()
    }

    /// What was measured over a known distance.
    fn pairs(&self, atlas: &Atlas) -> Vec<Pair> {
        let n_networks = self.table.keys().len() - self.first_network;
        let step = n_networks.div_ceil(MAX_FITTED).max(1);
        let networks = (self.first_network..self.table.keys().len()).step_by(step);
        let centres = Centres::of(atlas.locations());
        let mut pairs = Vec::new();
        for key in (0..self.first_network).chain(networks) {
            let place = match &self.table.keys()[key] {
                Key::Network(network) => {
                    let location =
                        &atlas.locations()[atlas.places().value(network.addr()) as usize];
                    location.point.zip(location.continent)
                }
                other => centres.0.get(other).copied(),
            };
            let Some((point, continent)) = place else {
                continue;
            };
            for entry in self.table.entries(key) {
                if let Some(pool) = self.pool_of[entry.pool as usize] {
                    pairs.push(Pair {
                        continent,
                        km: point.distance_km(self.pools[pool.index()].1),
                        rtt_ms: entry.rtt_ms,
                    });
                }
            }
        }
        pairs
    }
}

/// The position, and one more, of the network around each; networks are sorted, outer before inner.
fn around(networks: &[(Prefix, u32)]) -> Vec<u32> {
    let mut open: Vec<(Prefix, u32)> = Vec::new();
    let mut around = Vec::with_capacity(networks.len());
    for (network, number) in networks {
        while open.pop_if(|(outer, _)| !outer.covers(*network)).is_some() {}
        around.push(open.last().map_or(0, |(_, number)| *number));
        open.push((*network, *number));
    }
    around
}

/// The middle of each country and subdivision.
struct Centres(FxHashMap<Key, (Point, Continent)>);

impl Centres {
    fn of(locations: &[Location]) -> Self {
        let mut points: FxHashMap<Key, (Vec<Point>, Continent)> = FxHashMap::default();
        for location in locations {
            let (Some(point), Some(continent)) = (location.point, location.continent) else {
                continue;
            };
            let subdivisions = location.subdivisions.iter().copied().map(Key::Subdivision);
            for key in subdivisions.chain(location.country.map(Key::Country)) {
                points
                    .entry(key)
                    .or_insert((Vec::new(), continent))
                    .0
                    .push(point);
            }
        }
        let centre = |(key, (points, continent))| Some((key, (Point::centre(points)?, continent)));
        Self(points.into_iter().filter_map(centre).collect())
    }
}
