//! Whose failure it is when a vantage sees nothing: what `Sight` says of each vantage, applied to the
//! verdicts of its endpoints.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::health::failure::VantageFault;
use crate::health::health_table::Endpoint;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::WitnessObservation;
use crate::health::streak::Streak;
use crate::health::vantage::Vantage;
use crate::health::vantage::VantageChange;
use crate::health::witness::Witness;

impl HealthTable {
    /// What a probe says, unless it began while the vantage saw nothing.
    pub(super) fn believable<'a>(
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

    /// Whether contact with something that has not answered since `lost` shows that the vantage had seen nothing:
    /// nothing else has answered since then either, or all that has is lost as well.
    pub(super) fn sees_again(&self, index: usize, family: Family, lost: Duration) -> bool {
        let sight = self.vantages[index].sight[family];
        !sight.was_reached_after(lost) || self.has_lost_all(index, family)
    }

    /// Voids what has failed together with an endpoint that answers again, if another pool's has.
    pub(super) fn void_common_failures(
        &mut self,
        at: usize,
        index: usize,
        family: Family,
        now: Moment,
    ) {
        let sight = self.vantages[index].sight[family];
        let pool = &self.endpoints[at].target.pool;
        let mut seen = self.in_contact(index, family);
        if !seen.any(|(endpoint, streak)| {
            endpoint.target.pool != *pool && streak.is_failing_since(&sight)
        }) {
            return;
        }
        drop(seen);
        self.void(index, family, now);
    }

    /// Voids the failures of a vantage since it lost contact: they were its own.
    fn void(&mut self, index: usize, family: Family, now: Moment) {
        let sight = self.vantages[index].sight[family];
        self.vantages[index].sight[family].regained(now.elapsed);
        for endpoint in &mut self.endpoints {
            let mut streaks = endpoint.vantages.iter_mut();
            if Family::of(endpoint.target.address) == family
                && let Some((_, streak)) = streaks.find(|(v, _)| *v == index)
                && streak.is_failing_since(&sight)
            {
                streak.void();
            }
        }
    }

    /// Takes one attempt to reach a witness; returns the changes it made.
    pub fn observe_witness(&mut self, observation: &WitnessObservation, now: Moment) -> Vec<Flip> {
        let now = self.advance(now);
        let mut vantages = self.vantages.iter();
        let is_of = |vantage: &Vantage| !vantage.is_remote && vantage.name == observation.vantage;
        let Some(index) = vantages.position(is_of) else {
            return Vec::new();
        };
        let mut witnesses = self.vantages[index].witnesses.iter();
        let Some(nth) = witnesses.position(|w| w.address == observation.witness) else {
            return Vec::new();
        };
        if !observation.is_reached {
            self.vantages[index].witnesses[nth].missed(now.elapsed);
            return Vec::new();
        }
        let family = Family::of(observation.witness.ip());
        let lost = self.vantages[index].witnesses[nth].lost();
        if lost.is_some_and(|lost| self.sees_again(index, family, lost))
            && self.sees_two_pools(index, family)
        {
            self.void(index, family, now);
        }
        self.vantages[index].witnesses[nth].reached();
        let was_blind = self.vantages[index].sight[family].witnessed(now.elapsed);
        self.in_sight(was_blind, index, family, now)
    }

    /// Takes evidence of a vantage about any endpoint of a family: contact, or none. Contact ends all
    /// doubt: what was held counts.
    pub(super) fn reported(
        &mut self,
        index: usize,
        family: Family,
        contact: bool,
        now: Moment,
    ) -> Vec<Flip> {
        let vantage = &mut self.vantages[index];
        self.changes.extend(vantage.report(now.elapsed));
        if !contact {
            vantage.sight[family].missed(now.elapsed);
            return Vec::new();
        }
        let was_blind = vantage.sight[family].reached(now.elapsed);
        self.in_sight(was_blind, index, family, now)
    }

    /// Goes on after contact of a vantage with an endpoint or a witness: what was held counts.
    fn in_sight(
        &mut self,
        was_blind: bool,
        index: usize,
        family: Family,
        now: Moment,
    ) -> Vec<Flip> {
        let vantage = &mut self.vantages[index];
        if was_blind {
            let vantage = Arc::clone(&vantage.name);
            self.changes.push(VantageChange::Sees { vantage, family });
        }
        self.release(index, family, now)
    }

    /// Whether a failure at an endpoint may be the vantage's: nothing has answered it since, and it had
    /// contact with more than this pool.
    pub(super) fn is_in_doubt(&self, at: usize, slot: usize, now: Moment) -> bool {
        let endpoint = &self.endpoints[at];
        let (index, streak) = &endpoint.vantages[slot];
        let family = Family::of(endpoint.target.address);
        let sight = &self.vantages[*index].sight[family];
        let (Some(failing_since), Some(_)) = (streak.lost, streak.contact) else {
            return false;
        };
        sight.is_in_doubt(now.elapsed, self.blind_max(*index, family))
            && !sight.was_reached_after(failing_since)
            && self.sees_two_pools(*index, family)
    }

    /// For how long a vantage that lost everything is not believed: without end where it has a witness.
    fn blind_max(&self, index: usize, family: Family) -> Duration {
        match self.vantages[index].witnesses_of(family).next() {
            Some(_) => Duration::MAX,
            None => self.limits.blind_max,
        }
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
            (is_recent && streak.undamped != Health::Down).then_some((endpoint, streak))
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
    pub(super) fn look_for_blindness(
        &mut self,
        index: usize,
        family: Family,
        now: Moment,
    ) -> Vec<Flip> {
        let sight = self.vantages[index].sight[family];
        let vantage = || Arc::clone(&self.vantages[index].name);
        if !sight.is_in_doubt(now.elapsed, self.blind_max(index, family)) {
            if sight.is_blind() {
                if !self.has_evidence(index, family) {
                    return Vec::new();
                }
                let vantage = vantage();
                self.changes
                    .push(VantageChange::Believed { vantage, family });
                self.vantages[index].sight[family].blind_since = None;
            }
            return self.release(index, family, now);
        }
        if !sight.is_blind() && self.has_lost_all(index, family) {
            let vantage = vantage();
            self.changes.push(VantageChange::Blind {
                vantage,
                family,
                n_witnesses: self.vantages[index].witnesses_of(family).count(),
            });
            self.vantages[index].sight[family].blind_since = Some(now.elapsed);
        }
        Vec::new()
    }

    /// Whether everything that a vantage had contact with has failed since, in two pools or more, and its
    /// witnesses with it.
    fn has_lost_all(&self, index: usize, family: Family) -> bool {
        let mut witnesses = self.vantages[index].witnesses_of(family);
        if witnesses.any(Witness::is_reached) {
            return false;
        }
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
                self.decide(at, slot, Health::Down, now);
                flips.extend(self.settle(at, Some(slot), now));
            }
        }
        flips
    }
}
