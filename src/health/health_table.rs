//! `HealthTable`: what is known about the health of every endpoint.
//!
//! One loop owns it and feeds it observations and ticks; whatever changes comes back as a [`Flip`].
//! It never forgets a verdict for lack of news: verdicts outlive silence, reloads (`carry_over`) and
//! restarts, and only evidence replaces them.
//!
//! Its time is that in which the process runs. Where calls come later than the one per second that is
//! planned (a process that was stopped, or a machine that was moved), the excess does not count: a
//! report is as fresh after such a gap as it was before, so that nobody's silence during it does.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::health::failure::VantageFault;
use crate::health::monitor::Monitor;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;
use crate::health::quorum::judge;
use crate::health::streak::Streak;
use crate::health::vantage::Vantage;
use crate::health::vantage::VantageChange;

/// The longest time between two calls that counts in full: a tick per second, and some delay.
const MAX_STEP: Duration = Duration::from_millis(1500);

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
    limits: Limits,
    pub(super) vantages: Vec<Vantage>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) positions: HashMap<Arc<str>, HashMap<IpAddr, usize>>,
    /// The time of the latest call, and how much of it does not count.
    pub(super) latest: Duration,
    pub(super) skipped: Duration,
    changes: Vec<VantageChange>,
}

/// One endpoint and the vantages that probe it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) target: Arc<Target>,
    pub(super) health: Health,
    pub(super) since: Option<u64>,
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
            latest: Duration::ZERO,
            skipped: Duration::ZERO,
            changes: Vec::new(),
        };
        let mut indexes = HashMap::new();
        for (target, name) in pairs {
            let index = *indexes.entry(Arc::clone(&name)).or_insert_with(|| {
                table.vantages.push(Vantage::new(name));
                table.vantages.len() - 1
            });
            table.vantages[index].probes(limits.max_age(&target.monitor));
            let pool = Arc::clone(&target.pool);
            let of_pool = table.positions.entry(pool).or_default();
            let at = *of_pool.entry(target.address).or_insert_with(|| {
                table.endpoints.push(Endpoint {
                    target,
                    health: Health::Unknown,
                    since: None,
                    vantages: Vec::new(),
                });
                table.endpoints.len() - 1
            });
            let vantages = &mut table.endpoints[at].vantages;
            vantages.push((index, Streak::in_contact(Duration::ZERO)));
        }
        table
    }

    /// Whether an observation is about an endpoint of this table, probed by the monitor it has now.
    pub fn watches(&self, observation: &Observation) -> bool {
        let seen = &observation.target;
        let endpoint = self.find(&seen.pool, seen.address);
        endpoint.is_some_and(|endpoint| endpoint.target == *seen)
    }

    /// Takes one finished probe; returns the changes it made. What is not in the table, or was probed by
    /// another monitor than now (in flight over a reload), is passed over.
    pub fn observe(&mut self, observation: &Observation, now: Moment) -> Vec<Flip> {
        let now = self.advance(now);
        let seen = &observation.target;
        let of_pool = self.positions.get(&seen.pool);
        let Some(at) = of_pool.and_then(|addresses| addresses.get(&seen.address)) else {
            return Vec::new();
        };
        let endpoint = &mut self.endpoints[*at];
        let mut streaks = (0..).zip(&endpoint.vantages);
        let of_vantage = |(_, (index, _)): &(usize, &(usize, Streak))| {
            self.vantages[*index].name == observation.vantage
        };
        let (Some((slot, (index, _))), true) = (streaks.find(of_vantage), endpoint.target == *seen)
        else {
            return Vec::new();
        };
        let (at, index, family) = (*at, *index, Family::of(seen.address));
        let result = self.believable(observation, index, family, now);
        let contact = result.contact();
        let endpoint = &mut self.endpoints[at];
        let streak = &mut endpoint.vantages[slot].1;
        let sight = self.vantages[index].sight[family];
        let was_lost = streak
            .lost
            .is_some_and(|lost| !sight.was_reached_after(lost));
        let verdict = streak.record(&result, &seen.monitor, endpoint.health, now);
        if contact == Some(true) && was_lost {
            self.void_common_failures(at, index, family, now);
        }
        let mut flips = match contact {
            Some(contact) => self.reported(index, family, contact, now),
            None => Vec::new(),
        };
        if result.is_unsent() {
            self.vantages[index].sight[family].unsent(now.elapsed);
        }
        if let Some(verdict) = verdict {
            let is_held = verdict == Health::Down && self.is_in_doubt(at, slot, now);
            let (index, streak) = &mut self.endpoints[at].vantages[slot];
            if is_held {
                streak.is_held = true;
                self.vantages[*index].sight[family].has_held = true;
            } else {
                streak.decide(verdict, now);
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
        for index in 0..self.vantages.len() {
            self.changes.extend(self.vantages[index].tick(now.elapsed));
            for family in Family::ALL {
                flips.extend(self.look_for_blindness(index, family, now));
            }
        }
        for at in 0..self.endpoints.len() {
            if self.vote(at, now) != Health::Down {
                flips.extend(self.settle(at, None, now));
            }
        }
        flips
    }

    /// What has happened to vantages since the last call.
    pub fn take_changes(&mut self) -> Vec<VantageChange> {
        std::mem::take(&mut self.changes)
    }

    /// The health of an endpoint; unknown for one that is not on the health_table (no monitor).
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

    pub(super) fn find(&self, pool: &str, address: IpAddr) -> Option<&Endpoint> {
        let at = self.positions.get(pool)?.get(&address)?;
        self.endpoints.get(*at)
    }

    /// The table's time at a moment.
    pub(super) fn at(&self, now: Moment) -> Moment {
        let step = now.elapsed.saturating_sub(self.latest);
        let skipped = self.skipped + step.saturating_sub(MAX_STEP);
        Moment {
            elapsed: now.elapsed.saturating_sub(skipped),
            ..now
        }
    }

    /// Goes on to a moment; returns the table's time then.
    pub(super) fn advance(&mut self, now: Moment) -> Moment {
        let then = self.at(now);
        self.latest = self.latest.max(now.elapsed);
        self.skipped = self.latest.saturating_sub(then.elapsed);
        then
    }

    /// What a probe says, unless it began while the vantage saw nothing.
    fn believable<'a>(
        &self,
        observation: &'a Observation,
        index: usize,
        family: Family,
        now: Moment,
    ) -> Cow<'a, ProbeResult> {
        let start = now.elapsed.saturating_sub(observation.took);
        let sight = &self.vantages[index].sight[family];
        if observation.result.contact() == Some(false) && sight.was_lost_at(start) {
            let what = "the vantage had lost contact with several pools when this probe began";
            return Cow::Owned(ProbeResult::NoEvidence(VantageFault::Local(what.into())));
        }
        Cow::Borrowed(&observation.result)
    }

    /// Voids what has failed together with an endpoint that answers again, if another pool's has.
    fn void_common_failures(&mut self, at: usize, index: usize, family: Family, now: Moment) {
        let sight = self.vantages[index].sight[family];
        let is_common = |streak: &Streak| {
            let lost = streak.lost.filter(|lost| !sight.was_reached_after(*lost));
            lost.is_some() && streak.verdict != Health::Down
        };
        let pool = &self.endpoints[at].target.pool;
        let mut seen = self.in_contact(index, family);
        if !seen.any(|(endpoint, streak)| endpoint.target.pool != *pool && is_common(streak)) {
            return;
        }
        drop(seen);
        self.vantages[index].sight[family].regained(now.elapsed);
        for endpoint in &mut self.endpoints {
            let mut streaks = endpoint.vantages.iter_mut();
            if Family::of(endpoint.target.address) == family
                && let Some((_, streak)) = streaks.find(|(v, _)| *v == index)
                && is_common(streak)
            {
                streak.void();
            }
        }
    }

    /// Takes evidence of a vantage about any endpoint of a family: contact, or none. Contact ends all
    /// doubt: what was held counts.
    fn reported(&mut self, index: usize, family: Family, contact: bool, now: Moment) -> Vec<Flip> {
        let vantage = &mut self.vantages[index];
        self.changes.extend(vantage.report(now.elapsed));
        let sight = &mut vantage.sight[family];
        if !contact {
            sight.missed(now.elapsed);
            return Vec::new();
        }
        if sight.reached(now.elapsed) {
            let vantage = Arc::clone(&vantage.name);
            self.changes.push(VantageChange::Sees { vantage, family });
        }
        self.release(index, family, now)
    }

    /// Whether a failure at an endpoint may be the vantage's: nothing has answered it since, and it had
    /// contact with more than this pool.
    fn is_in_doubt(&self, at: usize, slot: usize, now: Moment) -> bool {
        let endpoint = &self.endpoints[at];
        let (index, streak) = &endpoint.vantages[slot];
        let family = Family::of(endpoint.target.address);
        let sight = &self.vantages[*index].sight[family];
        let (Some(failing_since), Some(_)) = (streak.lost, streak.contact) else {
            return false;
        };
        sight.is_in_doubt(now.elapsed, self.limits.blind_max)
            && !sight.was_reached_after(failing_since)
            && self.sees_two_pools(*index, family)
    }

    /// The endpoints that a vantage had contact with when it last had any, and does not call down.
    fn in_contact(
        &self,
        index: usize,
        family: Family,
    ) -> impl Iterator<Item = (&Endpoint, &Streak)> {
        let latest = self.vantages[index].sight[family].contact();
        let of_family = move |e: &&Endpoint| Family::of(e.target.address) == family;
        let endpoints = self.endpoints.iter().filter(of_family);
        endpoints.filter_map(move |endpoint| {
            let (_, streak) = endpoint.vantages.iter().find(|(v, _)| *v == index)?;
            let is_recent = streak.contact? + endpoint.target.monitor.longest_gap() >= latest;
            (is_recent && streak.verdict != Health::Down).then_some((endpoint, streak))
        })
    }

    /// Whether these are of two pools or more.
    fn sees_two_pools(&self, index: usize, family: Family) -> bool {
        let mut seen = self.in_contact(index, family);
        let Some((first, _)) = seen.next() else {
            return false;
        };
        seen.any(|(endpoint, _)| endpoint.target.pool != first.target.pool)
    }

    /// Sees whether a vantage has lost everything, or has for so long that it is believed.
    fn look_for_blindness(&mut self, index: usize, family: Family, now: Moment) -> Vec<Flip> {
        let sight = self.vantages[index].sight[family];
        let vantage = || Arc::clone(&self.vantages[index].name);
        if !sight.is_in_doubt(now.elapsed, self.limits.blind_max) {
            if sight.is_blind {
                if !self.has_evidence(index, family) {
                    return Vec::new();
                }
                let vantage = vantage();
                self.changes
                    .push(VantageChange::Believed { vantage, family });
                self.vantages[index].sight[family].is_blind = false;
            }
            return self.release(index, family, now);
        }
        if !sight.is_blind && self.has_lost_all(index, family) {
            let vantage = vantage();
            self.changes.push(VantageChange::Blind { vantage, family });
            self.vantages[index].sight[family].is_blind = true;
        }
        Vec::new()
    }

    /// Whether everything that a vantage had contact with has failed since, in two pools or more.
    fn has_lost_all(&self, index: usize, family: Family) -> bool {
        let mut seen = self.in_contact(index, family);
        seen.all(|(_, streak)| streak.lost.is_some()) && self.sees_two_pools(index, family)
    }

    /// Whether a vantage probes anything at all of a family: without a route, it does not.
    fn has_evidence(&self, index: usize, family: Family) -> bool {
        let of_family = |e: &&Endpoint| Family::of(e.target.address) == family;
        let streaks = self.endpoints.iter().filter(of_family);
        let mut streaks = streaks.flat_map(|endpoint| &endpoint.vantages);
        streaks.any(|(v, streak)| *v == index && streak.no_evidence.is_none())
    }

    /// Lets all verdicts count that a vantage's doubt has held.
    fn release(&mut self, index: usize, family: Family, now: Moment) -> Vec<Flip> {
        if !std::mem::take(&mut self.vantages[index].sight[family].has_held) {
            return Vec::new();
        }
        let mut flips = Vec::new();
        for at in 0..self.endpoints.len() {
            let endpoint = &mut self.endpoints[at];
            if Family::of(endpoint.target.address) != family {
                continue;
            }
            let mut slots = 0..endpoint.vantages.len();
            let is_held = |slot: &usize| {
                let (vantage, streak) = &endpoint.vantages[*slot];
                *vantage == index && streak.is_held
            };
            if let Some(slot) = slots.find(is_held) {
                endpoint.vantages[slot].1.decide(Health::Down, now);
                flips.extend(self.settle(at, Some(slot), now));
            }
        }
        flips
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
        streak.is_fresh(now, max_age) && !self.vantages[index].sight[family].is_blind
    }

    /// Makes the vote the endpoint's health; `cause` is the slot of the vantage that has reported.
    fn settle(&mut self, at: usize, cause: Option<usize>, now: Moment) -> Option<Flip> {
        let to = self.vote(at, now);
        let endpoint = &mut self.endpoints[at];
        let from = std::mem::replace(&mut endpoint.health, to);
        if from == to {
            return None;
        }
        endpoint.since = Some(now.unix);
        let cause = cause.map(|slot| {
            let (index, streak) = &endpoint.vantages[slot];
            Cause {
                vantage: Arc::clone(&self.vantages[*index].name),
                reason: streak.reason().map(|note| note.reason.clone()),
            }
        });
        let target = Arc::clone(&endpoint.target);
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
    fn max_age(&self, monitor: &Monitor) -> Duration {
        self.report_max_age.max(monitor.longest_gap())
    }
}
