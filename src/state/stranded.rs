//! Which clients a drain would leave without a pool.

use std::fmt;

use crate::base::ix::PoolIx;
use crate::base::prefix::Family;
use crate::config::model::Rule;
use crate::config::model::Steered;
use crate::health::overrides::Forced;
use crate::state::snapshot::Snapshot;
use crate::steer::AllDown;
use crate::steer::PoolStatus;

/// Clients that no pool would be left for, in one family.
#[derive(Clone, Debug, PartialEq)]
pub struct Stranded<'a> {
    /// The steered name that they ask for.
    pub steered: &'a Steered,
    /// The rule that they fall under; `None`: those under no rule.
    pub rule: Option<&'a Rule>,
    /// The family.
    pub family: Family,
}

impl Snapshot {
    /// The first clients whose last usable pool this is, so that they must not lose it by a drain.
    pub fn stranded_without(&self, pool: PoolIx) -> Option<Stranded<'_>> {
        let is_usable = |pool: PoolIx, family| {
            let now = self.pools.get(pool.index());
            now.is_some_and(|now| {
                // A drill ends as soon as another pool is drained.
                let status = match now.forced {
                    Some(Forced::Drill) => now.judged[family],
                    _ => now.status[family],
                };
                status >= PoolStatus::Unproven
            })
        };
        let mut families = Family::ALL.into_iter();
        families.find_map(|family| {
            if !is_usable(pool, family) {
                return None;
            }
            let is_left = |other: PoolIx| other != pool && is_usable(other, family);
            let mut names = self.plan.config.pools.steered.iter();
            names.find_map(|steered| {
                let rule = stranded_in(steered, pool, &is_left)?;
                Some(Stranded {
                    steered,
                    rule,
                    family,
                })
            })
        })
    }
}

/// The rule whose clients have no pool left, or `Some(None)` for those under no rule.
fn stranded_in<'a>(
    steered: &'a Steered,
    pool: PoolIx,
    is_left: &dyn Fn(PoolIx) -> bool,
) -> Option<Option<&'a Rule>> {
    let has = |pools: &[PoolIx]| pools.iter().any(|&other| is_left(other));
    let falls_back = |all_down| matches!(all_down, AllDown::Fallback(other) if is_left(other));
    let name_has = has(&steered.pools);
    if steered.pools.contains(&pool) && !name_has && !falls_back(steered.all_down) {
        return Some(None);
    }
    // Behind a rule's pools come the name's, unless there is a fence.
    let rule_has = |rule: &Rule| {
        let all_down = match rule.fence {
            true => rule.all_down,
            false => rule.all_down.or(Some(steered.all_down)),
        };
        has(&rule.pools) || (!rule.fence && name_has) || all_down.is_some_and(falls_back)
    };
    let mut rules = steered.rules.iter();
    let rule = rules.find(|rule| rule.pools.contains(&pool) && !rule_has(rule))?;
    Some(Some(rule))
}

impl fmt::Display for Stranded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, family) = (self.steered.owner.plain(), self.family);
        write!(f, "clients of `{name}`")?;
        if let Some(rule) = self.rule {
            let fenced = if rule.fence { "fenced " } else { "" };
            write!(f, " under the {fenced}rule at {}", rule.place)?;
        }
        write!(f, " would have no usable pool left for {family}")
    }
}

#[cfg(test)]
mod tests {
    use crate::state::evidence::Evidence;
    use crate::state::fixture;

    use super::*;

    const ZONE: &str = "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";

    const POOLS: &str = r#"
[pool.a]
location = [0, 0]
endpoints = ["192.0.2.10", "2001:db8::10"]
[pool.b]
location = [0, 90]
endpoints = ["192.0.2.20"]
[pool.c]
location = [0, 180]
endpoints = ["192.0.2.30"]
"#;

    /// Which clients are stranded without pool a, when these pools are forced to be so.
    fn without_a(steer: &str, forced: &[Option<Forced>]) -> Option<String> {
        let text = format!("{POOLS}{steer}");
        let zones = [("example.com", ZONE)];
        let plan = fixture::plan("", &text, &zones, fixture::embedded_atlas());
        let evidence = Evidence {
            forced: forced.to_vec(),
            ..Evidence::default()
        };
        let snapshot = fixture::snapshot(plan, &evidence);
        let stranded = snapshot.stranded_without(PoolIx::new(0))?;
        Some(stranded.to_string())
    }

    #[expect(clippy::too_many_lines, reason = "one table of all cases")]
    #[test]
    fn a_drain_strands_those_whose_last_pool_it_takes() {
        use Forced::Down;
        use Forced::Drain;
        use Forced::Drill;
        let both = "[steer.\"x.example.com\"]\npools = [\"a\", \"b\"]\n";
        let fallback = format!("{both}all_down = \"fallback\"\nfallback = \"c\"\n");
        let rule = format!(
            "{both}[[steer.\"x.example.com\".rule]]\ncountry = [\"FR\"]\npools = [\"a\"]\n"
        );
        let fence = format!("{rule}fence = true\n");
        let own_fallback = format!("{fence}all_down = \"fallback\"\nfallback = \"c\"\n");
        let elsewhere = "[steer.\"x.example.com\"]\npools = [\"b\", \"c\"]\n".to_owned()
            + "[[steer.\"x.example.com\".rule]]\ncountry = [\"FR\"]\npools = [\"a\"]\n";
        let (v4, v6) = ("ipv4", "ipv6");
        for (row, steer, forced, expected) in [
            ("one is left", both, [None, None, None], Some(v6)),
            (
                "the other is drained",
                both,
                [None, Some(Drain), None],
                Some(v4),
            ),
            (
                "the other is down",
                both,
                [None, Some(Down), None],
                Some(v4),
            ),
            (
                "a is drained already",
                both,
                [Some(Drain), Some(Down), None],
                None,
            ),
            (
                "the other is drilled, and comes back",
                both,
                [None, Some(Drill), None],
                Some(v6),
            ),
            (
                "a is drilled, and the other down",
                both,
                [Some(Drill), Some(Down), None],
                Some(v4),
            ),
            (
                "a is down anyway",
                both,
                [Some(Down), Some(Down), None],
                None,
            ),
            (
                "a fallback is left",
                &fallback,
                [None, Some(Down), None],
                Some(v6),
            ),
            (
                "the fallback is down",
                &fallback,
                [None, Some(Down), Some(Down)],
                Some(v4),
            ),
            (
                "the name's pools follow a rule",
                &rule,
                [None, None, None],
                Some(v6),
            ),
            (
                "behind a fence",
                &fence,
                [None, None, None],
                Some("fenced rule"),
            ),
            (
                "behind a fence with a fallback of its own",
                &own_fallback,
                [None, None, None],
                Some("`x.example.com` would have no usable pool left for ipv6"),
            ),
            (
                "that is down",
                &own_fallback,
                [None, None, Some(Down)],
                Some("fenced rule"),
            ),
            (
                "others have pools",
                &elsewhere,
                [None, None, None],
                Some(v6),
            ),
            (
                "others have none",
                &elsewhere,
                [None, Some(Down), Some(Down)],
                Some(v4),
            ),
            ("of no name", "", [None, None, None], None),
        ] {
            let found = without_a(steer, &forced);
            match (&found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => {
                    assert!(found.contains(expected), "{row}: {found}");
                }
                _ => panic!("{row}: {found:?}"),
            }
        }
    }
}
