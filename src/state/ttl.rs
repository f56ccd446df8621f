//! The TTLs of one name's answers in one family, from the horizons of its pools.
//!
//! What a client is answered changes when one of the pools that answer it does, or when another one comes to
//! take clients, or more of them. That can be any that is not settled: up, and with all of its clients.

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::prefix::Family;
use crate::config::model::TtlRange;
use crate::state::evidence::PoolNow;
use crate::state::snapshot::Snapshot;

/// The earliest change of some pools: in how many seconds, and of which.
type Limit = Option<(u32, PoolIx)>;

/// What bounds the TTLs.
#[derive(Debug)]
pub(super) struct Ttls<'a> {
    range: TtlRange,
    pools: &'a [PoolNow],
    family: Family,
    /// Of the pools that are not settled.
    unsettled: Limit,
    /// Of all pools.
    all: Limit,
}

impl<'a> Ttls<'a> {
    /// Of a name with these pools.
    pub(super) fn new(
        range: TtlRange,
        pools: &'a [PoolNow],
        family: Family,
        of_name: impl Iterator<Item = PoolIx>,
        is_settled: impl Fn(PoolIx) -> bool,
    ) -> Self {
        let none = Self {
            range,
            pools,
            family,
            unsettled: None,
            all: None,
        };
        if range.is_fixed() {
            return none;
        }
        of_name.fold(none, |ttls, pool| {
            let limit = ttls.limit(pool);
            Self {
                all: earlier(ttls.all, limit),
                unsettled: match is_settled(pool) {
                    true => ttls.unsettled,
                    false => earlier(ttls.unsettled, limit),
                },
                ..ttls
            }
        })
    }

    /// The TTL of an answer of some pools, and the pool that makes it less than the most.
    pub(super) fn of(&self, pools: impl Iterator<Item = PoolIx>) -> (u32, Option<PoolIx>) {
        if self.range.is_fixed() {
            return (self.range.max, None);
        }
        let limits = pools.map(|pool| self.limit(pool));
        let limit = limits.fold(self.unsettled, earlier);
        let limit = limit.filter(|(seconds, _)| *seconds < self.range.max);
        let ttl = self.range.within(limit.map(|(seconds, _)| seconds));
        (ttl, limit.map(|(_, pool)| pool))
    }

    /// The smallest TTL that an answer of the name can have.
    pub(super) fn least(&self) -> u32 {
        self.range.within(self.all.map(|(seconds, _)| seconds))
    }

    fn limit(&self, pool: PoolIx) -> Limit {
        let now = self.pools.get(pool.index())?;
        Some((now.horizon[self.family]?.seconds, pool))
    }
}

/// The first of two that come at once.
fn earlier(one: Limit, other: Limit) -> Limit {
    one.into_iter()
        .chain(other)
        .min_by_key(|(seconds, _)| *seconds)
}

impl Snapshot {
    /// The smallest TTL that an answer of a name can have now, and why it is no greater, as of when it came to
    /// be so; `None` for the reason: the name allows no greater one.
    pub fn least_ttl(&self, ix: SteeredIx) -> (u32, Option<String>) {
        let (plan, range) = (&self.plan, self.plan.steered(ix).ttl);
        if range.is_fixed() {
            return (range.max, None);
        }
        let pools = plan.specs[ix.index()].all_sites().map(|site| site.pool);
        let limits = pools.flat_map(|pool| {
            let horizons = self.pools[pool.index()].horizon;
            Family::ALL.map(|family| Some((horizons[family]?.seconds, pool, family)))
        });
        let limit = limits.flatten().min_by_key(|(seconds, ..)| *seconds);
        let limit = limit.filter(|(seconds, ..)| *seconds < range.max);
        let ttl = range.within(limit.map(|(seconds, ..)| seconds));
        (
            ttl,
            limit.and_then(|(_, pool, family)| self.why_ttl(pool, family)),
        )
    }

    /// Why answers that depend on a pool have no greater TTL.
    pub fn why_ttl(&self, pool: PoolIx, family: Family) -> Option<String> {
        let horizon = self.pools.get(pool.index())?.horizon[family]?;
        Some(horizon.reason(&self.plan.config.pools.pools.get(pool.index())?.name))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;
    use crate::base::health::Health;
    use crate::base::health::Health::Down;
    use crate::base::health::Health::Up;
    use crate::base::per_family::PerFamily;
    use crate::geo::majority::MajorityScratch;
    use crate::health::horizon::Cause;
    use crate::health::horizon::Horizon;
    use crate::state::answers::Client;
    use crate::state::answers::Found;
    use crate::state::evidence::Evidence;
    use crate::state::fixture;
    use crate::state::plan::Plan;

    /// For a client of each network one pool, and the two others behind it.
    const POOLS: &str = r#"
[pool.a]
location = [1, 1]
endpoints = ["10.0.0.1"]
[pool.b]
location = [1, 1]
endpoints = ["10.0.0.2"]
[pool.c]
location = [1, 1]
endpoints = ["10.0.0.3"]
[steer."app.example.com"]
policy = "failover"
pools = ["a", "b", "c"]
all_down = "empty"
ttl = { min = "5s", max = "60s" }
[[steer."app.example.com".rule]]
network = ["192.0.2.0/24"]
pools = ["b"]
policy = "multivalue"
[[steer."app.example.com".rule]]
network = ["198.51.100.0/24"]
pools = ["b", "c"]
policy = "multivalue"
[steer."other.example.com"]
policy = "failover"
pools = ["a", "b", "c"]
ttl = { min = "5s", max = "60s" }
[steer."fixed.example.com"]
policy = "failover"
pools = ["a", "b", "c"]
ttl = "60s"
"#;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    fn plan(process: &str) -> Arc<Plan> {
        let zones = [("example.com", ZONE)];
        Arc::new(fixture::plan(
            process,
            POOLS,
            &zones,
            fixture::embedded_atlas(),
        ))
    }

    fn snapshot(plan: &Arc<Plan>, health: [Health; 3], seconds: [Option<u32>; 3]) -> Snapshot {
        let cause = Cause::Ramp;
        let horizons = seconds.map(|seconds| PerFamily {
            v4: seconds.map(|seconds| Horizon { seconds, cause }),
            v6: None,
        });
        let evidence = Evidence {
            endpoints: health.map(|health| vec![health]).into(),
            horizons: horizons.into(),
            ..Evidence::default()
        };
        Snapshot::build(Arc::clone(plan), &evidence, 1, None)
    }

    /// The TTL that a client gets, and the pool that limits it.
    fn ask(snapshot: &Snapshot, name: usize, client: &str) -> (u32, Option<u32>) {
        let src: IpAddr = client.parse().expect("an address");
        let answers = &snapshot.steered[name].families[Family::V4];
        let found = answers.find(Client::source(src), src, &mut MajorityScratch::default());
        match found.found {
            Found::Pools((pool, records)) => {
                (records.ttl(), pool.ttl_limited_by.map(|pool| pool.0))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_have_the_time_to_the_next_change_of_what_they_depend_on() {
        let (of_a, of_b, of_both) = ("203.0.113.1", "192.0.2.1", "198.51.100.1");
        let plans = [plan(""), plan("[safety]\nmax_down = \"50%\"\n")];
        for (at, health, seconds, client, expected) in [
            (0, [Up; 3], [None; 3], of_a, (60, None)),
            (0, [Up; 3], [Some(20), None, None], of_a, (20, Some(0))),
            (0, [Up; 3], [Some(2), None, None], of_a, (5, Some(0))),
            (0, [Up; 3], [Some(60), None, None], of_a, (60, None)),
            (0, [Up; 3], [None, Some(20), None], of_a, (60, None)),
            (0, [Up; 3], [Some(20), None, None], of_b, (60, None)),
            (0, [Up; 3], [Some(20), Some(30), None], of_b, (30, Some(1))),
            (
                0,
                [Up; 3],
                [None, Some(30), Some(20)],
                of_both,
                (20, Some(2)),
            ),
            // One that is not up may come to take clients of the others.
            (
                0,
                [Down, Up, Up],
                [Some(20), None, None],
                of_b,
                (20, Some(0)),
            ),
            (
                0,
                [Down, Up, Up],
                [Some(20), Some(7), None],
                of_b,
                (7, Some(1)),
            ),
            (
                0,
                [Up, Up, Down],
                [None, Some(30), Some(7)],
                of_a,
                (7, Some(2)),
            ),
            // One that is up may have the probes of the others ignored.
            (1, [Up; 3], [Some(20), None, None], of_b, (20, Some(0))),
        ] {
            let snapshot = snapshot(&plans[at], health, seconds);
            let row = format!("{at} {health:?} {seconds:?} {client}");
            assert_eq!(ask(&snapshot, 0, client), expected, "{row}");
            let fixed = ask(&snapshot, 2, client);
            assert_eq!(fixed, (60, None), "{row}: as ever");
        }
    }

    #[test]
    fn negative_answers_have_the_smallest() {
        let snapshot = snapshot(&plan(""), [Down; 3], [Some(45), Some(20), Some(30)]);
        let least = |name: usize| snapshot.steered[name].families[Family::V4].least_ttl;
        assert_eq!([least(0), least(2)], [20, 60]);
        let (ttl, reason) = snapshot.least_ttl(SteeredIx(0));
        assert_eq!(ttl, 20);
        assert_eq!(
            reason.as_deref(),
            Some("b: the next step of its ramp comes soon")
        );
        assert_eq!(snapshot.least_ttl(SteeredIx(2)), (60, None));
    }

    #[test]
    fn names_with_equal_ranges_share_their_answers() {
        let snapshot = snapshot(&plan(""), [Up; 3], [Some(20), None, None]);
        let records = |name: usize| {
            let answers = &snapshot.steered[name].families[Family::V4];
            let src: IpAddr = "203.0.113.1".parse().expect("an address");
            let found = answers.find(Client::source(src), src, &mut MajorityScratch::default());
            match found.found {
                Found::Pools((_, records)) => std::ptr::from_ref(records),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(records(0), records(1));
        assert_ne!(records(0), records(2));
    }
}
