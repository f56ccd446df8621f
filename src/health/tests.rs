//! Simulated time: vantages probe endpoints on schedule, and endpoints fail on schedule.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::base::health::Health;
use crate::base::health::Health::Down;
use crate::base::health::Health::Unknown;
use crate::base::health::Health::Up;
use crate::base::prefix::Family;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::health_table::Limits;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::Unproven;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;
use crate::health::vantage::VantageChange;

const INTERVAL: u64 = 5;
const LIMITS: Limits = Limits {
    report_max_age: Duration::from_secs(30),
    blind_max: Duration::from_secs(30),
};

fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not zero")
}

fn monitor(quorum: Quorum, failure_threshold: u32, success_threshold: u32) -> Monitor {
    Monitor {
        name: "ready".into(),
        kind: MonitorKind::Tcp,
        port: 80,
        interval: Duration::from_secs(INTERVAL),
        timeout: Duration::from_secs(4),
        failure_threshold: n(failure_threshold),
        success_threshold: n(success_threshold),
        quorum,
        unproven: Unproven::Behind,
    }
}

fn good() -> ProbeResult {
    ProbeResult::Success
}

fn bad() -> ProbeResult {
    ProbeResult::Failure(ProbeFailure::Refused)
}

fn nothing() -> ProbeResult {
    ProbeResult::NoEvidence(VantageFault::Proxy("connection refused".into()))
}

/// One endpoint, its vantages, and a clock that counts seconds.
struct Simulation {
    health_table: HealthTable,
    target: Arc<Target>,
    vantages: Vec<Arc<str>>,
    second: u64,
}

impl Simulation {
    fn new(n_vantages: usize, monitor: Monitor) -> Self {
        let names = (0..n_vantages).map(|i| format!("v{i}"));
        Self::named(names.map(Arc::from).collect(), monitor)
    }

    fn named(vantages: Vec<Arc<str>>, monitor: Monitor) -> Self {
        let target = Arc::new(Target {
            pool: "west".into(),
            address: IpAddr::from([192, 0, 2, 10]),
            monitor: Arc::new(monitor),
        });
        let pairs = vantages.iter().map(|v| (Arc::clone(&target), v.clone()));
        let health_table = HealthTable::new(pairs, LIMITS);
        Self {
            health_table,
            target,
            vantages,
            second: 0,
        }
    }

    fn now(&self) -> Moment {
        Moment {
            elapsed: Duration::from_secs(self.second),
            unix: 1_700_000_000 + self.second,
        }
    }

    fn see(&mut self, vantage: usize, result: ProbeResult) -> Option<Flip> {
        let observation = Observation {
            target: Arc::clone(&self.target),
            vantage: Arc::clone(&self.vantages[vantage]),
            result,
            took: Duration::ZERO,
        };
        let mut flips = self.health_table.observe(&observation, self.now());
        assert!(flips.len() <= 1, "{flips:?}");
        flips.pop()
    }

    /// Lets `seconds` pass without any report.
    fn wait(&mut self, seconds: u64) -> Vec<Flip> {
        let mut flips = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            flips.extend(self.health_table.tick(self.now()));
        }
        flips
    }

    /// Lets `seconds` pass; each vantage probes at its own second of each interval, and sees what
    /// `world` says of it at that time (`None`: it is silent).
    fn run(&mut self, seconds: u64, world: impl Fn(usize, u64) -> Option<ProbeResult>) {
        for _ in 0..seconds {
            self.second += 1;
            for vantage in 0..self.vantages.len() {
                if self.second % INTERVAL == vantage as u64 % INTERVAL
                    && let Some(result) = world(vantage, self.second)
                {
                    self.see(vantage, result);
                }
            }
            self.health_table.tick(self.now());
        }
    }

    fn health(&self) -> Health {
        self.health_table.health("west", self.target.address)
    }

    fn verdict(&self, vantage: usize) -> Health {
        let view = self
            .health_table
            .view(self.now())
            .next()
            .expect("one endpoint");
        view.vantages[vantage].verdict
    }

    /// The process ends and starts again, `seconds` later and with a new clock.
    fn restart(&mut self) {
        let saved = self.health_table.saved(self.now());
        let pairs = self.vantages.iter();
        let pairs = pairs.map(|v| (Arc::clone(&self.target), v.clone()));
        self.health_table = HealthTable::new(pairs, LIMITS);
        self.second = 0;
        self.health_table.restore(&saved, self.now());
    }
}

#[test]
fn an_endpoint_falls_and_rises_by_the_thresholds() {
    let mut sim = Simulation::new(1, monitor(Quorum::Majority, 2, 3));
    assert_eq!(sim.health(), Unknown);
    let first = sim.see(0, good()).expect("a flip");
    assert_eq!((first.from, first.to), (Unknown, Up));
    assert_eq!(sim.health(), Up);
    assert_eq!(sim.see(0, bad()), None);
    assert_eq!(sim.see(0, good()), None);
    assert_eq!(sim.see(0, bad()), None);
    let fall = sim.see(0, bad()).expect("a flip");
    assert_eq!((fall.from, fall.to), (Up, Down));
    let cause = fall.cause.expect("a probe");
    assert_eq!(&*cause.vantage, "v0");
    assert_eq!(cause.reason.as_deref(), Some("connection refused"));
    for result in [good(), good(), bad(), good(), good()] {
        assert_eq!(sim.see(0, result), None);
    }
    assert_eq!(sim.see(0, good()).expect("a flip").to, Up);
}

#[test]
fn the_first_result_of_a_new_endpoint_decides_alone() {
    for (result, expected) in [(good(), Up), (bad(), Down)] {
        for quorum in [
            Quorum::Any,
            Quorum::Majority,
            Quorum::All,
            Quorum::Count(n(2)),
        ] {
            let mut sim = Simulation::new(3, monitor(quorum, 3, 3));
            assert_eq!(sim.health(), Unknown);
            let flip = sim.see(1, result.clone()).expect("a flip");
            assert_eq!((flip.from, flip.to), (Unknown, expected), "{quorum:?}");
        }
    }
    // A vantage that is new to a known endpoint decides by the thresholds.
    let mut sim = Simulation::new(2, monitor(Quorum::Any, 2, 2));
    sim.see(0, good());
    assert_eq!(sim.see(1, bad()), None);
    assert_eq!(sim.see(1, bad()).expect("a flip").to, Down);
}

#[test]
fn flapping_faster_than_the_threshold_changes_nothing() {
    let mut sim = Simulation::new(1, monitor(Quorum::Any, 2, 2));
    sim.run(10, |_, _| Some(good()));
    sim.run(600, |_, second| match second / INTERVAL % 2 {
        0 => Some(good()),
        _ => Some(bad()),
    });
    assert_eq!(sim.health(), Up);
}

#[test]
fn what_some_vantages_cannot_reach_depends_on_the_quorum() {
    for (quorum, n_failing_until_down) in [
        (Quorum::Any, 1),
        (Quorum::Majority, 3),
        (Quorum::All, 5),
        (Quorum::Count(n(2)), 2),
    ] {
        for n_failing in 0..=5 {
            let mut sim = Simulation::new(5, monitor(quorum, 2, 2));
            sim.run(20, |_, _| Some(good()));
            sim.run(20, |vantage, _| match vantage < n_failing {
                true => Some(bad()),
                false => Some(good()),
            });
            let expected = if n_failing >= n_failing_until_down {
                Down
            } else {
                Up
            };
            assert_eq!(sim.health(), expected, "{quorum:?}, {n_failing} failing");
            sim.run(20, |_, _| Some(good()));
            assert_eq!(sim.health(), Up, "{quorum:?}, recovered");
        }
    }
}

#[test]
fn a_lost_vantage_freezes_and_never_kills() {
    // Whether it falls silent or its proxy breaks: the others decide.
    for lost in [None, Some(nothing())] {
        let mut sim = Simulation::new(3, monitor(Quorum::Majority, 2, 2));
        sim.run(20, |_, _| Some(good()));
        sim.run(300, |vantage, _| {
            if vantage == 0 {
                lost.clone()
            } else {
                Some(good())
            }
        });
        assert_eq!((sim.health(), sim.verdict(0)), (Up, Up));

        // All are lost: the verdict stands, up or down.
        sim.run(300, |_, _| lost.clone());
        assert_eq!(sim.health(), Up);
        sim.run(20, |_, _| Some(bad()));
        assert_eq!(sim.health(), Down);
        sim.run(300, |_, _| lost.clone());
        assert_eq!(sim.health(), Down);
        sim.run(20, |_, _| Some(good()));
        assert_eq!(sim.health(), Up);
    }
}

#[test]
fn an_old_report_leaves_the_vote_after_its_age() {
    let mut sim = Simulation::new(2, monitor(Quorum::Any, 2, 2));
    sim.run(20, |vantage, _| {
        Some(if vantage == 0 { bad() } else { good() })
    });
    assert_eq!(sim.health(), Down);
    // The last report of vantage 0 is from second 20.
    sim.run(30, |vantage, _| (vantage == 1).then(good));
    assert_eq!(sim.health(), Down);
    sim.run(1, |vantage, _| (vantage == 1).then(good));
    assert_eq!((sim.health(), sim.verdict(0)), (Up, Down));
}

#[test]
fn slow_monitors_keep_their_vantages_in_the_vote_between_probes() {
    let mut slow = monitor(Quorum::Majority, 2, 2);
    slow.interval = Duration::from_secs(120);
    let mut sim = Simulation::new(3, slow);
    for _ in 0..4 {
        for (vantage, result) in [good(), good(), bad()].into_iter().enumerate() {
            assert!(sim.wait(40).is_empty());
            sim.see(vantage, result);
        }
    }
    assert_eq!((sim.health(), sim.verdict(2)), (Up, Down));
}

#[test]
fn a_restart_does_not_bring_a_down_endpoint_back() {
    let mut sim = Simulation::new(3, monitor(Quorum::Majority, 2, 2));
    sim.run(20, |vantage, _| {
        Some(if vantage < 2 { bad() } else { good() })
    });
    assert_eq!(sim.health(), Down);
    sim.restart();
    assert_eq!((sim.health(), sim.health_table.n_awaited()), (Down, 3));
    // The one vantage that can reach it is the first to report, and decides nothing alone.
    assert_eq!(sim.see(2, good()), None);
    assert_eq!(sim.see(0, good()), None);
    assert_eq!(sim.health(), Down);
    let flip = sim.see(0, good()).expect("a flip");
    assert_eq!((flip.from, flip.to), (Down, Up));
    sim.see(1, nothing());
    assert_eq!(sim.health_table.n_awaited(), 0);
}

#[test]
fn a_new_vantage_has_to_earn_a_down_endpoint_its_way_up() {
    let mut sim = Simulation::new(1, monitor(Quorum::Any, 2, 2));
    sim.run(20, |_, _| Some(bad()));
    sim.vantages = vec!["new".into()];
    sim.restart();
    assert_eq!((sim.health(), sim.verdict(0)), (Down, Unknown));
    assert_eq!(sim.see(0, good()), None);
    assert_eq!(sim.see(0, good()).expect("a flip").to, Up);
}

#[test]
fn a_vantage_that_was_lost_before_a_restart_is_lost_after_it() {
    let mut sim = Simulation::new(2, monitor(Quorum::Any, 2, 2));
    sim.run(20, |vantage, _| {
        Some(if vantage == 0 { bad() } else { good() })
    });
    sim.run(40, |vantage, _| (vantage == 1).then(good));
    assert_eq!(sim.health(), Up);
    sim.restart();
    assert_eq!(sim.see(1, good()), None);
    assert_eq!(sim.health(), Up);
}

#[test]
fn a_reload_keeps_runs_only_while_the_monitor_is_the_same() {
    let before = monitor(Quorum::Any, 3, 2);
    for (after, flips_at_once) in [(before.clone(), true), (monitor(Quorum::All, 3, 2), false)] {
        let mut old = Simulation::new(1, before.clone());
        old.run(10, |_, _| Some(good()));
        old.see(0, bad());
        old.see(0, bad());
        let mut new = Simulation::new(1, after);
        new.second = old.second;
        new.health_table.adopt(&old.health_table);
        assert_eq!(new.health(), Up);

        // A probe of the monitor before may still come in.
        let stale = Arc::clone(&new.target);
        new.target = Arc::clone(&old.target);
        assert_eq!(new.see(0, bad()).is_some(), flips_at_once);
        new.target = stale;
        if !flips_at_once {
            assert_eq!(new.see(0, bad()), None);
            assert_eq!(new.see(0, bad()), None);
            assert!(new.see(0, bad()).is_some());
        }
    }
}

#[test]
fn the_last_failure_is_shown_after_recovery() {
    let mut sim = Simulation::new(1, monitor(Quorum::Any, 1, 1));
    sim.run(5, |_, _| Some(bad()));
    sim.run(10, |_, _| Some(good()));
    sim.see(0, nothing());
    let view = sim
        .health_table
        .view(sim.now())
        .next()
        .expect("one endpoint");
    let vantage = &view.vantages[0];
    let failure = vantage.last_failure.expect("a failure");
    assert_eq!(&*failure.reason, "connection refused");
    assert_eq!(failure.at, 1_700_000_005);
    assert_eq!((vantage.verdict, vantage.since), (Up, Some(1_700_000_010)));
    let fault = vantage.no_evidence.expect("a fault");
    assert_eq!(&*fault.reason, "proxy: connection refused");
}

/// Pools of one endpoint each, their vantages, and a clock that counts milliseconds.
struct World {
    table: HealthTable,
    pairs: Vec<Probing>,
    now: u64,
    flips: Vec<(u64, String, Health)>,
    changes: Vec<VantageChange>,
}

/// A pair of endpoint and vantage.
struct Probing {
    target: Arc<Target>,
    vantage: Arc<str>,
    due: u64,
    /// When the probe that runs will be finished, how long it will have taken, and its result.
    running: Option<(u64, u64, ProbeResult)>,
}

/// A probe of a pool from a vantage.
#[derive(Clone, Copy)]
struct Probe<'a> {
    pool: &'a str,
    vantage: &'a str,
}

/// How long a probe takes, and its result; `None`: it is never heard of again.
type Outcome = Option<(u64, ProbeResult)>;

const STEP: u64 = 10;

fn well() -> Outcome {
    Some((20, good()))
}

fn times_out() -> Outcome {
    let (after, phase) = (Duration::from_secs(4), Phase::Connect);
    let timeout = ProbeFailure::Timeout { after, phase };
    Some((4_000, ProbeResult::Failure(timeout)))
}

fn refuses() -> Outcome {
    Some((20, bad()))
}

fn has_no_route() -> Outcome {
    let fault = VantageFault::NoRoute("cannot connect: no route".into());
    Some((0, ProbeResult::NoEvidence(fault)))
}

fn answers_503() -> Outcome {
    let status = ProbeFailure::Status {
        status: 503,
        expected: Box::from([(200, 399)]),
    };
    Some((20, ProbeResult::Failure(status)))
}

impl World {
    fn new(pools: &[&str], vantages: &[&str], monitor: &Monitor) -> Self {
        let monitor = Arc::new(monitor.clone());
        let target = |(at, pool): (usize, &&str)| {
            // A pool that ends in 6 has IPv6.
            let address = match pool.ends_with('6') {
                true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, at as u16]),
                false => IpAddr::from([192, 0, 2, at as u8]),
            };
            Arc::new(Target {
                pool: (*pool).into(),
                address,
                monitor: Arc::clone(&monitor),
            })
        };
        let targets: Vec<_> = pools.iter().enumerate().map(target).collect();
        let mut pairs = Vec::new();
        for target in &targets {
            for vantage in vantages {
                pairs.push(Probing {
                    target: Arc::clone(target),
                    vantage: (*vantage).into(),
                    due: pairs.len() as u64 * 1_730 % (INTERVAL * 1_000),
                    running: None,
                });
            }
        }
        let keys = pairs.iter().map(|p| (p.target.clone(), p.vantage.clone()));
        Self {
            table: HealthTable::new(keys, LIMITS),
            pairs,
            now: 0,
            flips: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            elapsed: Duration::from_millis(self.now),
            unix: 1_700_000_000 + self.now / 1_000,
        }
    }

    fn run(&mut self, seconds: u64, network: impl Fn(Probe<'_>) -> Outcome) {
        let end = self.now + seconds * 1_000;
        while self.now < end {
            self.now += STEP;
            let mut flips = Vec::new();
            let now = self.moment();
            for pair in &mut self.pairs {
                if let Some((_, took, result)) = pair.running.take_if(|(at, ..)| *at <= self.now) {
                    let observation = Observation {
                        target: Arc::clone(&pair.target),
                        vantage: Arc::clone(&pair.vantage),
                        result,
                        took: Duration::from_millis(took),
                    };
                    flips.extend(self.table.observe(&observation, now));
                }
                if pair.due <= self.now {
                    pair.due = self.now + INTERVAL * 1_000;
                    let (pool, vantage) = (&*pair.target.pool, &*pair.vantage);
                    let seen = network(Probe { pool, vantage });
                    pair.running = seen.map(|(took, result)| (self.now + took, took, result));
                }
            }
            if self.now.is_multiple_of(1_000) {
                flips.extend(self.table.tick(now));
                self.changes.extend(self.table.take_changes());
            }
            let flips = flips.into_iter();
            let flips = flips.map(|flip| (self.now, flip.target.pool.to_string(), flip.to));
            self.flips.extend(flips);
        }
    }

    fn health(&self, pool: &str) -> Health {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|p| &*p.target.pool == pool).expect("a pool");
        self.table.health(pool, pair.target.address)
    }

    /// Everything well for a while, and nothing to say about it.
    fn settled(pools: &[&str], vantages: &[&str], monitor: &Monitor) -> Self {
        let mut world = Self::new(pools, vantages, monitor);
        world.run(30, |_| well());
        assert!(world.flips.iter().all(|(_, _, to)| *to == Up));
        assert!(world.changes.is_empty(), "{:?}", world.changes);
        world.flips.clear();
        world
    }
}

#[test]
fn a_vantage_that_loses_everything_at_once_moves_nothing() {
    for threshold in 1..=3 {
        for failure in [times_out(), refuses()] {
            let monitor = monitor(Quorum::Majority, threshold, 2);
            let mut world = World::settled(&["eu", "us", "jp"], &["only"], &monitor);
            world.run(24, |_| failure.clone());
            let (vantage, family) = (Arc::from("only"), Family::V4);
            assert_eq!(
                std::mem::take(&mut world.changes),
                [VantageChange::Blind { vantage, family }]
            );
            world.run(30, |_| well());
            assert!(world.flips.is_empty(), "{threshold}: {:?}", world.flips);
            let vantage = Arc::from("only");
            assert_eq!(world.changes, [VantageChange::Sees { vantage, family }]);
        }
    }
}

#[test]
fn all_pools_are_down_when_the_vantage_has_been_blind_for_long() {
    let mut world = World::settled(&["eu", "us"], &["only"], &monitor(Quorum::Any, 2, 2));
    let start = world.now;
    world.run(60, |_| times_out());
    assert_eq!((world.health("eu"), world.health("us")), (Down, Down));
    for (at, pool, _) in &world.flips {
        let after = (at - start) / 1_000;
        assert!((30..45).contains(&after), "{pool} after {after} s");
    }
    let (vantage, family) = (Arc::from("only"), Family::V4);
    assert_eq!(
        world.changes,
        [
            VantageChange::Blind {
                vantage: Arc::clone(&vantage),
                family
            },
            VantageChange::Believed { vantage, family }
        ]
    );
    // One that answers again is up by its own successes.
    world.run(20, |probe| {
        if probe.pool == "eu" {
            well()
        } else {
            times_out()
        }
    });
    assert_eq!((world.health("eu"), world.health("us")), (Up, Down));
}

#[test]
fn blindness_ends_also_where_all_probes_fail_between_two_ticks() {
    let mut world = World::settled(&["eu", "us"], &["only"], &monitor(Quorum::Any, 2, 2));
    for pair in &mut world.pairs {
        pair.due = world.now + 500;
    }
    let start = world.now;
    world.run(60, |_| times_out());
    assert_eq!(world.flips.len(), 2, "{:?}", world.flips);
    assert!(world.flips.iter().all(|(at, ..)| at - start <= 45_000));
    let family = Family::V4;
    let believed = VantageChange::Believed {
        vantage: "only".into(),
        family,
    };
    assert!(world.changes.contains(&believed));
}

#[test]
fn what_answers_proves_that_another_pool_is_down() {
    for (what, dead, n_pools) in [
        ("silent beside one that is well", &["eu"][..], 2),
        ("two of three at once", &["eu", "us"], 3),
        ("the only pool", &["eu"], 1),
    ] {
        for failure in [times_out(), refuses()] {
            let pools = &["eu", "us", "jp"][..n_pools];
            let mut world = World::settled(pools, &["only"], &monitor(Quorum::Any, 2, 2));
            let start = world.now;
            world.run(30, |probe| match dead.contains(&probe.pool) {
                true => failure.clone(),
                false => well(),
            });
            assert_eq!(world.flips.len(), dead.len(), "{what}");
            for (at, pool, to) in &world.flips {
                assert!(dead.contains(&&**pool) && *to == Down, "{what}");
                assert!(at - start <= 15_000, "{what}: after {} ms", at - start);
            }
            assert!(world.changes.is_empty(), "{what}: {:?}", world.changes);
        }
    }
}

#[test]
fn any_response_is_contact() {
    let mut world = World::settled(&["eu", "us"], &["only"], &monitor(Quorum::Any, 2, 2));
    let start = world.now;
    world.run(15, |_| answers_503());
    assert_eq!((world.health("eu"), world.health("us")), (Down, Down));
    assert!(world.flips.iter().all(|(at, ..)| at - start <= 11_000));
    assert!(world.changes.is_empty());
}

#[test]
fn a_pool_that_was_dead_before_is_no_company() {
    // The first dies, and the other one long after it: two failures, not one of the vantage.
    let mut world = World::settled(&["eu", "us"], &["only"], &monitor(Quorum::Any, 2, 2));
    world.run(30, |probe| {
        if probe.pool == "eu" {
            times_out()
        } else {
            well()
        }
    });
    let start = world.now;
    world.run(20, |_| times_out());
    assert_eq!(world.flips.len(), 2);
    assert!(world.flips[1].0 - start <= 15_000, "{:?}", world.flips);
}

#[test]
fn a_pool_that_comes_back_voids_no_failure_of_another() {
    let mut world = World::settled(&["eu", "us", "jp"], &["only"], &monitor(Quorum::Any, 2, 2));
    world.run(60, |probe| {
        if probe.pool == "eu" {
            refuses()
        } else {
            well()
        }
    });
    // The one comes back when the other dies.
    let start = world.now;
    world.run(30, |probe| {
        if probe.pool == "us" {
            refuses()
        } else {
            well()
        }
    });
    assert_eq!((world.health("eu"), world.health("us")), (Up, Down));
    let (at, ..) = world
        .flips
        .iter()
        .find(|(_, pool, _)| pool == "us")
        .expect("a flip");
    assert!(at - start <= 11_000, "{:?}", world.flips);
}

#[test]
fn others_decide_while_one_vantage_is_blind() {
    let vantages = ["a", "b", "c"];
    let mut world = World::settled(&["eu", "us"], &vantages, &monitor(Quorum::Majority, 2, 2));
    let blind = |probe: Probe<'_>, dead: &str| match probe.vantage {
        "a" => times_out(),
        _ if probe.pool == dead => refuses(),
        _ => well(),
    };
    world.run(20, |probe| blind(probe, ""));
    assert!(world.flips.is_empty());
    for endpoint in world.table.view(world.moment()) {
        let [a, b, c] = &endpoint.vantages[..] else {
            panic!("three vantages");
        };
        assert_eq!([a.is_blind, b.is_blind, c.is_blind], [true, false, false]);
    }
    let (vantage, family) = (Arc::from("a"), Family::V4);
    assert_eq!(world.changes, [VantageChange::Blind { vantage, family }]);
    world.run(4, |probe| blind(probe, "us"));
    assert_eq!((world.health("eu"), world.health("us")), (Up, Up));
    world.run(7, |probe| blind(probe, "us"));
    assert_eq!((world.health("eu"), world.health("us")), (Up, Down));
}

#[test]
fn each_family_is_lost_for_itself() {
    let pools = ["eu", "us", "eu6", "us6"];
    let mut world = World::settled(&pools, &["only"], &monitor(Quorum::Any, 2, 2));
    world.run(24, |probe| match probe.pool.ends_with('6') {
        true => times_out(),
        false => well(),
    });
    let (vantage, family) = (Arc::from("only"), Family::V6);
    assert_eq!(world.changes, [VantageChange::Blind { vantage, family }]);
    world.run(20, |_| well());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
}

#[test]
fn a_vantage_without_a_route_is_blind_for_as_long_as_it_has_none() {
    let vanishes = |seconds: u64| match seconds {
        0..4 => times_out(),
        _ => has_no_route(),
    };
    for (what, gap) in [("shorter than blind_max", 24), ("longer", 90)] {
        let mut world = World::settled(&["eu", "us", "jp"], &["only"], &monitor(Quorum::Any, 2, 2));
        for second in 0..gap {
            world.run(1, |_| vanishes(second));
        }
        let (vantage, family) = (Arc::<str>::from("only"), Family::V4);
        let mut changes = std::mem::take(&mut world.changes);
        changes.retain(|change| !matches!(change, VantageChange::Silent { .. }));
        let blind = VantageChange::Blind { vantage, family };
        assert_eq!(changes, [blind], "{what}");
        world.run(30, |_| well());
        assert!(world.flips.is_empty(), "{what}: {:?}", world.flips);
        let vantage = Arc::from("only");
        let sees = VantageChange::Sees { vantage, family };
        assert!(world.changes.contains(&sees), "{what}: {:?}", world.changes);
    }
}

#[test]
fn a_missing_route_to_some_pools_is_no_blindness() {
    for (pools, lacks, dead) in [
        // A machine that never had IPv6.
        (&["eu", "us", "eu6", "us6"][..], &["eu6", "us6"][..], "us"),
        // No way to one of several.
        (&["eu", "us", "jp"], &["eu"], "us"),
    ] {
        let mut world = World::new(pools, &["only"], &monitor(Quorum::Any, 2, 2));
        world.run(30, |probe| match lacks.contains(&probe.pool) {
            true => has_no_route(),
            false => well(),
        });
        let start = world.now;
        world.flips.clear();
        world.run(30, |probe| match lacks.contains(&probe.pool) {
            true => has_no_route(),
            false if probe.pool == dead => refuses(),
            false => well(),
        });
        assert!(world.changes.is_empty(), "{:?}", world.changes);
        assert_eq!(world.flips.len(), 1, "{:?}", world.flips);
        assert!(world.flips[0].0 - start <= 11_000, "{:?}", world.flips);
    }
}

#[test]
fn a_start_without_an_uplink_moves_nothing() {
    let mut world = World::new(&["eu", "us"], &["only"], &monitor(Quorum::Any, 2, 2));
    world.run(20, |_| times_out());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
    world.run(10, |_| well());
    assert_eq!((world.health("eu"), world.health("us")), (Up, Up));
}

#[test]
fn a_process_that_was_frozen_lets_no_minority_decide() {
    let vantages = ["a", "b", "c"];
    let mut world = World::settled(&["eu", "us"], &vantages, &monitor(Quorum::Majority, 2, 2));
    let split = |probe: Probe<'_>| match (probe.vantage, probe.pool) {
        ("a", "eu") => refuses(),
        _ => well(),
    };
    world.run(30, split);
    assert_eq!(world.health("eu"), Up);
    // Stopped for two minutes; then the vantage that cannot reach it reports first, and twice.
    world.now += 120_000;
    for _ in 0..2 {
        world.now += 10;
        let observation = Observation {
            target: Arc::clone(&world.pairs[0].target),
            vantage: "a".into(),
            result: bad(),
            took: Duration::ZERO,
        };
        assert!(world.table.observe(&observation, world.moment()).is_empty());
    }
    world.run(30, split);
    assert!(world.flips.is_empty(), "{:?}", world.flips);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    // Where the others are silent without a gap, they leave the vote.
    world.run(40, |probe| {
        if probe.vantage == "a" {
            split(probe)
        } else {
            None
        }
    });
    assert_eq!(world.health("eu"), Down);
}

#[test]
fn a_vantage_that_does_not_report_is_noticed_once() {
    let no_proxy = || Some((20, nothing()));
    let mut world = World::new(&["eu"], &["a", "lost"], &monitor(Quorum::Any, 2, 2));
    let lost = |probe: Probe<'_>| {
        if probe.vantage == "a" {
            well()
        } else {
            no_proxy()
        }
    };
    world.run(60, lost);
    let vantage: Arc<str> = "lost".into();
    let changes = std::mem::take(&mut world.changes);
    let [VantageChange::Silent { vantage: name, age }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!((name, age.as_secs()), (&vantage, 31));
    let vantages: Vec<_> = world.table.vantages(world.moment()).collect();
    assert_eq!(vantages.len(), 2);
    assert!(vantages[0].report_age < Duration::from_secs(6));
    assert_eq!(vantages[1].report_age, Duration::from_secs(60));
    world.run(10, |_| well());
    assert_eq!(world.changes, [VantageChange::Reports { vantage }]);
}

#[test]
fn a_renamed_pool_keeps_what_is_known_of_its_endpoints() {
    let before = monitor(Quorum::Any, 2, 2);
    let renamed = Monitor {
        name: "renamed".into(),
        ..before.clone()
    };
    let other = Monitor {
        port: 81,
        ..before.clone()
    };
    for (monitor, expected) in [(&before, Down), (&renamed, Down), (&other, Unknown)] {
        let mut old = World::settled(&["eu", "us"], &["only"], &before);
        old.run(20, |probe| {
            if probe.pool == "eu" {
                refuses()
            } else {
                well()
            }
        });
        let mut new = World::new(&["europe", "us"], &["only"], monitor);
        new.table.adopt(&old.table);
        assert_eq!(new.health("europe"), expected);
        assert_eq!(new.health("us"), Up);
    }
}

/// Results of one or more vantages: which vantage, and what it saw.
fn history(n_vantages: usize) -> impl Strategy<Value = Vec<(usize, Option<bool>)>> {
    let result = prop_oneof![4 => Just(Some(true)), 4 => Just(Some(false)), 1 => Just(None)];
    prop::collection::vec((0..n_vantages, result), 0..60)
}

fn result(seen: Option<bool>) -> ProbeResult {
    match seen {
        Some(true) => good(),
        Some(false) => bad(),
        None => nothing(),
    }
}

fn quorum() -> impl Strategy<Value = Quorum> {
    prop_oneof![
        Just(Quorum::All),
        Just(Quorum::Any),
        Just(Quorum::Majority),
        (1..5u32).prop_map(|number| Quorum::Count(n(number))),
    ]
}

proptest! {
    /// Whatever the phases of the probes: an uplink that is back within `blind_max` moves nothing.
    #[test]
    fn short_outages_of_the_only_uplink_move_nothing(
        phases in prop::collection::vec(0..INTERVAL * 1_000, 6),
        length in 1..28u64,
        // Where one failure decides, a single lost probe is one.
        threshold in 2..4u32,
        is_refused: bool,
    ) {
        let pools = ["a", "b", "c", "d", "e", "f"];
        let mut world = World::new(&pools, &["only"], &monitor(Quorum::Any, threshold, 2));
        for (pair, phase) in world.pairs.iter_mut().zip(phases) {
            pair.due = phase;
        }
        world.run(30, |_| well());
        world.flips.clear();
        world.run(length, |_| if is_refused { refuses() } else { times_out() });
        world.run(30, |_| well());
        prop_assert!(world.flips.is_empty(), "{:?}", world.flips);
    }

    #[test]
    fn a_verdict_is_what_the_last_full_run_said(
        history in history(1), fall in 1..4u32, rise in 1..4u32
    ) {
        let mut sim = Simulation::new(1, monitor(Quorum::Any, fall, rise));
        let mut evidence = Vec::new();
        let mut expected = Unknown;
        for (_, seen) in history {
            sim.see(0, result(seen));
            evidence.extend(seen);
            if let (Unknown, [only]) = (expected, &evidence[..]) {
                expected = if *only { Up } else { Down };
            }
            let ends_in = |good: bool, count: u32| {
                let run = evidence.iter().rev().take(count as usize);
                run.clone().count() == count as usize && run.into_iter().all(|seen| *seen == good)
            };
            if ends_in(false, fall) {
                expected = Down;
            } else if ends_in(true, if expected == Down { rise } else { 1 }) {
                expected = Up;
            }
            prop_assert_eq!(sim.verdict(0), expected);
            prop_assert_eq!(sim.health(), expected);
        }
    }

    #[test]
    fn the_order_of_the_vantages_does_not_matter(history in history(4), quorum in quorum()) {
        let mut one = Simulation::new(4, monitor(quorum, 2, 2));
        let names = one.vantages.iter().rev().cloned().collect();
        let mut other = Simulation::named(names, monitor(quorum, 2, 2));
        for (vantage, seen) in history {
            let flip = one.see(vantage, result(seen));
            prop_assert_eq!(flip, other.see(3 - vantage, result(seen)));
        }
    }

    #[test]
    fn silence_never_turns_an_endpoint_down(history in history(3), quorum in quorum()) {
        let mut sim = Simulation::new(3, monitor(quorum, 2, 2));
        for (vantage, seen) in history {
            sim.wait(3);
            sim.see(vantage, result(seen));
        }
        for _ in 0..100 {
            let before = sim.health();
            sim.run(1, |_, _| None);
            prop_assert!(sim.health() == before || sim.health() == Up);
        }
    }

    #[test]
    fn a_restart_changes_no_verdict(history in history(3), quorum in quorum()) {
        let mut sim = Simulation::new(3, monitor(quorum, 2, 2));
        for (vantage, seen) in history {
            sim.wait(3);
            sim.see(vantage, result(seen));
            sim.health_table.tick(sim.now());
        }
        let before = sim.health();
        let saved = sim.health_table.saved(sim.now());
        sim.restart();
        prop_assert_eq!(sim.health_table.saved(sim.now()), saved);
        prop_assert!(sim.health_table.tick(sim.now()).is_empty());
        prop_assert_eq!(sim.health(), before);
    }
}
