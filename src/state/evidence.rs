//! `Evidence`: what is known of the pools now. A snapshot is a function of the plan and of this alone.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::model::Endpoint;
use crate::config::model::MinHealthy;
use crate::config::model::Pool;
use crate::config::model::Steered;
use crate::health::horizon::Horizon;
use crate::health::load::Load;
use crate::health::overrides::Forced;
use crate::state::membership::Membership;
use crate::state::plan::Plan;
use crate::steer::PoolStatus;
use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

/// What is known of the pools, by `PoolIx`; of a pool beyond the end nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Which endpoints the pools have.
    pub members: Membership,
    /// Each endpoint's health, by its position in its pool; one beyond the end is unknown.
    pub endpoints: Vec<Vec<Health>>,
    /// The same for the clients of each region of the plan; empty: as for everybody.
    pub regional: Vec<Vec<Vec<Health>>>,
    /// The operators' overrides.
    pub forced: Vec<Option<Forced>>,
    /// What a pool is worth that has too few endpoints known to be up, but could have enough with those
    /// never probed; up for pools beyond the end.
    pub unproven: Vec<PoolStatus>,
    /// The share of its clients that a pool takes in each family by its ramp; all for pools beyond the end.
    pub admitted: Vec<PerFamily<Admitted>>,
    /// For how long each pool is known to stay as it is in each family; for pools beyond the end that is not
    /// known.
    pub horizons: Vec<PerFamily<Option<Horizon>>>,
    /// What operators and loads leave of that; all for pools beyond the end.
    pub limits: Vec<ShareLimits>,
    /// The pools that were up last.
    pub last_up: Arc<LastUp>,
}

/// What limits the share of its clients that a pool takes, beside its ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareLimits {
    /// What an operator sheds, in percent.
    pub shed: Option<u8>,
    /// What its load leaves; `None` without a mark.
    pub spill: Option<Spilling>,
}

/// How a pool with a mark stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spilling {
    /// The load above which it spills.
    pub mark: Load,
    /// The load that its shares were decided by; `None`: it has none.
    pub load: Option<Load>,
    /// The shares that it takes.
    pub shares: Admission,
    /// Whether it is above its mark and no other pool takes what it would pass on.
    pub is_full: bool,
}

impl ShareLimits {
    /// The shares that they leave, multiplied. A pool that an operator relieves takes no guests.
    pub fn admission(&self) -> Admission {
        let spill = self.spill.map_or(Admission::ALL, |spill| spill.shares);
        match self.shed {
            Some(percent) => Admission {
                own: spill.own.of(Admitted::percent(100 - percent.min(100))),
                guests: Admitted::NONE,
            },
            None => spill,
        }
    }
}

/// One pool as the evidence has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNow {
    /// The operator's override, if there is one.
    pub forced: Option<Forced>,
    /// Its endpoints.
    pub endpoints: Arc<[Endpoint]>,
    /// Each endpoint's health.
    pub health: Box<[Health]>,
    /// What the pool is worth in each family by its endpoints' health alone.
    pub judged: PerFamily<PoolStatus>,
    /// What the pool is worth in each family.
    pub status: PerFamily<PoolStatus>,
    /// The share of its own clients that it takes in each family: what its ramp, an operator and its load leave,
    /// multiplied, as each is a share of those that the others let through.
    pub admitted: PerFamily<Admitted>,
    /// The share of clients that it takes while it stands by; `None`: it does not stand by.
    pub standby: Option<Admitted>,
    /// For how long it is known to stay as it is in each family; `None`: that is not known, or longer than any
    /// TTL.
    pub horizon: PerFamily<Option<Horizon>>,
    /// The share that it takes of clients that other pools pass on.
    pub guests: PerFamily<Admitted>,
    /// The share of its clients that it takes in each family by its ramp.
    pub ramp: PerFamily<Admitted>,
    /// What limits it otherwise.
    pub limits: ShareLimits,
    /// How many endpoints of a family must be up.
    min_healthy: MinHealthy,
}

impl PoolNow {
    /// A plan's pools with the evidence of now, by `PoolIx`.
    pub fn all(plan: &Plan, evidence: &Evidence) -> Box<[Self]> {
        Self::with_health(plan, evidence, &evidence.endpoints)
    }

    /// The same as the clients of each region have them.
    pub fn regional(plan: &Plan, evidence: &Evidence) -> Box<[Box<[Self]>]> {
        let regions = evidence.regional.iter();
        regions
            .map(|endpoints| Self::with_health(plan, evidence, endpoints))
            .collect()
    }

    fn with_health(plan: &Plan, evidence: &Evidence, health: &[Vec<Health>]) -> Box<[Self]> {
        let pools = plan.config.pools.pools.iter().enumerate();
        pools
            .map(|(ix, pool)| {
                let endpoints = evidence.members.of(PoolIx::new(ix), pool);
                let known = health.get(ix).map_or(&[][..], |known| known);
                Self::new(ix, Arc::clone(endpoints), pool, evidence, known)
            })
            .collect()
    }

    fn new(
        ix: usize,
        endpoints: Arc<[Endpoint]>,
        config: &Pool,
        evidence: &Evidence,
        known: &[Health],
    ) -> Self {
        let health = |at: usize| known.get(at).copied().unwrap_or_default();
        let health: Box<[Health]> = (0..endpoints.len()).map(health).collect();
        let forced = evidence.forced.get(ix).copied().flatten();
        let unproven = evidence.unproven.get(ix).copied();
        let judged = PerFamily::from_fn(|family| {
            let (mut n, mut n_up, mut n_unproven) = (0, 0, 0);
            for (endpoint, health) in endpoints.iter().zip(&health) {
                if Family::of(endpoint.address) == family {
                    n += 1;
                    n_up += usize::from(*health == Health::Up);
                    n_unproven += usize::from(*health == Health::Unknown);
                }
            }
            let n_needed = config.min_healthy.of(n);
            if n == 0 {
                PoolStatus::Absent
            } else if n_up >= n_needed {
                PoolStatus::Up
            } else if n_up + n_unproven >= n_needed {
                unproven.unwrap_or(PoolStatus::Up)
            } else {
                PoolStatus::Down
            }
        });
        let status = judged.map(|judged| under(forced, judged));
        let is_free = forced.is_none();
        let ramp = evidence.admitted.get(ix).filter(|_| is_free);
        let ramp = ramp.copied().unwrap_or_default();
        let limits = evidence.limits.get(ix).filter(|_| is_free);
        let limits = limits.copied().unwrap_or_default();
        let admission = limits.admission();
        Self {
            forced,
            endpoints,
            health,
            judged,
            status,
            admitted: ramp.map(|ramp| ramp.of(admission.own)),
            guests: ramp.map(|ramp| ramp.of(admission.guests)),
            ramp,
            limits,
            standby: config.standby,
            horizon: evidence.horizons.get(ix).copied().unwrap_or_default(),
            min_healthy: config.min_healthy,
        }
    }

    /// The same pool as if an operator had drained it.
    #[must_use]
    pub fn drained(&self) -> Self {
        let forced = Some(Forced::Drain);
        Self {
            forced,
            status: self.judged.map(|judged| under(forced, judged)),
            admitted: PerFamily::default(),
            guests: PerFamily::default(),
            ramp: PerFamily::default(),
            limits: ShareLimits::default(),
            ..self.clone()
        }
    }

    /// Whether it has endpoints of a family.
    pub fn has_family(&self, family: Family) -> bool {
        self.judged[family] != PoolStatus::Absent
    }

    /// Whether its probes have taken it out in a family: an override has not, nor has `unproven = "down"`.
    pub fn is_taken_out(&self, family: Family) -> bool {
        let mut endpoints = self.of_family(family);
        self.forced.is_none()
            && self.judged[family] == PoolStatus::Down
            && endpoints.any(|(_, health)| health == Health::Down)
    }

    /// The endpoints of a family, each with its health.
    pub fn of_family(&self, family: Family) -> impl Iterator<Item = (&Endpoint, Health)> {
        let all = self.endpoints.iter().zip(self.health.iter().copied());
        all.filter(move |(endpoint, _)| Family::of(endpoint.address) == family)
    }

    /// The pool's health in a family, for people; `None` if it has no endpoint there. A pool whose sources
    /// name no endpoints at all is down.
    pub fn health(&self, family: Family) -> Option<Health> {
        if self.endpoints.is_empty() {
            return Some(Health::Down);
        }
        let mut judged = self.of_family(family).map(|(_, health)| health).peekable();
        judged.peek()?;
        Some(match self.status[family] {
            PoolStatus::Down => Health::Down,
            PoolStatus::Unproven => Health::Unknown,
            _ if judged.all(|health| health == Health::Unknown) => Health::Unknown,
            _ => Health::Up,
        })
    }

    /// The endpoints of a family that an answer may name: those that are up; where these are too few,
    /// those never probed as well; all of them where the pool is answered although it is down.
    pub fn usable(&self, family: Family) -> Vec<Endpoint> {
        let count = |wanted| self.of_family(family).filter(|(_, h)| *h == wanted).count();
        let (n_up, n_down) = (count(Health::Up), count(Health::Down));
        let n = self.of_family(family).count();
        let is_serving = self.status[family] >= PoolStatus::Unproven;
        let is_usable = |health: Health| match health {
            _ if !is_serving || n_down == n => true,
            Health::Up => true,
            Health::Unknown => n_up < self.min_healthy.of(n),
            Health::Down => false,
        };
        let usable = self
            .of_family(family)
            .filter(|(_, health)| is_usable(*health));
        usable.map(|(endpoint, _)| *endpoint).collect()
    }
}

/// What a pool is worth under an override.
fn under(forced: Option<Forced>, judged: PoolStatus) -> PoolStatus {
    match forced {
        _ if judged == PoolStatus::Absent => PoolStatus::Absent,
        Some(Forced::Drain | Forced::Drill) => PoolStatus::Drained,
        Some(Forced::Down) => PoolStatus::Down,
        Some(Forced::Up) => PoolStatus::Up,
        Some(Forced::Shed(_)) | None => judged,
    }
}

/// For each steered name with `all_down = "last_good"`, of its own or of a rule, the pools that were up when
/// any of the same clients' last was. By name, so that it outlives reloads and restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastUp {
    names: BTreeMap<Box<str>, PerFamily<BTreeSet<Box<str>>>>,
}

impl LastUp {
    /// The same after the evidence of now: of names with a pool that is up, those that are; names that are
    /// gone, or have another policy, are left out.
    #[must_use]
    pub fn after(&self, plan: &Plan, pools: &[PoolNow]) -> Self {
        let config = &plan.config.pools;
        let of_name = |steered: &Steered| {
            let name: Box<str> = steered.owner.plain().into();
            let before = self.names.get(&name);
            let up = PerFamily::from_fn(|family| {
                let is_up = |pool: &PoolIx| pools[pool.index()].status[family] == PoolStatus::Up;
                let was_up = |pool: &PoolIx| {
                    let name = &config.pools[pool.index()].name;
                    before.is_some_and(|before| before[family].contains(name))
                };
                let of_clients = |all: Vec<PoolIx>| match all.iter().any(is_up) {
                    true => all.into_iter().filter(is_up).collect::<Vec<_>>(),
                    false => all.into_iter().filter(was_up).collect(),
                };
                let up = steered.last_good_pools().flat_map(of_clients);
                up.map(|pool| config.pools[pool.index()].name.clone())
                    .collect()
            });
            (name, up)
        };
        let names = config.steered.iter();
        Self {
            names: names
                .filter(|steered| steered.last_good_pools().next().is_some())
                .map(of_name)
                .collect(),
        }
    }

    /// A record that was saved.
    pub fn insert(&mut self, name: &str, pools: PerFamily<BTreeSet<Box<str>>>) {
        self.names.insert(name.into(), pools);
    }

    /// Every name with its pools.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PerFamily<BTreeSet<Box<str>>>)> {
        self.names.iter().map(|(name, pools)| (&**name, pools))
    }

    /// Those of a name's pools that were up last, in file order.
    pub fn of(&self, plan: &Plan, steered: &Steered, family: Family) -> Box<[PoolIx]> {
        let mut all = steered.last_good_pools().peekable();
        // Most names have none, and many names are asked for.
        let is_kept = all.peek().is_some();
        let Some(up) = is_kept
            .then(|| self.names.get(&*steered.owner.plain()))
            .flatten()
        else {
            return Box::default();
        };
        let was_up =
            |pool: &PoolIx| up[family].contains(&plan.config.pools.pools[pool.index()].name);
        all.flatten().filter(was_up).collect()
    }
}
