//! `[safety] max_down`: how many of a name's pools probes may take out before they are taken to be wrong.
//!
//! Backends fail one at a time; a checker that breaks (its network, its certificates, a monitor with a wrong
//! path) fails for all at once. Beyond the bound the name is answered as if its probes said nothing.

use rustc_hash::FxHashSet;

use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::safety::MaxDown;
use crate::geo::rules::Spec;
use crate::state::evidence::PoolNow;

/// Whether probes have taken out more of a name's pools in a family than `max_down` allows: its own and its
/// rules', of those that have the family.
pub fn is_exceeded(max_down: MaxDown, spec: &Spec, pools: &[PoolNow], family: Family) -> bool {
    if max_down == MaxDown::OFF {
        return false;
    }
    let pools = pools_of(spec).filter_map(|pool| pools.get(pool.index()));
    let with_family = pools.filter(|pool| pool.has_family(family));
    let (n, n_down) = with_family.fold((0, 0), |(n, n_down), pool| {
        (n + 1, n_down + usize::from(pool.is_taken_out(family)))
    });
    max_down.is_exceeded(n_down, n)
}

/// The pools of a name and its rules, each once.
pub fn pools_of(spec: &Spec) -> impl Iterator<Item = PoolIx> {
    let mut seen = FxHashSet::default();
    let pools = spec.all_sites().map(|site| site.pool);
    pools.filter(move |pool| seen.insert(*pool))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::test_runner::Config;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::base::health::Health;
    use crate::geo::majority::MajorityScratch;
    use crate::health::overrides::Forced;
    use crate::state::answers::Client;
    use crate::state::evidence::Evidence;
    use crate::state::fixture;
    use crate::state::plan::Plan;
    use crate::state::snapshot::Snapshot;
    use crate::steer::Choice;
    use crate::steer::PoolStatus;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    /// Four pools in the written order for everybody; the last of a rule alone.
    const POOLS: &str = r#"
[pool.a]
location = [0, 0]
endpoints = ["10.0.0.1", "10.0.0.2", "fd00::1"]
[pool.b]
location = [0, 20]
endpoints = ["10.0.0.3"]
[pool.c]
location = [0, 40]
endpoints = ["10.0.0.4"]
[pool.d]
location = [0, 60]
endpoints = ["10.0.0.5"]
[steer."app.example.com"]
policy = "failover"
pools = ["a", "b", "c"]
all_down = "servfail"
[[steer."app.example.com".rule]]
network = ["192.0.2.0/24"]
pools = ["d"]
"#;

    fn plan(max_down: &str) -> Arc<Plan> {
        let process = format!("[safety]\nmax_down = \"{max_down}\"\n");
        let zones = [("example.com", ZONE)];
        let plan = fixture::plan(&process, POOLS, &zones, fixture::embedded_atlas());
        Arc::new(plan)
    }

    /// The pool that a client of no rule gets, and whether probes are ignored.
    fn answered(plan: &Arc<Plan>, evidence: &Evidence, family: Family) -> (Option<u32>, bool) {
        let snapshot = Snapshot::build(Arc::clone(plan), evidence, 1, None);
        let answers = &snapshot.steered[0].families[family];
        let src = IpAddr::from([0, 0, 0, 0]);
        let found = answers.find(Client::source(src), src, &mut MajorityScratch::default());
        let pool = match found.found {
            Choice::Pools((pool, _)) => Some(pool.pool.0),
            Choice::NoData | Choice::ServFail => None,
        };
        (pool, answers.ignores_probes)
    }

    #[test]
    fn beyond_the_bound_probes_are_ignored_and_overrides_hold() {
        use Forced::Down as Off;
        use Forced::Drain;
        use Health::Down;
        use Health::Unknown;
        use Health::Up;
        let none = [None; 4];
        for (row, max_down, health, forced, expected) in [
            (
                "two of four",
                "50%",
                [Down, Down, Up, Up],
                none,
                (Some(2), false),
            ),
            (
                "three of four",
                "50%",
                [Down, Down, Up, Down],
                none,
                (Some(0), true),
            ),
            ("all", "99%", [Down; 4], none, (Some(0), true)),
            ("off", "off", [Down; 4], none, (None, false)),
            (
                "a drain holds",
                "50%",
                [Down; 4],
                [Some(Drain), None, None, None],
                (Some(1), true),
            ),
            (
                "what an operator took out does not count",
                "50%",
                [Down, Down, Down, Up],
                [Some(Off), Some(Drain), None, None],
                (None, false),
            ),
            (
                "what was never probed is not down",
                "50%",
                [Unknown; 4],
                none,
                (Some(0), false),
            ),
        ] {
            let evidence = Evidence {
                endpoints: health.map(|health| vec![health; 3]).to_vec(),
                forced: forced.to_vec(),
                unproven: vec![PoolStatus::Up; 4],
                ..Evidence::default()
            };
            let found = answered(&plan(max_down), &evidence, Family::V4);
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn families_are_judged_apart() {
        let evidence = Evidence {
            endpoints: vec![vec![Health::Up, Health::Up, Health::Down]],
            ..Evidence::default()
        };
        let plan = plan("50%");
        // One of one, and none of four.
        assert_eq!(answered(&plan, &evidence, Family::V6), (Some(0), true));
        assert_eq!(answered(&plan, &evidence, Family::V4), (Some(0), false));
    }

    #[test]
    fn probes_never_take_out_more_than_the_bound() {
        let plan = plan("50%");
        let max_down = plan.config.process.safety.max_down;
        let spec = &plan.specs[0];
        let pool = (vec(0..3_u8, 3), any::<bool>());
        let mut runner = TestRunner::new(Config::default());
        let result = runner.run(&vec(pool, 4), |pools| {
            let health = |n: &u8| [Health::Up, Health::Down, Health::Unknown][usize::from(*n)];
            let evidence = Evidence {
                endpoints: pools
                    .iter()
                    .map(|(of, _)| of.iter().map(health).collect())
                    .collect(),
                forced: pools
                    .iter()
                    .map(|(_, drained)| drained.then_some(Forced::Drain))
                    .collect(),
                unproven: vec![PoolStatus::Unproven; 4],
                ..Evidence::default()
            };
            let pools = PoolNow::all(&plan, &evidence);
            for family in Family::ALL {
                let is_ignored = is_exceeded(max_down, spec, &pools, family);
                let n = pools.iter().filter(|pool| pool.has_family(family)).count();
                let taken_out = pools
                    .iter()
                    .filter(|pool| !is_ignored && pool.is_taken_out(family));
                prop_assert!(taken_out.count() * 2 <= n);
            }
            Ok(())
        });
        result.expect("it holds");
    }
}
