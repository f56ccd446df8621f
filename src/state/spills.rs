//! `Spills`: the controller of shares ([`Spill`]) on a plan's pools.
//!
//! It knows which pools have a mark, whose clients could go where, how long resolvers keep answers and how often
//! endpoints are probed; the controller knows none of that. No clock: times and loads come in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::model::Config;
use crate::config::model::Endpoint;
use crate::health::load::Load;
use crate::health::overrides::Overrides;
use crate::state::evidence::Evidence;
use crate::state::evidence::PoolNow;
use crate::state::evidence::ShareLimits;
use crate::state::evidence::Spilling;
use crate::state::guard;
use crate::state::plan::Plan;
use crate::steer::PoolStatus;
use crate::steer::spill::Pool;
use crate::steer::spill::PoolSpill;
use crate::steer::spill::Spill;
use crate::steer::spill::Timing;
use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

/// The shares of pools, by name.
pub type PoolShares = Vec<(Box<str>, Admission)>;

/// The state.
#[derive(Clone, Debug, Default)]
pub struct Spills {
    controller: Spill,
    /// What the rest was made of.
    config: Option<Arc<Config>>,
    /// By `PoolIx`; empty where no pool has a mark.
    pools: Vec<Pool>,
    endpoints: Vec<Arc<[Endpoint]>>,
    timing: Timing,
}

impl Spills {
    /// Goes on after a restart, with the shares of then.
    pub fn resume(shares: PoolShares) -> Self {
        Self {
            controller: Spill::resume(shares),
            ..Self::default()
        }
    }

    /// The shares that are not whole, to go on with after a restart.
    pub fn saved(&self) -> PoolShares {
        let mut shares = self.shares();
        shares.retain(|(_, shares)| *shares != Admission::ALL);
        shares
    }

    /// The shares of all pools with a mark, for other machines.
    pub fn shares(&self) -> PoolShares {
        let pools = self.controller.iter();
        pools
            .map(|(name, pool)| (name.into(), pool.shares))
            .collect()
    }

    /// From a move of shares to the next.
    pub fn interval(&self) -> Duration {
        self.timing.interval
    }

    /// How long it takes at least until the shares of a pool move; `None`: as far as is known they stay.
    pub fn next_step(&self, pool: &str, now: Duration) -> Option<Duration> {
        self.controller.next_step(pool, now)
    }

    /// Takes the loads of now, each by the weights of a pool's endpoints, and the shares of the machine that leads, if
    /// that is another; returns whether a snapshot is due.
    pub fn advance(
        &mut self,
        load_of: impl Fn(&str, &dyn Fn(IpAddr) -> u32) -> Option<Load>,
        leader: Option<&PoolShares>,
        now: Duration,
    ) -> bool {
        if self.pools.is_empty() {
            return false;
        }
        let load = |(pool, endpoints): (&Pool, &Arc<[Endpoint]>)| {
            pool.mark?;
            let weight_of = |address: IpAddr| {
                let mut endpoints = endpoints.iter();
                let found = endpoints.find(|endpoint| endpoint.address == address);
                found.map_or(0, |endpoint| endpoint.weight)
            };
            load_of(&pool.name, &weight_of).map(Load::ratio)
        };
        let loads: Vec<Option<f64>> = self.pools.iter().zip(&self.endpoints).map(load).collect();
        let timing = self.timing;
        self.controller
            .advance(&self.pools, &loads, timing, leader.map(Vec::as_slice), now)
    }

    /// Follows a plan's pools as they are now. Returns what limits the pools' shares, beside their ramps; empty if nothing does.
    pub fn limits(
        &mut self,
        plan: &Plan,
        evidence: &Evidence,
        overrides: &Overrides,
    ) -> Vec<ShareLimits> {
        let config = plan.config.pools.pools.iter();
        let shed = config.map(|pool| overrides.of(&pool.name)?.state.percent());
        let shed: Vec<Option<u8>> = shed.collect();
        let mut pools = plan.config.pools.pools.iter();
        if pools.all(|pool| pool.spill_at.is_none()) && shed.iter().all(Option::is_none) {
            *self = Self::default();
            return Vec::new();
        }
        let spilling = self.follow(plan, &PoolNow::all(plan, evidence), &shed);
        let limits = shed.into_iter().zip(spilling);
        limits
            .map(|(shed, spill)| ShareLimits { shed, spill })
            .collect()
    }

    /// Returns how those with a mark stand; `shed` is what operators shed of each, in percent.
    fn follow(
        &mut self,
        plan: &Plan,
        pools: &[PoolNow],
        shed: &[Option<u8>],
    ) -> Vec<Option<Spilling>> {
        let config = &plan.config;
        if !self
            .config
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, config))
        {
            self.config = Some(Arc::clone(config));
            (self.pools, self.timing) = (compiled(plan), timing(config));
        }
        self.endpoints.clear();
        for ((pool, now), shed) in self.pools.iter_mut().zip(pools).zip(shed) {
            let is_up = |family| now.status[family] == PoolStatus::Up;
            pool.is_up = Family::ALL.into_iter().any(is_up);
            let ramp = Family::ALL.into_iter().filter(|family| is_up(*family));
            let ramp = ramp
                .map(|family| now.ramp[family].ratio())
                .fold(1.0, f64::min);
            let shed = shed.map_or(1.0, |percent| 1.0 - f64::from(percent) / 100.0);
            pool.base = ramp * shed;
            self.endpoints.push(Arc::clone(&now.endpoints));
        }
        let pools = config.pools.pools.iter();
        pools
            .map(|pool| {
                let known = self.controller.of(&pool.name);
                Some(spilling(pool.spill_at?, known))
            })
            .collect()
    }
}

fn spilling(mark: Load, known: Option<&PoolSpill>) -> Spilling {
    let load = known.and_then(|known| known.load);
    Spilling {
        mark,
        load: load.map(|load| Load::from((load * 10_000.0).round() as u32)),
        shares: known.map_or(Admission::ALL, |known| known.shares),
        is_full: known.is_some_and(|known| known.is_full),
    }
}

/// The pools as the controller sees them; none if no pool has a mark.
fn compiled(plan: &Plan) -> Vec<Pool> {
    let config = &plan.config.pools.pools;
    if config.iter().all(|pool| pool.spill_at.is_none()) {
        return Vec::new();
    }
    let mut rivals = vec![FxHashSet::default(); config.len()];
    // Thousands of names may share a spec.
    let mut looked_at = FxHashSet::default();
    for spec in plan
        .specs
        .iter()
        .filter(|spec| looked_at.insert(Arc::as_ptr(spec)))
    {
        let pools: Vec<usize> = guard::pools_of(spec).map(PoolIx::index).collect();
        for pool in &pools {
            rivals[*pool].extend(pools.iter().filter(|rival| *rival != pool));
        }
    }
    let pools = config.iter().zip(rivals);
    pools
        .map(|(pool, rivals)| Pool {
            name: pool.name.clone(),
            mark: pool.spill_at.map(Load::ratio),
            is_up: true,
            base: Admitted::ALL.ratio(),
            rivals: rivals.into_iter().collect(),
        })
        .collect()
}

/// The longest that resolvers keep answers of pools with a mark, and the longest between two probes of these.
fn timing(config: &Config) -> Timing {
    let pools = &config.pools.pools;
    let marked = |pool: &PoolIx| pools[pool.index()].spill_at.is_some();
    let names = config.pools.steered.iter();
    let names = names.filter(|name| {
        let of_rules = name.rules.iter().flat_map(|rule| &rule.pools);
        name.pools.iter().chain(of_rules).any(marked)
    });
    let ttl = names.map(|name| name.ttl.max).max().unwrap_or(0);
    let monitors = pools.iter().filter(|pool| pool.spill_at.is_some());
    let monitors = monitors.flat_map(|pool| pool.monitors.iter().chain(&pool.watch));
    let monitors = monitors.filter_map(|ix| config.pools.monitors.get(ix.index()));
    let monitors = monitors.filter(|monitor| monitor.reads_load());
    let gaps = monitors.map(|monitor| monitor.interval * 11 / 10 + monitor.timeout);
    let gap = gaps.max().unwrap_or(Duration::ZERO);
    Timing::new(Duration::from_secs(u64::from(ttl)), gap)
}
