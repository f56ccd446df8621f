//! `Sources`: what names the endpoints of pools, besides the addresses in the operator's file.
//!
//! Each source of a pool keeps its last good answer, however long it fails: only an answer that says that
//! there are no endpoints takes the last one away. Answers and times come in as values.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::config::kubernetes;
use crate::config::model::Endpoint;
use crate::config::model::HostEndpoint;
use crate::config::model::Pool;
use crate::config::model::PoolSource;
use crate::config::model::Pools;
use crate::config::safety::Safety;
use crate::state::external::Published;
use crate::state::external::RecordChanges;
use crate::state::membership::Membership;
use crate::state::object::ObjectReport;
use crate::state::resolved::Lookup;
use crate::state::resolved::addresses_after;
use crate::state::source::Named;
use crate::state::source::SourceChange;
use crate::state::source::SourceEvent;
use crate::state::source::SourceId;
use crate::state::source::SourceState;
use crate::state::targets::Targets;

/// The sources of all pools, by the pools' names, so that they outlive reloads and restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pools: BTreeMap<Box<str>, OfPool>,
    /// Ownership records of external-dns that may be in a zone.
    pub published: Published,
    /// What the targets of aliases were resolved to.
    pub targets: Targets,
}

/// The sources of one pool.
type OfPool = BTreeMap<SourceId, SourceState>;

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
            let named = named.get(&**pool).map_or(&[][..], Vec::as_slice);
            let states = named.iter().filter_map(|source| sources.get(source));
            let hosts: BTreeSet<SourceId> = states.flat_map(hosts_of).collect();
            sources.retain(|source, _| {
                *source == SourceId::Api || named.contains(source) || hosts.contains(source)
            });
        }
        self.pools.retain(|_, sources| !sources.is_empty());
        let named = named.into_iter().flat_map(|(pool, named)| {
            let of_pool = move |source| (Box::from(pool), source);
            named.into_iter().map(of_pool)
        });
        self.add(named.collect());
        self.follow_hosts();
        self.targets.follow(pools);
    }

    /// Goes on with the host names of Kubernetes objects.
    fn follow_hosts(&mut self) {
        let mut named = Vec::new();
        for (pool, sources) in &mut self.pools {
            let hosts: BTreeSet<SourceId> = sources.values().flat_map(hosts_of).collect();
            if sources
                .keys()
                .any(|source| matches!(source, SourceId::Kubernetes(_)))
            {
                let is_host = |source: &SourceId| matches!(source, SourceId::Host(_));
                sources.retain(|source, _| !is_host(source) || hosts.contains(source));
            }
            named.extend(hosts.into_iter().map(|host| (pool.clone(), host)));
        }
        self.add(named);
    }

    /// Adds the sources that pools do not have yet. What is known of a source of another pool holds for them too,
    /// as nobody asks anew; the API sets each pool's own.
    fn add(&mut self, mut named: Vec<(Box<str>, SourceId)>) {
        named.retain(|(pool, source)| self.get(pool, source).is_none());
        let ids = named.iter().map(|(_, source)| source);
        let shared = ids.filter(|source| **source != SourceId::Api);
        let mut known: BTreeMap<_, _> = shared
            .map(|source| (source.clone(), SourceState::default()))
            .collect();
        for (_, source, state) in self.iter() {
            if let Some(known) = known.get_mut(source) {
                known.clone_from(state);
            }
        }
        for (pool, source) in named {
            let state = known.get(&source).cloned().unwrap_or_default();
            self.insert(&pool, source, state);
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
        self.targets.put_into(&mut members, pools, safety);
        members
    }

    fn endpoints(&self, pool: &Pool, safety: &Safety) -> Arc<[Endpoint]> {
        let mut endpoints = pool.endpoints.to_vec();
        for source in self.in_force(pool) {
            let Some(state) = self.get(&pool.name, &source) else {
                continue;
            };
            let of_source = state.named.endpoints.iter().copied();
            if source == SourceId::Api {
                let may_be = |endpoint: &Endpoint| {
                    let check = endpoint.check.map(|check| check.ip);
                    let mut addresses = [endpoint.address].into_iter().chain(check);
                    addresses.all(|address| safety.check(address).is_ok())
                };
                endpoints.extend(of_source.filter(may_be));
                continue;
            }
            let is_it = |host: &&HostEndpoint| source == SourceId::Host(Arc::clone(&host.name));
            let weight = pool.hosts.iter().find(is_it).map_or(1, |host| host.weight);
            let may_be = |endpoint: &Endpoint| safety.check_found(endpoint.address).is_ok();
            let weighed = |endpoint| Endpoint { weight, ..endpoint };
            endpoints.extend(of_source.filter(may_be).map(weighed));
        }
        let mut seen = HashSet::new();
        endpoints.retain(|endpoint| seen.insert(endpoint.address));
        endpoints.into()
    }

    /// The sources that a pool has its endpoints from: those of its configuration, and the host names that a
    /// Kubernetes object among them names.
    fn in_force(&self, pool: &Pool) -> Vec<SourceId> {
        let mut sources = named_by(pool);
        let states = sources
            .iter()
            .filter_map(|source| self.get(&pool.name, source));
        let hosts = states.flat_map(|state| state.named.hosts.iter());
        let hosts: Vec<_> = hosts.map(|host| SourceId::Host(Arc::clone(host))).collect();
        sources.extend(hosts);
        sources
    }

    /// Why a pool has no endpoints.
    pub fn why_empty(&self, pool: &Pool) -> String {
        let mut sources = Vec::new();
        for source in self.in_force(pool) {
            match self.get(&pool.name, &source) {
                Some(state) if state.since.is_some() => sources.push((source, state)),
                Some(SourceState {
                    fault: Some(fault), ..
                }) => return format!("no endpoints yet: {source}: {fault}"),
                _ => return "no endpoints yet".into(),
            }
        }
        let mut states = sources.iter().map(|(_, state)| state);
        if states
            .clone()
            .any(|state| !state.named.endpoints.is_empty())
        {
            return "[safety] refuses all of its addresses".into();
        }
        if let Some(token) = states.find_map(|state| state.by.as_deref()) {
            return format!("no endpoints, as set by {token}");
        }
        // An object that names hosts is not to blame for hosts without addresses.
        sources.retain(|(_, state)| state.named.hosts.is_empty());
        let is_missing = sources.iter().any(|(_, state)| state.is_missing);
        let names: Vec<_> = sources
            .iter()
            .map(|(source, _)| source.to_string())
            .collect();
        match is_missing {
            true => format!("{} does not exist", names.join(", ")),
            false => format!("{} has no addresses", names.join(", ")),
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
            let before = state.addresses();
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
                changes.extend(state.change(Named::by_address(addresses), None, now));
            }
            events.extend(changes.into_iter().map(|what| SourceEvent {
                pool: pool.clone(),
                source: source.clone(),
                what,
            }));
        }
        events.extend(self.settle(now));
        events
    }

    /// Takes what an API server says of a Kubernetes object, for every pool that names it.
    pub fn reported(
        &mut self,
        object: &Arc<kubernetes::Object>,
        report: &ObjectReport,
        safety: &Safety,
        now: u64,
    ) -> Vec<SourceEvent> {
        let source = SourceId::Kubernetes(Arc::clone(object));
        let mut events = Vec::new();
        for (pool, sources) in &mut self.pools {
            let Some(state) = sources.get_mut(&source) else {
                continue;
            };
            let changes = state.report(report, safety, now);
            events.extend(changes.into_iter().map(|what| SourceEvent {
                pool: pool.clone(),
                source: source.clone(),
                what,
            }));
        }
        self.follow_hosts();
        events.extend(self.settle(now));
        events
    }

    /// Takes answers that wait for host names into force once these are resolved.
    fn settle(&mut self, now: u64) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        for (pool, sources) in &mut self.pools {
            let Some(source) = settled(sources) else {
                continue;
            };
            let state = sources.get_mut(&source);
            events.extend(
                state
                    .and_then(|state| state.settle(now))
                    .map(|what| SourceEvent {
                        pool: pool.clone(),
                        source,
                        what,
                    }),
            );
        }
        if !events.is_empty() {
            self.follow_hosts();
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
        let what = state.change(Named::of(endpoints), Some(by.into()), now)?;
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
            let (external, endpoints) =
                state
                    .external
                    .after(&state.named.endpoints, pool, changes)?;
            state.external = external;
            state.last_success = Some(now);
            let what = state.change(Named::of(endpoints.into()), Some(by.into()), now);
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
    let source = match &pool.source {
        PoolSource::Api => Some(SourceId::Api),
        PoolSource::File => None,
        PoolSource::Kubernetes { object, .. } => Some(SourceId::Kubernetes(Arc::clone(object))),
    };
    hosts.chain(source).collect()
}

/// The host names that a source names, or will.
fn hosts_of(state: &SourceState) -> impl Iterator<Item = SourceId> {
    let all = std::iter::once(&state.named).chain(&state.next);
    let hosts = all.flat_map(|named| named.hosts.iter());
    hosts.map(|host| SourceId::Host(Arc::clone(host)))
}

/// The source of a pool whose next answer can be taken into force: each of its host names has been resolved,
/// or the pool has nothing to lose.
fn settled(sources: &OfPool) -> Option<SourceId> {
    let has_answered = |host: &Arc<str>| {
        let state = sources.get(&SourceId::Host(Arc::clone(host)));
        state.is_some_and(|state| state.since.is_some())
    };
    let is_settled = |state: &SourceState| {
        let next = state.next.as_ref();
        next.is_some_and(|next| state.named.is_empty() || next.hosts.iter().all(has_answered))
    };
    let mut sources = sources.iter();
    let settled = sources.find(|(_, state)| is_settled(state));
    settled.map(|(source, _)| source.clone())
}
