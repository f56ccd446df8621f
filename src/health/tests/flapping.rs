//! Endpoints that fail now and then: `failures_in_window` and flap damping, in simulated time.

use super::*;
use crate::health::monitor::FailureWindow;
use crate::health::tests::blindness::World;
use crate::health::tests::blindness::refuses;
use crate::health::tests::blindness::well;

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
