//! `Editor`: carries out dynamic updates of one zone (RFC 2136 s3).
//!
//! It tests prerequisites (s3.2) and makes changes (s3.4.2) on a draft of those owners that are touched, so
//! that what fails leaves no trace. Its result is one [`Difference`] for all updates that it has taken.
//!
//! Beyond the RFC: a record that is added gives its TTL to the whole RRset (RFC 2181 s5.2), DNAME is replaced as
//! CNAME is, and what the zone could not be served with is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::base::serial;
use crate::zone::difference::Difference;
use crate::zone::difference::Net;
use crate::zone::difference::NetChange;
use crate::zone::difference::is_same;
use crate::zone::difference::records_of;
use crate::zone::difference::soa_serial;
use crate::zone::difference::with_serial;
use crate::zone::master::Record;
use crate::zone::update::Change;
use crate::zone::update::Prerequisite;
use crate::zone::update::Refused;
use crate::zone::update::Update;
use crate::zone::update::refused;
use crate::zone::zone::Zone;

/// Takes updates of one zone.
#[derive(Debug)]
pub struct Editor<'z> {
    zone: &'z Zone,
    file: Arc<str>,
    /// What is at owners that have been touched.
    touched: BTreeMap<Name, Vec<Record>>,
    /// Whether an update has set the serial.
    is_serial_set: bool,
}

/// Who may change which type at a name.
pub type Permits<'a> = dyn Fn(&Name, RrType) -> bool + 'a;

impl<'z> Editor<'z> {
    /// An editor of a zone; `file` is what diagnostics about its records point at.
    pub fn new(zone: &'z Zone, file: &Arc<str>) -> Self {
        Self {
            zone,
            file: Arc::clone(file),
            touched: BTreeMap::new(),
            is_serial_set: false,
        }
    }

    /// Carries out an update, all of it or nothing.
    ///
    /// # Errors
    /// [`Refused`] with the RCODE of RFC 2136 s3; nothing has changed then.
    pub fn apply(&mut self, update: &Update, permits: &Permits<'_>) -> Result<(), Refused> {
        self.test(&update.prerequisites)?;
        let mut draft = Draft {
            editor: self,
            touched: BTreeMap::new(),
            is_serial_set: false,
        };
        for change in &update.changes {
            draft.change(change, permits)?;
        }
        let Draft {
            touched,
            is_serial_set,
            ..
        } = draft;
        for (owner, records) in &touched {
            if let Some(reason) = self.conflict(owner, records) {
                return Err(refused(reason));
            }
        }
        self.touched.extend(touched);
        self.is_serial_set |= is_serial_set;
        Ok(())
    }

    /// Puts earlier updates on top of the zone file. Returns what of them is still to be kept, and those
    /// records that cannot be added any more, with the reason.
    pub fn overlay(&mut self, net: &Net) -> (Net, Vec<(Record, &'static str)>) {
        let mut kept = Net {
            soa: net.soa.clone(),
            ..Net::default()
        };
        let mut dropped = Vec::new();
        let changes: Vec<_> = net.changes.iter().collect();
        for changes in changes.chunk_by(|((a, ..), _), ((b, ..), _)| a == b) {
            let Some(((owner, ..), _)) = changes.first() else {
                continue;
            };
            let in_file = self.records(owner);
            let mut records = in_file.clone();
            for (_, change) in changes {
                records.retain(|record| !is_same(record, &change.record));
                records.extend(change.is_in_zone.then(|| change.record.clone()));
            }
            if let Some(reason) = self.conflict(owner, &records) {
                let added = changes.iter().filter(|(_, change)| change.is_in_zone);
                dropped.extend(added.map(|(_, change)| (change.record.clone(), reason)));
                continue;
            }
            for (key, change) in changes {
                let is_in_file = in_file.iter().any(|r| is_same(r, &change.record));
                if is_in_file || change.is_in_zone {
                    let change = (*change).clone();
                    kept.changes.insert(
                        (*key).clone(),
                        NetChange {
                            is_in_file,
                            ..change
                        },
                    );
                }
            }
            self.touched.insert(owner.clone(), records);
        }
        (kept, dropped)
    }

    /// Gives the zone a serial, and what else an update has set of the SOA.
    pub fn set_soa(&mut self, soa: Option<&Record>, serial: u32) {
        let apex = self.zone.apex();
        let mut records = self.records(apex);
        for record in records.iter_mut().filter(|r| r.rtype == RrType::SOA) {
            *record = with_serial(soa.unwrap_or(record), serial);
        }
        self.touched.insert(apex.clone(), records);
        self.is_serial_set = true;
    }

    /// What the updates change; `None` for nothing. The serial goes up, unless an update has set it.
    pub fn difference(&mut self) -> Option<Difference> {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (owner, now) in &self.touched {
            let before = self.original(owner);
            let missing = |records: &[Record], record: &&Record| {
                !records
                    .iter()
                    .any(|r| is_same(r, record) && r.ttl == record.ttl)
            };
            removed.extend(before.iter().filter(|r| missing(now, r)).cloned());
            added.extend(now.iter().filter(|r| missing(&before, r)).cloned());
        }
        if removed.is_empty() && added.is_empty() {
            return None;
        }
        let soa_of = |records: Vec<Record>| records.into_iter().find(|r| r.rtype == RrType::SOA);
        let before = soa_of(self.original(self.zone.apex()))?;
        if !self.is_serial_set {
            let serial = serial::next(soa_serial(&before.rdata));
            self.set_soa(None, serial);
        }
        let after = soa_of(self.records(self.zone.apex()))?;
        let without_soa = |mut records: Vec<Record>| {
            records.retain(|r| r.rtype != RrType::SOA);
            records
        };
        Some(Difference {
            before,
            removed: without_soa(removed),
            after,
            added: without_soa(added),
        })
    }

    /// All records of the zone with the changes, in no order.
    pub fn into_records(self) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.zone.n_records());
        for node in self.zone {
            // Most owners have not been touched, and need not be looked for.
            if self.touched.is_empty() || !self.touched.contains_key(&node.to_name()) {
                records.extend(records_of(node, &self.file));
            }
        }
        records.extend(self.touched.into_values().flatten());
        records
    }

    /// Tests prerequisites (RFC 2136 s3.2.5).
    fn test(&self, prerequisites: &[Prerequisite]) -> Result<(), Refused> {
        let fail = |rcode, reason| Err(Refused { rcode, reason });
        let mut wanted: BTreeMap<(&Name, RrType), Vec<&Record>> = BTreeMap::new();
        for prerequisite in prerequisites {
            match prerequisite {
                Prerequisite::NameInUse(name) if !self.is_in_use(name) => {
                    return fail(Rcode::NxDomain, "a name that must be in use is not");
                }
                Prerequisite::NameNotInUse(name) if self.is_in_use(name) => {
                    return fail(Rcode::YxDomain, "a name that must not be in use is");
                }
                Prerequisite::RrsetExists(name, rtype) if !self.has(name, *rtype) => {
                    return fail(Rcode::NxRrset, "an RRset that must exist does not");
                }
                Prerequisite::RrsetMissing(name, rtype) if self.has(name, *rtype) => {
                    return fail(Rcode::YxRrset, "an RRset that must not exist does");
                }
                Prerequisite::RecordExists(record) => {
                    let set = wanted.entry((&record.owner, record.rtype)).or_default();
                    if !set.iter().any(|r| is_same(r, record)) {
                        set.push(record);
                    }
                }
                _ => {}
            }
        }
        for ((owner, rtype), wanted) in wanted {
            let mut records = self.records(owner);
            records.retain(|record| record.rtype == rtype);
            let is_there = |wanted: &&Record| records.iter().any(|r| is_same(r, wanted));
            if records.len() != wanted.len() || !wanted.iter().all(is_there) {
                return fail(Rcode::NxRrset, "an RRset differs from what it must be");
            }
        }
        Ok(())
    }

    fn is_in_use(&self, name: &Name) -> bool {
        self.is_steered(name) || !self.records(name).is_empty()
    }

    fn has(&self, name: &Name, rtype: RrType) -> bool {
        let is_address = matches!(rtype, RrType::A | RrType::AAAA);
        is_address && self.is_steered(name) || self.records(name).iter().any(|r| r.rtype == rtype)
    }

    fn is_steered(&self, name: &Name) -> bool {
        let node = self.zone.node(&QName::from_name(name));
        node.is_some_and(|node| node.steered().is_some())
    }

    /// What the zone has at an owner, without the changes.
    fn original(&self, owner: &Name) -> Vec<Record> {
        let node = self.zone.node(&QName::from_name(owner));
        node.map_or(Vec::new(), |node| records_of(node, &self.file))
    }

    fn records(&self, owner: &Name) -> Vec<Record> {
        match self.touched.get(owner) {
            Some(records) => records.clone(),
            None => self.original(owner),
        }
    }

    /// Why these records cannot be at an owner of this zone.
    fn conflict(&self, owner: &Name, records: &[Record]) -> Option<&'static str> {
        let has = |rtype| records.iter().any(|record| record.rtype == rtype);
        let is_steered = self.is_steered(owner);
        let is_apex = owner == self.zone.apex();
        let has_dname = |name: &Name| self.has(name, RrType::DNAME);
        let n_inside = owner.n_labels().saturating_sub(self.zone.apex().n_labels());
        let mut above = std::iter::successors(owner.parent(), Name::parent).take(n_inside);
        if is_steered
            && [RrType::A, RrType::AAAA, RrType::CNAME]
                .into_iter()
                .any(has)
        {
            Some("the name is steered: its addresses come from pools")
        } else if has(RrType::CNAME) && (is_apex || !records.iter().all(may_be_with_cname)) {
            Some("a CNAME cannot be beside other records")
        } else if !is_apex && has(RrType::DNAME) && has(RrType::NS) {
            Some("a DNAME cannot be beside NS records below the apex")
        } else if owner.is_wildcard() && has(RrType::NS) {
            Some("a wildcard cannot have NS records")
        } else if !records.is_empty() && above.any(|name| has_dname(&name)) {
            Some("the name is below a DNAME")
        } else {
            None
        }
    }
}

/// The changes of one update.
struct Draft<'e, 'z> {
    editor: &'e Editor<'z>,
    touched: BTreeMap<Name, Vec<Record>>,
    is_serial_set: bool,
}

impl Draft<'_, '_> {
    /// What is at an owner, to be changed.
    fn at(&mut self, owner: &Name) -> &mut Vec<Record> {
        let editor = self.editor;
        let touched = self.touched.entry(owner.clone());
        touched.or_insert_with(|| editor.records(owner))
    }

    /// Makes one change (RFC 2136 s3.4.2).
    fn change(&mut self, change: &Change, permits: &Permits<'_>) -> Result<(), Refused> {
        let apex = self.editor.zone.apex();
        match change {
            Change::Add(record) => self.add(record),
            Change::DeleteName(owner) => {
                let stays = |rtype| owner == apex && matches!(rtype, RrType::SOA | RrType::NS);
                let records = self.at(owner);
                if !records
                    .iter()
                    .all(|r| stays(r.rtype) || permits(owner, r.rtype))
                {
                    return Err(refused("the name has types that the key may not change"));
                }
                records.retain(|record| stays(record.rtype));
                Ok(())
            }
            Change::DeleteRrset(owner, rtype) => {
                let stays = owner == apex && matches!(*rtype, RrType::SOA | RrType::NS);
                self.deletable(owner, *rtype)?;
                self.at(owner)
                    .retain(|record| stays || record.rtype != *rtype);
                Ok(())
            }
            Change::DeleteRecord(unwanted) => {
                let Record { owner, rtype, .. } = unwanted;
                self.deletable(owner, *rtype)?;
                let is_apex = owner == apex;
                let records = self.at(owner);
                let n_ns = records.iter().filter(|r| r.rtype == RrType::NS).count();
                let stays = *rtype == RrType::SOA || is_apex && *rtype == RrType::NS && n_ns == 1;
                records.retain(|record| stays || !is_same(record, unwanted));
                Ok(())
            }
        }
    }

    /// Pools cannot be changed by an update, and it must not look as if they had been.
    fn deletable(&self, owner: &Name, rtype: RrType) -> Result<(), Refused> {
        let is_address = matches!(rtype, RrType::A | RrType::AAAA);
        match is_address && self.editor.is_steered(owner) {
            true => Err(refused(
                "the name is steered: its addresses come from pools",
            )),
            false => Ok(()),
        }
    }

    /// Adds a record (RFC 2136 s3.4.2.2).
    fn add(&mut self, new: &Record) -> Result<(), Refused> {
        let is_apex = new.owner == *self.editor.zone.apex();
        let records = self.at(&new.owner);
        let has_cname = records.iter().any(|r| r.rtype == RrType::CNAME);
        match new.rtype {
            RrType::RRSIG | RrType::NSEC | RrType::NSEC3 => {
                return Err(refused(
                    "signatures and denials of existence cannot be added",
                ));
            }
            RrType::SOA => {
                let old = records.iter_mut().find(|r| r.rtype == RrType::SOA);
                if let Some(old) = old.filter(|_| is_apex)
                    && serial::is_newer(soa_serial(&new.rdata), soa_serial(&old.rdata))
                {
                    *old = new.clone();
                    self.is_serial_set = true;
                }
                return Ok(());
            }
            RrType::CNAME if !records.iter().all(may_be_with_cname) => return Ok(()),
            _ if has_cname && !may_be_with_cname(new) => return Ok(()),
            _ => {}
        }
        let replaces = |old: &Record| {
            old.rtype == new.rtype
                && match new.rtype {
                    RrType::CNAME | RrType::DNAME => true,
                    // Address and protocol.
                    RrType::WKS => old.rdata.get(..5) == new.rdata.get(..5),
                    _ => is_same(old, new),
                }
        };
        // One that is there already stays where it is, so that nothing but a TTL changes.
        match records.iter_mut().find(|old| replaces(old)) {
            Some(old) if is_same(old, new) => {}
            Some(old) => *old = new.clone(),
            None => records.push(new.clone()),
        }
        for record in records.iter_mut().filter(|r| r.rtype == new.rtype) {
            record.ttl = new.ttl;
        }
        Ok(())
    }
}

/// RFC 2181 s10.1, RFC 4034 s4.
fn may_be_with_cname(record: &Record) -> bool {
    let types = [
        RrType::CNAME,
        RrType::RRSIG,
        RrType::NSEC,
        RrType::KEY,
        RrType::SIG,
    ];
    types.contains(&record.rtype)
}
