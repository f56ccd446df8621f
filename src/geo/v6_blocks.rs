//! `V6BlockTable`: an IPv6 table of granules in which a look-up has one cache miss.
//!
//! Granules of up to 64 bits begin where the lower half of an address is 0, so eight octets hold a start.
//! Twelve ranges take two adjacent cache lines, which the processor fetches as a pair: starts, values,
//! and the start of the next range, so that the block alone yields value and scope. The index that leads
//! to a block fits into the L2 cache.

use crate::base::prefetch_sys::prefetch;
use crate::geo::range_index::BTreeIndex;
use crate::geo::range_index::RangeIndex;
use crate::geo::range_index::head;
use crate::geo::range_index::last_reached;
use crate::geo::ranges::Flat;
use crate::geo::ranges::Hit;
use crate::geo::ranges::scope_len;

/// Stands for "no more ranges" among starts: only the first range of all begins at 0.
const NO_START: u64 = 0;

/// Ranges of a block, such that it takes 128 octets.
const N_RANGES: usize = 12;

/// The ranges of all granules.
#[derive(Clone, Debug)]
pub(super) struct V6BlockTable {
    blocks: Vec<Block>,
    index: BTreeIndex,
    n_ranges: usize,
}

#[derive(Clone, Debug)]
#[repr(align(128))]
struct Block {
    /// The leading halves of the ranges' first addresses and of the next block's. Padding is
    /// [`NO_START`].
    starts: [u64; N_RANGES + 1],
    values: [u16; N_RANGES],
}

impl V6BlockTable {
    /// Makes the blocks of a table; `None` if not all its ranges begin at a /64, or if it holds values
    /// beyond 65,535.
    pub(super) fn of(table: &Flat<u128>) -> Option<Self> {
        let n_ranges = table.n_ranges();
        let start = |at| table.extent(at).0;
        let fits = |at| start(at) << 64 == 0 && table.value_at(at) <= u16::MAX.into();
        if !(0..n_ranges).all(fits) {
            return None;
        }
        let block = |first: usize| {
            let start = |n| match first + n {
                at if at < n_ranges => head(start(at)),
                _ => NO_START,
            };
            let value = |n| match first + n {
                at if at < n_ranges => table.value_at(at) as u16,
                _ => 0,
            };
            Block {
                starts: std::array::from_fn(start),
                values: std::array::from_fn(value),
            }
        };
        let blocks: Vec<Block> = (0..n_ranges).step_by(N_RANGES).map(block).collect();
        Some(Self {
            index: BTreeIndex::over(
                &blocks
                    .iter()
                    .map(|block| block.starts[0])
                    .collect::<Vec<_>>(),
            ),
            blocks,
            n_ranges,
        })
    }

    /// The value of the addresses `first` to `last`, a prefix of at most 64 bits, and its scope.
    pub(super) fn lookup(&self, (first, last): (u128, u128)) -> Hit {
        let (first, last) = (head(first), head(last));
        let block = self.block(first);
        let [starts @ .., _] = &block.starts;
        // `NO_START - 1` wraps to the largest number, so padding compares greater than any address;
        // `start - 1 < first` is `start <= first` for all others, and the first of a block is not compared.
        let at = last_reached(starts, |start| start.wrapping_sub(1) < first);
        let next = Some(block.starts[at + 1]).filter(|next| *next != NO_START);
        let scope_len = scope_len(first, block.starts[at], next);
        match next {
            Some(next) if next <= last => Hit::Mixed { scope_len },
            _ => Hit::Uniform {
                value: block.values[at].into(),
                scope_len,
            },
        }
    }

    /// Prefetches the block of an address.
    pub(super) fn prefetch(&self, addr: u128) {
        prefetch(self.block(head(addr)));
    }

    fn block(&self, head: u64) -> &Block {
        &self.blocks[self.index.descend(head).min(self.blocks.len() - 1)]
    }

    /// The number of ranges, at least one.
    pub(super) fn n_ranges(&self) -> usize {
        self.n_ranges
    }

    /// Heap memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        size_of_val(&*self.blocks) + self.index.n_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::ProptestConfig;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop_oneof;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;
    use crate::geo::ranges::Address;
    use crate::geo::ranges::Builder;

    /// Leading halves, crowded in some corners.
    fn heads() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..300_u64, u64::MAX - 99..]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn blocks_agree_with_the_table(
            ranges in btree_map(heads(), 0..5_u32, 0..700),
            asked in proptest::collection::vec((heads(), 0..=64_u8), 30),
        ) {
            let mut built = Builder::default();
            for (start, value) in &ranges {
                built.begin(u128::from(*start) << 64, *value);
            }
            let table = built.finish();
            let blocks = V6BlockTable::of(&table).expect("starts are even");
            prop_assert_eq!(blocks.n_ranges(), table.n_ranges());
            let starts = ranges.keys().map(|start| (*start, 64));
            for (addr, len) in asked.into_iter().chain(starts) {
                let ends = (u128::from(addr) << 64).around(len);
                prop_assert_eq!(blocks.lookup(ends), table.lookup(ends));
            }
        }
    }

    #[test]
    fn other_tables_have_no_blocks() {
        assert_eq!(size_of::<Block>(), 128);
        let mut finer = Builder::default();
        finer.begin(1_u128 << 63, 1);
        assert!(V6BlockTable::of(&finer.finish()).is_none());
        let mut many = Builder::default();
        many.begin(0, 1 << 16);
        assert!(V6BlockTable::of(&many.finish()).is_none());
    }
}
