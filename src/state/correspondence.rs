//! `Correspondence`: which pool and which steered name of a new configuration is which of the one
//! before. Made once per load, for all who carry something over by index.

use std::collections::HashMap;
use std::hash::Hash;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::config::model::Pools;

/// By the new indexes the old ones of the same name; `None`: new.
#[derive(Clone, Debug)]
pub struct Correspondence {
    pools: Vec<Option<PoolIx>>,
    steered: Vec<Option<SteeredIx>>,
}

impl Correspondence {
    /// Finds the same names in both.
    pub fn between(old: &Pools, new: &Pools) -> Self {
        let pools = |pools: &Pools| pools.pools.iter().map(|pool| pool.name.clone()).collect();
        let steered = |pools: &Pools| pools.steered.iter().map(|s| s.owner.clone()).collect();
        Self {
            pools: matches(pools(old), &pools(new), PoolIx::new),
            steered: matches(steered(old), &steered(new), SteeredIx::new),
        }
    }

    /// Which pool this was.
    pub fn pool(&self, new: PoolIx) -> Option<PoolIx> {
        self.pools[new.index()]
    }

    /// Which steered name this was.
    pub fn steered(&self, new: SteeredIx) -> Option<SteeredIx> {
        self.steered[new.index()]
    }
}

fn matches<K: Eq + Hash, T: Copy>(old: Vec<K>, new: &[K], index: fn(usize) -> T) -> Vec<Option<T>> {
    let old: HashMap<K, T> = old.into_iter().zip((0..).map(index)).collect();
    new.iter().map(|name| old.get(name).copied()).collect()
}
