//! `RangeIndex`: from an address to the range that holds it, with as few cache misses as possible.
//!
//! IPv4 networks are spread rather evenly, so the leading bits of an address almost determine its range:
//! [`DirectIndex`], an array indexed by those bits as in DIR-24-8. IPv6 networks are clustered, a hundred
//! thousand of them in one /32, and no number of leading bits suits all: [`BTreeIndex`], an implicit
//! B-tree, takes the same few steps everywhere. Both find what a binary search of the starts would find.
//! `cargo bench --bench lookup` measures them.

use std::fmt::Debug;

/// An index of ranges given by their first addresses, which ascend from the lowest address there is.
pub(super) trait RangeIndex<A>: Clone + Debug + PartialEq {
    /// Indexes the starts.
    fn of(starts: &[A]) -> Self;
    /// The position of the last of the same starts that is not greater than `addr`.
    fn find(&self, starts: &[A], addr: A) -> usize;
    /// Heap memory in bytes.
    fn n_bytes(&self) -> usize;
}

/// For each block of IPv4 addresses, about one block per range, the range of its first address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DirectIndex {
    /// By block, and after the last block the last range.
    slots: Vec<u32>,
    /// An address shifted right by so much is the number of its block.
    shift: u32,
}

/// At most 4 MiB of slots.
const MAX_SLOT_BITS: u32 = 20;

impl RangeIndex<u32> for DirectIndex {
    fn of(starts: &[u32]) -> Self {
        let shift = 32 - starts.len().ilog2().clamp(1, MAX_SLOT_BITS);
        let mut at = 0;
        let range_of = |slot: u32| {
            let later = starts[at + 1..].iter();
            at += later.take_while(|s| **s <= slot << shift).count();
            at as u32
        };
        let mut slots: Vec<u32> = (0..1 << (32 - shift)).map(range_of).collect();
        slots.push(starts.len() as u32 - 1);
        Self { slots, shift }
    }

    fn find(&self, starts: &[u32], addr: u32) -> usize {
        let slot = (addr >> self.shift) as usize;
        let [first, last] = [slot, slot + 1].map(|slot| self.slots[slot] as usize);
        first + last_reached(&starts[first..=last], |start| *start <= addr)
    }

    fn n_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// An implicit 8-ary B-tree over the leading halves of every eighth start: each level holds every eighth
/// key of the level below it, the root comes last.
///
/// A search reads one node, a cache line, per level. Only the lowest level does not fit into the L2 cache.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BTreeIndex {
    levels: Vec<Vec<[u64; FANOUT]>>,
}

/// Keys of a node, and children per node: 8 keys of 8 bytes are one cache line.
const FANOUT: usize = 8;

impl BTreeIndex {
    /// Builds the tree over ascending keys, at least one.
    pub(super) fn over(lowest: &[u64]) -> Self {
        let mut levels = vec![nodes(lowest.iter())];
        while let Some(level) = levels.last()
            && level.len() > 1
        {
            levels.push(nodes(level.iter().map(|[first, ..]| first)));
        }
        Self { levels }
    }

    /// The position in the lowest level of the last key that is not greater than `head`; may be past the
    /// end. The first key is never greater.
    pub(super) fn descend(&self, head: u64) -> usize {
        let levels = self.levels.iter().rev();
        levels.fold(0, |at, level| {
            // The padding of the last node is `u64::MAX`, which the last address reaches.
            let at = at.min(level.len() - 1);
            at * FANOUT + last_reached(&level[at], |start| *start <= head)
        })
    }
}

/// Keys in nodes; the last is padded with `u64::MAX`.
fn nodes<'a>(mut starts: impl ExactSizeIterator<Item = &'a u64>) -> Vec<[u64; FANOUT]> {
    let n_nodes = starts.len().div_ceil(FANOUT);
    let mut next = |_| starts.next().copied().unwrap_or(u64::MAX);
    (0..n_nodes)
        .map(|_| std::array::from_fn(&mut next))
        .collect()
}

/// The position of the last of some ascending starts that is reached; the first always is.
///
/// A branchless binary search: the comparison becomes a conditional move, as a branch on it would be
/// mispredicted half of the time.
#[inline]
pub(super) fn last_reached<A>(starts: &[A], is_reached: impl Fn(&A) -> bool) -> usize {
    let mut at = 0;
    let mut n_left = starts.len();
    while n_left > 1 {
        let half = n_left / 2;
        at = if is_reached(&starts[at + half]) {
            at + half
        } else {
            at
        };
        n_left -= half;
    }
    at
}

impl RangeIndex<u128> for BTreeIndex {
    fn of(starts: &[u128]) -> Self {
        let lowest: Vec<u64> = starts.iter().step_by(FANOUT).copied().map(head).collect();
        Self::over(&lowest)
    }

    fn find(&self, starts: &[u128], addr: u128) -> usize {
        let first = self.descend(head(addr)) * FANOUT;
        let run = starts.get(first..).unwrap_or_default();
        match run.first() {
            Some(start) if *start <= addr => {
                let run = &run[..run.len().min(FANOUT)];
                first + last_reached(run, |start| *start <= addr)
            }
            // More starts than one node holds have this leading half: search all of them.
            _ => starts.partition_point(|start| *start <= addr) - 1,
        }
    }

    fn n_bytes(&self) -> usize {
        self.levels.iter().map(|level| size_of_val(&**level)).sum()
    }
}

/// The leading half of an address.
pub(super) fn head(addr: u128) -> u64 {
    (addr >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::collection::vec;
    use proptest::prelude::ProptestConfig;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop_oneof;
    use proptest::proptest;

    use super::*;

    fn check<A: Copy + Ord + Debug, I: RangeIndex<A>>(starts: &[A], asked: &[A]) {
        let index = I::of(starts);
        for addr in asked.iter().chain(starts) {
            let expected = starts.partition_point(|start| start <= addr) - 1;
            assert_eq!(
                index.find(starts, *addr),
                expected,
                "{addr:?} of {starts:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_direct_index_finds_what_a_binary_search_finds(
            mut crowd in btree_set(prop_oneof![any::<u32>(), 0..1000_u32, u32::MAX - 99..], 0..700),
            asked in vec(any::<u32>(), 20),
        ) {
            crowd.insert(0);
            let starts: Vec<u32> = crowd.into_iter().collect();
            check::<_, DirectIndex>(&starts, &asked);
            check::<_, DirectIndex>(&starts, &[u32::MAX, u32::MAX - 1]);
        }

        #[test]
        fn a_b_tree_index_finds_what_a_binary_search_finds(
            mut crowd in btree_set(crowded(), 0..700),
            asked in vec(crowded(), 20),
        ) {
            crowd.insert(0);
            let starts: Vec<u128> = crowd.into_iter().collect();
            check::<_, BTreeIndex>(&starts, &asked);
            check::<_, BTreeIndex>(&starts, &[u128::MAX, u128::MAX - 1]);
        }
    }

    /// Addresses of which many share their leading halves.
    fn crowded() -> impl Strategy<Value = u128> {
        let few = (0..4_u128, 0..500_u128).prop_map(|(high, low)| high << 64 | low);
        prop_oneof![few, any::<u128>(), u128::MAX - 99..]
    }
}
