//! `PrefixTable`: a number for every address, and how far around an address that number holds.
//!
//! Each family is one sorted run of range starts beside one run of values: the range at position i
//! reaches from its start to the address before the next start, so there are no gaps, no pointers
//! and no levels. Neighbours never hold the same value, which makes every range as long as it can
//! be; the shortest prefix around an address that lies inside its range, the ECS scope, is then two
//! leading-zero counts. A small index over the leading bits leaves a short bisection.
//!
//! An address that nobody spoke of has the value 0.

use std::net::IpAddr;

use crate::base::prefix::Prefix;

/// A value for every IPv4 and every IPv6 address.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixTable {
    pub(super) v4: Flat<u32>,
    pub(super) v6: Flat<u128>,
}

/// What a table says of a whole prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// Every address of the prefix has this value.
    Uniform {
        /// The value.
        key: u32,
        /// Length of the shortest prefix around it that is uniform as well; at most its own.
        scope_len: u8,
    },
    /// The prefix holds several values.
    Mixed {
        /// Length of the shortest uniform prefix around its first address; more than its own.
        scope_len: u8,
    },
}

impl PrefixTable {
    /// Gives each address the value of the longest prefix that contains it, or 0; of equal prefixes
    /// the first counts.
    pub fn longest_match(prefixes: &[(Prefix, u32)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &(prefix, value) in prefixes {
            match (prefix.addr(), prefix.last()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => v4.push((a.to_bits(), b.to_bits(), value)),
                (IpAddr::V6(a), IpAddr::V6(b)) => v6.push((a.to_bits(), b.to_bits(), value)),
                _ => {}
            }
        }
        Self {
            v4: Flat::nested(v4),
            v6: Flat::nested(v6),
        }
    }

    /// The value of one address.
    pub fn value(&self, addr: IpAddr) -> u32 {
        match addr.to_canonical() {
            IpAddr::V4(a) => self.v4.value(a.to_bits()),
            IpAddr::V6(a) => self.v6.value(a.to_bits()),
        }
    }

    /// The value of a whole prefix and the scope in which it holds.
    pub fn lookup(&self, prefix: Prefix) -> Hit {
        match (prefix.addr(), prefix.last()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => self.v4.lookup(a.to_bits(), b.to_bits()),
            (IpAddr::V6(a), IpAddr::V6(b)) => self.v6.lookup(a.to_bits(), b.to_bits()),
            _ => unreachable!("both ends of a prefix are of one family"),
        }
    }

    /// The table with every value replaced, and ranges that became equal joined.
    #[must_use]
    pub fn map(&self, mut value_of: impl FnMut(u32) -> u32) -> Self {
        Self {
            v4: self.v4.map(&mut value_of),
            v6: self.v6.map(&mut value_of),
        }
    }

    /// The table of what `value_of` makes of each address's values in this table and another.
    #[must_use]
    pub fn zip(&self, other: &Self, mut value_of: impl FnMut(u32, u32) -> u32) -> Self {
        Self {
            v4: self.v4.zip(&other.v4, &mut value_of),
            v6: self.v6.zip(&other.v6, &mut value_of),
        }
    }

    /// The number of ranges of both families.
    pub fn n_ranges(&self) -> usize {
        self.v4.n_ranges() + self.v6.n_ranges()
    }

    /// Heap memory in bytes.
    pub fn n_bytes(&self) -> usize {
        self.v4.n_bytes() + self.v6.n_bytes()
    }
}

/// An address as a number.
pub(super) trait Address: Copy + Ord + Default + std::fmt::Debug {
    /// The highest address.
    const LAST: Self;
    /// The leading 64 bits at which the index begins.
    const INDEX_BASE: u64;
    /// The base-2 logarithm of how much of the leading 64 bits the index spans.
    const INDEX_SPAN: u32;

    /// The leading 64 bits, of IPv4 with zeros behind them.
    fn head(self) -> u64;
    /// The first address with these leading bits.
    fn from_head(head: u64) -> Self;
    /// The number of leading bits that both have in common.
    fn common_len(self, other: Self) -> u8;
    /// The address before; `None` for the first of all.
    fn before(self) -> Option<Self>;
    /// The address behind; `None` for the last of all.
    fn after(self) -> Option<Self>;
    /// How many addresses there are up to and with `last`; one less for all of IPv6.
    fn count_to(self, last: Self) -> u128;
}

impl Address for u32 {
    const LAST: Self = Self::MAX;
    const INDEX_BASE: u64 = 0;
    const INDEX_SPAN: u32 = 64;

    fn head(self) -> u64 {
        u64::from(self) << 32
    }

    fn from_head(head: u64) -> Self {
        (head >> 32) as Self
    }

    fn common_len(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn count_to(self, last: Self) -> u128 {
        u128::from(last - self) + 1
    }
}

impl Address for u128 {
    const LAST: Self = Self::MAX;
    /// 2000::/3, which holds all global unicast addresses (RFC 4291 s2.4).
    const INDEX_BASE: u64 = 0x2000 << 48;
    const INDEX_SPAN: u32 = 61;

    fn head(self) -> u64 {
        (self >> 64) as u64
    }

    fn from_head(head: u64) -> Self {
        Self::from(head) << 64
    }

    fn common_len(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn count_to(self, last: Self) -> u128 {
        (last - self).saturating_add(1)
    }
}

/// The ranges of one family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat<A> {
    /// The first address of each range, ascending; the first is the lowest address there is.
    starts: Vec<A>,
    /// The value of each range; neighbours differ.
    values: Vec<u32>,
    /// For each slot of the indexed span the range of the slot's first address. One slot stands in
    /// front for what lies below the span and one behind for what lies above.
    index: Vec<u32>,
    /// How far leading bits are shifted to become a slot.
    shift: u32,
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

    fn n_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + size_of_val(&*self.index)
    }

    /// The position of the range that holds an address.
    pub(super) fn find(&self, addr: A) -> usize {
        let slot = match addr.head().checked_sub(A::INDEX_BASE) {
            Some(head) => 1 + ((head >> self.shift) as usize).min(self.index.len() - 3),
            None => 0,
        };
        let mut at = self.index[slot] as usize;
        let mut n_left = self.index[slot + 1] as usize - at + 1;
        while n_left > 1 {
            let half = n_left / 2;
            // A conditional move: which half it will be cannot be predicted.
            at = if self.starts[at + half] <= addr {
                at + half
            } else {
                at
            };
            n_left -= half;
        }
        at
    }

    /// What is said of the addresses `first` to `last`, which are a prefix.
    fn lookup(&self, first: A, last: A) -> Hit {
        let at = self.find(first);
        let next = self.starts.get(at + 1);
        // A prefix around `first` stays inside the range while it leaves out both neighbours of it.
        let outside = [self.starts[at].before(), next.copied()];
        let scope_len = outside
            .into_iter()
            .flatten()
            .map(|neighbour| neighbour.common_len(first) + 1)
            .max()
            .unwrap_or(0);
        if next.is_none_or(|next| last < *next) {
            let key = self.values[at];
            Hit::Uniform { key, scope_len }
        } else {
            Hit::Mixed { scope_len }
        }
    }

    /// The table with every value replaced.
    fn map(&self, value_of: &mut impl FnMut(u32) -> u32) -> Self {
        let mut built = Builder::default();
        for (start, value) in self.starts.iter().zip(&self.values) {
            built.from(*start, value_of(*value));
        }
        built.finish()
    }

    /// The table of what `value_of` makes of the values of this one and another.
    fn zip(&self, other: &Self, value_of: &mut impl FnMut(u32, u32) -> u32) -> Self {
        let mut built = Builder::default();
        let (mut i, mut j, mut start) = (0, 0, A::default());
        loop {
            built.from(start, value_of(self.values[i], other.values[j]));
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
    fn nested(mut prefixes: Vec<(A, A, u32)>) -> Self {
        // Outer before inner; the sort is stable, so that of equal ones the first in file leads.
        prefixes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        prefixes.dedup_by(|later, kept| (later.0, later.1) == (kept.0, kept.1));
        let mut built = Builder::default();
        let mut around: Vec<(A, u32)> = Vec::new();
        for (first, last, value) in prefixes {
            built.close(&mut around, Some(first));
            built.from(first, value);
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
    /// From this address on the value is this one, until told otherwise. Starts never decrease; the
    /// last word about a start counts.
    pub(super) fn from(&mut self, start: A, value: u32) {
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

    /// The value of the addresses `first` to `last`; those behind have 0 until told otherwise.
    pub(super) fn fill(&mut self, first: A, last: A, value: u32) {
        self.from(first, value);
        if let Some(next) = last.after() {
            self.from(next, 0);
        }
    }

    /// Leaves the prefixes in `around` that end in front of `first`, innermost first.
    fn close(&mut self, around: &mut Vec<(A, u32)>, first: Option<A>) {
        while let Some((last, _)) = around.pop_if(|(last, _)| first.is_none_or(|f| *last < f)) {
            if let Some(next) = last.after() {
                self.from(next, around.last().map_or(0, |(_, value)| *value));
            }
        }
    }

    /// The table, with its index.
    pub(super) fn finish(mut self) -> Flat<A> {
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
        // Some one slot per range, but never more than 4 MiB of slots.
        let bits = self.starts.len().ilog2().min(20);
        let shift = (A::INDEX_SPAN - bits).min(63);
        let n_slots = 1_u64 << (A::INDEX_SPAN - shift);
        let last = self.starts.len() - 1;
        let mut index = Vec::with_capacity(n_slots as usize + 3);
        index.push(0);
        let mut at = 0;
        for slot in 0..=n_slots {
            let head = u128::from(A::INDEX_BASE) + (u128::from(slot) << shift);
            at = match u64::try_from(head).map(A::from_head) {
                Ok(first) => {
                    let beyond = self.starts[at + 1..].iter().take_while(|s| **s <= first);
                    at + beyond.count()
                }
                Err(_) => last,
            };
            index.push(at as u32);
        }
        index.push(last as u32);
        Flat {
            starts: self.starts,
            values: self.values,
            index,
            shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::geo::fixture::Scan;
    use crate::geo::fixture::prefixes;

    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().expect(text)
    }

    #[test]
    fn an_empty_table_is_one_range() {
        let table = PrefixTable::longest_match(&[]);
        let everything = Hit::Uniform {
            key: 0,
            scope_len: 0,
        };
        for text in ["0.0.0.0/0", "255.255.255.255", "::/0", "2001:db8::/56"] {
            assert_eq!(table.lookup(p(text)), everything, "{text}");
        }
    }

    #[test]
    fn scopes_reach_to_the_nearest_other_value() {
        let table = PrefixTable::longest_match(&[
            (p("10.0.0.0/8"), 1),
            (p("10.1.0.0/16"), 2),
            (p("10.1.2.0/24"), 1),
            (p("2001:db8::/32"), 3),
            (p("2001:db8::7:0:0:0/80"), 4),
        ]);
        for (asked, key, scope_len) in [
            ("10.0.3.0/24", 1, 16),
            ("10.128.0.0/24", 1, 9),
            ("10.1.3.0/24", 2, 24),
            ("10.1.128.0/24", 2, 17),
            ("10.1.2.3/32", 1, 24),
            ("11.0.0.0/24", 0, 8),
            ("192.0.2.0/24", 0, 1),
            ("2001:db8:1::/56", 3, 48),
            ("2001:db8:8000::/56", 3, 33),
            ("2001:db8::7:0:0:1/128", 4, 80),
            ("2001:db8::6:0:0:1/128", 3, 80),
            ("2001:db8::8:0:0:1/128", 3, 77),
            ("::/8", 0, 3),
            ("ff00::/8", 0, 1),
        ] {
            assert_eq!(
                table.lookup(p(asked)),
                Hit::Uniform { key, scope_len },
                "{asked}"
            );
        }
        for (asked, scope_len) in [
            ("10.1.2.0/23", 24),
            ("10.0.0.0/8", 16),
            ("2001:db8::/64", 78),
        ] {
            assert_eq!(table.lookup(p(asked)), Hit::Mixed { scope_len }, "{asked}");
        }
    }

    #[test]
    fn the_first_of_equal_prefixes_counts() {
        let table = PrefixTable::longest_match(&[(p("10.0.0.0/8"), 1), (p("10.0.0.0/8"), 2)]);
        assert_eq!(table.value("10.1.2.3".parse().expect("address")), 1);
        assert_eq!(table.value("::ffff:10.1.2.3".parse().expect("address")), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn lookups_agree_with_a_linear_scan(known in prefixes(), asked in prefixes()) {
            let (table, scan) = (PrefixTable::longest_match(&known), Scan(&known));
            for (prefix, _) in known.iter().chain(&asked) {
                for addr in [prefix.addr(), prefix.last()] {
                    prop_assert_eq!(table.value(addr), scan.value(addr), "{}", addr);
                }
                let hit = table.lookup(*prefix);
                let (Hit::Uniform { scope_len, .. } | Hit::Mixed { scope_len }) = hit;
                match hit {
                    Hit::Uniform { key, .. } => {
                        prop_assert!(scan.is_uniform(*prefix), "{} {:?}", prefix, hit);
                        prop_assert_eq!(key, scan.value(prefix.addr()));
                        prop_assert!(scope_len <= prefix.len());
                    }
                    Hit::Mixed { .. } => {
                        prop_assert!(!scan.is_uniform(*prefix), "{} {:?}", prefix, hit);
                        prop_assert!(scope_len > prefix.len());
                    }
                }
                let scope = Prefix::cut(prefix.addr(), scope_len);
                prop_assert!(scan.is_uniform(scope), "unsafe: {} {:?}", prefix, hit);
                if let Some(parent) = scope.parent() {
                    prop_assert!(!scan.is_uniform(parent), "too long: {} {:?}", prefix, hit);
                }
            }
        }

        #[test]
        fn tables_map_and_zip_address_by_address(a in prefixes(), b in prefixes()) {
            let (one, other) = (PrefixTable::longest_match(&a), PrefixTable::longest_match(&b));
            let halved = one.map(|value| value / 2);
            let both = one.zip(&other, |x, y| x * 3 + y / 2);
            for (prefix, _) in a.iter().chain(&b) {
                for addr in [prefix.addr(), prefix.last()] {
                    let (x, y) = (Scan(&a).value(addr), Scan(&b).value(addr));
                    prop_assert_eq!(halved.value(addr), x / 2);
                    prop_assert_eq!(both.value(addr), x * 3 + y / 2);
                }
            }
            for table in [&halved, &both] {
                prop_assert!(table.v4.values.windows(2).all(|pair| pair[0] != pair[1]));
                prop_assert!(table.v6.values.windows(2).all(|pair| pair[0] != pair[1]));
                prop_assert!(table.v4.starts.is_sorted_by(|a, b| a < b));
                prop_assert!(table.v6.starts.is_sorted_by(|a, b| a < b));
            }
        }
    }
}
