//! Endpoints that fail now and then: `failures_in_window` and flap damping, in simulated time.

use super::*;
use crate::health::monitor::Damping;
use crate::health::monitor::FailureWindow;
use crate::health::tests::blindness::World;
use crate::health::tests::blindness::refuses;
use crate::health::tests::blindness::well;
use crate::health::vantage::VantageChange;

fn windowed(failures: u32, seconds: u64) -> Monitor {
    Monitor {
        failures_in_window: Some(FailureWindow {
            failures: n(failures),
            length: Duration::from_secs(seconds),
        }),
        ..monitor(Quorum::Any, 2, 2)
    }
}

#[test]
fn failures_in_a_window_need_not_be_in_a_row() {
    // A probe every five seconds, as letters: good, bad, no evidence; then the verdicts after each.
    for (window, results, verdicts) in [
        // In a row is down as ever.
        ((3, 60), "gbbgg", "uuddu"),
        // The third failure in a minute, none of them in a row.
        ((3, 60), "gbgbgb", "uuuuud"),
        // At 5, 25 and 70 s: never three in a minute. The first result decides alone as ever.
        ((3, 60), "bgggbggggggggbg", "dduuuuuuuuuuuuu"),
        // Two successes make it up, but only once the window holds less than three.
        ((3, 30), "gbgbgbggg", "uuuuudddu"),
        // What is no evidence is no failure.
        ((3, 60), "gb.g.b.gb", "uuuuuuuud"),
        // One failure is enough, and keeps it down for as long as the window is.
        ((1, 10), "gbgggb", "udddud"),
    ] {
        let mut sim = Simulation::new(1, windowed(window.0, window.1));
        let mut seen = String::new();
        for letter in results.chars() {
            sim.wait(INTERVAL);
            sim.see(
                0,
                match letter {
                    'g' => good(),
                    'b' => bad(),
                    _ => nothing(),
                },
            );
            seen.push(if sim.verdict(0) == Down { 'd' } else { 'u' });
        }
        assert_eq!(seen, verdicts, "{window:?} {results}");
    }
}

#[test]
fn a_flip_shows_whether_the_window_is_full_or_the_failures_are_in_a_row() {
    for (results, reason) in [
        (
            [good(), bad(), good(), bad(), good(), bad()],
            "3 failures in 60s, the latest: connection refused",
        ),
        (
            [good(), good(), good(), good(), bad(), bad()],
            "connection refused",
        ),
    ] {
        let mut sim = Simulation::new(1, windowed(3, 60));
        let flips = results.map(|result| {
            sim.wait(INTERVAL);
            sim.see(0, result)
        });
        let down = flips.iter().flatten().find(|flip| flip.to == Down);
        let cause = down.and_then(|flip| flip.cause.as_ref()).expect("a probe");
        assert_eq!(cause.reason.as_deref(), Some(reason));
    }
}

#[test]
fn failures_that_were_the_vantages_own_do_not_fill_the_window() {
    let mut world = World::settled(&["eu", "us"], &["only"], &windowed(3, 60));
    for _ in 0..3 {
        world.run(6, |_| refuses());
        world.run(10, |_| well());
    }
    world.run(6, |probe| {
        if probe.pool == "eu" {
            refuses()
        } else {
            well()
        }
    });
    world.run(10, |_| well());
    assert!(world.flips.is_empty(), "{:?}", world.flips);
}

const DAMPING: Damping = Damping {
    half_life: Duration::from_secs(300),
    suppress: 3.0,
    reuse: 1.0,
};

fn damped(damping: Damping) -> Monitor {
    Monitor {
        damping: Some(damping),
        ..monitor(Quorum::Any, 1, 1)
    }
}

/// One vantage whose endpoint was up and has gone down for the fourth time in 40 seconds.
fn suppressed() -> Simulation {
    let mut sim = Simulation::new(1, damped(DAMPING));
    for result in [bad(), good(), bad(), good(), bad(), good(), bad()] {
        sim.wait(INTERVAL);
        sim.see(0, result);
    }
    sim.wait(1);
    sim
}

#[test]
fn an_endpoint_that_flaps_is_suppressed_until_it_has_been_stable() {
    let mut sim = suppressed();
    let changes = sim.health_table.take_changes();
    let [VantageChange::Suppressed { target, until, .. }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(*target, sim.target);
    // The penalty is a little below 4, so that two half-lives are a little too much.
    let (until, begin) = (*until, sim.now().unix());
    assert!((580..600).contains(&(until - begin)), "{until}");
    let shown = |sim: &Simulation| {
        let view = sim.health_table.view(sim.now()).next().expect("one");
        view.vantages[0].suppressed_until
    };
    assert_eq!(shown(&sim), Some(until));

    // It answers all the while, and is up when the penalty is low enough, without another probe.
    sim.run(until - begin - 5, |_, _| Some(good()));
    assert_eq!((sim.verdict(0), sim.health()), (Down, Down));
    let flips = sim.wait(10);
    assert_eq!(flips.len(), 1, "{flips:?}");
    assert_eq!((flips[0].from, flips[0].to), (Down, Up));
    assert_eq!(
        flips[0].cause.as_ref().map(|cause| &*cause.vantage),
        Some("v0")
    );
    assert_eq!((sim.verdict(0), shown(&sim)), (Up, None));
    assert!(matches!(
        sim.health_table.take_changes()[..],
        [VantageChange::Reused { .. }]
    ));
}

#[test]
fn one_that_goes_on_flapping_stays_suppressed() {
    let mut sim = suppressed();
    sim.run(3_600, |_, second| match second / INTERVAL % 2 {
        0 => Some(good()),
        _ => Some(bad()),
    });
    assert_eq!(sim.verdict(0), Down);
    // From the ceiling, four half-lives.
    sim.run(1_190, |_, _| Some(good()));
    assert_eq!(sim.verdict(0), Down);
    sim.run(20, |_, _| Some(good()));
    assert_eq!(sim.verdict(0), Up);
}

#[test]
fn a_suppressed_endpoint_that_is_dead_stays_down() {
    let mut sim = suppressed();
    sim.run(1_000, |_, _| Some(bad()));
    assert_eq!(sim.verdict(0), Down);
    assert!(matches!(
        sim.health_table.take_changes()[..],
        [
            VantageChange::Suppressed { .. },
            VantageChange::Reused { .. }
        ]
    ));
    assert_eq!(sim.see(0, good()).expect("a flip").to, Up);
}

#[test]
fn suppression_outlives_a_restart_and_a_reload() {
    // The time in which nothing runs counts: a penalty decays by the clock on the wall.
    for (what, gap, left) in [("at once", 0, 580), ("minutes later", 300, 280)] {
        let mut sim = suppressed();
        let saved = sim.health_table.saved(sim.now());
        let pairs = [(Arc::clone(&sim.target), sim.vantages[0].clone())];
        sim.health_table = HealthTable::new(pairs, LIMITS);
        sim.second += gap;
        sim.health_table.restore(&saved, sim.now());
        sim.run(left - 15, |_, _| Some(good()));
        assert_eq!(sim.verdict(0), Down, "{what}");
        sim.run(30, |_, _| Some(good()));
        assert_eq!(sim.verdict(0), Up, "{what}");
    }
    let again = |damping| Monitor {
        damping,
        ..damped(DAMPING)
    };
    let gentle = Damping {
        half_life: Duration::from_secs(30),
        ..DAMPING
    };
    for (what, monitor, left) in [
        ("the same monitor", again(Some(DAMPING)), 580),
        ("a shorter half-life", again(Some(gentle)), 55),
        ("no damping", again(None), 0),
    ] {
        let mut old = suppressed();
        old.run(5, |_, _| Some(good()));
        let mut new = Simulation::new(1, monitor);
        new.second = old.second;
        new.health_table.adopt(&old.health_table);
        assert_eq!(new.health(), Down, "{what}");
        if left > 0 {
            new.run(left - 20, |_, _| Some(good()));
            assert_eq!(new.verdict(0), Down, "{what}");
        }
        new.run(40, |_, _| Some(good()));
        assert_eq!(new.verdict(0), Up, "{what}");
    }
}

#[test]
fn damping_at_one_vantage_leaves_the_others_their_verdicts() {
    let majority = Monitor {
        quorum: Quorum::Majority,
        quorum_scope: QuorumScope::Global,
        ..damped(DAMPING)
    };
    let mut sim = Simulation::new(3, majority);
    sim.run(120, |vantage, second| {
        match (vantage, second / INTERVAL % 2) {
            (0, 0) => Some(bad()),
            _ => Some(good()),
        }
    });
    assert_eq!(sim.verdict(0), Down);
    assert_eq!((sim.verdict(1), sim.verdict(2), sim.health()), (Up, Up, Up));
}

proptest! {
    /// What `health::damping` promises, over every span between two changes to down.
    #[test]
    fn no_schedule_changes_to_down_more_often_than_damping_allows(
        results in prop::collection::vec((1..20u64, prop::bool::weighted(0.5)), 0..400),
        half_life in 30..600u64,
        reuse in 0.5..3.0,
        above in 1.1..8.0,
    ) {
        let suppress: f64 = reuse * above;
        let half_life = Duration::from_secs(half_life);
        let damping = Damping { half_life, suppress, reuse };
        let mut sim = Simulation::new(1, damped(damping));
        let mut went_down: Vec<u64> = Vec::new();
        for (gap, is_good) in results {
            sim.wait(gap);
            let before = sim.verdict(0);
            sim.see(0, if is_good { good() } else { bad() });
            if before != Down && sim.verdict(0) == Down {
                went_down.push(sim.second);
            }
        }
        for (first, start) in went_down.iter().enumerate() {
            for (nth, end) in (1_u32..).zip(&went_down[first..]) {
                let half_lives = (end - start) as f64 / half_life.as_secs_f64();
                let bound = (suppress + 1.0) * (1.0 + std::f64::consts::LN_2 * half_lives);
                prop_assert!(f64::from(nth) <= bound, "{nth} in {} s, {damping:?}", end - start);
            }
        }
    }
}
