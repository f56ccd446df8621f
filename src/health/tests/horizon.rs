//! For how long an endpoint is known to stay what it is, in simulated time.

use super::*;
use crate::health::horizon::Cause;
use crate::health::horizon::Horizon;
use crate::health::monitor::Damping;
use crate::health::monitor::FailureWindow;

/// Seconds that pass between two probes at the least, of ten.
const GAP: u32 = 9;

fn slow(quorum: Quorum, failure_threshold: u32, success_threshold: u32) -> Monitor {
    Monitor {
        interval: Duration::from_secs(10),
        ..monitor(quorum, failure_threshold, success_threshold)
    }
}

impl Simulation {
    fn horizon(&self) -> Horizon {
        let horizon = self
            .health_table
            .horizon("west", self.target.address, self.now());
        horizon.expect("it has a monitor")
    }

    /// Seconds, what they lead to, and how many results there are of how many.
    fn probes(&self) -> (u32, Health, u32, u32) {
        let horizon = self.horizon();
        match horizon.cause {
            Cause::Probes { to, n, of, .. } => (horizon.seconds, to, n, of),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_result_of_a_run_brings_the_change_nearer() {
    let mut sim = Simulation::new(1, slow(Quorum::Any, 3, 2));
    assert_eq!(
        sim.probes(),
        (0, Down, 0, 1),
        "the first result decides alone"
    );
    for (result, expected) in [
        (good(), (2 * GAP, Down, 0, 3)),
        (good(), (2 * GAP, Down, 0, 3)),
        (bad(), (GAP, Down, 1, 3)),
        (good(), (2 * GAP, Down, 0, 3)),
        (bad(), (GAP, Down, 1, 3)),
        (nothing(), (GAP, Down, 1, 3)),
        (bad(), (0, Down, 2, 3)),
        (bad(), (GAP, Up, 0, 2)),
        (bad(), (GAP, Up, 0, 2)),
        (good(), (0, Up, 1, 2)),
        (bad(), (GAP, Up, 0, 2)),
        (good(), (0, Up, 1, 2)),
        (good(), (2 * GAP, Down, 0, 3)),
    ] {
        sim.see(0, result.clone());
        assert_eq!(sim.probes(), expected, "{result:?}");
        sim.wait(9);
        assert_eq!(sim.probes(), expected, "it does not count down");
        sim.wait(1);
    }
    let other = IpAddr::from([192, 0, 2, 99]);
    assert_eq!(sim.health_table.horizon("west", other, sim.now()), None);
}

#[test]
fn as_many_vantages_must_change_as_the_quorum_asks_for() {
    for (quorum, one_failed, one_down) in [
        (Quorum::Any, GAP, None),
        (Quorum::Majority, 2 * GAP, Some(2 * GAP)),
        (Quorum::All, 2 * GAP, Some(2 * GAP)),
    ] {
        let mut sim = Simulation::new(3, slow(quorum, 3, 2));
        (0..3).for_each(|vantage| drop(sim.see(vantage, good())));
        assert_eq!(sim.probes(), (2 * GAP, Down, 0, 3), "{quorum:?}");
        sim.see(0, bad());
        assert_eq!(sim.probes().0, one_failed, "{quorum:?}");
        sim.see(0, bad());
        sim.see(0, bad());
        if let Some(expected) = one_down {
            assert_eq!(sim.probes(), (expected, Down, 0, 3), "{quorum:?}");
        }
        sim.see(1, bad());
        sim.see(1, bad());
        let expected = match quorum {
            // The one that says down must come to say up, or this one not to.
            Quorum::Any => (GAP, Up, 0, 2),
            Quorum::Majority => (0, Down, 2, 3),
            _ => (2 * GAP, Down, 0, 3),
        };
        assert_eq!(sim.probes(), expected, "{quorum:?}");
    }
}

#[test]
fn a_window_of_failures_counts_where_it_is_nearer() {
    let window = FailureWindow {
        failures: n(3),
        length: Duration::from_secs(60),
    };
    let mut sim = Simulation::new(
        1,
        Monitor {
            failures_in_window: Some(window),
            ..slow(Quorum::Any, 4, 2)
        },
    );
    for (result, expected) in [
        (good(), (2 * GAP, Down, 0, 3)),
        (bad(), (GAP, Down, 1, 3)),
        (good(), (GAP, Down, 1, 3)),
        (bad(), (0, Down, 2, 3)),
        (good(), (0, Down, 2, 3)),
    ] {
        sim.see(0, result);
        assert_eq!(sim.probes(), expected);
        sim.wait(1);
    }
    sim.wait(60);
    assert_eq!(sim.probes(), (2 * GAP, Down, 0, 3), "they are too old");
}

#[test]
fn a_suppression_counts_down_on_a_grid() {
    let damping = Damping {
        half_life: Duration::from_secs(60),
        suppress: 1.5,
        reuse: 1.0,
    };
    let mut sim = Simulation::new(
        1,
        Monitor {
            damping: Some(damping),
            ..slow(Quorum::Any, 1, 1)
        },
    );
    // Two changes to down at once: a penalty of 2, which takes a half-life.
    [good(), bad(), good(), bad(), good()]
        .into_iter()
        .for_each(|result| drop(sim.see(0, result)));
    assert_eq!(sim.health(), Down);
    let mut steps = vec![sim.horizon().seconds];
    let endpoint = sim.target.address;
    while sim.health() == Down {
        let horizon = sim.horizon();
        if horizon.seconds > 0 {
            assert_eq!(horizon.cause, Cause::Suppressed { endpoint });
        }
        if Some(&horizon.seconds) != steps.last() {
            steps.push(horizon.seconds);
        }
        sim.wait(1);
        sim.see(0, good());
    }
    assert_eq!(steps, [45, 30, 20, 15, 10, 7, 5, 3, 2, 1, 0]);
    assert_eq!(sim.second, 61);
}

#[test]
fn each_region_is_looked_at() {
    let monitor = Monitor {
        quorum_scope: QuorumScope::Region,
        ..slow(Quorum::Majority, 3, 2)
    };
    let mut sim = Simulation::new(3, monitor);
    let regions = vec![["v0".into(), "v1".into()].into(), ["v2".into()].into()];
    sim.health_table = sim.health_table.with_regions(regions);
    (0..3).for_each(|vantage| drop(sim.see(vantage, good())));
    assert_eq!(sim.probes(), (2 * GAP, Down, 0, 3));
    sim.see(0, bad());
    assert_eq!(sim.probes().0, 2 * GAP, "one of two vantages there");
    sim.see(2, bad());
    assert_eq!(sim.probes(), (GAP, Down, 1, 3), "the only one there");
}

#[test]
fn countdowns_hold_until_the_next_tick() {
    for (remaining_ms, seconds) in [
        (0, 0),
        (1_999, 0),
        (2_000, 1),
        (4_000, 3),
        (5_999, 3),
        (6_000, 5),
        (61_000, 60),
        (90_000, 60),
        (1_801_000, 1_800),
        (86_400_000, 1_800),
    ] {
        let horizon = Horizon::countdown(Duration::from_millis(remaining_ms), Cause::Ramp);
        assert_eq!(horizon.seconds, seconds, "{remaining_ms} ms");
    }
}

proptest! {
    /// Whatever the vantages see, an endpoint does not change before its horizon.
    #[test]
    fn nothing_changes_before_the_horizon(
        results in proptest::collection::vec(proptest::array::uniform3(any::<bool>()), 4..40),
        thresholds in (1..5_u32, 1..5_u32),
        quorum in quorum(),
        window in proptest::option::of((1..6_u32, 5..60_u64)),
    ) {
        let window = window.map(|(failures, seconds)| FailureWindow {
            failures: n(failures),
            length: Duration::from_secs(seconds),
        });
        let mut sim = Simulation::new(3, Monitor {
            failures_in_window: window,
            ..monitor(quorum, thresholds.0, thresholds.1)
        });
        let mut promises: Vec<(u64, Horizon)> = Vec::new();
        for round in results {
            for second in 0..INTERVAL {
                let before = sim.health();
                sim.second += 1;
                if let Some(is_good) = round.get(second as usize) {
                    sim.see(second as usize, if *is_good { good() } else { bad() });
                }
                sim.health_table.tick(sim.now());
                if sim.health() != before {
                    for (end, promise) in &promises {
                        prop_assert!(*end <= sim.second, "{promise:?} {before:?} at {}", sim.second);
                    }
                    promises.clear();
                }
                // Which vantages vote is known once all have reported.
                if sim.second > INTERVAL {
                    let horizon = sim.horizon();
                    promises.push((sim.second + u64::from(horizon.seconds), horizon));
                }
            }
        }
    }
}

#[test]
fn an_endpoint_goes_down_with_its_first_monitor_and_comes_up_with_its_last() {
    let target = |name: &str, thresholds: (u32, u32), has_vote| {
        let monitor = Monitor {
            name: name.into(),
            ..slow(Quorum::Any, thresholds.0, thresholds.1)
        };
        Arc::new(Target::new(
            "west".into(),
            IpAddr::from([192, 0, 2, 10]),
            Arc::new(monitor),
            has_vote,
        ))
    };
    let targets = [
        target("ready", (3, 2), true),
        target("database", (2, 4), true),
        target("trial", (1, 1), false),
    ];
    let vantage: Arc<str> = "v0".into();
    let pairs = targets.iter().map(|t| (Arc::clone(t), vantage.clone()));
    let mut table = HealthTable::new(pairs, LIMITS);
    for (at, result, expected) in [
        (0, good(), (0, Down)),
        (1, good(), (GAP, Down)),
        (2, good(), (GAP, Down)),
        (2, bad(), (GAP, Down)),
        (1, bad(), (0, Down)),
        (1, bad(), (3 * GAP, Up)),
        // As long as the one is down, the other one's state makes no difference.
        (0, bad(), (3 * GAP, Up)),
        (1, good(), (2 * GAP, Up)),
    ] {
        let observation = Observation {
            target: Arc::clone(&targets[at]),
            vantage: Arc::clone(&vantage),
            result,
            took: Duration::ZERO,
            load: None,
        };
        let now = Moment::default();
        table.observe(&observation, now);
        let horizon = table.horizon("west", targets[0].address, now);
        let horizon = horizon.expect("it has monitors");
        match horizon.cause {
            Cause::Probes { to, .. } => assert_eq!((horizon.seconds, to), expected, "{at}"),
            other => panic!("{other:?}"),
        }
    }
}
