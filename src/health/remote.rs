//! Vantages of other machines: their reports join the health table, and vote beside its own.
//!
//! How fresh a report is follows from the time of its probe, never from when it arrives: a message bus that
//! delivers late must not make old evidence young. From then on its age grows by the monotonic clock. A
//! newer probe is never older than the one before it, whatever the wall clocks say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::prefix::Family;
use crate::health::health_table::Endpoint;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::observation::Moment;
use crate::health::report::EndpointReport;
use crate::health::report::Ignored;
use crate::health::report::SavedVantage;
use crate::health::report::VantageReport;
use crate::health::streak::Streak;
use crate::health::vantage::Vantage;
use crate::health::vantage::VantageChange;

/// What a vantage of another machine reported is forgotten when it was not repeated for so long.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

impl HealthTable {
    /// Everything that this machine's vantages report.
    pub fn report(&self) -> Vec<VantageReport> {
        self.reports(|_| true)
    }

    /// What has changed since the last call: the endpoints with a new verdict. Empty if neither a verdict
    /// nor the blindness of a vantage has changed.
    pub fn take_unreported(&mut self) -> Vec<VantageReport> {
        for vantage in &mut self.vantages {
            let is_blind = vantage.sight.map(|sight| sight.is_blind());
            self.has_unreported |= !vantage.is_remote && is_blind != vantage.reported_blind;
            vantage.reported_blind = is_blind;
        }
        if !std::mem::take(&mut self.has_unreported) {
            return Vec::new();
        }
        let reports = self.reports(|streak| streak.is_unreported);
        let streaks = self.endpoints.iter_mut().flat_map(|e| &mut e.vantages);
        streaks.for_each(|(_, streak)| streak.is_unreported = false);
        reports
    }

    /// What is known from the last run alone is not reported: others may have heard what is newer.
    fn reports(&self, is_wanted: impl Fn(&Streak) -> bool) -> Vec<VantageReport> {
        let mut reports: Vec<_> = self.vantages.iter().map(Vantage::empty_report).collect();
        for endpoint in &self.endpoints {
            let streaks = endpoint.vantages.iter();
            let is_wanted = |streak: &Streak| streak.is_probed() && is_wanted(streak);
            for (index, streak) in streaks.filter(|(_, streak)| is_wanted(streak)) {
                reports[*index].endpoints.push(EndpointReport {
                    pool: Arc::clone(&endpoint.target.pool),
                    address: endpoint.target.address,
                    check: endpoint.check,
                    record: streak.record_of(),
                });
            }
        }
        let mut vantages = self.vantages.iter();
        reports.retain(|_| vantages.next().is_some_and(|vantage| !vantage.is_remote));
        reports
    }

    /// Takes what vantages of another machine report; returns the changes it made, and what was ignored.
    ///
    /// All of it counts before any of it decides. What only repeats old evidence decides nothing: votes that
    /// have aged out meanwhile must not turn an endpoint down by that.
    pub fn hear(&mut self, reports: &[VantageReport], now: Moment) -> (Vec<Flip>, Ignored) {
        let now = self.advance(now);
        let mut ignored = Ignored::default();
        let mut deciding = BTreeMap::new();
        for report in reports {
            let Some(index) = self.remote(&report.vantage, now.elapsed) else {
                ignored.local_name += report.endpoints.len() as u64;
                continue;
            };
            let is_news = self.hear_blindness(index, report, now.elapsed);
            for heard in &report.endpoints {
                let positions = self.of_address(&heard.pool, heard.address);
                let mut alike = positions.iter().copied();
                let Some(at) = alike.find(|at| self.endpoints[*at].check == heard.check) else {
                    match positions {
                        [] => ignored.unknown_endpoint += 1,
                        _ => ignored.other_check += 1,
                    }
                    continue;
                };
                let slot = self.endpoints[at].slot(index);
                if self.hear_endpoint(at, slot, heard, now) || is_news {
                    deciding.insert(at, slot);
                }
            }
        }
        let mut flips = Vec::new();
        for (at, slot) in deciding {
            let endpoint = &self.endpoints[at];
            let (index, streak) = &endpoint.vantages[slot];
            if self.is_voting(endpoint, *index, streak, now) {
                flips.extend(self.settle(at, Some(slot), now));
            }
        }
        (flips, ignored)
    }

    /// Takes what a vantage of another machine reports of one endpoint; whether that is new.
    fn hear_endpoint(
        &mut self,
        at: usize,
        slot: usize,
        heard: &EndpointReport,
        now: Moment,
    ) -> bool {
        let endpoint = &mut self.endpoints[at];
        let max_age = self.limits.max_age(&endpoint.target.monitor);
        let (index, streak) = &mut endpoint.vantages[slot];
        self.vantages[*index].probes(max_age);
        let before = streak.verdict;
        let age = streak.hear(&heard.record, now);
        if let Some(age) = age {
            self.vantages[*index].heard(now.elapsed.saturating_sub(age));
        }
        age.is_some() || streak.verdict != before
    }

    /// Takes over whether a vantage is blind; whether that has changed.
    fn hear_blindness(&mut self, index: usize, report: &VantageReport, now: Duration) -> bool {
        let mut has_changed = false;
        for family in Family::ALL {
            let is_blind = report.is_blind[family];
            let vantage = &mut self.vantages[index];
            let sight = &mut vantage.sight[family];
            if sight.is_blind() == is_blind {
                continue;
            }
            sight.blind_since = is_blind.then_some(now);
            has_changed = true;
            let vantage = Arc::clone(&vantage.name);
            self.changes.push(if is_blind {
                VantageChange::Blind {
                    vantage,
                    family,
                    n_witnesses: 0,
                }
            } else {
                VantageChange::Sees { vantage, family }
            });
        }
        has_changed
    }

    /// The index of another machine's vantage, which is added if it is new; `None` if one of this machine's
    /// has the name.
    pub(super) fn remote(&mut self, name: &Arc<str>, now: Duration) -> Option<usize> {
        let mut vantages = self.vantages.iter();
        match vantages.position(|vantage| vantage.name == *name) {
            Some(index) => self.vantages[index].is_remote.then_some(index),
            None => {
                self.vantages.push(Vantage::remote(Arc::clone(name), now));
                Some(self.vantages.len() - 1)
            }
        }
    }

    /// Forgets what other machines' vantages have not repeated for long.
    pub(super) fn forget_remote(&mut self, now: Moment) {
        let is_old =
            |vantage: &Vantage| vantage.is_remote && vantage.report_age(now.elapsed) > FORGET_AFTER;
        while let Some(gone) = self.vantages.iter().position(is_old) {
            self.vantages.remove(gone);
            for endpoint in &mut self.endpoints {
                endpoint.vantages.retain(|(index, _)| *index != gone);
                for (index, _) in &mut endpoint.vantages {
                    *index -= usize::from(*index > gone);
                }
            }
        }
        for endpoint in &mut self.endpoints {
            let vantages = &self.vantages;
            endpoint.vantages.retain(|(index, streak)| {
                let age = streak.report_age(now);
                !vantages[*index].is_remote || age.is_none_or(|age| age <= FORGET_AFTER)
            });
        }
    }

    /// Takes over what other machines' vantages said of an endpoint in the last run.
    pub(super) fn restore_remote(&mut self, at: usize, saved: &[SavedVantage], now: Moment) {
        for saved in saved.iter().filter(|saved| saved.is_remote) {
            let Some(index) = self.remote(&saved.name.clone().into(), now.elapsed) else {
                continue;
            };
            let max_age = self.limits.max_age(&self.endpoints[at].target.monitor);
            self.vantages[index].probes(max_age);
            let slot = self.endpoints[at].slot(index);
            let reported = saved.is_fresh.then_some(now.elapsed);
            self.endpoints[at].vantages[slot].1 = Streak::resume(&saved.record, reported);
        }
    }

    /// Takes over what other machines' vantages reported before a reload. `known` is what the old table
    /// knows of each endpoint of this one.
    pub(super) fn adopt_remote(&mut self, old: &Self, known: &[Option<&Endpoint>]) {
        for (old_index, vantage) in old.vantages.iter().enumerate() {
            if !vantage.is_remote || self.vantages.iter().any(|v| v.name == vantage.name) {
                continue;
            }
            let index = self.vantages.len();
            self.vantages.push(vantage.clone());
            for (endpoint, known) in self.endpoints.iter_mut().zip(known) {
                let Some(known) = known.filter(|known| known.check == endpoint.check) else {
                    continue;
                };
                let mut streaks = known.vantages.iter();
                if let Some((_, streak)) = streaks.find(|(v, _)| *v == old_index) {
                    endpoint.vantages.push((index, streak.clone()));
                }
            }
        }
    }
}

impl Endpoint {
    /// Where a vantage's streak is; a new one if it has none.
    pub(super) fn slot(&mut self, index: usize) -> usize {
        let mut streaks = self.vantages.iter();
        streaks
            .position(|(vantage, _)| *vantage == index)
            .unwrap_or_else(|| {
                self.vantages.push((index, Streak::default()));
                self.vantages.len() - 1
            })
    }
}
