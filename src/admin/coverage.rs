//! Which pool serves most of each country: what the page's map is coloured by.
//!
//! It is counted in the background when somebody looks at a snapshot that has not been counted, and kept: with
//! a database of cities a count takes seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::base::ix::SteeredIx;
use crate::base::location::Country;
use crate::base::lock::lock;
use crate::base::prefix::Family;
use crate::census::Census;
use crate::census::Clients;
use crate::census::Served;
use crate::state::snapshot::Snapshot;

/// After a count there is none for so many times as long as it took.
const REST: u32 = 10;

/// The most names whose counts are kept.
const MAX_KEPT: usize = 8;

/// Who serves the clients of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// The snapshot that was counted.
    pub generation: u64,
    /// The family that was counted.
    pub family: Family,
    /// The share of the located clients that a pool serves, by its position in the file.
    pub pools: BTreeMap<usize, f64>,
    /// The pool that serves most of a country, and its share there.
    pub countries: BTreeMap<Country, (usize, f64)>,
}

impl Coverage {
    /// Counts the clients of a name, in the family that its other records follow.
    pub fn of(snapshot: &Snapshot, name: SteeredIx) -> Self {
        let family = snapshot.steered[name.index()].leading;
        let census = Census::of(snapshot, name, family, &Clients::World);
        let n_located = census.n_located().max(1.0);
        let pool_of = |served: Served| match served {
            Served::Pool(pool) => Some(pool.index()),
            Served::NoData | Served::ServFail => None,
        };
        let mut pools = BTreeMap::new();
        let mut countries = BTreeMap::new();
        for group in census.by_country() {
            for (served, n) in &group.shares {
                if let Some(pool) = pool_of(*served) {
                    *pools.entry(pool).or_default() += n / n_located;
                }
            }
            let most = group.shares.first();
            let most = most.and_then(|(served, n)| Some((pool_of(*served)?, n / group.n)));
            countries.extend(group.part.zip(most));
        }
        Self {
            generation: snapshot.generation,
            family,
            pools,
            countries,
        }
    }
}

/// The latest counts.
#[derive(Debug, Default)]
pub struct CoverageCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_name: BTreeMap<SteeredIx, Arc<Coverage>>,
    is_counting: bool,
    /// When the next count may start.
    rests_until: Option<Instant>,
}

impl CoverageCache {
    /// The latest count of a name, which may be that of an older snapshot; has this one counted if it is not.
    pub fn get(
        self: &Arc<Self>,
        snapshot: &Arc<Snapshot>,
        name: SteeredIx,
    ) -> Option<Arc<Coverage>> {
        let mut state = lock(&self.0);
        let latest = state.by_name.get(&name).cloned();
        let is_new = latest
            .as_ref()
            .is_some_and(|latest| latest.generation == snapshot.generation);
        let rests = state.rests_until.is_some_and(|end| Instant::now() < end);
        if !is_new && !state.is_counting && !rests {
            state.is_counting = true;
            let (cache, snapshot) = (Arc::clone(self), Arc::clone(snapshot));
            spawn_blocking(move || cache.count(&snapshot, name));
        }
        latest
    }

    fn count(&self, snapshot: &Snapshot, name: SteeredIx) {
        let start = Instant::now();
        let coverage = Arc::new(Coverage::of(snapshot, name));
        let took = start.elapsed().max(Duration::from_millis(1));
        let mut state = lock(&self.0);
        if state.by_name.len() >= MAX_KEPT {
            state.by_name.clear();
        }
        state.by_name.insert(name, coverage);
        state.is_counting = false;
        state.rests_until = Some(Instant::now() + took * REST);
    }
}
