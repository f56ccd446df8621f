//! `Membership`: which endpoints the pools have now. It is state, not configuration: it changes while
//! the process runs, without the geography being compiled again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::AliasIx;
use crate::base::ix::PoolIx;
use crate::config::model::Endpoint;
use crate::config::model::Pool;

/// The pools whose endpoints come from another source than the operator's file; all others have those
/// that the file lists. And the addresses of aliases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    pools: BTreeMap<PoolIx, Arc<[Endpoint]>>,
    /// What resolving the targets of aliases gave.
    aliases: BTreeMap<AliasIx, ResolvedAlias>,
}

/// What resolving the target of an alias gave.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedAlias {
    /// Of both families; none if the target has none.
    pub addresses: Vec<IpAddr>,
    /// Seconds.
    pub ttl: u32,
}

impl Membership {
    /// Gives a pool these endpoints; with none it is no candidate for anybody.
    pub fn set(&mut self, pool: PoolIx, endpoints: Arc<[Endpoint]>) {
        self.pools.insert(pool, endpoints);
    }

    /// Gives an alias these addresses.
    pub fn set_alias(&mut self, alias: AliasIx, resolved: ResolvedAlias) {
        self.aliases.insert(alias, resolved);
    }

    /// An alias's addresses, once its target has been resolved.
    pub fn alias(&self, alias: AliasIx) -> Option<&ResolvedAlias> {
        self.aliases.get(&alias)
    }

    /// A pool's endpoints.
    pub fn of<'a>(&'a self, ix: PoolIx, pool: &'a Pool) -> &'a Arc<[Endpoint]> {
        self.pools.get(&ix).unwrap_or(&pool.endpoints)
    }
}
