//! `Census`: who serves which clients of a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::ix::SteeredIx;
use crate::base::location::Continent;
use crate::base::location::Country;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::prefix::Family;
use crate::census::Distances;
use crate::census::Served;
use crate::census::clients::Clients;
use crate::census::clients::keys;
use crate::config::model::Pool;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// The clients of one name in one family.
#[derive(Clone, Debug)]
pub struct Census {
    plan: Arc<Plan>,
    /// In the order of what they get.
    cells: Vec<Cell>,
}

/// The clients of one place that one pool serves.
#[derive(Clone, Copy, Debug)]
struct Cell {
    served: Served,
    /// The position in [`crate::geo::atlas::Atlas::locations`].
    place: u32,
    n: f64,
}

/// The located clients that get the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// What they get.
    pub served: Served,
    /// How many they are.
    pub n: f64,
    /// How far they are from the pool; `None` without one, or where no coordinates are known.
    pub distances: Option<Distances>,
}

/// The located clients of a part of the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<K> {
    /// The part; `None`: the database does not name one.
    pub part: Option<K>,
    /// How many they are.
    pub n: f64,
    /// What they get: most clients first.
    pub shares: Vec<(Served, f64)>,
}

impl Census {
    /// Counts the clients of a name that ask for the addresses of a family and have such addresses.
    pub fn of(snapshot: &Snapshot, name: SteeredIx, family: Family, clients: &Clients) -> Self {
        let plan = &snapshot.plan;
        let answers = &snapshot.steered[name.index()].families[family];
        let keys = keys(plan, name, answers);
        let mut shares = FxHashMap::default();
        let mut cells = Vec::new();
        for ([key, place], n) in clients.tally(family, [&keys, plan.atlas.places()]) {
            let shares = shares.entry(key).or_insert_with(|| answers.shares(key));
            cells.extend(shares.iter().map(|(served, share)| Cell {
                served: *served,
                place,
                n: n * share,
            }));
        }
        cells.sort_by_key(|cell| cell.served);
        Self {
            plan: Arc::clone(plan),
            cells,
        }
    }

    /// The pools that [`Served`] names.
    pub fn pools(&self) -> &[Pool] {
        &self.plan.config.pools.pools
    }

    /// How many clients are located.
    pub fn n_located(&self) -> f64 {
        self.located().map(|(cell, _)| cell.n).sum()
    }

    /// What the located clients get: most clients first.
    pub fn shares(&self) -> Vec<Share> {
        let cells: Vec<_> = self.located().collect();
        let share = |cells: &[(&Cell, &Location)]| Share {
            served: cells[0].0.served,
            n: cells.iter().map(|(cell, _)| cell.n).sum(),
            distances: self.distances_of(cells.iter().copied()),
        };
        let alike = cells.chunk_by(|(a, _), (b, _)| a.served == b.served);
        let mut shares: Vec<Share> = alike.map(share).collect();
        shares.sort_by(|a, b| b.n.total_cmp(&a.n));
        shares
    }

    /// What clients get of whom no place is known: most clients first.
    pub fn not_located(&self) -> Vec<(Served, f64)> {
        let cells = self.cells.iter();
        let others = cells.filter(|cell| !self.location(cell.place).is_located());
        sums(others.map(|cell| (cell.served, cell.n)))
    }

    /// How far the located clients are from the pools that serve them.
    pub fn distances(&self) -> Option<Distances> {
        self.distances_of(self.located())
    }

    fn distances_of<'a>(
        &self,
        cells: impl Iterator<Item = (&'a Cell, &'a Location)>,
    ) -> Option<Distances> {
        let weighed = cells.filter_map(|(cell, location)| {
            let km = distance_km(&self.plan, cell.served, location.point?)?;
            Some((km, cell.n))
        });
        Distances::of(weighed.collect())
    }

    /// The located clients of each continent: most clients first.
    pub fn by_continent(&self) -> Vec<Group<Continent>> {
        self.groups(|location| location.continent)
    }

    /// The located clients of each country: most clients first.
    pub fn by_country(&self) -> Vec<Group<Country>> {
        self.groups(|location| location.country)
    }

    fn groups<K: Ord>(&self, part_of: impl Fn(&Location) -> Option<K>) -> Vec<Group<K>> {
        let mut parts = BTreeMap::<Option<K>, Vec<(Served, f64)>>::new();
        for (cell, location) in self.located() {
            let part = parts.entry(part_of(location)).or_default();
            part.push((cell.served, cell.n));
        }
        let group = |(part, cells): (Option<K>, Vec<_>)| {
            let shares = sums(cells.into_iter());
            let n = shares.iter().map(|(_, n)| n).sum();
            Group { part, n, shares }
        };
        let mut groups: Vec<_> = parts.into_iter().map(group).collect();
        groups.sort_by(|a, b| b.n.total_cmp(&a.n));
        groups
    }

    fn located(&self) -> impl Iterator<Item = (&Cell, &Location)> {
        let cells = self.cells.iter();
        let cells = cells.map(|cell| (cell, self.location(cell.place)));
        cells.filter(|(_, location)| location.is_located())
    }

    fn location(&self, place: u32) -> &Location {
        &self.plan.atlas.locations()[place as usize]
    }
}

/// The sum of each key: largest first, equal ones in the order of their keys.
pub(super) fn sums<K: Ord>(parts: impl Iterator<Item = (K, f64)>) -> Vec<(K, f64)> {
    let mut sums = BTreeMap::<K, f64>::new();
    for (key, n) in parts {
        *sums.entry(key).or_default() += n;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}

/// How far a place is from the pool that serves it, if one does.
pub(super) fn distance_km(plan: &Plan, served: Served, place: Point) -> Option<f64> {
    match served {
        Served::Pool(pool) => {
            let pool = &plan.config.pools.pools[pool.index()];
            Some(pool.location.distance_km(place))
        }
        Served::NoData | Served::ServFail => None,
    }
}
