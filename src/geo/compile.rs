//! The geo compiler: an atlas and a spec to the rank list of every address.
//!
//! Three tables are laid over each other: networks of rules, autonomous systems of rules, places.
//! Network rules keep the full precision of their addresses, inside a database network and where
//! the database knows nothing.

use std::net::IpAddr;

use crate::base::ix::RankIx;
use crate::base::prefix::Prefix;
use crate::base::rank::RankList;
use crate::geo::majority::Majority;
use crate::geo::majority::MajorityScratch;
use crate::geo::majority::Sums;
use crate::geo::majority::Vote;
use crate::geo::mmdb::Atlas;
use crate::geo::rank::Ranker;
use crate::geo::rules::Spec;
use crate::geo::table::Hit;
use crate::geo::table::PrefixTable;

/// The key of the client's rank for each prefix, with neighbours of equal key joined, so that its
/// scopes are those of today's answers.
pub type Today = PrefixTable;

/// One spec compiled: the rank list of every address.
#[derive(Clone, Debug)]
pub struct GeoTable {
    lists: Vec<RankList>,
    /// By rank, whether its clients' location is known; beside `lists` for votes.
    located: Vec<bool>,
    table: PrefixTable,
    v4_sums: Sums,
    v6_sums: Sums,
}

/// Compiles a spec. Takes some ten nanoseconds per network of the atlas and a microsecond per
/// location and pool.
pub fn compile(spec: &Spec, atlas: &Atlas) -> GeoTable {
    // Values are rules counted from 1; 0 is no rule.
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
    let mut ranker = Ranker::new(spec, atlas.locations());
    let table = atlas.places().zip(&rules, |location, rule| {
        ranker.rank(location, rule.checked_sub(1)).0
    });
    let lists = ranker.into_lists();
    GeoTable {
        located: lists.iter().map(|list| list.located).collect(),
        v4_sums: Sums::new(&table.v4, lists.len()),
        v6_sums: Sums::new(&table.v6, lists.len()),
        lists,
        table,
    }
}

impl GeoTable {
    /// Every rank list in use, no two equal; a [`RankIx`] is a position in it.
    pub fn ranks(&self) -> &[RankList] {
        &self.lists
    }

    /// The rank of one address.
    pub fn rank_of(&self, addr: IpAddr) -> RankIx {
        RankIx(self.table.value(addr))
    }

    /// The key of a prefix whose addresses have one rank, in the scope of that rank: as safe as
    /// [`Today`]'s and finer. A mixed prefix may still have one key: [`Self::majority`] tells.
    ///
    /// `key_of` has one key per rank.
    pub fn lookup(&self, prefix: Prefix, key_of: &[u32]) -> Hit {
        match self.table.lookup(prefix) {
            Hit::Uniform { key, scope_len } => Hit::Uniform {
                key: key_of[key as usize],
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
        let located = &*self.located;
        match (prefix.addr(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Vote {
                table: &self.table.v4,
                sums: &self.v4_sums,
                located,
                key_of,
                first: first.to_bits(),
                last: last.to_bits(),
            }
            .count(scratch),
            (IpAddr::V6(first), IpAddr::V6(last)) => Vote {
                table: &self.table.v6,
                sums: &self.v6_sums,
                located,
                key_of,
                first: first.to_bits(),
                last: last.to_bits(),
            }
            .count(scratch),
            _ => unreachable!("both ends of a prefix are of one family"),
        }
    }

    /// The table of keys, for exact scopes; `key_of` has one key per rank.
    pub fn merged(&self, key_of: &[u32]) -> Today {
        self.table.map(|rank| key_of[rank as usize])
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
