//! The health table as people, metrics and the saved state see it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::fnv::fnv1a;
use crate::base::health::Health;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::health::health_table::Endpoint;
use crate::health::health_table::HealthTable;
use crate::health::load::Load;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::Target;
use crate::health::report::Saved;
use crate::health::report::SavedEndpoint;
use crate::health::report::SavedVantage;
use crate::health::report::VerdictRecord;
use crate::health::streak::Streak;

/// An endpoint as one of its monitors has it, as shown to people and metrics.
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
    /// What each region says; empty unless its monitor judges by region.
    pub regions: Vec<RegionView<'a>>,
}

/// The health of one endpoint for the clients of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionView<'a> {
    /// The names of the region's vantages.
    pub vantages: &'a [Box<str>],
    /// The verdict there; that of all vantages where none of the region has a vote.
    pub health: Health,
}

/// One vantage's opinion of one endpoint.
#[derive(Clone, Debug)]
pub struct VantageView<'a> {
    /// The vantage's name.
    pub name: &'a Arc<str>,
    /// Whether it is one of another machine.
    pub is_remote: bool,
    /// Its verdict, and what that rests on.
    pub streak: &'a Streak,
    /// Whether it takes part in the vote: it has reported lately, and is not blind.
    pub is_fresh: bool,
    /// Whether it has lost contact with everything of the endpoint's family.
    pub is_blind: bool,
    /// The age of its latest evidence; `None` if there is none.
    pub report_age: Option<Duration>,
    /// When its suppression for flapping is expected to end, in Unix seconds; `None`: it is not suppressed.
    pub suppressed_until: Option<u64>,
    /// The load that the endpoint reported to it; `None`: none that is fresh.
    pub load: Option<Load>,
}

/// A vantage as shown to people and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VantageSummary<'a> {
    /// Its name.
    pub name: &'a Arc<str>,
    /// Whether it is one of another machine.
    pub is_remote: bool,
    /// The age of its latest evidence about any endpoint; without any, the time it has been waited for.
    pub report_age: Duration,
    /// Whether that is more than any of its endpoints allows.
    pub is_silent: bool,
    /// Since when it has lost contact with everything of a family and has no vote, in Unix seconds.
    pub blind_since: PerFamily<Option<u64>>,
    /// Its witnesses, and whether the latest attempt reached each; empty for one of another machine.
    pub witnesses: Vec<(SocketAddr, bool)>,
}

impl HealthTable {
    /// All vantages that probe anything.
    pub fn vantages(&self, now: Moment) -> impl Iterator<Item = VantageSummary<'_>> {
        let now = self.at(now);
        self.vantages.iter().map(move |vantage| VantageSummary {
            name: &vantage.name,
            is_remote: vantage.is_remote,
            report_age: vantage.report_age(now.elapsed),
            is_silent: vantage.is_overdue(now.elapsed),
            blind_since: vantage.sight.map(|sight| {
                let since = sight.blind_since?;
                let age = now.elapsed.saturating_sub(since);
                Some(now.unix().saturating_sub(age.as_secs()))
            }),
            witnesses: vantage
                .witnesses
                .iter()
                .map(|witness| (witness.address, witness.is_reached()))
                .collect(),
        })
    }

    /// All endpoints with what each vantage says, once for each of their monitors.
    pub fn view(&self, now: Moment) -> impl Iterator<Item = EndpointView<'_>> {
        let now = self.at(now);
        let endpoints = self.endpoints.iter();
        endpoints.map(move |endpoint| self.endpoint_view(endpoint, now))
    }

    /// Whether the vantage of an observation has a vote on its endpoint.
    pub fn has_vote(&self, observation: &Observation, now: Moment) -> bool {
        let (target, now) = (&observation.target, self.at(now));
        let endpoint = self.position(target).map(|at| &self.endpoints[at]);
        endpoint.is_some_and(|endpoint| {
            let has_vote = endpoint.target.has_vote;
            let mut streaks = endpoint.vantages.iter();
            has_vote
                && streaks.any(|(index, streak)| {
                    self.vantages[*index].name == observation.vantage
                        && self.is_voting(endpoint, *index, streak, now)
                })
        })
    }

    /// A hash of the health of every endpoint, in any order.
    pub fn digest(&self) -> u64 {
        let mut text = String::new();
        let hashes = self.endpoints.iter().map(|endpoint| {
            let (target, health) = (&endpoint.target, endpoint.health.as_str());
            text.clear();
            // Writing to a string does not fail.
            let _ = write!(text, "{} {} {health}", target.pool, target.address);
            fnv1a(text.as_bytes())
        });
        hashes.fold(0, u64::wrapping_add)
    }

    /// Everything that is worth keeping over a restart.
    pub fn saved(&self, now: Moment) -> Saved {
        let at = self.at(now);
        let endpoints = self.view(now).map(|endpoint| {
            let target = endpoint.target;
            let is_alone = self.of_address(&target.pool, target.address).len() == 1;
            let monitor = (!is_alone).then(|| target.monitor.name.clone());
            endpoint.saved(monitor, at)
        });
        Saved {
            endpoints: endpoints.collect(),
        }
    }

    fn endpoint_view<'a>(&'a self, endpoint: &'a Endpoint, now: Moment) -> EndpointView<'a> {
        let vantages = endpoint.vantages.iter().map(|(index, streak)| VantageView {
            name: &self.vantages[*index].name,
            is_remote: self.vantages[*index].is_remote,
            streak,
            is_fresh: self.is_voting(endpoint, *index, streak, now),
            is_blind: self.vantages[*index].sight[Family::of(endpoint.target.address)].is_blind(),
            report_age: streak.report_age(now),
            suppressed_until: streak.suppressed_until(&endpoint.target.monitor, now),
            load: self.fresh_load(endpoint, *index, streak, now),
        });
        let regions = self.regions.iter().zip(&endpoint.regional);
        let regions = regions.map(|(vantages, health)| RegionView {
            vantages,
            health: health.unwrap_or(endpoint.health),
        });
        EndpointView {
            target: &endpoint.target,
            health: endpoint.health,
            since: endpoint.since,
            vantages: vantages.collect(),
            regions: regions.collect(),
        }
    }
}

impl EndpointView<'_> {
    fn saved(&self, monitor: Option<Box<str>>, now: Moment) -> SavedEndpoint {
        let vantages = self.vantages.iter().map(|vantage| SavedVantage {
            name: (&**vantage.name).into(),
            is_remote: vantage.is_remote,
            is_fresh: vantage.is_fresh,
            flaps: vantage.streak.saved_flaps(&self.target.monitor, now),
            // The next run's clients may be others.
            record: VerdictRecord {
                load: None,
                ..vantage.streak.record_of()
            },
        });
        SavedEndpoint {
            pool: (&*self.target.pool).into(),
            address: self.target.address,
            monitor,
            health: self.health,
            since: self.since,
            vantages: vantages.collect(),
        }
    }
}
