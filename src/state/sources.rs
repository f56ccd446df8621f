//! `Sources`: what names the endpoints of pools, besides the addresses in the operator's file.
//!
//! Each source of a pool keeps its last good answer, however long it fails: only an answer that says that
//! there are no endpoints takes the last one away. Answers and times come in as values.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::config::model::Endpoint;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::safety::Safety;
use crate::state::external::Published;
use crate::state::external::RecordChanges;
use crate::state::membership::Membership;
use crate::state::resolved::Lookup;
use crate::state::resolved::addresses_after;
use crate::state::source::SourceChange;
use crate::state::source::SourceEvent;
use crate::state::source::SourceId;
use crate::state::source::SourceState;

/// The sources of all pools, by the pools' names, so that they outlive reloads and restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pools: BTreeMap<Box<str>, BTreeMap<SourceId, SourceState>>,
    /// Ownership records of external-dns that may be in a zone.
    pub published: Published,
}

impl Sources {
    /// A record that was saved.
    pub fn insert(&mut self, pool: &str, source: SourceId, state: SourceState) {
        let sources = self.pools.entry(pool.into()).or_default();
        sources.insert(source, state);
    }

    /// The sources of all pools.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceId, &SourceState)> {
        self.pools.iter().flat_map(|(pool, sources)| {
            let sources = sources.iter();
            sources.map(move |(source, state)| (&**pool, source, state))
        })
    }

    /// The sources of a pool.
    pub fn of(&self, pool: &str) -> impl Iterator<Item = (&SourceId, &SourceState)> {
        self.pools.get(pool).into_iter().flatten()
    }

    /// A source of a pool.
    pub fn get(&self, pool: &str, source: &SourceId) -> Option<&SourceState> {
        self.pools.get(pool)?.get(source)
    }

    /// Goes on with the sources that a configuration names. What the API set for a pool that is not configured
    /// is kept: the pool may be missing by mistake, and nobody would set it again.
    pub fn follow(&mut self, pools: &Pools) {
        let named: BTreeMap<&str, Vec<SourceId>> = pools
            .pools
            .iter()
            .map(|pool| (&*pool.name, named_by(pool)))
            .collect();
        for (pool, sources) in &mut self.pools {
            let named = named.get(&**pool);
            sources.retain(|source, _| {
                *source == SourceId::Api || named.is_some_and(|named| named.contains(source))
            });
        }
        self.pools.retain(|_, sources| !sources.is_empty());
        for (pool, named) in named {
            for source in named {
                let sources = self.pools.entry(pool.into()).or_default();
                sources.entry(source).or_default();
            }
        }
    }

    /// The endpoints that the pools have now: those of the file, then those of their sources, each once.
    pub fn membership(&self, pools: &Pools, safety: &Safety) -> Membership {
        let mut members = Membership::default();
        for (ix, pool) in pools.pools.iter().enumerate() {
            if pool.has_sources() {
                members.set(PoolIx::new(ix), self.endpoints(pool, safety));
            }
        }
        members
    }

    fn endpoints(&self, pool: &Pool, safety: &Safety) -> Arc<[Endpoint]> {
        let mut endpoints = pool.endpoints.to_vec();
        for source in named_by(pool) {
            let Some(state) = self.get(&pool.name, &source) else {
                continue;
            };
            let of_source = state.endpoints.iter().copied();
            match &source {
                SourceId::Api => {
                    let may_be = |endpoint: &Endpoint| safety.check(endpoint.address).is_ok();
                    endpoints.extend(of_source.filter(may_be));
                }
                SourceId::Host(name) => {
                    let mut hosts = pool.hosts.iter();
                    let host = hosts.find(|host| host.name == *name);
                    let weight = host.map_or(1, |host| host.weight);
                    let may_be = |endpoint: &Endpoint| safety.check_found(endpoint.address).is_ok();
                    let weighed = |endpoint| Endpoint { weight, ..endpoint };
                    endpoints.extend(of_source.filter(may_be).map(weighed));
                }
            }
        }
        let mut seen = HashSet::new();
        endpoints.retain(|endpoint| seen.insert(endpoint.address));
        endpoints.into()
    }

    /// Why a pool has no endpoints.
    pub fn why_empty(&self, pool: &Pool) -> String {
        let sources = named_by(pool);
        let state = |source| self.get(&pool.name, source);
        let has_answered = |state: &SourceState| state.since.is_some();
        if let Some(source) = sources
            .iter()
            .find(|source| !state(source).is_some_and(has_answered))
        {
            let fault = state(source).and_then(|state| state.fault.as_ref());
            return match fault {
                Some(fault) => format!("no endpoints yet: {source}: {fault}"),
                None => "no endpoints yet".into(),
            };
        }
        let states = || sources.iter().filter_map(state);
        if states().any(|state| !state.endpoints.is_empty()) {
            return "[safety] refuses all of its addresses".into();
        }
        match states().find_map(|state| state.by.as_deref()) {
            Some(token) => format!("no endpoints, as set by {token}"),
            None => {
                let names: Vec<_> = sources.iter().map(ToString::to_string).collect();
                format!("{} has no addresses", names.join(", "))
            }
        }
    }

    /// Takes what resolving a host name gave, for every pool that names it.
    pub fn resolved(
        &mut self,
        host: &Arc<str>,
        lookups: &PerFamily<Lookup>,
        safety: &Safety,
        now: u64,
    ) -> Vec<SourceEvent> {
        let source = SourceId::Host(Arc::clone(host));
        let mut events = Vec::new();
        for (pool, sources) in &mut self.pools {
            let Some(state) = sources.get_mut(&source) else {
                continue;
            };
            let before: Vec<IpAddr> = state.endpoints.iter().map(|e| e.address).collect();
            let after = addresses_after(&before, lookups, |address| safety.check_found(address));
            let mut changes = Vec::new();
            // A line when it begins and one when it ends, whatever the reason changes to meanwhile.
            match (&state.fault, &after.fault) {
                (None, Some(reason)) => changes.push(SourceChange::Fails(reason.clone())),
                (Some(_), None) => changes.push(SourceChange::Answers),
                _ => {}
            }
            if let (None, Some(refused)) = (&state.refused, &after.refused) {
                changes.push(SourceChange::Refuses(refused.clone()));
            }
            if after.fault.is_none() {
                state.last_success = Some(now);
            }
            state.fault = after.fault;
            state.refused = after.refused;
            if let Some(addresses) = after.addresses {
                let endpoint = |address| Endpoint { address, weight: 1 };
                let endpoints = addresses.into_iter().map(endpoint).collect();
                changes.extend(state.change(endpoints, None, now));
            }
            events.extend(changes.into_iter().map(|what| SourceEvent {
                pool: pool.clone(),
                source: source.clone(),
                what,
            }));
        }
        events
    }

    /// Takes the endpoints that the holder of a token sets; `None`: they are the same as before.
    pub fn set(
        &mut self,
        pool: &str,
        endpoints: Arc<[Endpoint]>,
        by: &str,
        now: u64,
    ) -> Option<SourceEvent> {
        let sources = self.pools.entry(pool.into()).or_default();
        let state = sources.entry(SourceId::Api).or_default();
        state.last_success = Some(now);
        let what = state.change(endpoints, Some(by.into()), now)?;
        Some(SourceEvent {
            pool: pool.into(),
            source: SourceId::Api,
            what,
        })
    }

    /// Takes what external-dns changes, of all pools or of none.
    ///
    /// # Errors
    /// The changes do not fit one another, or what is there: the reason.
    pub fn change_records(
        &mut self,
        changes: &RecordChanges,
        by: &str,
        now: u64,
    ) -> Result<Vec<SourceEvent>, String> {
        let mut next = Vec::new();
        for pool in changes.pools() {
            let state = self.get(pool, &SourceId::Api).cloned();
            let mut state = state.unwrap_or_default();
            let (external, endpoints) = state.external.after(&state.endpoints, pool, changes)?;
            state.external = external;
            state.last_success = Some(now);
            let what = state.change(endpoints.into(), Some(by.into()), now);
            next.push((pool, state, what));
        }
        let mut events = Vec::new();
        for (pool, state, what) in next {
            self.insert(pool, SourceId::Api, state);
            events.extend(what.map(|what| SourceEvent {
                pool: pool.into(),
                source: SourceId::Api,
                what,
            }));
        }
        Ok(events)
    }
}

/// The sources that a pool's configuration names.
fn named_by(pool: &Pool) -> Vec<SourceId> {
    let hosts = pool.hosts.iter();
    let hosts = hosts.map(|host| SourceId::Host(Arc::clone(&host.name)));
    let api = (pool.source == PoolSource::Api).then_some(SourceId::Api);
    hosts.chain(api).collect()
}
