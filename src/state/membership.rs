//! `Membership`: which endpoints the pools have now. It is state, not configuration: it changes while
//! the process runs, without the geography being compiled again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::config::model::Endpoint;
use crate::config::model::Pool;

/// The pools whose endpoints come from another source than the operator's file; all others have those
/// that the file lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    pools: BTreeMap<PoolIx, Arc<[Endpoint]>>,
}

impl Membership {
    /// Gives a pool these endpoints; with none it is no candidate for anybody.
    pub fn set(&mut self, pool: PoolIx, endpoints: Arc<[Endpoint]>) {
        self.pools.insert(pool, endpoints);
    }

    /// A pool's endpoints.
    pub fn of<'a>(&'a self, ix: PoolIx, pool: &'a Pool) -> &'a Arc<[Endpoint]> {
        self.pools.get(&ix).unwrap_or(&pool.endpoints)
    }
}
