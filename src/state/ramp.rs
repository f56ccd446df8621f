//! `Ramps`: pools that probes took out and brought back get their clients back in steps.
//!
//! A ramp is of one pool and family. It begins when the pool's endpoints are up again after they were down,
//! and at no other time: not after an override, a start, or a first proof. A failed probe sends it back to
//! its first step. No clock: times come in, and shares change only in [`Ramps::advance`],
//! [`Ramps::probe_failed`] and [`Ramps::follow`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::state::evidence::Evidence;
use crate::state::evidence::PoolNow;
use crate::state::guard;
use crate::state::plan::Plan;
use crate::steer::PoolStatus;
use crate::steer::spread::Admitted;

/// The share of its clients that a pool takes in each step; all of them behind the last. Each lasts as
/// long as the others.
const STEPS: [Admitted; 3] = [
    Admitted::percent(10),
    Admitted::percent(25),
    Admitted::percent(50),
];

/// The pools and families with a ramp under way.
pub type UnderWay = BTreeMap<Box<str>, PerFamily<bool>>;

/// The state machine of all pools.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ramps {
    /// The time of the latest event.
    now: Duration,
    /// By name, so that a ramp outlives a reload; those that take all of their clients are left out.
    pools: BTreeMap<Box<str>, PerFamily<Phase>>,
}

/// Where a pool is in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// Probes took it out.
    Out,
    /// It is back since then, and takes all of its clients after `length`.
    Ramping { since: Duration, length: Duration },
    /// It takes all of its clients.
    #[default]
    Whole,
}

impl Ramps {
    /// Goes on after a restart: the ramps that were under way begin again at their first step, since nobody
    /// probed meanwhile.
    pub fn resume(under_way: &UnderWay) -> Self {
        let phase = |is_under_way| match is_under_way {
            true => Phase::Out,
            false => Phase::Whole,
        };
        let pools = under_way.iter();
        Self {
            now: Duration::ZERO,
            pools: pools
                .map(|(pool, families)| (pool.clone(), families.map(phase)))
                .collect(),
        }
    }

    /// The ramps to go on with after a restart.
    pub fn under_way(&self) -> UnderWay {
        let is_under_way = |phase| matches!(phase, Phase::Ramping { .. });
        let pools = self.pools.iter();
        pools
            .map(|(pool, phases)| (pool.clone(), phases.map(is_under_way)))
            .filter(|(_, families)| families.iter().any(|is_under_way| *is_under_way))
            .collect()
    }

    /// Goes on to a time; returns whether the share of any pool changes.
    pub fn advance(&mut self, now: Duration) -> bool {
        let before = std::mem::replace(&mut self.now, now);
        let mut phases = self.pools.values().flat_map(PerFamily::iter);
        phases.any(|phase| phase.admitted(before) != phase.admitted(now))
    }

    /// How long a pool's share stays what it is, if no probe fails; `None`: no ramp is under way.
    pub fn next_step(&self, pool: &str, family: Family) -> Option<Duration> {
        self.pools.get(pool)?[family].next_step(self.now)
    }

    /// Takes note that a pool was out although its endpoints were up, so that it ramps when it comes back.
    pub fn was_out(&mut self, pool: &str) {
        let out = PerFamily {
            v4: Phase::Out,
            v6: Phase::Out,
        };
        self.pools.insert(pool.into(), out);
    }

    /// Takes a failed probe: a ramp that is under way starts over. Returns whether one is.
    pub fn probe_failed(&mut self, pool: &str, family: Family) -> bool {
        match self.pools.get_mut(pool).map(|phases| &mut phases[family]) {
            Some(Phase::Ramping { since, .. }) => {
                *since = self.now;
                true
            }
            _ => false,
        }
    }

    /// Takes what the endpoints of a plan's pools say now; returns the share of its clients that each pool
    /// takes.
    pub fn follow(&mut self, plan: &Plan, evidence: &Evidence) -> Vec<PerFamily<Admitted>> {
        let config = &plan.config.pools.pools;
        if config.iter().all(|pool| pool.ramp.is_zero()) {
            self.pools.clear();
            return Vec::new();
        }
        let mut before = std::mem::take(&mut self.pools);
        let pools = PoolNow::all(plan, evidence);
        let unbelieved = PerFamily::from_fn(|family| unbelieved(plan, &pools, family));
        let pools = config.iter().zip(&pools).zip(0..);
        let admitted = pools.map(|((config, now), ix)| {
            let before = before.remove(&config.name).unwrap_or_default();
            let phases = PerFamily::from_fn(|family| match config.ramp {
                Duration::ZERO => Phase::Whole,
                _ if unbelieved[family].contains(&PoolIx(ix)) => Phase::Whole,
                length => before[family].after(now.judged[family], length, self.now),
            });
            let admitted = phases.map(|phase| phase.admitted(self.now));
            if phases != PerFamily::default() {
                self.pools.insert(config.name.clone(), phases);
            }
            admitted
        });
        admitted.collect()
    }
}

/// The pools that serve some name although probes say that they are down: they have their clients.
fn unbelieved(plan: &Plan, pools: &[PoolNow], family: Family) -> FxHashSet<PoolIx> {
    let max_down = plan.config.process.safety.max_down;
    // Thousands of names may share a spec.
    let mut looked_at = FxHashSet::default();
    let specs = plan.specs.iter();
    let specs = specs.filter(|spec| looked_at.insert(Arc::as_ptr(spec)));
    specs
        .filter(|spec| guard::is_exceeded(max_down, spec, pools, family))
        .flat_map(|spec| guard::pools_of(spec))
        .collect()
}

impl Phase {
    fn after(self, judged: PoolStatus, length: Duration, now: Duration) -> Self {
        match (judged, self) {
            (PoolStatus::Down, _) => Self::Out,
            (PoolStatus::Up, Self::Out) => Self::Ramping { since: now, length },
            (PoolStatus::Absent, _) => Self::Whole,
            (_, Self::Ramping { since, .. }) if now.saturating_sub(since) < length => {
                Self::Ramping { since, length }
            }
            (_, Self::Ramping { .. }) => Self::Whole,
            (_, same) => same,
        }
    }

    fn admitted(self, now: Duration) -> Admitted {
        let Self::Ramping { since, length } = self else {
            return Admitted::ALL;
        };
        let (since, n_steps) = (now.saturating_sub(since), STEPS.len() as u128);
        let step = since.as_nanos() * n_steps / length.as_nanos().max(1);
        let step = STEPS.get(usize::try_from(step).unwrap_or(usize::MAX));
        step.copied().unwrap_or_default()
    }

    fn next_step(self, now: Duration) -> Option<Duration> {
        let Self::Ramping { since, length } = self else {
            return None;
        };
        let ends = (1..=STEPS.len() as u32).map(|n| since + length * n / STEPS.len() as u32);
        ends.map(|end| end.saturating_sub(now))
            .find(|remaining| !remaining.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::health::Health;
    use crate::health::overrides::Forced;
    use crate::state::fixture;

    const POOLS: &str = r#"
[monitor.ready]
type = "tcp"
port = 80
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1", "fd00::1"]
monitor = "ready"
ramp = "3m"
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.0.2"]
monitor = "ready"
"#;

    struct Simulation {
        plan: Plan,
        ramps: Ramps,
        evidence: Evidence,
    }

    impl Simulation {
        fn new(pools: &str) -> Self {
            Self {
                plan: fixture::plan("", pools, &[], fixture::embedded_atlas()),
                ramps: Ramps::default(),
                evidence: Evidence {
                    endpoints: vec![vec![Up; 2], vec![Up]],
                    ..Evidence::default()
                },
            }
        }

        /// The percent of its clients that pool a takes in IPv4, and in IPv6.
        fn admitted(&mut self) -> (f64, f64) {
            let admitted = self.ramps.follow(&self.plan, &self.evidence);
            self.evidence.admitted = admitted;
            let pools = PoolNow::all(&self.plan, &self.evidence);
            let percent = pools[0].admitted.map(|admitted| admitted.ratio() * 100.0);
            (percent.v4, percent.v6)
        }

        fn v4(&mut self, health: Health) -> f64 {
            self.evidence.endpoints[0][0] = health;
            self.admitted().0
        }

        /// Whether a share changes by then.
        fn at(&mut self, seconds: u64) -> bool {
            self.ramps.advance(Duration::from_secs(seconds))
        }
    }

    use Health::Down;
    use Health::Unknown;
    use Health::Up;

    #[test]
    fn a_pool_that_was_down_gets_its_clients_back_in_steps() {
        let mut now = Simulation::new(POOLS);
        assert!(!now.at(10));
        assert_eq!(now.admitted(), (100.0, 100.0), "it was up at the start");
        assert_eq!(now.v4(Down), 100.0, "as far as it is asked at all");
        assert!(!now.at(100));
        assert_eq!(now.v4(Up), 10.0);
        for (seconds, changes, percent) in [
            (159, false, 10.0),
            (160, true, 25.0),
            (219, false, 25.0),
            (220, true, 50.0),
            (279, false, 50.0),
            (280, true, 100.0),
            (281, false, 100.0),
        ] {
            assert_eq!(now.at(seconds), changes, "{seconds}");
            assert_eq!(
                now.admitted(),
                (percent, 100.0),
                "{seconds}: IPv6 was never down"
            );
        }
        assert_eq!(now.ramps.pools, BTreeMap::new());
    }

    #[test]
    fn a_failed_probe_starts_it_over_and_down_takes_it_out() {
        let mut now = Simulation::new(POOLS);
        assert!(
            !now.ramps.probe_failed("a", Family::V4),
            "no ramp is under way"
        );
        now.v4(Down);
        now.v4(Up);
        assert!(now.at(130));
        assert_eq!(now.v4(Up), 50.0);
        assert!(!now.ramps.probe_failed("a", Family::V6));
        assert!(!now.ramps.probe_failed("b", Family::V4));
        assert!(now.ramps.probe_failed("a", Family::V4));
        assert_eq!(now.v4(Up), 10.0);
        assert!(!now.at(189));
        assert!(now.at(190));
        assert_eq!(now.v4(Up), 25.0);
        now.v4(Down);
        now.at(300);
        assert_eq!(now.v4(Up), 10.0);
    }

    #[test]
    fn nothing_else_starts_one() {
        for (row, health, forced) in [
            ("unproven", [Unknown, Up], [None, None]),
            ("drained", [Up, Up], [Some(Forced::Drain), None]),
            ("forced down", [Up, Up], [Some(Forced::Down), None]),
            (
                "forced up over a verdict",
                [Up, Down],
                [None, Some(Forced::Up)],
            ),
        ] {
            let mut now = Simulation::new(POOLS);
            now.evidence.unproven = vec![PoolStatus::Unproven];
            for (health, forced) in health.into_iter().zip(forced) {
                now.evidence.forced = vec![forced];
                assert_eq!(now.v4(health), 100.0, "{row}");
            }
        }
        // It goes on under an override, and is not asked.
        let mut now = Simulation::new(POOLS);
        now.v4(Down);
        assert_eq!(now.v4(Up), 10.0);
        now.evidence.forced = vec![Some(Forced::Up)];
        assert_eq!(now.admitted().0, 100.0);
        now.at(60);
        now.evidence.forced = vec![None];
        assert_eq!(now.admitted().0, 25.0);
    }

    #[test]
    fn a_pool_whose_probes_were_ignored_kept_its_clients() {
        let process = "[safety]\nmax_down = \"50%\"\n";
        let steer = "[steer.\"app.example.com\"]\npools = [\"a\", \"b\"]\n";
        let zone = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
        let zones = [("example.com", zone)];
        let text = format!("{POOLS}{steer}");
        let mut now = Simulation::new(POOLS);
        now.plan = fixture::plan(process, &text, &zones, fixture::embedded_atlas());
        now.evidence.endpoints[1][0] = Down;
        now.v4(Down);
        assert_eq!(now.v4(Up), 100.0, "both were down");
        now.evidence.endpoints[1][0] = Up;
        now.v4(Down);
        assert_eq!(now.v4(Up), 10.0, "one was");
    }

    #[test]
    fn it_outlives_a_reload() {
        let mut now = Simulation::new(POOLS);
        now.v4(Down);
        now.v4(Up);
        now.at(60);
        // Another length: as if it had been so from the start.
        for (ramp, percent) in [("3m", 25.0), ("2m", 25.0), ("90s", 50.0), ("1m", 100.0)] {
            let text = POOLS.replace("3m", ramp);
            let mut reloaded = Simulation::new(&text);
            reloaded.ramps = now.ramps.clone();
            assert_eq!(reloaded.admitted().0, percent, "{ramp}");
        }
        let mut without = Simulation::new(&POOLS.replace("3m", "0s"));
        without.ramps = now.ramps.clone();
        assert_eq!(without.admitted().0, 100.0);
        assert_eq!(without.ramps.pools, BTreeMap::new());
    }

    #[test]
    fn it_begins_again_after_a_restart() {
        let mut now = Simulation::new(POOLS);
        now.v4(Down);
        assert_eq!(now.ramps.under_way(), UnderWay::new());
        now.v4(Up);
        now.at(130);
        let under_way = now.ramps.under_way();
        assert_eq!(under_way.len(), 1);
        let mut restarted = Simulation::new(POOLS);
        restarted.ramps = Ramps::resume(&under_way);
        assert_eq!(restarted.admitted(), (10.0, 100.0));
        restarted.at(180);
        assert_eq!(restarted.admitted(), (100.0, 100.0));
    }
}
