//! `Snapshot`: everything that an answer depends on, immutable once published.
//!
//! It joins the plan (what could be answered: compiled in seconds, on an edit) with the evidence (what
//! is up: joined in well under a millisecond per steered name, on a health flip). Parts that a change
//! does not touch are shared with the snapshot before.

use std::sync::Arc;

use crate::base::health::Health;
use crate::base::prefix::Family;
use crate::health::overrides::Forced;
use crate::state::answers::FamilyAnswers;
use crate::state::plan::Plan;
use crate::steer::PoolStatus;

/// What is served now.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts publications; each snapshot has its own number.
    pub generation: u64,
    /// What could be answered.
    pub plan: Arc<Plan>,
    /// What is up, by `PoolIx`.
    pub pools: Box<[PoolNow]>,
    /// What each steered name answers, by `SteeredIx`.
    pub steered: Box<[SteeredNow]>,
    /// The pools that were up when any pool of a name last was, by `SteeredIx`, [`Family::ix`] and
    /// `PoolIx`.
    pub(super) last_up: Box<[[Arc<[bool]>; 2]]>,
}

/// One pool as the evidence has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNow {
    /// The operator's word, if there is one.
    pub forced: Option<Forced>,
    /// Each endpoint's health, by `EndpointIx`.
    pub endpoints: Box<[Health]>,
    /// What the pool is worth in each family, by [`Family::ix`].
    pub(super) standing: [PoolStatus; 2],
}

impl PoolNow {
    /// What the pool is worth in a family.
    pub fn standing(&self, family: Family) -> PoolStatus {
        self.standing[family.ix()]
    }

    /// The pool's health in a family, for people; `None` if it has no endpoint there.
    pub fn health(&self, plan: &Plan, pool: usize, family: Family) -> Option<Health> {
        let endpoints = &plan.config.pools.pools[pool].endpoints;
        let mut judged = endpoints
            .iter()
            .zip(&self.endpoints)
            .filter(|(endpoint, _)| Family::of(endpoint.address) == family)
            .map(|(_, health)| *health)
            .peekable();
        judged.peek()?;
        Some(match self.standing(family) {
            PoolStatus::Down => Health::Down,
            _ if judged.all(|health| health == Health::Unknown) => Health::Unknown,
            _ => Health::Up,
        })
    }
}

/// One steered name now: what a query needs, in as little memory as it can be, as there may be very many.
#[derive(Debug)]
pub struct SteeredNow {
    /// By [`Family::ix`]; shared with the snapshot before where nothing changed, and by names that are
    /// answered alike.
    pub families: [Arc<FamilyAnswers>; 2],
    /// Where the name's counters start.
    pub counters: u32,
}
