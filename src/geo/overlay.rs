//! `overlay`: several tables walked together, range by range: how many addresses have which values.

use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::geo::ranges::Address;
use crate::geo::ranges::Flat;
use crate::geo::table::PrefixTable;

/// Calls `visit` for each range of a prefix's addresses on which no table changes its value, in address order, with the
/// value of each table and the number of addresses (one less for all of IPv6).
///
/// Takes some nanoseconds per range; never allocates.
pub fn overlay<const N: usize>(
    tables: [&PrefixTable; N],
    prefix: Prefix,
    visit: impl FnMut([u32; N], u128),
) {
    match prefix.family() {
        Family::V4 => walk(tables.map(|table| &table.v4), Address::ends(prefix), visit),
        Family::V6 => walk(tables.map(|table| &table.v6), Address::ends(prefix), visit),
    }
}

fn walk<A: Address, const N: usize>(
    tables: [&Flat<A>; N],
    (first, last): (A, A),
    mut visit: impl FnMut([u32; N], u128),
) {
    let mut positions = tables.map(|table| table.find(first));
    let mut start = first;
    loop {
        let mut values = [0; N];
        let mut end = last;
        for ((table, at), value) in tables.iter().zip(positions).zip(&mut values) {
            *value = table.value_at(at);
            end = end.min(table.extent(at).1);
        }
        visit(values, start.count_to(end));
        let Some(next) = end.after().filter(|_| end < last) else {
            return;
        };
        for (table, at) in tables.iter().zip(&mut positions) {
            *at += usize::from(table.extent(*at).1 == end);
        }
        start = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::ProptestConfig;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use crate::geo::fixture::Scan;
    use crate::geo::fixture::prefixes;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn ranges_add_up_to_what_a_scan_counts(
            a in prefixes(),
            b in prefixes(),
            asked in prefixes(),
        ) {
            let tables = [&a, &b].map(|known| PrefixTable::longest_match(known));
            let all: Vec<_> = a.iter().chain(&b).copied().collect();
            for (prefix, _) in asked {
                let mut found = Vec::new();
                overlay([&tables[0], &tables[1]], prefix, |values, n| found.push((values, n)));
                // Cut at the ends of both, values by either; equal neighbours joined.
                let mut expected: Vec<([u32; 2], u128)> = Vec::new();
                for (addr, size_less_one, _) in Scan(&all).parts(prefix) {
                    let values = [Scan(&a).value(addr), Scan(&b).value(addr)];
                    let n = size_less_one.saturating_add(1);
                    match expected.last_mut() {
                        Some((before, sum)) if *before == values => *sum = sum.saturating_add(n),
                        _ => expected.push((values, n)),
                    }
                }
                prop_assert_eq!(found, expected, "{}", prefix);
            }
        }
    }
}
