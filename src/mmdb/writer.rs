//! Writes MMDB files: MaxMind DB File Format 2.0, an IPv6 tree with IPv4 in ::/96.
//!
//! The tree is grown from sorted disjoint ranges, depth first, and a node whose halves say the same
//! is no node. Nodes with two leaves are shared: countries are so few that the same pairs recur all
//! over the address space, which makes the file a quarter smaller. Sharing stops there on purpose:
//! `maxminddb` takes a tree with more than three networks per node for a cyclic one, and leaf pairs
//! cannot get there, since n other nodes carry at most n + 1 pairs, hence 2n + 2 networks.
//!
//! The path to ::/96 and the node there are always written and never shared, since readers find the
//! IPv4 tree by them. There are no aliases (`::ffff:0:0/96`, `2002::/16`) for it. Equal input gives
//! equal bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::base::prefix::mask128;

/// What the file says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Such as `GeoLite2-Country`; readers look for the word after the hyphen.
    pub database_type: &'a str,
    /// For people, in English; never empty.
    pub description: &'a str,
    /// Seconds since 1970.
    pub build_epoch: u64,
}

/// A value of the data section; of the types of the format, those that location databases use.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Values in order.
    Array(Vec<Self>),
    /// An IEEE 754 double, for coordinates.
    Double(f64),
    /// Keys and values in order; keys are unique.
    Map(Vec<(&'static str, Self)>),
    /// UTF-8 text.
    Text(String),
    /// An unsigned integer of at most 16 bits.
    Uint16(u16),
    /// An unsigned integer of at most 32 bits.
    Uint32(u32),
    /// An unsigned integer of at most 64 bits.
    Uint64(u64),
}

/// Addresses that have one record; IPv4 addresses are the numbers below 2³².
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub first: u128,
    /// The last address, included.
    pub last: u128,
    /// Which of the records.
    pub record: u32,
}

/// Why no file can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The ranges are not ascending and disjoint.
    #[error("range {0} does not lie after the range before it")]
    Order(usize),
    /// A range names a record that was not given.
    #[error("range {0} names an unknown record")]
    Record(usize),
    /// The format has no room: 4 GiB of tree and data, 16 MiB of text or members in one value.
    #[error("more data than the format holds")]
    TooLarge,
}

/// Writes a database of `ranges`, which are ascending and disjoint.
///
/// Takes time and memory in proportion to the ranges.
pub fn write(
    header: Header<'_>,
    ranges: &[Range],
    records: &[Value],
) -> Result<Vec<u8>, WriteError> {
    for (ix, range) in ranges.iter().enumerate() {
        let before = ix.checked_sub(1).and_then(|ix| ranges.get(ix));
        if range.last < range.first || before.is_some_and(|before| range.first <= before.last) {
            return Err(WriteError::Order(ix));
        }
        if range.record as usize >= records.len() {
            return Err(WriteError::Record(ix));
        }
    }
    let (data, offsets) = data_section(records)?;
    let nodes = Tree::of(ranges, &offsets);
    let size = record_size(nodes.len(), data.len()).ok_or(WriteError::TooLarge)?;
    assemble(header, &nodes, &data, size)
}

/// One half of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    Empty,
    Node(u32),
    /// By its offset in the data section.
    Record(u32),
}

struct Tree<'a> {
    /// Where the record of each number is.
    offsets: &'a [u32],
    nodes: Vec<[Slot; 2]>,
    leaf_pairs: HashMap<[Slot; 2], u32>,
}

impl<'a> Tree<'a> {
    /// Grows the nodes, root first.
    fn of(ranges: &[Range], offsets: &'a [u32]) -> Vec<[Slot; 2]> {
        let mut tree = Self {
            offsets,
            nodes: Vec::new(),
            leaf_pairs: HashMap::new(),
        };
        tree.grow(0, 0, ranges);
        tree.nodes
    }

    /// Grows the subtree of the prefix `start/depth` from the ranges that touch it.
    ///
    /// At depth 128 the prefix is one address, which at most one range touches, and that one covers
    /// it: the recursion ends there at the latest.
    fn grow(&mut self, start: u128, depth: u8, ranges: &[Range]) -> Slot {
        let is_spine = start == 0 && depth <= IPV4_DEPTH;
        match ranges {
            [] if !is_spine => return Slot::Empty,
            [one] if !is_spine && one.first <= start && one.last >= start | !mask128(depth) => {
                return Slot::Record(self.offsets[one.record as usize]);
            }
            _ => {}
        }
        let middle = start | 1 << (127 - depth);
        let (left, _) = ranges.split_at(ranges.partition_point(|r| r.first < middle));
        let (_, right) = ranges.split_at(ranges.partition_point(|r| r.last < middle));

        let ix = self.nodes.len();
        self.nodes.push([Slot::Empty; 2]);
        let pair = [
            self.grow(start, depth + 1, left),
            self.grow(middle, depth + 1, right),
        ];
        self.settle(ix, pair, is_spine)
    }

    /// Fills the node that was reserved, or gives it back if another says the same.
    fn settle(&mut self, ix: usize, pair: [Slot; 2], is_spine: bool) -> Slot {
        let has_leaves_only = !pair.iter().any(|slot| matches!(slot, Slot::Node(_)));
        if has_leaves_only && !is_spine {
            // No node below this one is left, so it is the last.
            if pair[0] == pair[1] {
                self.nodes.truncate(ix);
                return pair[0];
            }
            match self.leaf_pairs.entry(pair) {
                Entry::Occupied(shared) => {
                    self.nodes.truncate(ix);
                    return Slot::Node(*shared.get());
                }
                Entry::Vacant(vacant) => {
                    vacant.insert(ix as u32);
                }
            }
        }
        self.nodes[ix] = pair;
        Slot::Node(ix as u32)
    }
}

/// The smallest record size in bits that can address every node and all data.
fn record_size(n_nodes: usize, data_len: usize) -> Option<u16> {
    let end = n_nodes + SEPARATOR.len() + data_len;
    [24, 28, 32]
        .into_iter()
        .find(|size| end as u64 <= 1 << size)
}

/// Numbers the halves of the nodes, and puts the parts of the file together.
fn assemble(
    header: Header<'_>,
    nodes: &[[Slot; 2]],
    data: &[u8],
    record_size: u16,
) -> Result<Vec<u8>, WriteError> {
    let n_nodes = nodes.len() as u32;
    let number = |slot| match slot {
        Slot::Empty => n_nodes,
        Slot::Node(ix) => ix,
        Slot::Record(offset) => n_nodes + SEPARATOR.len() as u32 + offset,
    };
    let nodes: Vec<[u32; 2]> = nodes.iter().map(|pair| pair.map(number)).collect();
    file(header, IP_VERSION, &nodes, data, record_size)
}

/// Puts the four parts of a file together, sound or not: nodes, separator, data section, metadata.
pub(crate) fn file(
    header: Header<'_>,
    ip_version: u16,
    nodes: &[[u32; 2]],
    data: &[u8],
    record_size: u16,
) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::with_capacity(nodes.len() * usize::from(record_size) / 4 + data.len() + 512);
    for halves in nodes {
        push_node(*halves, record_size, &mut out);
    }
    out.extend_from_slice(&SEPARATOR);
    out.extend_from_slice(data);
    out.extend_from_slice(METADATA_MARKER);
    let metadata = metadata(header, ip_version, nodes.len() as u32, record_size);
    plain(&metadata, &mut out)?;
    Ok(out)
}

/// Appends a node; with 28 bits the middle byte holds the high bits of both halves.
fn push_node(halves: [u32; 2], record_size: u16, out: &mut Vec<u8>) {
    let [left, right] = halves.map(u32::to_be_bytes);
    match record_size {
        24 => out.extend([&left[1..], &right[1..]].concat()),
        28 => out.extend([&left[1..], &[left[0] << 4 | right[0]], &right[1..]].concat()),
        _ => out.extend([left, right].concat()),
    }
}

fn metadata(header: Header<'_>, ip_version: u16, n_nodes: u32, record_size: u16) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    Value::Map(vec![
        ("binary_format_major_version", Value::Uint16(2)),
        ("binary_format_minor_version", Value::Uint16(0)),
        ("build_epoch", Value::Uint64(header.build_epoch)),
        ("database_type", text(header.database_type)),
        (
            "description",
            Value::Map(vec![("en", text(header.description))]),
        ),
        ("ip_version", Value::Uint16(ip_version)),
        ("languages", Value::Array(vec![text("en")])),
        ("node_count", Value::Uint32(n_nodes)),
        ("record_size", Value::Uint16(record_size)),
    ])
}

/// Writes the data section; returns it and the offset of each record.
fn data_section(records: &[Value]) -> Result<(Vec<u8>, Vec<u32>), WriteError> {
    let (mut data, mut seen) = (Vec::new(), Offsets::new());
    let offsets = records
        .iter()
        .map(|record| place(&mut seen, record, &mut data))
        .collect::<Result<_, _>>()?;
    Ok((data, offsets))
}

/// The offset of each value in the data section, by its plain encoding.
type Offsets = HashMap<Vec<u8>, u32>;

/// Returns the offset of a value in the data section, which gets it if it has it not yet.
fn place(seen: &mut Offsets, value: &Value, data: &mut Vec<u8>) -> Result<u32, WriteError> {
    let key = key(value)?;
    match seen.get(&key) {
        Some(offset) => Ok(*offset),
        None => append(seen, key, value, data),
    }
}

/// Appends a member of a map or array: a pointer if that is shorter than saying it again.
fn nest(seen: &mut Offsets, value: &Value, data: &mut Vec<u8>) -> Result<(), WriteError> {
    let key = key(value)?;
    match seen.get(&key).map(|offset| pointer(*offset)) {
        Some(pointer) if pointer.len() < key.len() => data.extend(pointer),
        _ => {
            append(seen, key, value, data)?;
        }
    }
    Ok(())
}

/// Appends a value and returns its offset, which is remembered.
fn append(
    seen: &mut Offsets,
    key: Vec<u8>,
    value: &Value,
    data: &mut Vec<u8>,
) -> Result<u32, WriteError> {
    let offset = u32::try_from(data.len()).map_err(|_| WriteError::TooLarge)?;
    encode(value, data, &mut |member, data| nest(seen, member, data))?;
    seen.insert(key, offset);
    Ok(offset)
}

fn key(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut key = Vec::new();
    plain(value, &mut key)?;
    Ok(key)
}

/// Appends a value without pointers.
pub(crate) fn plain(value: &Value, out: &mut Vec<u8>) -> Result<(), WriteError> {
    encode(value, out, &mut plain)
}

/// How the members of a map or array are appended.
type Append<'a> = &'a mut dyn FnMut(&Value, &mut Vec<u8>) -> Result<(), WriteError>;

fn encode(value: &Value, out: &mut Vec<u8>, member: Append<'_>) -> Result<(), WriteError> {
    match value {
        Value::Array(members) => {
            control(11, members.len(), out)?;
            members.iter().try_for_each(|value| member(value, out))?;
        }
        Value::Double(number) => {
            control(3, 8, out)?;
            out.extend(number.to_be_bytes());
        }
        Value::Map(members) => {
            control(7, members.len(), out)?;
            for (key, value) in members {
                member(&Value::Text((*key).to_owned()), out)?;
                member(value, out)?;
            }
        }
        Value::Text(text) => {
            control(2, text.len(), out)?;
            out.extend_from_slice(text.as_bytes());
        }
        Value::Uint16(number) => unsigned(5, u64::from(*number), out)?,
        Value::Uint32(number) => unsigned(6, u64::from(*number), out)?,
        Value::Uint64(number) => unsigned(9, *number, out)?,
    }
    Ok(())
}

fn unsigned(kind: u8, number: u64, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let n_zeros = number.leading_zeros() as usize / 8;
    control(kind, 8 - n_zeros, out)?;
    out.extend_from_slice(&number.to_be_bytes()[n_zeros..]);
    Ok(())
}

/// Appends the control byte, the extended type if the type is over 7, and the size.
fn control(kind: u8, size: usize, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let (low_bits, rest, n_rest) = match size {
        0..29 => (size, 0, 0),
        29..285 => (29, size - 29, 1),
        285..65_821 => (30, size - 285, 2),
        65_821..16_843_037 => (31, size - 65_821, 3),
        _ => return Err(WriteError::TooLarge),
    };
    if kind > 7 {
        out.extend([low_bits as u8, kind - 7]);
    } else {
        out.push(kind << 5 | low_bits as u8);
    }
    out.extend_from_slice(&(rest as u32).to_be_bytes()[4 - n_rest..]);
    Ok(())
}

/// A pointer to an offset of the data section, in two to five bytes.
fn pointer(offset: u32) -> Vec<u8> {
    let (size, rest, n_rest) = match offset {
        0..2_048 => (0, offset, 1),
        2_048..526_336 => (1, offset - 2_048, 2),
        526_336..134_744_064 => (2, offset - 526_336, 3),
        _ => return [&[0b0011_1000], offset.to_be_bytes().as_slice()].concat(),
    };
    let bytes = rest.to_be_bytes();
    let first = 0b0010_0000 | size << 3 | bytes[3 - n_rest];
    [&[first], &bytes[4 - n_rest..]].concat()
}

const IP_VERSION: u16 = 6;
const IPV4_DEPTH: u8 = 96;
const SEPARATOR: [u8; 16] = [0; 16];
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::net::Ipv4Addr;
    use std::net::Ipv6Addr;

    use maxminddb::Reader;
    use maxminddb::path;
    use proptest::prelude::*;

    use super::*;

    const HEADER: Header<'_> = Header {
        database_type: "Test-Country",
        description: "invented",
        build_epoch: 1_782_362_039,
    };

    fn code(code: &str) -> Value {
        let code = Value::Text(code.to_owned());
        Value::Map(vec![("country", Value::Map(vec![("iso_code", code)]))])
    }

    fn range(first: u128, last: u128, record: u32) -> Range {
        Range {
            first,
            last,
            record,
        }
    }

    fn v6(text: &str) -> u128 {
        text.parse::<Ipv6Addr>().expect(text).to_bits()
    }

    /// The address as a reader is asked for it.
    fn addr(bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) => Ipv4Addr::from_bits(bits).into(),
            Err(_) => Ipv6Addr::from_bits(bits).into(),
        }
    }

    fn find(reader: &Reader<Vec<u8>>, bits: u128) -> Option<String> {
        let found = reader.lookup(addr(bits)).expect("a sound tree");
        found
            .decode_path(&path!["country", "iso_code"])
            .expect("sound data")
    }

    fn open(bytes: Vec<u8>) -> Reader<Vec<u8>> {
        let reader = Reader::from_source(bytes).expect("a database");
        reader.verify().expect("a sound database");
        reader
    }

    fn naive(ranges: &[Range], codes: &[&str], bits: u128) -> Option<String> {
        ranges
            .iter()
            .find(|r| (r.first..=r.last).contains(&bits))
            .map(|r| codes[r.record as usize].to_owned())
    }

    /// Joins ranges that touch and have the same code.
    fn merged(ranges: impl Iterator<Item = (u128, u128, String)>) -> Vec<(u128, u128, String)> {
        let mut joined: Vec<(u128, u128, String)> = Vec::new();
        for (first, last, code) in ranges {
            match joined.last_mut() {
                Some((_, end, before)) if *before == code && *end + 1 == first => *end = last,
                _ => joined.push((first, last, code)),
            }
        }
        joined
    }

    /// Disjoint ranges from sorted cut points of one family, with gaps, neighbours and single
    /// addresses among them.
    fn cuts_to_ranges(cuts: Vec<(u128, Option<u32>)>) -> Vec<Range> {
        let cuts: BTreeMap<_, _> = cuts.into_iter().collect();
        let firsts: Vec<_> = cuts.into_iter().collect();
        firsts
            .windows(2)
            .filter_map(|w| Some(range(w[0].0, w[1].0 - 1, w[0].1?)))
            .collect()
    }

    fn arb_ranges() -> impl Strategy<Value = Vec<Range>> {
        let record = || proptest::option::weighted(0.8, 0..3_u32);
        let v4 = prop_oneof![
            any::<u32>(),
            0..64_u32,
            u32::MAX - 64..=u32::MAX,
            (any::<u32>(), 0..32).prop_map(|(bits, shift)| bits >> shift << shift),
        ];
        let v6 = prop_oneof![
            any::<u128>(),
            (1_u128 << 32)..(1 << 32) + 64,
            u128::MAX - 64..=u128::MAX,
            (any::<u128>(), 0..90).prop_map(|(bits, shift)| bits >> shift << shift),
        ]
        .prop_filter("past IPv4", |bits| *bits > u128::from(u32::MAX));
        (
            prop::collection::vec((v4.prop_map(u128::from), record()), 0..40),
            prop::collection::vec((v6, record()), 0..40),
        )
            .prop_map(|(v4, v6)| [cuts_to_ranges(v4), cuts_to_ranges(v6)].concat())
    }

    proptest! {
        #[test]
        fn readers_find_what_a_linear_scan_finds(
            ranges in arb_ranges(),
            random in prop::collection::vec(any::<u128>(), 8),
        ) {
            let codes = ["FR", "BR", "JP"];
            let bytes = write(HEADER, &ranges, &codes.map(code)).expect("sound ranges");
            let reader = open(bytes);
            let edges = ranges.iter().flat_map(|r| {
                [r.first.saturating_sub(1), r.first, r.last, r.last.saturating_add(1)]
            });
            let v4 = random.iter().map(|bits| bits >> 96);
            for bits in edges.chain(v4).chain(random.iter().copied()) {
                let expected = naive(&ranges, &codes, bits);
                prop_assert_eq!(find(&reader, bits), expected, "{}", addr(bits));
            }
        }

        #[test]
        fn the_networks_are_the_ranges(ranges in arb_ranges()) {
            let codes = ["FR", "BR", "JP"];
            let reader = open(write(HEADER, &ranges, &codes.map(code)).expect("sound ranges"));
            let networks = reader.networks(Default::default()).expect("a tree");
            let walked = networks.map(|network| {
                let found = network.expect("a sound tree");
                let network = found.network().expect("a network");
                let first = match network.network() {
                    IpAddr::V4(v4) => u128::from(v4.to_bits()),
                    IpAddr::V6(v6) => v6.to_bits(),
                };
                let host_bits = if network.is_ipv4() { 32 } else { 128 } - network.prefix();
                let code: Option<String> = found
                    .decode_path(&path!["country", "iso_code"])
                    .expect("sound data");
                (first, first | !mask128(128 - host_bits), code.expect("a code"))
            });
            let name = |record: u32| codes[record as usize].to_owned();
            let given = ranges.iter().map(|r| (r.first, r.last, name(r.record)));
            prop_assert_eq!(merged(walked), merged(given));
        }
    }

    #[test]
    fn extremes_are_written() {
        let everything = range(0, u128::MAX, 0);
        let checkered: Vec<_> = (0..4096)
            .map(|i| range(i << 8, (i << 8) + 255, (i % 2) as u32))
            .collect();
        let rows: [(&str, Vec<Range>); 5] = [
            ("nothing", vec![]),
            ("everything", vec![everything]),
            (
                "one address",
                vec![range(v6("2001:db8::1"), v6("2001:db8::1"), 1)],
            ),
            (
                "all of IPv4",
                vec![
                    range(0, u128::from(u32::MAX), 0),
                    range(1 << 127, u128::MAX, 0),
                ],
            ),
            ("as many equal pairs as can be", checkered),
        ];
        for (what, ranges) in rows {
            let reader = open(write(HEADER, &ranges, &["FR", "BR"].map(code)).expect(what));
            for bits in [
                0,
                255,
                256,
                1 << 31,
                1 << 100,
                1 << 127,
                v6("2001:db8::1"),
                u128::MAX,
            ] {
                let expected = naive(&ranges, &["FR", "BR"], bits);
                assert_eq!(find(&reader, bits), expected, "{what}: {}", addr(bits));
            }
        }
    }

    #[test]
    fn equal_pairs_of_leaves_are_one_node() {
        let checkered = (0..4096).map(|i| range(i << 8, (i << 8) + 255, (i % 2) as u32));
        let ranges: Vec<_> = checkered.collect();
        let reader = open(write(HEADER, &ranges, &["FR", "BR"].map(code)).expect("sound"));
        // Down to ::/96, on to 0.0.0.0/12, all its prefixes of 12 to 22 bits, and one pair.
        assert_eq!(reader.metadata().node_count, 97 + 11 + 2047 + 1);
    }

    #[test]
    fn every_record_size_is_read_back() {
        let ranges = [
            range(9, 77, 0),
            range(78, 1 << 20, 1),
            range(1 << 77, 1 << 99, 0),
        ];
        let codes = ["FR", "BR"];
        let (data, offsets) = data_section(&codes.map(code)).expect("small");
        let nodes = Tree::of(&ranges, &offsets);
        for size in [24, 28, 32] {
            let bytes = assemble(HEADER, &nodes, &data, size).expect("small");
            let reader = open(bytes);
            assert_eq!(reader.metadata().record_size, size);
            for bits in [8, 9, 77, 78, 1 << 20, (1 << 20) + 1, 1 << 77, 1 << 99] {
                assert_eq!(
                    find(&reader, bits),
                    naive(&ranges, &codes, bits),
                    "{size}: {bits}"
                );
            }
        }
    }

    #[test]
    fn nodes_of_every_size_follow_the_format() {
        let rows: [(u16, [u32; 2], &[u8]); 3] = [
            (24, [0xab_cdef, 0x12_3456], b"\xab\xcd\xef\x12\x34\x56"),
            (
                28,
                [0xabc_def1, 0x234_5678],
                b"\xbc\xde\xf1\xa2\x34\x56\x78",
            ),
            (
                32,
                [0x89ab_cdef, 0x1234_5678],
                b"\x89\xab\xcd\xef\x12\x34\x56\x78",
            ),
        ];
        for (size, halves, bytes) in rows {
            let mut out = Vec::new();
            push_node(halves, size, &mut out);
            assert_eq!(out, bytes, "{size}");
        }
    }

    #[test]
    fn record_sizes_are_as_small_as_can_be() {
        let rows = [
            (1, 1, Some(24)),
            ((1 << 24) - 17, 1, Some(24)),
            ((1 << 24) - 16, 1, Some(28)),
            ((1 << 28) - 16, 1, Some(32)),
            (1, (1 << 32) - 17, Some(32)),
            (1, (1 << 32) - 16, None),
        ];
        for (n_nodes, data_len, size) in rows {
            assert_eq!(
                record_size(n_nodes, data_len),
                size,
                "{n_nodes} and {data_len}"
            );
        }
    }

    #[test]
    fn values_of_every_type_and_size_are_read_back() {
        let text = |len: usize| Value::Text("x".repeat(len));
        let lengths = [0, 28, 29, 284, 285, 65_820, 65_821, 70_000];
        let record = Value::Map(vec![
            ("texts", Value::Array(lengths.map(text).to_vec())),
            ("again", Value::Array(lengths.map(text).to_vec())),
            ("latitude", Value::Double(-33.6)),
            ("small", Value::Uint16(0)),
            ("asn", Value::Uint32(4_200_000_000)),
            ("large", Value::Uint64(u64::MAX)),
            ("many", Value::Array(vec![Value::Uint16(7); 300])),
        ]);
        let bytes = write(HEADER, &[range(1, 1, 0)], &[record]).expect("sound");
        assert!(
            bytes.len() < 2 * 70_000 + 66_000 + 2000,
            "repeats are pointers"
        );
        let reader = open(bytes);
        let found = reader.lookup(addr(1)).expect("a sound tree");
        let read: BTreeMap<String, serde_json::Value> =
            found.decode().expect("sound data").expect("a record");
        for key in ["texts", "again"] {
            let texts: Vec<String> = lengths.map(|len| "x".repeat(len)).to_vec();
            assert_eq!(read[key], serde_json::json!(texts));
        }
        assert_eq!(read["latitude"], serde_json::json!(-33.6));
        assert_eq!(read["small"], serde_json::json!(0));
        assert_eq!(read["asn"], serde_json::json!(4_200_000_000_u32));
        assert_eq!(read["large"], serde_json::json!(u64::MAX));
        assert_eq!(read["many"], serde_json::json!(vec![7; 300]));
    }

    #[test]
    fn pointers_of_every_length_follow_the_format() {
        let rows: [(u32, &[u8]); 7] = [
            (0, &[0x20, 0]),
            (2_047, &[0x27, 0xff]),
            (2_048, &[0x28, 0, 0]),
            (526_335, &[0x2f, 0xff, 0xff]),
            (526_336, &[0x30, 0, 0, 0]),
            (134_744_063, &[0x37, 0xff, 0xff, 0xff]),
            (134_744_064, &[0x38, 0x08, 0x08, 0x08, 0x00]),
        ];
        for (offset, bytes) in rows {
            assert_eq!(pointer(offset), bytes, "{offset}");
        }
    }

    #[test]
    fn bad_tables_are_refused() {
        let rows: [(&[Range], WriteError); 5] = [
            (&[range(2, 1, 0)], WriteError::Order(0)),
            (&[range(0, 4, 0), range(4, 5, 0)], WriteError::Order(1)),
            (&[range(8, 9, 0), range(4, 5, 0)], WriteError::Order(1)),
            (&[range(8, 9, 0), range(8, 9, 0)], WriteError::Order(1)),
            (&[range(8, 9, 2)], WriteError::Record(0)),
        ];
        for (ranges, error) in rows {
            assert_eq!(write(HEADER, ranges, &["FR", "BR"].map(code)), Err(error));
        }
        let huge = Value::Text("x".repeat(16_843_037));
        assert_eq!(write(HEADER, &[], &[huge]), Err(WriteError::TooLarge));
    }

    #[test]
    fn equal_records_are_written_once_and_equal_input_gives_equal_bytes() {
        let ranges = [range(1, 1, 0), range(5, 5, 1)];
        let bytes = write(HEADER, &ranges, &[code("FR"), code("FR")]).expect("sound");
        assert_eq!(
            bytes,
            write(HEADER, &ranges, &[code("FR"), code("FR")]).expect("sound")
        );
        let reader = open(bytes);
        let offset = |bits| reader.lookup(addr(bits)).expect("a sound tree").offset();
        assert!(offset(1).is_some());
        assert_eq!(offset(1), offset(5));
        assert_eq!(reader.metadata().build_epoch, HEADER.build_epoch);
        assert_eq!(reader.metadata().description["en"], HEADER.description);
    }
}
