//! Verdicts by region.

use super::*;

/// Two vantages near one another, one elsewhere, one that is nowhere.
fn regional() -> Simulation {
    let monitor = Monitor {
        quorum_scope: QuorumScope::Region,
        ..monitor(Quorum::Majority, 2, 2)
    };
    let mut sim = Simulation::new(4, monitor);
    sim.health_table = sim.health_table.with_regions(regions());
    sim
}

fn regions() -> Vec<Box<[Box<str>]>> {
    vec![["v0".into(), "v1".into()].into(), ["v2".into()].into()]
}

impl Simulation {
    /// The health of the endpoint for all, and for the clients of each region.
    fn healths(&self) -> [Health; 3] {
        let (pool, address) = (&self.target.pool, self.target.address);
        let table = &self.health_table;
        [
            table.health(pool, address),
            table.health_in(0, pool, address),
            table.health_in(1, pool, address),
        ]
    }

    /// A round of probes of every vantage that reports.
    fn round(&mut self, results: [Option<ProbeResult>; 4]) -> [Health; 3] {
        for (vantage, result) in results.into_iter().enumerate() {
            if let Some(result) = result {
                self.see(vantage, result);
            }
        }
        for _ in 0..INTERVAL {
            self.second += 1;
            self.health_table.tick(self.now());
        }
        self.healths()
    }
}

#[test]
fn an_endpoint_is_down_where_the_vantages_near_the_client_say_so() {
    let mut sim = regional();
    let (up, down) = (|| Some(good()), || Some(bad()));
    assert_eq!(sim.healths(), [Unknown; 3]);
    assert_eq!(sim.round([up(), up(), up(), up()]), [Up; 3]);
    assert_eq!(
        sim.health_table.take_regional_flips().len(),
        0,
        "as all together"
    );
    sim.round([up(), up(), down(), up()]);
    let healths = sim.round([up(), up(), down(), up()]);
    assert_eq!(healths, [Up, Up, Down], "the majority of one");
    let flips = sim.health_table.take_regional_flips();
    assert_eq!(flips.len(), 1);
    assert_eq!((&*flips[0].vantages, flips[0].to), ("v2", Some(Down)));
    // One of two is no majority; then three of four are.
    sim.round([down(), up(), down(), up()]);
    assert_eq!(sim.round([down(), up(), down(), up()]), [Up, Up, Down]);
    sim.round([down(), up(), down(), down()]);
    assert_eq!(sim.round([down(), up(), down(), down()]), [Down, Up, Down]);
    sim.round([up(), up(), up(), down()]);
    assert_eq!(sim.round([up(), up(), up(), down()]), [Up; 3]);
}

#[test]
fn a_silent_region_has_the_verdict_of_all() {
    let mut sim = regional();
    let (up, down) = (|| Some(good()), || Some(bad()));
    for _ in 0..2 {
        sim.round([up(), up(), down(), up()]);
    }
    assert_eq!(sim.healths(), [Up, Up, Down]);
    for _ in 0..8 {
        sim.round([up(), up(), None, up()]);
    }
    assert_eq!(sim.healths(), [Up; 3]);
    // The one that is left must not decide by the other's silence.
    for _ in 0..2 {
        sim.round([up(), down(), up(), up()]);
    }
    assert_eq!(sim.healths(), [Up; 3]);
    for _ in 0..8 {
        sim.round([None, None, up(), up()]);
    }
    assert_eq!(sim.healths(), [Up; 3]);
}

#[test]
fn regions_outlive_a_reload_and_a_restart() {
    let mut sim = regional();
    let (up, down) = (|| Some(good()), || Some(bad()));
    for _ in 0..2 {
        sim.round([up(), up(), down(), up()]);
    }
    let mut reloaded = regional();
    reloaded.health_table.adopt(&sim.health_table);
    assert_eq!(reloaded.healths(), [Up, Up, Down]);
    let mut restarted = regional();
    let saved = sim.health_table.saved(sim.now());
    restarted.health_table.restore(&saved, restarted.now());
    assert_eq!(restarted.healths(), [Up, Up, Down]);
    // Without regions, or with a global scope, there is one verdict.
    let mut global = Simulation::new(4, monitor(Quorum::Majority, 2, 2));
    global.health_table = global.health_table.with_regions(regions());
    for _ in 0..2 {
        global.round([up(), up(), down(), up()]);
    }
    assert_eq!(global.healths(), [Up; 3]);
}
