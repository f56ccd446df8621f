//! `Horizon`: the earliest time at which an endpoint's health can change, as far as that can be foreseen.
//!
//! A vantage changes its verdict with the last result of a run. With `n` results to go, the next of them may
//! come at any moment and the others at least a shortest interval apart, so that it takes `n - 1` intervals at
//! the least. That is a bound which holds until the next result comes: it does not count down, and changes only
//! with results (gdnsd makes its TTLs so, of whole intervals). Of the vantages that vote, as many must change
//! as the quorum asks for.
//!
//! Not foreseen, since nothing announces it: a vantage that gets or loses its vote, and probes that come closer
//! to each other because the one took its whole timeout and the next none.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::health::Health;
use crate::health::health_table::Endpoint;
use crate::health::health_table::HealthTable;
use crate::health::monitor::Monitor;
use crate::health::observation::Moment;
use crate::health::overrides::Forced;
use crate::health::quorum::judge;
use crate::health::streak::Streak;

/// How often times that run out are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What time is rounded down to that runs out by itself, in seconds, so that each step of it is published and
/// not each second.
const GRID: [u32; 17] = [
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800,
];

/// In how many seconds, at the earliest, what a pool is worth can change, and why it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Whole seconds; 0: at any moment.
    pub seconds: u32,
    /// Why.
    pub cause: Cause,
}

/// What can change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An override that begins.
    Begins(Forced),
    /// An override that ends by itself.
    Ends(Forced),
    /// Probes of an endpoint, of which `n` of the `of` results that are needed have come in.
    Probes {
        /// The endpoint.
        endpoint: IpAddr,
        /// What they make it.
        to: Health,
        /// So many have come in.
        n: u32,
        /// So many are needed.
        of: u32,
    },
    /// The next step of a ramp.
    Ramp,
    /// The next step of a pool that is above its spill mark, or gets clients back.
    Spill,
    /// An endpoint that flaps, and is used again when it has been stable.
    Suppressed {
        /// The endpoint.
        endpoint: IpAddr,
    },
}

impl Horizon {
    /// For something that happens in this time, or up to a tick later. On a coarse grid, and such that it still
    /// holds at the next tick.
    pub fn countdown(remaining: Duration, cause: Cause) -> Self {
        let seconds = remaining.saturating_sub(TICK).as_secs();
        let step = GRID.iter().rev().find(|step| u64::from(**step) <= seconds);
        let step = step.copied().unwrap_or_default();
        Self {
            seconds: step,
            cause,
        }
    }

    /// Why a pool can change, in words.
    pub fn reason(&self, pool: &str) -> String {
        match self.cause {
            Cause::Begins(state) => format!("{pool}: override {} begins soon", state.as_str()),
            Cause::Ends(state) => format!("{pool}: override {} ends soon", state.as_str()),
            Cause::Probes {
                endpoint,
                to,
                n,
                of,
            } => {
                let (past, change) = match to {
                    Health::Up => ("passed", "come up"),
                    Health::Down | Health::Unknown => ("failed", "go down"),
                };
                match n {
                    0 => format!("{pool}: {endpoint} can {change} once it has {past} {of} probes"),
                    _ => format!("{pool}: {endpoint} has {past} {n} of {of} probes"),
                }
            }
            Cause::Ramp => format!("{pool}: the next step of its ramp comes soon"),
            Cause::Spill => {
                format!("{pool}: its load is off its spill mark, and its shares move soon")
            }
            Cause::Suppressed { endpoint } => {
                format!("{pool}: {endpoint} flaps, and its suppression ends soon")
            }
        }
    }

    /// The earlier of two.
    pub fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter()
            .chain(other)
            .min_by_key(|horizon| horizon.seconds)
    }
}

impl HealthTable {
    /// The horizon of an endpoint; `None` for one that no monitor with a vote probes.
    pub fn horizon(&self, pool: &str, address: IpAddr, now: Moment) -> Option<Horizon> {
        let now = self.at(now);
        let endpoints = self.of_address(pool, address).iter();
        let endpoints: Vec<&Endpoint> = endpoints
            .map(|at| &self.endpoints[*at])
            .filter(|endpoint| endpoint.target.has_vote)
            .collect();
        let regions = (0..self.regions.len()).map(Some);
        let views = std::iter::once(None).chain(regions);
        let of_views = views.filter_map(|region| self.horizon_in(&endpoints, region, now));
        of_views.min_by_key(|horizon| horizon.seconds)
    }

    /// The same for the clients of a region, or everybody: the endpoint goes down with the first of its monitors,
    /// and comes up with the last of those that say down.
    fn horizon_in(
        &self,
        endpoints: &[&Endpoint],
        region: Option<usize>,
        now: Moment,
    ) -> Option<Horizon> {
        let of_monitor = |endpoint: &&Endpoint| {
            let Some(region) = region else {
                let horizon = self.earliest(endpoint, |_| true, endpoint.health, now);
                return horizon.map(|horizon| (endpoint.health, horizon));
            };
            let health = (*endpoint.regional.get(region)?)?;
            let members = self.regions.get(region)?;
            let is_member = |name: &str| members.iter().any(|member| **member == *name);
            let horizon = self.earliest(endpoint, is_member, health, now)?;
            Some((health, horizon))
        };
        let all: Vec<(Health, Horizon)> = endpoints.iter().filter_map(of_monitor).collect();
        let of_down = all.iter().filter(|(health, _)| *health == Health::Down);
        let last_up = of_down.max_by_key(|(_, horizon)| horizon.seconds);
        let first = all.iter().min_by_key(|(_, horizon)| horizon.seconds);
        last_up.or(first).map(|(_, horizon)| *horizon)
    }

    /// The earliest change of what some vantages say together.
    fn earliest(
        &self,
        endpoint: &Endpoint,
        is_member: impl Fn(&str) -> bool,
        health: Health,
        now: Moment,
    ) -> Option<Horizon> {
        let members = endpoint.vantages.iter();
        let members = members.filter(|(index, _)| is_member(&self.vantages[*index].name));
        let voting =
            |(index, streak): &&(usize, Streak)| self.is_voting(endpoint, *index, streak, now);
        let all: Vec<&Streak> = members.clone().map(|(_, streak)| streak).collect();
        let voting: Vec<&Streak> = members.filter(voting).map(|(_, streak)| streak).collect();
        let streaks = if voting.is_empty() { all } else { voting };
        let to = match health {
            Health::Up => &[Health::Down][..],
            Health::Down => &[Health::Up],
            Health::Unknown => &[Health::Down, Health::Up],
        };
        let to = to.iter().filter_map(|to| {
            let monitor = &endpoint.target.monitor;
            let changes = streaks
                .iter()
                .map(|streak| streak.earliest(*to, monitor, health, now));
            let mut changes: Vec<(usize, Change)> = (0..).zip(changes).collect();
            changes.sort_by_key(|(_, change)| change.time);
            let mut verdicts: Vec<Health> = streaks.iter().map(|streak| streak.verdict).collect();
            let decisive = changes.into_iter().find(|(at, _)| {
                verdicts[*at] = *to;
                judge(monitor.quorum, verdicts.iter().copied(), health) == *to
            });
            decisive.map(|(_, change)| change.horizon(endpoint.target.address, *to))
        });
        to.min_by_key(|horizon| horizon.seconds)
    }
}

/// When one vantage can come to say something at the earliest.
struct Change {
    /// From now.
    time: Duration,
    /// So many of `of` results for it have come in.
    n: u32,
    of: u32,
    /// Whether it is a suppression that takes so long.
    is_suppressed: bool,
}

impl Change {
    fn horizon(&self, endpoint: IpAddr, to: Health) -> Horizon {
        let Self { n, of, .. } = *self;
        match self.is_suppressed {
            true => Horizon::countdown(self.time, Cause::Suppressed { endpoint }),
            false => Horizon {
                seconds: u32::try_from(self.time.as_secs()).unwrap_or(u32::MAX),
                cause: Cause::Probes {
                    endpoint,
                    to,
                    n,
                    of,
                },
            },
        }
    }
}

impl Streak {
    fn earliest(&self, to: Health, monitor: &Monitor, previous: Health, now: Moment) -> Change {
        let (n, of) = self.progress(to, monitor, previous, now);
        let n_more = match self.calls_for(to) {
            true => 0,
            false => (of - n).saturating_sub(1),
        };
        let by_probes = monitor.shortest_gap() * n_more;
        let suppressed = self.suppressed_for(monitor, now).unwrap_or_default();
        let is_suppressed = to == Health::Up && suppressed > by_probes;
        Change {
            time: if is_suppressed { suppressed } else { by_probes },
            n,
            of,
            is_suppressed,
        }
    }
}
