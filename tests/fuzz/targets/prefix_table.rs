//! The prefix table against a linear scan: the value of every prefix, and the shortest scope on which it
//! holds.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use meridian::base::prefix::Prefix;
use meridian::geo::table::Hit;
use meridian::geo::table::PrefixTable;

/// A prefix of few distinct leading bits, so that they nest and touch.
fn prefix(bytes: &[u8]) -> Prefix {
    let addr = match bytes[0] & 1 {
        0 => IpAddr::from([bytes[1], bytes[2], bytes[3] & 0xC0, 0]),
        _ => IpAddr::from([
            bytes[1], bytes[2], bytes[3], 0, 0, 0, 0, bytes[4], 0, 0, 0, 0, 0, 0, 0, 0,
        ]),
    };
    let bits = if addr.is_ipv4() { 26 } else { 64 };
    Prefix::cut(addr, bytes[0] >> 1 & 0x7F).truncated(bits)
}

struct Scan(Vec<(Prefix, u32)>);

impl Scan {
    fn value(&self, addr: IpAddr) -> u32 {
        let covering = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, (prefix, _))| prefix.contains(addr));
        // Of equal ones the first counts.
        let longest = covering.max_by_key(|(at, (prefix, _))| (prefix.len(), usize::MAX - at));
        longest.map_or(0, |(_, (_, value))| *value)
    }

    /// Whether all of a prefix has one value: its first address, and that of each prefix inside it,
    /// and what follows those.
    fn is_uniform(&self, prefix: Prefix) -> bool {
        let value = self.value(prefix.addr());
        let after = |last: IpAddr| match last {
            IpAddr::V4(v4) => v4
                .to_bits()
                .checked_add(1)
                .map(|bits| IpAddr::V4(bits.into())),
            IpAddr::V6(v6) => v6
                .to_bits()
                .checked_add(1)
                .map(|bits| IpAddr::V6(bits.into())),
        };
        let edges = self
            .0
            .iter()
            .flat_map(|(p, _)| [Some(p.addr()), after(p.last())]);
        edges
            .flatten()
            .filter(|edge| prefix.contains(*edge))
            .all(|edge| self.value(edge) == value)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let chunks = || bytes.chunks_exact(5).take(40);
    let prefixes: Vec<_> = chunks()
        .map(|chunk| (prefix(chunk), u32::from(chunk[4] & 3)))
        .collect();
    let table = PrefixTable::longest_match(&prefixes);
    let scan = Scan(prefixes);
    for chunk in chunks() {
        let rotated = [chunk[4], chunk[1], chunk[2], chunk[3], chunk[0]];
        for asked in [prefix(chunk), prefix(&rotated)] {
            let value = scan.value(asked.addr());
            assert_eq!(table.value(asked.addr()), value);
            let (scope_len, is_uniform) = match table.lookup(asked) {
                Hit::Uniform {
                    value: found,
                    scope_len,
                } => {
                    assert_eq!(found, value);
                    (scope_len, true)
                }
                Hit::Mixed { scope_len } => (scope_len, false),
            };
            assert_eq!(is_uniform, scan.is_uniform(asked), "{asked}");
            let scope = Prefix::cut(asked.addr(), scope_len);
            assert!(scan.is_uniform(scope), "{asked} in {scope}");
            let is_shortest = scope.parent().is_none_or(|parent| !scan.is_uniform(parent));
            assert!(is_shortest, "{asked} in {scope}");
        }
    }
});
