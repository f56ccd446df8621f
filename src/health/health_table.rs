//! `HealthTable`: what is known about the health of every endpoint.
//!
//! One loop owns it and feeds it observations and ticks; whatever changes comes back as a [`Flip`].
//! It never forgets a verdict for lack of news: verdicts outlive silence, reloads ([`HealthTable::adopt`])
//! and restarts ([`HealthTable::restore`]), and only evidence replaces them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::health::Health;
use crate::health::monitor::Monitor;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::Target;
use crate::health::quorum::judge;
use crate::health::saved::Saved;
use crate::health::saved::SavedEndpoint;
use crate::health::saved::SavedVantage;
use crate::health::streak::Note;
use crate::health::streak::Streak;

/// The health of all endpoints that have a monitor.
#[derive(Clone, Debug)]
pub struct HealthTable {
    report_max_age: Duration,
    endpoints: Vec<Endpoint>,
    positions: HashMap<Arc<str>, HashMap<IpAddr, usize>>,
}

/// One endpoint and the vantages that probe it.
#[derive(Clone, Debug)]
struct Endpoint {
    target: Arc<Target>,
    health: Health,
    since: Option<u64>,
    vantages: Vec<(Arc<str>, Streak)>,
}

/// A change of an endpoint's health.
#[derive(Clone, Debug, PartialEq)]
pub struct Flip {
    /// Which endpoint.
    pub target: Arc<Target>,
    /// Its health before.
    pub from: Health,
    /// Its health now.
    pub to: Health,
}

impl Flip {
    /// Whether answers can depend on it; from unknown to up they cannot.
    pub fn moves_traffic(&self) -> bool {
        self.from.is_usable() != self.to.is_usable()
    }
}

/// An endpoint as shown to people and metrics.
#[derive(Clone, Debug)]
pub struct EndpointView<'a> {
    /// Which endpoint.
    pub target: &'a Arc<Target>,
    /// The verdict of its vantages together.
    pub health: Health,
    /// Since when, in Unix seconds.
    pub since: Option<u64>,
    /// The vantages that probe it.
    pub vantages: Vec<VantageView<'a>>,
}

/// One vantage's opinion of one endpoint.
#[derive(Clone, Debug)]
pub struct VantageView<'a> {
    /// The vantage's name.
    pub name: &'a Arc<str>,
    /// Its verdict.
    pub verdict: Health,
    /// Since when, in Unix seconds.
    pub since: Option<u64>,
    /// Whether it takes part in the vote.
    pub is_fresh: bool,
    /// The age of its latest evidence; `None` if there is none.
    pub report_age: Option<Duration>,
    /// Its latest failure, also after recovery.
    pub last_failure: Option<&'a Note>,
    /// Why its latest probe told nothing; `None` if it told something.
    pub no_evidence: Option<&'a Note>,
}

impl HealthTable {
    /// A health table without evidence for these pairs of target and vantage name; endpoints keep the order
    /// in which they first occur.
    pub fn new(
        pairs: impl IntoIterator<Item = (Arc<Target>, Arc<str>)>,
        report_max_age: Duration,
    ) -> Self {
        let mut health_table = Self {
            report_max_age,
            endpoints: Vec::new(),
            positions: HashMap::new(),
        };
        for (target, vantage) in pairs {
            let of_pool = health_table
                .positions
                .entry(Arc::clone(&target.pool))
                .or_default();
            let at = *of_pool.entry(target.address).or_insert_with(|| {
                health_table.endpoints.push(Endpoint {
                    target,
                    health: Health::Unknown,
                    since: None,
                    vantages: Vec::new(),
                });
                health_table.endpoints.len() - 1
            });
            health_table.endpoints[at]
                .vantages
                .push((vantage, Streak::default()));
        }
        health_table
    }

    /// Whether an observation is about an endpoint of this health table, probed by the monitor it has now.
    pub fn watches(&self, observation: &Observation) -> bool {
        let seen = &observation.target;
        let endpoint = self.find(&seen.pool, seen.address);
        endpoint.is_some_and(|endpoint| endpoint.target == *seen)
    }

    /// Takes one finished probe; returns the change it made, if any. What is not on the health table, or
    /// was probed by another monitor than now (in flight over a reload), is passed over.
    pub fn observe(&mut self, observation: &Observation, now: Moment) -> Option<Flip> {
        let seen = &observation.target;
        let endpoint = &mut self.endpoints[*self.positions.get(&seen.pool)?.get(&seen.address)?];
        if endpoint.target != *seen {
            return None;
        }
        let name = &observation.vantage;
        let (_, streak) = endpoint.vantages.iter_mut().find(|(v, _)| v == name)?;
        streak.record(&observation.result, &seen.monitor, endpoint.health, now);
        let to = endpoint.vote(self.report_max_age, now);
        endpoint.settle(to, now)
    }

    /// Lets old reports drop out of the vote; returns the changes. A call per second is enough.
    ///
    /// Ageing alone never turns an endpoint down: when all vantages fall silent, the last one to
    /// drop out must not decide by that. If it still reports, its next failure does.
    pub fn tick(&mut self, now: Moment) -> Vec<Flip> {
        let mut flips = Vec::new();
        for endpoint in &mut self.endpoints {
            let to = endpoint.vote(self.report_max_age, now);
            if to != Health::Down {
                flips.extend(endpoint.settle(to, now));
            }
        }
        flips
    }

    /// The health of an endpoint; unknown for one that is not on the health table (no monitor).
    pub fn health(&self, pool: &str, address: IpAddr) -> Health {
        self.find(pool, address)
            .map_or(Health::Unknown, |endpoint| endpoint.health)
    }

    /// The number of pairs of endpoint and vantage whose first probe has not finished; 0 once the
    /// first round is in.
    pub fn n_awaited(&self) -> usize {
        let streaks = self.endpoints.iter().flat_map(|e| &e.vantages);
        streaks.filter(|(_, streak)| !streak.is_probed()).count()
    }

    /// All endpoints with what each vantage says.
    pub fn view(&self, now: Moment) -> impl Iterator<Item = EndpointView<'_>> {
        self.endpoints
            .iter()
            .map(move |endpoint| endpoint.view(self.report_max_age, now))
    }

    /// Everything that is worth keeping over a restart.
    pub fn saved(&self, now: Moment) -> Saved {
        let endpoints = self.view(now).map(|endpoint| endpoint.saved());
        Saved {
            endpoints: endpoints.collect(),
        }
    }

    /// Takes over the verdicts of the last run, by pool name, address and vantage name. Vantages that
    /// were fresh then count as fresh now: otherwise the first one to report would decide alone, and
    /// an endpoint that most call down would come back as up.
    pub fn restore(&mut self, saved: &Saved, now: Moment) {
        for old in &saved.endpoints {
            let of_pool = self.positions.get(&*old.pool);
            let Some(at) = of_pool.and_then(|addresses| addresses.get(&old.address)) else {
                continue;
            };
            let endpoint = &mut self.endpoints[*at];
            (endpoint.health, endpoint.since) = (old.health, old.since);
            for (name, streak) in &mut endpoint.vantages {
                if let Some(old) = old.vantages.iter().find(|v| *v.name == **name) {
                    let reported = old.is_fresh.then_some(now.elapsed);
                    let last_failure = old.last_failure.clone();
                    *streak = Streak::resume(old.verdict, old.since, last_failure, reported);
                }
            }
        }
    }

    /// Takes over what the table before a reload knew, by address and vantage name: of the pool of the same
    /// name, else of any that was probed in the same way, as after a pool was renamed. Where the monitor
    /// has changed, verdicts stay but runs of results start over.
    pub fn adopt(&mut self, old: &Self) {
        let mut elsewhere: HashMap<IpAddr, Vec<&Endpoint>> = HashMap::new();
        for endpoint in &old.endpoints {
            let of_address = elsewhere.entry(endpoint.target.address);
            of_address.or_default().push(endpoint);
        }
        for endpoint in &mut self.endpoints {
            let target = &endpoint.target;
            let probed_alike = || {
                let mut others = elsewhere.get(&target.address)?.iter();
                others.find(|other| other.target.monitor == target.monitor)
            };
            let of_pool = old.find(&target.pool, target.address);
            let Some(old) = of_pool.or_else(|| probed_alike().copied()) else {
                continue;
            };
            (endpoint.health, endpoint.since) = (old.health, old.since);
            for (name, streak) in &mut endpoint.vantages {
                if let Some((_, old_streak)) = old.vantages.iter().find(|(v, _)| v == name) {
                    *streak = match old.target.monitor == target.monitor {
                        true => old_streak.clone(),
                        false => old_streak.start_over(),
                    };
                }
            }
        }
    }

    fn find(&self, pool: &str, address: IpAddr) -> Option<&Endpoint> {
        let at = self.positions.get(pool)?.get(&address)?;
        self.endpoints.get(*at)
    }
}

impl Endpoint {
    /// What the vantages say together now.
    fn vote(&self, report_max_age: Duration, now: Moment) -> Health {
        let monitor = &self.target.monitor;
        let max_age = max_age(report_max_age, monitor);
        let streaks = self.vantages.iter().map(|(_, streak)| streak);
        let fresh = streaks.filter(|streak| streak.is_fresh(now, max_age));
        judge(monitor.quorum, fresh.map(|s| s.verdict), self.health)
    }

    /// Makes the vote the endpoint's health.
    fn settle(&mut self, to: Health, now: Moment) -> Option<Flip> {
        let from = std::mem::replace(&mut self.health, to);
        if from == to {
            return None;
        }
        self.since = Some(now.unix);
        let target = Arc::clone(&self.target);
        Some(Flip { target, from, to })
    }

    fn view(&self, report_max_age: Duration, now: Moment) -> EndpointView<'_> {
        let max_age = max_age(report_max_age, &self.target.monitor);
        let vantages = self.vantages.iter().map(|(name, streak)| VantageView {
            name,
            verdict: streak.verdict,
            since: streak.since,
            is_fresh: streak.is_fresh(now, max_age),
            report_age: streak.report_age(now),
            last_failure: streak.last_failure.as_ref(),
            no_evidence: streak.no_evidence.as_ref(),
        });
        EndpointView {
            target: &self.target,
            health: self.health,
            since: self.since,
            vantages: vantages.collect(),
        }
    }
}

impl EndpointView<'_> {
    fn saved(&self) -> SavedEndpoint {
        let vantages = self.vantages.iter().map(|vantage| SavedVantage {
            name: (&**vantage.name).into(),
            verdict: vantage.verdict,
            since: vantage.since,
            is_fresh: vantage.is_fresh,
            last_failure: vantage.last_failure.cloned(),
        });
        SavedEndpoint {
            pool: (&*self.target.pool).into(),
            address: self.target.address,
            health: self.health,
            since: self.since,
            vantages: vantages.collect(),
        }
    }
}

/// How old a report may be. Never less than the longest time between two reports of an undisturbed
/// schedule: a slow monitor's vantages would otherwise leave the vote between their own probes, and
/// each would decide alone when its turn comes.
fn max_age(report_max_age: Duration, monitor: &Monitor) -> Duration {
    let longest_gap = monitor.interval + monitor.interval / 10 + monitor.timeout;
    report_max_age.max(longest_gap + Duration::from_secs(1))
}
