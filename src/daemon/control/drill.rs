//! Drills: what `state/drill.rs` asks for is put in force, sent to the fleet, logged and counted.

use std::net::IpAddr;
use std::time::Instant;

use crate::base::ix::PoolIx;
use crate::daemon::control::Control;
use crate::daemon::control::event::Event;
use crate::daemon::control::evidence::Effects;
use crate::daemon::control::evidence::Evidence;
use crate::daemon::control::evidence::Urgency;
use crate::health::observation::Moment;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::live::request::ChangeError;
use crate::live::shared::Owned;
use crate::state::drill::DrillChange;
use crate::state::drill::Drills;
use crate::state::drill::Steps;
use crate::state::drill_checks::Known;
use crate::state::drill_checks::UnfitVantage;
use crate::state::snapshot::Snapshot;

impl Evidence {
    /// Goes on with the drills of the last run.
    pub fn drill_from(&mut self, drills: Owned<Drills>) {
        self.drills = drills;
    }

    /// Whether a drill is in force, which must end as soon as anything is wrong.
    pub fn is_drilling(&self) -> bool {
        let overrides = self.overrides.read();
        let mut pools = overrides.iter();
        pools.any(|(_, override_)| override_.state == Forced::Drill)
    }

    /// Begins and ends drills. To be called every second, and after every event while one is in force.
    pub fn drill(&mut self, served: &Snapshot, now: Moment) -> Effects {
        self.demand.tick(&served.plan, now.elapsed);
        let steps = self.judge(served, now, Drills::tick);
        self.take(steps, now)
    }

    /// Begins a drill by hand.
    pub(super) fn begin_drill(
        &mut self,
        pool: PoolIx,
        override_: Override,
        by: &str,
        served: &Snapshot,
        now: Moment,
    ) -> Result<Effects, ChangeError> {
        let begun = self.judge(served, now, |drills, known| {
            drills.begin(pool, &override_, by, known)
        });
        let begun = begun.map_err(ChangeError::NotDrilled)?;
        let name = served.plan.config.pools.pools[pool.index()].name.clone();
        let steps = Steps {
            begin: Some((name, override_)),
            end: Vec::new(),
            changes: vec![begun],
        };
        Ok(self.take(steps, now))
    }

    /// Ends the drills that this machine began, since the process ends.
    pub fn stop_drills(&mut self, served: &Snapshot, now: Moment) -> Effects {
        let steps = self.judge(served, now, |drills, known| drills.stop(known));
        self.take(steps, now)
    }

    /// What is kept over a restart.
    pub(super) fn saved_drills(&self) -> Drills {
        self.drills.read().clone()
    }

    fn judge<T>(
        &mut self,
        served: &Snapshot,
        now: Moment,
        act: impl FnOnce(&mut Drills, &Known<'_>) -> T,
    ) -> T {
        let node = self.node();
        let plan = &served.plan;
        self.companions.follow(&plan.config);
        let (health_table, overrides) = (self.health_table.read(), self.overrides.read());
        let load_of = |pool: PoolIx| {
            let endpoints = &served.pools[pool.index()].endpoints;
            let weight_of = |address: IpAddr| {
                let mut endpoints = endpoints.iter();
                let found = endpoints.find(|endpoint| endpoint.address == address);
                found.map_or(0, |endpoint| endpoint.weight)
            };
            let name = &plan.config.pools.pools[pool.index()].name;
            health_table.pool_load(name, weight_of, now)
        };
        let demand = &self.demand;
        let known = Known {
            snapshot: served,
            overrides: &overrides,
            companions: &self.companions,
            unfit: UnfitVantage::first(&health_table, now),
            load_of: &load_of,
            moved_from: &|pool| demand.of(plan, pool),
            is_ready: self.is_ready(),
            node: &node,
            fleet: self.fleet.as_ref().map(|member| member.of_drills(now)),
            now: now.unix(),
        };
        act(&mut self.drills.write(), &known)
    }

    /// Writes the registers that steps ask for.
    fn take(&mut self, steps: Steps, now: Moment) -> Effects {
        let mut effects = Effects::default();
        let node = self.node();
        let ended = steps.end.into_iter().map(|pool| (pool, None));
        let begun = steps.begin.map(|(pool, override_)| (pool, Some(override_)));
        for (pool, value) in ended.chain(begun) {
            let register = self.overrides.write().drill(&pool, value, &node, now);
            effects.outgoing.extend(self.written(&register, now));
            effects.publish = Urgency::Now;
            effects.save_overrides = true;
        }
        // Results are kept with the overrides.
        effects.save_overrides |= !steps.changes.is_empty();
        effects
            .events
            .extend(steps.changes.into_iter().map(Event::Drill));
        effects
    }
}

impl Control {
    /// Goes on with drills.
    pub(super) fn drill(&mut self) {
        let (started, now) = (Instant::now(), self.live.clock.now());
        let effects = self.evidence.drill(self.publish.served(), now);
        self.carry_out_drills(effects, started);
    }

    /// Ends the drills of this machine, as the process is to end.
    pub(super) fn stop_drills(&mut self) {
        let (started, now) = (Instant::now(), self.live.clock.now());
        let effects = self.evidence.stop_drills(self.publish.served(), now);
        self.carry_out_drills(effects, started);
    }

    fn carry_out_drills(&mut self, effects: Effects, started: Instant) {
        for event in &effects.events {
            if let Event::Drill(DrillChange::Ended { pool, outcome }) = event {
                self.live.meters.drilled(pool, outcome.result.as_str());
            }
        }
        self.carry_out(effects, None, started);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::daemon::control::evidence::Start;
    use crate::daemon::control::evidence::health_table;
    use crate::health::failure::ProbeFailure;
    use crate::health::observation::Observation;
    use crate::health::observation::ProbeResult;
    use crate::health::observation::Target;
    use crate::health::overrides::Overrides;
    use crate::live::meters::Meters;
    use crate::state::fixture;
    use crate::state::membership::Membership;
    use crate::state::plan::Plan;
    use crate::steer::spread::Admitted;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    const POOLS: &str = r#"
[monitor.ready]
type = "tcp"
port = 80
failure_threshold = 1
[pool.a]
location = [0, 0]
endpoints = ["10.0.0.1"]
monitor = "ready"
ramp = "3m"
[pool.b]
location = [0, 90]
endpoints = ["10.0.0.2"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a", "b"]
"#;

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(seconds),
            unix_ms: (1_000 + seconds) * 1_000,
        }
    }

    struct World {
        plan: Arc<Plan>,
        evidence: Evidence,
    }

    impl World {
        fn new() -> Self {
            let zones = [("example.com", ZONE)];
            let process = "[health]\nvantage = \"v\"\n";
            let plan = fixture::plan(process, POOLS, &zones, fixture::embedded_atlas());
            let health_table = Owned::new(health_table(&plan, &Membership::default()));
            let overrides = Owned::new(Overrides::default());
            let mut world = Self {
                evidence: Evidence::new(health_table, overrides, &Start::default()),
                plan: Arc::new(plan),
            };
            world.probe(0, ProbeResult::Success);
            world
        }

        /// All endpoints.
        fn probe(&mut self, seconds: u64, of_b: ProbeResult) {
            let config = &self.plan.config.pools;
            let results = [ProbeResult::Success, of_b];
            let observations = config
                .pools
                .iter()
                .zip(results)
                .map(|(pool, result)| Observation {
                    target: Arc::new(Target::new(
                        (&*pool.name).into(),
                        pool.endpoints[0].address,
                        Arc::new(config.monitors[0].clone()),
                        true,
                    )),
                    vantage: "v".into(),
                    result,
                    took: Duration::ZERO,
                    load: None,
                });
            let observations: Vec<_> = observations.collect();
            let meters = Meters::new();
            self.evidence.observe(&observations, at(seconds), &meters);
        }

        fn served(&mut self) -> Snapshot {
            let evidence = self.evidence.of(&self.plan);
            Snapshot::build(Arc::clone(&self.plan), &evidence, 1, None)
        }

        fn order(&mut self, seconds: u64) -> Result<Effects, ChangeError> {
            let drill = Override {
                state: Forced::Drill,
                since: at(seconds).unix(),
                begins: None,
                until: Some(at(seconds).unix() + 60),
                reason: "".into(),
            };
            let served = self.served();
            self.evidence
                .set_override("a", drill, false, "ops", &served, at(seconds))
        }

        fn tick(&mut self, seconds: u64) -> Effects {
            self.evidence.tick(at(seconds));
            let served = self.served();
            self.evidence.drill(&served, at(seconds))
        }

        fn of_a(&mut self) -> (Option<Forced>, Admitted) {
            let now = &self.served().pools[0];
            (now.forced, now.admitted.v4)
        }
    }

    #[test]
    fn a_pool_comes_back_by_its_ramp_after_a_drill() {
        let mut world = World::new();
        let effects = world.order(1).expect("nothing speaks against it");
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_overrides);
        assert!(matches!(
            &effects.events[..],
            [Event::Drill(DrillChange::Begun { .. })]
        ));
        assert_eq!(world.of_a().0, Some(Forced::Drill));
        assert!(world.evidence.is_drilling());
        world.probe(30, ProbeResult::Success);
        assert_eq!(world.tick(60), Effects::default());
        let effects = world.tick(61);
        assert!(matches!(
            &effects.events[..],
            [Event::Drill(DrillChange::Ended { .. })]
        ));
        assert!(effects.save_overrides, "the result is saved");
        assert_eq!(world.of_a(), (None, Admitted::percent(10)));
        assert!(!world.evidence.is_drilling());
    }

    #[test]
    fn a_pool_is_back_at_once_when_another_fails() {
        let mut world = World::new();
        world.order(1).expect("nothing speaks against it");
        let failure = ProbeFailure::Protocol("response is not HTTP/1.1".into());
        world.probe(30, ProbeResult::Failure(failure));
        let served = world.served();
        let effects = world.evidence.drill(&served, at(30));
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_overrides);
        assert_eq!(
            world.of_a(),
            (None, Admitted::ALL),
            "its clients have nowhere else to go"
        );
        let refused = world.order(31);
        assert!(
            matches!(refused, Err(ChangeError::NotDrilled(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn a_process_that_stops_ends_its_drill() {
        let mut world = World::new();
        world.order(1).expect("nothing speaks against it");
        let served = world.served();
        let effects = world.evidence.stop_drills(&served, at(2));
        assert!(effects.save_overrides);
        assert_eq!(world.of_a(), (None, Admitted::ALL));
        let kept = world.evidence.saved_drills();
        assert!(kept.of("a").is_some_and(|record| record.last.is_some()));
    }
}
