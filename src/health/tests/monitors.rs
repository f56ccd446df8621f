//! Several monitors of one pool: those that have a vote, and those that are only watched.

use super::*;
use crate::health::report::Ignored;
use crate::health::report::Saved;

const ADDRESS: [u8; 4] = [192, 0, 2, 10];

/// One endpoint with these monitors, each with a port of its own, probed by one vantage.
struct World {
    table: HealthTable,
    targets: Vec<Arc<Target>>,
    second: u64,
}

impl World {
    fn new(monitors: &[(&str, bool)]) -> Self {
        let targets = monitors.iter().map(|(name, has_vote)| {
            let port = name.bytes().map(u16::from).sum();
            let monitor = Monitor {
                name: (*name).into(),
                port,
                ..monitor(Quorum::Majority, 1, 1)
            };
            Arc::new(Target::new(
                "west".into(),
                IpAddr::from(ADDRESS),
                Arc::new(monitor),
                *has_vote,
            ))
        });
        let targets: Vec<_> = targets.collect();
        Self {
            table: Self::table(&targets),
            targets,
            second: 100,
        }
    }

    fn table(targets: &[Arc<Target>]) -> HealthTable {
        let pairs = targets
            .iter()
            .map(|target| (Arc::clone(target), "v".into()));
        HealthTable::new(pairs, LIMITS)
    }

    fn now(&self) -> Moment {
        Moment {
            elapsed: Duration::from_secs(self.second),
            unix_ms: (1_700_000_000 + self.second) * 1_000,
        }
    }

    fn observation(&self, monitor: usize, result: ProbeResult) -> Observation {
        Observation {
            target: Arc::clone(&self.targets[monitor]),
            vantage: "v".into(),
            result,
            took: Duration::ZERO,
            load: None,
        }
    }

    /// What changes when these monitors have these results: health before and after, and the reason.
    fn see(&mut self, results: &[(usize, ProbeResult)]) -> Vec<(Health, Health, Option<String>)> {
        self.second += 1;
        let mut flips = Vec::new();
        for (monitor, result) in results {
            let observation = self.observation(*monitor, result.clone());
            flips.extend(self.table.observe(&observation, self.now()));
        }
        flips.extend(self.table.tick(self.now()));
        let reason = |flip: &Flip| Some(flip.cause.as_ref()?.reason.as_ref()?.to_string());
        flips
            .iter()
            .map(|flip| (flip.from, flip.to, reason(flip)))
            .collect()
    }

    fn health(&self) -> Health {
        self.table.health("west", IpAddr::from(ADDRESS))
    }

    /// What each monitor says, in the table's order.
    fn verdicts(&self) -> Vec<Health> {
        self.table
            .view(self.now())
            .map(|view| view.health)
            .collect()
    }

    /// Goes on with these monitors, as after a reload.
    fn reload(&mut self, monitors: &[(&str, bool)]) {
        let next = Self::new(monitors);
        let before = std::mem::replace(&mut self.table, next.table);
        self.table.adopt(&before);
        self.targets = next.targets;
    }

    fn restored(monitors: &[(&str, bool)], saved: &Saved) -> Self {
        let mut world = Self::new(monitors);
        world.table.restore(saved, world.now());
        world
    }
}

#[test]
fn an_endpoint_is_up_when_all_monitors_say_so() {
    let mut world = World::new(&[("ready", true), ("db", true)]);
    assert_eq!(world.see(&[(0, good())]), []);
    assert_eq!(world.health(), Unknown, "one has not said anything");
    assert_eq!(world.see(&[(1, good())]), [(Unknown, Up, None)]);
    let reason = Some("connection refused (monitor db)".to_owned());
    assert_eq!(world.see(&[(1, bad())]), [(Up, Down, reason)]);
    assert_eq!(world.see(&[(0, bad())]), [], "it is down already");
    assert_eq!(world.see(&[(1, good())]), [], "the other still says down");
    assert_eq!(world.health(), Down);
    assert_eq!(world.see(&[(0, good())]), [(Down, Up, None)]);
}

#[test]
fn a_monitor_that_is_watched_changes_nothing() {
    let mut world = World::new(&[("ready", true), ("slow", false)]);
    world.see(&[(0, good())]);
    assert_eq!(world.see(&[(1, bad())]), []);
    assert_eq!((world.health(), world.verdicts()), (Up, vec![Up, Down]));
    let has_vote = |monitor| {
        let observation = world.observation(monitor, bad());
        world.table.has_vote(&observation, world.now())
    };
    assert_eq!([has_vote(0), has_vote(1)], [true, false]);
    // Nor where there is no other.
    let mut world = World::new(&[("slow", false)]);
    assert_eq!(world.see(&[(0, bad())]), []);
    assert_eq!((world.health(), world.verdicts()), (Unknown, vec![Down]));
}

#[test]
fn regions_hear_all_monitors_too() {
    let mut world = World::new(&[("ready", true), ("db", true)]);
    for target in &mut world.targets {
        let monitor = Monitor {
            quorum_scope: QuorumScope::Region,
            ..(*target.monitor).clone()
        };
        Arc::make_mut(target).monitor = Arc::new(monitor);
    }
    let region: Box<[Box<str>]> = ["v".into()].into();
    world.table = World::table(&world.targets).with_regions(vec![region]);
    world.see(&[(0, good()), (1, good())]);
    world.table.take_regional_flips();
    let in_region = |world: &World| world.table.health_in(0, "west", IpAddr::from(ADDRESS));
    assert_eq!(in_region(&world), Up);
    world.see(&[(1, bad())]);
    assert_eq!(in_region(&world), Down);
    assert_eq!(world.table.take_regional_flips().len(), 1);
    world.see(&[(0, bad())]);
    assert_eq!(world.table.take_regional_flips().len(), 0, "down already");
}

#[test]
fn a_monitor_that_is_added_moves_nothing_until_it_has_a_result() {
    let both = [("ready", true), ("db", true)];
    for (result, expected) in [(good(), Up), (bad(), Down)] {
        let mut world = World::new(&both[..1]);
        world.see(&[(0, result)]);
        world.reload(&both);
        assert_eq!((world.health(), world.table.n_awaited()), (expected, 1));
        assert_eq!(
            world.see(&[(0, good())]).len(),
            0,
            "the new one says as before"
        );
        world.see(&[(1, good())]);
        assert_eq!(world.health(), Up);
        assert_eq!(world.see(&[(1, bad())]).len(), 1);
        // One that is taken away, or has no vote any more, is not asked.
        world.reload(&both[..1]);
        assert_eq!(world.health(), Up);
        world.reload(&[("db", true), ("ready", false)]);
        assert_eq!(world.health(), Up, "new again, it says what the other does");
    }
}

#[test]
fn each_monitors_verdict_outlives_a_restart() {
    let both = [("ready", true), ("db", true)];
    let mut world = World::new(&both);
    world.see(&[(0, good()), (1, bad())]);
    let saved = world.table.saved(world.now());
    assert_eq!(World::restored(&both, &saved).verdicts(), [Up, Down]);
    let turned = [both[1], both[0]];
    assert_eq!(World::restored(&turned, &saved).verdicts(), [Down, Up]);
    assert_eq!(World::restored(&both[..1], &saved).verdicts(), [Up]);
    // Of a pool with one, and of releases before there could be several, the name is not kept.
    let mut world = World::new(&both[..1]);
    world.see(&[(0, bad())]);
    let saved = world.table.saved(world.now());
    assert_eq!(saved.endpoints[0].monitor, None);
    assert_eq!(
        World::restored(&[("other", true)], &saved).verdicts(),
        [Down]
    );
    assert_eq!(World::restored(&both, &saved).verdicts(), [Down, Unknown]);
}

#[test]
fn other_machines_say_which_monitor_they_report_of() {
    let mut world = World::new(&[("ready", true), ("db", true)]);
    world.see(&[(0, good()), (1, bad())]);
    let mut reports = world.table.report();
    reports[0].vantage = "there/v".into();
    // In another order, and by other names.
    let mut other = World::new(&[("bd", true), ("ready", true), ("slow", false)]);
    let (flips, ignored) = other.table.hear(&reports, other.now());
    assert_eq!((flips.len(), ignored), (1, Ignored::default()));
    assert_eq!(other.verdicts(), [Down, Up, Unknown]);
    let mut other = World::new(&[("ready", true)]);
    let (_, ignored) = other.table.hear(&reports, other.now());
    let expected = Ignored {
        other_check: 1,
        ..Ignored::default()
    };
    assert_eq!((other.verdicts(), ignored), (vec![Up], expected));
}
