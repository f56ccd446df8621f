//! What a new health table takes over: from the table before a reload, or from the last run.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::base::health::Health;
use crate::health::health_table::Endpoint;
use crate::health::health_table::HealthTable;
use crate::health::observation::Moment;
use crate::health::observation::Target;
use crate::health::report::Saved;
use crate::health::streak::Streak;
use crate::health::vantage::Vantage;

impl HealthTable {
    /// Takes over the verdicts of the last run, by the names of pool, monitor and vantage, and by
    /// address. Vantages that
    /// were fresh then count as fresh now: otherwise the first one to report would decide alone, and
    /// an endpoint that most call down would come back as up.
    pub fn restore(&mut self, saved: &Saved, now: Moment) {
        let now = self.advance(now);
        for old in &saved.endpoints {
            let mut positions = self.of_address(&old.pool, old.address).iter().copied();
            let at = positions.find(|at| {
                let monitor = &self.endpoints[*at].target.monitor;
                old.monitor
                    .as_ref()
                    .is_none_or(|name| *name == monitor.name)
            });
            let Some(at) = at else {
                continue;
            };
            let endpoint = &mut self.endpoints[at];
            let monitor = &endpoint.target.monitor;
            (endpoint.health, endpoint.since) = (old.health, old.since);
            for (index, streak) in &mut endpoint.vantages {
                let name = &self.vantages[*index].name;
                if let Some(old) = old.vantages.iter().find(|v| *v.name == **name) {
                    let reported = old.is_fresh.then_some(now.elapsed);
                    *streak = Streak::resume(&old.record, reported);
                    if let Some(flaps) = &old.flaps {
                        streak.resume_flaps(flaps, monitor, now);
                    }
                }
                streak.contact = (old.health != Health::Down).then_some(now.elapsed);
            }
            self.restore_remote(at, &old.vantages, now);
            self.settle_regions(at, true, now);
        }
    }

    /// Takes over what the table before a reload knew, by address and vantage name: of the pool of the same
    /// name, else of any that was probed in the same way, as after a pool was renamed. Where the monitor
    /// or the check address has changed, verdicts stay but runs of results start over.
    pub fn adopt(&mut self, old: &Self) {
        self.time = old.time;
        let now = old.time.latest();
        for vantage in &mut self.vantages {
            let is_same = |old: &&Vantage| old.name == vantage.name && !old.is_remote;
            match old.vantages.iter().find(is_same) {
                Some(old) => vantage.adopt(old, now),
                None => vantage.wait_from(now),
            }
        }
        let elsewhere = by_address(&old.endpoints);
        let known = self.endpoints.iter().map(|Endpoint { target, .. }| {
            let here = self.of_address(&target.pool, target.address);
            let known = old.known_check(target, here.len() == 1);
            known.or_else(|| probed_alike(&elsewhere, target))
        });
        let known: Vec<_> = known.collect();
        let has_same_regions = self.regions == old.regions;
        for (endpoint, known) in self.endpoints.iter_mut().zip(&known) {
            let (target, known) = (&endpoint.target, *known);
            if let Some(known) = known {
                (endpoint.health, endpoint.since) = (known.health, known.since);
                if has_same_regions && endpoint.regional.len() == known.regional.len() {
                    endpoint.regional.clone_from(&known.regional);
                }
            } else if target.has_vote {
                // A monitor that is new says what the others say until it knows better.
                endpoint.health = old.health(&target.pool, target.address);
            }
            for (index, streak) in &mut endpoint.vantages {
                let known = known.and_then(|known| old.known(known, &self.vantages[*index]));
                *streak = match known {
                    Some((old, streak)) if old.is_same_check(target) => streak.clone(),
                    Some((_, streak)) => streak.start_over(),
                    None => Streak::default(),
                };
            }
        }
        self.adopt_remote(old, &known);
    }

    /// The same endpoint by the monitor of the same name, else by one that asks the same, else by the only one
    /// there was if there is only one now.
    fn known_check(&self, target: &Target, is_alone: bool) -> Option<&Endpoint> {
        let positions = self.of_address(&target.pool, target.address).iter();
        let endpoints = positions.map(|at| &self.endpoints[*at]);
        let find = |is_it: &dyn Fn(&Target) -> bool| {
            let mut endpoints = endpoints.clone();
            endpoints.find(|endpoint| is_it(&endpoint.target))
        };
        let known = find(&|old| old.monitor.name == target.monitor.name)
            .or_else(|| find(&|old| old.is_same_check(target)));
        known.or_else(|| find(&|_| is_alone && endpoints.len() == 1))
    }

    /// What a vantage knows of an endpoint, and how that is probed.
    fn known<'a>(
        &self,
        endpoint: &'a Endpoint,
        vantage: &Vantage,
    ) -> Option<(&'a Target, &'a Streak)> {
        let mut streaks = endpoint.vantages.iter();
        let (_, streak) = streaks.find(|(v, _)| self.vantages[*v].name == vantage.name)?;
        Some((&endpoint.target, streak))
    }
}

fn by_address(endpoints: &[Endpoint]) -> HashMap<IpAddr, Vec<&Endpoint>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for endpoint in endpoints {
        let of_address = found.entry(endpoint.target.address).or_default();
        of_address.push(endpoint);
    }
    found
}

fn probed_alike<'a>(
    endpoints: &HashMap<IpAddr, Vec<&'a Endpoint>>,
    target: &Target,
) -> Option<&'a Endpoint> {
    let mut endpoints = endpoints.get(&target.address)?.iter();
    let is_alike = |e: &&&Endpoint| e.target.is_same_check(target);
    endpoints.find(is_alike).copied()
}
