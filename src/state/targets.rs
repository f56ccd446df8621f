//! What resolving the targets of aliases gave, where these lie outside of the zones of this server.
//!
//! A target keeps its last good answer, however long it fails: only an answer that says that there are no
//! addresses takes the last one away.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ix::AliasIx;
use crate::base::per_family::PerFamily;
use crate::config::model::Pools;
use crate::config::safety::Safety;
use crate::state::membership::Membership;
use crate::state::membership::ResolvedAlias;
use crate::state::resolved::Lookup;
use crate::state::resolved::MAX_TTL;
use crate::state::resolved::MIN_TTL;
use crate::state::resolved::Refused;
use crate::state::resolved::addresses_after;

/// The targets of all aliases, by their host names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets(BTreeMap<Arc<str>, Target>);

/// What is known of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Target {
    /// Of its last good answer; `None`: there was none yet.
    addresses: Option<Vec<IpAddr>>,
    /// How long that answer was said to hold, within bounds.
    ttl: Duration,
    /// Why it cannot be resolved now.
    fault: Option<Box<str>>,
    /// Addresses of its latest answer that are not taken.
    refused: Option<Refused>,
}

/// Something that an operator reads in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetEvent {
    /// The target.
    pub target: Arc<str>,
    /// What has happened.
    pub what: TargetChange,
}

/// What has happened to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetChange {
    /// It has other addresses: these.
    Addresses(Vec<IpAddr>),
    /// It cannot be resolved, for this reason.
    Fails(Box<str>),
    /// It is resolved again.
    Answers,
    /// Addresses of its answer are not taken.
    Refuses(Refused),
}

impl Targets {
    /// A last good answer that was saved: it held for `ttl` seconds.
    pub fn insert(&mut self, host: &str, addresses: Vec<IpAddr>, ttl: u64) {
        let target = Target {
            addresses: Some(addresses),
            ttl: Duration::from_secs(ttl).clamp(MIN_TTL, MAX_TTL),
            ..Target::default()
        };
        self.0.insert(host.into(), target);
    }

    /// The last good answers, each with the seconds for which it held.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[IpAddr], u64)> {
        let targets = self.0.iter();
        targets.filter_map(|(host, target)| {
            let addresses = target.addresses.as_deref()?;
            Some((&**host, addresses, target.ttl.as_secs()))
        })
    }

    /// Goes on with the targets that a configuration names.
    pub fn follow(&mut self, pools: &Pools) {
        let mut before = std::mem::take(&mut self.0);
        for alias in &pools.aliases {
            let target = before.remove(&alias.host).unwrap_or_default();
            self.0.entry(Arc::clone(&alias.host)).or_insert(target);
        }
    }

    /// Takes what resolving a host name gave; `ttl` is how long it holds, if nothing failed.
    pub fn resolved(
        &mut self,
        host: &Arc<str>,
        lookups: &PerFamily<Lookup>,
        ttl: Option<Duration>,
        safety: &Safety,
    ) -> Vec<TargetEvent> {
        let Some(target) = self.0.get_mut(host) else {
            return Vec::new();
        };
        let before = target.addresses.as_deref().unwrap_or_default();
        let after = addresses_after(before, lookups, |address| safety.check_found(address));
        let mut changes = Vec::new();
        match (&target.fault, &after.fault) {
            (None, Some(reason)) => changes.push(TargetChange::Fails(reason.clone())),
            (Some(_), None) => changes.push(TargetChange::Answers),
            _ => {}
        }
        if let (None, Some(refused)) = (&target.refused, &after.refused) {
            changes.push(TargetChange::Refuses(refused.clone()));
        }
        target.fault = after.fault;
        target.refused = after.refused;
        if let Some(ttl) = ttl {
            target.ttl = ttl.clamp(MIN_TTL, MAX_TTL);
        }
        if let Some(addresses) = after.addresses
            && target.addresses.as_ref() != Some(&addresses)
        {
            changes.push(TargetChange::Addresses(addresses.clone()));
            target.addresses = Some(addresses);
        }
        let event = |what| TargetEvent {
            target: Arc::clone(host),
            what,
        };
        changes.into_iter().map(event).collect()
    }

    /// Adds what aliases have now.
    pub fn put_into(&self, members: &mut Membership, pools: &Pools, safety: &Safety) {
        for (ix, alias) in pools.aliases.iter().enumerate() {
            let target = self.0.get(&alias.host);
            let Some((target, addresses)) = target.and_then(|t| Some((t, t.addresses.as_ref()?)))
            else {
                continue;
            };
            let may_be = |address: &IpAddr| safety.check_found(*address).is_ok();
            let resolved = ResolvedAlias {
                addresses: addresses.iter().copied().filter(may_be).collect(),
                ttl: alias.ttl.min(target.ttl.max(MIN_TTL).as_secs() as u32),
            };
            members.set_alias(AliasIx::new(ix), resolved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::fixture;

    const POOLS: &str = "[alias.\"example.com\"]\ntarget = \"lb.example.net\"\nttl = \"1m\"\n";

    #[test]
    fn a_target_keeps_its_last_good_answer_and_its_ttl_within_bounds() {
        let zones = [(
            "example.com",
            "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n",
        )];
        let plan = fixture::plan("", POOLS, &zones, fixture::embedded_atlas());
        let (pools, safety) = (&plan.config.pools, &plan.config.process.safety);
        let mut targets = Targets::default();
        targets.follow(pools);
        let host: Arc<str> = "lb.example.net".into();
        let one: IpAddr = "192.0.2.7".parse().expect("an address");
        let found = |address: IpAddr| Lookup::Addresses(vec![address]);
        let failed = || Lookup::Failed("SERVFAIL".into());
        let loopback = "127.0.0.1".parse().expect("an address");
        for (v4, ttl, n_events, addresses, expected_ttl) in [
            (failed(), None, 1, None, 0),
            (found(one), Some(1), 2, Some(vec![one]), 5),
            (found(one), Some(40), 0, Some(vec![one]), 40),
            (found(one), Some(86_400), 0, Some(vec![one]), 60),
            (failed(), None, 1, Some(vec![one]), 60),
            (found(loopback), None, 1, Some(vec![one]), 60),
            (Lookup::NoData, Some(60), 2, Some(Vec::new()), 60),
        ] {
            let row = format!("{v4:?} {ttl:?}");
            let v6 = match v4 {
                Lookup::Failed(_) => failed(),
                _ => Lookup::NoData,
            };
            let ttl = ttl.map(Duration::from_secs);
            let events = targets.resolved(&host, &PerFamily { v4, v6 }, ttl, safety);
            assert_eq!(events.len(), n_events, "{row}: {events:?}");
            let mut members = Membership::default();
            targets.put_into(&mut members, pools, safety);
            let alias = members.alias(AliasIx(0));
            assert_eq!(
                alias.map(|alias| alias.addresses.clone()),
                addresses,
                "{row}"
            );
            assert_eq!(alias.map_or(0, |alias| alias.ttl), expected_ttl, "{row}");
        }
        let other: Arc<str> = "other.example.net".into();
        let lookups = PerFamily::both(failed());
        assert_eq!(targets.resolved(&other, &lookups, None, safety), []);
    }
}
