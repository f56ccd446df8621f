//! Rank lists: the order of a spec's pools for one kind of client, each distinct order kept once.
//!
//! What a client's location and the rule it falls under say is all that matters, so ranking is done
//! once per location and rule, not per network.

use rustc_hash::FxHashMap;

use crate::base::ix::RankIx;
use crate::base::location::Location;
use crate::base::location::Point;
use crate::base::rank::Group;
use crate::base::rank::Policy;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::geo::rules::Site;
use crate::geo::rules::Spec;

/// Pools less than this farther than the nearest of their group share its clients.
const TIE_KM: f64 = 1.0;

/// Ranks locations for one spec.
pub(super) struct Ranker<'a> {
    spec: &'a Spec,
    locations: &'a [Location],
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

    fn rank_anew(&mut self, location: u32, rule: Option<u32>) -> RankIx {
        let at = &self.locations[location as usize];
        let list = list(self.spec, rule.or_else(|| self.spec.rule_for(at)), at);
        let rank = *self.interned.entry(list).or_insert_with_key(|list| {
            self.lists.push(list.clone());
            RankIx::new(self.lists.len() - 1)
        });
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
fn list(spec: &Spec, rule: Option<u32>, location: &Location) -> RankList {
    let chosen = rule.map(|rule| &spec.rules[rule as usize]);
    let groups = match chosen {
        None => groups(spec.policy, &spec.sites, location.point),
        Some(rule) => {
            let mut groups = groups(rule.policy, &rule.sites, location.point);
            if !rule.fence {
                let in_rule = |site: &Site| rule.sites.iter().any(|s| s.pool == site.pool);
                let others = spec.sites.iter().filter(|s| !in_rule(s)).copied();
                let others: Vec<Site> = others.collect();
                groups.extend(self::groups(spec.policy, &others, location.point));
            }
            groups
        }
    };
    RankList {
        rule,
        located: location.is_located(),
        fenced: chosen.is_some_and(|rule| rule.fence),
        groups: groups.into(),
    }
}

/// The groups of `sites`, best first, for a client at `point`.
fn groups(policy: Policy, sites: &[Site], point: Option<Point>) -> Vec<Group> {
    let in_turn = || {
        sites
            .iter()
            .map(|site| Group::from([share(site)]))
            .collect()
    };
    match (policy, point) {
        _ if sites.is_empty() => Vec::new(),
        (Policy::Weighted, _) => vec![sites.iter().map(share).collect()],
        (Policy::Nearest, Some(point)) => by_distance(sites, point),
        // The operator's order is also for clients that cannot be placed.
        (Policy::Failover, _) | (Policy::Nearest, None) => in_turn(),
    }
}

/// Nearest first; those as near as the first of their group stand in the operator's order.
fn by_distance(sites: &[Site], point: Point) -> Vec<Group> {
    let distance = |site: &Site| site.point.distance_km(point) - site.bias_km;
    let mut far: Vec<(f64, usize)> = sites.iter().map(distance).zip(0..).collect();
    far.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups = Vec::new();
    let mut rest = &mut far[..];
    while let Some((nearest, _)) = rest.first() {
        let limit = nearest + TIE_KM;
        let n_ties = rest.partition_point(|(km, _)| *km < limit).max(1);
        let (ties, farther) = rest.split_at_mut(n_ties);
        ties.sort_by_key(|(_, at)| *at);
        groups.push(ties.iter().map(|(_, at)| share(&sites[*at])).collect());
        rest = farther;
    }
    groups
}

fn share(site: &Site) -> Share {
    Share {
        pool: site.pool,
        weight: site.weight,
    }
}

#[cfg(test)]
mod tests {
    use crate::base::ix::PoolIx;
    use crate::base::location::Continent;
    use crate::base::location::Subdivision;
    use crate::geo::rules::Matcher;
    use crate::geo::rules::Rule;

    use super::*;

    /// Pools along the equator by longitude, with weight 1 and no bias.
    fn sites(longitudes: &[f64]) -> Vec<Site> {
        let site = |(longitude, at): (&f64, u32)| Site {
            pool: PoolIx(at),
            point: Point::new(0.0, *longitude).expect("in range"),
            weight: 1,
            bias_km: 0.0,
        };
        longitudes.iter().zip(0..).map(site).collect()
    }

    fn spec(policy: Policy, longitudes: &[f64]) -> Spec {
        Spec {
            policy,
            sites: sites(longitudes),
            rules: Vec::new(),
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
        let group = |group: &Group| group.iter().map(pool).collect::<Vec<_>>().join(",");
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
        ] {
            let list = list(&spec(policy, pools), None, &client);
            assert_eq!(order(&list), expected, "{policy:?} {pools:?}");
            assert_eq!(list.located, client.is_located());
        }
    }

    #[test]
    fn bias_moves_a_pool_nearer() {
        let mut spec = spec(Policy::Nearest, &[0.0, 10.0]);
        assert_eq!(order(&list(&spec, None, &at(4.0))), "0|1");
        spec.sites[1].bias_km = 300.0;
        assert_eq!(order(&list(&spec, None, &at(4.0))), "1|0");
        spec.sites[1].bias_km = f64::MAX;
        assert_eq!(order(&list(&spec, None, &at(4.0))), "1|0");
    }

    #[test]
    fn rules_lead_and_the_other_pools_follow_unless_fenced() {
        let mut spec = spec(Policy::Nearest, &[0.0, 10.0, 20.0]);
        spec.rules.push(Rule {
            matcher: Matcher::Continent(vec![Continent::Eu]),
            sites: vec![spec.sites[2], spec.sites[1]],
            policy: Policy::Failover,
            fence: false,
        });
        let mut client = at(1.0);
        assert_eq!(order(&list(&spec, Some(0), &client)), "2|1|0");
        spec.rules[0].fence = true;
        let fenced = list(&spec, Some(0), &client);
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

    #[test]
    fn the_most_specific_rule_wins() {
        let country = "GB".parse().expect("a code");
        let [england, london] = ["ENG", "LND"].map(|code| Subdivision::new(country, code));
        let (england, london) = (england.expect("a code"), london.expect("a code"));
        let location = Location {
            continent: Some(Continent::Eu),
            country: Some(country),
            subdivisions: vec![england, london],
            ..Location::default()
        };
        let rules = [
            Matcher::Continent(vec![Continent::Eu]),
            Matcher::Continent(vec![Continent::As, Continent::Eu]),
            Matcher::Country(vec![country]),
            Matcher::Subdivision(vec![england]),
            Matcher::Subdivision(vec![london]),
        ];
        let mut spec = spec(Policy::Nearest, &[0.0]);
        let expected = [Some(0), Some(0), Some(2), Some(3), Some(4)];
        for (matcher, expected) in rules.into_iter().zip(expected) {
            spec.rules.push(Rule {
                matcher,
                sites: spec.sites.clone(),
                policy: Policy::Nearest,
                fence: false,
            });
            assert_eq!(spec.rule_for(&location), expected);
        }
        assert_eq!(spec.rule_for(&Location::default()), None);
    }
}
