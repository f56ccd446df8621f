//! `Arena`: all that is at the names of a zone, in one piece of memory.
//!
//! Each name has a block, in canonical order, which holds one after the other:
//!
//! ```text
//! owner_len u8, flags u8, rrsets_len u32
//! steered u32, occluder u32, wildcard u32       those that the flags tell of
//! owner                                         as it was written
//! per RRset, by ascending type:                 rtype u16, ttl u32, len u32
//!     per record:                               rdlength u16, rdata
//! ```
//!
//! Numbers are in network order. A block starts at a multiple of 16 octets, which is its position, and
//! touches no more cache lines than it must, so that reading a small one is a single miss. The gap
//! which that takes starts with a zero octet, the length of no owner. Positions are only ever those
//! of blocks, so reading them cannot fail.

use std::borrow::Cow;

use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::master::Record;

/// Positions count these, so that 32 bits reach 64 GiB.
const UNIT: usize = 16;

/// The octets of a cache line.
const LINE: usize = 64;

/// Positions are below this.
const MAX_POSITION: u32 = u32::MAX;

/// `owner_len`, `flags` and `rrsets_len`.
const HEADER_LEN: usize = 6;

/// `rtype`, `ttl` and `len` of an RRset.
const RRSET_HEADER_LEN: usize = 10;

/// Which numbers a block holds, and what else there is to say of its name in a bit.
const STEERED: u8 = 1;
const OCCLUDER: u8 = 1 << 1;
const WILDCARD: u8 = 1 << 2;
const NUMBERS: u8 = STEERED | OCCLUDER | WILDCARD;
const CUT: u8 = 1 << 3;
const DENIAL: u8 = 1 << 4;

/// What a block is made from.
pub(super) struct Plot<'a> {
    pub(super) owner: Cow<'a, Name>,
    /// Sorted by type; none for an empty non-terminal.
    pub(super) records: &'a [Record],
    pub(super) steered: Option<SteeredIx>,
    /// The cut at or above this name, or the DNAME above it, that is nearest to the apex; among the
    /// plots.
    pub(super) occluder: Option<u32>,
    /// The child `*`, among the plots.
    pub(super) wildcard: Option<u32>,
    pub(super) is_cut: bool,
    /// Whether this owns NSEC3 records alone, so that it is no name that could be asked for.
    pub(super) is_denial: bool,
}

impl Plot<'_> {
    fn flags(&self) -> u8 {
        [
            (self.steered.is_some(), STEERED),
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

    /// The block's length in octets.
    fn len(&self) -> usize {
        let numbers_len = 4 * (self.flags() & NUMBERS).count_ones() as usize;
        let rrsets_len: usize = self
            .rrsets()
            .map(|records| RRSET_HEADER_LEN + packed_len(records))
            .sum();
        HEADER_LEN + numbers_len + self.owner.wire().len() + rrsets_len
    }

    /// Appends the block; its length fits into 32 bits.
    fn write(&self, positions: &[u32], octets: &mut Vec<u8>) {
        let owner = self.owner.wire();
        octets.extend([owner.len() as u8, self.flags()]);
        let len_at = octets.len();
        octets.extend([0; 4]);
        let place = |at: u32| positions[at as usize];
        let numbers = [
            self.steered.map(|steered| steered.0),
            self.occluder.map(place),
            self.wildcard.map(place),
        ];
        octets.extend(numbers.into_iter().flatten().flat_map(u32::to_be_bytes));
        octets.extend_from_slice(owner);
        let rrsets_at = octets.len();
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
        let rrsets_len = (octets.len() - rrsets_at) as u32;
        octets[len_at..len_at + 4].copy_from_slice(&rrsets_len.to_be_bytes());
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
    /// Writes a block for each plot; `None` if positions do not reach that far.
    pub(super) fn new(plots: &[Plot<'_>]) -> Option<Self> {
        let positions = lay_out(plots.iter().map(Plot::len), MAX_POSITION)?;
        let (last, position) = plots.last().zip(positions.last())?;
        let len = *position as usize * UNIT + last.len();
        // The room is never exceeded, so the octets stay where they are.
        let mut octets: Vec<u8> = Vec::with_capacity(LINE + len);
        let base = octets.as_ptr().align_offset(LINE).min(LINE);
        for (plot, position) in plots.iter().zip(&positions) {
            octets.resize(base + *position as usize * UNIT, 0);
            plot.write(&positions, &mut octets);
        }
        Some(Self { octets, base })
    }

    /// The node whose block is at this position.
    pub(super) fn node(&self, position: u32) -> Node<'_> {
        const IS_BLOCK: &str = "positions are those of whole blocks";
        let block = &self.octets[self.start(position)..];
        let (header, rest) = block.split_first_chunk::<HEADER_LEN>().expect(IS_BLOCK);
        let [owner_len, flags, rrsets_len @ ..] = *header;
        let n_numbers = (flags & NUMBERS).count_ones() as usize;
        let (numbers, rest) = rest.split_at(4 * n_numbers);
        let (owner, rest) = rest.split_at(usize::from(owner_len));
        let rrsets = &rest[..u32::from_be_bytes(rrsets_len) as usize];
        Node {
            position,
            flags,
            numbers,
            owner,
            rrsets,
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
#[derive(Clone, Copy, Debug)]
pub struct Node<'z> {
    position: u32,
    flags: u8,
    numbers: &'z [u8],
    owner: &'z [u8],
    rrsets: &'z [u8],
}

impl<'z> Node<'z> {
    /// The owner name in wire form, in the case it was first written in.
    pub fn owner(&self) -> &'z [u8] {
        self.owner
    }

    /// The owner name, to print or to keep.
    pub fn to_name(&self) -> Name {
        Name::from_wire(self.owner).expect("blocks are made from names")
    }

    /// The owner name, to look up.
    pub fn to_qname(&self) -> QName {
        let mut qname = QName::root();
        qname
            .set_wire(self.owner)
            .expect("blocks are made from names");
        qname
    }

    /// Whether the owner is the name of this wire form in lower case. Most names are written in lower
    /// case, and octets that are equal are compared fastest.
    pub fn is(&self, lower_wire: &[u8]) -> bool {
        *self.owner == *lower_wire || self.owner.eq_ignore_ascii_case(lower_wire)
    }

    /// The RRset of a type.
    pub fn rrset(&self, rtype: RrType) -> Option<RrSet<'z>> {
        self.rrsets().find(|rrset| rrset.rtype == rtype)
    }

    /// All RRsets, by ascending type; none at an empty non-terminal.
    pub fn rrsets(&self) -> RrSets<'z> {
        RrSets { rest: self.rrsets }
    }

    /// The steered name that gives this node's A and AAAA.
    pub fn steered(&self) -> Option<SteeredIx> {
        self.number(STEERED).map(SteeredIx)
    }

    /// Whether a zone is delegated here: NS records below the apex (RFC 1034 s4.2).
    pub fn is_cut(&self) -> bool {
        self.flags & CUT != 0
    }

    /// Where it is in its zone: a number that only grows from node to node.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Whether this owns NSEC3 records alone, so that it is no name that could be asked for.
    pub(super) fn is_denial(&self) -> bool {
        self.flags & DENIAL != 0
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
    pub(super) fn has_same_records(&self, other: &Node<'_>) -> bool {
        self.owner.eq_ignore_ascii_case(other.owner) && self.rrsets == other.rrsets
    }

    fn number(&self, flag: u8) -> Option<u32> {
        let n_before = (self.flags & NUMBERS & (flag - 1)).count_ones() as usize;
        let (numbers, _) = self.numbers.as_chunks();
        let number = numbers.get(n_before).filter(|_| self.flags & flag != 0)?;
        Some(u32::from_be_bytes(*number))
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

impl<'z> Iterator for Nodes<'z> {
    type Item = Node<'z>;

    fn next(&mut self) -> Option<Node<'z>> {
        const UNITS_PER_LINE: u32 = (LINE / UNIT) as u32;
        if *self.arena.octets.get(self.arena.start(self.position))? == 0 {
            self.position = self.position.next_multiple_of(UNITS_PER_LINE);
        }
        let node = self.arena.node(self.position);
        let len = HEADER_LEN + node.numbers.len() + node.owner.len() + node.rrsets.len();
        self.position += len.div_ceil(UNIT) as u32;
        Some(node)
    }
}
