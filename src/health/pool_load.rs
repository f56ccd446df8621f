//! A pool's load: what its endpoints report to each vantage, and the vantages together.
//!
//! At one vantage it is the mean of the endpoints by weight, since weight is their share of the answers; those
//! without a fresh load are left out. Of the vantages it is the median, the higher one of two in the middle: one
//! vantage in three that is wrong decides nothing, and of two, the one that sees more load is believed.

use std::net::IpAddr;

use crate::base::prefix::Family;
use crate::health::health_table::Endpoint;
use crate::health::health_table::HealthTable;
use crate::health::load::Load;
use crate::health::observation::Moment;
use crate::health::streak::Streak;

impl HealthTable {
    /// The load of a pool, by the weights of its endpoints; `None`: no vantage has one that is fresh.
    pub fn pool_load(
        &self,
        pool: &str,
        weight_of: impl Fn(IpAddr) -> u32,
        now: Moment,
    ) -> Option<Load> {
        let now = self.at(now);
        // By vantage: the sums of loads times weights, and of weights.
        let mut sums = vec![(0_u64, 0_u64); self.vantages.len()];
        for at in self.positions.get(pool)?.values().flatten() {
            let endpoint = &self.endpoints[*at];
            let weight = u64::from(weight_of(endpoint.target.address));
            for (index, streak) in &endpoint.vantages {
                if let Some(load) = self.fresh_load(endpoint, *index, streak, now) {
                    let (loads, weights) = &mut sums[*index];
                    *loads += weight * u64::from(u32::from(load));
                    *weights += weight;
                }
            }
        }
        let seen = sums.into_iter().filter(|(_, weights)| *weights > 0);
        let mut seen: Vec<u64> = seen.map(|(loads, weights)| loads / weights).collect();
        seen.sort_unstable();
        let median = seen.get(seen.len() / 2)?;
        Some(Load::from(u32::try_from(*median).unwrap_or(u32::MAX)))
    }

    /// The load that an endpoint reported to a vantage, if that is fresh and the vantage is not blind.
    pub(super) fn fresh_load(
        &self,
        endpoint: &Endpoint,
        index: usize,
        streak: &Streak,
        now: Moment,
    ) -> Option<Load> {
        let (load, age) = streak.load(now)?;
        let family = Family::of(endpoint.target.address);
        let is_fresh = age <= self.limits.max_age(&endpoint.target.monitor);
        (is_fresh && !self.vantages[index].sight[family].is_blind()).then_some(load)
    }
}
