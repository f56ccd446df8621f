//! A vantage whose uplink fails, and one whose endpoints do, in simulated time.

use super::*;
use crate::base::prefix::Family;
use crate::health::failure::Phase;
use crate::health::observation::WitnessObservation;
use crate::health::vantage::VantageChange;

/// Pools of one endpoint each, their vantages, and a clock that counts milliseconds.
pub(super) struct World {
    pub(super) table: HealthTable,
    pub(super) pairs: Vec<Probing>,
    pub(super) now: u64,
    pub(super) flips: Vec<(u64, String, Health)>,
    pub(super) changes: Vec<VantageChange>,
    /// Each vantage's witnesses, when they are asked, and whether they can be reached.
    pub(super) witnesses: Vec<WitnessOf>,
}

/// A pair of witness and vantage.
pub(super) struct WitnessOf {
    pub(super) observation: WitnessObservation,
    pub(super) due: u64,
}

/// A pair of endpoint and vantage.
pub(super) struct Probing {
    target: Arc<Target>,
    vantage: Arc<str>,
    pub(super) due: u64,
    /// When the probe that runs will be finished, how long it will have taken, and its result.
    running: Option<(u64, u64, ProbeResult)>,
}

/// A probe of a pool from a vantage.
#[derive(Clone, Copy)]
pub(super) struct Probe<'a> {
    pub(super) pool: &'a str,
    pub(super) vantage: &'a str,
}

/// How long a probe takes, and its result; `None`: it is never heard of again.
pub(super) type Outcome = Option<(u64, ProbeResult)>;

const STEP: u64 = 10;

pub(super) fn well() -> Outcome {
    Some((20, good()))
}

pub(super) fn times_out() -> Outcome {
    let (after, phase) = (Duration::from_secs(4), Phase::Connect);
    let timeout = ProbeFailure::Timeout { after, phase };
    Some((4_000, ProbeResult::Failure(timeout)))
}

pub(super) fn refuses() -> Outcome {
    Some((20, bad()))
}

pub(super) fn has_no_route() -> Outcome {
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
    pub(super) fn new(pools: &[&str], vantages: &[&str], monitor: &Monitor) -> Self {
        let monitor = Arc::new(monitor.clone());
        let target = |(at, pool): (usize, &&str)| {
            // A pool that ends in 6 has IPv6.
            let address = match pool.ends_with('6') {
                true => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, at as u16]),
                false => IpAddr::from([192, 0, 2, at as u8]),
            };
            Arc::new(Target::new(
                (*pool).into(),
                address,
                Arc::clone(&monitor),
                true,
            ))
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
            witnesses: Vec::new(),
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            elapsed: Duration::from_millis(self.now),
            unix_ms: 1_700_000_000_000 + self.now,
        }
    }

    pub(super) fn run(&mut self, seconds: u64, network: impl Fn(Probe<'_>) -> Outcome) {
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
                        load: None,
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
            for witness in &mut self.witnesses {
                if witness.due <= self.now {
                    witness.due = self.now + INTERVAL * 1_000;
                    flips.extend(self.table.observe_witness(&witness.observation, now));
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

    pub(super) fn health(&self, pool: &str) -> Health {
        let mut pairs = self.pairs.iter();
        let pair = pairs.find(|p| &*p.target.pool == pool).expect("a pool");
        self.table.health(pool, pair.target.address)
    }

    /// Everything well for a while, and nothing to say about it.
    pub(super) fn settled(pools: &[&str], vantages: &[&str], monitor: &Monitor) -> Self {
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
                [VantageChange::Blind {
                    vantage,
                    family,
                    n_witnesses: 0
                }]
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
                family,
                n_witnesses: 0,
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
fn an_outage_moves_nothing_where_a_pool_that_was_down_answers_first() {
    let pools = ["eu", "us", "jp"];
    for failure in [times_out(), refuses()] {
        for length in 10..28 {
            let mut world = World::settled(&pools, &["only"], &monitor(Quorum::Any, 2, 2));
            world.run(30, |probe| {
                if probe.pool == "jp" {
                    refuses()
                } else {
                    well()
                }
            });
            assert_eq!(world.health("jp"), Down);
            world.flips.clear();
            world.run(length, |_| failure.clone());
            world.run(30, |_| well());
            let flips = world.flips.iter().map(|(_, pool, to)| (&**pool, *to));
            assert_eq!(flips.collect::<Vec<_>>(), [("jp", Up)], "{length} s");
        }
    }
}

#[test]
fn a_pool_that_answers_now_and_then_hides_no_failure_of_others() {
    let pools = ["eu", "us", "jp"];
    for (what, before, after) in [
        ("comes back", refuses(), well()),
        ("is unfit and answers", answers_503(), answers_503()),
        ("is unfit and comes back", refuses(), answers_503()),
    ] {
        let mut world = World::settled(&pools, &["only"], &monitor(Quorum::Any, 2, 2));
        world.run(30, |probe| {
            if probe.pool == "jp" {
                before.clone()
            } else {
                well()
            }
        });
        let start = world.now;
        world.flips.clear();
        world.run(60, |probe| {
            if probe.pool == "jp" {
                after.clone()
            } else {
                times_out()
            }
        });
        assert_eq!((world.health("eu"), world.health("us")), (Down, Down));
        for (at, pool, to) in &world.flips {
            let after = at - start;
            assert!(*to == Up || after <= 25_000, "{what}: {pool} {after} ms");
        }
    }
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
    assert_eq!(
        world.changes,
        [VantageChange::Blind {
            vantage,
            family,
            n_witnesses: 0
        }]
    );
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
    assert_eq!(
        world.changes,
        [VantageChange::Blind {
            vantage,
            family,
            n_witnesses: 0
        }]
    );
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
        let blind = VantageChange::Blind {
            vantage,
            family,
            n_witnesses: 0,
        };
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
            load: None,
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
}
