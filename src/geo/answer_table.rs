//! `AnswerTable`: the key of every client subnet, and how far around it that key holds.
//!
//! Client subnets are cut to a granularity (`[ecs] max_scope_*`), so a prefix of that length, a
//! granule, is the smallest thing that is ever asked for. Neighbours of equal key are joined, and a
//! granule that holds several keys has had its vote already: a look-up is one search in any case.

use std::net::IpAddr;

use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::geo::ranges::Address;
use crate::geo::ranges::Builder;
use crate::geo::ranges::Flat;
use crate::geo::ranges::Hit;
use crate::geo::table::PrefixTable;
use crate::geo::v4_lines::LINE_BITS;
use crate::geo::v4_lines::V4LineTable;
use crate::geo::v6_blocks::V6BlockTable;

/// The keys of all granules.
#[derive(Clone, Debug)]
pub struct AnswerTable {
    /// Values are [`Packed`], and ranges begin where granules do; so in all three tables.
    v4: Flat<u32>,
    /// A copy of a large IPv4 table, which nearly all clients are looked up in.
    lines: Option<V4LineTable>,
    v6: V6Table,
    granularity: PerFamily<u8>,
}

/// A granule's value: `key << 1 | is_mixed`. Of a mixed granule, one that holds several keys, it is the
/// majority's key.
#[derive(Clone, Copy)]
struct Packed(u32);

impl Packed {
    fn new(key: u32, is_mixed: bool) -> Self {
        Self(key << 1 | u32::from(is_mixed))
    }

    fn key(self) -> u32 {
        self.0 >> 1
    }

    fn is_mixed(self) -> bool {
        self.0 & 1 == 1
    }
}

/// An IPv6 table.
#[derive(Clone, Debug)]
enum V6Table {
    /// Of granules of at most 64 bits: the usual case.
    Blocks(V6BlockTable),
    /// Of longer ones.
    Flat(Flat<u128>),
}

impl AnswerTable {
    /// Cuts a table of ranks into granules: of `granularity` bits each.
    ///
    /// `key_of` has one key per rank; `majority` has the vote of a granule with several.
    pub(super) fn of(
        ranks: &PrefixTable,
        key_of: &[u32],
        granularity: PerFamily<u8>,
        majority: impl FnMut(Prefix) -> u32,
    ) -> Self {
        let PrefixTable { v4, v6 } = packed(ranks, key_of, granularity, majority);
        Self {
            lines: V4LineTable::of(&v4),
            v4,
            v6: match V6BlockTable::of(&v6) {
                Some(blocks) => V6Table::Blocks(blocks),
                None => V6Table::Flat(v6),
            },
            granularity,
        }
    }

    /// The key of every address by its granule, for those who count addresses.
    pub(super) fn keys(
        ranks: &PrefixTable,
        key_of: &[u32],
        granularity: PerFamily<u8>,
        majority: impl FnMut(Prefix) -> u32,
    ) -> PrefixTable {
        packed(ranks, key_of, granularity, majority).map(|value| Packed(value).key())
    }

    /// The key of a prefix that is no longer than a granule, and the scope in which it holds, which is
    /// longer than a granule where that holds several keys.
    pub fn lookup(&self, prefix: Prefix) -> Hit {
        let granule_len = self.granularity[prefix.family()];
        let (packed, scope_len) = match self.find(prefix) {
            Hit::Uniform { value, scope_len } => (Packed(value), scope_len),
            mixed @ Hit::Mixed { .. } => return mixed,
        };
        match packed.is_mixed() {
            false => Hit::Uniform {
                value: packed.key(),
                scope_len,
            },
            true if prefix.len() == granule_len => Hit::Uniform {
                value: packed.key(),
                scope_len: granule_len + 1,
            },
            true => Hit::Mixed {
                scope_len: granule_len + 1,
            },
        }
    }

    /// Prefetches the cache line that [`Self::lookup`] will read for this prefix.
    pub fn prefetch(&self, prefix: Prefix) {
        match (prefix.family(), &self.lines, &self.v6) {
            (Family::V4, Some(lines), _) => lines.prefetch(Address::ends(prefix).0),
            (Family::V6, _, V6Table::Blocks(blocks)) => blocks.prefetch(prefix.bits()),
            _ => {}
        }
    }

    fn find(&self, prefix: Prefix) -> Hit {
        match prefix.family() {
            Family::V4 => {
                let ends = Address::ends(prefix);
                let lines = self.lines.as_ref().filter(|_| prefix.len() >= LINE_BITS);
                lines
                    .and_then(|lines| lines.lookup(ends))
                    .unwrap_or_else(|| self.v4.lookup(ends))
            }
            Family::V6 => match &self.v6 {
                V6Table::Blocks(blocks) => blocks.lookup(Address::ends(prefix)),
                V6Table::Flat(flat) => flat.lookup(Address::ends(prefix)),
            },
        }
    }

    /// The number of ranges of both families.
    pub fn n_ranges(&self) -> usize {
        let n_v6 = match &self.v6 {
            V6Table::Blocks(blocks) => blocks.n_ranges(),
            V6Table::Flat(flat) => flat.n_ranges(),
        };
        self.v4.n_ranges() + n_v6
    }

    /// Heap memory in bytes.
    pub fn n_bytes(&self) -> usize {
        let v6 = match &self.v6 {
            V6Table::Blocks(blocks) => blocks.n_bytes(),
            V6Table::Flat(flat) => flat.n_bytes(),
        };
        self.v4.n_bytes() + self.lines.as_ref().map_or(0, V4LineTable::n_bytes) + v6
    }
}

/// The values of all granules, which are [`Packed`].
fn packed(
    ranks: &PrefixTable,
    key_of: &[u32],
    granularity: PerFamily<u8>,
    mut majority: impl FnMut(Prefix) -> u32,
) -> PrefixTable {
    let v4 = granules(&ranks.v4, key_of, granularity.v4, |first| {
        majority(Prefix::cut(IpAddr::V4(first.into()), granularity.v4))
    });
    let v6 = granules(&ranks.v6, key_of, granularity.v6, |first| {
        majority(Prefix::cut(IpAddr::V6(first.into()), granularity.v6))
    });
    PrefixTable { v4, v6 }
}

/// One family's values by granule.
fn granules<A: Address>(
    ranks: &Flat<A>,
    key_of: &[u32],
    len: u8,
    mut majority: impl FnMut(A) -> u32,
) -> Flat<A> {
    let mut built = Builder::default();
    // The first address that has no value yet, always the first of a granule; `None` at the end.
    let mut open = Some(A::default());
    let mut at = 0;
    while let Some(from) = open {
        let key = key_of[ranks.value_at(at) as usize];
        let is_same = |next: &usize| key_of[ranks.value_at(*next) as usize] == key;
        at = (at + 1..ranks.n_ranges())
            .find(|next| !is_same(next))
            .unwrap_or(ranks.n_ranges());
        let (_, last) = ranks.extent(at - 1);
        if last < from {
            // All of it lies in a granule that has had its vote.
            continue;
        }
        let (cut_from, cut_to) = last.around(len);
        if from < cut_from || cut_to == last {
            built.begin(from, Packed::new(key, false).0);
        }
        open = match cut_to == last {
            true => last.after(),
            false => {
                built.begin(cut_from, Packed::new(majority(cut_from), true).0);
                cut_to.after()
            }
        };
    }
    built.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::geo::fixture::prefixes;

    use super::*;

    /// Stands in for a vote: any function of the granule that tells granules apart.
    fn ballot(granule: Prefix) -> u32 {
        let octets = granule.to_string();
        octets
            .bytes()
            .fold(7, |sum, octet| sum * 3 % 1009 + u32::from(octet))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn granules_have_the_key_and_scope_of_the_addresses_in_them(
            known in prefixes(),
            asked in prefixes(),
            key_of in proptest::array::uniform4(0..3_u32),
            v4 in 0..=32_u8,
            v6 in 0..=128_u8,
        ) {
            let granularity = PerFamily { v4, v6 };
            let ranks = PrefixTable::longest_match(&known);
            let keys = ranks.map(|rank| key_of[rank as usize]);
            let answer_table = AnswerTable::of(&ranks, &key_of, granularity, ballot);
            for (prefix, _) in known.iter().chain(&asked) {
                let granule_len = granularity[prefix.family()];
                let granule = Prefix::cut(prefix.addr(), granule_len);
                let expected = match keys.lookup(granule) {
                    Hit::Mixed { .. } => Hit::Uniform {
                        value: ballot(granule),
                        scope_len: granule_len + 1,
                    },
                    uniform @ Hit::Uniform { .. } => uniform,
                };
                prop_assert_eq!(answer_table.lookup(granule), expected, "{}", granule);
                let shorter = prefix.truncated(granule_len);
                match (answer_table.lookup(shorter), keys.lookup(shorter)) {
                    (Hit::Mixed { scope_len }, Hit::Mixed { scope_len: exact }) => {
                        prop_assert_eq!(scope_len.min(granule_len), exact.min(granule_len));
                    }
                    (found, exact) => prop_assert!(shorter.len() == granule_len || found == exact),
                }
            }
        }
    }
}
