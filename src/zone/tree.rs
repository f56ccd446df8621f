//! `Zone`: all names of a zone in canonical order, each with what it holds and what governs it.
//!
//! The nodes stand in one array, a parent before its children (RFC 4034 s6.1), empty non-terminals
//! included. While it is built, a stack of the open ancestors tells each node the cut or DNAME that
//! hides it and each parent its wildcard child, so that a search has nothing left to work out. A
//! million names with one record each take about 250 MB.

use std::ops::Range;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::check;
use crate::zone::hash::NameHash;
use crate::zone::hash::Table;
use crate::zone::master::Record;

/// An owner name whose A and AAAA come from a policy instead of the master file.
#[derive(Clone, Debug)]
pub struct SteeredOwner {
    /// The owner name.
    pub owner: Name,
    /// Which steered name it is.
    pub steered: SteeredIx,
    /// Where the operator wrote it.
    pub place: Place,
}

/// One name of a zone.
#[derive(Debug)]
pub struct Node {
    owner: Name,
    /// By ascending type; empty for an empty non-terminal.
    rrsets: Box<[RrSet]>,
    steered: Option<SteeredIx>,
    /// The cut at or above this node, or the DNAME above it, that is nearest to the apex.
    pub(super) occluder: Option<u32>,
    /// The child `*`.
    pub(super) wildcard: Option<u32>,
    is_cut: bool,
    /// Whether this owns NSEC3 records alone, so that it is no name that could be asked for.
    pub(super) is_denial: bool,
}

impl Node {
    /// The owner name, in the case it was first written in.
    pub fn owner(&self) -> &Name {
        &self.owner
    }

    /// The RRset of a type.
    pub fn rrset(&self, rtype: RrType) -> Option<&RrSet> {
        self.rrsets.iter().find(|rrset| rrset.rtype == rtype)
    }

    /// All RRsets, by ascending type; none at an empty non-terminal.
    pub fn rrsets(&self) -> &[RrSet] {
        &self.rrsets
    }

    /// The steered name that gives this node's A and AAAA.
    pub fn steered(&self) -> Option<SteeredIx> {
        self.steered
    }

    /// Whether a zone is delegated here: NS records below the apex (RFC 1034 s4.2).
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// A zone that passed all checks; it has one SOA, and NS records at its apex.
#[derive(Debug)]
pub struct Zone {
    /// In canonical order, so the apex comes first.
    pub(super) nodes: Box<[Node]>,
    pub(super) table: Table,
    pub(super) apex_hash: NameHash,
    pub(super) n_apex_labels: usize,
    n_records: usize,
}

impl Zone {
    /// Checks and compiles the records of one zone; `None` if `report` then holds errors.
    ///
    /// `file` is what diagnostics about the zone as a whole point at. `report` should be this zone's
    /// own and come from reading its master file: if it holds errors already, then nothing is said of
    /// an SOA or NS record that may only be missing because of them. Steered owners become nodes;
    /// those outside the zone are ignored, and those of a deeper zone must not be given.
    pub fn compile(
        apex: &Name,
        file: &Arc<str>,
        mut records: Vec<Record>,
        steered: &[SteeredOwner],
        report: &mut Report,
    ) -> Option<Self> {
        let mut steered: Vec<&SteeredOwner> = steered
            .iter()
            .filter(|steered| steered.owner.is_at_or_below(apex))
            .collect();
        steered.sort_by(|a, b| a.owner.cmp(&b.owner));
        check::sort(apex, &mut records, report);
        check::apex(apex, file, &records, report);
        check::owners(apex, &records, &steered, report);
        let nodes = plant(apex, &records, &steered);
        let zone = Self {
            table: Table::new(nodes.iter().map(Node::owner)),
            nodes: nodes.into(),
            apex_hash: NameHash::of(apex),
            n_apex_labels: apex.n_labels(),
            n_records: records.len(),
        };
        check::tree(&zone, &records, &steered, report);
        (!report.has_errors()).then_some(zone)
    }

    /// The apex: the zone's name.
    pub fn apex(&self) -> &Name {
        &self.apex_node().owner
    }

    /// The node at the apex.
    pub fn apex_node(&self) -> &Node {
        &self.nodes[0]
    }

    /// The SOA RRset: one record.
    pub fn soa(&self) -> &RrSet {
        self.apex_node()
            .rrset(RrType::SOA)
            .expect("a zone without SOA does not compile")
    }

    /// The SOA's serial number.
    pub fn serial(&self) -> u32 {
        self.soa_field(0)
    }

    /// The TTL of negative answers: the lesser of the SOA's TTL and its MINIMUM (RFC 2308 s5).
    pub fn negative_ttl(&self) -> u32 {
        self.soa().ttl.min(self.soa_field(4))
    }

    /// One of the five numbers that end the SOA's RDATA.
    fn soa_field(&self, nth: usize) -> u32 {
        let numbers = self.soa().rdatas[0].last_chunk::<20>();
        let (numbers, _) = numbers.expect("SOA RDATA is checked").as_chunks::<4>();
        u32::from_be_bytes(numbers[nth])
    }

    /// The number of names, empty non-terminals included.
    pub fn n_names(&self) -> usize {
        self.nodes.len()
    }

    /// The number of records.
    pub fn n_records(&self) -> usize {
        self.n_records
    }

    /// Whether another zone holds the same records.
    pub fn has_same_records(&self, other: &Self) -> bool {
        let is_same = |(a, b): (&Node, &Node)| a.owner == b.owner && a.rrsets == b.rrsets;
        self.nodes.len() == other.nodes.len() && self.iter().zip(other).all(is_same)
    }

    /// All nodes in canonical order (RFC 4034 s6.1), the apex first.
    pub fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.nodes.iter()
    }

    /// The node of exactly this name, glue and other occluded names included.
    pub fn node(&self, name: &QName) -> Option<&Node> {
        let depth = name.n_labels().checked_sub(self.n_apex_labels)?;
        let hash = (0..depth)
            .rev()
            .fold(self.apex_hash, |hash, nth| hash.child(name, nth));
        self.node_by_hash(hash.tag(), name.wire())
    }

    /// The node of a name in lower-case wire form; never allocates.
    pub(super) fn node_by_hash(&self, tag: u32, wire: &[u8]) -> Option<&Node> {
        let is_same = |at: usize| self.nodes[at].owner.is(wire);
        self.table.find(tag, is_same).map(|at| &self.nodes[at])
    }

    /// The cut or DNAME that hides this node; a cut hides itself.
    pub(super) fn occluder(&self, node: &Node) -> Option<&Node> {
        node.occluder.map(|at| &self.nodes[at as usize])
    }
}

impl<'z> IntoIterator for &'z Zone {
    type Item = &'z Node;
    type IntoIter = std::slice::Iter<'z, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What is known of an owner before there is a tree.
struct Plot<'a> {
    owner: &'a Name,
    records: Range<usize>,
    steered: Option<SteeredIx>,
}

/// Makes the nodes of records and steered owners that are sorted and lie at or below the apex.
fn plant(apex: &Name, records: &[Record], steered: &[&SteeredOwner]) -> Vec<Node> {
    let mut planting = Planting::default();
    for plot in plots(apex, records, steered) {
        let depth = plot.owner.n_labels() - apex.n_labels();
        planting.leave_other_branches(plot.owner);
        // Names between the deepest ancestor so far and the owner are empty non-terminals.
        let n_between = depth - planting.path.len();
        let ancestors = std::iter::successors(plot.owner.parent(), Name::parent);
        let between: Vec<Name> = ancestors.take(n_between).collect();
        for owner in between.into_iter().rev() {
            planting.add(owner, Box::default(), None);
        }
        let rrsets = rrsets(&records[plot.records]);
        planting.add(plot.owner.clone(), rrsets, plot.steered);
    }
    planting.nodes
}

/// The nodes so far, and the positions of those from the apex down to the last one.
#[derive(Default)]
struct Planting {
    nodes: Vec<Node>,
    path: Vec<usize>,
}

impl Planting {
    /// Shortens the path to the ancestors of a name.
    fn leave_other_branches(&mut self, owner: &Name) {
        let is_ancestor = |at: &usize| owner.is_at_or_below(&self.nodes[*at].owner);
        let n_ancestors = self.path.iter().take_while(|at| is_ancestor(at)).count();
        self.path.truncate(n_ancestors);
    }

    /// Adds a node below the end of the path; a wildcard makes itself known to its parent.
    fn add(&mut self, owner: Name, rrsets: Box<[RrSet]>, steered: Option<SteeredIx>) {
        let ix = self.nodes.len() as u32;
        let has = |rrsets: &[RrSet], rtype| rrsets.iter().any(|rrset| rrset.rtype == rtype);
        let is_cut = !self.path.is_empty() && has(&rrsets, RrType::NS);
        let is_denial = has(&rrsets, RrType::NSEC3)
            && rrsets
                .iter()
                .all(|rrset| matches!(rrset.rtype, RrType::NSEC3 | RrType::RRSIG));
        let mut occluder = None;
        if let Some(at) = self.path.last() {
            let parent = &mut self.nodes[*at];
            let has_dname = has(&parent.rrsets, RrType::DNAME);
            occluder = parent.occluder.or(has_dname.then_some(*at as u32));
            if owner.is_wildcard() {
                parent.wildcard = Some(ix);
            }
            parent.is_denial = false;
        }
        self.path.push(self.nodes.len());
        self.nodes.push(Node {
            owner,
            rrsets,
            steered,
            occluder: occluder.or(is_cut.then_some(ix)),
            wildcard: None,
            is_cut,
            is_denial: is_denial && steered.is_none(),
        });
    }
}

/// The owners in canonical order, the apex among them in any case.
fn plots<'a>(apex: &'a Name, records: &'a [Record], steered: &[&'a SteeredOwner]) -> Vec<Plot<'a>> {
    let mut plots: Vec<Plot<'a>> = vec![Plot {
        owner: apex,
        records: 0..0,
        steered: None,
    }];
    let mut at = 0;
    for group in records.chunk_by(|a, b| a.owner == b.owner) {
        plots.push(Plot {
            owner: &group[0].owner,
            records: at..at + group.len(),
            steered: None,
        });
        at += group.len();
    }
    plots.extend(steered.iter().map(|steered| Plot {
        owner: &steered.owner,
        records: 0..0,
        steered: Some(steered.steered),
    }));
    // Both parts are sorted already, which this sort makes use of.
    plots.sort_by(|a, b| a.owner.cmp(b.owner));
    plots.dedup_by(|later, first| {
        let same = later.owner == first.owner;
        if same {
            if first.records.is_empty() {
                first.owner = later.owner;
                first.records = later.records.clone();
            }
            first.steered = first.steered.or(later.steered);
        }
        same
    });
    plots
}

/// Groups the sorted records of one owner; differing TTLs become the lowest (RFC 2181 s5.2).
fn rrsets(records: &[Record]) -> Box<[RrSet]> {
    let groups = records.chunk_by(|a, b| a.rtype == b.rtype);
    let rrset = |group: &[Record]| RrSet {
        rtype: group[0].rtype,
        ttl: group.iter().map(|r| r.ttl).min().unwrap_or(0),
        rdatas: group.iter().map(|r| r.rdata.clone()).collect(),
    };
    groups.map(rrset).collect()
}
