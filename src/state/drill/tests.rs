//! Drills in simulated time: what they wait for, what ends them, and that there is one at a time.

use std::sync::Arc;

use super::*;
use crate::base::health::Health;
use crate::base::per_family::PerFamily;
use crate::config::model::Config;
use crate::health::observation::Moment;
use crate::health::overrides::Register;
use crate::state::drill_checks::Companions;
use crate::state::drill_checks::Fleet;
use crate::state::drill_checks::UnfitVantage;
use crate::state::evidence::Evidence;
use crate::state::evidence::ShareLimits;
use crate::state::evidence::Spilling;
use crate::state::fixture;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;
use crate::steer::spread::Admission;
use crate::steer::spread::Admitted;

const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

/// Drills of a and b in the same week; c is one name's with a, d is nobody's with a, e is used by no name.
const POOLS: &str = r#"
[monitor.ready]
type = "http"
host = "app.example.com"
path = "/"
load = { header = "x-load" }
[pool.a]
location = [0, 0]
endpoints = ["10.0.0.1"]
monitor = "ready"
drill = { every = "7d", window = "Tue 10:00-16:00", for = "10m" }
[pool.b]
location = [0, 40]
endpoints = ["10.0.0.2"]
monitor = "ready"
spill_at = "80%"
drill = { every = "7d", window = "Tue 10:00-16:00", for = "10m" }
[pool.c]
location = [0, 80]
endpoints = ["10.0.0.3"]
monitor = "ready"
[pool.d]
location = [0, 120]
endpoints = ["10.0.0.4"]
monitor = "ready"
[pool.e]
location = [0, 160]
endpoints = ["10.0.0.5"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a", "b", "c"]
[steer."other.example.com"]
pools = ["b", "d"]
[steer."alone.example.com"]
pools = ["d"]
"#;

const DAY: u64 = 86_400;

/// Tuesday, 2026-07-28, 10:00.
const OPENS: u64 = 1_785_232_800;

const CLOSES: u64 = OPENS + 6 * 3_600;

/// One machine.
struct Machine {
    plan: Arc<Plan>,
    evidence: Evidence,
    overrides: Overrides,
    drills: Drills,
    companions: Companions,
    unfit: Option<UnfitVantage>,
    loads: [Option<u32>; 5],
    is_ready: bool,
    node: &'static str,
    fleet: Option<Fleet>,
    now: u64,
}

impl Machine {
    fn new() -> Self {
        let zones = [("example.com", ZONE)];
        let process = "[health]\nvantage = \"v\"\n[safety]\nmax_down = \"50%\"\n";
        let plan = fixture::plan(process, POOLS, &zones, fixture::embedded_atlas());
        let pools = &plan.config.pools.pools;
        let up = pools
            .iter()
            .map(|pool| vec![Health::Up; pool.endpoints.len()]);
        let mut machine = Self {
            evidence: Evidence {
                endpoints: up.collect(),
                admitted: vec![PerFamily::default(); pools.len()],
                limits: vec![ShareLimits::default(); pools.len()],
                ..Evidence::default()
            },
            plan: Arc::new(plan),
            overrides: Overrides::default(),
            drills: Drills::default(),
            companions: Companions::default(),
            unfit: None,
            loads: [Some(4_000); 5],
            is_ready: true,
            node: "",
            fleet: None,
            now: OPENS - 3_600,
        };
        machine.companions.follow(&machine.plan.config);
        machine.spill(Admitted::ALL);
        machine
    }

    fn of_fleet(node: &'static str, is_leading: bool) -> Self {
        Self {
            node,
            fleet: Some(Fleet {
                is_connected: true,
                is_leading,
                nodes: ["one", "two"].map(Into::into).into(),
            }),
            ..Self::new()
        }
    }

    /// Pool b takes such a share of its own clients.
    fn spill(&mut self, own: Admitted) {
        self.evidence.limits[1].spill = Some(Spilling {
            mark: Load::from(8_000),
            load: None,
            shares: Admission {
                own,
                ..Admission::ALL
            },
            is_full: false,
        });
    }

    fn ramp(&mut self, pool: usize, admitted: Admitted) {
        self.evidence.admitted[pool].v4 = admitted;
    }

    fn set(&mut self, pool: usize, health: Health) {
        self.evidence.endpoints[pool].fill(health);
    }

    fn order(&mut self, pool: &str, state: Forced, begins: Option<u64>) -> Register {
        let override_ = Override {
            state,
            since: self.now,
            begins,
            until: None,
            reason: "".into(),
        };
        self.overrides
            .set(pool, override_, self.node, self.moment())
    }

    fn moment(&self) -> Moment {
        Moment {
            unix_ms: self.now * 1_000,
            ..Moment::default()
        }
    }

    fn judge<T>(&mut self, act: impl FnOnce(&mut Drills, &Known<'_>) -> T) -> T {
        let config: &Config = &self.plan.config;
        let forced = config.pools.pools.iter().map(|pool| {
            let override_ = self.overrides.of(&pool.name);
            let state = override_.map(|override_| override_.state);
            state.filter(|state| *state != shed())
        });
        self.evidence.forced = forced.collect();
        let snapshot = Snapshot::build(Arc::clone(&self.plan), &self.evidence, 1, None);
        let loads = self.loads;
        let known = Known {
            snapshot: &snapshot,
            overrides: &self.overrides,
            companions: &self.companions,
            unfit: self.unfit.clone(),
            load_of: &|pool| loads[pool.index()].map(Load::from),
            moved_from: &|_| Moved {
                share: Some(0.25),
                names: Vec::new(),
            },
            is_ready: self.is_ready,
            node: self.node,
            fleet: self.fleet.clone(),
            now: self.now,
        };
        act(&mut self.drills, &known)
    }

    fn carry_out(&mut self, steps: Steps) -> (Vec<DrillChange>, Vec<Register>) {
        let ended = steps.end.into_iter().map(|pool| (pool, None));
        let begun = steps.begin.map(|(pool, override_)| (pool, Some(override_)));
        let registers = ended.chain(begun).map(|(pool, value)| {
            let now = Moment {
                unix_ms: self.now * 1_000,
                ..Moment::default()
            };
            self.overrides.drill(&pool, value, self.node, now)
        });
        let registers = registers.collect();
        (steps.changes, registers)
    }

    fn tick(&mut self) -> (Vec<DrillChange>, Vec<Register>) {
        self.overrides.begin(self.now);
        self.overrides.expire(self.now);
        let steps = self.judge(Drills::tick);
        self.carry_out(steps)
    }

    /// Takes what another machine has written.
    fn hear(&mut self, registers: Vec<Register>) {
        for register in registers {
            self.overrides.merge(register, self.now);
        }
    }

    /// What happens until a time.
    fn go_to(&mut self, until: u64) -> Vec<(u64, DrillChange)> {
        let mut changes = Vec::new();
        while self.now < until {
            // The minute is fine enough for hours.
            self.now = until.min(self.now + 60);
            changes.extend(self.tick().0.into_iter().map(|change| (self.now, change)));
        }
        changes
    }

    /// Begins a drill by hand.
    fn begin(&mut self, pool: usize) -> Result<Vec<Register>, String> {
        let override_ = Override {
            state: Forced::Drill,
            since: self.now,
            begins: None,
            until: Some(self.now + 600),
            reason: "".into(),
        };
        let by_hand = |drills: &mut Drills, known: &Known<'_>| {
            drills.begin(PoolIx::new(pool), &override_, "ops", known)
        };
        let begun = self
            .judge(by_hand)
            .map_err(|obstacle| obstacle.to_string())?;
        let steps = Steps {
            begin: Some((self.plan.config.pools.pools[pool].name.clone(), override_)),
            end: Vec::new(),
            changes: vec![begun],
        };
        Ok(self.carry_out(steps).1)
    }

    fn is_drilled(&self, pool: &str) -> bool {
        let in_force = self.overrides.of(pool);
        in_force.is_some_and(|override_| override_.state == Forced::Drill)
    }

    fn last(&self, pool: &str) -> Option<(&'static str, &str)> {
        let last = self.drills.of(pool)?.last.as_ref()?;
        Some((last.result.as_str(), &last.reason))
    }
}

fn shed() -> Forced {
    Forced::parse("shed", Some(10)).expect("a state")
}

fn begun(changes: &[(u64, DrillChange)]) -> Vec<(u64, &str)> {
    let begun = changes.iter().filter_map(|(at, change)| match change {
        DrillChange::Begun { pool, .. } => Some((*at, &**pool)),
        _ => None,
    });
    begun.collect()
}

type Change = fn(&mut Machine);

/// What speaks against a drill of pool a, and how that is said.
const OBSTACLES: [(&str, Change, Option<&str>); 19] = [
    ("nothing", |_| {}, None),
    ("a foreign pool is down", |m| m.set(3, Health::Down), None),
    (
        "a foreign pool is drained",
        |m| drop(m.order("d", Forced::Drain, None)),
        None,
    ),
    (
        "not ready",
        |m| m.is_ready = false,
        Some("first round of probes"),
    ),
    (
        "a vantage is silent",
        |m| m.unfit = Some(UnfitVantage::Silent("v".into())),
        Some("vantage `v` does not report"),
    ),
    (
        "a vantage is blind",
        |m| m.unfit = Some(UnfitVantage::Blind("v".into())),
        Some("vantage `v` is blind"),
    ),
    (
        "another is down",
        |m| m.set(2, Health::Down),
        Some("pool `c` is not up for ipv4"),
    ),
    ("another is unproven", |m| m.set(2, Health::Unknown), None),
    (
        "one with a mark is down",
        |m| m.set(1, Health::Down),
        Some("pool `b` is not up for ipv4"),
    ),
    (
        "another is drained",
        |m| drop(m.order("c", Forced::Drain, None)),
        Some("pool `c` has an override"),
    ),
    (
        "another is forced up",
        |m| drop(m.order("c", Forced::Up, None)),
        Some("pool `c` has an override"),
    ),
    (
        "another sheds",
        |m| drop(m.order("c", shed(), None)),
        Some("pool `c` has an override"),
    ),
    (
        "another ramps",
        |m| m.ramp(2, Admitted::percent(50)),
        Some("pool `c` is getting its clients back"),
    ),
    (
        "a load is unknown",
        |m| m.loads[1] = None,
        Some("load of pool `b` is not known"),
    ),
    (
        "a load without a mark is unknown",
        |m| m.loads[2] = None,
        None,
    ),
    (
        "a load is at its mark",
        |m| m.loads[1] = Some(8_000),
        Some("pool `b` has a load of 80 %"),
    ),
    (
        "another spills",
        |m| m.spill(Admitted::percent(90)),
        Some("pool `b` passes clients on"),
    ),
    (
        "more are down than max_down",
        |m| {
            m.set(1, Health::Down);
            m.set(2, Health::Down);
        },
        Some("more pools of `app.example.com` are down than `max_down` allows"),
    ),
    ("disconnected", |m| m.fleet = Some(Fleet::default()), None),
];

/// What speaks against the begin alone.
const OBSTACLES_BEFORE: [(&str, Change, &str); 7] = [
    (
        "it is drained",
        |m| drop(m.order("a", Forced::Drain, None)),
        "pool `a` has an override",
    ),
    (
        "a drain of it is planned",
        |m| drop(m.order("a", Forced::Drain, Some(OPENS + 30 * DAY))),
        "pool `a` has an override",
    ),
    (
        "a drain of another is planned for meanwhile",
        |m| drop(m.order("c", Forced::Drain, Some(m.now + 600))),
        "pool `c` has an override",
    ),
    (
        "it is down",
        |m| m.set(0, Health::Down),
        "pool `a` is not up for ipv4",
    ),
    (
        "it ramps",
        |m| m.ramp(0, Admitted::percent(10)),
        "pool `a` is getting its clients back",
    ),
    (
        "disconnected",
        |m| m.fleet = Some(Fleet::default()),
        "no connection to its fleet",
    ),
    (
        "another is drilled",
        |m| {
            m.begin(3).expect_err("alone has no other pool");
            m.begin(1).expect("nothing speaks against it");
        },
        "pool `b` is drilled",
    ),
];

#[test]
fn a_drill_begins_only_where_nothing_speaks_against_it() {
    for (row, change, expected) in OBSTACLES.iter().filter(|(row, ..)| *row != "disconnected") {
        let mut machine = Machine::new();
        change(&mut machine);
        let refused = machine.begin(0).err();
        match expected {
            None => assert_eq!(refused, None, "{row}"),
            Some(expected) => {
                assert!(
                    refused.as_ref().is_some_and(|r| r.contains(expected)),
                    "{row}: {refused:?}"
                );
            }
        }
        assert_eq!(machine.is_drilled("a"), expected.is_none(), "{row}");
    }
    for (row, change, expected) in OBSTACLES_BEFORE {
        let mut machine = Machine::new();
        change(&mut machine);
        let refused = machine.begin(0).expect_err(row);
        assert!(refused.contains(expected), "{row}: {refused}");
        assert!(!machine.is_drilled("a"), "{row}");
    }
    let mut machine = Machine::new();
    drop(machine.order("c", Forced::Drain, Some(machine.now + 601)));
    assert_eq!(machine.begin(0).err(), None, "planned for later");
    assert!(machine.begin(4).is_err());
    for (pool, expected) in [
        (4, "no steered name"),
        (3, "clients of `alone.example.com`"),
    ] {
        let refused = Machine::new().begin(pool).expect_err(expected);
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_drill_ends_as_soon_as_anything_speaks_against_it() {
    for (row, change, expected) in OBSTACLES {
        let mut machine = Machine::new();
        machine.begin(0).expect("nothing speaks against it");
        machine.now += 30;
        assert_eq!(machine.tick().0, [], "{row}");
        change(&mut machine);
        let changes = machine.tick().0;
        assert_eq!(machine.is_drilled("a"), expected.is_none(), "{row}");
        let Some(expected) = expected else {
            assert_eq!(changes, [], "{row}");
            continue;
        };
        assert!(
            matches!(&changes[..], [DrillChange::Ended { .. }]),
            "{row}: {changes:?}"
        );
        let (result, reason) = machine.last("a").expect(row);
        assert!(
            result == "aborted" && reason.contains(expected),
            "{row}: {reason}"
        );
        assert_eq!(machine.tick().0, [], "{row}: once");
    }
}

#[test]
fn operators_and_the_end_of_the_process_end_it() {
    type Ends = fn(&mut Machine);
    let rows: [(&str, Ends, &str); 4] = [
        (
            "cleared",
            |m| drop(m.overrides.clear("a", "", m.moment())),
            "an operator ended it",
        ),
        (
            "replaced",
            |m| drop(m.order("a", Forced::Drain, None)),
            "override `drain` was set",
        ),
        (
            "stopped",
            |m| {
                let steps = m.judge(|drills, known| drills.stop(known));
                assert_eq!(m.carry_out(steps).1.len(), 1);
            },
            "told to stop",
        ),
        (
            "killed",
            |m| m.drills = Drills::default(),
            "process that began it has ended",
        ),
    ];
    for (row, end, expected) in rows {
        let mut machine = Machine::new();
        machine.begin(0).expect("nothing speaks against it");
        machine.now += 30;
        machine.tick();
        end(&mut machine);
        machine.tick();
        assert!(!machine.is_drilled("a"), "{row}");
        let (result, reason) = machine.last("a").expect(row);
        assert!(
            result == "aborted" && reason.contains(expected),
            "{row}: {reason}"
        );
    }
}

#[test]
fn a_drill_that_nothing_disturbs_ends_when_its_time_is_over() {
    let mut machine = Machine::new();
    machine.begin(0).expect("nothing speaks against it");
    machine.now += 300;
    machine.loads[1] = Some(7_000);
    machine.tick();
    machine.loads[1] = Some(6_000);
    machine.now += 299;
    assert_eq!(machine.tick().0, []);
    assert!(machine.is_drilled("a"));
    machine.now += 1;
    let changes = machine.tick().0;
    assert!(!machine.is_drilled("a"));
    let [DrillChange::Ended { pool, outcome }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!((&**pool, outcome.result), ("a", DrillResult::Completed));
    assert_eq!(
        (outcome.begun, outcome.ended),
        (machine.now - 600, machine.now)
    );
    assert_eq!(outcome.moved.share, Some(0.25));
    let loads = outcome.loads.iter().map(|change| {
        let (before, most) = (change.before.map(u32::from), change.most.map(u32::from));
        (&*change.pool, before, most)
    });
    let expected = [("a", 4_000), ("b", 7_000), ("c", 4_000)];
    let expected = expected.map(|(pool, most)| (pool, Some(4_000), Some(most)));
    assert_eq!(loads.collect::<Vec<_>>(), expected);
}

#[test]
fn pools_are_drilled_once_in_each_window() {
    let mut machine = Machine::new();
    let changes = machine.go_to(OPENS + 20 * DAY);
    let begun = begun(&changes);
    for pool in ["a", "b"] {
        let times = begun.iter().filter(|(_, begun)| *begun == pool);
        let weeks: Vec<u64> = times.map(|(at, _)| (at - OPENS) / (7 * DAY)).collect();
        assert_eq!(weeks, [0, 1, 2], "{pool}: {begun:?}");
    }
    for (at, _) in &begun {
        let in_week = (at - OPENS) % (7 * DAY);
        assert!(in_week <= CLOSES - OPENS - 600, "{in_week}");
    }
    let completed = |(_, change): &(u64, DrillChange)| match change {
        DrillChange::Ended { outcome, .. } => outcome.result == DrillResult::Completed,
        DrillChange::Begun { .. } => true,
        _ => false,
    };
    assert!(changes.iter().all(completed), "{changes:?}");
}

#[test]
fn a_drill_waits_in_its_window_and_is_skipped_behind_it() {
    let mut machine = Machine::new();
    machine.set(2, Health::Down);
    let changes = machine.go_to(CLOSES - 660);
    let [
        (_, DrillChange::Postponed { .. }),
        (
            _,
            DrillChange::Postponed {
                pool,
                reason,
                latest,
            },
        ),
    ] = &changes[..]
    else {
        panic!("each once: {changes:?}");
    };
    assert!(["a", "b"].contains(&&**pool), "{pool}");
    assert_eq!(
        (&**reason, *latest),
        ("pool `c` is not up for ipv4", CLOSES - 600)
    );
    assert_eq!(
        machine.drills.postponed("a"),
        Some("pool `c` is not up for ipv4")
    );
    machine.set(2, Health::Up);
    let changes = machine.go_to(CLOSES - 600);
    assert_eq!(begun(&changes), [(CLOSES - 600, "a")]);
    // b must be over when the window closes.
    let changes = machine.go_to(CLOSES);
    assert!(begun(&changes).is_empty(), "{changes:?}");
    assert_eq!(machine.last("b"), Some(("skipped", "pool `a` is drilled")));
    assert_eq!(machine.last("a"), Some(("completed", "")));
    assert_eq!(machine.drills.postponed("b"), None);
    // It had none, so that the next one comes with the next window.
    let changes = machine.go_to(CLOSES + 7 * DAY);
    assert_eq!(begun(&changes).len(), 2, "{changes:?}");
}

#[test]
fn a_restart_does_not_bring_the_next_one_forward() {
    let mut machine = Machine::new();
    machine.go_to(CLOSES);
    let records = machine.drills.records().clone();
    let mut next = Machine {
        now: CLOSES - 3_600,
        drills: Drills::resume(records),
        ..Machine::new()
    };
    assert_eq!(next.go_to(CLOSES), []);
    assert_eq!(begun(&next.go_to(CLOSES + 7 * DAY)).len(), 2);
}

#[test]
fn of_two_that_begin_unheard_the_later_ends() {
    for (row, seconds_apart, first, second) in
        [("by time", 1, "two", "one"), ("by node", 0, "one", "two")]
    {
        let (mut earlier, mut later) = (
            Machine::of_fleet(first, true),
            Machine::of_fleet(second, false),
        );
        let of_first = earlier.begin(0).expect(row);
        later.now += seconds_apart;
        earlier.now = later.now;
        let of_second = later.begin(1).expect(row);
        earlier.hear(of_second);
        later.hear(of_first);
        assert_eq!(
            earlier.tick(),
            (Vec::new(), Vec::new()),
            "{row}: it goes on, and leaves the other alone"
        );
        let ended = later.tick().1;
        let (result, reason) = later.last("b").expect(row);
        assert_eq!(result, "aborted", "{row}");
        assert!(
            reason.contains(&format!("pool `a` on node `{first}` began before")),
            "{row}: {reason}"
        );
        earlier.hear(ended);
        for machine in [&earlier, &later] {
            assert!(machine.is_drilled("a") && !machine.is_drilled("b"), "{row}");
        }
        // None begins meanwhile, here or there.
        assert!(
            later.begin(1).is_err() && earlier.begin(1).is_err(),
            "{row}"
        );
    }
}

#[test]
fn any_machine_ends_a_drill_and_the_one_that_began_it_has_the_result() {
    let (mut one, mut two) = (
        Machine::of_fleet("one", true),
        Machine::of_fleet("two", false),
    );
    let begun = one.begin(0).expect("nothing speaks against it");
    let now = one.now;
    two.hear(begun);
    assert_eq!(two.tick(), (Vec::new(), Vec::new()));
    assert_eq!(
        two.drills.of("a").and_then(|record| record.begun),
        Some(now)
    );
    two.set(2, Health::Down);
    let (changes, ended) = two.tick();
    assert_eq!(
        changes,
        [DrillChange::EndedHere {
            pool: "a".into(),
            node: "one".into(),
            reason: "pool `c` is not up for ipv4".into(),
        }]
    );
    assert_eq!(two.last("a"), None);
    one.hear(ended);
    one.tick();
    assert!(!one.is_drilled("a"));
    let (result, reason) = one.last("a").expect("a result");
    assert!(
        result == "aborted" && reason.contains("node `two` ended it"),
        "{reason}"
    );
}

#[test]
fn a_drill_of_a_lost_node_ends_unless_this_one_is_cut_off_itself() {
    for (is_connected, is_over) in [(true, true), (false, false)] {
        let (mut one, mut two) = (
            Machine::of_fleet("one", true),
            Machine::of_fleet("two", false),
        );
        let begun = one.begin(0).expect("nothing speaks against it");
        two.hear(begun);
        two.fleet = Some(Fleet {
            is_connected,
            ..Fleet::default()
        });
        two.tick();
        assert_eq!(!two.is_drilled("a"), is_over);
    }
}

#[test]
fn only_the_node_that_leads_begins_those_of_the_configuration() {
    let mut follows = Machine::of_fleet("two", false);
    assert_eq!(follows.go_to(CLOSES), []);
    // One that is cut off says why it begins none.
    follows.fleet = Some(Fleet::default());
    let changes = follows.go_to(CLOSES + 7 * DAY);
    assert!(begun(&changes).is_empty());
    let (result, reason) = follows.last("a").expect("a result");
    assert!(
        result == "skipped" && reason.contains("no connection to its fleet"),
        "{reason}"
    );
}

#[test]
fn an_operator_who_does_not_know_of_a_drill_wins_over_it() {
    let (mut one, mut two) = (
        Machine::of_fleet("one", true),
        Machine::of_fleet("two", false),
    );
    let drain = two.order("a", Forced::Drain, None);
    one.now += 5;
    two.now += 5;
    let begun = one.begin(0).expect("it has not heard of it");
    let now = one.now;
    two.hear(begun);
    one.overrides.merge(drain, now);
    for machine in [&mut one, &mut two] {
        machine.tick();
        let state = machine.overrides.of("a").map(|o| o.state);
        assert_eq!(state, Some(Forced::Drain), "{}", machine.node);
    }
    assert_eq!(one.last("a"), Some(("aborted", "override `drain` was set")));
}
