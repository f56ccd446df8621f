//! `Query`: one well-formed question with its EDNS, read from any bytes.
//!
//! The parser is strict, because a nameserver's clients are resolvers: what the RFCs leave to taste
//! is decided as NSD, Knot or BIND decide it.
//!
//! - Less than a header, and responses, are dropped: answering those lets two servers talk forever.
//! - Another opcode than QUERY is NOTIMP with nothing but a header, whatever the rest looks like.
//! - Not exactly one question is FORMERR (RFC 9619 s4), save that a query without one may ask for a
//!   cookie (RFC 7873 s5.4). So is a compressed or too long qname: there is nothing in front to point
//!   at.
//! - Records in answer or authority are FORMERR (NSD), save the SOA that an IXFR query brings.
//! - Additional records other than OPT are walked over (Knot, BIND; NSD refuses them). A TSIG must be
//!   the last (RFC 8945 s5.1), an OPT the only one and at the root (RFC 6891 s6.1.1).
//! - Bytes after the last record are FORMERR (Knot; BIND and NSD ignore them).

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::base::qname::QName;
use crate::base::rr::Class;
use crate::base::rr::Opcode;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::wire::compress::split_name;
use crate::wire::edns::Edns;
use crate::wire::fault::Fault;
use crate::wire::header::Flags;
use crate::wire::header::HEADER_LEN;
use crate::wire::header::Header;
use crate::wire::record::Record;
use crate::wire::tsig::Tsig;

/// Whether a message's only question is for a zone transfer; what else is wrong with it is for
/// [`Query::parse`].
pub fn asks_for_transfer(message: &[u8]) -> bool {
    let question = message.get(HEADER_LEN..).and_then(split_name);
    let qtype = question.and_then(|(_, rest)| rest.first_chunk::<2>());
    let qtype = qtype.map(|octets| RrType(u16::from_be_bytes(*octets)));
    matches!(qtype, Some(RrType::AXFR | RrType::IXFR))
}

/// A query that can be answered; its qname is in the [`QName`] that it was parsed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// What its response repeats.
    pub echo: Echo<'a>,
    /// The type asked for; means nothing without a question.
    pub qtype: RrType,
    /// The class asked for.
    pub qclass: Class,
    /// What the OPT says; `None` for a client without EDNS.
    pub edns: Option<Edns<'a>>,
    /// Whether the query ends with a TSIG, which is well-formed but not verified.
    pub has_tsig: bool,
    /// The serial that the client of an IXFR has (RFC 1995 s3).
    pub ixfr_serial: Option<u32>,
    /// Whether there was an OPT, whatever became of it.
    has_opt: bool,
}

/// What every response repeats from its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// The message's id.
    pub id: u16,
    /// The query's flags, of which opcode, RD and CD are repeated.
    pub flags: Flags,
    /// The question as sent, in its case (RFC 1035 s4.1.2; 0x20 mixing): qname, qtype, qclass; empty
    /// if there is none that could be read.
    pub question: &'a [u8],
}

/// A message that is no query we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed<'a> {
    /// Gets no response.
    Drop(Fault),
    /// Gets an error response.
    Reject(Reject<'a>),
}

/// What the error response to a malformed query is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    /// FORMERR or NOTIMP.
    pub rcode: Rcode,
    /// What is wrong.
    pub fault: Fault,
    /// What the response repeats.
    pub echo: Echo<'a>,
    /// Whether an OPT was read, so that the response must have one too (RFC 6891 s7).
    pub has_opt: bool,
}

impl<'a> Query<'a> {
    /// Whether it has no question and only asks for a cookie (RFC 7873 s5.4).
    pub fn is_for_cookie(&self) -> bool {
        self.echo.question.is_empty()
    }

    /// Whether there was an OPT, whatever became of it.
    pub(super) fn has_opt(&self) -> bool {
        self.has_opt
    }

    fn is_ixfr_with_serial(&self, nscount: u16) -> bool {
        self.qtype == RrType::IXFR && nscount == 1 && self.ixfr_serial.is_some()
    }

    /// Reads a message and folds its qname into `qname`, which means nothing after an error.
    ///
    /// # Errors
    /// [`Malformed`] says what the sender gets.
    pub fn parse(message: &'a [u8], qname: &mut QName) -> Result<Self, Malformed<'a>> {
        let mut query = Self::unread();
        query.read(message, qname)?;
        Ok(query)
    }

    /// A query for [`Self::read`].
    pub fn unread() -> Self {
        Self {
            echo: Echo {
                id: 0,
                flags: Flags(0),
                question: &[],
            },
            qtype: RrType(0),
            qclass: Class(0),
            edns: None,
            has_tsig: false,
            ixfr_serial: None,
            has_opt: false,
        }
    }

    /// The same as [`Self::parse`] in place, into an unread query: moving a query that has just been
    /// written field by field is a wide load after narrow stores, a store-to-load forwarding stall
    /// (benches/answer.rs measures it).
    ///
    /// # Errors
    /// [`Malformed`] says what the sender gets.
    pub fn read(&mut self, message: &'a [u8], qname: &mut QName) -> Result<(), Malformed<'a>> {
        let (header, body) = Header::split(message).ok_or(Malformed::Drop(Fault::Short))?;
        if header.flags.is_response() {
            return Err(Malformed::Drop(Fault::Response));
        }
        self.echo.id = header.id;
        self.echo.flags = header.flags;
        let (rcode, fault) = match header.flags.opcode() {
            Opcode::QUERY => match self.take_body(message, header.counts, body, qname) {
                Ok(()) => return Ok(()),
                Err(fault) => (Rcode::FormErr, fault),
            },
            _ => (Rcode::NotImp, Fault::Opcode),
        };
        Err(Malformed::Reject(Reject {
            rcode,
            fault,
            echo: self.echo,
            has_opt: self.has_opt,
        }))
    }

    /// Reads what follows the header; after an error it holds what is known so far.
    fn take_body(
        &mut self,
        message: &'a [u8],
        [qdcount, ancount, nscount, arcount]: [u16; 4],
        body: &'a [u8],
        qname: &mut QName,
    ) -> Result<(), Fault> {
        let mut rest = body;
        match qdcount {
            0 => {}
            1 => self.take_question(&mut rest, qname)?,
            _ => return Err(Fault::QuestionCount),
        }
        let n_early = u32::from(ancount).saturating_add(u32::from(nscount));
        for _ in 0..n_early {
            let record = Record::split_off(message, &mut rest).ok_or(Fault::Record)?;
            if record.rtype == RrType::OPT {
                self.has_opt = true;
                return Err(Fault::OptSection);
            }
            if record.rtype == RrType::SOA {
                self.ixfr_serial = record.soa_serial();
            }
        }
        for _ in 0..arcount {
            let record = Record::split_off(message, &mut rest).ok_or(Fault::Record)?;
            self.take_additional(message, &record)?;
        }
        // The counts are judged only now, because an OPT behind them must have been seen.
        if !rest.is_empty() {
            Err(Fault::Trailing)
        } else if qdcount == 0 && self.edns.is_none_or(|edns| edns.cookie.is_none()) {
            Err(Fault::QuestionCount)
        } else if n_early > 0 && (ancount != 0 || !self.is_ixfr_with_serial(nscount)) {
            Err(Fault::SectionCount)
        } else {
            Ok(())
        }
    }

    /// Reads the question, or what stands in its place.
    pub(super) fn take_question(
        &mut self,
        rest: &mut &'a [u8],
        qname: &mut QName,
    ) -> Result<(), Fault> {
        let name_len = qname.set_wire(rest).map_err(|_| Fault::Question)?;
        let (question, after) = rest
            .split_at_checked(name_len.saturating_add(4))
            .ok_or(Fault::Question)?;
        let &[type0, type1, class0, class1] = question.last_chunk().ok_or(Fault::Question)?;
        self.echo.question = question;
        self.qtype = RrType(u16::from_be_bytes([type0, type1]));
        self.qclass = Class(u16::from_be_bytes([class0, class1]));
        *rest = after;
        Ok(())
    }

    /// Takes what matters of a record of the additional section.
    pub(super) fn take_additional(
        &mut self,
        message: &'a [u8],
        record: &Record<'a>,
    ) -> Result<(), Fault> {
        if self.has_tsig {
            return Err(Fault::TsigPlace);
        }
        match record.rtype {
            RrType::OPT if self.has_opt => return Err(Fault::OptCount),
            RrType::OPT => {
                self.has_opt = true;
                if !record.is_at_root {
                    return Err(Fault::OptOwner);
                }
                let edns = self.edns.insert(Edns::of(record.class, record.ttl));
                edns.take_options(record.rdata)?;
            }
            RrType::TSIG => {
                Tsig::read(message, record).ok_or(Fault::Tsig)?;
                self.has_tsig = true;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
