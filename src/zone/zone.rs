//! `Zone`: all names of a zone in canonical order, each with what it holds and what governs it.
//!
//! The nodes stand in one allocation (`arena`), a parent before its children (RFC 4034 s6.1), empty
//! non-terminals included; a hash table finds them by name. A million names with one record each take
//! about 80 MB. `compile` makes zones.

use std::sync::Arc;

use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::arena::Arena;
use crate::zone::arena::Node;
use crate::zone::arena::Nodes;
use crate::zone::difference::Difference;
use crate::zone::hash::Table;

/// A zone that passed all checks; it has one SOA, and NS records at its apex.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
    pub(super) arena: Arena,
    table: Table,
    pub(super) n_apex_labels: usize,
    n_names: usize,
    n_records: usize,
    has_computed: bool,
    history: Vec<Arc<Difference>>,
}

impl Zone {
    /// A zone whose nodes are laid out and of which nothing is checked yet.
    pub(super) fn new(arena: Arena, n_names: usize, n_records: usize, has_computed: bool) -> Self {
        let mut nodes = arena.nodes_from(0);
        let entries = std::iter::from_fn(|| {
            let position = nodes.position();
            let qname = nodes.next()?.to_qname();
            Some((qname, position))
        });
        let table = Table::new(n_names, entries);
        let apex = arena.node(0).to_name();
        Self {
            n_apex_labels: apex.n_labels(),
            apex,
            arena,
            table,
            n_names,
            n_records,
            has_computed,
            history: Vec::new(),
        }
    }

    /// The same zone with the differences that led to it, oldest first, each beginning where the one before
    /// ends, and the last one ending here.
    #[must_use]
    pub fn with_history(self, history: Vec<Arc<Difference>>) -> Self {
        Self { history, ..self }
    }

    /// The newest of the differences that led to this zone, oldest first.
    pub fn history(&self) -> &[Arc<Difference>] {
        &self.history
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

    /// Whether data of some names come from the configuration.
    pub fn has_computed(&self) -> bool {
        self.has_computed
    }

    /// Whether another zone holds the same records.
    pub fn has_same_records(&self, other: &Self) -> bool {
        let is_same = |(a, b): (Node<'_>, Node<'_>)| a.has_same_records(&b);
        self.n_names == other.n_names && self.iter().zip(other).all(is_same)
    }

    /// The differences that lead from a serial to this zone, oldest first; `None` if they are not known.
    pub fn changes_since(&self, serial: u32) -> Option<&[Arc<Difference>]> {
        let first = self
            .history
            .iter()
            .position(|d| d.from_serial() == serial)?;
        self.history.get(first..)
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
