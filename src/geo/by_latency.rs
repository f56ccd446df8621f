//! The geo compiler for policy latency: rank lists by round-trip time in place of distance.
//!
//! Measured networks and autonomous systems are laid over rules and places, and each combination is ranked once.
//! What clients have now, their incumbents, is laid over them as well: another pool must be better by a margin.

use std::borrow::Cow;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::base::ix::PoolIx;
use crate::base::ix::RankIx;
use crate::base::location::Location;
use crate::base::rank::Groups;
use crate::base::rank::Policy;
use crate::base::rank::RankList;
use crate::base::rank::Share;
use crate::geo::atlas::Atlas;
use crate::geo::measured::Client;
use crate::geo::measured::Measured;
use crate::geo::rank;
use crate::geo::rank_table::RankTable;
use crate::geo::rank_table::SPECIAL;
use crate::geo::rank_table::rules_by_address;
use crate::geo::rules::Site;
use crate::geo::rules::Spec;
use crate::geo::table::PrefixTable;

/// A pool takes over clients only if it is better by this many milliseconds…
const MARGIN_MS: f32 = 10.0;

/// …and takes at most this share of the time: below both, measurements are noise and a move costs warm caches.
const MARGIN_RATIO: f32 = 0.9;

/// The pools that every address had first before.
#[derive(Debug)]
pub struct Incumbents {
    /// No two equal; the first is none.
    groups: Vec<Box<[PoolIx]>>,
    /// The position in `groups` of every address.
    table: PrefixTable,
}

impl Incumbents {
    /// Those of a table; `now` is what a pool of it is now.
    pub fn of(before: &RankTable, now: impl Fn(PoolIx) -> Option<PoolIx>) -> Self {
        let mut groups: Vec<Box<[PoolIx]>> = vec![Box::default()];
        let mut known = FxHashMap::default();
        known.insert(groups[0].clone(), 0);
        let first = |list: &RankList| -> Box<[PoolIx]> {
            let first = list.groups.iter().next().unwrap_or_default();
            first.iter().filter_map(|share| now(share.pool)).collect()
        };
        let of_rank = before.ranks().iter().map(|list| {
            *known.entry(first(list)).or_insert_with_key(|group| {
                groups.push(group.clone());
                groups.len() as u32 - 1
            })
        });
        let of_rank: Vec<u32> = of_rank.collect();
        Self {
            table: before.map(|rank| of_rank[rank as usize]),
            groups,
        }
    }
}

/// Whether a pool's clients move to one with a better time.
fn is_worth_a_move(from_ms: f32, to_ms: f32) -> bool {
    from_ms - to_ms >= MARGIN_MS && to_ms <= from_ms * MARGIN_RATIO
}

/// Compiles a spec by round-trip times. Takes some hundred nanoseconds for each network of the latency table on top
/// of what [`rank_table::compile`](crate::geo::rank_table::compile) takes.
pub fn compile(
    spec: &Spec,
    atlas: &Atlas,
    measured: &Measured,
    incumbents: Option<&Incumbents>,
) -> RankTable {
    let mut contexts = Contexts::default();
    let mut table = rules_by_address(spec, atlas).map(|rule| {
        contexts.number(Context {
            rule: rule.checked_sub(1).filter(|_| rule != SPECIAL),
            is_special_purpose: rule == SPECIAL,
            ..Context::default()
        })
    });
    if measured.has_networks() {
        table = table.zip(measured.networks(), |context, network| {
            contexts.with(context, network, |context| context.network = network)
        });
    }
    if measured.has_systems() {
        let systems = atlas.systems().map(|asn| match measured.has_system(asn) {
            true => asn,
            false => 0,
        });
        table = table.zip(&systems, |context, asn| {
            contexts.with(context, asn, |context| context.asn = asn)
        });
    }
    let mut groups: &[Box<[PoolIx]>] = &[];
    if let Some(before) = incumbents {
        groups = &before.groups;
        table = table.zip(&before.table, |context, group| {
            contexts.with(context, group, |context| context.incumbents = group)
        });
    }
    let mut ranker = Ranker::new(spec, atlas.locations(), measured, groups);
    let table = atlas.places().zip(&table, |location, context| {
        ranker.rank(location, context, &contexts.all).0
    });
    RankTable::new(table, ranker.lists)
}

/// What ranks a client besides its location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Context {
    /// The rule by network or AS.
    rule: Option<u32>,
    is_special_purpose: bool,
    /// The value of [`Measured::networks`].
    network: u32,
    /// The AS, if it was measured.
    asn: u32,
    /// A position among the incumbents.
    incumbents: u32,
}

/// Contexts by number, no two equal.
#[derive(Default)]
struct Contexts {
    all: Vec<Context>,
    known: FxHashMap<Context, u32>,
}

impl Contexts {
    fn number(&mut self, context: Context) -> u32 {
        *self.known.entry(context).or_insert_with(|| {
            self.all.push(context);
            self.all.len() as u32 - 1
        })
    }

    /// The number of a context after a change, which a value of 0 is none.
    fn with(&mut self, number: u32, value: u32, change: impl FnOnce(&mut Context)) -> u32 {
        if value == 0 {
            return number;
        }
        let mut context = self.all[number as usize];
        change(&mut context);
        self.number(context)
    }
}

type Part<'a> = (Policy, Cow<'a, [Site]>);

/// Ranks clients by round-trip time.
struct Ranker<'a> {
    spec: &'a Spec,
    locations: &'a [Location],
    measured: &'a Measured,
    incumbents: &'a [Box<[PoolIx]>],
    /// How many pools a list keeps.
    n_kept: usize,
    /// What clients are ranked by, by rule and one more.
    parts: Vec<Option<Rc<[Part<'a>]>>>,
    lists: Vec<RankList>,
    /// By [`Draft::identity`].
    interned: FxHashMap<Box<[u32]>, RankIx>,
    /// By location and context.
    known: FxHashMap<(u32, u32), RankIx>,
    times: Times,
    draft: Draft,
}

impl<'a> Ranker<'a> {
    fn new(
        spec: &'a Spec,
        locations: &'a [Location],
        measured: &'a Measured,
        incumbents: &'a [Box<[PoolIx]>],
    ) -> Self {
        let n_pools = spec.all_sites().map(|site| site.pool.index() + 1).max();
        let n_places = locations.len() + measured.table().keys().len();
        Self {
            spec,
            locations,
            measured,
            incumbents,
            n_kept: rank::MIN_KEPT.max(rank::MAX_KEPT / n_places),
            parts: vec![None; spec.rules.len() + 1],
            lists: Vec::new(),
            interned: FxHashMap::default(),
            known: FxHashMap::default(),
            times: Times {
                of_pool: vec![(0, 0.0); n_pools.unwrap_or(0)],
                client: 0,
            },
            draft: Draft::default(),
        }
    }

    /// The rank of clients at a location (a position in the list of locations) in a context.
    fn rank(&mut self, location: u32, context: u32, contexts: &[Context]) -> RankIx {
        if let Some(rank) = self.known.get(&(location, context)) {
            return *rank;
        }
        let rank = self.rank_anew(location, &contexts[context as usize]);
        self.known.insert((location, context), rank);
        rank
    }

    fn rank_anew(&mut self, at: u32, context: &Context) -> RankIx {
        let location = &self.locations[at as usize];
        let rule = context.rule.or_else(|| self.spec.rule_for(location));
        let entries = self.measured.entries(Client {
            location,
            asn: context.asn,
            network: context.network,
        });
        let entries = entries.map(|(pool, _, entry)| (pool, entry.rtt_ms));
        self.times.take(entries);
        let incumbents: &[PoolIx] = match self.incumbents.get(context.incumbents as usize) {
            Some(group) => group,
            None => &[],
        };
        let parts = self.parts_of(rule);
        self.fill(&parts, location, incumbents);
        let n_pools: usize = parts.iter().map(|(_, sites)| sites.len()).sum();
        let is_located = location.is_located() || self.is_measured(&parts);
        let list = RankList {
            rule,
            located: is_located,
            special_purpose: context.is_special_purpose && !is_located,
            fenced: rule.is_some_and(|rule| self.spec.rules[rule as usize].fence),
            truncated: location.point.filter(|_| self.draft.shares.len() < n_pools),
            region: rank::region_of(self.spec, location.point),
            groups: Groups::default(),
        };
        self.intern(&list, at)
    }

    fn parts_of(&mut self, rule: Option<u32>) -> Rc<[Part<'a>]> {
        let slot = &mut self.parts[rule.map_or(0, |rule| rule as usize + 1)];
        let spec = self.spec;
        Rc::clone(slot.get_or_insert_with(|| rank::parts(spec, rule).into()))
    }

    /// Drafts the groups of a client: those of one part behind those of the other, each by its policy.
    fn fill(&mut self, parts: &[Part<'_>], location: &Location, mut incumbents: &[PoolIx]) {
        self.draft.clear();
        let n_kept = match location.point {
            Some(_) => self.n_kept,
            None => usize::MAX,
        };
        for (policy, sites) in parts {
            let n_left = n_kept.saturating_sub(self.draft.shares.len());
            if n_left == 0 {
                break;
            }
            if *policy == Policy::Latency {
                let (times, measured) = (&self.times, self.measured);
                self.draft
                    .time(sites, |site| time(times, measured, location, site));
                self.draft.rank(sites, n_left, incumbents);
            } else {
                for group in rank::groups(*policy, sites, location.point) {
                    if self.draft.shares.len() >= n_kept {
                        break;
                    }
                    self.draft.push(group.into_iter().map(rank::share));
                }
            }
            // Clients have their pools from the first part.
            incumbents = &[];
        }
    }

    /// Whether any pool that these parts rank by time was measured.
    fn is_measured(&self, parts: &[Part<'_>]) -> bool {
        let mut by_time = parts
            .iter()
            .filter(|(policy, _)| *policy == Policy::Latency);
        by_time.any(|(_, sites)| sites.iter().any(|site| self.times.get(site.pool).is_some()))
    }

    /// The rank of the list with the drafted groups, for clients at a location.
    fn intern(&mut self, list: &RankList, location: u32) -> RankIx {
        let identity = self.draft.identity(list, location);
        if let Some(rank) = self.interned.get(identity) {
            return *rank;
        }
        let rank = RankIx::new(self.lists.len());
        self.interned.insert(identity.into(), rank);
        self.lists.push(RankList {
            groups: self.draft.groups(),
            ..*list
        });
        rank
    }
}

/// The time of clients at a location to a site; infinite if nothing is known.
fn time(times: &Times, measured: &Measured, location: &Location, site: &Site) -> f32 {
    let estimate = || {
        let km = site.direction.distance_km(location.point?.direction());
        Some(measured.estimate(location, km))
    };
    times
        .get(site.pool)
        .or_else(estimate)
        .unwrap_or(f32::INFINITY)
}

/// The measured times of one client.
struct Times {
    /// By [`PoolIx`]: of which client, and the time.
    of_pool: Vec<(u32, f32)>,
    client: u32,
}

impl Times {
    fn get(&self, pool: PoolIx) -> Option<f32> {
        let (client, ms) = self.of_pool[pool.index()];
        (client == self.client).then_some(ms)
    }

    /// Takes the times of the next client, of which the first for each pool counts.
    fn take(&mut self, times: impl Iterator<Item = (PoolIx, f32)>) {
        self.client += 1;
        for (pool, ms) in times {
            let slot = self.of_pool.get_mut(pool.index());
            if let Some(slot) = slot.filter(|(client, _)| *client != self.client) {
                *slot = (self.client, ms);
            }
        }
    }
}

/// The groups of one list while it is made; kept to be filled again.
#[derive(Default)]
struct Draft {
    shares: Vec<Share>,
    /// Where each group ends.
    ends: Vec<usize>,
    /// Time and position of each site of a part.
    times: Vec<(f32, usize)>,
    identity: Vec<u32>,
}

impl Draft {
    fn clear(&mut self) {
        self.shares.clear();
        self.ends.clear();
    }

    fn push(&mut self, group: impl IntoIterator<Item = Share>) {
        let n_before = self.shares.len();
        self.shares.extend(group);
        if self.shares.len() > n_before {
            self.ends.push(self.shares.len());
        }
    }

    fn time(&mut self, sites: &[Site], time: impl Fn(&Site) -> f32) {
        self.times.clear();
        let times = sites.iter().zip(0..).map(|(site, at)| (time(site), at));
        self.times.extend(times);
    }

    /// Adds timed sites, best first, until there are `n_wanted` of them: those that no other is worth a
    /// move from, then groups of equal ones. Sites of which nothing is known are no group.
    fn rank(&mut self, sites: &[Site], n_wanted: usize, incumbents: &[PoolIx]) {
        let share = |(_, at): &(f32, usize)| rank::share(sites[*at]);
        let mut times = std::mem::take(&mut self.times);
        let best = times.iter().map(|(ms, _)| *ms).min_by(f32::total_cmp);
        let best = best.unwrap_or(f32::INFINITY);
        let stays = |(ms, at): &(f32, usize)| {
            ms.is_finite() && incumbents.contains(&sites[*at].pool) && !is_worth_a_move(*ms, best)
        };
        let n_before = self.shares.len();
        if !incumbents.is_empty() {
            self.push(times.iter().filter(|site| stays(site)).map(share));
            times.retain(|site| !stays(site));
        }
        let n_wanted = n_wanted.saturating_sub(self.shares.len() - n_before);
        let by_time = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        // Of thousands only the first few are asked for, and those that equal them.
        match n_wanted.checked_sub(1) {
            None => times.clear(),
            Some(last) if n_wanted < times.len() => {
                let (_, last, _) = times.select_nth_unstable_by(last, by_time);
                let last = last.0;
                times.retain(|(ms, _)| *ms <= last);
            }
            Some(_) => {}
        }
        times.sort_unstable_by(by_time);
        for group in times.chunk_by(|a, b| a.0 == b.0 && a.0.is_finite()) {
            self.push(group.iter().map(share));
        }
        self.times = times;
    }

    /// What tells a list apart from others of its spec, in a form that is looked up without making one.
    fn identity(&mut self, list: &RankList, location: u32) -> &[u32] {
        let flags = u32::from(list.located) | u32::from(list.special_purpose) << 1;
        self.identity.clear();
        self.identity.extend([
            flags,
            list.rule.map_or(0, |rule| rule + 1),
            list.region.map_or(0, |region| u32::from(region) + 1),
            list.truncated.map_or(0, |_| location + 1),
        ]);
        let mut start = 0;
        for end in &self.ends {
            self.identity
                .extend(self.shares[start..*end].iter().map(|share| share.pool.0));
            self.identity.push(u32::MAX);
            start = *end;
        }
        &self.identity
    }

    fn groups(&self) -> Groups {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let groups = starts
            .zip(&self.ends)
            .map(|(start, end)| &self.shares[start..*end]);
        groups.map(|group| group.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use proptest::collection::vec;
    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::base::location::Point;
    use crate::base::prefix::Prefix;
    use crate::geo::fixture::atlas;
    use crate::geo::fixture::prefixes;
    use crate::geo::fixture::storable;
    use crate::geo::measured::NamedPool;
    use crate::geo::rules::Matcher;
    use crate::geo::rules::Rule;
    use crate::latency::key::Key;
    use crate::latency::table::Limits;
    use crate::latency::table::Row;
    use crate::latency::table::Table;

    use super::*;

    fn row(key: Key, pool: u32, rtt_ms: f32) -> Row {
        Row {
            key,
            pool,
            rtt_ms,
            samples: None,
            measured: None,
        }
    }

    /// Pools 0 to 3 and where they are; a latency table names them backwards, and one that there is not.
    fn pools() -> Vec<NamedPool> {
        let places = [(0.0, 0.0), (35.0, 139.0), (48.0, 2.0), (37.0, -122.0)];
        let pool = |((latitude, longitude), at): ((f64, f64), u32)| {
            let point = Point::new(latitude, longitude).expect("in range");
            (at.to_string().into(), point)
        };
        places.into_iter().zip(0..).map(pool).collect()
    }

    fn measured(rows: &[Row], atlas: &Atlas) -> Measured {
        let limits = Limits {
            min_samples: 1,
            max_age: 1,
            now: 0,
        };
        let names = ["3", "2", "1", "0", "unknown"].map(Box::from);
        let table = Table::new(rows.to_vec(), names.into(), &limits);
        Measured::new(Arc::new(table), pools(), atlas)
    }

    fn spec() -> Spec {
        let site = |((_, point), at): (NamedPool, u32)| Site::new(PoolIx(at), point);
        Spec {
            policy: Policy::Latency,
            sites: pools().into_iter().zip(0..).map(site).collect(),
            rules: Vec::new(),
            regions: Vec::new(),
        }
    }

    /// Pools of each group, as `0,2|1`.
    fn order(list: &RankList) -> String {
        let pool = |share: &Share| share.pool.0.to_string();
        let group = |group: &[Share]| group.iter().map(pool).collect::<Vec<_>>().join(",");
        list.groups.iter().map(group).collect::<Vec<_>>().join("|")
    }

    fn list_of(table: &RankTable, client: &str) -> RankList {
        let rank = table.rank_of(client.parse().expect(client));
        table.ranks()[rank.index()].clone()
    }

    fn key(text: &str) -> Key {
        text.parse().expect(text)
    }

    /// 192.0.2.0/24 is in California, AS 2; 192.0.3.0/24 in France, AS 3; nothing is known of 10.0.0.0/8.
    fn two_networks() -> Atlas {
        let p = |text: &str| text.parse::<Prefix>().expect(text);
        let (a, b) = (p("198.0.2.0/24"), p("198.0.3.0/24"));
        atlas(&[(a, 2), (b, 1)], &[(a, 2), (b, 3)])
    }

    #[test]
    fn the_most_specific_measurement_of_each_pool_counts() {
        let atlas = two_networks();
        // Of pool 3: near California. By distance it is 3, 1, 2, 0 there.
        for (rows, expected) in [
            (vec![], "3|1|2|0"),
            (vec![row(key("continent:NA"), 1, 1.0)], "2|3|1|0"),
            (
                vec![row(key("continent:NA"), 1, 1.0), row(key("US"), 1, 900.0)],
                "3|1|0|2",
            ),
            (
                vec![row(key("US-CA"), 1, 1.0), row(key("US"), 1, 900.0)],
                "2|3|1|0",
            ),
            (
                vec![row(key("US-CA"), 1, 1.0), row(key("AS2"), 1, 900.0)],
                "3|1|0|2",
            ),
            (
                vec![row(key("198.0.0.0/16"), 1, 1.0), row(key("AS2"), 1, 900.0)],
                "2|3|1|0",
            ),
            (
                vec![
                    row(key("198.0.0.0/16"), 1, 1.0),
                    row(key("198.0.2.0/24"), 1, 900.0),
                ],
                "3|1|0|2",
            ),
            (
                vec![
                    row(key("198.0.0.0/16"), 1, 1.0),
                    row(key("198.0.2.0/24"), 2, 2.0),
                ],
                "2|1|3|0",
            ),
            (vec![row(key("198.0.2.0/25"), 1, 1.0)], "2|3|1|0"),
            (vec![row(key("198.0.2.128/25"), 1, 1.0)], "3|1|2|0"),
            (
                vec![row(key("FR"), 1, 1.0), row(key("AS3"), 2, 1.0)],
                "3|1|2|0",
            ),
            (vec![row(key("US"), 4, 1.0)], "3|1|2|0"),
            (
                vec![row(key("US"), 3, 5.0), row(key("US"), 0, 5.0)],
                "0,3|1|2",
            ),
        ] {
            let table = compile(&spec(), &atlas, &measured(&rows, &atlas), None);
            assert_eq!(order(&list_of(&table, "198.0.2.1")), expected, "{rows:?}");
        }
    }

    #[test]
    fn measurements_reach_where_the_databases_do_not() {
        let atlas = two_networks();
        let rows = [
            row(key("10.1.0.0/16"), 2, 7.0),
            row(key("10.2.0.0/16"), 4, 7.0),
        ];
        let table = compile(&spec(), &atlas, &measured(&rows, &atlas), None);
        for (client, expected, located, special_purpose) in [
            ("10.1.0.1", "1|0|2|3", true, false),
            ("10.2.0.1", "0|1|2|3", false, true),
            ("10.3.0.1", "0|1|2|3", false, true),
            ("9.0.0.1", "0|1|2|3", false, false),
        ] {
            let list = list_of(&table, client);
            assert_eq!(order(&list), expected, "{client}");
            assert_eq!(
                (list.located, list.special_purpose),
                (located, special_purpose),
                "{client}"
            );
        }
    }

    #[test]
    fn rules_lead_by_their_own_policy() {
        let atlas = two_networks();
        let mut spec = spec();
        spec.rules.push(Rule {
            matcher: Arc::new(Matcher {
                countries: vec!["US".parse().expect("a code")],
                ..Matcher::default()
            }),
            sites: vec![spec.sites[0], spec.sites[1]],
            policy: Policy::Failover,
            fence: false,
        });
        let rows = [row(key("US"), 1, 1.0), row(key("FR"), 2, 1.0)];
        let measured = measured(&rows, &atlas);
        let table = compile(&spec, &atlas, &measured, None);
        let list = list_of(&table, "198.0.2.1");
        assert_eq!((&*order(&list), list.rule), ("0|1|2|3", Some(0)));
        assert!(order(&list_of(&table, "198.0.3.1")).starts_with("1|2|"));
        spec.rules[0].fence = true;
        let list = list_of(&compile(&spec, &atlas, &measured, None), "198.0.2.1");
        assert_eq!((&*order(&list), list.fenced), ("0|1", true));
    }

    /// What is compiled of the times from the United States to each pool, perhaps after another table.
    fn by_times(atlas: &Atlas, rtts: [f32; 4], before: Option<&RankTable>) -> RankTable {
        // The table's pools are numbered backwards.
        let rows = rtts.into_iter().zip([3, 2, 1, 0]);
        let rows: Vec<Row> = rows.map(|(rtt, pool)| row(key("US"), pool, rtt)).collect();
        let incumbents = before.map(|before| Incumbents::of(before, Some));
        compile(&spec(), atlas, &measured(&rows, atlas), incumbents.as_ref())
    }

    #[test]
    fn clients_move_for_ten_milliseconds_and_ten_percent() {
        let atlas = two_networks();
        for (before, after, expected) in [
            (
                [20.0, 90.0, 91.0, 92.0],
                [20.0, 10.1, 91.0, 92.0],
                "0|1|2|3",
            ),
            (
                [20.0, 90.0, 91.0, 92.0],
                [20.0, 10.0, 91.0, 92.0],
                "1|0|2|3",
            ),
            (
                [200.0, 290.0, 291.0, 292.0],
                [200.0, 181.0, 291.0, 292.0],
                "0|1|2|3",
            ),
            (
                [200.0, 290.0, 291.0, 292.0],
                [200.0, 180.0, 291.0, 292.0],
                "1|0|2|3",
            ),
            // Behind the first pool, the times alone count.
            (
                [20.0, 30.0, 40.0, 50.0],
                [20.0, 30.0, 29.0, 28.0],
                "0|3|2|1",
            ),
            // Pools that share clients go on sharing them, and none joins them for nothing.
            (
                [20.0, 20.0, 40.0, 50.0],
                [20.0, 25.0, 40.0, 50.0],
                "0,1|2|3",
            ),
            (
                [20.0, 20.0, 40.0, 50.0],
                [20.0, 30.0, 40.0, 50.0],
                "0|1|2|3",
            ),
            (
                [20.0, 30.0, 40.0, 50.0],
                [20.0, 20.0, 40.0, 50.0],
                "0|1|2|3",
            ),
        ] {
            let first = by_times(&atlas, before, None);
            let second = by_times(&atlas, after, Some(&first));
            let third = by_times(&atlas, after, Some(&second));
            for table in [second, third] {
                let found = order(&list_of(&table, "198.0.2.1"));
                assert_eq!(found, expected, "{before:?} {after:?}");
            }
        }
    }

    #[test]
    fn pools_that_are_gone_hold_no_clients() {
        let first = by_times(&two_networks(), [10.0, 15.0, 40.0, 50.0], None);
        let kept = Incumbents::of(&first, Some);
        let gone = Incumbents::of(&first, |pool| (pool.0 != 0).then_some(pool));
        let has_first = |incumbents: &Incumbents| {
            let mut groups = incumbents.groups.iter();
            groups.any(|group| group.contains(&PoolIx(0)))
        };
        assert_eq!((has_first(&kept), has_first(&gone)), (true, false));
    }

    #[test]
    fn long_lists_keep_the_best_and_those_that_equal_them() {
        let atlas = two_networks();
        let at = Point::new(37.0, -122.0).expect("in range");
        let mut spec = spec();
        spec.sites = (0..100).map(|pool| Site::new(PoolIx(pool), at)).collect();
        let names = (0..100).map(|pool| (pool.to_string().into(), at));
        let empty = Measured::new(Arc::default(), names.collect(), &atlas);
        let mut contexts = Contexts::default();
        contexts.number(Context::default());
        let locations = atlas.locations();
        let mut ranker = Ranker {
            n_kept: 32,
            ..Ranker::new(&spec, locations, &empty, &[])
        };
        let located = locations
            .iter()
            .position(|location| location.point.is_some());
        ranker.rank(located.expect("a place") as u32, 0, &contexts.all);
        let list = &ranker.lists[0];
        assert_eq!((list.groups.iter().count(), list.truncated), (1, None));
        spec.sites = (0..100)
            .map(|pool| {
                Site::new(
                    PoolIx(pool),
                    Point::new(0.0, f64::from(pool)).expect("in range"),
                )
            })
            .collect();
        let mut ranker = Ranker {
            n_kept: 32,
            ..Ranker::new(&spec, locations, &empty, &[])
        };
        ranker.rank(located.expect("a place") as u32, 0, &contexts.all);
        let list = &ranker.lists[0];
        assert_eq!(list.groups.iter().count(), 32);
        let complete = rank::complete(&spec, list);
        assert_eq!(complete.groups.iter().flatten().count(), 100);
        assert!(
            complete
                .groups
                .iter()
                .zip(list.groups.iter())
                .all(|(a, b)| a == b)
        );
    }

    /// The time to a pool, found by looking at every row.
    fn naive(
        rows: &[Row],
        measured: &Measured,
        addr: IpAddr,
        location: &Location,
        pool: u32,
    ) -> f32 {
        let specificity = |key: &Key| match key {
            Key::Network(network) if network.contains(addr) => Some((5, network.len())),
            Key::Asn(asn) if location.asn == Some(*asn) => Some((4, 0)),
            Key::Subdivision(s) => {
                let depth = location.subdivisions.iter().position(|known| known == s)?;
                Some((3, depth as u8))
            }
            Key::Country(country) if location.country == Some(*country) => Some((2, 0)),
            Key::Continent(continent) if location.continent == Some(*continent) => Some((1, 0)),
            _ => None,
        };
        let of_pool = rows.iter().filter(|row| row.pool + pool == 3);
        let best = of_pool.filter_map(|row| Some((specificity(&row.key)?, row.rtt_ms)));
        let best = best.max_by_key(|(specificity, _)| *specificity);
        let km = location
            .point
            .map(|point| point.distance_km(pools()[pool as usize].1));
        let estimate = km.map(|km| measured.fit(location.continent).rtt_ms(km));
        best.map(|(_, ms)| ms).or(estimate).unwrap_or(f32::INFINITY)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn every_address_gets_the_order_of_its_times(
            places in prefixes(),
            systems in prefixes(),
            networks in prefixes(),
            others in vec((0..8_usize, 0..5_u32), 0..12),
        ) {
            let (places, systems) = (storable(&places), storable(&systems));
            let atlas = atlas(&places, &systems);
            let keys = ["continent:EU", "continent:AS", "US", "FR", "US-CA", "JP-13", "AS1", "AS2"];
            let others = others.iter().map(|(at, pool)| (key(keys[*at]), *pool));
            let networks = networks.iter().map(|(prefix, pool)| (Key::Network(*prefix), *pool));
            // Each pair once, and no two times equal.
            let mut pairs: Vec<(Key, u32)> = others.chain(networks).collect();
            pairs.sort();
            pairs.dedup();
            let time = |at: usize| 1.0 + (at * 37 % 101) as f32 * 1.7;
            let rows: Vec<Row> = pairs
                .iter()
                .enumerate()
                .map(|(at, (key, pool))| row(*key, *pool, time(at)))
                .collect();
            let measured = measured(&rows, &atlas);
            let table = compile(&spec(), &atlas, &measured, None);
            let ends = |prefix: &Prefix| [prefix.addr(), prefix.last()];
            let of_rows = pairs.iter().filter_map(|(key, _)| match key {
                Key::Network(network) => Some(network),
                _ => None,
            });
            let all = places.iter().chain(&systems).map(|(prefix, _)| prefix).chain(of_rows);
            for addr in all.flat_map(ends) {
                if Prefix::host(addr).embedded_v4().is_some() {
                    continue;
                }
                let (location, _) = atlas.locate(addr);
                let mut expected: Vec<(f32, u32)> = (0..4)
                    .map(|pool| (naive(&rows, &measured, addr, &location, pool), pool))
                    .collect();
                for (ms, pool) in &expected {
                    let rtt = measured.rtt(addr, &location, PoolIx(*pool));
                    prop_assert_eq!(rtt.map_or(f32::INFINITY, |rtt| rtt.ms), *ms);
                }
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let groups = expected.chunk_by(|a, b| a.0 == b.0 && a.0.is_finite());
                let groups = groups.map(|group| {
                    let pools: Vec<String> = group.iter().map(|(_, pool)| pool.to_string()).collect();
                    pools.join(",")
                });
                let expected = groups.collect::<Vec<_>>().join("|");
                let list = &table.ranks()[table.rank_of(addr).index()];
                prop_assert_eq!(order(list), expected, "{}", addr);
            }
        }
    }
}
