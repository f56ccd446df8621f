//! Which records of the zones change.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::name::Name;
use crate::base::rr::RrSet;
use crate::base::rr::RrType;
use crate::zone::Node;
use crate::zone::Zone;
use crate::zone::set::ZoneSet;

/// The most records that are listed of each kind and zone; all are counted.
const MAX_LISTED: usize = 50;

/// What changes of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneChange {
    /// Its apex.
    pub apex: Name,
    /// The serial of before; `None`: the zone is new.
    pub serial_before: Option<u32>,
    /// The serial of after; `None`: the zone is gone.
    pub serial_after: Option<u32>,
    /// ZoneRecords that are new, or have another TTL.
    pub added: ZoneRecords,
    /// ZoneRecords that are gone, or have another TTL.
    pub removed: ZoneRecords,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneRecords {
    /// How many.
    pub n: usize,
    /// The first of them, in canonical order of their owners.
    pub first: Vec<ZoneRecord>,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZoneRecord {
    /// Its owner.
    pub owner: Name,
    /// Its type.
    pub rtype: RrType,
    /// Seconds.
    pub ttl: u32,
    /// In wire form, names uncompressed.
    pub rdata: Box<[u8]>,
}

/// The zones that change, in the order of their apexes.
pub(super) fn changes(before: &ZoneSet, after: &ZoneSet) -> Vec<ZoneChange> {
    let [before, after] = [before, after].map(|zones| {
        let zones = zones.iter().map(|zone| (zone.apex().plain(), zone));
        zones.collect::<BTreeMap<String, &Arc<Zone>>>()
    });
    let apexes: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |apex: &String| match (before.get(apex), after.get(apex)) {
        (Some(before), Some(after)) if Arc::ptr_eq(before, after) => None,
        (Some(before), Some(after)) if before.has_same_records(after) => None,
        (before, after) => change(before.map(|zone| &***zone), after.map(|zone| &***zone)),
    };
    apexes.into_iter().filter_map(change).collect()
}

fn change(before: Option<&Zone>, after: Option<&Zone>) -> Option<ZoneChange> {
    let mut change = ZoneChange {
        apex: before.or(after)?.apex().clone(),
        serial_before: before.map(Zone::serial),
        serial_after: after.map(Zone::serial),
        added: ZoneRecords::default(),
        removed: ZoneRecords::default(),
    };
    let mut old = before.into_iter().flat_map(Zone::iter).peekable();
    let mut new = after.into_iter().flat_map(Zone::iter).peekable();
    loop {
        let (removed, added) = match (old.peek(), new.peek()) {
            (None, None) => return Some(change),
            (Some(_), None) => (old.next(), None),
            (None, Some(_)) => (None, new.next()),
            (Some(a), Some(b)) => match a.to_name().cmp(&b.to_name()) {
                Ordering::Less => (old.next(), None),
                Ordering::Greater => (None, new.next()),
                Ordering::Equal => (old.next(), new.next()),
            },
        };
        let (removed, added) = (records(removed), records(added));
        change.removed.take(removed.difference(&added));
        change.added.take(added.difference(&removed));
    }
}

impl ZoneRecords {
    fn take<'a>(&mut self, records: impl Iterator<Item = &'a ZoneRecord>) {
        for record in records {
            self.n += 1;
            if self.first.len() < MAX_LISTED {
                self.first.push(record.clone());
            }
        }
    }
}

/// The records of a node.
fn records(node: Option<Node<'_>>) -> BTreeSet<ZoneRecord> {
    let record = |node: &Node<'_>, rrset: RrSet<'_>, rdata: &[u8]| ZoneRecord {
        owner: node.to_name(),
        rtype: rrset.rtype,
        ttl: rrset.ttl,
        rdata: rdata.into(),
    };
    let mut records = BTreeSet::new();
    if let Some(node) = node {
        for rrset in node.rrsets() {
            records.extend(rrset.rdatas().map(|rdata| record(&node, rrset, rdata)));
        }
    }
    records
}
