//! A simulated fleet: the real code of evidence, reports and overrides on any number of machines, in simulated
//! time, through random schedules of faults. README.md says how it is used.

#![expect(clippy::panic, reason = "a failed test shows its seeds")]

mod invariants;
mod machine;
#[path = "../support/random.rs"]
#[expect(dead_code, reason = "no fault needs a fraction")]
mod random;
mod schedule;
mod settings;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "nobody asks these machines")]
mod support;
mod world;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;

use crate::random::Random;
use crate::schedule::Schedule;
use crate::world::World;

/// How many random schedules a plain `cargo test` runs.
const SCHEDULES: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
    )
}

/// Runs the schedule of a seed; returns what went wrong, with all that happened before.
fn run(seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let schedule = Schedule::new(&mut random);
    let told = format!("{schedule:?}");
    let steps: Vec<_> = schedule.steps.clone();
    World::run(schedule, random).map_err(|violation| {
        let steps = steps.iter().filter(|(at, _)| *at <= violation.at);
        let steps: Vec<_> = steps
            .map(|(at, fault)| format!("{at:>7} {fault:?}\n"))
            .collect();
        let shape = told.split(", steps:").next().unwrap_or_default();
        let after = told.rsplit("], heal:").next().unwrap_or_default();
        format!(
            "seed {seed}: invariant {}, violated at {} ms:\n{}\n\n{shape}, heal:{after}\n{}\
             Again: MERIDIAN_FLEET_SEED={seed} cargo test --test fleet\n\
             Keep it: add the seed to tests/fleet/seeds.txt\n",
            violation.invariant,
            violation.at,
            violation.what,
            steps.concat(),
        )
    })
}

/// Runs many, on all processors; panics with the first failure by seed.
fn run_all(seeds: &[u64]) {
    let next = AtomicU64::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(seed) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            usize::try_from(at).ok().and_then(|at| seeds.get(at))
        } {
            if let Err(failure) = run(*seed) {
                failures.push((*seed, failure));
            }
        }
        failures
    };
    let n = thread::available_parallelism().map_or(1, usize::from);
    let mut failures: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..n).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    failures.sort();
    if let Some((_, first)) = failures.first() {
        let seeds: Vec<_> = failures.iter().map(|(seed, _)| seed.to_string()).collect();
        panic!(
            "{first}\n{} of the seeds fail: {}",
            failures.len(),
            seeds.join(" ")
        );
    }
}

#[test]
fn schedules_that_failed_once_hold() {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines.filter_map(|line| line.split('#').next()?.trim().parse().ok());
    run_all(&seeds.collect::<Vec<_>>());
}

#[test]
fn random_schedules_hold() {
    match number("MERIDIAN_FLEET_SEED") {
        Some(seed) => run_all(&[seed]),
        None => {
            let n = number("MERIDIAN_FLEET_SCHEDULES").unwrap_or(SCHEDULES);
            run_all(&(1..=n).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_seed_always_gives_the_same() {
    let shape = |seed| format!("{:?}", Schedule::new(&mut Random::new(seed)));
    assert_eq!(shape(1), shape(1));
    assert_ne!(shape(1), shape(2));
}
