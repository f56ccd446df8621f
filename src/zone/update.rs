//! What a dynamic update asks for (RFC 2136 s2.4, s2.5).
//!
//! [`Update::read`] turns the sections of a message into what they mean, or into the RCODE of what is wrong
//! with them (s3.2.5, s3.4.1.3): all that can be said without looking into the zone. `editor` does the rest.

use std::sync::Arc;

use crate::base::diag::Place;
use crate::base::name::Name;
use crate::base::rr::Class;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::wire::update;
use crate::wire::update::UpdateRecord;
use crate::zone::master::Record;
use crate::zone::rdata;

/// The highest TTL (RFC 2181 s8).
const MAX_TTL: u32 = 0x7FFF_FFFF;

/// Why an update changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What its sender gets.
    pub rcode: Rcode,
    /// The same in words.
    pub reason: &'static str,
}

/// An update whose sections are well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub(super) prerequisites: Vec<Prerequisite>,
    pub(super) changes: Vec<Change>,
}

/// What must hold (RFC 2136 s2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Prerequisite {
    NameInUse(Name),
    NameNotInUse(Name),
    RrsetExists(Name, RrType),
    RrsetMissing(Name, RrType),
    /// Together with the others of its owner and type, the whole RRset.
    RecordExists(Record),
}

/// What is to be changed (RFC 2136 s2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Add(Record),
    DeleteName(Name),
    DeleteRecord(Record),
    DeleteRrset(Name, RrType),
}

/// FORMERR with its reason.
const fn form_err(reason: &'static str) -> Refused {
    Refused {
        rcode: Rcode::FormErr,
        reason,
    }
}

/// REFUSED with its reason.
pub(super) const fn refused(reason: &'static str) -> Refused {
    Refused {
        rcode: Rcode::Refused,
        reason,
    }
}

const OUTSIDE: Refused = Refused {
    rcode: Rcode::NotZone,
    reason: "an owner name is outside the zone",
};

impl Update {
    /// Reads the sections of an update of a zone, as if they stood in `file`.
    ///
    /// # Errors
    /// [`Refused`] with FORMERR or NOTZONE.
    pub fn read(
        message: &update::Update<'_>,
        apex: &Name,
        file: &Arc<str>,
    ) -> Result<Self, Refused> {
        let prerequisites = message.prerequisites.records();
        let changes = message.changes.records();
        Ok(Self {
            prerequisites: prerequisites
                .map(|record| Prerequisite::read(record, apex, file))
                .collect::<Result<_, _>>()?,
            changes: changes
                .map(|record| Change::read(record, apex, file))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Takes TXT records from an owner, and gives it others. A text is at most 65,000 octets.
    pub fn of_texts<'a>(
        owner: &Name,
        ttl: u32,
        removed: impl Iterator<Item = &'a str>,
        added: impl Iterator<Item = &'a str>,
        file: &Arc<str>,
    ) -> Self {
        let record = |text: &str| Record {
            owner: owner.clone(),
            rtype: RrType::TXT,
            ttl,
            rdata: rdata::text_of(text),
            place: Place::file(file),
        };
        let removed = removed.map(|text| Change::DeleteRecord(record(text)));
        let added = added.map(|text| Change::Add(record(text)));
        Self {
            prerequisites: Vec::new(),
            changes: removed.chain(added).collect(),
        }
    }

    /// The owners and types that it changes; `None` for all types of an owner.
    pub fn targets(&self) -> impl Iterator<Item = (&Name, Option<RrType>)> {
        self.changes.iter().map(|change| match change {
            Change::Add(record) | Change::DeleteRecord(record) => {
                (&record.owner, Some(record.rtype))
            }
            Change::DeleteName(owner) => (owner, None),
            Change::DeleteRrset(owner, rtype) => (owner, Some(*rtype)),
        })
    }
}

impl Prerequisite {
    /// RFC 2136 s3.2.
    fn read(record: UpdateRecord<'_>, apex: &Name, file: &Arc<str>) -> Result<Self, Refused> {
        if record.ttl != 0 {
            return Err(form_err("a prerequisite has a TTL"));
        }
        if !record.owner.is_at_or_below(apex) {
            return Err(OUTSIDE);
        }
        let is_any = record.rtype == RrType::ANY;
        if record.rtype.is_meta() && !is_any {
            return Err(form_err("a prerequisite is of a type that is no data"));
        }
        match record.class {
            Class::ANY | Class::NONE if !record.rdata.is_empty() => {
                Err(form_err("a prerequisite of class ANY or NONE has data"))
            }
            Class::ANY if is_any => Ok(Self::NameInUse(record.owner)),
            Class::ANY => Ok(Self::RrsetExists(record.owner, record.rtype)),
            Class::NONE if is_any => Ok(Self::NameNotInUse(record.owner)),
            Class::NONE => Ok(Self::RrsetMissing(record.owner, record.rtype)),
            Class::IN => Ok(Self::RecordExists(data(record, file)?)),
            _ => Err(form_err("a prerequisite has another class than the zone")),
        }
    }
}

impl Change {
    /// RFC 2136 s3.4.1.
    fn read(record: UpdateRecord<'_>, apex: &Name, file: &Arc<str>) -> Result<Self, Refused> {
        if !record.owner.is_at_or_below(apex) {
            return Err(OUTSIDE);
        }
        let is_any = record.rtype == RrType::ANY;
        if record.rtype.is_meta() && !(is_any && record.class == Class::ANY) {
            return Err(form_err("a change is of a type that is no data"));
        }
        match record.class {
            Class::ANY | Class::NONE if record.ttl != 0 => Err(form_err("a deletion has a TTL")),
            Class::ANY if !record.rdata.is_empty() => {
                Err(form_err("the deletion of an RRset has data"))
            }
            Class::ANY if is_any => Ok(Self::DeleteName(record.owner)),
            Class::ANY => Ok(Self::DeleteRrset(record.owner, record.rtype)),
            Class::NONE => Ok(Self::DeleteRecord(data(record, file)?)),
            Class::IN => Ok(Self::Add(data(record, file)?)),
            _ => Err(form_err("a change has another class than the zone")),
        }
    }
}

/// The record with its data.
fn data(record: UpdateRecord<'_>, file: &Arc<str>) -> Result<Record, Refused> {
    let rdata = rdata::of_update(&record).ok_or(form_err("record data does not fit its type"))?;
    Ok(Record {
        // Those with the highest bit set mean 0 (RFC 2181 s8).
        ttl: if record.ttl <= MAX_TTL { record.ttl } else { 0 },
        rtype: record.rtype,
        owner: record.owner,
        rdata,
        place: Place::file(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::qname::QName;

    /// An update of `z.` with these records behind the zone section, as changes.
    fn message(n: u8, records: &[u8]) -> Vec<u8> {
        let head = [0, 1, 0x28, 0, 0, 1, 0, 0, 0, n, 0, 0];
        [&head[..], b"\x01z\0\0\x06\0\x01", records].concat()
    }

    fn read(message: &[u8]) -> Result<Update, Rcode> {
        let mut zone = QName::root();
        let message = update::Update::parse(message, &mut zone).map_err(|_| Rcode::FormErr)?;
        let apex = Name::parse("z.").expect("a name");
        Update::read(&message, &apex, &"z".into()).map_err(|refused| refused.rcode)
    }

    #[test]
    fn compressed_names_are_read_wherever_they_stand() {
        // a.z. MX 1 m.z., with pointers to the zone in owner and data.
        let mx = b"\x01a\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x06\0\x01\x01m\xc0\x0c";
        let update = read(&message(1, mx)).expect("an update");
        let [Change::Add(record)] = &*update.changes else {
            panic!("{update:?}");
        };
        assert_eq!(record.owner.to_string(), "a.z.");
        assert_eq!((record.rtype, record.ttl), (RrType::MX, 60));
        assert_eq!(&*record.rdata, b"\0\x01\x01m\x01z\0");
    }

    #[test]
    fn data_that_does_not_fit_its_type_is_refused() {
        let with_data = |rtype: u8, data: &[u8]| {
            let head = b"\x01a\xc0\x0c\0";
            let len = [0, data.len() as u8];
            [head, &[rtype][..], b"\0\x01\0\0\0\x3c", &len, data].concat()
        };
        for (what, rtype, data) in [
            ("an address of three octets", 1, &[192, 0, 2][..]),
            ("an address of five octets", 1, &[192, 0, 2, 1, 1]),
            ("no data", 1, &[]),
            ("a text that is cut off", 16, b"\x05abc"),
            ("a name that is cut off", 5, b"\x05abc"),
            ("a pointer forwards", 5, b"\xc0\xff"),
            ("a pointer to itself", 5, b"\xc0\x21"),
            ("a pointer that is cut off", 5, b"\xc0"),
            ("octets behind a name", 5, b"\xc0\x0c\0"),
            ("half an SOA", 6, b"\0\0\0\0\0\x01"),
        ] {
            let message = message(1, &with_data(rtype, data));
            assert_eq!(read(&message), Err(Rcode::FormErr), "{what}");
        }
        let sound = with_data(1, &[192, 0, 2, 1]);
        assert!(read(&message(1, &sound)).is_ok());
        // One record that the message does not have, and one too many.
        assert_eq!(read(&message(2, &sound)), Err(Rcode::FormErr));
        assert_eq!(read(&message(0, &sound)), Err(Rcode::FormErr));
        for len in 0..sound.len() {
            assert!(read(&message(1, &sound[..len])).is_err(), "{len} octets");
        }
    }
}
