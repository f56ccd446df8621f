//! The geo compiler: an atlas and a spec to the rank list of every address.
//!
//! Four tables are laid over each other: networks of rules, autonomous systems of rules, special-purpose
//! blocks, places. Network rules keep the full precision of their addresses, inside a database network
//! and where the database knows nothing. Special-purpose blocks that nothing is known of have a rank of
//! their own.

use std::net::IpAddr;

use crate::base::ix::RankIx;
use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::rank::RankList;
use crate::base::special_purpose;
use crate::geo::answer_table::AnswerTable;
use crate::geo::atlas::Atlas;
use crate::geo::majority::Majority;
use crate::geo::majority::MajorityScratch;
use crate::geo::majority::Sums;
use crate::geo::majority::Vote;
use crate::geo::ranges::Address;
use crate::geo::rank::Ranker;
use crate::geo::rules::Spec;
use crate::geo::table::Hit;
use crate::geo::table::PrefixTable;

/// One spec compiled: the rank list of every address.
#[derive(Clone, Debug)]
pub struct RankTable {
    lists: Vec<RankList>,
    /// By rank, whether its clients' location is known; beside `lists` for votes.
    located: Vec<bool>,
    table: PrefixTable,
    v4_sums: Sums,
    v6_sums: Sums,
}

/// Compiles a spec. Takes some ten nanoseconds per network of the atlas and a microsecond per
/// location and pool.
pub fn compile(spec: &Spec, atlas: &Atlas) -> RankTable {
    let rules = rules_by_address(spec, atlas);
    let mut ranker = Ranker::new(spec, atlas.locations());
    let table = atlas.places().zip(&rules, |location, rule| match rule {
        SPECIAL => ranker.rank_special_purpose(location).0,
        _ => ranker.rank(location, rule.checked_sub(1)).0,
    });
    RankTable::new(table, ranker.into_lists())
}

/// The rule of every address among those by network and AS, counted from 1; 0 is none, [`SPECIAL`] none for an
/// address of a special purpose.
pub(super) fn rules_by_address(spec: &Spec, atlas: &Atlas) -> PrefixTable {
    let networks = spec.network_rules();
    let networks: Vec<_> = networks.iter().map(|(p, rule)| (*p, rule + 1)).collect();
    let mut rules = PrefixTable::longest_match(&networks);
    let by_asn = spec.asn_rules();
    if !by_asn.is_empty() {
        rules = rules.zip(atlas.systems(), |rule, asn| match rule {
            0 => by_asn.get(&asn).map_or(0, |rule| rule + 1),
            _ => rule,
        });
    }
    let special: Vec<_> = special_purpose::blocks()
        .iter()
        .map(|p| (*p, SPECIAL))
        .collect();
    rules.zip(
        &PrefixTable::longest_match(&special),
        |rule, special| match rule {
            0 => special,
            _ => rule,
        },
    )
}

/// Stands among rules for a special-purpose block that is under none.
pub(super) const SPECIAL: u32 = u32::MAX;

impl RankTable {
    /// The rank of every address, and the list of every rank.
    pub(super) fn new(table: PrefixTable, lists: Vec<RankList>) -> Self {
        Self {
            located: lists.iter().map(|list| list.located).collect(),
            v4_sums: Sums::new(&table.v4, lists.len()),
            v6_sums: Sums::new(&table.v6, lists.len()),
            lists,
            table,
        }
    }

    /// The rank of every address, made into something else.
    pub(super) fn map(&self, value_of: impl FnMut(u32) -> u32) -> PrefixTable {
        self.table.map(value_of)
    }

    /// Every rank list in use, no two equal; a [`RankIx`] is a position in it.
    pub fn ranks(&self) -> &[RankList] {
        &self.lists
    }

    /// The rank of one address: of one that nothing is known of, that of the IPv4 address inside.
    pub fn rank_of(&self, addr: IpAddr) -> RankIx {
        let rank = RankIx(self.table.value(addr));
        match Prefix::host(addr).embedded_v4() {
            Some((v4, _)) if self.lists[rank.index()].is_passed_over() => self.rank_of(v4.addr()),
            _ => rank,
        }
    }

    /// The key of a prefix whose addresses have one rank, in the scope of that rank: as safe as
    /// [`AnswerTable`]'s and finer. A mixed prefix may still have one key: [`Self::majority`] decides.
    ///
    /// `key_of` has one key per rank.
    pub fn lookup(&self, prefix: Prefix, key_of: &[u32]) -> Hit {
        match self.table.lookup(prefix) {
            Hit::Uniform { value, scope_len } => Hit::Uniform {
                value: key_of[value as usize],
                scope_len,
            },
            mixed @ Hit::Mixed { .. } => mixed,
        }
    }

    /// The key that most of the located addresses of a prefix have.
    ///
    /// `key_of` has one key per rank; keys should be small, as working memory grows to the largest.
    /// The work is bounded whatever the prefix, and allocates only until `scratch` has grown.
    pub fn majority(
        &self,
        prefix: Prefix,
        key_of: &[u32],
        scratch: &mut MajorityScratch,
    ) -> Majority {
        match prefix.family() {
            Family::V4 => self.v4_vote(prefix, key_of).count(scratch),
            Family::V6 => self.v6_vote(prefix, key_of).count(scratch),
        }
    }

    /// The rank lists of a prefix with their votes (located addresses, or all if none is located), most
    /// first: what is behind [`Self::majority`], for explanations.
    pub fn votes(&self, prefix: Prefix) -> Vec<(RankIx, u128)> {
        let key_of: Vec<u32> = (0..self.lists.len() as u32).collect();
        let votes = match prefix.family() {
            Family::V4 => self.v4_vote(prefix, &key_of).votes(),
            Family::V6 => self.v6_vote(prefix, &key_of).votes(),
        };
        let by_rank = votes.into_iter().map(|(rank, n)| (RankIx(rank), n));
        by_rank.collect()
    }

    /// The first address of a prefix that has a rank, in time proportional to the ranges in it.
    pub fn first_of(&self, prefix: Prefix, rank: RankIx) -> Option<IpAddr> {
        let RankIx(rank) = rank;
        match prefix.family() {
            Family::V4 => {
                let first = self.table.v4.first_of(Address::ends(prefix), rank)?;
                Some(IpAddr::V4(first.into()))
            }
            Family::V6 => {
                let first = self.table.v6.first_of(Address::ends(prefix), rank)?;
                Some(IpAddr::V6(first.into()))
            }
        }
    }

    fn v4_vote<'a>(&'a self, prefix: Prefix, key_of: &'a [u32]) -> Vote<'a, u32> {
        let (first, last) = Address::ends(prefix);
        Vote {
            table: &self.table.v4,
            sums: &self.v4_sums,
            located: &self.located,
            key_of,
            first,
            last,
        }
    }

    fn v6_vote<'a>(&'a self, prefix: Prefix, key_of: &'a [u32]) -> Vote<'a, u128> {
        let (first, last) = Address::ends(prefix);
        Vote {
            table: &self.table.v6,
            sums: &self.v6_sums,
            located: &self.located,
            key_of,
            first,
            last,
        }
    }

    /// The keys of client subnets that are cut to `granularity` bits for exact scopes;
    /// `key_of` has one key per rank.
    pub fn merged(&self, key_of: &[u32], granularity: PerFamily<u8>) -> AnswerTable {
        let mut scratch = MajorityScratch::default();
        AnswerTable::of(&self.table, key_of, granularity, |granule| {
            self.majority(granule, key_of, &mut scratch).key
        })
    }

    /// The key of every address, as client subnets that are cut to `granularity` bits have it; `key_of` has one
    /// key per rank. It is what [`Self::merged`] looks up, made for who counts addresses.
    pub fn keys(&self, key_of: &[u32], granularity: PerFamily<u8>) -> PrefixTable {
        let mut scratch = MajorityScratch::default();
        AnswerTable::keys(&self.table, key_of, granularity, |granule| {
            self.majority(granule, key_of, &mut scratch).key
        })
    }

    /// The number of ranges of both families.
    pub fn n_ranges(&self) -> usize {
        self.table.n_ranges()
    }

    /// Heap memory in bytes, without the rank lists.
    pub fn n_bytes(&self) -> usize {
        self.table.n_bytes() + self.v4_sums.n_bytes() + self.v6_sums.n_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::base::ix::PoolIx;
    use crate::base::location::Continent;
    use crate::base::location::Location;
    use crate::base::location::Point;
    use crate::base::rank::Policy;
    use crate::geo::fixture::Scan;
    use crate::geo::fixture::atlas;
    use crate::geo::fixture::prefixes;
    use crate::geo::fixture::storable;
    use crate::geo::rules::Matcher;
    use crate::geo::rules::Rule;
    use crate::geo::rules::Site;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().expect(text)
    }

    fn site(pool: u32, latitude: f64, longitude: f64) -> Site {
        let point = Point::new(latitude, longitude).expect("in range");
        Site::new(PoolIx(pool), point)
    }

    /// One rule of each kind, each with a pool of its own: 0 and 1 are the name's.
    fn spec(networks: Vec<Prefix>) -> Spec {
        let matchers = [
            Matcher {
                continents: vec![Continent::Eu],
                ..Matcher::default()
            },
            Matcher {
                countries: vec!["US".parse().expect("a code")],
                ..Matcher::default()
            },
            Matcher {
                systems: vec![2],
                ..Matcher::default()
            },
            Matcher {
                networks,
                ..Matcher::default()
            },
        ];
        let rule = |(matcher, pool): (Matcher, u32)| Rule {
            matcher: Arc::new(matcher),
            sites: vec![site(pool, 0.0, 0.0)],
            policy: Policy::Nearest,
            fence: true,
        };
        Spec {
            policy: Policy::Nearest,
            sites: vec![site(0, 0.0, 0.0), site(1, 35.0, 139.0)],
            rules: matchers.into_iter().zip(2..).map(rule).collect(),
            regions: Vec::new(),
        }
    }

    /// The first pool and the rule that the contract asks for.
    fn expected(network: u32, asn: u32, location: &Location) -> (u32, Option<u32>) {
        let country = location.country.map(|country| country.to_string());
        match (network, asn, country.as_deref()) {
            (1.., ..) => (5, Some(3)),
            (_, 2, _) => (4, Some(2)),
            (.., Some("US")) => (3, Some(1)),
            (.., Some("FR")) => (2, Some(0)),
            (.., Some(_)) => (1, None),
            (.., None) => (0, None),
        }
    }

    #[test]
    fn network_rules_cut_through_database_networks_and_reach_beyond_them() {
        let atlas = atlas(&[(p("192.0.2.0/24"), 0), (p("2001:db8::/64"), 1)], &[]);
        let mut spec = spec(vec![
            p("192.0.2.7/32"),
            p("2001:db8::7/128"),
            p("10.0.0.0/8"),
        ]);
        spec.rules.push(Rule {
            matcher: Arc::new(Matcher {
                networks: vec![p("10.1.0.0/16"), p("10.0.0.0/8")],
                ..Matcher::default()
            }),
            ..spec.rules[0].clone()
        });
        let table = compile(&spec, &atlas);
        for (client, rule, located) in [
            ("192.0.2.6", None, true),
            ("192.0.2.7", Some(3), true),
            ("192.0.2.8", None, true),
            ("10.0.0.1", Some(3), false),
            ("10.1.0.1", Some(4), false),
            ("2001:db8::6", Some(0), true),
            ("2001:db8::7", Some(3), true),
            ("2001:db8::8", Some(0), true),
            ("2001:db8:0:1::", None, false),
        ] {
            let list = &table.ranks()[table.rank_of(client.parse().expect("address")).index()];
            assert_eq!((list.rule, list.located), (rule, located), "{client}");
        }
        let key_of: Vec<u32> = (0..).take(table.ranks().len()).collect();
        let Hit::Uniform { value, scope_len } = table.lookup(p("2001:db8::7/128"), &key_of) else {
            panic!("one address has one answer");
        };
        assert_eq!(
            (table.ranks()[value as usize].rule, scope_len),
            (Some(3), 128)
        );
    }

    #[test]
    fn equal_answers_join_into_shorter_scopes() {
        let atlas = atlas(&[(p("192.0.2.0/25"), 0), (p("192.0.2.128/25"), 1)], &[]);
        let table = compile(&spec(Vec::new()), &atlas);
        let asked = p("192.0.2.0/24");
        let same: Vec<u32> = table
            .ranks()
            .iter()
            .map(|list| list.located.into())
            .collect();
        assert_eq!(table.lookup(asked, &same), Hit::Mixed { scope_len: 25 });
        let majority = table.majority(asked, &same, &mut MajorityScratch::default());
        assert_eq!((majority.key, majority.unanimous), (1, true));
        let joined = Hit::Uniform {
            value: 1,
            scope_len: 24,
        };
        assert_eq!(
            table
                .merged(&same, PerFamily { v4: 24, v6: 56 })
                .lookup(asked),
            joined
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn every_address_gets_the_rank_that_the_contract_says(
            places in prefixes(),
            systems in prefixes(),
            networks in prefixes(),
        ) {
            let (places, systems) = (storable(&places), storable(&systems));
            let atlas = atlas(&places, &systems);
            let networks: Vec<_> = networks.into_iter().map(|(prefix, _)| (prefix, 1)).collect();
            let mut spec = spec(networks.iter().map(|(prefix, _)| *prefix).collect());
            if networks.is_empty() {
                spec.rules.pop();
            }
            let table = compile(&spec, &atlas);
            let all = places.iter().chain(&systems).chain(&networks);
            for addr in all.flat_map(|(prefix, _)| [prefix.addr(), prefix.last()]) {
                let (network, asn) = (Scan(&networks).value(addr), Scan(&systems).value(addr));
                let inside = Prefix::host(addr).embedded_v4().map(|(v4, _)| v4.addr());
                let asn_of = |addr| Scan(&systems).value(addr);
                let known_asn = match inside {
                    Some(v4) if asn == 0 => asn_of(v4),
                    _ => asn,
                };
                let (location, _) = atlas.locate(addr);
                prop_assert_eq!(location.asn.unwrap_or(0), known_asn, "{}", addr);
                // No place of this test holds an IPv4 address inside: only rules can know such an address.
                let has_rule = network > 0 || asn == 2;
                let (network, asn, location) = match inside {
                    Some(_) if has_rule => (network, asn, Location::default()),
                    Some(v4) => (Scan(&networks).value(v4), asn_of(v4), location),
                    None => (network, asn, location),
                };
                let list = &table.ranks()[table.rank_of(addr).index()];
                let first = list.groups.iter().next().expect("a group")[0];
                let found = (first.pool.0, list.rule);
                prop_assert_eq!(found, expected(network, asn, &location), "{}", addr);
                prop_assert_eq!(list.located, location.is_located());
            }
        }
    }
}
