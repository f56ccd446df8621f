//! Loads: what counts, and for how long.

use super::*;
use crate::base::per_family::PerFamily;
use crate::health::load::Load;
use crate::health::load::NoLoad;
use crate::health::report::EndpointReport;
use crate::health::report::VantageReport;
use crate::health::report::VerdictRecord;

/// Two endpoints, the second with three times the weight, and some vantages.
fn world(n_vantages: usize) -> (Simulation, Arc<Target>) {
    let mut sim = Simulation::new(n_vantages, monitor(Quorum::Majority, 2, 2));
    let second = Arc::new(Target::new(
        Arc::clone(&sim.target.pool),
        IpAddr::from([192, 0, 2, 11]),
        Arc::clone(&sim.target.monitor),
        true,
    ));
    let targets = [Arc::clone(&sim.target), Arc::clone(&second)];
    let vantages = sim.vantages.clone();
    let pairs = targets.iter().flat_map(|target| {
        let vantages = vantages.iter();
        vantages.map(|vantage| (Arc::clone(target), Arc::clone(vantage)))
    });
    sim.health_table = HealthTable::new(pairs, LIMITS);
    sim.second = 100;
    (sim, second)
}

impl Simulation {
    fn report(&mut self, vantage: usize, target: &Arc<Target>, result: ProbeResult, load: u32) {
        let observation = Observation {
            target: Arc::clone(target),
            vantage: Arc::clone(&self.vantages[vantage]),
            result,
            took: Duration::ZERO,
            load: Some(Ok(Load::from(load))),
        };
        self.health_table.observe(&observation, self.now());
    }

    /// In ten-thousandths.
    fn load(&self) -> Option<u32> {
        let weight = |address| match address {
            address if address == self.target.address => 1,
            _ => 3,
        };
        let load = self.health_table.pool_load("west", weight, self.now());
        load.map(u32::from)
    }
}

#[test]
fn endpoints_count_by_weight() {
    let (mut sim, second) = world(1);
    let first = Arc::clone(&sim.target);
    assert_eq!(sim.load(), None);
    sim.report(0, &first, good(), 4_000);
    assert_eq!(sim.load(), Some(4_000), "the only one known");
    sim.report(0, &second, good(), 8_000);
    assert_eq!(sim.load(), Some(7_000));
    assert_eq!(sim.health_table.pool_load("east", |_| 1, sim.now()), None);
    assert_eq!(sim.health_table.pool_load("west", |_| 0, sim.now()), None);
}

#[test]
fn the_median_of_the_vantages_counts() {
    for (loads, expected) in [
        (&[9_000][..], 9_000),
        (&[2_000, 9_000], 9_000),
        (&[9_000, 2_000], 9_000),
        (&[0, 8_000, 8_200], 8_000),
        (&[100_000, 8_000, 8_200], 8_200),
        (&[0, 0, 8_000, 8_200], 8_000),
    ] {
        let (mut sim, second) = world(loads.len());
        for (vantage, load) in loads.iter().enumerate() {
            sim.report(vantage, &second, good(), *load);
        }
        assert_eq!(sim.load(), Some(expected), "{loads:?}");
    }
}

#[test]
fn a_load_is_gone_with_what_it_came_with() {
    let (mut sim, second) = world(1);
    sim.report(0, &second, good(), 5_000);
    sim.wait(30);
    assert_eq!(sim.load(), Some(5_000));
    sim.wait(1);
    assert_eq!(sim.load(), None, "old");
    sim.report(0, &second, good(), 5_000);
    sim.report(0, &second, nothing(), 9_000);
    assert_eq!(sim.load(), Some(5_000), "no evidence changes nothing");
    sim.report(0, &second, bad(), 9_000);
    assert_eq!(sim.load(), None, "a failed probe has none");
    sim.report(0, &second, good(), 5_000);
    let unreadable = Observation {
        target: second,
        vantage: Arc::clone(&sim.vantages[0]),
        result: good(),
        took: Duration::ZERO,
        load: Some(Err(NoLoad::Unreadable)),
    };
    sim.health_table.observe(&unreadable, sim.now());
    assert_eq!(sim.load(), None, "and one whose load cannot be read");
}

#[test]
fn loads_are_reported_and_kept_over_a_reload_and_not_over_a_restart() {
    let (mut sim, second) = world(1);
    sim.report(0, &second, good(), 5_000);
    let reported = sim.health_table.report();
    let loads = reported[0].endpoints.iter().map(|e| e.record.load);
    assert_eq!(loads.collect::<Vec<_>>(), [Some(Load::from(5_000))]);
    let (mut reloaded, _) = world(1);
    reloaded.health_table.adopt(&sim.health_table);
    assert_eq!(reloaded.load(), Some(5_000));
    let (mut restarted, _) = world(1);
    let saved = sim.health_table.saved(sim.now());
    restarted.health_table.restore(&saved, sim.now());
    assert_eq!(restarted.load(), None);
}

#[test]
fn another_machines_load_is_as_old_as_its_probe() {
    let (mut sim, second) = world(1);
    let report = VantageReport {
        vantage: "ns2".into(),
        is_blind: PerFamily::both(false),
        endpoints: vec![EndpointReport {
            pool: Arc::clone(&second.pool),
            address: second.address,
            check: second.monitor.fingerprint(),
            record: VerdictRecord {
                verdict: Up,
                latest: Up,
                probed_ms: Some((1_700_000_000 + sim.second - 20) * 1_000),
                load: Some(Load::from(6_000)),
                ..VerdictRecord::default()
            },
        }],
    };
    let now = sim.now();
    sim.health_table.hear(std::slice::from_ref(&report), now);
    sim.wait(10);
    assert_eq!(sim.load(), Some(6_000));
    sim.wait(1);
    assert_eq!(sim.load(), None);
    let mut blind = report;
    blind.is_blind.v4 = true;
    blind.endpoints[0].record.probed_ms = Some((1_700_000_000 + sim.second) * 1_000);
    let now = sim.now();
    sim.health_table.hear(std::slice::from_ref(&blind), now);
    assert_eq!(sim.load(), None, "a blind vantage sees none");
}
