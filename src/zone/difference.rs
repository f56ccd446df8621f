//! What dynamic updates have made of a zone: one [`Difference`] for each new serial, which secondaries are
//! sent (RFC 1995), and the [`Net`] of all since the zone file, which is put on top of it at a load.
//!
//! Records are the same if owner, type and RDATA are, with names in any case (RFC 2136 s1.1): a record with
//! another TTL is the same one, removed and added again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::zone::arena::Node;
use crate::zone::master::Record;
use crate::zone::rdata;

/// The changes from one serial to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The SOA record of the older zone.
    pub before: Record,
    /// Records that the newer zone lacks, without the SOA.
    pub removed: Vec<Record>,
    /// The SOA record of the newer zone.
    pub after: Record,
    /// Records that the older zone lacks, without the SOA.
    pub added: Vec<Record>,
}

impl Difference {
    /// The older serial.
    pub fn from_serial(&self) -> u32 {
        soa_serial(&self.before.rdata)
    }

    /// The newer serial.
    pub fn to_serial(&self) -> u32 {
        soa_serial(&self.after.rdata)
    }

    /// The records in the order in which they are transferred (RFC 1995 s4).
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        let removed = std::iter::once(&self.before).chain(&self.removed);
        removed
            .chain(std::iter::once(&self.after))
            .chain(&self.added)
    }

    /// How many octets it takes, more or less.
    pub fn n_octets(&self) -> usize {
        self.records()
            .map(|r| r.owner.wire().len() + r.rdata.len() + 10)
            .sum()
    }

    /// The number of records.
    pub fn n_records(&self) -> usize {
        2 + self.removed.len() + self.added.len()
    }
}

/// What makes records the same: owner, type, and RDATA with its names in lower case.
pub(super) type Key = (Name, RrType, Vec<u8>);

/// The key of a record.
pub(super) fn key(record: &Record) -> Key {
    let folded = rdata::folded(record.rtype, &record.rdata);
    (record.owner.clone(), record.rtype, folded)
}

/// Whether two records are the same.
pub(super) fn is_same(a: &Record, b: &Record) -> bool {
    a.rtype == b.rtype
        && a.owner == b.owner
        && (a.rdata == b.rdata
            || rdata::folded(a.rtype, &a.rdata) == rdata::folded(b.rtype, &b.rdata))
}

/// What all updates together change in the zone file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// The SOA that an update set; its serial means nothing.
    pub(super) soa: Option<Record>,
    pub(super) changes: BTreeMap<Key, NetChange>,
}

/// What updates have made of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetChange {
    pub(super) record: Record,
    /// Whether the zone file has it.
    pub(super) is_in_file: bool,
    /// Whether the zone has it.
    pub(super) is_in_zone: bool,
}

impl Net {
    /// Adds the next difference.
    pub fn fold(&mut self, difference: &Difference) {
        let Difference { before, after, .. } = difference;
        if before.ttl != after.ttl || with_serial(before, 0).rdata != with_serial(after, 0).rdata {
            self.soa = Some(difference.after.clone());
        }
        for record in &difference.removed {
            match self.changes.entry(key(record)) {
                Entry::Occupied(mut entry) if entry.get().is_in_file => {
                    entry.get_mut().is_in_zone = false;
                }
                Entry::Occupied(entry) => {
                    entry.remove();
                }
                Entry::Vacant(entry) => {
                    entry.insert(NetChange {
                        record: record.clone(),
                        is_in_file: true,
                        is_in_zone: false,
                    });
                }
            }
        }
        for record in &difference.added {
            let is_in_file = false;
            let change = self
                .changes
                .entry(key(record))
                .or_insert_with(|| NetChange {
                    record: record.clone(),
                    is_in_file,
                    is_in_zone: true,
                });
            change.record = record.clone();
            change.is_in_zone = true;
        }
    }

    /// The SOA that an update set; its serial means nothing.
    pub fn soa(&self) -> Option<&Record> {
        self.soa.as_ref()
    }
}

/// The same SOA with another serial.
pub(super) fn with_serial(soa: &Record, serial: u32) -> Record {
    let mut rdata = soa.rdata.clone();
    let at = rdata.len() - 20;
    rdata[at..at + 4].copy_from_slice(&serial.to_be_bytes());
    Record {
        rdata,
        ..soa.clone()
    }
}

/// The records of a node, as if they stood in `file`.
pub(super) fn records_of(node: Node<'_>, file: &Arc<str>) -> Vec<Record> {
    let owner = node.to_name();
    let place = Place::file(file);
    let sets = node.rrsets();
    let records = sets.flat_map(|set| set.rdatas().map(move |rdata| (set, rdata)));
    records
        .map(|(set, rdata)| Record {
            owner: owner.clone(),
            rtype: set.rtype,
            ttl: set.ttl,
            rdata: rdata.into(),
            place: place.clone(),
        })
        .collect()
}

/// The serial of an SOA's RDATA.
pub(super) fn soa_serial(rdata: &[u8]) -> u32 {
    let numbers = rdata.last_chunk::<20>().expect("SOA RDATA is checked");
    u32::from_be_bytes([numbers[0], numbers[1], numbers[2], numbers[3]])
}
