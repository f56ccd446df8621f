//! `PrefixTable`: a number for every address, and how far around an address that number holds.
//!
//! The families never mix; each has a flat table of its own. An address that nobody spoke of has
//! the value 0.

use std::net::IpAddr;

use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::geo::ranges::Address;
use crate::geo::ranges::Flat;

pub use crate::geo::ranges::Hit;

/// A value for every IPv4 and every IPv6 address.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixTable {
    pub(super) v4: Flat<u32>,
    pub(super) v6: Flat<u128>,
}

impl PrefixTable {
    /// Gives each address the value of the longest prefix that contains it, or 0; of equal prefixes
    /// the first counts.
    pub fn longest_match(prefixes: &[(Prefix, u32)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &(prefix, value) in prefixes {
            match prefix.family() {
                Family::V4 => {
                    let (first, last) = Address::ends(prefix);
                    v4.push((first, last, value));
                }
                Family::V6 => {
                    let (first, last) = Address::ends(prefix);
                    v6.push((first, last, value));
                }
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
        match prefix.family() {
            Family::V4 => self.v4.lookup(Address::ends(prefix)),
            Family::V6 => self.v6.lookup(Address::ends(prefix)),
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
            value: 0,
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
        for (asked, value, scope_len) in [
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
                Hit::Uniform { value, scope_len },
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
                    Hit::Uniform { value, .. } => {
                        prop_assert!(scan.is_uniform(*prefix), "{} {:?}", prefix, hit);
                        prop_assert_eq!(value, scan.value(prefix.addr()));
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
                prop_assert!(table.v4.is_sound() && table.v6.is_sound());
            }
        }
    }
}
