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
        let mut at = self.index[slot] as usize;
        let mut n_left = self.index[slot + 1] as usize - at + 1;
        while n_left > 1 {
            let half = n_left / 2;
            // A conditional move: which half it will be cannot be predicted.
            at = if starts[at + half] <= addr {
                at + half
            } else {
                at
            };
            n_left -= half;
        }
        at
    }

    fn n_bytes(&self) -> usize {
        size_of_val(&*self.index)
    }
}

/// Every eighth start, every eighth of these, and so on, until few are left; the highest level last.
///
/// A search reads one short run of each level. Only the lowest levels are too large for the
/// processor's inner caches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels<A> {
    above: Vec<Vec<A>>,
}

/// How many starts one of the level above stands for: two cache lines of IPv6 addresses, which
/// processors like to fetch together.
const FANOUT: usize = 8;

impl<A: Copy + Debug + Ord> Guide<A> for Levels<A> {
    fn of(starts: &[A]) -> Self {
        let mut above: Vec<Vec<A>> = Vec::new();
        while let level = above.last().map_or(starts, |level| level)
            && level.len() > FANOUT
        {
            above.push(level.iter().step_by(FANOUT).copied().collect());
        }
        Self { above }
    }

    fn find(&self, starts: &[A], addr: A) -> usize {
        let above = self.above.iter().rev();
        let at = above.fold(0, |at, level| step(level, at, addr));
        step(starts, at, addr)
    }

    fn n_bytes(&self) -> usize {
        self.above.iter().map(|level| size_of_val(&**level)).sum()
    }
}

/// The position in a level of the last start that is not behind `addr`, from the position of the same
/// in the level above it.
fn step<A: Copy + Ord>(level: &[A], above: usize, addr: A) -> usize {
    let (blocks, rest) = level.as_chunks::<FANOUT>();
    // Counting all needs no branch that could be mispredicted.
    let n_up_to = match blocks.get(above) {
        Some(block) => block.iter().filter(|start| **start <= addr).count(),
        None => rest.iter().filter(|start| **start <= addr).count(),
    };
    // At least the first, which led here or is the lowest of all.
    above * FANOUT + n_up_to - 1
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_set;
    use proptest::prelude::ProptestConfig;
    use proptest::prelude::any;
    use proptest::prelude::prop_oneof;
    use proptest::prop_assert_eq;
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
        fn guides_find_what_a_bisection_finds(
            mut crowd in btree_set(prop_oneof![any::<u32>(), 0..1000_u32, u32::MAX - 99..], 0..700),
            asked in proptest::collection::vec(any::<u32>(), 20),
        ) {
            crowd.insert(0);
            let starts: Vec<u32> = crowd.into_iter().collect();
            check::<_, Slots>(&starts, &asked);
            check::<_, Levels<u32>>(&starts, &asked);
            let ends = [u32::MAX, u32::MAX - 1];
            check::<_, Slots>(&starts, &ends);
            check::<_, Levels<u32>>(&starts, &ends);
            prop_assert_eq!(Levels::of(&starts[..1]).n_bytes(), 0);
        }
    }
}
