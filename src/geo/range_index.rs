//! Guides: from an address to the range that holds it, past as few cache lines as can be.
//!
//! IPv4 networks lie rather evenly, so the leading bits of an address nearly give its range away:
//! [`Slots`]. IPv6 networks crowd in a few corners of the space, a hundred thousand of them in one /32, and
//! no choice of leading bits is right for all: [`Levels`] takes the same few steps wherever it is
//! asked. Both only speed up what a bisection of the starts would find.

use std::fmt::Debug;

/// Leads to ranges given by their first addresses, which ascend from the lowest address there is.
pub(super) trait Guide<A>: Clone + Debug + PartialEq {
    /// Learns the starts.
    fn of(starts: &[A]) -> Self;
    /// The position of the last of the same starts that is not behind `addr`.
    fn find(&self, starts: &[A], addr: A) -> usize;
    /// Heap memory in bytes.
    fn n_bytes(&self) -> usize;
}

/// For each block of IPv4 addresses, some one per range, the range of its first address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slots {
    /// One more than there are blocks: the last is the last range.
    index: Vec<u32>,
    /// How far an address is shifted to become the number of its block.
    shift: u32,
}

/// At most 4 MiB of slots.
const MAX_SLOT_BITS: u32 = 20;

impl Guide<u32> for Slots {
    fn of(starts: &[u32]) -> Self {
        let shift = 32 - starts.len().ilog2().clamp(1, MAX_SLOT_BITS);
        let mut at = 0;
        let range_of = |slot: u32| {
            let beyond = starts[at + 1..].iter();
            at += beyond.take_while(|s| **s <= slot << shift).count();
            at as u32
        };
        let mut index: Vec<u32> = (0..1 << (32 - shift)).map(range_of).collect();
        index.push(starts.len() as u32 - 1);
        Self { index, shift }
    }

    fn find(&self, starts: &[u32], addr: u32) -> usize {
        let slot = (addr >> self.shift) as usize;
        let [first, last] = [slot, slot + 1].map(|slot| self.index[slot] as usize);
        first + last_reached(&starts[first..=last], |start| *start <= addr)
    }

    fn n_bytes(&self) -> usize {
        size_of_val(&*self.index)
    }
}

/// The leading halves of every eighth start, every eighth of these, and so on, until few are left; the
/// highest level last.
///
/// A search reads one short run of each level. Only the lowest is too large for the processor's inner
/// caches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    levels: Vec<Vec<[u64; FANOUT]>>,
}

/// How many starts one of the level above stands for: a cache line of halves.
const FANOUT: usize = 8;

impl Levels {
    /// Levels whose lowest is this one, of ascending starts, at least one.
    pub(super) fn on(lowest: &[u64]) -> Self {
        let mut levels = vec![runs(lowest.iter())];
        while let Some(level) = levels.last()
            && level.len() > 1
        {
            levels.push(runs(level.iter().map(|[first, ..]| first)));
        }
        Self { levels }
    }

    /// The position in the lowest level of the last start that is not behind this one, or one behind
    /// the last. The first start is never behind.
    pub(super) fn descend(&self, head: u64) -> usize {
        let levels = self.levels.iter().rev();
        levels.fold(0, |at, level| {
            // What fills the last run up is reached by the last address.
            let at = at.min(level.len() - 1);
            at * FANOUT + last_reached(&level[at], |start| *start <= head)
        })
    }
}

/// Starts in runs; the last is filled up with the last address.
fn runs<'a>(mut starts: impl ExactSizeIterator<Item = &'a u64>) -> Vec<[u64; FANOUT]> {
    let n_runs = starts.len().div_ceil(FANOUT);
    let mut next = |_| starts.next().copied().unwrap_or(u64::MAX);
    (0..n_runs)
        .map(|_| std::array::from_fn(&mut next))
        .collect()
}

/// The position of the last of some ascending starts that is reached; the first always is.
///
/// It takes no branch: which half it will be cannot be predicted.
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

impl Guide<u128> for Levels {
    fn of(starts: &[u128]) -> Self {
        let lowest: Vec<u64> = starts.iter().step_by(FANOUT).copied().map(head).collect();
        Self::on(&lowest)
    }

    fn find(&self, starts: &[u128], addr: u128) -> usize {
        let first = self.descend(head(addr)) * FANOUT;
        let run = starts.get(first..).unwrap_or_default();
        match run.first() {
            Some(start) if *start <= addr => {
                let run = &run[..run.len().min(FANOUT)];
                first + last_reached(run, |start| *start <= addr)
            }
            // Many starts have the same leading half, and the one looked for is further in front.
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

    fn check<A: Copy + Ord + Debug, G: Guide<A>>(starts: &[A], asked: &[A]) {
        let guide = G::of(starts);
        for addr in asked.iter().chain(starts) {
            let expected = starts.partition_point(|start| start <= addr) - 1;
            assert_eq!(
                guide.find(starts, *addr),
                expected,
                "{addr:?} of {starts:?}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn slots_find_what_a_bisection_finds(
            mut crowd in btree_set(prop_oneof![any::<u32>(), 0..1000_u32, u32::MAX - 99..], 0..700),
            asked in vec(any::<u32>(), 20),
        ) {
            crowd.insert(0);
            let starts: Vec<u32> = crowd.into_iter().collect();
            check::<_, Slots>(&starts, &asked);
            check::<_, Slots>(&starts, &[u32::MAX, u32::MAX - 1]);
        }

        #[test]
        fn levels_find_what_a_bisection_finds(
            mut crowd in btree_set(crowded(), 0..700),
            asked in vec(crowded(), 20),
        ) {
            crowd.insert(0);
            let starts: Vec<u128> = crowd.into_iter().collect();
            check::<_, Levels>(&starts, &asked);
            check::<_, Levels>(&starts, &[u128::MAX, u128::MAX - 1]);
        }
    }

    /// Addresses of which many share their leading halves.
    fn crowded() -> impl Strategy<Value = u128> {
        let few = (0..4_u128, 0..500_u128).prop_map(|(high, low)| high << 64 | low);
        prop_oneof![few, any::<u128>(), u128::MAX - 99..]
    }
}
