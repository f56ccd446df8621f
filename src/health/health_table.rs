//! `HealthTable`: what is known about the health of every endpoint.
//!
//! One loop owns it and feeds it observations and ticks; whatever changes comes back as a [`Flip`].
//! It never forgets a verdict for lack of news: verdicts outlive silence, reloads (`carry_over`) and
//! restarts, and only evidence replaces them.
//!
//! Its time is that in which the process runs ([`RunTime`]): a report is as fresh after a gap as it was before.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::health::monitor::Monitor;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::Target;
use crate::health::quorum::judge;
use crate::health::run_time::RunTime;
use crate::health::streak::Streak;
use crate::health::vantage::Vantage;
use crate::health::vantage::VantageChange;
use crate::health::witness::Witness;

/// How long vantages are believed, from `[health]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A report older than this no longer counts.
    pub report_max_age: Duration,
    /// A vantage that lost everything at once is not believed for so long; zero: it always is.
    pub blind_max: Duration,
}

/// The health of all endpoints that have a monitor.
#[derive(Clone, Debug)]
pub struct HealthTable {
    pub(super) limits: Limits,
    pub(super) vantages: Vec<Vantage>,
    pub(super) endpoints: Vec<Endpoint>,
    /// The positions of each address in `endpoints`: one for each monitor of its pool, in the file's order.
    pub(super) positions: HashMap<Arc<str>, HashMap<IpAddr, Vec<usize>>>,
    pub(super) time: RunTime,
    pub(super) changes: Vec<VantageChange>,
    /// Whether any verdict of this machine's vantages has changed since the last report.
    pub(super) has_unreported: bool,
    /// The vantages of each region.
    pub(super) regions: Vec<Box<[Box<str>]>>,
    pub(super) regional_flips: Vec<RegionalFlip>,
}

/// One endpoint as one monitor probes it, and the vantages that do.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) target: Arc<Target>,
    /// The fingerprint of its target.
    pub(super) check: u64,
    pub(super) health: Health,
    pub(super) since: Option<u64>,
    /// What each region says; empty if its monitor has none.
    pub(super) regional: Box<[Option<Health>]>,
    /// By index of the vantage.
    pub(super) vantages: Vec<(usize, Streak)>,
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
    /// Whose report decided; `None`: old reports no longer count.
    pub cause: Option<Cause>,
}

impl Flip {
    /// Why the latest probe of the vantage that decided did not succeed, and where it was made if not at the
    /// endpoint's address; `None`: it did, or none decided.
    pub fn reason(&self) -> Option<Box<str>> {
        let reason = self.cause.as_ref()?.reason.as_ref()?;
        Some(match self.target.probed_elsewhere() {
            Some(probed_at) => format!("{reason}, checked at {probed_at}").into(),
            None => reason.clone(),
        })
    }
}

/// A change of what a region says of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionalFlip {
    /// Which endpoint.
    pub target: Arc<Target>,
    /// The names of the region's vantages.
    pub vantages: Box<str>,
    /// Its verdict now; `None`: no vantage of it has a vote.
    pub to: Option<Health>,
}

/// The vantage whose report decided, and why its latest probe did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its name.
    pub vantage: Arc<str>,
    /// `None` if it did succeed.
    pub reason: Option<Box<str>>,
}

impl HealthTable {
    /// A health table without evidence for these pairs of target and vantage name; endpoints keep the
    /// order in which they first occur. Vantages are waited for from time zero.
    pub fn new(pairs: impl IntoIterator<Item = (Arc<Target>, Arc<str>)>, limits: Limits) -> Self {
        let mut table = Self {
            limits,
            vantages: Vec::new(),
            endpoints: Vec::new(),
            positions: HashMap::new(),
            time: RunTime::default(),
            changes: Vec::new(),
            has_unreported: false,
            regions: Vec::new(),
            regional_flips: Vec::new(),
        };
        let mut indexes = HashMap::new();
        let mut checks = HashMap::new();
        for (target, name) in pairs {
            let index = *indexes.entry(Arc::clone(&name)).or_insert_with(|| {
                table.vantages.push(Vantage::new(name));
                table.vantages.len() - 1
            });
            table.vantages[index].probes(limits.max_age(&target.monitor));
            let pool = Arc::clone(&target.pool);
            let of_pool = table.positions.entry(pool).or_default();
            let of_address = of_pool.entry(target.address).or_default();
            let mut known = of_address.iter().copied();
            let at = known.find(|at| table.endpoints[*at].target == target);
            let at = at.unwrap_or_else(|| {
                of_address.push(table.endpoints.len());
                let of_monitor = checks.entry(Arc::as_ptr(&target.monitor));
                let of_monitor = *of_monitor.or_insert_with(|| target.monitor.fingerprint());
                table.endpoints.push(Endpoint {
                    check: target.fingerprint(of_monitor),
                    target,
                    health: Health::Unknown,
                    since: None,
                    regional: Box::default(),
                    vantages: Vec::new(),
                });
                table.endpoints.len() - 1
            });
            let vantages = &mut table.endpoints[at].vantages;
            vantages.push((index, Streak::in_contact(Duration::ZERO)));
        }
        table
    }

    /// Gives vantages their witnesses; those of vantages that probe nothing are passed over.
    #[must_use]
    pub fn with_witnesses(
        mut self,
        witnesses: impl IntoIterator<Item = (Arc<str>, SocketAddr)>,
    ) -> Self {
        for (name, address) in witnesses {
            if let Some(vantage) = self.vantages.iter_mut().find(|v| v.name == name) {
                vantage
                    .witnesses
                    .push(Witness::new(address, Duration::ZERO));
            }
        }
        self
    }

    /// Whether an observation is about an endpoint of this table, probed as it is now.
    pub fn watches(&self, observation: &Observation) -> bool {
        self.position(&observation.target).is_some()
    }

    /// Takes one finished probe; returns the changes it made. What is not in the table, or was probed by
    /// another monitor or in another place than now (in flight over a reload), is passed over.
    pub fn observe(&mut self, observation: &Observation, now: Moment) -> Vec<Flip> {
        let now = self.advance(now);
        let seen = &observation.target;
        let Some(at) = self.position(seen) else {
            return Vec::new();
        };
        let endpoint = &mut self.endpoints[at];
        let mut streaks = (0..).zip(&endpoint.vantages);
        let of_vantage = |(_, (index, _)): &(usize, &(usize, Streak))| {
            self.vantages[*index].name == observation.vantage
        };
        let Some((slot, (index, _))) = streaks.find(of_vantage) else {
            return Vec::new();
        };
        let (index, family) = (*index, Family::of(seen.address));
        let result = self.believable(observation, index, family, now);
        let contact = result.contact();
        let lost = self.endpoints[at].vantages[slot].1.lost;
        if contact == Some(true) && lost.is_some_and(|lost| self.sees_again(index, family, lost)) {
            self.void_common_failures(at, index, family, now);
        }
        let endpoint = &mut self.endpoints[at];
        let streak = &mut endpoint.vantages[slot].1;
        let verdict = streak.record(
            &result,
            observation.took,
            observation.load,
            &seen.monitor,
            endpoint.health,
            now,
        );
        let mut flips = match contact {
            Some(contact) => self.reported(index, family, contact, now),
            None => Vec::new(),
        };
        if result.is_unsent() {
            self.vantages[index].sight[family].unsent(now.elapsed);
        }
        if let Some(verdict) = verdict {
            if verdict == Health::Down && self.is_in_doubt(at, slot, now) {
                let (index, streak) = &mut self.endpoints[at].vantages[slot];
                streak.is_held = true;
                self.vantages[*index].sight[family].has_held = true;
            } else {
                self.decide(at, slot, verdict, now);
            }
        }
        flips.extend(self.settle(at, Some(slot), now));
        flips
    }

    /// Lets old reports drop out of the vote, and vantages be missed; returns the changes. It must be
    /// called every second.
    ///
    /// Ageing alone never turns an endpoint down: when all vantages fall silent, the last one to
    /// drop out must not decide by that. If it still reports, its next failure does.
    pub fn tick(&mut self, now: Moment) -> Vec<Flip> {
        let now = self.advance(now);
        let mut flips = Vec::new();
        self.forget_remote(now);
        for index in 0..self.vantages.len() {
            if self.vantages[index].is_remote {
                continue;
            }
            let vantage = &mut self.vantages[index];
            self.changes.extend(vantage.tick(now.elapsed));
            for witness in &mut vantage.witnesses {
                if witness.is_useless(now.elapsed) {
                    self.changes.push(VantageChange::WitnessUseless {
                        vantage: Arc::clone(&vantage.name),
                        witness: witness.address,
                    });
                }
            }
            for family in Family::ALL {
                flips.extend(self.look_for_blindness(index, family, now));
            }
        }
        for at in 0..self.endpoints.len() {
            flips.extend(self.reuse(at, now));
            if self.vote(at, now) != Health::Down {
                flips.extend(self.settle(at, None, now));
            }
            self.settle_regions(at, false, now);
        }
        flips
    }

    /// What has happened to vantages since the last call.
    pub fn take_changes(&mut self) -> Vec<VantageChange> {
        std::mem::take(&mut self.changes)
    }

    /// The health of an endpoint: down if any monitor that has a vote says so, up if all do; unknown for one
    /// that none probes.
    pub fn health(&self, pool: &str, address: IpAddr) -> Health {
        self.worst(pool, address, |endpoint| endpoint.health)
    }

    /// The worst of what the monitors that have a vote on an endpoint say.
    pub(super) fn worst(
        &self,
        pool: &str,
        address: IpAddr,
        health: impl Fn(&Endpoint) -> Health,
    ) -> Health {
        let endpoints = self.of_address(pool, address).iter();
        let endpoints = endpoints.map(|at| &self.endpoints[*at]);
        let voting = endpoints.filter(|endpoint| endpoint.target.has_vote);
        Health::worst(voting.map(health))
    }

    /// Whether the first probe of any pair of endpoint and local vantage has not finished. Cheap while many have
    /// not, and linear in the number of pairs for the last ones.
    pub fn is_awaiting(&self) -> bool {
        let mut streaks = self.endpoints.iter().flat_map(|e| &e.vantages);
        streaks.any(|pair| self.is_awaited(pair))
    }

    /// The number of pairs of endpoint and vantage of this machine whose first probe has not finished; 0 once the
    /// first round is in.
    pub fn n_awaited(&self) -> usize {
        let streaks = self.endpoints.iter().flat_map(|e| &e.vantages);
        streaks.filter(|pair| self.is_awaited(pair)).count()
    }

    fn is_awaited(&self, (index, streak): &(usize, Streak)) -> bool {
        !streak.is_probed() && !self.vantages[*index].is_remote
    }

    /// The positions of an endpoint, one for each of its monitors.
    pub(super) fn of_address(&self, pool: &str, address: IpAddr) -> &[usize] {
        let of_pool = self.positions.get(pool);
        of_pool
            .and_then(|of_pool| of_pool.get(&address))
            .map_or(&[], |positions| positions)
    }

    /// The position of an endpoint as it is probed now.
    pub(super) fn position(&self, target: &Target) -> Option<usize> {
        let mut positions = self.of_address(&target.pool, target.address).iter();
        let is_same = |at: &&usize| *self.endpoints[**at].target == *target;
        positions.find(is_same).copied()
    }

    /// The table's time at a moment.
    pub(super) fn at(&self, now: Moment) -> Moment {
        Moment {
            elapsed: self.time.at(now.elapsed),
            ..now
        }
    }

    /// Goes on to a moment; returns the table's time then.
    pub(super) fn advance(&mut self, now: Moment) -> Moment {
        Moment {
            elapsed: self.time.advance(now.elapsed),
            ..now
        }
    }

    /// Makes a vantage's verdict of an endpoint.
    pub(super) fn decide(&mut self, at: usize, slot: usize, verdict: Health, now: Moment) {
        self.has_unreported = true;
        let endpoint = &mut self.endpoints[at];
        let monitor = &endpoint.target.monitor;
        let (index, streak) = &mut endpoint.vantages[slot];
        if streak.decide(verdict, monitor, now)
            && let Some(until) = streak.suppressed_until(monitor, now)
        {
            self.changes.push(VantageChange::Suppressed {
                vantage: Arc::clone(&self.vantages[*index].name),
                target: Arc::clone(&endpoint.target),
                until,
            });
        }
    }

    /// Ends the suppressions of an endpoint that are over.
    fn reuse(&mut self, at: usize, now: Moment) -> Option<Flip> {
        let endpoint = &mut self.endpoints[at];
        let mut cause = None;
        for (slot, (index, streak)) in endpoint.vantages.iter_mut().enumerate() {
            if streak.reuse(&endpoint.target.monitor, now) {
                cause = Some(slot);
                self.has_unreported = true;
                self.changes.push(VantageChange::Reused {
                    vantage: Arc::clone(&self.vantages[*index].name),
                    target: Arc::clone(&endpoint.target),
                });
            }
        }
        cause.and_then(|slot| self.settle(at, Some(slot), now))
    }

    /// What the vantages of an endpoint say together now.
    fn vote(&self, at: usize, now: Moment) -> Health {
        let endpoint = &self.endpoints[at];
        let voting = endpoint.vantages.iter();
        let voting = voting.filter(|(index, streak)| self.is_voting(endpoint, *index, streak, now));
        let verdicts = voting.map(|(_, streak)| streak.verdict);
        judge(endpoint.target.monitor.quorum, verdicts, endpoint.health)
    }

    pub(super) fn is_voting(
        &self,
        endpoint: &Endpoint,
        index: usize,
        streak: &Streak,
        now: Moment,
    ) -> bool {
        let max_age = self.limits.max_age(&endpoint.target.monitor);
        let family = Family::of(endpoint.target.address);
        streak.is_fresh(now, max_age) && !self.vantages[index].sight[family].is_blind()
    }

    /// Makes the vote what the monitor says of the endpoint; `cause` is the slot of the vantage that has reported.
    pub(super) fn settle(&mut self, at: usize, cause: Option<usize>, now: Moment) -> Option<Flip> {
        let to = self.vote(at, now);
        let target = Arc::clone(&self.endpoints[at].target);
        let (pool, address) = (&target.pool, target.address);
        let from = self.health(pool, address);
        if std::mem::replace(&mut self.endpoints[at].health, to) != to {
            self.endpoints[at].since = Some(now.unix());
        }
        self.settle_regions(at, cause.is_some(), now);
        // The other monitors of the endpoint have their say.
        let to = self.health(pool, address);
        if from == to {
            return None;
        }
        let is_alone = self.of_address(pool, address).len() == 1;
        let endpoint = &self.endpoints[at];
        let cause = cause.map(|slot| {
            let (index, streak) = &endpoint.vantages[slot];
            let reason = streak.cause(&target.monitor, now);
            let of_monitor = |reason: Box<str>| match is_alone {
                true => reason,
                false => format!("{reason} (monitor {})", target.monitor.name).into(),
            };
            Cause {
                vantage: Arc::clone(&self.vantages[*index].name),
                reason: reason.map(of_monitor),
            }
        });
        Some(Flip {
            target,
            from,
            to,
            cause,
        })
    }
}

impl Limits {
    /// How old a report may be. Never less than the longest time between two reports of an undisturbed
    /// schedule: a slow monitor's vantages would otherwise leave the vote between their own probes, and
    /// each would decide alone when its turn comes.
    pub(super) fn max_age(&self, monitor: &Monitor) -> Duration {
        self.report_max_age.max(monitor.longest_gap())
    }
}
