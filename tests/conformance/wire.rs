//! Messages as these tests see them: queries built by the octet, responses read into records that
//! can be compared.
//!
//! The reader is our own and takes whatever a server may send: hickory-proto refuses some of it.
//! Records keep what the conformance rules compare: owner in lower case, type, class, TTL, and RDATA
//! with its names decompressed and in lower case (RFC 4343 s4.1: case is not part of a name).

use std::fmt;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use meridian::base::name::Name;
use meridian::base::rr::Class;
use meridian::base::rr::RrType;

/// Octets in front of the question.
pub const HEADER_LEN: usize = 12;

pub const QR: u16 = 0x8000;
pub const AA: u16 = 0x0400;
pub const TC: u16 = 0x0200;
pub const RD: u16 = 0x0100;
pub const RA: u16 = 0x0080;
pub const Z: u16 = 0x0040;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;

/// A query with one question: header flags, an OPT with this payload size if one is wanted.
pub fn query(qname: &[u8], qtype: u16, qclass: u16, flags: u16, payload: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 0, 0, u8::from(payload.is_some())]);
    bytes.extend(qname);
    bytes.extend(qtype.to_be_bytes());
    bytes.extend(qclass.to_be_bytes());
    if let Some(payload) = payload {
        bytes.extend([0, 0, 41]);
        bytes.extend(payload.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

/// One record of a response.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// In lower-case wire form.
    pub owner: Vec<u8>,
    pub rtype: RrType,
    pub class: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// A response, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// In octets.
    pub len: usize,
    pub flags: u16,
    /// With the upper bits that the OPT holds.
    pub rcode: u16,
    /// The question section as it was sent.
    pub question: Vec<u8>,
    pub answer: Vec<Record>,
    pub authority: Vec<Record>,
    /// Without the OPT.
    pub additional: Vec<Record>,
    /// The version that the OPT tells.
    pub edns: Option<u8>,
}

impl Response {
    /// Reads a response; `None` if it is malformed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes, at: 2 };
        let flags = reader.u16()?;
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        for _ in 0..counts[0] {
            reader.name()?;
            reader.take(4)?;
        }
        let question = bytes.get(HEADER_LEN..reader.at)?.to_vec();
        let mut section = |n: u16| (0..n).map(|_| reader.record()).collect::<Option<Vec<_>>>();
        let (answer, authority) = (section(counts[1])?, section(counts[2])?);
        let (opts, additional): (Vec<_>, Vec<_>) = section(counts[3])?
            .into_iter()
            .partition(|record| record.rtype == RrType::OPT);
        let [high, version, ..] = opts.first().map_or(0, |opt| opt.ttl).to_be_bytes();
        Some(Self {
            len: bytes.len(),
            flags: flags & !0xF,
            rcode: flags & 0xF | u16::from(high) << 4,
            question,
            answer,
            authority,
            additional,
            edns: (!opts.is_empty()).then_some(version),
        })
        .filter(|_| reader.at == bytes.len() && opts.len() <= 1)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + n)?;
        self.at += n;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// A name, decompressed and in lower case.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let (mut at, mut end) = (self.at, None);
        loop {
            let len = usize::from(*self.bytes.get(at)?);
            if len >= 0xC0 {
                end = end.or(Some(at + 2));
                let target = (len & 0x3F) << 8 | usize::from(*self.bytes.get(at + 1)?);
                // Only backwards, so that it ends.
                at = Some(target).filter(|target| *target < at)?;
                continue;
            }
            name.extend(self.bytes.get(at..=at + len)?.to_ascii_lowercase());
            at += 1 + len;
            if len == 0 {
                self.at = end.unwrap_or(at);
                return Some(name);
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let rtype = RrType(self.u16()?);
        let class = self.u16()?;
        let ttl = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let end = usize::from(self.u16()?) + self.at;
        let mut rdata = Vec::new();
        let (fixed_len, n_names) = names(rtype);
        if n_names > 0 {
            rdata.extend(self.take(fixed_len)?);
        }
        if rtype == RrType::NAPTR {
            // Flags, services and regular expression stand in front of the name (RFC 3403 s4.1).
            for _ in 0..3 {
                let len = usize::from(*self.bytes.get(self.at)?);
                rdata.extend(self.take(1 + len)?);
            }
        }
        for _ in 0..n_names {
            rdata.extend(self.name()?);
        }
        rdata.extend(self.take(end.checked_sub(self.at)?)?);
        Some(Record {
            owner,
            rtype,
            class,
            ttl,
            rdata,
        })
    }
}

/// Where the names in a type's RDATA are: behind how many octets, and how many.
fn names(rtype: RrType) -> (usize, usize) {
    match rtype {
        RrType::NS | RrType::CNAME | RrType::PTR | RrType::DNAME => (0, 1),
        RrType::MB | RrType::MG | RrType::MR => (0, 1),
        RrType::SOA | RrType::MINFO | RrType::RP => (0, 2),
        RrType::MX | RrType::AFSDB | RrType::RT | RrType::KX => (2, 1),
        RrType::SVCB | RrType::HTTPS => (2, 1),
        RrType::SRV => (6, 1),
        RrType::NAPTR => (4, 1),
        _ => (0, 0),
    }
}

/// The host that a record sends its reader to, in lower-case wire form.
pub fn target(rtype: RrType, rdata: &[u8]) -> Option<Vec<u8>> {
    let (fixed_len, n_names) = names(rtype);
    let mut reader = Reader {
        bytes: rdata,
        at: fixed_len,
    };
    (n_names > 0 && rtype != RrType::NAPTR)
        .then(|| reader.name())
        .flatten()
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            1 => String::new(),
            class => format!("{} ", Class(class)),
        };
        write!(
            f,
            "{} {} {class}{} ",
            text(&self.owner),
            self.ttl,
            self.rtype
        )?;
        let (fixed_len, n_names) = names(self.rtype);
        let mut reader = Reader {
            bytes: &self.rdata,
            at: 0,
        };
        match (self.rtype, &self.rdata[..]) {
            (RrType::A, &[a, b, c, d]) => return write!(f, "{}", Ipv4Addr::new(a, b, c, d)),
            (RrType::AAAA, rdata) if rdata.len() == 16 => {
                let octets = <[u8; 16]>::try_from(rdata).map_err(|_| fmt::Error)?;
                return write!(f, "{}", Ipv6Addr::from(octets));
            }
            (RrType::TXT, rdata) => return write!(f, "\"{}\"", rdata.escape_ascii()),
            (rtype, _) if n_names > 0 && rtype != RrType::NAPTR => {
                for octet in reader.take(fixed_len).unwrap_or_default() {
                    write!(f, "{octet:02x}")?;
                }
                for _ in 0..n_names {
                    write!(f, " {}", text(&reader.name().unwrap_or_default()))?;
                }
            }
            _ => {}
        }
        for octet in &self.rdata[reader.at..] {
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// A name in presentation form.
pub fn text(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|_| format!("{wire:?}"), |name| name.to_string())
}
