//! `Zone`: all names of a zone in canonical order, each with what it holds and what governs it.
//!
//! The nodes stand in one piece of memory (`arena`), a parent before its children (RFC 4034 s6.1),
//! empty non-terminals included. While they are laid out, a stack of the open ancestors tells each the
//! cut or DNAME that hides it and each parent its wildcard child, so that a search has nothing left to
//! work out. A million names with one record each take about 80 MB.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::ix::SteeredIx;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::arena::Arena;
use crate::zone::arena::Node;
use crate::zone::arena::NodeSpec;
use crate::zone::arena::Nodes;
use crate::zone::check;
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

/// A zone that passed all checks; it has one SOA, and NS records at its apex.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
    pub(super) arena: Arena,
    table: Table,
    pub(super) n_apex_labels: usize,
    n_names: usize,
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
        steered.dedup_by(|later, first| later.owner == first.owner);
        check::sort(apex, &mut records, report);
        check::apex(apex, file, &records, report);
        check::owners(apex, &records, &steered, report);
        let specs = collect_nodes(apex, &records, &steered);
        let Some(arena) = Arena::new(&specs) else {
            let message = "this zone takes more memory than the 64 GiB that one zone can have";
            report.error(Place::file(file), message);
            return None;
        };
        let n_names = specs.len();
        drop(specs);
        let mut nodes = arena.nodes_from(0);
        let entries = std::iter::from_fn(|| {
            let position = nodes.position();
            let qname = nodes.next()?.to_qname();
            Some((qname, position))
        });
        let zone = Self {
            table: Table::new(n_names, entries),
            apex: arena.node(0).to_name(),
            arena,
            n_apex_labels: apex.n_labels(),
            n_names,
            n_records: records.len(),
        };
        check::tree(&zone, &records, &steered, report);
        (!report.has_errors()).then_some(zone)
    }

    /// The apex: the zone's name.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// The node at the apex.
    pub fn apex_node(&self) -> Node<'_> {
        self.arena.node(0)
    }

    /// The SOA RRset: one record.
    pub fn soa(&self) -> RrSet<'_> {
        self.apex_node()
            .rrset(RrType::SOA)
            .expect("a zone without SOA does not compile")
    }

    /// The SOA's serial number.
    pub fn serial(&self) -> u32 {
        soa_number(self.soa(), 0)
    }

    /// The TTL of negative answers: the lesser of the SOA's TTL and its MINIMUM (RFC 2308 s5).
    pub fn negative_ttl(&self) -> u32 {
        let soa = self.soa();
        soa.ttl.min(soa_number(soa, 4))
    }

    /// The number of names, empty non-terminals included.
    pub fn n_names(&self) -> usize {
        self.n_names
    }

    /// The number of records.
    pub fn n_records(&self) -> usize {
        self.n_records
    }

    /// Whether another zone holds the same records.
    pub fn has_same_records(&self, other: &Self) -> bool {
        let is_same = |(a, b): (Node<'_>, Node<'_>)| a.has_same_records(&b);
        self.n_names == other.n_names && self.iter().zip(other).all(is_same)
    }

    /// All nodes in canonical order (RFC 4034 s6.1), the apex first.
    pub fn iter(&self) -> Nodes<'_> {
        self.nodes_from(0)
    }

    /// The nodes from the one at this position on, in canonical order.
    pub fn nodes_from(&self, position: u32) -> Nodes<'_> {
        self.arena.nodes_from(position)
    }

    /// The node of exactly this name, glue and other occluded names included.
    pub fn node(&self, name: &QName) -> Option<Node<'_>> {
        self.node_of(name.wire())
    }

    /// The same for a name in lower-case wire form.
    #[inline(always)] // Hot path, once per query (benches/answer.rs).
    pub(super) fn node_of(&self, lower_wire: &[u8]) -> Option<Node<'_>> {
        self.table.find(lower_wire, |position| {
            Some(self.arena.node(position)).filter(|node| node.is(lower_wire))
        })
    }

    /// The cut or DNAME that hides this node; a cut hides itself.
    pub(super) fn occluder(&self, node: Node<'_>) -> Option<Node<'_>> {
        node.occluder().map(|position| self.arena.node(position))
    }
}

impl<'z> IntoIterator for &'z Zone {
    type Item = Node<'z>;
    type IntoIter = Nodes<'z>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One of the five numbers that end an SOA's RDATA.
fn soa_number(soa: RrSet<'_>, nth: usize) -> u32 {
    let rdata = soa.rdatas().next();
    let numbers = rdata.and_then(|rdata| rdata.last_chunk::<20>());
    let (numbers, _) = numbers.expect("SOA RDATA is checked").as_chunks::<4>();
    u32::from_be_bytes(numbers[nth])
}

/// Lays out records and steered owners that are sorted and lie at or below the apex.
fn collect_nodes<'a>(
    apex: &'a Name,
    records: &'a [Record],
    steered: &[&'a SteeredOwner],
) -> Vec<NodeSpec<'a>> {
    let mut collector = NodeCollector::default();
    let mut owners = owners(records, steered).peekable();
    if owners.peek().is_none_or(|(owner, ..)| *owner != apex) {
        collector.add(Cow::Borrowed(apex), &[], None);
    }
    for (owner, records, steered) in owners {
        collector.leave_other_branches(owner);
        // Names between the deepest ancestor so far and the owner are empty non-terminals.
        let n_between = owner.n_labels() - apex.n_labels() - collector.path.len();
        let ancestors = std::iter::successors(owner.parent(), Name::parent);
        let between: Vec<Name> = ancestors.take(n_between).collect();
        for owner in between.into_iter().rev() {
            collector.add(Cow::Owned(owner), &[], None);
        }
        collector.add(Cow::Borrowed(owner), records, steered);
    }
    collector.specs
}

/// The specs so far, and the indexes of those from the apex down to the last one.
#[derive(Default)]
struct NodeCollector<'a> {
    specs: Vec<NodeSpec<'a>>,
    path: Vec<usize>,
}

impl<'a> NodeCollector<'a> {
    /// Shortens the path to the ancestors of a name.
    fn leave_other_branches(&mut self, owner: &Name) {
        let is_ancestor = |at: &usize| owner.is_at_or_below(&self.specs[*at].owner);
        let n_ancestors = self.path.iter().take_while(|at| is_ancestor(at)).count();
        self.path.truncate(n_ancestors);
    }

    /// Adds a spec below the end of the path; a wildcard makes itself known to its parent.
    fn add(&mut self, owner: Cow<'a, Name>, records: &'a [Record], steered: Option<SteeredIx>) {
        let ix = self.specs.len() as u32;
        let has = |records: &[Record], rtype| records.iter().any(|record| record.rtype == rtype);
        let is_cut = !self.path.is_empty() && has(records, RrType::NS);
        let is_denial = has(records, RrType::NSEC3)
            && records
                .iter()
                .all(|record| matches!(record.rtype, RrType::NSEC3 | RrType::RRSIG));
        let mut occluder = None;
        if let Some(at) = self.path.last() {
            let parent = &mut self.specs[*at];
            let has_dname = has(parent.records, RrType::DNAME);
            occluder = parent.occluder.or(has_dname.then_some(*at as u32));
            if owner.is_wildcard() {
                parent.wildcard = Some(ix);
            }
            parent.is_denial = false;
        }
        self.path.push(self.specs.len());
        self.specs.push(NodeSpec {
            owner,
            records,
            steered,
            occluder: occluder.or(is_cut.then_some(ix)),
            wildcard: None,
            is_cut,
            is_denial: is_denial && steered.is_none(),
        });
    }
}

/// What is known of an owner before there is a tree: its records, and what steers it.
type Known<'a> = (&'a Name, &'a [Record], Option<SteeredIx>);

/// The owners in canonical order.
fn owners<'a>(
    records: &'a [Record],
    steered: &[&'a SteeredOwner],
) -> impl Iterator<Item = Known<'a>> {
    let mut groups = records.chunk_by(|a, b| a.owner == b.owner).peekable();
    let mut steered = steered.iter().copied().peekable();
    std::iter::from_fn(move || {
        let order = match (groups.peek(), steered.peek()) {
            (Some(group), Some(steered)) => group[0].owner.cmp(&steered.owner),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let group = groups.next_if(|_| order.is_le());
        let steered = steered.next_if(|_| order.is_ge());
        let owner = match group {
            Some(records) => &records[0].owner,
            None => &steered?.owner,
        };
        let steered = steered.map(|steered| steered.steered);
        Some((owner, group.unwrap_or_default(), steered))
    })
}
