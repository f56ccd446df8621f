//! What is known of pools and endpoints now: the health table and the operators' overrides. No clock and
//! no disk: observations, requests and times come in, `Effects` go out.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::health::Health;
use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::model::Endpoint;
use crate::config::model::Pool;
use crate::daemon::control::event::Event;
use crate::fleet::link::Outgoing;
use crate::fleet::member::Member;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::health_table::Limits;
use crate::health::monitor::Unproven;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::WitnessObservation;
use crate::health::overrides::Forced;
use crate::health::overrides::Overrides;
use crate::health::vantage::VantageChange;
use crate::live::fleet::FleetView;
use crate::live::meters::Meters;
use crate::live::shared::Owned;
use crate::probe::pairs;
use crate::probe::witness::witness_pairs;
use crate::state::demand::Demand;
use crate::state::drill::Drills;
use crate::state::drill_checks::Companions;
use crate::state::evidence;
use crate::state::evidence::LastUp;
use crate::state::evidence::PoolNow;
use crate::state::horizon::Change;
use crate::state::horizon::Horizons;
use crate::state::horizon::Sources;
use crate::state::membership::Membership;
use crate::state::plan::Plan;
use crate::state::ramp::Ramps;
use crate::state::spills::Spills;
use crate::steer::PoolStatus;

/// A health table for a plan: every endpoint that has a monitor, by the vantages that can reach it.
pub fn health_table(plan: &Plan, members: &Membership) -> HealthTable {
    let process = &plan.config.process;
    let pairs = pairs(&plan.config.pools, members, &process.vantages);
    let watched = pairs.into_iter().map(|pair| (pair.target, pair.vantage));
    let limits = Limits {
        report_max_age: process.report_max_age,
        blind_max: process.blind_max,
    };
    let regions = plan
        .regions
        .iter()
        .map(|region| region.vantages.clone().into());
    let witnesses = witness_pairs(process).into_iter();
    let witnesses = witnesses.map(|pair| (pair.vantage, pair.witness));
    HealthTable::new(watched, limits)
        .with_witnesses(witnesses)
        .with_regions(regions.collect())
}

/// What the loop is to do after a change of evidence.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// Whether a snapshot is to be built and published.
    pub publish: Urgency,
    /// Whether verdicts are to be saved.
    pub save_verdicts: bool,
    /// Whether overrides are to be saved.
    pub save_overrides: bool,
    /// What to send to the fleet.
    pub outgoing: Vec<Outgoing>,
    /// What to log.
    pub events: Vec<Event>,
}

/// How soon a snapshot must follow a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Not at all.
    #[default]
    No,
    /// With the next tick: only what is shown has changed.
    Soon,
    /// Now: answers have changed.
    Now,
}

/// The state machine.
#[derive(Debug)]
pub struct Evidence {
    pub(super) health_table: Owned<HealthTable>,
    pub(super) overrides: Owned<Overrides>,
    /// `None`: a single machine.
    pub(super) fleet: Option<Member>,
    pub(super) fleet_view: Owned<Option<FleetView>>,
    members: Membership,
    pub(super) last_up: Arc<LastUp>,
    pub(super) ramps: Ramps,
    horizons: Horizons,
    pub(super) spills: Spills,
    pub(super) drills: Owned<Drills>,
    pub(super) demand: Demand,
    pub(super) companions: Companions,
    /// Whether the first round of probes is in.
    is_ready: bool,
    /// Whether the process began without verdicts of a run before.
    is_fresh_start: bool,
}

impl Evidence {
    /// Takes over the evidence that the first snapshot was built from.
    pub fn new(
        health_table: Owned<HealthTable>,
        overrides: Owned<Overrides>,
        start: &Start,
    ) -> Self {
        let is_ready = !health_table.read().is_awaiting();
        Self {
            health_table,
            overrides,
            fleet: None,
            fleet_view: Owned::default(),
            members: start.members.clone(),
            last_up: Arc::clone(&start.last_up),
            ramps: start.ramps.clone(),
            horizons: start.horizons.clone(),
            spills: start.spills.clone(),
            drills: Owned::default(),
            demand: Demand::default(),
            companions: Companions::default(),
            is_ready,
            is_fresh_start: start.is_fresh,
        }
    }

    /// Whether the first round of probes is in.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Takes finished probes, as many as have come; one publication follows for all of them.
    pub fn observe(
        &mut self,
        observations: &[Observation],
        now: Moment,
        meters: &Meters,
    ) -> Effects {
        let mut effects = self.advance(now);
        let mut health_table = self.health_table.write();
        for observation in observations {
            // A probe that was in flight over a reload must not bring back a pool's series.
            if health_table.watches(observation) {
                meters.probe(observation);
            }
            for flip in health_table.observe(observation, now) {
                effects.flipped(&flip, self.urgency(&flip));
            }
            let target = &observation.target;
            let family = Family::of(target.address);
            if matches!(observation.result, ProbeResult::Failure(_))
                && health_table.has_vote(observation, now)
                && self.ramps.probe_failed(&target.pool, family)
            {
                effects.publish = Urgency::Now;
                let pool = Arc::clone(&target.pool);
                effects.events.push(Event::RampStartsOver { pool, family });
            }
        }
        effects.flipped_in_regions(&mut health_table);
        let overrides = self.overrides.read();
        let sources = Sources {
            health_table: &health_table,
            overrides: &overrides,
            ramps: &self.ramps,
            spills: &self.spills,
        };
        for observation in observations {
            let pool = &observation.target.pool;
            effects.horizon_changed(self.horizons.check(pool, sources));
        }
        drop(overrides);
        if !self.is_ready && !health_table.is_awaiting() {
            self.is_ready = true;
            effects.events.push(Event::Ready);
        }
        drop(health_table);
        effects.outgoing = self.changes_for_fleet(now);
        effects
    }

    /// Takes one attempt to reach a witness.
    pub(super) fn observe_witness(
        &mut self,
        observation: &WitnessObservation,
        now: Moment,
    ) -> Effects {
        let mut effects = self.advance(now);
        let flips = self.health_table.write().observe_witness(observation, now);
        for flip in flips {
            effects.flipped(&flip, self.urgency(&flip));
        }
        effects
    }

    /// Goes on with the ramps.
    fn advance(&mut self, now: Moment) -> Effects {
        let mut effects = Effects::default();
        self.horizons.advance(now);
        if self.ramps.advance(now.elapsed) {
            effects.publish = Urgency::Now;
        }
        effects
    }

    /// How soon a flip must be served. In the first round of probes all pools count as up, so that an
    /// endpoint that is found to be changes nothing but what is shown.
    pub(super) fn urgency(&self, flip: &Flip) -> Urgency {
        match flip.to {
            Health::Up | Health::Unknown
                if flip.from != Health::Down && self.is_fresh_start && !self.is_ready =>
            {
                Urgency::Soon
            }
            _ => Urgency::Now,
        }
    }

    /// Lets old reports and overrides expire, and ramps and spills go on.
    pub fn tick(&mut self, now: Moment) -> Effects {
        let mut effects = self.advance(now);
        let mut health_table = self.health_table.write();
        for flip in health_table.tick(now) {
            effects.flipped(&flip, self.urgency(&flip));
        }
        effects.flipped_in_regions(&mut health_table);
        let changes = health_table.take_changes();
        drop(health_table);
        effects.save_verdicts |= changes.iter().any(VantageChange::is_saved);
        effects
            .events
            .extend(changes.into_iter().map(Event::Vantage));
        self.go_on_with_overrides(now, &mut effects);
        self.spill(now, &mut effects);
        self.tick_fleet(now, &mut effects);
        let (health_table, overrides) = (self.health_table.read(), self.overrides.read());
        effects.horizon_changed(self.horizons.check_all(Sources {
            health_table: &health_table,
            overrides: &overrides,
            ramps: &self.ramps,
            spills: &self.spills,
        }));
        effects
    }

    /// Goes on with these endpoints, which `next` lists; what is known of those that stay is kept.
    pub fn adopt(&mut self, members: Membership, mut next: HealthTable) {
        self.members = members;
        let mut health_table = self.health_table.write();
        next.adopt(&health_table);
        *health_table = next;
        self.is_ready |= health_table.n_awaited() == 0;
    }

    /// What a snapshot is built from.
    pub fn of(&mut self, plan: &Plan) -> evidence::Evidence {
        let mut start = Start {
            members: self.members.clone(),
            last_up: Arc::clone(&self.last_up),
            ramps: std::mem::take(&mut self.ramps),
            horizons: std::mem::take(&mut self.horizons),
            spills: std::mem::take(&mut self.spills),
            is_fresh: self.is_fresh_start && !self.is_ready,
        };
        let (health_table, overrides) = (self.health_table.read(), self.overrides.read());
        let evidence = of(plan, &health_table, &overrides, &mut start);
        (self.ramps, self.spills) = (start.ramps, start.spills);
        self.horizons = start.horizons;
        self.last_up = Arc::clone(&evidence.last_up);
        evidence
    }

    /// What is worth saving: copies, so that nobody waits for the disk.
    pub fn overrides(&self) -> Overrides {
        self.overrides.read().clone()
    }
}

/// What evidence begins with.
#[derive(Debug, Default)]
pub struct Start {
    /// Which endpoints the pools have.
    pub members: Membership,
    /// The pools that were up last, in the run before.
    pub last_up: Arc<LastUp>,
    /// The ramps under way.
    pub ramps: Ramps,
    /// For how long pools are known to stay as they are.
    pub horizons: Horizons,
    /// The shares of pools that go by their load.
    pub spills: Spills,
    /// Whether nothing was ever probed: until the first round of probes is in, pools that would rank behind
    /// those known to be up (`unproven = "behind"`) count as up, since none is better known than another.
    pub is_fresh: bool,
}

/// What is known of a plan's pools; the ramps and horizons of `start` follow it.
pub fn of(
    plan: &Plan,
    health_table: &HealthTable,
    overrides: &Overrides,
    start: &mut Start,
) -> evidence::Evidence {
    let pools = plan.config.pools.pools.iter();
    let healths = |of: &dyn Fn(&str, IpAddr) -> Health| {
        let endpoints = pools.clone().zip(0..).map(|(pool, ix)| {
            let endpoints = start.members.of(PoolIx::new(ix), pool).iter();
            let health = |endpoint: &Endpoint| match pool.monitors.is_empty() {
                false => of(&pool.name, endpoint.address),
                // Without a monitor that has a vote it is up for good.
                true => Health::Up,
            };
            endpoints.map(health).collect()
        });
        endpoints.collect()
    };
    let regional = (0..plan.regions.len())
        .map(|region| healths(&|pool, address| health_table.health_in(region, pool, address)));
    let unproven = |pool: &Pool| {
        let monitors = pool.monitors.iter();
        let of_monitors = monitors.map(|ix| plan.config.pools.monitors[ix.index()].unproven);
        match of_monitors.max() {
            Some(Unproven::Behind) if start.is_fresh => PoolStatus::Up,
            Some(Unproven::Behind) => PoolStatus::Unproven,
            Some(Unproven::Down) => PoolStatus::Down,
            Some(Unproven::Up) | None => PoolStatus::Up,
        }
    };
    let mut evidence = evidence::Evidence {
        endpoints: healths(&|pool, address| health_table.health(pool, address)),
        regional: regional.collect(),
        forced: pools
            .clone()
            .map(|pool| Some(overrides.of(&pool.name)?.state))
            .map(|forced| forced.filter(|forced| !matches!(forced, Forced::Shed(_))))
            .collect(),
        unproven: pools.map(unproven).collect(),
        admitted: Vec::new(),
        horizons: Vec::new(),
        limits: Vec::new(),
        members: start.members.clone(),
        last_up: Arc::clone(&start.last_up),
    };
    let names = &plan.config.pools.steered;
    if names
        .iter()
        .any(|name| name.last_good_pools().next().is_some())
    {
        let last_up = start.last_up.after(plan, &PoolNow::all(plan, &evidence));
        if last_up != *start.last_up {
            evidence.last_up = Arc::new(last_up);
        }
    }
    evidence.admitted = start.ramps.follow(plan, &evidence);
    evidence.limits = start.spills.limits(plan, &evidence, overrides);
    let sources = Sources {
        health_table,
        overrides,
        ramps: &start.ramps,
        spills: &start.spills,
    };
    evidence.horizons = start.horizons.follow(plan, &start.members, sources);
    evidence
}

impl Effects {
    /// Adds those of what regions have come to say otherwise.
    fn flipped_in_regions(&mut self, health_table: &mut HealthTable) {
        for flip in health_table.take_regional_flips() {
            self.publish = Urgency::Now;
            let pool = Arc::clone(&flip.target.pool);
            self.events.push(Event::EndpointInRegion {
                pool,
                endpoint: flip.target.address,
                vantages: flip.vantages,
                health: flip.to,
            });
        }
    }

    /// Adds those of a change of an endpoint's verdict.
    pub(super) fn flipped(&mut self, flip: &Flip, publish: Urgency) {
        self.save_verdicts = true;
        self.publish = self.publish.max(publish);
        let (pool, endpoint) = (Arc::clone(&flip.target.pool), flip.target.address);
        let vantage = flip.cause.as_ref().map(|cause| Arc::clone(&cause.vantage));
        let event = match (flip.from, flip.to, vantage) {
            (_, Health::Down, Some(vantage)) => Event::EndpointDown {
                pool,
                endpoint,
                vantage,
                reason: flip
                    .reason()
                    .unwrap_or_else(|| "the vote of the other vantages".into()),
                before: flip.from,
            },
            (Health::Down, Health::Up, vantage) => Event::EndpointUp {
                pool,
                endpoint,
                vantage,
            },
            _ => return,
        };
        self.events.push(event);
    }

    /// Adds those of a change of horizons.
    fn horizon_changed(&mut self, change: Change) {
        let publish = match change {
            Change::None => Urgency::No,
            Change::Longer => Urgency::Soon,
            Change::Shorter => Urgency::Now,
        };
        self.publish = self.publish.max(publish);
    }

    /// Adds those of a change of an override.
    pub(super) fn overridden(&mut self, event: Event) {
        self.publish = Urgency::Now;
        self.save_overrides = true;
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::health::failure::ProbeFailure;
    use crate::health::observation::Target;
    use crate::health::overrides::Override;
    use crate::live::request::ChangeError;
    use crate::state::fixture;

    const POOLS: &str = r#"
[monitor.ready]
type = "tcp"
port = 80
[pool.a]
location = [45.60, -121.18]
endpoints = ["10.0.0.1"]
monitor = "ready"
[pool.b]
location = [50.45, 3.82]
endpoints = ["10.0.0.2"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a", "b"]
"#;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    fn plan(pools: &str) -> Plan {
        let process = "[health]\nvantage = \"v\"\n";
        let zones = [("example.com", ZONE)];
        fixture::plan(process, pools, &zones, fixture::embedded_atlas())
    }

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(seconds),
            unix_ms: (1_000 + seconds) * 1_000,
        }
    }

    fn start(plan: &Plan) -> Evidence {
        Evidence::new(
            Owned::new(health_table(plan, &Membership::default())),
            Owned::new(Overrides::default()),
            &Start {
                is_fresh: true,
                ..Start::default()
            },
        )
    }

    fn observation(plan: &Plan, pool: usize, result: ProbeResult) -> Observation {
        let config = &plan.config.pools;
        Observation {
            target: Arc::new(Target::new(
                (&*config.pools[pool].name).into(),
                config.pools[pool].endpoints[0].address,
                Arc::new(config.monitors[0].clone()),
                true,
            )),
            vantage: "v".into(),
            result,
            took: Duration::from_millis(1),
            load: None,
        }
    }

    /// A response all the same: what fails everywhere at once without one is the vantage's failure.
    fn unfit() -> ProbeResult {
        ProbeResult::Failure(ProbeFailure::Protocol("response is not HTTP/1.1".into()))
    }

    fn drain(until: Option<u64>) -> Override {
        Override {
            state: Forced::Drain,
            since: 1_000,
            begins: None,
            until,
            reason: "maintenance".into(),
        }
    }

    #[test]
    fn many_observations_make_one_publication() {
        let plan = plan(POOLS);
        let mut evidence = start(&plan);
        let meters = Meters::new();
        let fail = |pool| observation(&plan, pool, unfit());
        let up = [0, 1].map(|pool| observation(&plan, pool, ProbeResult::Success));
        let effects = evidence.observe(&up, at(0), &meters);
        assert_eq!(effects.publish, Urgency::Soon, "no answer changes");
        assert_eq!(effects.events, [Event::Ready]);
        assert!(evidence.is_ready());

        let effects = evidence.observe(&[fail(0), fail(1)], at(5), &meters);
        assert_eq!(effects, Effects::default(), "one failure of two");
        let effects = evidence.observe(&[fail(0), fail(1)], at(10), &meters);
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_verdicts && !effects.save_overrides);
        let down = |pool: &str, endpoint: &str| Event::EndpointDown {
            pool: pool.into(),
            endpoint: endpoint.parse::<IpAddr>().expect("address"),
            vantage: "v".into(),
            reason: "response is not HTTP/1.1".into(),
            before: Health::Up,
        };
        assert_eq!(
            effects.events,
            [down("a", "10.0.0.1"), down("b", "10.0.0.2")]
        );
        let of = evidence.of(&plan);
        assert_eq!(of.endpoints, [[Health::Down], [Health::Down]]);
    }

    #[test]
    fn what_was_never_probed_counts_as_its_monitor_says() {
        let (up, down, behind) = (PoolStatus::Up, PoolStatus::Down, PoolStatus::Unproven);
        for (unproven, in_the_first_round, later) in
            [("behind", up, behind), ("up", up, up), ("down", down, down)]
        {
            let key = format!("port = 80\nunproven = \"{unproven}\"");
            let plan = plan(&POOLS.replace("port = 80", &key));
            let health_table = health_table(&plan, &Membership::default());
            for (is_fresh, expected) in [(true, in_the_first_round), (false, later)] {
                let mut start = Start {
                    is_fresh,
                    ..Start::default()
                };
                let evidence = of(&plan, &health_table, &Overrides::default(), &mut start);
                assert_eq!(evidence.unproven, [expected; 2], "{unproven} {is_fresh}");
            }
        }
    }

    #[test]
    fn overrides_are_set_cleared_and_expire() {
        let plan = plan(POOLS);
        let mut evidence = start(&plan);
        let served = fixture::snapshot(self::plan(POOLS), &evidence.of(&plan));
        let effects = evidence
            .set_override("a", drain(Some(1_060)), false, "ops", &served, at(0))
            .expect("b is left");
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_overrides);
        assert_eq!(
            effects.events,
            [Event::OverrideSet {
                pool: "a".into(),
                state: Forced::Drain,
                reason: "maintenance".into(),
                begins_in: None,
                seconds: Some(60),
                by: "ops".into(),
            }]
        );
        let with_a_drained = evidence.of(&plan);
        let served = fixture::snapshot(self::plan(POOLS), &with_a_drained);
        let refused = evidence.set_override("b", drain(None), false, "ops", &served, at(0));
        assert!(matches!(refused, Err(ChangeError::Strands(_))));
        assert_eq!(evidence.of(&plan), with_a_drained);
        let forced = evidence.set_override("b", drain(None), true, "ops", &served, at(0));
        assert!(forced.is_ok());
        let forced = |evidence: &mut Evidence| evidence.of(&plan).forced;
        assert_eq!(forced(&mut evidence), [Some(Forced::Drain); 2]);

        assert_eq!(evidence.tick(at(59)), Effects::default());
        let effects = evidence.tick(at(60));
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_overrides);
        assert_eq!(
            effects.events,
            [Event::OverrideExpired { pool: "a".into() }]
        );
        assert_eq!(forced(&mut evidence), [None, Some(Forced::Drain)]);

        assert_eq!(evidence.clear_override("a", "ops", at(61)), None);
        let effects = evidence
            .clear_override("b", "ops", at(61))
            .expect("there is one");
        assert!(effects.save_overrides);
        assert_eq!(forced(&mut evidence), [None; 2]);
    }

    #[test]
    fn a_planned_drain_begins_later_and_lasts_from_there() {
        let plan = plan(POOLS);
        let mut evidence = start(&plan);
        let served = fixture::snapshot(self::plan(POOLS), &evidence.of(&plan));
        let planned = |begins, until| Override {
            begins: Some(begins),
            ..drain(until)
        };
        let order = |evidence: &mut Evidence, override_, seconds| {
            evidence
                .set_override("a", override_, false, "ops", &served, at(seconds))
                .expect("b is left")
        };
        let effects = order(&mut evidence, planned(1_300, Some(1_360)), 0);
        assert!(effects.save_overrides);
        assert_eq!(
            effects.events,
            [Event::OverrideSet {
                pool: "a".into(),
                state: Forced::Drain,
                reason: "maintenance".into(),
                begins_in: Some(300),
                seconds: Some(60),
                by: "ops".into(),
            }]
        );
        let forced = |evidence: &mut Evidence| evidence.of(&plan).forced[0];
        for (seconds, expected, event) in [
            (299, None, None),
            (
                300,
                Some(Forced::Drain),
                Some(Event::OverrideBegun { pool: "a".into() }),
            ),
            // What has begun goes on where the clock is set back.
            (200, Some(Forced::Drain), None),
            (359, Some(Forced::Drain), None),
            (360, None, Some(Event::OverrideExpired { pool: "a".into() })),
            (200, None, None),
        ] {
            let effects = evidence.tick(at(seconds));
            assert_eq!(effects.save_overrides, event.is_some(), "{seconds}");
            assert_eq!(effects.events, event.as_slice(), "{seconds}");
            assert_eq!(forced(&mut evidence), expected, "{seconds}");
        }

        // Another order takes its place, and it can be taken back before it begins.
        order(&mut evidence, planned(1_500, None), 400);
        order(&mut evidence, planned(1_700, None), 401);
        assert_eq!(evidence.tick(at(500)), Effects::default());
        let effects = evidence
            .clear_override("a", "ops", at(501))
            .expect("there is one");
        assert_eq!(
            effects.events,
            [Event::OverrideCleared {
                pool: "a".into(),
                by: "ops".into()
            }]
        );
        assert_eq!(evidence.tick(at(700)), Effects::default());
        assert_eq!(forced(&mut evidence), None);
    }

    #[test]
    fn ttls_fall_at_once_and_rise_with_the_next_tick() {
        let text = POOLS.replace(
            "port = 80",
            "port = 80\ninterval = \"10s\"\nfailure_threshold = 3",
        );
        let text = format!("{text}ttl = {{ min = \"5s\", max = \"60s\" }}\n");
        let plan = plan(&text);
        let mut evidence = start(&plan);
        let meters = Meters::new();
        let mut ttls = Vec::<u32>::new();
        let results = "ggggbgbgbgbbgbbbbbgbgg";
        for (result, now) in results.chars().zip((0..).step_by(10)) {
            let result = match result {
                'g' => ProbeResult::Success,
                _ => unfit(),
            };
            let effects = evidence.observe(&[observation(&plan, 0, result)], at(now), &meters);
            let horizon = evidence.of(&plan).horizons[0].v4;
            let ttl = horizon.expect("it is probed").seconds;
            // Where the endpoint changes, that is published in any case.
            if let Some(before) = ttls.last().filter(|_| effects.events.is_empty()) {
                let expected = match ttl.cmp(before) {
                    Ordering::Less => Urgency::Now,
                    Ordering::Equal => Urgency::No,
                    Ordering::Greater => Urgency::Soon,
                };
                assert_eq!(effects.publish, expected, "{ttl} after {before}");
            }
            ttls.push(ttl);
            for second in now..now + 10 {
                let effects = evidence.tick(at(second));
                assert_eq!(effects.publish, Urgency::No, "it does not count down");
            }
        }
        assert_eq!(
            ttls,
            [
                18, 18, 18, 18, 9, 18, 9, 18, 9, 18, 9, 5, 18, 9, 5, 9, 9, 9, 5, 9, 5, 18
            ]
        );
    }

    #[test]
    fn a_failed_probe_starts_a_ramp_over() {
        let text = POOLS.replace("[pool.a]\n", "[pool.a]\nramp = \"3m\"\n");
        let plan = plan(&text);
        let mut evidence = start(&plan);
        let meters = Meters::new();
        let probe = |evidence: &mut Evidence, seconds, result| {
            let observation = observation(&plan, 0, result);
            let effects = evidence.observe(&[observation], at(seconds), &meters);
            let admitted = evidence.of(&plan).admitted[0].v4;
            (effects, admitted.ratio())
        };
        for seconds in [5, 10, 15] {
            probe(&mut evidence, seconds, unfit());
        }
        probe(&mut evidence, 20, ProbeResult::Success);
        let (_, admitted) = probe(&mut evidence, 25, ProbeResult::Success);
        assert_eq!(admitted, 0.1);
        assert_eq!(evidence.tick(at(84)).publish, Urgency::No);
        assert_eq!(evidence.tick(at(85)).publish, Urgency::Now);
        let (effects, admitted) = probe(&mut evidence, 86, ProbeResult::Success);
        assert_eq!((effects.publish, admitted), (Urgency::No, 0.25));
        let (effects, admitted) = probe(&mut evidence, 90, unfit());
        assert_eq!((effects.publish, admitted), (Urgency::Now, 0.1));
        let event = Event::RampStartsOver {
            pool: "a".into(),
            family: Family::V4,
        };
        assert_eq!(effects.events, [event]);
        assert_eq!(evidence.tick(at(149)).publish, Urgency::No);
        assert_eq!(evidence.tick(at(150)).publish, Urgency::Now);
    }

    #[test]
    fn a_renamed_pool_keeps_the_verdicts_of_its_endpoints() {
        let before = plan(POOLS);
        let mut evidence = start(&before);
        let meters = Meters::new();
        for seconds in [5, 10] {
            let failure = observation(&before, 0, unfit());
            evidence.observe(&[failure], at(seconds), &meters);
        }
        let renamed = plan(&POOLS.replace("pool.a", "pool.c").replace("\"a\"", "\"c\""));
        let members = Membership::default();
        let health_table = health_table(&renamed, &members);
        evidence.adopt(members, health_table);
        let health = evidence.of(&renamed).endpoints;
        assert_eq!(health, [[Health::Down], [Health::Unknown]]);
    }

    #[test]
    fn a_probe_in_flight_over_a_reload_is_not_counted() {
        let before = plan(POOLS);
        let mut evidence = start(&before);
        let meters = Meters::new();
        let stale = observation(&before, 0, unfit());
        let renamed = plan(&POOLS.replace("pool.a", "pool.c").replace("\"a\"", "\"c\""));
        let members = Membership::default();
        let health_table = health_table(&renamed, &members);
        evidence.adopt(members, health_table);
        assert_eq!(
            evidence.observe(&[stale], at(1), &meters),
            Effects::default()
        );
        let series = meters.probes.with_label_values(&["a", "v", "connect"]);
        assert_eq!(series.get(), 0);
    }
}
