//! Rank lists: the order of a spec's pools for one kind of client, each distinct order kept once.
//!
//! What a client's location and the rule it falls under say is all that matters, so ranking is done
//! once per location and rule, not per network. Lists of many pools are truncated, and [`complete`]
//! computes the rest again for those who need all of one.

use std::borrow::Cow;

use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use crate::base::ix::PoolIx;
use crate::base::ix::RankIx;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::rank::Policy;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::geo::distance::by_distance;
use crate::geo::distance::nearest_group;
use crate::geo::rules::Site;
use crate::geo::rules::Spec;

/// How many pools a list keeps at least where it is a matter of distance.
pub(super) const MIN_KEPT: usize = 32;

/// How many pools all lists of a spec may hold together before they keep fewer, 48 MB: with
/// thousands of pools and places, complete lists would take gigabytes, and hardly ever is more asked of
/// one than its first pool that is up. Small in tests, so that they see it.
pub(super) const MAX_KEPT: usize = if cfg!(test) { 1 << 13 } else { 1 << 22 };

/// How far from its vantages a region's clients are at the most, in kilometres: within it, paths to a pool
/// have more in common than with those of another continent.
const REGION_REACH_KM: f64 = 2_500.0;

/// Ranks locations for one spec.
pub(super) struct Ranker<'a> {
    spec: &'a Spec,
    locations: &'a [Location],
    /// How many pools a list keeps.
    n_kept: usize,
    lists: Vec<RankList>,
    interned: FxHashMap<RankList, RankIx>,
    /// By location, for clients under no rule that looks at their address.
    by_location: Vec<Option<RankIx>>,
    /// By location and rule for all others.
    by_rule: FxHashMap<(u32, u32), RankIx>,
}

impl<'a> Ranker<'a> {
    /// Ranks nothing yet.
    pub(super) fn new(spec: &'a Spec, locations: &'a [Location]) -> Self {
        Self {
            spec,
            locations,
            n_kept: MIN_KEPT.max(MAX_KEPT / locations.len().max(1)),
            lists: Vec::new(),
            interned: FxHashMap::default(),
            by_location: vec![None; locations.len()],
            by_rule: FxHashMap::default(),
        }
    }

    /// The rank of clients at a location (a position in the list of locations); `rule` is the
    /// network or ASN rule they fall under, if any.
    pub(super) fn rank(&mut self, location: u32, rule: Option<u32>) -> RankIx {
        let known = match rule {
            None => self.by_location[location as usize],
            Some(rule) => self.by_rule.get(&(location, rule)).copied(),
        };
        known.unwrap_or_else(|| self.rank_anew(location, rule))
    }

    /// The rank of clients at a location whose addresses are special-purpose and under no rule.
    pub(super) fn rank_special_purpose(&mut self, location: u32) -> RankIx {
        let at = &self.locations[location as usize];
        if at.is_located() {
            return self.rank(location, None);
        }
        let list = list(self.spec, None, at, self.n_kept);
        self.intern(RankList {
            special_purpose: true,
            ..list
        })
    }

    fn intern(&mut self, list: RankList) -> RankIx {
        *self.interned.entry(list).or_insert_with_key(|list| {
            self.lists.push(list.clone());
            RankIx::new(self.lists.len() - 1)
        })
    }

    fn rank_anew(&mut self, location: u32, rule: Option<u32>) -> RankIx {
        let at = &self.locations[location as usize];
        let rule_for = rule.or_else(|| self.spec.rule_for(at));
        let rank = self.intern(list(self.spec, rule_for, at, self.n_kept));
        match rule {
            None => self.by_location[location as usize] = Some(rank),
            Some(rule) => {
                self.by_rule.insert((location, rule), rank);
            }
        }
        rank
    }

    /// Every list made, by rank.
    pub(super) fn into_lists(self) -> Vec<RankList> {
        self.lists
    }
}

/// The rank list of clients at `location` that fall under `rule`.
fn list(spec: &Spec, rule: Option<u32>, location: &Location, n_kept: usize) -> RankList {
    RankList {
        located: location.is_located(),
        region: region_of(spec, location.point),
        ..ranked(spec, rule, location.point, n_kept)
    }
}

/// The vantages that judge for clients at a point: the nearest, if they are near at all.
pub(super) fn region_of(spec: &Spec, point: Option<Point>) -> Option<u16> {
    let point = point?;
    let distances = spec.regions.iter().map(|region| region.distance_km(point));
    let nearest = (0..).zip(distances).min_by(|a, b| a.1.total_cmp(&b.1));
    nearest
        .filter(|(_, km)| *km <= REGION_REACH_KM)
        .map(|(region, _)| region)
}

/// Returns the complete list, recomputing a truncated one; `spec` is the one it comes from. Behind the groups that
/// it has kept, pools follow by distance, also under [`Policy::Latency`]. Takes some hundred nanoseconds a pool.
pub fn complete<'a>(spec: &Spec, list: &'a RankList) -> Cow<'a, RankList> {
    match list.truncated {
        None => Cow::Borrowed(list),
        Some(point) => {
            let kept = list.groups.iter().map(<[Share]>::to_vec);
            let in_list = list.groups.iter().flatten();
            let pools: FxHashSet<PoolIx> = in_list.map(|share| share.pool).collect();
            let all = ranked(spec, list.rule, Some(point), usize::MAX).groups;
            let others = all.iter().map(|group| {
                let others = group.iter().filter(|share| !pools.contains(&share.pool));
                others.copied().collect::<Vec<_>>()
            });
            let others = others.filter(|group| !group.is_empty());
            Cow::Owned(RankList {
                truncated: None,
                groups: kept.chain(others).collect(),
                ..*list
            })
        }
    }
}

/// Ranks pools for clients at `point` that fall under `rule`, and keeps the groups of the first
/// `n_kept`. Whether the clients count as located is for the caller to say.
fn ranked(spec: &Spec, rule: Option<u32>, point: Option<Point>, n_kept: usize) -> RankList {
    let parts = parts(spec, rule);
    // An order that is the same everywhere is kept once, so it may as well be complete.
    let is_by_place = parts.iter().any(|(policy, _)| policy.is_by_place());
    let point = point.filter(|_| is_by_place);
    let n_kept = if point.is_some() { n_kept } else { usize::MAX };
    let mut kept: Vec<Vec<Site>> = Vec::new();
    let mut n = 0;
    let mut in_order = parts
        .iter()
        .flat_map(|(policy, sites)| groups(*policy, sites, point));
    while n < n_kept
        && let Some(group) = in_order.next()
    {
        n += group.len();
        kept.push(group);
    }
    let n_pools = parts.iter().map(|(_, sites)| sites.len()).sum();
    RankList {
        rule,
        located: false,
        special_purpose: false,
        fenced: rule.is_some_and(|rule| spec.rules[rule as usize].fence),
        truncated: point.filter(|_| n < n_pools),
        region: None,
        groups: kept
            .into_iter()
            .map(|group| group.into_iter().map(share))
            .collect(),
    }
}

/// The sites that clients under `rule` are ranked by, one part behind the other, each by its policy.
pub(super) fn parts(spec: &Spec, rule: Option<u32>) -> Vec<(Policy, Cow<'_, [Site]>)> {
    let Some(rule) = rule.map(|rule| &spec.rules[rule as usize]) else {
        return vec![(spec.policy, (&*spec.sites).into())];
    };
    let mut parts = vec![(rule.policy, (&*rule.sites).into())];
    if !rule.fence {
        let in_rule: FxHashSet<PoolIx> = rule.sites.iter().map(|site| site.pool).collect();
        let others = spec.sites.iter().copied();
        let others: Vec<Site> = others
            .filter(|site| !in_rule.contains(&site.pool))
            .collect();
        parts.push((spec.policy, others.into()));
    }
    parts
}

/// The first group with a wanted pool in the complete form of a truncated list; `spec` is the one it
/// comes from. Takes some ten nanoseconds a pool.
pub fn first_group(
    spec: &Spec,
    list: &RankList,
    wanted: &dyn Fn(PoolIx) -> bool,
) -> Option<Vec<Share>> {
    let has_wanted = |group: &&[Share]| group.iter().any(|share| wanted(share.pool));
    if let Some(kept) = list.groups.iter().find(has_wanted) {
        return Some(kept.to_vec());
    }
    let point = list.truncated;
    let first = |policy: Policy, sites: &[Site]| match point {
        Some(point) if policy.is_by_place() => nearest_group(sites, point, wanted),
        _ => groups(policy, sites, point).find(|group| group.iter().any(|s| wanted(s.pool))),
    };
    let parts = parts(spec, list.rule);
    let group = parts
        .iter()
        .find_map(|(policy, sites)| first(*policy, sites))?;
    Some(group.into_iter().map(share).collect())
}

/// The groups of `sites`, best first, for a client at `point`; the work is done as they are asked for. By
/// [`Policy::Latency`], these are the groups of the pools that a list omits.
pub(super) fn groups(
    policy: Policy,
    sites: &[Site],
    point: Option<Point>,
) -> Box<dyn Iterator<Item = Vec<Site>> + '_> {
    match (policy, point) {
        (Policy::Multivalue | Policy::Weighted, _) => {
            Box::new((!sites.is_empty()).then(|| sites.to_vec()).into_iter())
        }
        (Policy::Latency | Policy::Nearest, Some(point)) => Box::new(by_distance(sites, point)),
        // The operator's order is also for clients that cannot be placed.
        (Policy::Failover, _) | (Policy::Latency | Policy::Nearest, None) => {
            Box::new(sites.iter().map(|site| vec![*site]))
        }
    }
}

pub(super) fn share(site: Site) -> Share {
    Share {
        pool: site.pool,
        weight: site.weight,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::base::location::Continent;
    use crate::base::location::Subdivision;
    use crate::geo::rules::Matcher;
    use crate::geo::rules::Rule;

    use super::*;

    /// Pools along the equator by longitude, with weight 1 and no bias.
    fn sites(longitudes: &[f64]) -> Vec<Site> {
        let site = |(longitude, at): (&f64, u32)| {
            Site::new(PoolIx(at), Point::new(0.0, *longitude).expect("in range"))
        };
        longitudes.iter().zip(0..).map(site).collect()
    }

    fn spec(policy: Policy, longitudes: &[f64]) -> Spec {
        Spec {
            policy,
            sites: sites(longitudes),
            rules: Vec::new(),
            regions: Vec::new(),
        }
    }

    fn at(longitude: f64) -> Location {
        Location {
            point: Point::new(0.0, longitude),
            ..Location::default()
        }
    }

    /// Pools of each group, as `0,2|1`.
    fn order(list: &RankList) -> String {
        let pool = |share: &Share| share.pool.0.to_string();
        let group = |group: &[Share]| group.iter().map(pool).collect::<Vec<_>>().join(",");
        list.groups.iter().map(group).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn policies_order_the_pools() {
        // A degree of the equator is 111 km, so 0.008 is 0.9 km and 0.01 is 1.1 km.
        for (policy, pools, client, expected) in [
            (Policy::Nearest, &[30.0, 0.0, 10.0][..], at(2.0), "1|2|0"),
            (Policy::Nearest, &[30.0, 0.0, 10.0], at(5.0), "1,2|0"),
            (Policy::Nearest, &[0.016, 0.0, 0.008], at(0.0), "1,2|0"),
            (Policy::Nearest, &[0.008, 0.0], at(0.0), "0,1"),
            (Policy::Nearest, &[0.01, 0.0], at(0.0), "1|0"),
            (Policy::Nearest, &[-179.0, 170.0], at(179.0), "0|1"),
            (
                Policy::Nearest,
                &[30.0, 0.0, 10.0],
                Location::default(),
                "0|1|2",
            ),
            (Policy::Failover, &[30.0, 0.0, 10.0], at(2.0), "0|1|2"),
            (Policy::Weighted, &[30.0, 0.0, 10.0], at(2.0), "0,1,2"),
            (Policy::Weighted, &[30.0, 0.0], Location::default(), "0,1"),
            (Policy::Multivalue, &[30.0, 0.0, 10.0], at(2.0), "0,1,2"),
        ] {
            let list = list(&spec(policy, pools), None, &client, MIN_KEPT);
            assert_eq!(order(&list), expected, "{policy:?} {pools:?}");
            assert_eq!(list.located, client.is_located());
        }
    }

    #[test]
    fn bias_moves_a_pool_nearer() {
        let mut spec = spec(Policy::Nearest, &[0.0, 10.0]);
        assert_eq!(order(&list(&spec, None, &at(4.0), MIN_KEPT)), "0|1");
        spec.sites[1].bias_km = 300.0;
        assert_eq!(order(&list(&spec, None, &at(4.0), MIN_KEPT)), "1|0");
        spec.sites[1].bias_km = f64::MAX;
        assert_eq!(order(&list(&spec, None, &at(4.0), MIN_KEPT)), "1|0");
    }

    #[test]
    fn rules_lead_and_the_other_pools_follow_unless_fenced() {
        let mut spec = spec(Policy::Nearest, &[0.0, 10.0, 20.0]);
        spec.rules.push(Rule {
            matcher: Arc::new(Matcher {
                continents: vec![Continent::Eu],
                ..Matcher::default()
            }),
            sites: vec![spec.sites[2], spec.sites[1]],
            policy: Policy::Failover,
            fence: false,
        });
        let mut client = at(1.0);
        assert_eq!(order(&list(&spec, Some(0), &client, MIN_KEPT)), "2|1|0");
        spec.rules[0].fence = true;
        let fenced = list(&spec, Some(0), &client, MIN_KEPT);
        assert_eq!(
            (&*order(&fenced), fenced.fenced, fenced.rule),
            ("2|1", true, Some(0))
        );
        client.continent = Some(Continent::Eu);
        let locations = [Location::default(), client];
        let mut ranker = Ranker::new(&spec, &locations);
        let ranks = [(0, None), (1, None), (1, Some(0)), (0, None), (0, Some(0))];
        let ranks = ranks.map(|(location, rule)| ranker.rank(location, rule).0);
        assert_eq!(ranks, [0, 1, 1, 0, 2], "equal lists are one");
        assert_eq!(ranker.into_lists().len(), 3);
    }

    proptest! {
        /// Whichever pools are wanted: a truncated list that names one at all names the
        /// same group's as the complete list does.
        #[test]
        fn truncated_lists_begin_as_complete_ones(
            pools in vec((-60..60_i32, any::<bool>(), any::<bool>()), 1..40),
            n_kept in 1..6_usize,
            policy in 0..3_usize,
            has_rule in any::<bool>(),
        ) {
            let mut spec = spec(Policy::Nearest, &[]);
            let mut of_rule = Vec::new();
            for ((longitude, in_rule, _), pool) in pools.iter().zip(0..) {
                // A hundredth of a degree is 1.1 km, so that there are ties and chains of them.
                let point = Point::new(0.0, f64::from(*longitude) / 200.0).expect("in range");
                let site = Site::new(PoolIx(pool), point);
                spec.sites.push(site);
                of_rule.extend(in_rule.then_some(site));
            }
            let policy = [Policy::Failover, Policy::Nearest, Policy::Weighted][policy];
            let rule = (has_rule && !of_rule.is_empty()).then_some(0);
            spec.rules.push(Rule {
                matcher: Arc::default(),
                sites: of_rule,
                policy,
                fence: false,
            });
            let point = Point::new(0.0, 0.0);
            let truncated = ranked(&spec, rule, point, n_kept);
            let all = ranked(&spec, rule, point, usize::MAX);
            prop_assert_eq!(&*complete(&spec, &truncated), &all);
            prop_assert_eq!(all.truncated, None);
            let is_wanted = |share: &&Share| pools[share.pool.index()].2;
            let first = |list: &RankList| {
                let wanted = |group: &[Share]| -> Vec<Share> {
                    group.iter().filter(is_wanted).copied().collect()
                };
                list.groups.iter().map(wanted).find(|wanted| !wanted.is_empty())
            };
            let wanted = |pool: PoolIx| is_wanted(&&Share { pool, weight: 1 });
            let first_of_complete = first_group(&spec, &truncated, &wanted).map(|mut group| {
                group.retain(|share| wanted(share.pool));
                group
            });
            if truncated.truncated.is_some() {
                prop_assert_eq!(first_of_complete, first(&all));
            }
            match first(&truncated) {
                None if truncated.truncated.is_some() => {}
                found => prop_assert_eq!(found, first(&all)),
            }
        }
    }

    #[test]
    fn lists_keep_the_first_pools_and_are_told_apart_by_place() {
        let mut spec = spec(Policy::Nearest, &[]);
        for pool in 0..100 {
            let mut site = sites(&[f64::from(pool)])[0];
            site.pool = PoolIx(pool);
            spec.sites.push(site);
        }
        let locations = [at(0.0), at(0.1), Location::default()];
        let mut ranker = Ranker {
            n_kept: 32,
            ..Ranker::new(&spec, &locations)
        };
        let ranks = [0, 1, 2].map(|location| ranker.rank(location, None).0);
        assert_eq!(
            ranks,
            [0, 1, 2],
            "the same pools, but another order behind them"
        );
        let lists = ranker.into_lists();
        let kept = |list: &RankList| {
            list.groups
                .iter()
                .flatten()
                .map(|s| s.pool.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(&lists[0]), (0..32).collect::<Vec<_>>());
        assert!(lists[0].truncated.is_some());
        assert_eq!(kept(&complete(&spec, &lists[0])).len(), 100);
        assert_eq!(
            (kept(&lists[2]).len(), lists[2].truncated),
            (100, None),
            "one order for all"
        );
    }

    #[expect(clippy::too_many_lines, reason = "one table of all cases")]
    #[test]
    fn the_most_specific_rule_wins() {
        let country = "GB".parse().expect("a code");
        let [england, london] = ["ENG", "LND"].map(|code| Subdivision::new(country, code));
        let (england, london) = (england.expect("a code"), london.expect("a code"));
        let location = Location {
            continent: Some(Continent::Eu),
            country: Some(country),
            subdivisions: vec![england, london],
            city: Some("London".into()),
            ..Location::default()
        };
        let nothing = Matcher::default;
        let continents = vec![Continent::As, Continent::Eu];
        let cities = vec!["GB-ENG:London".parse().expect("a city")];
        let subdivisions = vec![london];
        let rules = [
            (
                Matcher {
                    continents: vec![Continent::Eu],
                    ..nothing()
                },
                0,
            ),
            (
                Matcher {
                    continents,
                    ..nothing()
                },
                0,
            ),
            (
                Matcher {
                    countries: vec![country],
                    ..nothing()
                },
                2,
            ),
            // A region is as specific as what matches.
            (
                Matcher {
                    continents: vec![Continent::Eu],
                    networks: vec!["192.0.2.0/24".parse().expect("a prefix")],
                    ..nothing()
                },
                2,
            ),
            (
                Matcher {
                    subdivisions: vec![england],
                    continents: vec![Continent::Eu],
                    ..nothing()
                },
                4,
            ),
            (
                Matcher {
                    subdivisions,
                    ..nothing()
                },
                5,
            ),
            (
                Matcher {
                    cities,
                    countries: vec![country],
                    ..nothing()
                },
                6,
            ),
        ];
        let mut spec = spec(Policy::Nearest, &[0.0]);
        for (matcher, expected) in rules {
            spec.rules.push(Rule {
                matcher: matcher.into(),
                sites: spec.sites.clone(),
                policy: Policy::Nearest,
                fence: false,
            });
            assert_eq!(spec.rule_for(&location), Some(expected));
        }
        assert_eq!(spec.rule_for(&Location::default()), None);
    }
}
