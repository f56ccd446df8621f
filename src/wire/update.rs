//! `Update`: the sections of a dynamic update (RFC 2136 s2), read from any bytes.
//!
//! An update has the form of a query with other names for its sections: the zone in place of the question,
//! prerequisites in place of the answer, changes in place of the authority section. This file knows the
//! form alone; `zone::update` knows what the records mean.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::base::name::MAX_NAME_LEN;
use crate::base::name::Name;
use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::Opcode;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::wire::compress::name_end;
use crate::wire::compress::read_name;
use crate::wire::fault::Fault;
use crate::wire::header::HEADER_LEN;
use crate::wire::header::Header;
use crate::wire::query::Malformed;
use crate::wire::query::Query;
use crate::wire::query::Reject;
use crate::wire::record::Record;

/// Whether a message is an update; whether it is well-formed is for [`Update::parse`].
#[inline(always)] // Hot path: every message of a batch is looked at.
pub fn is_update(message: &[u8]) -> bool {
    const QR_AND_OPCODE: u8 = 0xF8;
    message
        .get(2)
        .is_some_and(|flags| flags & QR_AND_OPCODE == Opcode::UPDATE.0 << 3)
}

/// A well-formed update.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// Its zone as the question, its OPT and its TSIG.
    pub head: Query<'a>,
    /// What must hold before anything is changed.
    pub prerequisites: Section<'a>,
    /// What is changed.
    pub changes: Section<'a>,
}

/// Consecutive records of a message that are known to be well-formed.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    message: &'a [u8],
    /// From the first of them on.
    rest: &'a [u8],
    n: u16,
}

/// A record of an update.
#[derive(Clone, Debug)]
pub struct UpdateRecord<'a> {
    /// The owner name.
    pub owner: Name,
    /// The type.
    pub rtype: RrType,
    /// The zone's class, ANY or NONE, each with another meaning.
    pub class: Class,
    /// Seconds.
    pub ttl: u32,
    /// The data; names in it may be compressed.
    pub rdata: &'a [u8],
    message: &'a [u8],
    /// Where the data begins in the message.
    rdata_at: usize,
}

impl<'a> Update<'a> {
    /// Reads a message and folds the zone's name into `zone`, which means nothing after an error.
    ///
    /// # Errors
    /// [`Malformed`] says what the sender gets.
    pub fn parse(message: &'a [u8], zone: &mut QName) -> Result<Self, Malformed<'a>> {
        let (header, body) = Header::split(message).ok_or(Malformed::Drop(Fault::Short))?;
        let nothing = Section {
            message,
            rest: &[],
            n: 0,
        };
        let mut update = Self {
            head: Query::unread(),
            prerequisites: nothing,
            changes: nothing,
        };
        update.head.echo.id = header.id;
        update.head.echo.flags = header.flags;
        match update.read(message, header.counts, body, zone) {
            Ok(()) => Ok(update),
            Err(fault) => Err(Malformed::Reject(Reject {
                rcode: Rcode::FormErr,
                fault,
                echo: update.head.echo,
                has_opt: update.head.has_opt(),
            })),
        }
    }

    fn read(
        &mut self,
        message: &'a [u8],
        [n_zones, n_prerequisites, n_changes, n_additional]: [u16; 4],
        body: &'a [u8],
        zone: &mut QName,
    ) -> Result<(), Fault> {
        if n_zones != 1 {
            return Err(Fault::QuestionCount);
        }
        let mut rest = body;
        self.head.take_question(&mut rest, zone)?;
        self.prerequisites = Section::split_off(message, &mut rest, n_prerequisites)?;
        self.changes = Section::split_off(message, &mut rest, n_changes)?;
        for _ in 0..n_additional {
            let record = Record::split_off(message, &mut rest).ok_or(Fault::Record)?;
            self.head.take_additional(message, &record)?;
        }
        match rest {
            [] => Ok(()),
            _ => Err(Fault::Trailing),
        }
    }
}

impl<'a> Section<'a> {
    fn split_off(message: &'a [u8], rest: &mut &'a [u8], n: u16) -> Result<Self, Fault> {
        let section = Self { message, rest, n };
        for _ in 0..n {
            let record = Record::split_off(message, rest).ok_or(Fault::Record)?;
            if matches!(record.rtype, RrType::OPT | RrType::TSIG) {
                return Err(Fault::OptSection);
            }
        }
        Ok(section)
    }

    /// The records, in their order.
    pub fn records(&self) -> impl Iterator<Item = UpdateRecord<'a>> + use<'a> {
        let Self {
            message,
            mut rest,
            n,
            ..
        } = *self;
        (0..n).map_while(move |_| {
            let start = message.len().checked_sub(rest.len())?;
            let record = Record::split_off(message, &mut rest)?;
            let mut owner = [0; MAX_NAME_LEN];
            let owner = read_name(message, start, &mut owner)?;
            let end = message.len().checked_sub(rest.len())?;
            Some(UpdateRecord {
                owner: Name::from_wire(owner).ok()?,
                rtype: record.rtype,
                class: Class(record.class),
                ttl: u32::from_be_bytes(record.ttl),
                rdata: record.rdata,
                message,
                rdata_at: end.checked_sub(record.rdata.len())?,
            })
        })
    }
}

impl UpdateRecord<'_> {
    /// The name that begins at an offset of the data, its pointers followed, and how many octets of the data
    /// it takes; `None` if there is none, or it does not end inside the data.
    pub fn name_at(&self, offset: usize) -> Option<(Name, usize)> {
        let room = self.rdata.len().checked_sub(offset)?;
        let start = self.rdata_at.checked_add(offset)?;
        let len = name_end(self.message, start)?.checked_sub(start)?;
        let mut name = [0; MAX_NAME_LEN];
        let name = read_name(self.message, start, &mut name)?;
        (len <= room).then_some((Name::from_wire(name).ok()?, len))
    }
}

/// The zone that an update is about, whatever else is wrong with it.
pub fn zone_of(message: &[u8]) -> Option<Name> {
    let mut name = [0; MAX_NAME_LEN];
    Name::from_wire(read_name(message, HEADER_LEN, &mut name)?).ok()
}
