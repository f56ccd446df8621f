//! `Arena`: the nodes of a zone with their records, in one allocation.
//!
//! Each node has a block, in canonical order of the owners:
//!
//! ```text
//! owner_len u8, flags u8, rrsets_at u16, len u32     `len` counts the whole block
//! owner                                              in the case it was written in
//! computed u32, occluder u32, wildcard u32            each only if its flag is set
//! per RRset, by ascending type:                      rtype u16, ttl u32, len u32
//!     per record:                                    rdlength u16, rdata
//! ```
//!
//! Numbers are in network order. A block starts at a multiple of 16 octets: its position is that
//! multiple. It spans no more cache lines than its length needs, so that reading a small one is a single
//! cache miss. Padding in front of a block starts with a zero octet, which is the length of no owner.
//! Positions are only ever taken from blocks, so reading one cannot fail.

use std::borrow::Cow;

use crate::base::name::Name;
use crate::base::prefetch_sys::LINE_LEN as LINE;
use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::computed::Computed;
use crate::zone::master::Record;

/// Positions count these, so that 32 bits reach 64 GiB.
const UNIT: usize = 16;

/// Positions are below this.
const MAX_POSITION: u32 = u32::MAX;

/// `owner_len`, `flags`, `rrsets_at` and `len`.
const HEADER_LEN: usize = 8;

/// `rtype`, `ttl` and `len` of an RRset.
const RRSET_HEADER_LEN: usize = 10;

/// Flags of a block: which of the numbers it holds, and properties of its node.
const COMPUTED: u8 = 1;
const OCCLUDER: u8 = 1 << 1;
const WILDCARD: u8 = 1 << 2;
const NUMBERS: u8 = COMPUTED | OCCLUDER | WILDCARD;
const CUT: u8 = 1 << 3;
const DENIAL: u8 = 1 << 4;

/// The invariant that keeps the reads of a block from failing.
const IS_BLOCK: &str = "positions are those of whole blocks";

/// What the block of one node is made from.
pub(super) struct NodeSpec<'a> {
    pub(super) owner: Cow<'a, Name>,
    /// Sorted by type; none for an empty non-terminal.
    pub(super) records: &'a [Record],
    pub(super) computed: Option<Computed>,
    /// The cut at or above this name, or the DNAME above it, that is nearest to the apex: its index
    /// among the specs.
    pub(super) occluder: Option<u32>,
    /// The child `*`: its index among the specs.
    pub(super) wildcard: Option<u32>,
    pub(super) is_cut: bool,
    /// Whether this owns NSEC3 records alone, so that it is no name that could be asked for.
    pub(super) is_denial: bool,
}

impl NodeSpec<'_> {
    fn flags(&self) -> u8 {
        [
            (self.computed.is_some(), COMPUTED),
            (self.occluder.is_some(), OCCLUDER),
            (self.wildcard.is_some(), WILDCARD),
            (self.is_cut, CUT),
            (self.is_denial, DENIAL),
        ]
        .into_iter()
        .fold(0, |flags, (is_set, flag)| {
            flags | if is_set { flag } else { 0 }
        })
    }

    fn rrsets(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|a, b| a.rtype == b.rtype)
    }

    /// Where the RRsets start in the block.
    fn rrsets_at(&self) -> usize {
        let n_numbers = (self.flags() & NUMBERS).count_ones() as usize;
        HEADER_LEN + self.owner.wire().len() + 4 * n_numbers
    }

    /// The block's length in octets.
    fn len(&self) -> usize {
        let lens = self.rrsets().map(|set| RRSET_HEADER_LEN + packed_len(set));
        self.rrsets_at() + lens.sum::<usize>()
    }

    /// Appends the block; its length fits into 32 bits.
    fn write(&self, positions: &[u32], octets: &mut Vec<u8>) {
        let owner = self.owner.wire();
        octets.extend([owner.len() as u8, self.flags()]);
        octets.extend((self.rrsets_at() as u16).to_be_bytes());
        octets.extend((self.len() as u32).to_be_bytes());
        octets.extend_from_slice(owner);
        let place = |at: u32| positions[at as usize];
        let numbers = [
            self.computed.map(Computed::pack),
            self.occluder.map(place),
            self.wildcard.map(place),
        ];
        octets.extend(numbers.into_iter().flatten().flat_map(u32::to_be_bytes));
        for records in self.rrsets() {
            // Differing TTLs become the lowest (RFC 2181 s5.2).
            let ttl = records.iter().map(|r| r.ttl).min().unwrap_or(0);
            octets.extend(records[0].rtype.0.to_be_bytes());
            octets.extend(ttl.to_be_bytes());
            octets.extend((packed_len(records) as u32).to_be_bytes());
            for record in records {
                RrSet::pack(&record.rdata, octets);
            }
        }
    }
}

/// How many octets the records of an RRset take.
fn packed_len(records: &[Record]) -> usize {
    records.iter().map(|record| 2 + record.rdata.len()).sum()
}

/// The blocks.
#[derive(Debug)]
pub(super) struct Arena {
    octets: Vec<u8>,
    /// Where the first block is: at the start of a cache line.
    base: usize,
}

impl Arena {
    /// Writes a block for each spec; `None` if positions do not reach that far.
    pub(super) fn new(specs: &[NodeSpec<'_>]) -> Option<Self> {
        let positions = lay_out(specs.iter().map(NodeSpec::len), MAX_POSITION)?;
        let (last, position) = specs.last().zip(positions.last())?;
        let len = *position as usize * UNIT + last.len();
        // The room is never exceeded, so the octets stay where they are.
        let mut octets: Vec<u8> = Vec::with_capacity(LINE + len);
        let base = octets.as_ptr().align_offset(LINE).min(LINE);
        for (spec, position) in specs.iter().zip(&positions) {
            octets.resize(base + *position as usize * UNIT, 0);
            spec.write(&positions, &mut octets);
        }
        Some(Self { octets, base })
    }

    /// The node whose block is at this position.
    #[inline(always)] // Hot path, once per query (benches/answer.rs).
    pub(super) fn node(&self, position: u32) -> Node<'_> {
        let octets = &self.octets[self.start(position)..];
        let (_, rest) = octets.split_first_chunk::<4>().expect(IS_BLOCK);
        let len = u32::from_be_bytes(*rest.first_chunk().expect(IS_BLOCK));
        Node {
            block: &octets[..len as usize],
        }
    }

    /// The nodes from this position on, which may be the one behind the last.
    pub(super) fn nodes_from(&self, position: u32) -> Nodes<'_> {
        Nodes {
            arena: self,
            position,
        }
    }

    fn start(&self, position: u32) -> usize {
        self.base + position as usize * UNIT
    }
}

/// Where the blocks of these lengths start; `None` if a position or a length gets too large.
fn lay_out(lens: impl Iterator<Item = usize>, max_position: u32) -> Option<Vec<u32>> {
    let mut end: usize = 0;
    lens.map(|len| {
        let mut start = end.next_multiple_of(UNIT);
        if (start % LINE + len).div_ceil(LINE) > len.div_ceil(LINE) {
            start = start.next_multiple_of(LINE);
        }
        end = start + u32::try_from(len).ok()? as usize;
        let position = u32::try_from(start / UNIT).ok()?;
        (position < max_position).then_some(position)
    })
    .collect()
}

/// One name of a zone and what is there.
///
/// A slice alone, so that it is passed in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'z> {
    block: &'z [u8],
}

impl<'z> Node<'z> {
    /// The owner name in wire form, in the case it was first written in.
    pub fn owner(&self) -> &'z [u8] {
        &self.block[HEADER_LEN..self.numbers_at()]
    }

    /// The owner name, to print or to keep.
    pub fn to_name(&self) -> Name {
        Name::from_wire(self.owner()).expect("blocks are made from names")
    }

    /// The owner name, to look up.
    pub fn to_qname(&self) -> QName {
        let mut qname = QName::root();
        let read = qname.set_wire(self.owner());
        read.expect("blocks are made from names");
        qname
    }

    /// Whether the owner is the name of this wire form in lower case. Most names are written in lower
    /// case, and octets that are equal are compared fastest.
    #[inline(always)] // Hot path, once per query (benches/answer.rs).
    pub fn is(&self, lower_wire: &[u8]) -> bool {
        self.owner() == lower_wire || self.owner().eq_ignore_ascii_case(lower_wire)
    }

    /// The RRset of a type.
    pub fn rrset(&self, rtype: RrType) -> Option<RrSet<'z>> {
        self.rrsets().find(|rrset| rrset.rtype == rtype)
    }

    /// All RRsets, by ascending type; none at an empty non-terminal.
    pub fn rrsets(&self) -> RrSets<'z> {
        let (_, rest) = self.block.split_first_chunk::<2>().expect(IS_BLOCK);
        let at = u16::from_be_bytes(*rest.first_chunk().expect(IS_BLOCK));
        RrSets {
            rest: &self.block[usize::from(at)..],
        }
    }

    /// What gives the data of this node that its master file does not hold.
    #[inline(always)] // Hot path, once per query (benches/answer.rs).
    pub fn computed(&self) -> Option<Computed> {
        self.number(COMPUTED).map(Computed::unpack)
    }

    /// Whether a zone is delegated here: NS records below the apex (RFC 1034 s4.2).
    pub fn is_cut(&self) -> bool {
        self.flags() & CUT != 0
    }

    /// Whether this owns NSEC3 records alone, so that it is no name that could be asked for.
    pub(super) fn is_denial(&self) -> bool {
        self.flags() & DENIAL != 0
    }

    /// The position of what hides this node.
    pub(super) fn occluder(&self) -> Option<u32> {
        self.number(OCCLUDER)
    }

    /// The position of the child `*`.
    pub(super) fn wildcard(&self) -> Option<u32> {
        self.number(WILDCARD)
    }

    /// Whether another node has the same owner and records.
    pub fn has_same_records(&self, other: &Node<'_>) -> bool {
        self.owner().eq_ignore_ascii_case(other.owner())
            && self.rrsets().rest == other.rrsets().rest
    }

    fn flags(&self) -> u8 {
        self.block[1]
    }

    /// Where the owner ends.
    fn numbers_at(&self) -> usize {
        HEADER_LEN + usize::from(self.block[0])
    }

    fn number(&self, flag: u8) -> Option<u32> {
        if self.flags() & flag == 0 {
            return None;
        }
        let n_before = (self.flags() & NUMBERS & (flag - 1)).count_ones() as usize;
        let number = self.block[self.numbers_at() + 4 * n_before..].first_chunk();
        Some(u32::from_be_bytes(*number.expect(IS_BLOCK)))
    }
}

/// The RRsets of a node.
#[derive(Clone, Debug)]
pub struct RrSets<'z> {
    rest: &'z [u8],
}

impl<'z> Iterator for RrSets<'z> {
    type Item = RrSet<'z>;

    fn next(&mut self) -> Option<RrSet<'z>> {
        let (header, rest) = self.rest.split_first_chunk::<RRSET_HEADER_LEN>()?;
        let [r0, r1, t0, t1, t2, t3, len @ ..] = *header;
        let (packed, rest) = rest.split_at(u32::from_be_bytes(len) as usize);
        self.rest = rest;
        let rtype = RrType(u16::from_be_bytes([r0, r1]));
        Some(RrSet::new(
            rtype,
            u32::from_be_bytes([t0, t1, t2, t3]),
            packed,
        ))
    }
}

/// Nodes in canonical order.
#[derive(Clone, Debug)]
pub struct Nodes<'z> {
    arena: &'z Arena,
    position: u32,
}

impl Nodes<'_> {
    /// The position of the node that comes next: where to go on from later.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Whether what lies at the position is the gap in front of the next block.
    fn is_at_gap(&self) -> bool {
        self.arena.octets.get(self.arena.start(self.position)) == Some(&0)
    }
}

impl<'z> Iterator for Nodes<'z> {
    type Item = Node<'z>;

    fn next(&mut self) -> Option<Node<'z>> {
        const UNITS_PER_LINE: u32 = (LINE / UNIT) as u32;
        if self.arena.start(self.position) >= self.arena.octets.len() {
            return None;
        }
        let node = self.arena.node(self.position);
        self.position += node.block.len().div_ceil(UNIT) as u32;
        if self.is_at_gap() {
            self.position = self.position.next_multiple_of(UNITS_PER_LINE);
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::base::diag::Place;
    use crate::base::diag::Report;
    use crate::base::ix::AliasIx;
    use crate::zone::check;
    use crate::zone::compile;
    use crate::zone::zone::Zone;

    fn n(text: &str) -> Name {
        Name::parse(text).expect(text)
    }

    fn record(owner: Name, rtype: RrType, ttl: u32, rdata: Vec<u8>) -> Record {
        Record {
            owner,
            rtype,
            ttl,
            rdata: rdata.into(),
            place: Place::file(&"z.zone".into()),
        }
    }

    #[test]
    fn every_set_of_numbers_and_marks_is_read_back() {
        let records = [record(n("a.z."), RrType::A, 60, vec![192, 0, 2, 1])];
        let specs: Vec<NodeSpec<'_>> = (0..32)
            .map(|bits: u32| NodeSpec {
                owner: Cow::Owned(n(&format!("n{bits}.z."))),
                records: &records[..(bits % 2) as usize],
                computed: (bits & 1 != 0).then_some(Computed::Alias(AliasIx(bits))),
                occluder: (bits & 2 != 0).then_some(31 - bits),
                wildcard: (bits & 4 != 0).then_some(bits / 2),
                is_cut: bits & 8 != 0,
                is_denial: bits & 16 != 0,
            })
            .collect();
        let arena = Arena::new(&specs).expect("small");
        let mut rest = arena.nodes_from(0);
        let nodes: Vec<(u32, Node<'_>)> =
            std::iter::from_fn(|| Some((rest.position(), rest.next()?))).collect();
        assert_eq!(nodes.len(), specs.len());
        let position = |at: u32| nodes[at as usize].0;
        for ((position_here, node), spec) in nodes.iter().zip(&specs) {
            assert_eq!(node.to_name(), *spec.owner);
            assert_eq!(node.computed(), spec.computed);
            assert_eq!(node.occluder(), spec.occluder.map(position));
            assert_eq!(node.wildcard(), spec.wildcard.map(position));
            assert_eq!(node.is_cut(), spec.is_cut);
            assert_eq!(node.is_denial(), spec.is_denial);
            assert_eq!(node.rrsets().count(), spec.records.len());
            assert_eq!(arena.node(*position_here), *node);
            assert_eq!(arena.nodes_from(*position_here).next(), Some(*node));
        }
    }

    #[test]
    fn what_positions_cannot_reach_is_refused() {
        assert_eq!(lay_out([48, 48, 16].into_iter(), 6), None);
        assert_eq!(lay_out([48, 48].into_iter(), 5), Some(vec![0, 4]));
        let longest = u32::MAX as usize;
        assert_eq!(lay_out([longest].into_iter(), 1), Some(vec![0]));
        assert_eq!(lay_out([longest + 1].into_iter(), 1), None);
        let reach = MAX_POSITION as usize * UNIT / longest;
        let lens = |n| std::iter::repeat_n(longest, n);
        assert!(lay_out(lens(reach), MAX_POSITION).is_some());
        assert_eq!(lay_out(lens(reach + 2), MAX_POSITION), None);
    }

    #[test]
    fn the_longest_names_and_the_largest_rrsets_fit() {
        let owner = n(&format!(
            "{0}.{0}.{0}.{1}.z.",
            "a".repeat(63),
            "b".repeat(59)
        ));
        assert_eq!(owner.wire().len(), 255);
        let rdata = |at: u32| [at.to_be_bytes().to_vec(), vec![7; 96]].concat();
        let mut records: Vec<Record> = (0..70_000)
            .map(|at| record(owner.clone(), RrType(65280), 60, rdata(at)))
            .collect();
        records.push(record(owner.clone(), RrType(65281), 60, vec![9; 65_535]));
        records.push(record(owner.clone(), RrType(65282), 60, Vec::new()));
        let zone = zone(records).expect("nothing wrong with it");
        let node = zone.node(&QName::from_name(&owner)).expect("it is there");
        assert_eq!(node.owner(), owner.wire());
        let set = |rtype| node.rrset(RrType(rtype)).expect("it is there").rdatas();
        assert!(set(65280).eq((0..70_000).map(rdata)));
        assert!(set(65281).eq([&[9; 65_535]]));
        assert!(set(65282).eq([&[0; 0]]));
    }

    /// A zone `z.` of these records besides SOA and NS, sorted, but without the checks of what can be
    /// answered.
    fn zone(records: Vec<Record>) -> Option<Zone> {
        let mut all = vec![
            record(n("z."), RrType::SOA, 60, [&[0; 2][..], &[0; 20]].concat()),
            record(n("z."), RrType::NS, 60, n("elsewhere.").wire().to_vec()),
        ];
        all.extend(records);
        check::sort(&n("z."), &mut all, &mut Report::default());
        compile::lay_out(&n("z."), &all, &[])
    }

    /// What is at a name, in the simplest form: the owner as it is spelt, and by type TTL and RDATA.
    type Plain = (Vec<u8>, BTreeMap<RrType, (u32, Vec<Vec<u8>>)>);

    /// The nodes of a zone by the book, without what is at the apex.
    fn naive(records: &[Record]) -> Vec<Plain> {
        let mut records: Vec<&Record> = records.iter().collect();
        records.sort_by_key(|record| (record.owner.clone(), record.rtype));
        let mut nodes: BTreeMap<Name, Plain> = BTreeMap::new();
        for record in records {
            let ancestors = std::iter::successors(Some(record.owner.clone()), Name::parent);
            for name in ancestors.take_while(|name| *name != n("z.")) {
                let plain = (name.wire().to_vec(), BTreeMap::new());
                let (_, sets) = nodes.entry(name.clone()).or_insert(plain);
                if name == record.owner {
                    let set = sets.entry(record.rtype).or_insert((u32::MAX, Vec::new()));
                    if !set.1.contains(&record.rdata.to_vec()) {
                        set.1.push(record.rdata.to_vec());
                        set.0 = set.0.min(record.ttl);
                    }
                }
            }
        }
        nodes.into_values().collect()
    }

    fn owner() -> impl Strategy<Value = Name> {
        let long = "x".repeat(63);
        let labels = ["a", "B", "b", "*", "\\000", "\\200", &long].map(str::to_owned);
        let label = prop::sample::select(labels.to_vec());
        prop::collection::vec(label, 1..5).prop_filter_map("too long", |labels| {
            Name::parse(&(labels.join(".") + ".z.")).ok()
        })
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let rtype = prop::sample::select(vec![RrType::A, RrType::TXT, RrType(65280)]);
        let rdata = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..5),
            (any::<u8>(), 0..300_usize).prop_map(|(octet, len)| vec![octet; len]),
            Just(vec![1; 65_535]),
        ];
        let record = (owner(), rtype, 0..1_u32 << 31, rdata)
            .prop_map(|(owner, rtype, ttl, rdata)| record(owner, rtype, ttl, rdata));
        prop::collection::vec(record, 0..30)
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out_in_order(records in records()) {
            let zone = zone(records.clone()).expect("nothing wrong with it");
            let rdatas = |set: RrSet<'_>| set.rdatas().map(<[u8]>::to_vec).collect();
            let plain = |node: Node<'_>| {
                let sets = node.rrsets().map(|set| (set.rtype, (set.ttl, rdatas(set)))).collect();
                (node.owner().to_vec(), sets)
            };
            let nodes: Vec<Plain> = zone.iter().skip(1).map(plain).collect();
            prop_assert_eq!(nodes, naive(&records));
            prop_assert_eq!(zone.iter().count(), zone.n_names());
            for node in &zone {
                prop_assert_eq!(zone.node(&node.to_qname()), Some(node));
                prop_assert!(node.rrsets().map(|set| set.rtype).is_sorted());
            }
            let owners: BTreeSet<Name> = records.iter().map(|r| r.owner.clone()).collect();
            for owner in owners {
                prop_assert!(zone.node(&QName::from_name(&owner)).is_some());
            }
        }

        #[test]
        fn blocks_follow_one_another_and_touch_few_lines(
            lens in prop::collection::vec(HEADER_LEN..300, 1..50),
        ) {
            let positions = lay_out(lens.iter().copied(), MAX_POSITION).expect("small");
            let mut end = 0;
            for (len, position) in lens.iter().zip(positions) {
                let start = position as usize * UNIT;
                prop_assert!(start >= end && start - end < LINE, "{} {}", start, end);
                end = start + len;
                let n_lines = (end - 1) / LINE - start / LINE + 1;
                prop_assert_eq!(n_lines, len.div_ceil(LINE));
            }
        }
    }
}
