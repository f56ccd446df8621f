//! `Horizons`: for how long each pool is known to stay as it is, which bounds the TTLs of names with a range
//! (`ttl = { min, max }`).
//!
//! A pool can change when an override begins or ends, when a ramp takes its next step, when its load moves its
//! shares, and when the probes of an endpoint can change its health ([`crate::health::horizon`]). No clock: times
//! come in.
//!
//! An answer whose TTL ends before the horizon is gone from caches when the pool changes; `min` is the most
//! that it can outlive that by. A new snapshot is due only when the seconds of a horizon change, cut to the
//! range of the names that use the pool: with a result of a probe, or with a step of a countdown's grid. What
//! gets shorter is published at once, what gets longer with the next tick. So in any time a pool causes at most
//! one publication for each failed probe of it (for a pool that is down: each success), and all pools
//! together one a second beyond those.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ix::PoolIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::config::model::Endpoint;
use crate::config::model::Pools;
use crate::config::model::TtlRange;
use crate::health::health_table::HealthTable;
use crate::health::horizon::Cause;
use crate::health::horizon::Horizon;
use crate::health::observation::Moment;
use crate::health::overrides::Forced;
use crate::health::overrides::Overrides;
use crate::state::membership::Membership;
use crate::state::plan::Plan;
use crate::state::ramp::Ramps;
use crate::state::spills::Spills;

/// What horizons are made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// What probes say.
    pub health_table: &'a HealthTable,
    /// What operators have ordered.
    pub overrides: &'a Overrides,
    /// The ramps under way.
    pub ramps: &'a Ramps,
    /// The shares that loads move.
    pub spills: &'a Spills,
}

/// How what is known of horizons compares with what is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// They are the same.
    #[default]
    None,
    /// No horizon is nearer, and some are further away.
    Longer,
    /// Some are nearer.
    Shorter,
}

/// The state machine of all pools.
#[derive(Clone, Debug, Default)]
pub struct Horizons {
    /// The time of the latest event.
    now: Moment,
    pools: Vec<Watched>,
    positions: HashMap<Box<str>, usize>,
}

/// A pool that names with a range use.
#[derive(Clone, Debug)]
struct Watched {
    name: Box<str>,
    endpoints: Arc<[Endpoint]>,
    range: TtlRange,
    served: PerFamily<Option<Horizon>>,
}

impl Horizons {
    /// Begins at a time.
    pub fn start(now: Moment) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Goes on to a time.
    pub fn advance(&mut self, now: Moment) {
        self.now = now;
    }

    /// The horizons of a plan's pools, by `PoolIx`, which are served from now on; none where no name has a
    /// range.
    pub fn follow(
        &mut self,
        plan: &Plan,
        members: &Membership,
        sources: Sources<'_>,
    ) -> Vec<PerFamily<Option<Horizon>>> {
        self.pools.clear();
        self.positions.clear();
        let Some(ranges) = ranges(&plan.config.pools) else {
            return Vec::new();
        };
        let pools = plan.config.pools.pools.iter().zip(ranges).zip(0..);
        let horizons = pools.map(|((pool, range), ix)| {
            let Some(range) = range else {
                return PerFamily::default();
            };
            let mut watched = Watched {
                name: pool.name.clone(),
                endpoints: Arc::clone(members.of(PoolIx(ix), pool)),
                range,
                served: PerFamily::default(),
            };
            watched.served = watched.now(self.now, sources);
            let served = watched.served;
            self.positions.insert(pool.name.clone(), self.pools.len());
            self.pools.push(watched);
            served
        });
        horizons.collect()
    }

    /// Compares a pool.
    pub fn check(&self, pool: &str, sources: Sources<'_>) -> Change {
        let at = self.positions.get(pool);
        at.map_or(Change::None, |at| self.pools[*at].check(self.now, sources))
    }

    /// Compares all pools.
    pub fn check_all(&self, sources: Sources<'_>) -> Change {
        let changes = self.pools.iter().map(|pool| pool.check(self.now, sources));
        changes.max().unwrap_or_default()
    }
}

/// By `PoolIx`, the least `min` and the most `max` of the names with a range that use a pool; `None` if no name
/// has a range.
fn ranges(config: &Pools) -> Option<Vec<Option<TtlRange>>> {
    let mut names = config.steered.iter().filter(|name| !name.ttl.is_fixed());
    let mut names = std::iter::once(names.next()?).chain(names);
    let mut ranges = vec![None; config.pools.len()];
    names.by_ref().for_each(|name| {
        let of_rules = name.rules.iter().flat_map(|rule| &rule.pools);
        for pool in name.pools.iter().chain(of_rules) {
            let range: &mut TtlRange = ranges[pool.index()].get_or_insert(name.ttl);
            range.min = range.min.min(name.ttl.min);
            range.max = range.max.max(name.ttl.max);
        }
    });
    Some(ranges)
}

impl Watched {
    fn check(&self, now: Moment, sources: Sources<'_>) -> Change {
        let seconds = |horizon: Option<Horizon>| horizon.map_or(u32::MAX, |h| h.seconds);
        let now = self.now(now, sources);
        let changes = Family::ALL.map(|family| {
            match seconds(now[family]).cmp(&seconds(self.served[family])) {
                Ordering::Less => Change::Shorter,
                Ordering::Equal => Change::None,
                Ordering::Greater => Change::Longer,
            }
        });
        changes[0].max(changes[1])
    }

    /// Its horizons now; `None`: beyond what any name's TTL may be.
    fn now(&self, now: Moment, sources: Sources<'_>) -> PerFamily<Option<Horizon>> {
        let override_ = sources.overrides.of(&self.name);
        let order = self.of_orders(now, sources.overrides);
        let spill = sources.spills.next_step(&self.name, now.elapsed);
        let spill = spill.map(|remaining| Horizon::countdown(remaining, Cause::Spill));
        PerFamily::from_fn(|family| {
            let mut endpoints = self.endpoints.iter();
            let of_family = |endpoint: &&Endpoint| Family::of(endpoint.address) == family;
            endpoints.clone().find(of_family)?;
            let forced = override_.map(|override_| override_.state);
            let probes = match forced {
                Some(Forced::Drain | Forced::Down | Forced::Drill) => None,
                Some(Forced::Shed(_) | Forced::Up) | None => endpoints
                    .by_ref()
                    .filter(of_family)
                    .filter_map(|endpoint| {
                        let table = sources.health_table;
                        table.horizon(&self.name, endpoint.address, now)
                    })
                    .min_by_key(|horizon| horizon.seconds),
            };
            let step = sources.ramps.next_step(&self.name, family);
            let step = step.filter(|_| matches!(forced, None | Some(Forced::Shed(_))));
            let ramp = step.map(|remaining| Horizon::countdown(remaining, Cause::Ramp));
            let shared = Horizon::earlier(order, spill);
            let nearest = Horizon::earlier(shared, Horizon::earlier(ramp, probes))?;
            (nearest.seconds < self.range.max).then(|| Horizon {
                seconds: nearest.seconds.max(self.range.min),
                ..nearest
            })
        })
    }

    /// When an override begins, or ends by itself.
    fn of_orders(&self, now: Moment, overrides: &Overrides) -> Option<Horizon> {
        let planned = overrides.planned(&self.name).and_then(|override_| {
            let begins = override_.begins?;
            Some(countdown(begins, now, Cause::Begins(override_.state)))
        });
        let ends = overrides.of(&self.name).and_then(|override_| {
            let until = override_.until?;
            Some(countdown(until, now, Cause::Ends(override_.state)))
        });
        planned.or(ends)
    }
}

/// For something that happens at a time in Unix seconds.
fn countdown(at: u64, now: Moment, cause: Cause) -> Horizon {
    let remaining = Duration::from_secs(at).saturating_sub(Duration::from_millis(now.unix_ms));
    Horizon::countdown(remaining, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::health::Health;
    use crate::health::health_table::Limits;
    use crate::health::load::Load;
    use crate::health::observation::Observation;
    use crate::health::observation::ProbeResult;
    use crate::health::observation::Target;
    use crate::health::overrides::Override;
    use crate::state::evidence::Evidence;
    use crate::state::fixture;

    const POOLS: &str = r#"
[monitor.ready]
type = "tcp"
port = 80
interval = "10s"
failure_threshold = 4
[pool.a]
location = [1, 1]
endpoints = ["10.0.0.1", "fd00::1"]
monitor = "ready"
ramp = "3m"
[pool.b]
location = [1, 1]
endpoints = ["10.0.0.2"]
[pool.unused]
location = [1, 1]
endpoints = ["10.0.0.3"]
monitor = "ready"
[steer."app.example.com"]
pools = ["a"]
ttl = { min = "5s", max = "25s" }
[steer."other.example.com"]
pools = ["a", "b"]
ttl = { min = "3s", max = "120s" }
[steer."fixed.example.com"]
pools = ["unused", "a"]
"#;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(seconds),
            unix_ms: (1_000 + seconds) * 1_000,
        }
    }

    struct World {
        plan: Plan,
        horizons: Horizons,
        health_table: HealthTable,
        overrides: Overrides,
        ramps: Ramps,
        spills: Spills,
    }

    impl World {
        fn new(pools: &str) -> Self {
            let zones = [("example.com", ZONE)];
            let plan = fixture::plan("", pools, &zones, fixture::embedded_atlas());
            let config = &plan.config.pools;
            let target = |endpoint: &Endpoint| {
                Target::new(
                    "a".into(),
                    endpoint.address,
                    Arc::new(config.monitors[0].clone()),
                    true,
                )
            };
            let targets = config.pools[0].endpoints.iter().map(target);
            let pairs = targets.map(|target| (Arc::new(target), "v".into()));
            let limits = Limits {
                report_max_age: Duration::from_secs(30),
                blind_max: Duration::ZERO,
            };
            let mut world = Self {
                horizons: Horizons::start(at(0)),
                health_table: HealthTable::new(pairs, limits),
                overrides: Overrides::default(),
                ramps: Ramps::default(),
                spills: Spills::default(),
                plan,
            };
            world.probe(0, true);
            world.probe(1, true);
            world
        }

        fn probe(&mut self, endpoint: usize, is_good: bool) {
            let config = &self.plan.config.pools;
            let failure = crate::health::failure::ProbeFailure::Refused;
            let observation = Observation {
                target: Arc::new(Target::new(
                    "a".into(),
                    config.pools[0].endpoints[endpoint].address,
                    Arc::new(config.monitors[0].clone()),
                    true,
                )),
                vantage: "v".into(),
                result: match is_good {
                    true => ProbeResult::Success,
                    false => ProbeResult::Failure(failure),
                },
                took: Duration::ZERO,
                load: None,
            };
            let now = self.horizons.now;
            self.health_table.observe(&observation, now);
        }

        fn go_to(&mut self, seconds: u64) {
            self.horizons.advance(at(seconds));
            self.ramps.advance(Duration::from_secs(seconds));
        }

        fn sources(&self) -> Sources<'_> {
            Sources {
                health_table: &self.health_table,
                overrides: &self.overrides,
                ramps: &self.ramps,
                spills: &self.spills,
            }
        }

        fn check(&self) -> Change {
            let all = self.horizons.check_all(self.sources());
            let of_a = self.horizons.check("a", self.sources());
            assert!(of_a <= all);
            all
        }

        /// Publishes; the seconds of the first two pools in IPv4, and of the first in IPv6.
        fn publish(&mut self) -> [Option<u32>; 3] {
            let members = Membership::default();
            let mut horizons = std::mem::take(&mut self.horizons);
            let all = horizons.follow(&self.plan, &members, self.sources());
            self.horizons = horizons;
            assert_eq!(self.check(), Change::None);
            assert_eq!(all[2], PerFamily::default(), "no name with a range uses it");
            let seconds = |horizon: Option<Horizon>| horizon.map(|horizon| horizon.seconds);
            [all[0].v4, all[1].v4, all[0].v6].map(seconds)
        }

        fn order(&mut self, pool: &str, state: Forced, until: Option<u64>) {
            let override_ = Override {
                state,
                since: 1_000,
                begins: None,
                until,
                reason: "".into(),
            };
            let now = self.horizons.now;
            self.overrides.set(pool, override_, "n", now);
        }
    }

    #[test]
    fn probes_are_looked_at_by_family_and_within_the_range() {
        let mut world = World::new(POOLS);
        assert_eq!(world.publish(), [Some(27), None, Some(27)]);
        for (endpoint, is_good, change, expected) in [
            (0, true, Change::None, [Some(27), None, Some(27)]),
            (0, false, Change::Shorter, [Some(18), None, Some(27)]),
            (1, false, Change::Shorter, [Some(18), None, Some(18)]),
            (0, false, Change::Shorter, [Some(9), None, Some(18)]),
            (0, false, Change::Shorter, [Some(3), None, Some(18)]),
            (1, true, Change::Longer, [Some(3), None, Some(27)]),
            (0, true, Change::Longer, [Some(27), None, Some(27)]),
        ] {
            world.probe(endpoint, is_good);
            assert_eq!(world.check(), change);
            assert_eq!(world.publish(), expected);
        }
    }

    #[test]
    fn overrides_hide_probes_and_count_down() {
        let mut world = World::new(POOLS);
        for (state, until, expected) in [
            (Forced::Drain, None, None),
            (Forced::Down, Some(1_011), Some(10)),
            (Forced::Up, None, Some(27)),
            (Forced::Up, Some(1_011), Some(10)),
            (Forced::Up, Some(1_100), Some(27)),
        ] {
            world.order("a", state, until);
            assert_eq!(world.publish()[0], expected, "{state:?} {until:?}");
        }
        let now = world.horizons.now;
        world.overrides.clear("a", "n", now);
        // A step of the grid is published, and no second between them.
        world.order("b", Forced::Drain, Some(1_130));
        let mut steps = Vec::new();
        let mut n_checks = 0;
        for seconds in 0..=130 {
            world.go_to(seconds);
            n_checks += u32::from(world.check() != Change::None);
            let [_, of_b, _] = world.publish();
            let left = 130 - seconds;
            match of_b {
                Some(ttl) => assert!(u64::from(ttl) < left.max(4), "{ttl} at {left}"),
                None => assert!(left > 120),
            }
            if steps.last() != Some(&of_b) {
                steps.push(of_b);
            }
        }
        let expected = [120, 90, 60, 45, 30, 20, 15, 10, 7, 5, 3].map(Some);
        assert_eq!(steps[0], None);
        assert_eq!(steps[1..], expected[1..]);
        assert_eq!(n_checks as usize, steps.len() - 1);
    }

    #[test]
    fn a_ramp_has_the_time_to_its_next_step() {
        let mut world = World::new(POOLS);
        let mut evidence = Evidence {
            endpoints: vec![vec![Health::Down, Health::Up]],
            ..Evidence::default()
        };
        world.ramps.follow(&world.plan, &evidence);
        evidence.endpoints[0][0] = Health::Up;
        world.ramps.follow(&world.plan, &evidence);
        for (seconds, expected) in [(0, 27), (35, 20), (50, 7), (59, 3), (60, 27), (125, 27)] {
            world.go_to(seconds);
            assert_eq!(world.publish()[0], Some(expected), "{seconds}");
            assert_eq!(world.publish()[2], Some(27));
        }
    }

    #[test]
    fn a_pool_off_its_mark_has_the_time_to_the_next_step_of_its_shares() {
        const INTERVAL: u64 = 165;
        let pools = POOLS.replace(
            "type = \"tcp\"\nport = 80",
            "load = { header = \"x-load\" }",
        );
        let pools = pools.replace("ramp = \"3m\"", "spill_at = \"80%\"");
        let mut world = World::new(&pools);
        let evidence = Evidence {
            endpoints: vec![vec![Health::Up; 2], vec![Health::Up], vec![Health::Up]],
            ..Evidence::default()
        };
        let (mut n_steps, mut n_changes) = (0, 0);
        let mut due = None;
        for second in 1..=INTERVAL * 9 {
            world.go_to(second);
            // Above the mark, within the band, and with room again.
            let load = match second / INTERVAL {
                2 | 3 => 9_000,
                6.. => 3_000,
                _ => 7_500,
            };
            let before = world.spills.shares();
            let overrides = &world.overrides;
            world.spills.limits(&world.plan, &evidence, overrides);
            assert_eq!(world.spills.interval().as_secs(), INTERVAL);
            world
                .spills
                .advance(|_, _| Some(Load::from(load)), None, at(second).elapsed);
            let has_moved = world.spills.shares() != before && !before.is_empty();
            if has_moved {
                n_steps += 1;
                let left = due.expect("foreseen");
                assert!(left <= 3, "a TTL of {left} s before the step at {second} s");
            }
            n_changes += u32::from(world.check() != Change::None);
            let [of_a, of_b, of_v6] = world.publish();
            assert_eq!((of_a, of_b), (of_v6, None), "{second}");
            due = of_a.filter(|seconds| *seconds < 27);
        }
        assert!(n_steps > 4, "{n_steps} steps");
        assert!(n_changes < 12 * n_steps, "{n_changes} publications");
    }

    #[test]
    fn without_a_range_there_are_none() {
        let mut world = World::new(&POOLS.replace("{ min = \"5s\", max = \"25s\" }", "\"25s\""));
        assert_eq!(world.publish()[0], Some(27), "the other name has one");
        let fixed = POOLS.replace("{ min = \"3s\", max = \"120s\" }", "\"9s\"");
        let fixed = fixed.replace(
            "{ min = \"5s\", max = \"25s\" }",
            "{ min = \"9s\", max = \"9s\" }",
        );
        let mut world = World::new(&fixed);
        let members = Membership::default();
        let mut horizons = std::mem::take(&mut world.horizons);
        let all = horizons.follow(&world.plan, &members, world.sources());
        assert_eq!(all, []);
        world.horizons = horizons;
        world.probe(0, false);
        assert_eq!(world.check(), Change::None);
    }
}
