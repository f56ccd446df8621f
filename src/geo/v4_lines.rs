//! `V4LineTable`: a copy of a large IPv4 table of granules in which a look-up reads one cache line.
//!
//! In [`Flat`], a look-up among hundreds of thousands of ranges reads three cache lines, each dependent on
//! the one before: these misses are most of the time of a steered answer. Here each /16 has a cache line
//! of its own with all its ranges: client subnets of 16 to 24 bits lie in one /16, and one octet says
//! where in it a range of granules begins. Its first range may begin before it and its last may end after
//! it; how many bits those ends have in common with the /16 is the same for all its addresses. The few
//! /16s with more ranges than a line holds have a line for each /20 instead.
//!
//! `city/answer_table` of `cargo bench --bench compile` measures it, with MERIDIAN_GEODATA set.

use std::hint::select_unpredictable;

use crate::base::prefetch_sys::prefetch;
use crate::geo::ranges::Address;
use crate::geo::ranges::Bits;
use crate::geo::ranges::Flat;
use crate::geo::ranges::Hit;

/// Bits of an address that choose its line.
pub(super) const LINE_BITS: u8 = 16;

/// Bits of an address that choose its line in a crowded /16. A /20 has 16 granules, which always fit.
const FINE_BITS: u8 = 20;

/// V4LineTable of a crowded /16.
const N_FINE: usize = 1 << (FINE_BITS - LINE_BITS);

/// Ranges of one line, such that it takes 64 octets.
const MAX_RANGES: usize = 16;

/// Ranges from which on lines are worth their 4 MiB: a smaller table lies in the inner caches.
const MIN_RANGES: usize = 1 << 16;

/// A line for each /16, then for each crowded one those of its /20s.
#[derive(Clone, Debug)]
pub(super) struct V4LineTable {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Line {
    /// The values of the ranges. Of a crowded /16, the first is the number of crowded ones before it.
    values: [u16; MAX_RANGES],
    /// The third octet of each range's first address; 255 after the last.
    starts: [u8; MAX_RANGES],
    /// 0 if it is crowded.
    n: u8,
    /// Length of the shortest prefix around the line's that leaves out the address before its first range.
    scope_before: u8,
    /// The same for the address after its last range.
    scope_after: u8,
}

impl V4LineTable {
    /// Makes the lines of a table whose ranges all begin at a /24; `None` for a table that is no such,
    /// is small, or holds values beyond 65,535.
    pub(super) fn of(table: &Flat<u32>) -> Option<Self> {
        let positions = 0..table.n_ranges();
        let fits = |at| table.extent(at).0 & 0xFF == 0 && table.value_at(at) <= u16::MAX.into();
        if positions.len() < MIN_RANGES || !positions.into_iter().all(fits) {
            return None;
        }
        let mut fine = Vec::new();
        let mut begin = 0;
        let mut lines: Vec<Line> = (0..1 << LINE_BITS)
            .map(|slot: u32| slot << LINE_BITS)
            .map(|first| {
                begin = range_from(table, begin, first);
                Line::of(table, begin, first, LINE_BITS).unwrap_or_else(|| {
                    let n_before = (fine.len() / N_FINE) as u16;
                    let firsts = (0..N_FINE as u32).map(|n| first | n << (32 - FINE_BITS));
                    let mut begin = begin;
                    fine.extend(firsts.filter_map(|first| {
                        begin = range_from(table, begin, first);
                        Line::of(table, begin, first, FINE_BITS)
                    }));
                    Line::crowded(n_before)
                })
            })
            .collect();
        lines.append(&mut fine);
        Some(Self { lines })
    }

    /// The value of the addresses `first` to `last`, a prefix of 16 bits or more, and its scope; `None`
    /// where a crowded /16 is to be looked up in the table instead.
    pub(super) fn lookup(&self, (first, last): (u32, u32)) -> Option<Hit> {
        let mut line = &self.lines[(first >> (32 - LINE_BITS)) as usize];
        if line.n == 0 {
            let [at, end] = [first, last].map(|addr| (addr >> (32 - FINE_BITS)) as usize % N_FINE);
            let fine = (1 << LINE_BITS) + usize::from(line.values[0]) * N_FINE + at;
            line = self.lines.get(fine).filter(|_| at == end)?;
        }
        let (asked, end) = ((first >> 8) as u8, (last >> 8) as u8);
        let n = usize::from(line.n);
        // SIMD: 16 octets and no branch, so the compiler vectorizes it. The padding after the last range,
        // 255, is counted too if that is the octet asked for: hence `min`.
        let n_reached = line.starts.iter().filter(|start| **start <= asked).count();
        let at = n_reached.min(n) - 1;
        let (is_first, is_last) = (at == 0, at + 1 == n);
        let next = (at + 1) % MAX_RANGES;
        let start_of = |at: usize| first & 0xFFFF_0000 | u32::from(line.starts[at]) << 8;
        let scope_before = first.len_excluding(start_of(at).wrapping_sub(1));
        let scope_after = first.len_excluding(start_of(next));
        // Conditional moves: a branch would be mispredicted, as the outcome changes with every client.
        let scope_before = select_unpredictable(is_first, line.scope_before, scope_before);
        let scope_after = select_unpredictable(is_last, line.scope_after, scope_after);
        let scope_len = scope_before.max(scope_after);
        let is_uniform = is_last | (end < line.starts[next]);
        Some(match is_uniform {
            true => Hit::Uniform {
                value: line.values[at].into(),
                scope_len,
            },
            false => Hit::Mixed { scope_len },
        })
    }

    /// Prefetches the line of an address.
    pub(super) fn prefetch(&self, addr: u32) {
        prefetch(&self.lines[(addr >> (32 - LINE_BITS)) as usize]);
    }

    /// Heap memory in bytes.
    pub(super) fn n_bytes(&self) -> usize {
        size_of_val(&*self.lines)
    }
}

/// The position of the range that holds an address, a few ranges after the one at `from`.
fn range_from(table: &Flat<u32>, from: usize, addr: u32) -> usize {
    let ends_before = |at: &usize| table.extent(*at).1 < addr;
    (from..).find(|at| !ends_before(at)).unwrap_or(from)
}

impl Line {
    /// The line of the prefix of this length that begins at `first`, which the range at `begin` holds;
    /// `None` if it has too many ranges.
    fn of(table: &Flat<u32>, begin: usize, first: u32, len: u8) -> Option<Self> {
        let (_, last) = first.around(len);
        let end = range_from(table, begin, last);
        let n = end - begin + 1;
        if n > MAX_RANGES {
            return None;
        }
        let mut line = Self::crowded(0);
        let places = line.starts.iter_mut().zip(&mut line.values);
        for ((start, value), at) in places.zip(begin..=end) {
            *start = (table.extent(at).0.max(first) >> 8) as u8;
            *value = table.value_at(at) as u16;
        }
        let excluding = |neighbour: Option<u32>| neighbour.map_or(0, |n| first.len_excluding(n));
        line.n = n as u8;
        line.scope_before = excluding(table.extent(begin).0.before());
        line.scope_after = excluding(table.extent(end).1.after());
        Some(line)
    }

    fn crowded(n_before: u16) -> Self {
        Self {
            values: [n_before; MAX_RANGES],
            starts: [u8::MAX; MAX_RANGES],
            n: 0,
            scope_before: 0,
            scope_after: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::ranges::Builder;

    /// A table in which some /16s have no range of their own, some few and some too many.
    fn table() -> Flat<u32> {
        let mut built = Builder::default();
        let mut drawn = 1_u64;
        let mut start = 0_u32;
        for value in 0..90_000_u32 {
            built.begin(start, value % 1000 + 1);
            drawn = drawn
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            let crowded = (start >> 24).is_multiple_of(3);
            let step = (drawn >> 40) as u32 % if crowded { 20 } else { 400 };
            start = match start.checked_add((step + 1) << 8) {
                Some(next) => next,
                None => break,
            };
        }
        built.begin(u32::MAX - 0xFF, 7);
        built.finish()
    }

    #[test]
    fn lines_agree_with_the_table() {
        let table = table();
        let lines = V4LineTable::of(&table).expect("large enough");
        assert_eq!(
            (size_of::<Line>(), lines.n_bytes()),
            (64, lines.lines.len() * 64)
        );
        assert!(lines.lines.len() > 1 << LINE_BITS, "none is crowded");
        let (mut n_lines, mut n_unknown) = (0, 0);
        let addresses = (0..1 << 16).map(|n: u32| n.wrapping_mul(0x9E37_79B1));
        let starts = (0..table.n_ranges())
            .step_by(3)
            .map(|at| table.extent(at).0);
        for addr in addresses.chain(starts).chain([0, u32::MAX]) {
            for len in LINE_BITS..=32 {
                let (first, last) = addr.around(len);
                match lines.lookup((first, last)) {
                    Some(hit) => {
                        assert_eq!(hit, table.lookup((first, last)), "{first:#010x}/{len}");
                        n_lines += 1;
                    }
                    None => {
                        assert!(len < FINE_BITS, "{first:#010x}/{len}");
                        n_unknown += 1;
                    }
                }
            }
        }
        assert!(n_lines > 0 && n_unknown > 0, "{n_lines} {n_unknown}");
    }

    #[test]
    fn other_tables_have_no_lines() {
        let mut small = Builder::default();
        small.begin(256, 1);
        assert!(V4LineTable::of(&small.finish()).is_none());
        let mut finer = Builder::default();
        (0..100_000).for_each(|n| finer.begin(n * 128, n));
        assert!(V4LineTable::of(&finer.finish()).is_none());
        let mut many = Builder::default();
        (0..100_000).for_each(|n| many.begin(n * 256, n));
        assert!(V4LineTable::of(&many.finish()).is_none());
    }
}
