//! One name's pools in one family as the clients of a region have them.

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::base::rank::Share;
use crate::geo::rules::Spec;
use crate::state::evidence::PoolNow;
use crate::state::guard;
use crate::state::plan::Plan;
use crate::steer::Choice;
use crate::steer::PoolStatus;
use crate::steer::Serving;
use crate::steer::Standby;
use crate::steer::StatusSet;
use crate::steer::spread::Admitted;
use crate::zone::SteeredTypes;

/// The position of a view: 0 is everybody's, the others are of the regions in their order.
pub(super) type ViewIx = usize;

/// A pool that answers clients, with the first view in which it is as it is for them, and the share that it
/// takes of those whom several pools answer together.
pub(super) type Viewed = (Share, ViewIx, Admitted);

/// The pools that answer, and whether they do together.
pub(super) type Answering = (bool, Box<[Viewed]>);

/// One name's pools in one family as some clients have them.
pub(super) struct View<'a> {
    pub(super) pools: &'a [PoolNow],
    pub(super) family: Family,
    /// Whether what probes say is ignored.
    pub(super) ignores_probes: bool,
    /// Whether the answer is the name of a pool's host, for which no address need be known.
    pub(super) is_by_name: bool,
    pub(super) occurring: StatusSet,
    /// Whether any of the name's pools stands by.
    pub(super) has_standby: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &Plan, ix: SteeredIx, pools: &'a [PoolNow], family: Family) -> Self {
        let spec = &plan.specs[ix.index()];
        let max_down = plan.config.process.safety.max_down;
        let view = Self {
            pools,
            family,
            ignores_probes: guard::is_exceeded(max_down, spec, pools, family),
            is_by_name: plan.steered(ix).types == SteeredTypes::Cname,
            occurring: StatusSet::default(),
            has_standby: spec
                .all_sites()
                .any(|site| pools[site.pool.index()].standby.is_some()),
        };
        let statuses = spec.all_sites().map(|site| view.status(site.pool));
        Self {
            occurring: statuses.collect(),
            ..view
        }
    }

    /// The pools that stand by for the clients under a rule.
    pub(super) fn standby(&self, spec: &Spec, rule: Option<u32>) -> Vec<Standby> {
        if !self.has_standby {
            return Vec::new();
        }
        let mut standby: Vec<Standby> = Vec::new();
        for site in spec.sites_of(rule) {
            let is_new = standby.iter().all(|known| known.pool != site.pool);
            let trickle = self.pools[site.pool.index()].standby.filter(|_| is_new);
            standby.extend(trickle.map(|trickle| Standby {
                pool: site.pool,
                trickle,
            }));
        }
        standby
    }

    pub(super) fn status(&self, pool: PoolIx) -> PoolStatus {
        match &self.pools[pool.index()] {
            pool if self.is_by_name && pool.endpoints.is_empty() && pool.forced.is_none() => {
                PoolStatus::Unproven
            }
            pool if self.ignores_probes && pool.is_taken_out(self.family) => PoolStatus::Up,
            pool => pool.status[self.family],
        }
    }

    /// Whether a pool is answered alike in both.
    pub(super) fn has_alike(&self, other: &Self, pool: PoolIx) -> bool {
        let usable = |view: &Self| view.pools[pool.index()].usable(self.family);
        self.status(pool) == other.status(pool) && usable(self) == usable(other)
    }
}

/// What clients of a view are answered, each pool with the first view that has it alike: equal answers are
/// equal values, whichever regions they are of.
pub(super) fn viewed(
    views: &[View<'_>],
    at: ViewIx,
    choice: &Choice<Serving>,
) -> Choice<Answering> {
    let first = |(share, admitted): (Share, Admitted)| {
        let mut before = 0..at;
        let alike = before.find(|before| views[*before].has_alike(&views[at], share.pool));
        (share, alike.unwrap_or(at), admitted)
    };
    match choice {
        Choice::NoData => Choice::NoData,
        Choice::Pools(Serving::All(members)) => {
            Choice::Pools((true, members.iter().copied().map(first).collect()))
        }
        Choice::Pools(Serving::One(shares)) => {
            let shares = shares.iter().map(|share| (*share, Admitted::ALL));
            Choice::Pools((false, shares.map(first).collect()))
        }
        Choice::ServFail => Choice::ServFail,
    }
}
