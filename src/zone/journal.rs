//! The journal of a zone's dynamic updates, as octets.
//!
//! ```text
//! frame:    length u32, checksum 8 octets, then so many octets: kind u8, payload
//! kind 0:   header: the zone's name, the digest of the zone file that the others are on top of
//! kind 1:   a difference that is part of the net change already, kept for secondaries
//! kind 2:   the net change of all updates so far, and the serial that it led to
//! kind 3:   a further difference
//! ```
//!
//! Frames stand in the order of their kinds. One is appended per new serial; a crash can leave part of the
//! last one, which the checksum shows. Numbers are in network order.

use std::sync::Arc;

use ring::digest;

use crate::base::diag::Place;
use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::zone::difference::Difference;
use crate::zone::difference::Net;
use crate::zone::difference::NetChange;
use crate::zone::difference::key;
use crate::zone::master::Record;
use crate::zone::zone::Zone;

const HEADER: u8 = 0;
const PAST: u8 = 1;
const NET: u8 = 2;
const NEXT: u8 = 3;

/// Octets of a checksum: the first of a SHA-256.
const CHECKSUM_LEN: usize = 8;

/// What a zone file holds, in short.
pub type Digest = [u8; 32];

/// The digest of a zone's records.
pub fn digest(zone: &Zone) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for node in zone {
        for set in node.rrsets() {
            for rdata in set.rdatas() {
                let mut record = Vec::with_capacity(node.owner().len() + rdata.len() + 8);
                record.extend(node.owner().to_ascii_lowercase());
                record.extend(set.rtype.0.to_be_bytes());
                record.extend(set.ttl.to_be_bytes());
                record.extend((rdata.len() as u16).to_be_bytes());
                record.extend_from_slice(rdata);
                context.update(&record);
            }
        }
    }
    let mut octets = Digest::default();
    octets.copy_from_slice(context.finish().as_ref());
    octets
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Of the zone file that the net change is on top of.
    pub digest: Digest,
    /// The change from the zone file to the zone.
    pub net: Net,
    /// The serial of the zone.
    pub serial: u32,
    /// The newest differences, oldest first.
    pub history: Vec<Arc<Difference>>,
}

/// A journal as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// What it holds up to the first octet that is at fault.
    pub journal: Journal,
    /// How many octets that are; what follows them is to be cut off.
    pub len: usize,
}

/// Why a journal cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Its beginning is not that of a journal.
    #[error("is no journal, or its beginning is damaged")]
    Damaged,
    /// It is that of another zone.
    #[error("is the journal of another zone")]
    OtherZone,
}

impl Journal {
    /// The whole journal of a zone as octets.
    pub fn to_octets(&self, apex: &Name) -> Vec<u8> {
        let mut octets = Vec::new();
        frame(&mut octets, HEADER, |payload| {
            payload.extend_from_slice(apex.wire());
            payload.extend(self.digest);
        });
        for difference in &self.history {
            frame(&mut octets, PAST, |payload| {
                put_difference(payload, difference);
            });
        }
        frame(&mut octets, NET, |payload| {
            payload.extend(self.serial.to_be_bytes());
            put_records(payload, self.net.soa.iter());
            let changes = || self.net.changes.values();
            let in_zone = |change: &&NetChange| change.is_in_zone;
            put_records(payload, changes().filter(in_zone).map(|c| &c.record));
            put_records(
                payload,
                changes().filter(|c| c.is_in_file).map(|c| &c.record),
            );
        });
        octets
    }

    /// Reads the journal of a zone; its records stand in `file`.
    ///
    /// # Errors
    /// [`JournalError`] if nothing of it can be used.
    pub fn read(octets: &[u8], apex: &Name, file: &Arc<str>) -> Result<Read, JournalError> {
        let mut reader = Reader { rest: octets, file };
        let Some((HEADER, mut header)) = reader.frame() else {
            return Err(JournalError::Damaged);
        };
        let of = header.name().ok_or(JournalError::Damaged)?;
        let digest = *header.take().ok_or(JournalError::Damaged)?;
        if of != *apex {
            return Err(JournalError::OtherZone);
        }
        let mut history = Vec::new();
        let net = loop {
            match reader.frame() {
                Some((PAST, mut payload)) => {
                    let difference = payload.difference().ok_or(JournalError::Damaged)?;
                    history.push(Arc::new(difference));
                }
                Some((NET, payload)) => break payload,
                _ => return Err(JournalError::Damaged),
            }
        };
        let (net, serial) = net.net().ok_or(JournalError::Damaged)?;
        let mut read = Read {
            journal: Self {
                digest,
                net,
                serial,
                history,
            },
            len: octets.len() - reader.rest.len(),
        };
        while let Some((NEXT, mut payload)) = reader.frame()
            && let Some(difference) = payload.difference()
        {
            read.journal.add(Arc::new(difference));
            read.len = octets.len() - reader.rest.len();
        }
        Ok(read)
    }

    /// Adds the next difference.
    pub fn add(&mut self, difference: Arc<Difference>) {
        self.net.fold(&difference);
        self.serial = difference.to_serial();
        self.history.push(difference);
    }
}

/// A difference as it is appended to a journal.
pub fn next_frame(difference: &Difference) -> Vec<u8> {
    let mut octets = Vec::new();
    frame(&mut octets, NEXT, |payload| {
        put_difference(payload, difference);
    });
    octets
}

fn frame(octets: &mut Vec<u8>, kind: u8, put: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = vec![kind];
    put(&mut payload);
    octets.extend((payload.len() as u32).to_be_bytes());
    octets.extend(checksum(&payload));
    octets.extend(payload);
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let digest = digest::digest(&digest::SHA256, payload);
    let mut checksum = [0; CHECKSUM_LEN];
    checksum.copy_from_slice(&digest.as_ref()[..CHECKSUM_LEN]);
    checksum
}

fn put_difference(payload: &mut Vec<u8>, difference: &Difference) {
    put_record(payload, &difference.before);
    put_records(payload, difference.removed.iter());
    put_record(payload, &difference.after);
    put_records(payload, difference.added.iter());
}

fn put_records<'a>(payload: &mut Vec<u8>, records: impl Iterator<Item = &'a Record>) {
    let at = payload.len();
    payload.extend([0; 4]);
    let mut n: u32 = 0;
    for record in records {
        put_record(payload, record);
        n += 1;
    }
    payload[at..at + 4].copy_from_slice(&n.to_be_bytes());
}

fn put_record(payload: &mut Vec<u8>, record: &Record) {
    payload.extend_from_slice(record.owner.wire());
    payload.extend(record.rtype.0.to_be_bytes());
    payload.extend(record.ttl.to_be_bytes());
    payload.extend((record.rdata.len() as u16).to_be_bytes());
    payload.extend_from_slice(&record.rdata);
}

/// What is left of a journal, or of a frame's payload.
struct Reader<'a> {
    rest: &'a [u8],
    file: &'a Arc<str>,
}

impl<'a> Reader<'a> {
    /// The next frame, unless it is cut off or damaged; nothing is taken then.
    fn frame(&mut self) -> Option<(u8, Self)> {
        let (len, rest) = self.rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk::<CHECKSUM_LEN>()?;
        let (payload, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        if checksum(payload) != *sum {
            return None;
        }
        let (kind, payload) = payload.split_first()?;
        self.rest = rest;
        let file = self.file;
        Some((
            *kind,
            Reader {
                rest: payload,
                file,
            },
        ))
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }

    fn name(&mut self) -> Option<Name> {
        let mut len = 0;
        while let Some(label @ 1..) = self.rest.get(len) {
            len += 1 + usize::from(*label);
        }
        let (name, rest) = self.rest.split_at_checked(len + 1)?;
        self.rest = rest;
        Name::from_wire(name).ok()
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let rtype = RrType(u16::from_be_bytes(*self.take()?));
        let ttl = u32::from_be_bytes(*self.take()?);
        let len = u16::from_be_bytes(*self.take()?);
        let (rdata, rest) = self.rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(Record {
            owner,
            rtype,
            ttl,
            rdata: rdata.into(),
            place: Place::file(self.file),
        })
    }

    fn records(&mut self) -> Option<Vec<Record>> {
        let n = u32::from_be_bytes(*self.take()?);
        (0..n).map(|_| self.record()).collect()
    }

    fn soa(&mut self) -> Option<Record> {
        let soa = self.record()?;
        (soa.rtype == RrType::SOA && soa.rdata.len() > 20).then_some(soa)
    }

    fn difference(&mut self) -> Option<Difference> {
        Some(Difference {
            before: self.soa()?,
            removed: self.records()?,
            after: self.soa()?,
            added: self.records()?,
        })
    }

    fn net(mut self) -> Option<(Net, u32)> {
        let serial = u32::from_be_bytes(*self.take()?);
        let mut net = Net {
            soa: self.records()?.pop(),
            ..Net::default()
        };
        let mut put = |records: Vec<Record>, mark: fn(&mut NetChange)| {
            for record in records {
                let change = net.changes.entry(key(&record)).or_insert(NetChange {
                    record,
                    is_in_file: false,
                    is_in_zone: false,
                });
                mark(change);
            }
        };
        put(self.records()?, |change| change.is_in_zone = true);
        put(self.records()?, |change| change.is_in_file = true);
        Some((net, serial))
    }
}
