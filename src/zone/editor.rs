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
use crate::zone::check;
use crate::zone::computed::Computed;
use crate::zone::computed::SteeredTypes;
use crate::zone::computed::may_be_with_cname;
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
        self.keep_case();
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

    /// A record that was deleted and added again is the one of before, in whatever case its RDATA has names.
    fn keep_case(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for (owner, now) in &mut touched {
            let before = self.original(owner);
            for record in now {
                if let Some(old) = before.iter().find(|old| is_same(old, record)) {
                    record.rdata.clone_from(&old.rdata);
                }
            }
        }
        self.touched = touched;
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
        self.computed(name).is_some() || !self.records(name).is_empty()
    }

    fn has(&self, name: &Name, rtype: RrType) -> bool {
        let computed = self.computed(name);
        computed.is_some_and(|computed| computed.gives(rtype))
            || self.records(name).iter().any(|r| r.rtype == rtype)
    }

    /// What gives the data of a name that do not come from the zone.
    fn computed(&self, name: &Name) -> Option<Computed> {
        self.zone.node(&QName::from_name(name))?.computed()
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
        let computed = self.computed(owner);
        let is_excluded = |record: &Record| computed.is_some_and(|c| c.excludes(record.rtype));
        let has_own_hints = |r: &Record| check::has_own_hints(owner, r.rtype, &r.rdata);
        let is_apex = owner == self.zone.apex();
        let has_dname = |name: &Name| self.has(name, RrType::DNAME);
        let n_inside = owner.n_labels().saturating_sub(self.zone.apex().n_labels());
        let mut above = std::iter::successors(owner.parent(), Name::parent).take(n_inside);
        if let Some(computed) = computed.filter(|_| records.iter().any(is_excluded)) {
            Some(not_of_zone(computed))
        } else if computed.is_some_and(Computed::gives_hints) && records.iter().any(has_own_hints) {
            Some("the name is steered: its address hints come from pools")
        } else if has(RrType::CNAME)
            && (is_apex || !records.iter().all(|r| may_be_with_cname(r.rtype)))
        {
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
        match self.editor.computed(owner) {
            Some(computed) if computed.gives(rtype) => Err(refused(not_of_zone(computed))),
            _ => Ok(()),
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
            RrType::CNAME if !records.iter().all(|r| may_be_with_cname(r.rtype)) => return Ok(()),
            _ if has_cname && !may_be_with_cname(new.rtype) => return Ok(()),
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

/// Why records cannot be at a name, or be taken from it.
fn not_of_zone(computed: Computed) -> &'static str {
    match computed {
        Computed::Alias(_) => "the name is an alias: its addresses are its target's",
        Computed::Steered {
            types: SteeredTypes::Cname,
            ..
        } => "the name is steered: it has the CNAME of a pool and no other data",
        Computed::Steered { .. } => "the name is steered: its addresses come from pools",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::diag::Place;
    use crate::base::diag::Report;
    use crate::base::ix::SteeredIx;
    use crate::zone::ComputedOwner;
    use crate::zone::SteeredTypes;
    use crate::zone::journal::Journal;
    use crate::zone::journal::digest;
    use crate::zone::journal::next_frame;
    use crate::zone::master;

    const ZONE: &str = "$TTL 300\n@ SOA ns h 10 1 1 1 1\n@ NS ns.x.\n@ NS ns2.x.\na A 192.0.2.1\n\
         a A 192.0.2.2\nb CNAME a\nc.d TXT \"x\"\n";

    fn file() -> Arc<str> {
        "z".into()
    }

    fn apex() -> Name {
        Name::parse("z.").expect("a name")
    }

    fn read(text: &str) -> Vec<Record> {
        let mut report = Report::default();
        let mut include = |_: &str, _: &Arc<str>| Err(String::new());
        let records = master::read(&file(), text.as_bytes(), &apex(), &mut include, &mut report);
        assert!(!report.has_errors(), "{report}");
        records
    }

    fn zone(records: Vec<Record>, computed: &[ComputedOwner]) -> Option<Zone> {
        Zone::compile(&apex(), &file(), records, computed, &mut Report::default())
    }

    /// All records of a zone, sorted.
    fn contents(zone: &Zone) -> Vec<String> {
        let records = zone.iter().flat_map(|node| records_of(node, &file()));
        let mut contents: Vec<String> = records.map(|record| shown(&record)).collect();
        contents.sort();
        contents
    }

    fn shown(r: &Record) -> String {
        let owner = r.owner.to_string().to_ascii_lowercase();
        format!("{owner} {} {} {:02x?}", r.rtype, r.ttl, r.rdata)
    }

    fn update(changes: Vec<Change>) -> Update {
        Update {
            prerequisites: Vec::new(),
            changes,
        }
    }

    #[test]
    fn steered_names_keep_their_addresses_to_themselves() {
        let owner = Name::parse("app.z.").expect("a name");
        let steered = ComputedOwner {
            owner: owner.clone(),
            computed: Computed::Steered {
                ix: SteeredIx(0),
                types: SteeredTypes::default(),
            },
            place: Place::file(&file()),
        };
        let zone = zone(read(ZONE), &[steered]).expect("a sound zone");
        let add = |text| Change::Add(read(text).pop().expect("a record"));
        let prerequisite = |prerequisite| Update {
            prerequisites: vec![prerequisite],
            changes: Vec::new(),
        };
        let rcode = |update: &Update| {
            let result = Editor::new(&zone, &file()).apply(update, &|_, _| true);
            result.map_or_else(|refused| refused.rcode, |()| Rcode::NoError)
        };
        for (update, expected) in [
            (update(vec![add("app 1 A 192.0.2.1\n")]), Rcode::Refused),
            (update(vec![add("app 1 AAAA ::1\n")]), Rcode::Refused),
            (update(vec![add("app 1 CNAME a\n")]), Rcode::Refused),
            (
                update(vec![Change::DeleteRrset(owner.clone(), RrType::A)]),
                Rcode::Refused,
            ),
            (update(vec![add("app 1 TXT x\n")]), Rcode::NoError),
            (
                update(vec![Change::DeleteName(owner.clone())]),
                Rcode::NoError,
            ),
            (
                prerequisite(Prerequisite::NameInUse(owner.clone())),
                Rcode::NoError,
            ),
            (
                prerequisite(Prerequisite::NameNotInUse(owner.clone())),
                Rcode::YxDomain,
            ),
            (
                prerequisite(Prerequisite::RrsetExists(owner.clone(), RrType::A)),
                Rcode::NoError,
            ),
            (
                prerequisite(Prerequisite::RrsetMissing(owner.clone(), RrType::AAAA)),
                Rcode::YxRrset,
            ),
        ] {
            assert_eq!(rcode(&update), expected, "{update:?}");
        }
    }

    #[test]
    fn the_deletion_of_a_name_needs_leave_for_each_of_its_types() {
        let zone = zone(read(ZONE), &[]).expect("a sound zone");
        let owner = Name::parse("a.z.").expect("a name");
        let delete = update(vec![Change::DeleteName(owner)]);
        let result = |permitted| {
            Editor::new(&zone, &file())
                .apply(&delete, &|_, rtype| rtype == permitted)
                .is_ok()
        };
        assert!(result(RrType::A));
        assert!(!result(RrType::TXT));
    }

    #[test]
    fn updates_share_a_serial_and_what_they_undo_is_no_change() {
        let zone = zone(read(ZONE), &[]).expect("a sound zone");
        let record = read("new 60 TXT x\n").pop().expect("a record");
        let mut editor = Editor::new(&zone, &file());
        let add = update(vec![Change::Add(record.clone())]);
        let delete = update(vec![Change::DeleteRecord(record)]);
        for update in [&add, &delete] {
            editor.apply(update, &|_, _| true).expect("carried out");
        }
        assert_eq!(editor.difference(), None);
        let more = update(vec![Change::Add(
            read("more 60 TXT x\n").pop().expect("one"),
        )]);
        for update in [&add, &more] {
            editor.apply(update, &|_, _| true).expect("carried out");
        }
        let difference = editor.difference().expect("a change");
        assert_eq!((difference.from_serial(), difference.to_serial()), (10, 11));
        assert_eq!((difference.removed.len(), difference.added.len()), (0, 2));
    }

    #[test]
    fn a_record_added_again_in_another_case_is_no_change() {
        let zone = zone(read(ZONE), &[]).expect("a sound zone");
        let mut editor = Editor::new(&zone, &file());
        let cname = read("b 300 CNAME A\n").pop().expect("a record");
        let more = read("more 60 TXT x\n").pop().expect("a record");
        let changes = vec![
            Change::DeleteName(cname.owner.clone()),
            Change::Add(cname.clone()),
            Change::Add(more),
        ];
        editor
            .apply(&update(changes), &|_, _| true)
            .expect("carried out");
        let difference = editor.difference().expect("a change");
        assert_eq!((difference.removed.len(), difference.added.len()), (0, 1));
        let records = editor.into_records();
        let now = records
            .iter()
            .find(|r| r.owner == cname.owner && r.rtype == RrType::CNAME);
        assert_eq!(&*now.expect("a CNAME").rdata, b"\x01a\x01z\x00".as_slice());
    }

    fn record() -> impl Strategy<Value = Record> {
        const OWNERS: [&str; 8] = ["@", "a", "b", "c.d", "d", "*", "A", "e.a"];
        const DATAS: [&str; 14] = [
            "A 192.0.2.1",
            "A 192.0.2.2",
            "A 192.0.2.3",
            "TXT x",
            "TXT y",
            "CNAME a",
            "CNAME A",
            "NS ns.x.",
            "NS ns2.x.",
            "NS NS3.x.",
            "SOA ns h 11 1 1 1 1",
            "SOA ns h 20 2 2 2 2",
            "DNAME x.",
            "MX 1 a",
        ];
        let parts = (
            prop::sample::select(&OWNERS[..]),
            prop::sample::select(vec![60, 300]),
            prop::sample::select(&DATAS[..]),
        );
        parts.prop_map(|(owner, ttl, data)| {
            let text = format!("{owner} {ttl} IN {data}\n");
            read(&text).pop().expect("a record")
        })
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            3 => record().prop_map(Change::Add),
            2 => record().prop_map(Change::DeleteRecord),
            1 => record().prop_map(|r| Change::DeleteRrset(r.owner, r.rtype)),
            1 => record().prop_map(|r| Change::DeleteName(r.owner)),
        ]
    }

    proptest! {
        /// Zone by zone, and from the file with the journal on top: the same.
        #[test]
        fn a_journal_leads_from_the_file_to_the_zone(
            updates in prop::collection::vec(prop::collection::vec(change(), 1..4), 0..12),
            at in any::<prop::sample::Index>(),
        ) {
            let base = zone(read(ZONE), &[]).expect("a sound zone");
            let mut served = zone(read(ZONE), &[]).expect("a sound zone");
            let mut journal = Journal {
                digest: digest(&base),
                net: Net::default(),
                serial: served.serial(),
                history: Vec::new(),
            };
            let mut octets = journal.to_octets(&apex());
            let first_len = octets.len();
            let mut ends = vec![first_len];
            for changes in updates {
                let mut editor = Editor::new(&served, &file());
                if editor.apply(&update(changes), &|_, _| true).is_err() {
                    prop_assert_eq!(editor.difference(), None);
                    continue;
                }
                let Some(difference) = editor.difference() else { continue };
                let Some(next) = zone(editor.into_records(), &[]) else { continue };
                prop_assert!(serial::is_newer(next.serial(), served.serial()));
                let mut expected = contents(&served);
                let [removed, added] = [&difference.removed, &difference.added]
                    .map(|records| records.iter().map(shown).collect::<Vec<_>>());
                expected.retain(|r| !removed.contains(r) && !r.contains(" SOA "));
                expected.extend(added);
                expected.sort();
                let mut found = contents(&next);
                found.retain(|r| !r.contains(" SOA "));
                prop_assert_eq!(found, expected, "the difference says what has changed");
                octets.extend(next_frame(&difference));
                ends.push(octets.len());
                journal.add(Arc::new(difference));
                served = next;
            }
            let read = Journal::read(&octets, &apex(), &file()).expect("a journal");
            prop_assert_eq!(&read.journal, &journal);
            let mut editor = Editor::new(&base, &file());
            let (net, dropped) = editor.overlay(&journal.net);
            prop_assert!(dropped.is_empty(), "{:?}", dropped);
            prop_assert_eq!(&net, &journal.net);
            editor.set_soa(net.soa(), journal.serial);
            let again = zone(editor.into_records(), &[]).expect("a sound zone");
            prop_assert_eq!(contents(&again), contents(&served));

            // Written anew it says the same, and cut off anywhere what was before the cut.
            let compact = Journal::read(&journal.to_octets(&apex()), &apex(), &file());
            prop_assert_eq!(&compact.expect("a journal").journal, &journal);
            let cut = at.index(octets.len());
            match Journal::read(&octets[..cut], &apex(), &file()) {
                Ok(read) => {
                    let last = ends.iter().rfind(|end| **end <= cut).copied();
                    prop_assert_eq!(Some(read.len), last);
                }
                Err(_) => prop_assert!(cut < first_len),
            }
        }
    }
}
