//! What the monitors of an endpoint say: each of them, and all that have a vote together.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::vantages::Vantage;
use crate::admin::vantages::vantage;
use crate::base::health::Health;
use crate::health::health_table::HealthTable;
use crate::health::observation::Moment;
use crate::health::view::EndpointView;
use crate::health::view::RegionView;
use crate::health::view::VantageView;

/// What one monitor says of an endpoint, in its printed form.
#[derive(Debug, Serialize, Deserialize)]
pub struct Check {
    /// The monitor's name.
    pub monitor: String,
    /// Whether it has a vote; otherwise it is only shown.
    pub votes: bool,
    /// What its vantages say together.
    pub health: String,
    /// Since when.
    pub since: Option<u64>,
    /// What each vantage says.
    pub vantages: Vec<Vantage>,
}

/// The monitors of an endpoint, in the file's order; none where one alone decides.
pub fn checks(views: &[EndpointView<'_>]) -> Vec<Check> {
    if let [view] = views
        && view.target.has_vote
    {
        return Vec::new();
    }
    let check = |view: &EndpointView<'_>| Check {
        monitor: view.target.monitor.name.to_string(),
        votes: view.target.has_vote,
        health: view.health.to_string(),
        since: view.since,
        vantages: view.vantages.iter().map(vantage).collect(),
    };
    views.iter().map(check).collect()
}

/// What each vantage says: the worst of the monitors that have a vote.
pub fn together<'a, 'v>(
    views: impl IntoIterator<Item = &'v EndpointView<'a>>,
) -> Vec<&'v VantageView<'a>>
where
    'a: 'v,
{
    let mut vantages: Vec<&VantageView<'_>> = Vec::new();
    let voting = views.into_iter().filter(|view| view.target.has_vote);
    for vantage in voting.flat_map(|view| &view.vantages) {
        let known = vantages.iter_mut().find(|known| known.name == vantage.name);
        let Some(known) = known else {
            vantages.push(vantage);
            continue;
        };
        let (of_known, of_this) = (known.streak.verdict, vantage.streak.verdict);
        if of_this != of_known && Health::worst([of_known, of_this]) == of_this {
            *known = vantage;
        }
    }
    vantages
}

/// Since when an endpoint has its health: since the first monitor with a vote called it down, or the last one
/// called it otherwise.
pub fn since(views: &[EndpointView<'_>], health: Health) -> Option<u64> {
    let voting = views.iter().filter(|view| view.target.has_vote);
    let deciding = voting.filter(|view| view.health == health);
    let times = deciding.filter_map(|view| view.since);
    match health {
        Health::Down => times.min(),
        Health::Up | Health::Unknown => times.max(),
    }
}

/// What each region says: the worst of the monitors that have a vote.
pub fn regions<'a>(views: &[EndpointView<'a>]) -> Vec<RegionView<'a>> {
    let mut regions: Vec<RegionView<'a>> = Vec::new();
    let voting = || views.iter().filter(|view| view.target.has_vote);
    for region in voting().flat_map(|view| &view.regions) {
        if regions
            .iter()
            .any(|known| known.vantages == region.vantages)
        {
            continue;
        }
        // A monitor that does not judge by region says the same in all.
        let health = voting().map(|view| {
            let mut of_view = view.regions.iter();
            let of_view = of_view.find(|other| other.vantages == region.vantages);
            of_view.map_or(view.health, |other| other.health)
        });
        regions.push(RegionView {
            vantages: region.vantages,
            health: Health::worst(health),
        });
    }
    regions
}

/// Verdicts as metrics have them: pool, endpoint, and whose they are.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// By vantage.
    pub of_vantages: Vec<(Judged, Health)>,
    /// Whether a vantage suppresses an endpoint, where flapping is damped.
    pub suppressed: Vec<(Judged, bool)>,
    /// By monitor.
    pub of_monitors: Vec<(Judged, Health)>,
}

/// An endpoint and who judges it.
#[derive(Debug)]
pub struct Judged {
    address: IpAddr,
    pool: Arc<str>,
    by: Arc<str>,
}

impl Judged {
    /// The values of its labels: address, pool, and judge.
    pub fn labels(&self) -> [&dyn Display; 3] {
        [&self.address, &self.pool, &self.by]
    }
}

impl Verdicts {
    /// All that a health table has.
    pub fn of(health_table: &HealthTable, now: Moment) -> Self {
        let mut verdicts = Self::default();
        for views in by_endpoint(health_table, now).values() {
            let target = views[0].target;
            let by = |name: &Arc<str>| Judged {
                address: target.address,
                pool: Arc::clone(&target.pool),
                by: Arc::clone(name),
            };
            for view in views {
                let monitor = Arc::from(&*view.target.monitor.name);
                verdicts.of_monitors.push((by(&monitor), view.health));
            }
            for vantage in together(views) {
                let verdict = vantage.streak.verdict;
                verdicts.of_vantages.push((by(vantage.name), verdict));
            }
            let voting = views.iter().filter(|view| view.target.has_vote);
            let damped: Vec<_> = voting
                .filter(|view| view.target.monitor.damping.is_some())
                .collect();
            for vantage in together(damped.iter().copied()) {
                let mut others = damped.iter().flat_map(|view| &view.vantages);
                let is_suppressed = others
                    .any(|other| other.name == vantage.name && other.suppressed_until.is_some());
                verdicts.suppressed.push((by(vantage.name), is_suppressed));
            }
        }
        verdicts
    }
}

/// Everything in a health table, by pool and endpoint.
pub fn by_endpoint(
    health_table: &HealthTable,
    now: Moment,
) -> BTreeMap<(&str, IpAddr), Vec<EndpointView<'_>>> {
    let mut endpoints: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for view in health_table.view(now) {
        let target = view.target;
        let of_endpoint = endpoints.entry((&*target.pool, target.address));
        of_endpoint.or_default().push(view);
    }
    endpoints
}
