//! `Demand`: the answers that each name gave with each pool lately, for a look at what a change moves.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ix::PoolIx;
use crate::state::counters::AnswerCounters;
use crate::state::plan::Plan;

/// How often the counters are looked at. What is known is of one to two of these.
const INTERVAL: Duration = Duration::from_secs(60);

/// The most names whose shares are listed.
const MAX_NAMES: usize = 10;

/// The counters of some time ago.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    counters: Option<Arc<AnswerCounters>>,
    looked: Duration,
    /// Totals by slot, at the look before the last and at the last.
    before: Vec<u64>,
    last: Vec<u64>,
}

/// The clients of a pool, as the answers of this machine had them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moved {
    /// The share of the answers of its names that were with the pool, from 0 to 1; `None`: there were none.
    pub share: Option<f64>,
    /// The same of each name, those with most answers of the pool first.
    pub names: Vec<(Box<str>, f64)>,
}

impl Demand {
    /// Looks at a plan's counters if it is time to. To be called every second.
    pub fn tick(&mut self, plan: &Plan, now: Duration) {
        let counters = &plan.counters;
        let is_same = |known: &Arc<AnswerCounters>| Arc::ptr_eq(known, counters);
        if !self.counters.as_ref().is_some_and(is_same) {
            self.counters = Some(Arc::clone(counters));
            self.last = counters.by_slot().collect();
            self.before.clone_from(&self.last);
            self.looked = now;
        } else if now >= self.looked + INTERVAL {
            let last: Vec<u64> = counters.by_slot().collect();
            self.before = std::mem::replace(&mut self.last, last);
            self.looked = now;
        }
    }

    /// The clients of a pool, of a plan whose counters were looked at.
    pub fn of(&self, plan: &Plan, pool: PoolIx) -> Moved {
        let Some(counters) = &self.counters else {
            return Moved::default();
        };
        let now: Vec<u64> = counters.by_slot().collect();
        let lately = |slot: usize| now[slot].saturating_sub(self.before[slot]);
        let (mut names, mut all) = (Vec::new(), (0, 0));
        for (steered, at) in plan.config.pools.steered.iter().zip(0..) {
            let mut slots = counters.pools_of(at);
            let Some(own) = slots.clone().find(|slot| slot.1 == pool) else {
                continue;
            };
            let n: u64 = slots.by_ref().map(|(slot, _)| lately(slot)).sum();
            let n_own = lately(own.0);
            all = (all.0 + n_own, all.1 + n);
            if n_own > 0 {
                names.push((n_own, steered.owner.plain().into(), n_own as f64 / n as f64));
            }
        }
        names.sort_by_key(|(n, ..)| std::cmp::Reverse(*n));
        names.truncate(MAX_NAMES);
        Moved {
            share: (all.1 > 0).then(|| all.0 as f64 / all.1 as f64),
            names: names
                .into_iter()
                .map(|(_, name, share)| (name, share))
                .collect(),
        }
    }
}
