//! For tests: MMDB files of nested networks and of any nodes, random prefixes, and the naive oracle of
//! longest match.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::prelude::Strategy;
use proptest::prelude::any;
use proptest::prop_oneof;

use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::geo::atlas::Atlas;
use crate::mmdb::writer;
use crate::mmdb::writer::Header;
use crate::mmdb::writer::Value;

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// A City record; empty codes and missing coordinates are left out.
pub(super) fn city(
    continent: &str,
    country: &str,
    subdivision: &str,
    at: Option<(f64, f64)>,
) -> Value {
    let mut entries = Vec::new();
    if !continent.is_empty() {
        entries.push(("continent", Value::Map(vec![("code", text(continent))])));
    }
    if !country.is_empty() {
        entries.push(("country", Value::Map(vec![("iso_code", text(country))])));
    }
    if !subdivision.is_empty() {
        let first = Value::Map(vec![("iso_code", text(subdivision))]);
        entries.push(("subdivisions", Value::Array(vec![first])));
    }
    if let Some((latitude, longitude)) = at {
        let degrees = [("latitude", latitude), ("longitude", longitude)];
        let degrees = degrees.map(|(name, value)| (name, Value::Double(value)));
        entries.push(("location", Value::Map(degrees.into())));
    }
    Value::Map(entries)
}

/// An ASN record.
pub(super) fn system(asn: u32) -> Value {
    Value::Map(vec![("autonomous_system_number", Value::Uint32(asn))])
}

#[derive(Clone, Copy)]
enum Branch {
    Empty,
    Node(usize),
    Data(usize),
}

/// A database of these networks; an inner network must come after those around it. `ip_version` 6
/// keeps IPv4 networks under ::/96 and aliases 2002::/16 to them.
pub(super) fn database(kind: &str, ip_version: u16, networks: &[(Prefix, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::Empty; 2]];
    let mut data = Vec::new();
    for (prefix, value) in networks {
        let offset = data.len();
        writer::plain(value, &mut data).expect("small values");
        let (bits, len) = match (prefix.addr(), ip_version) {
            (IpAddr::V4(addr), 4) => (u128::from(addr.to_bits()) << 96, prefix.len()),
            (IpAddr::V4(addr), _) => (u128::from(addr.to_bits()), prefix.len() + 96),
            (IpAddr::V6(addr), _) => (addr.to_bits(), prefix.len()),
        };
        insert(&mut nodes, bits, len, Branch::Data(offset));
    }
    if let Some(v4_tree) = node_at(&nodes, 0, 96).filter(|_| ip_version == 6) {
        insert(&mut nodes, 0x2002 << 112, 16, Branch::Node(v4_tree));
    }
    let n_nodes = nodes.len();
    let record = |branch: &Branch| match *branch {
        Branch::Empty => n_nodes as u32,
        Branch::Node(node) => node as u32,
        Branch::Data(offset) => (n_nodes + 16 + offset) as u32,
    };
    let nodes: Vec<[u32; 2]> = nodes.iter().map(|[a, b]| [record(a), record(b)]).collect();
    file(kind, ip_version, &nodes, &data)
}

/// A database of these nodes and this data section, sound or not.
pub(super) fn file(kind: &str, ip_version: u16, nodes: &[[u32; 2]], data: &[u8]) -> Vec<u8> {
    let header = Header {
        database_type: kind,
        description: "invented",
        build_epoch: 1_700_000_000,
    };
    writer::file(header, ip_version, nodes, data, 32).expect("a small file")
}

/// Hangs a branch below the root; what was there before fills its siblings.
fn insert(nodes: &mut Vec<[Branch; 2]>, bits: u128, len: u8, branch: Branch) {
    let mut at = 0;
    for depth in 0..len {
        let bit = (bits >> (127 - depth) & 1) as usize;
        if depth + 1 == len {
            nodes[at][bit] = branch;
            return;
        }
        at = match nodes[at][bit] {
            Branch::Node(node) => node,
            other => {
                nodes.push([other; 2]);
                let node = nodes.len() - 1;
                nodes[at][bit] = Branch::Node(node);
                node
            }
        };
    }
}

fn node_at(nodes: &[[Branch; 2]], bits: u128, len: u8) -> Option<usize> {
    (0..len).try_fold(0, |at, depth| {
        match nodes[at][(bits >> (127 - depth) & 1) as usize] {
            Branch::Node(node) => Some(node),
            _ => None,
        }
    })
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect(text)
}

/// What the invented database says under each value.
fn record(value: u32) -> Value {
    match value {
        0 => city("AS", "JP", "13", Some((35.7, 139.7))),
        1 => city("EU", "FR", "IDF", Some((48.9, 2.4))),
        2 => city("NA", "US", "CA", Some((37.8, -122.4))),
        _ => city("XX", "", "", None),
    }
}

/// Prefixes that a database can hold beside aliases, outermost first, no two equal.
pub(crate) fn storable(known: &[(Prefix, u32)]) -> Vec<(Prefix, u32)> {
    let is_global = |p: Prefix| {
        p.family() == Family::V4
            || prefix("2000::/3").covers(p) && !prefix("2002::/16").covers(p) && p.len() > 15
    };
    let mut kept: Vec<_> = known.iter().filter(|k| is_global(k.0)).copied().collect();
    kept.sort_by_key(|(prefix, _)| (prefix.len(), *prefix));
    kept.dedup_by_key(|(prefix, _)| *prefix);
    kept
}

pub(crate) fn atlas(places: &[(Prefix, u32)], systems: &[(Prefix, u32)]) -> Atlas {
    // One network of each, so that neither database is empty.
    let mut cities = vec![(prefix("203.0.113.9/32"), record(1))];
    cities.extend(places.iter().map(|(p, value)| (*p, record(*value))));
    cities.sort_by_key(|(prefix, _)| prefix.len());
    let mut numbers = vec![(prefix("203.0.113.9/32"), system(9))];
    numbers.extend(systems.iter().map(|(p, value)| (*p, system(*value))));
    numbers.sort_by_key(|(prefix, _)| prefix.len());
    let (cities, numbers) = (database("City", 6, &cities), database("ASN", 6, &numbers));
    Atlas::read(cities, Some(numbers), &|_| None).expect("sound databases")
}

/// Prefixes that nest and touch, of both families: cut from a few addresses at random lengths, with
/// values below 4.
pub(crate) fn prefixes() -> impl Strategy<Value = Vec<(Prefix, u32)>> {
    let cuts = vec((0..5_usize, 0..=128_u8, 0..128_u32, 0..4_u32), 0..24);
    (addresses(), cuts).prop_map(|(addresses, cuts)| {
        let cut = |(at, len, flipped, value): (usize, u8, u32, u32)| {
            (Prefix::cut(flip(addresses[at], flipped), len), value)
        };
        cuts.into_iter().map(cut).collect()
    })
}

fn addresses() -> impl Strategy<Value = [IpAddr; 5]> {
    let v4 = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX), Just(0x7FFF_FFFF)];
    let v6 = prop_oneof![any::<u128>(), Just(0x2000 << 112), Just(u128::MAX), Just(0)];
    (v4, v6, any::<u32>(), any::<u128>()).prop_map(|(a, b, c, d)| {
        let global = d >> 3 | 0x2000 << 112;
        [
            Ipv4Addr::from_bits(a).into(),
            Ipv6Addr::from_bits(b).into(),
            Ipv4Addr::from_bits(c).into(),
            Ipv6Addr::from_bits(d).into(),
            Ipv6Addr::from_bits(global).into(),
        ]
    })
}

/// An address with one bit the other way round.
fn flip(addr: IpAddr, bit: u32) -> IpAddr {
    match addr {
        IpAddr::V4(a) => Ipv4Addr::from_bits(a.to_bits() ^ 1 << (bit % 32)).into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() ^ 1 << bit).into(),
    }
}

/// Values by longest match, found by looking at every prefix.
#[derive(Debug)]
pub(crate) struct Scan<'a>(pub(crate) &'a [(Prefix, u32)]);

impl Scan<'_> {
    pub(crate) fn value(&self, addr: IpAddr) -> u32 {
        let mut best: Option<(Prefix, u32)> = None;
        for (prefix, value) in self.0 {
            if prefix.contains(addr) && best.is_none_or(|(kept, _)| prefix.len() > kept.len()) {
                best = Some((*prefix, *value));
            }
        }
        best.map_or(0, |(_, value)| value)
    }

    /// The parts of a prefix between all ends of all prefixes: first address, size less one, value.
    pub(crate) fn parts(&self, prefix: Prefix) -> Vec<(IpAddr, u128, u32)> {
        let (first, last) = (bits(prefix.addr()), bits(prefix.last()));
        let mut starts = vec![first];
        for (other, _) in self.0.iter().filter(|(p, _)| p.family() == prefix.family()) {
            starts.push(bits(other.addr()));
            starts.extend(bits(other.last()).checked_add(1));
        }
        starts.retain(|start| (first..=last).contains(start));
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([last]);
        let part = |(start, end): (&u128, u128)| {
            let addr = match prefix.family() {
                Family::V4 => Ipv4Addr::from_bits(*start as u32).into(),
                Family::V6 => Ipv6Addr::from_bits(*start).into(),
            };
            (addr, end - start, self.value(addr))
        };
        starts.iter().zip(ends).map(part).collect()
    }

    pub(super) fn is_uniform(&self, prefix: Prefix) -> bool {
        let parts = self.parts(prefix);
        parts.iter().all(|part| part.2 == parts[0].2)
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => a.to_bits().into(),
        IpAddr::V6(a) => a.to_bits(),
    }
}
