//! Witnesses: whether it is the network of the vantage or the pools, in simulated time.

use std::net::SocketAddr;

use super::*;
use crate::base::prefix::Family;
use crate::health::observation::WitnessObservation;
use crate::health::tests::blindness::WitnessOf;
use crate::health::tests::blindness::World;
use crate::health::tests::blindness::has_no_route;
use crate::health::tests::blindness::refuses;
use crate::health::tests::blindness::times_out;
use crate::health::tests::blindness::well;
use crate::health::vantage::VantageChange;

const POOLS: [&str; 3] = ["eu", "us", "jp"];

fn address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 443))
}

impl World {
    /// A world in which all is well, and whose one vantage has a witness that is asked at this phase.
    fn witnessed(pools: &[&str], phase: u64, is_reached: bool) -> Self {
        let mut world = Self::new(pools, &["only"], &monitor(Quorum::Any, 2, 2));
        let vantage: Arc<str> = "only".into();
        let table = std::mem::replace(&mut world.table, HealthTable::new([], LIMITS));
        world.table = table.with_witnesses([(Arc::clone(&vantage), address())]);
        let observation = WitnessObservation {
            vantage,
            witness: address(),
            is_reached,
        };
        world.witnesses.push(WitnessOf {
            observation,
            due: phase,
        });
        world.run(30, |_| well());
        assert!(world.changes.is_empty(), "{:?}", world.changes);
        world.flips.clear();
        world
    }

    fn witness_is_reached(&mut self, is_reached: bool) {
        self.witnesses[0].observation.is_reached = is_reached;
    }
}

fn blind(n_witnesses: usize) -> VantageChange {
    VantageChange::Blind {
        vantage: "only".into(),
        family: Family::V4,
        n_witnesses,
    }
}

fn sees() -> VantageChange {
    VantageChange::Sees {
        vantage: "only".into(),
        family: Family::V4,
    }
}

#[test]
fn a_vantage_is_blind_for_as_long_as_its_witness_is_gone() {
    for failure in [times_out(), refuses()] {
        // Whoever answers first when the network is back: the witness or a pool.
        for phase in [0, 1_200, 2_500, 4_000] {
            for length in [24, 90, 300] {
                let mut world = World::witnessed(&POOLS, phase, true);
                world.witness_is_reached(false);
                world.run(length, |_| failure.clone());
                assert_eq!(std::mem::take(&mut world.changes), [blind(1)], "{length} s");
                let is_blind = |world: &World| {
                    let vantage = world.table.vantages(Moment::default()).next();
                    let vantage = vantage.expect("one");
                    let (_, is_reached) = vantage.witnesses[0];
                    (vantage.blind_since.v4.is_some(), is_reached)
                };
                assert_eq!(is_blind(&world), (true, false), "{length} s");
                world.witness_is_reached(true);
                world.run(60, |_| well());
                assert!(world.flips.is_empty(), "{length} s: {:?}", world.flips);
                assert_eq!(world.changes, [sees()], "{length} s");
                assert_eq!(is_blind(&world), (false, true), "{length} s");
            }
        }
    }
}

#[test]
fn pools_that_all_fail_are_down_at_once_where_the_witness_is_reached() {
    for failure in [times_out(), refuses()] {
        let mut world = World::witnessed(&POOLS, 2_500, true);
        let start = world.now;
        world.run(60, |_| failure.clone());
        assert_eq!(world.flips.len(), 3, "{:?}", world.flips);
        for (at, pool, to) in &world.flips {
            // The bound, and until the witness is asked next.
            assert!(
                *to == Down && at - start <= 20_000,
                "{pool}: {}",
                at - start
            );
        }
        assert!(world.changes.is_empty(), "{:?}", world.changes);
    }
}

#[test]
fn pools_that_stay_away_are_down_once_the_witness_is_back() {
    let mut world = World::witnessed(&POOLS, 2_500, true);
    world.witness_is_reached(false);
    world.run(90, |_| times_out());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
    world.witness_is_reached(true);
    let back = world.now;
    world.run(30, |_| times_out());
    assert_eq!(world.flips.len(), 3, "{:?}", world.flips);
    assert!(world.flips.iter().all(|(at, ..)| at - back <= 25_000));
    assert_eq!(world.changes, [blind(1), sees()]);
}

#[test]
fn an_outage_moves_nothing_where_a_witness_that_was_gone_answers_first() {
    for phase in [0, 1_200, 2_500, 4_000] {
        for length in 12..18 {
            let mut world = World::witnessed(&POOLS, phase, true);
            world.witness_is_reached(false);
            world.run(20, |_| well());
            world.run(length, |_| times_out());
            world.witness_is_reached(true);
            world.run(30, |_| well());
            assert!(world.flips.is_empty(), "{length} s: {:?}", world.flips);
        }
    }
}

#[test]
fn an_uplink_that_flaps_moves_nothing() {
    let mut world = World::witnessed(&POOLS, 2_500, true);
    for _ in 0..5 {
        world.witness_is_reached(false);
        world.run(60, |_| times_out());
        // Back for so long that the witness is asked, and no pool.
        world.run((world.witnesses[0].due - world.now) / 1_000, |_| {
            times_out()
        });
        world.witness_is_reached(true);
        world.run(1, |_| times_out());
    }
    world.run(30, |_| well());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
}

#[test]
fn a_witness_that_was_never_reached_proves_nothing() {
    let mut world = World::witnessed(&POOLS, 0, false);
    world.run(60, |_| well());
    let useless = VantageChange::WitnessUseless {
        vantage: "only".into(),
        witness: address(),
    };
    assert_eq!(std::mem::take(&mut world.changes), [useless]);
    let start = world.now;
    world.run(60, |_| times_out());
    assert_eq!(world.changes[0], blind(0));
    assert_eq!(world.flips.len(), 3, "{:?}", world.flips);
    let after = |at: u64| (at - start) / 1_000;
    assert!(
        world
            .flips
            .iter()
            .all(|(at, ..)| (30..45).contains(&after(*at)))
    );
}

#[test]
fn a_pool_that_dies_while_the_witness_is_gone_is_down_in_time() {
    for pools in [&POOLS[..], &POOLS[..1]] {
        let mut world = World::witnessed(pools, 2_500, true);
        world.witness_is_reached(false);
        world.run(30, |_| well());
        let start = world.now;
        world.run(30, |probe| {
            if probe.pool == "eu" {
                times_out()
            } else {
                well()
            }
        });
        assert_eq!(world.flips.len(), 1, "{:?}", world.flips);
        assert!(world.flips[0].0 - start <= 15_000, "{:?}", world.flips);
        assert!(world.changes.is_empty(), "{:?}", world.changes);
    }
}

#[test]
fn a_witness_of_the_other_family_says_nothing() {
    let mut world = World::witnessed(&["eu6", "us6"], 2_500, true);
    let start = world.now;
    world.run(60, |_| times_out());
    assert_eq!(world.flips.len(), 2, "{:?}", world.flips);
    assert!(world.flips.iter().all(|(at, ..)| at - start >= 30_000));
}

#[test]
fn a_vantage_without_a_route_has_its_witness_too() {
    let mut world = World::witnessed(&POOLS, 2_500, true);
    world.witness_is_reached(false);
    world.run(120, |_| has_no_route());
    assert!(world.changes.contains(&blind(1)), "{:?}", world.changes);
    world.witness_is_reached(true);
    world.run(30, |_| well());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
}

#[test]
fn a_reload_keeps_what_is_known_of_a_witness() {
    let mut world = World::witnessed(&POOLS, 2_500, true);
    world.witness_is_reached(false);
    world.run(20, |_| times_out());
    let after = World::new(&POOLS, &["only"], &monitor(Quorum::Any, 2, 2));
    let mut table = after.table.with_witnesses([("only".into(), address())]);
    table.adopt(&world.table);
    world.table = table;
    world.run(100, |_| times_out());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
    // Without the witness, blindness ends as ever.
    let mut table = World::new(&POOLS, &["only"], &monitor(Quorum::Any, 2, 2)).table;
    table.adopt(&world.table);
    world.table = table;
    world.run(20, |_| times_out());
    assert_eq!(world.flips.len(), 3, "{:?}", world.flips);
}

proptest! {
    /// Whatever the phases of the probes: an outage of the uplink moves nothing, however long it is.
    #[test]
    fn no_outage_of_the_uplink_moves_anything(
        phases in prop::collection::vec(0..INTERVAL * 1_000, 4),
        length in 1..120u64,
        is_refused: bool,
    ) {
        let mut world = World::witnessed(&POOLS, phases[3], true);
        for (pair, phase) in world.pairs.iter_mut().zip(&phases) {
            pair.due = world.now + phase;
        }
        world.run(10, |_| well());
        world.witness_is_reached(false);
        world.run(length, |_| if is_refused { refuses() } else { times_out() });
        world.witness_is_reached(true);
        world.run(30, |_| well());
        prop_assert!(world.flips.is_empty(), "{:?}", world.flips);
    }
}
