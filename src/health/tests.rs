//! Simulated time: vantages probe endpoints on schedule, and endpoints fail on schedule.

mod blindness;
mod flapping;
mod horizon;
mod load;
mod monitors;
mod regional;
mod remote;
mod witness;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::base::health::Health;
use crate::base::health::Health::Down;
use crate::base::health::Health::Unknown;
use crate::base::health::Health::Up;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::health_table::Limits;
use crate::health::monitor::Monitor;
use crate::health::monitor::MonitorKind;
use crate::health::monitor::Quorum;
use crate::health::monitor::QuorumScope;
use crate::health::monitor::Unproven;
use crate::health::observation::Moment;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::health::observation::Target;

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
        failures_in_window: None,
        damping: None,
        quorum,
        quorum_scope: QuorumScope::Global,
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
        let address = IpAddr::from([192, 0, 2, 10]);
        Self::of(
            vantages,
            Target::new("west".into(), address, Arc::new(monitor), true),
        )
    }

    fn of(vantages: Vec<Arc<str>>, target: Target) -> Self {
        let target = Arc::new(target);
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
            unix_ms: (1_700_000_000 + self.second) * 1_000,
        }
    }

    fn see(&mut self, vantage: usize, result: ProbeResult) -> Option<Flip> {
        let observation = Observation {
            target: Arc::clone(&self.target),
            vantage: Arc::clone(&self.vantages[vantage]),
            result,
            took: Duration::ZERO,
            load: None,
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
        view.vantages[vantage].streak.verdict
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
fn a_reload_keeps_runs_only_while_the_check_is_the_same() {
    let before = monitor(Quorum::Any, 3, 2);
    let other = monitor(Quorum::All, 3, 2);
    for (after, probed_at, flips_at_once) in [
        (before.clone(), "192.0.2.10:80", true),
        (before.clone(), "192.0.2.10:81", false),
        (before.clone(), "10.0.0.10:80", false),
        (other, "192.0.2.10:80", false),
    ] {
        let mut old = Simulation::new(1, before.clone());
        old.run(10, |_, _| Some(good()));
        old.see(0, bad());
        old.see(0, bad());
        let target = Target {
            probed_at: probed_at.parse().expect("an address"),
            monitor: Arc::new(after),
            ..(*old.target).clone()
        };
        let mut new = Simulation::of(old.vantages.clone(), target);
        new.second = old.second;
        new.health_table.adopt(&old.health_table);
        assert_eq!(new.health(), Up);

        // A probe of the check before may still come in.
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
    let failure = vantage.streak.last_failure.as_ref().expect("a failure");
    assert_eq!(&*failure.reason, "connection refused");
    assert_eq!(failure.at, 1_700_000_005);
    assert_eq!(
        (vantage.streak.verdict, vantage.streak.since),
        (Up, Some(1_700_000_010))
    );
    let fault = vantage.streak.no_evidence.as_ref().expect("a fault");
    assert_eq!(&*fault.reason, "proxy: connection refused");
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
        let mut saved = sim.health_table.saved(sim.now());
        for vantage in &mut saved.endpoints[0].vantages {
            // Runs of results start over.
            (vantage.record.latest, vantage.record.run) = (Unknown, 0);
        }
        sim.restart();
        prop_assert_eq!(sim.health_table.saved(sim.now()), saved);
        prop_assert!(sim.health_table.tick(sim.now()).is_empty());
        prop_assert_eq!(sim.health(), before);
    }
}
