//! `Flat`: the ranges of one address family, the product's core.
//!
//! A sorted array of range starts stands beside an array of values: range i reaches from its start
//! to the address before the next start, so there are no gaps and no pointers. Neighbours never hold the same value, which makes every range as long as it can be; the
//! shortest prefix around an address that lies inside its range, the ECS scope, is then two
//! leading-zero counts. `range_index.rs` finds one range among hundreds of thousands.

use crate::base::prefix::Prefix;
use crate::base::prefix::mask32;
use crate::base::prefix::mask128;
use crate::geo::range_index::BTreeIndex;
use crate::geo::range_index::DirectIndex;
use crate::geo::range_index::RangeIndex;

/// The result of looking up a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// Every address of the prefix has this value.
    Uniform {
        /// The value.
        value: u32,
        /// Length of the shortest prefix around it that is uniform as well; at most its own.
        scope_len: u8,
    },
    /// The prefix holds several values.
    Mixed {
        /// Length of the shortest uniform prefix around its first address; more than its own.
        scope_len: u8,
    },
}

/// An address as a number, or its leading bits.
pub(super) trait Bits: Copy + Ord {
    /// Length of the shortest prefix around it that leaves out another number.
    fn len_excluding(self, other: Self) -> u8;
    /// One less; `None` for the first of all.
    fn before(self) -> Option<Self>;
}

macro_rules! bits {
    ($($number:ty)*) => {$(
        impl Bits for $number {
            fn len_excluding(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8 + 1
            }

            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }
        }
    )*};
}

bits!(u32 u64 u128);

/// An address as a number.
pub(super) trait Address: Bits + Default + std::fmt::Debug {
    /// How the range of an address is found.
    type Index: RangeIndex<Self>;
    /// The highest address.
    const LAST: Self;
    /// The address behind; `None` for the last of all.
    fn after(self) -> Option<Self>;
    /// How many addresses there are up to and with `last`; one less for all of IPv6.
    fn count_to(self, last: Self) -> u128;
    /// The first and the last address of the prefix of this length around it.
    fn around(self, len: u8) -> (Self, Self);
    /// The first and the last address of a prefix of this family.
    fn ends(prefix: Prefix) -> (Self, Self);
}

impl Address for u32 {
    type Index = DirectIndex;

    const LAST: Self = Self::MAX;

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn count_to(self, last: Self) -> u128 {
        u128::from(last - self) + 1
    }

    fn around(self, len: u8) -> (Self, Self) {
        let mask = mask32(len);
        (self & mask, self | !mask)
    }

    fn ends(prefix: Prefix) -> (Self, Self) {
        ((prefix.bits() >> 96) as Self).around(prefix.len())
    }
}

impl Address for u128 {
    type Index = BTreeIndex;

    const LAST: Self = Self::MAX;

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn count_to(self, last: Self) -> u128 {
        (last - self).saturating_add(1)
    }

    fn around(self, len: u8) -> (Self, Self) {
        let mask = mask128(len);
        (self & mask, self | !mask)
    }

    fn ends(prefix: Prefix) -> (Self, Self) {
        prefix.bits().around(prefix.len())
    }
}

/// Length of the shortest prefix around an address that lies in its range, given by the first addresses
/// of this range and of the next one: the prefix leaves out the address before and the address after it.
pub(super) fn scope_len<A: Bits>(addr: A, start: A, next: Option<A>) -> u8 {
    let scope_before = start.before().map_or(0, |last| addr.len_excluding(last));
    let scope_after = next.map_or(0, |next| addr.len_excluding(next));
    scope_before.max(scope_after)
}

/// The ranges of one family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat<A: Address> {
    /// The first address of each range, ascending; the first is the lowest address there is.
    starts: Vec<A>,
    /// The value of each range; neighbours differ.
    values: Vec<u32>,
    index: A::Index,
}

impl<A: Address> Flat<A> {
    /// The value of one address.
    pub(super) fn value(&self, addr: A) -> u32 {
        self.values[self.find(addr)]
    }

    /// The value of a range.
    pub(super) fn value_at(&self, position: usize) -> u32 {
        self.values[position]
    }

    /// The first and the last address of a range.
    pub(super) fn extent(&self, position: usize) -> (A, A) {
        let next = self.starts.get(position + 1);
        let last = next.and_then(|next| next.before()).unwrap_or(A::LAST);
        (self.starts[position], last)
    }

    /// The number of ranges, at least one.
    pub(super) fn n_ranges(&self) -> usize {
        self.starts.len()
    }

    /// Heap memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + self.index.n_bytes()
    }

    /// The position of the range that holds an address.
    pub(super) fn find(&self, addr: A) -> usize {
        self.index.find(&self.starts, addr)
    }

    /// The first address from `first` to `last` that has a value.
    pub(super) fn first_of(&self, (first, last): (A, A), value: u32) -> Option<A> {
        let mut positions = self.find(first)..=self.find(last);
        let at = positions.find(|at| self.values[*at] == value)?;
        Some(self.starts[at].max(first))
    }

    /// The value of the addresses `first` to `last`, a prefix, and its scope.
    pub(super) fn lookup(&self, (first, last): (A, A)) -> Hit {
        let at = self.find(first);
        let next = self.starts.get(at + 1).copied();
        let scope_len = scope_len(first, self.starts[at], next);
        match next {
            Some(next) if next <= last => Hit::Mixed { scope_len },
            _ => Hit::Uniform {
                value: self.values[at],
                scope_len,
            },
        }
    }

    /// The table with every value replaced.
    pub(super) fn map(&self, value_of: &mut impl FnMut(u32) -> u32) -> Self {
        let mut built = Builder::default();
        for (start, value) in self.starts.iter().zip(&self.values) {
            built.begin(*start, value_of(*value));
        }
        built.finish()
    }

    /// The table of what `value_of` makes of the values of this one and another.
    pub(super) fn zip(&self, other: &Self, value_of: &mut impl FnMut(u32, u32) -> u32) -> Self {
        let mut built = Builder::default();
        let (mut i, mut j, mut start) = (0, 0, A::default());
        loop {
            built.begin(start, value_of(self.values[i], other.values[j]));
            let (a, b) = (self.starts.get(i + 1), other.starts.get(j + 1));
            start = match (a, b) {
                (None, None) => return built.finish(),
                (Some(a), Some(b)) => *a.min(b),
                (Some(start), None) | (None, Some(start)) => *start,
            };
            i += usize::from(a == Some(&start));
            j += usize::from(b == Some(&start));
        }
    }

    /// The longest match among prefixes given by first address, last address and value.
    pub(super) fn nested(mut prefixes: Vec<(A, A, u32)>) -> Self {
        // Outer before inner; the sort is stable, so that of equal ones the first in file leads.
        prefixes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        prefixes.dedup_by(|later, kept| (later.0, later.1) == (kept.0, kept.1));
        let mut built = Builder::default();
        let mut around: Vec<(A, u32)> = Vec::new();
        for (first, last, value) in prefixes {
            built.close(&mut around, Some(first));
            built.begin(first, value);
            around.push((last, value));
        }
        built.close(&mut around, None);
        built.finish()
    }
}

/// Builds a table from its first address to its last.
#[derive(Debug)]
pub(super) struct Builder<A> {
    starts: Vec<A>,
    values: Vec<u32>,
}

impl<A: Address> Default for Builder<A> {
    fn default() -> Self {
        Self {
            starts: vec![A::default()],
            values: vec![0],
        }
    }
}

impl<A: Address> Builder<A> {
    /// From this address on the value is this one, until another is put. Starts never decrease; the
    /// last word about a start counts.
    pub(super) fn begin(&mut self, start: A, value: u32) {
        debug_assert!(self.starts.last() <= Some(&start), "ranges come in order");
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// The value of the addresses `first` to `last`; those behind have 0 until another is put.
    pub(super) fn fill(&mut self, first: A, last: A, value: u32) {
        self.begin(first, value);
        if let Some(next) = last.after() {
            self.begin(next, 0);
        }
    }

    /// Leaves the prefixes in `around` that end in front of `first`, innermost first.
    fn close(&mut self, around: &mut Vec<(A, u32)>, first: Option<A>) {
        while let Some((last, _)) = around.pop_if(|(last, _)| first.is_none_or(|f| *last < f)) {
            if let Some(next) = last.after() {
                self.begin(next, around.last().map_or(0, |(_, value)| *value));
            }
        }
    }

    /// The table, with its index.
    pub(super) fn finish(mut self) -> Flat<A> {
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
        Flat {
            index: A::Index::of(&self.starts),
            starts: self.starts,
            values: self.values,
        }
    }
}

#[cfg(test)]
impl<A: Address> Flat<A> {
    /// Whether ranges ascend from the lowest address and neighbours differ.
    pub(super) fn is_sound(&self) -> bool {
        self.starts[0] == A::default()
            && self.starts.is_sorted_by(|a, b| a < b)
            && self.values.is_sorted_by(|a, b| a != b)
            && self.values.len() == self.starts.len()
    }
}
