//! Records to a [`Zone`]: sorted, checked, and laid out as nodes.
//!
//! While the nodes are laid out, a stack of the open ancestors gives each node the cut or DNAME that
//! hides it and each parent its wildcard child, so that a lookup has nothing left to work out.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::diag::Report;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::zone::arena::Arena;
use crate::zone::arena::NodeSpec;
use crate::zone::check;
use crate::zone::computed::Computed;
use crate::zone::computed::ComputedOwner;
use crate::zone::master::Record;
use crate::zone::zone::Zone;

impl Zone {
    /// Checks and compiles the records of one zone; `None` if `report` then holds errors.
    ///
    /// `file` is what diagnostics about the zone as a whole point at. `report` should be this zone's
    /// own and come from reading its master file: if it holds errors already, a missing SOA or
    /// NS record is not reported, as it may be missing because of them. Steered owners become nodes;
    /// those outside the zone are ignored, and those of a deeper zone must not be given.
    pub fn compile(
        apex: &Name,
        file: &Arc<str>,
        mut records: Vec<Record>,
        computed: &[ComputedOwner],
        report: &mut Report,
    ) -> Option<Self> {
        let mut computed: Vec<&ComputedOwner> = computed
            .iter()
            .filter(|computed| computed.owner.is_at_or_below(apex))
            .collect();
        computed.sort_by(|a, b| a.owner.cmp(&b.owner));
        computed.dedup_by(|later, first| later.owner == first.owner);
        check::sort(apex, &mut records, report);
        check::drop_digest(apex, &mut records, &computed, report);
        check::signed(apex, &records, report);
        check::apex(apex, file, &records, report);
        check::owners(apex, &records, &computed, report);
        let Some(zone) = lay_out(apex, &records, &computed) else {
            let message = "this zone takes more memory than the 64 GiB that one zone can have";
            report.error(Place::file(file), message);
            return None;
        };
        check::references(&zone, &records, &computed, report);
        (!report.has_errors()).then_some(zone)
    }
}

/// The zone of records and computed owners that are sorted and lie at or below the apex; `None` if it
/// takes more memory than positions reach.
pub(super) fn lay_out(
    apex: &Name,
    records: &[Record],
    computed: &[&ComputedOwner],
) -> Option<Zone> {
    let specs = collect_nodes(apex, records, computed);
    let arena = Arena::new(&specs)?;
    let has_computed = !computed.is_empty();
    Some(Zone::new(arena, specs.len(), records.len(), has_computed))
}

/// The nodes of such records and computed owners, in canonical order.
fn collect_nodes<'a>(
    apex: &'a Name,
    records: &'a [Record],
    computed: &[&'a ComputedOwner],
) -> Vec<NodeSpec<'a>> {
    let mut collector = NodeCollector::default();
    let mut owners = owners(records, computed).peekable();
    if owners.peek().is_none_or(|(owner, ..)| *owner != apex) {
        collector.add(Cow::Borrowed(apex), &[], None);
    }
    for (owner, records, computed) in owners {
        collector.leave_other_branches(owner);
        // Names between the deepest ancestor so far and the owner are empty non-terminals.
        let n_between = owner.n_labels() - apex.n_labels() - collector.path.len();
        let ancestors = std::iter::successors(owner.parent(), Name::parent);
        let between: Vec<Name> = ancestors.take(n_between).collect();
        for owner in between.into_iter().rev() {
            collector.add(Cow::Owned(owner), &[], None);
        }
        collector.add(Cow::Borrowed(owner), records, computed);
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
    fn add(&mut self, owner: Cow<'a, Name>, records: &'a [Record], computed: Option<Computed>) {
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
            computed,
            occluder: occluder.or(is_cut.then_some(ix)),
            wildcard: None,
            is_cut,
            is_denial: is_denial && computed.is_none(),
        });
    }
}

/// An owner with its records and the computed name that it is.
type OwnerData<'a> = (&'a Name, &'a [Record], Option<Computed>);

/// The owners in canonical order.
fn owners<'a>(
    records: &'a [Record],
    computed: &[&'a ComputedOwner],
) -> impl Iterator<Item = OwnerData<'a>> {
    let mut groups = records.chunk_by(|a, b| a.owner == b.owner).peekable();
    let mut computed = computed.iter().copied().peekable();
    std::iter::from_fn(move || {
        let order = match (groups.peek(), computed.peek()) {
            (Some(group), Some(computed)) => group[0].owner.cmp(&computed.owner),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let group = groups.next_if(|_| order.is_le());
        let computed = computed.next_if(|_| order.is_ge());
        let owner = match group {
            Some(records) => &records[0].owner,
            None => &computed?.owner,
        };
        let computed = computed.map(|computed| computed.computed);
        Some((owner, group.unwrap_or_default(), computed))
    })
}
