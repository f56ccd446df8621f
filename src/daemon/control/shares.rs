//! The shares that pools take of their clients by their load, and what of the evidence outlives a restart.

use std::net::IpAddr;
use std::sync::Arc;

use crate::daemon::control::evidence::Effects;
use crate::daemon::control::evidence::Evidence;
use crate::daemon::control::evidence::Urgency;
use crate::health::observation::Moment;
use crate::health::report::Saved;
use crate::state::evidence::LastUp;
use crate::state::ramp::UnderWay;
use crate::state::spills::PoolShares;

impl Evidence {
    /// Goes on with the shares of pools that go by their load: by the loads of all vantages, or as the machine of
    /// the fleet that leads has them.
    pub(super) fn spill(&mut self, now: Moment, effects: &mut Effects) {
        let leader = self.fleet.as_ref().and_then(|member| member.led(now));
        let health_table = self.health_table.read();
        let load = |pool: &str, weight_of: &dyn Fn(IpAddr) -> u32| {
            health_table.pool_load(pool, weight_of, now)
        };
        let has_changed = self.spills.advance(load, leader.as_ref(), now.elapsed);
        drop(health_table);
        if has_changed {
            effects.publish = Urgency::Now;
            effects.save_verdicts = true;
        }
        if let Some(member) = &mut self.fleet {
            member.share(self.spills.shares());
        }
    }

    /// Everything else that is worth keeping over a restart.
    pub fn verdicts(&self, now: Moment) -> (Saved, Arc<LastUp>, UnderWay, PoolShares) {
        let saved = self.health_table.read().saved(now);
        let last_up = Arc::clone(&self.last_up);
        (saved, last_up, self.ramps.under_way(), self.spills.saved())
    }
}
