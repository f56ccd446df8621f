//! What speaks against taking a pool out for practice, before it begins and while it lasts.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::model::Config;
use crate::health::health_table::HealthTable;
use crate::health::load::Load;
use crate::health::observation::Moment;
use crate::health::overrides::Forced;
use crate::health::overrides::Overrides;
use crate::state::counters::pools_of;
use crate::state::demand::Moved;
use crate::state::evidence::PoolNow;
use crate::state::snapshot::Snapshot;
use crate::steer::PoolStatus;
use crate::steer::spread::Admitted;

/// What is known of pools, vantages and the fleet.
pub struct Known<'a> {
    /// What is served.
    pub snapshot: &'a Snapshot,
    /// The overrides.
    pub overrides: &'a Overrides,
    /// Which pools answer for the same names.
    pub companions: &'a Companions,
    /// The first vantage that does not report or see.
    pub unfit: Option<UnfitVantage>,
    /// A pool's load of now; `None`: it has none that is fresh.
    pub load_of: &'a dyn Fn(PoolIx) -> Option<Load>,
    /// The clients that a pool has.
    pub moved_from: &'a dyn Fn(PoolIx) -> Moved,
    /// Whether the first round of probes is in.
    pub is_ready: bool,
    /// This machine's name.
    pub node: &'a str,
    /// The fleet; `None`: a single machine.
    pub fleet: Option<Fleet>,
    /// In Unix seconds.
    pub now: u64,
}

/// The other machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Whether this machine has had a connection for long enough to know of their overrides.
    pub is_connected: bool,
    /// Whether it is the one that begins the drills of the configuration.
    pub is_leading: bool,
    /// The others that report.
    pub nodes: BTreeSet<Box<str>>,
}

/// A vantage whose verdicts cannot be relied upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnfitVantage {
    /// It does not report.
    Silent(Box<str>),
    /// It sees nothing of a family.
    Blind(Box<str>),
}

/// Why a pool cannot be drilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The process has just started.
    #[error("the first round of probes has not finished")]
    NotReady,
    /// Another drill may be in force elsewhere.
    #[error("this node has no connection to its fleet, or only since a few seconds")]
    Disconnected,
    /// Another drill is in force.
    #[error("pool `{0}` is drilled")]
    Drilled(Box<str>),
    /// A vantage is silent.
    #[error("vantage `{0}` does not report")]
    Silent(Box<str>),
    /// A vantage is blind.
    #[error("vantage `{0}` is blind")]
    Blind(Box<str>),
    /// Nobody would notice.
    #[error("no steered name uses the pool")]
    Unused,
    /// Some clients have no other pool.
    #[error("{0}")]
    Strands(Box<str>),
    /// A pool has an override, or gets one before the drill is over.
    #[error("pool `{0}` has an override")]
    Overridden(Box<str>),
    /// A pool is not up.
    #[error("pool `{0}` is not up for {1}")]
    NotUp(Box<str>, Family),
    /// A pool is getting its clients back.
    #[error("pool `{0}` is getting its clients back (`ramp`)")]
    Ramping(Box<str>),
    /// A pool with a mark has no load.
    #[error("the load of pool `{0}` is not known")]
    NoLoad(Box<str>),
    /// A pool is at its mark.
    #[error("pool `{0}` has a load of {1}, its `spill_at` is {2}")]
    Loaded(Box<str>, Load, Load),
    /// A pool passes clients on.
    #[error("pool `{0}` passes clients on for its load")]
    Spills(Box<str>),
    /// The probes of a name are ignored.
    #[error("more pools of `{0}` are down than `max_down` allows")]
    MaxDown(Box<str>),
}

/// The pools that each pool shares a name with, itself among them.
#[derive(Clone, Debug, Default)]
pub struct Companions {
    /// What the rest was made of.
    config: Option<Arc<Config>>,
    pools: Vec<BTreeSet<PoolIx>>,
}

impl Companions {
    /// Goes on with a configuration.
    pub fn follow(&mut self, config: &Arc<Config>) {
        let known = self.config.as_ref();
        if known.is_some_and(|known| Arc::ptr_eq(known, config)) {
            return;
        }
        self.config = Some(Arc::clone(config));
        self.pools = vec![BTreeSet::new(); config.pools.pools.len()];
        for name in &config.pools.steered {
            let pools = pools_of(name);
            for pool in &pools {
                self.pools[pool.index()].extend(&pools);
            }
        }
    }

    /// Those of a pool; `None` if no name uses it.
    fn of(&self, pool: PoolIx) -> Option<&BTreeSet<PoolIx>> {
        let pools = self.pools.get(pool.index())?;
        (!pools.is_empty()).then_some(pools)
    }
}

impl UnfitVantage {
    /// The first of all vantages.
    pub fn first(health_table: &HealthTable, now: Moment) -> Option<Self> {
        health_table.vantages(now).find_map(|vantage| {
            let name = || (&**vantage.name).into();
            if vantage.is_silent {
                return Some(Self::Silent(name()));
            }
            let is_blind = vantage.blind_since.iter().any(Option::is_some);
            is_blind.then(|| Self::Blind(name()))
        })
    }
}

impl Known<'_> {
    /// The name of a pool.
    pub(super) fn name(&self, pool: PoolIx) -> &str {
        &self.snapshot.plan.config.pools.pools[pool.index()].name
    }

    /// The pool of a name; `None` if it is not configured.
    pub(super) fn position(&self, pool: &str) -> Option<PoolIx> {
        let mut pools = self.snapshot.plan.config.pools.pools.iter();
        pools
            .position(|other| *other.name == *pool)
            .map(PoolIx::new)
    }

    /// Whether this machine begins the drills of the configuration. One without a connection does what it would do
    /// alone, so that it says why they do not begin.
    pub(super) fn is_leading(&self) -> bool {
        let fleet = self.fleet.as_ref();
        fleet.is_none_or(|fleet| fleet.is_leading || !fleet.is_connected)
    }

    /// Whether another machine no longer reports. Without a connection, that is not known.
    pub(super) fn is_lost(&self, node: &str) -> bool {
        let fleet = self.fleet.as_ref().filter(|fleet| fleet.is_connected);
        fleet.is_some_and(|fleet| !fleet.nodes.contains(node))
    }

    /// The other pools that names can answer with that can answer with this one.
    pub(super) fn others(&self, pool: PoolIx) -> impl Iterator<Item = PoolIx> {
        let all = self.companions.of(pool).into_iter().flatten().copied();
        all.filter(move |other| *other != pool)
    }

    /// A name whose probes are ignored and that can answer with a pool.
    fn unbelieved(&self, pool: PoolIx) -> Option<String> {
        let names = self.snapshot.steered.iter();
        let mut names = names.zip(&self.snapshot.plan.config.pools.steered);
        let found = names.find(|(now, name)| {
            let mut families = now.families.iter();
            families.any(|family| family.ignores_probes) && pools_of(name).contains(&pool)
        });
        found.map(|(_, name)| name.owner.plain())
    }

    /// Whether a drill of a pool may begin that lasts until then.
    pub(super) fn may_begin(&self, pool: PoolIx, until: u64) -> Result<(), Obstacle> {
        if self.fleet.as_ref().is_some_and(|fleet| !fleet.is_connected) {
            return Err(Obstacle::Disconnected);
        }
        if self.companions.of(pool).is_none() {
            return Err(Obstacle::Unused);
        }
        let name = || self.name(pool).into();
        // A pool has one override: a drill would replace it.
        if self.overrides.standing(self.name(pool)).is_some() {
            return Err(Obstacle::Overridden(name()));
        }
        self.is_whole(pool)?;
        let planned = |other: PoolIx| {
            let planned = self.overrides.planned(self.name(other));
            planned.is_some_and(|o| o.begins.is_none_or(|begins| begins <= until))
        };
        if let Some(other) = self.others(pool).find(|other| planned(*other)) {
            return Err(Obstacle::Overridden(self.name(other).into()));
        }
        self.may_go_on(pool)?;
        match self.snapshot.stranded_without(pool) {
            Some(stranded) => Err(Obstacle::Strands(stranded.to_string().into())),
            None => Ok(()),
        }
    }

    /// Whether a drill of a pool may go on.
    pub(super) fn may_go_on(&self, pool: PoolIx) -> Result<(), Obstacle> {
        if !self.is_ready {
            return Err(Obstacle::NotReady);
        }
        match &self.unfit {
            Some(UnfitVantage::Silent(name)) => return Err(Obstacle::Silent(name.clone())),
            Some(UnfitVantage::Blind(name)) => return Err(Obstacle::Blind(name.clone())),
            None => {}
        }
        if let Some(name) = self.unbelieved(pool) {
            return Err(Obstacle::MaxDown(name.into()));
        }
        for other in self.others(pool) {
            // Of two drills, the later ends for that reason.
            let override_ = self.overrides.of(self.name(other));
            if override_.is_some_and(|override_| override_.state != Forced::Drill) {
                return Err(Obstacle::Overridden(self.name(other).into()));
            }
            self.is_whole(other)?;
            self.has_room(other)?;
        }
        Ok(())
    }

    /// Whether a pool is up in its families, and takes all of its clients.
    fn is_whole(&self, pool: PoolIx) -> Result<(), Obstacle> {
        let now = &self.snapshot.pools[pool.index()];
        let name = || self.name(pool).into();
        for family in Family::ALL {
            let is_drilled = now.forced == Some(Forced::Drill);
            let is_up = matches!(now.status[family], PoolStatus::Up | PoolStatus::Absent);
            if !is_up && !is_drilled {
                return Err(Obstacle::NotUp(name(), family));
            }
            if now.ramp[family] != Admitted::ALL {
                return Err(Obstacle::Ramping(name()));
            }
        }
        match now.endpoints.is_empty() {
            true => Err(Obstacle::NotUp(name(), Family::V4)),
            false => Ok(()),
        }
    }

    /// Whether a pool with a mark is known to be below it.
    fn has_room(&self, pool: PoolIx) -> Result<(), Obstacle> {
        let now: &PoolNow = &self.snapshot.pools[pool.index()];
        let Some(spill) = now.limits.spill else {
            return Ok(());
        };
        let name = || self.name(pool).into();
        let load = (self.load_of)(pool).ok_or_else(|| Obstacle::NoLoad(name()))?;
        if load >= spill.mark {
            return Err(Obstacle::Loaded(name(), load, spill.mark));
        }
        match spill.is_full || spill.shares.own != Admitted::ALL {
            true => Err(Obstacle::Spills(name())),
            false => Ok(()),
        }
    }
}
