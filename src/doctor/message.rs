//! The messages of an examination: a question as it is sent, and what the response says.
//!
//! Responses come from servers that may be broken on purpose. What cannot be read is no reply; records of types that
//! nothing here looks into are kept as octets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use domain::base::Message;
use domain::base::ParsedName;
use domain::base::iana::Rtype;
use domain::base::message::RecordSection;
use domain::base::name::ToName as _;
use domain::base::opt::AllOptData;
use domain::base::rdata::ComposeRecordData as _;
use domain::rdata::AllRecordData;

use crate::base::name::Name;
use crate::base::prefix::Prefix;
use crate::base::rr::Rcode;
use crate::base::rr::RrType;
use crate::wire::ecs::ClientSubnet;
use crate::wire::header::HEADER_LEN;

/// The UDP payload size that resolvers announce since 2020: what passes every path in one piece.
pub const PAYLOAD: u16 = 1232;

/// The size that they announced before, whose answers may come in fragments.
pub const LARGE_PAYLOAD: u16 = 4096;

/// An option code that nobody has (RFC 6891 s9, the range for local use).
pub const UNKNOWN_OPTION: u16 = 65_281;

/// The code of the cookie option (RFC 7873 s4).
pub const COOKIE: u16 = 10;

/// The client's half of a cookie. Nothing is proved by it here, so that it need not be a secret.
pub const CLIENT_COOKIE: [u8; 8] = *b"meridian";

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Of which name.
    pub name: Name,
    /// Records of which type.
    pub rtype: RrType,
    /// Whether the one who is asked shall ask others (RD).
    pub recursion: bool,
    /// The OPT, if there shall be one.
    pub edns: Option<Edns>,
}

/// The OPT of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edns {
    /// 0 is the only one that there is.
    pub version: u8,
    /// The largest response over UDP.
    pub payload: u16,
    /// Whether signatures are wanted (DO).
    pub dnssec: bool,
    /// Options in wire form.
    pub options: Vec<u8>,
}

impl Default for Edns {
    fn default() -> Self {
        Self {
            version: 0,
            payload: PAYLOAD,
            dnssec: false,
            options: Vec::new(),
        }
    }
}

impl Edns {
    /// With one option.
    pub fn with_option(code: u16, data: &[u8]) -> Self {
        let [code, len] = [code, data.len() as u16].map(u16::to_be_bytes);
        Self {
            options: [&code, &len, data].concat(),
            ..Self::default()
        }
    }

    /// With a client subnet.
    pub fn of_subnet(subnet: Prefix) -> Self {
        let subnet = ClientSubnet::of(subnet);
        Self {
            options: subnet.to_wire(0)[..subnet.option_len()].to_vec(),
            ..Self::default()
        }
    }

    /// With DO set.
    pub fn signed(payload: u16) -> Self {
        Self {
            payload,
            dnssec: true,
            ..Self::default()
        }
    }
}

impl Question {
    /// As a resolver asks an authoritative server.
    pub fn new(name: &Name, rtype: RrType, edns: impl Into<Option<Edns>>) -> Self {
        Self {
            name: name.clone(),
            rtype,
            recursion: false,
            edns: edns.into(),
        }
    }

    /// As a client asks a resolver.
    pub fn recursive(name: &Name, rtype: RrType) -> Self {
        Self {
            recursion: true,
            ..Self::new(name, rtype, Edns::default())
        }
    }

    /// The message.
    pub fn to_wire(&self, id: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([u8::from(self.recursion), 0, 0, 1, 0, 0, 0, 0, 0]);
        message.push(u8::from(self.edns.is_some()));
        message.extend(mixed_case(self.name.wire()));
        message.extend(self.rtype.0.to_be_bytes());
        message.extend([0, 1]);
        if let Some(edns) = &self.edns {
            message.extend([0, 0, 41]);
            message.extend(edns.payload.to_be_bytes());
            message.extend([0, edns.version, u8::from(edns.dnssec) << 7, 0]);
            message.extend((edns.options.len() as u16).to_be_bytes());
            message.extend(&edns.options);
        }
        message
    }
}

/// A name in wire form with every other octet in upper case: lengths of labels are no letters.
fn mixed_case(wire: &[u8]) -> Vec<u8> {
    let mut wire = wire.to_ascii_lowercase();
    wire.iter_mut()
        .step_by(2)
        .for_each(|octet| octet.make_ascii_uppercase());
    wire
}

/// A record of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its owner, in lower case.
    pub owner: Name,
    /// Its type.
    pub rtype: RrType,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// Its data in the canonical form of RFC 4034 s6.2: no name compressed, those of old types in lower case.
    pub rdata: Vec<u8>,
}

impl Record {
    /// The name that an NS or CNAME record holds.
    pub fn target(&self) -> Option<Name> {
        Name::from_wire(&self.rdata).ok()
    }

    /// The address that an A or AAAA record holds.
    pub fn address(&self) -> Option<IpAddr> {
        match self.rtype {
            RrType::A => <[u8; 4]>::try_from(&*self.rdata).ok().map(IpAddr::from),
            RrType::AAAA => <[u8; 16]>::try_from(&*self.rdata).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// The serial of an SOA record, in front of four more numbers.
    pub fn serial(&self) -> Option<u32> {
        let numbers = self.rdata.last_chunk::<20>()?;
        numbers
            .first_chunk()
            .map(|serial| u32::from_be_bytes(*serial))
    }
}

/// The client subnet option of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubnetEcho {
    /// The network that was asked for.
    pub subnet: Prefix,
    /// Of how many bits the answer holds.
    pub scope: u8,
}

/// The OPT of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyEdns {
    /// The highest version that the server knows.
    pub version: u8,
    /// The client subnet.
    pub subnet: Option<SubnetEcho>,
    /// The server's half of the cookie.
    pub cookie: Option<Vec<u8>>,
    /// Whether an option came back that nobody knows.
    pub has_unknown: bool,
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// How many octets it had.
    pub len: usize,
    /// The RCODE, with the bits of the OPT.
    pub rcode: u16,
    /// AA.
    pub is_authoritative: bool,
    /// TC.
    pub is_truncated: bool,
    /// Whether the name of the question came back as it was written.
    pub keeps_case: bool,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section without the OPT.
    pub additional: Vec<Record>,
    /// The OPT.
    pub edns: Option<ReplyEdns>,
}

impl Reply {
    /// Reads the response to a message; `None` if it is none, or cannot be read.
    pub fn read(message: &[u8], asked: &[u8]) -> Option<Self> {
        let reply = Message::from_octets(message).ok()?;
        let is_response = reply.header().qr() && message.get(..2)? == asked.get(..2)?;
        let question = question_of(asked)?;
        // A server that cannot read a message may leave its question out, and then nothing else is there.
        let echo = message.get(question.clone());
        let has_question = reply.header_counts().qdcount() == 1
            && echo?.eq_ignore_ascii_case(asked.get(question.clone())?);
        let is_empty = reply.header_counts().qdcount() == 0 && reply.header_counts().ancount() == 0;
        if !is_response || !(has_question || is_empty) {
            return None;
        }
        let opt = reply.opt();
        let header = reply.header();
        Some(Self {
            len: message.len(),
            rcode: reply.opt_rcode().to_int(),
            is_authoritative: header.aa(),
            is_truncated: header.tc(),
            keeps_case: has_question && echo == asked.get(question),
            answer: records(reply.answer()),
            authority: records(reply.authority()),
            additional: records(reply.additional()),
            edns: opt.map(|opt| {
                let mut edns = ReplyEdns {
                    version: opt.version(),
                    ..ReplyEdns::default()
                };
                for option in opt.opt().iter::<AllOptData<_, _>>().flatten() {
                    match option {
                        AllOptData::ClientSubnet(subnet) => {
                            edns.subnet = Some(SubnetEcho {
                                subnet: Prefix::cut(subnet.addr(), subnet.source_prefix_len()),
                                scope: subnet.scope_prefix_len(),
                            });
                        }
                        AllOptData::Cookie(cookie) => {
                            let server = cookie.server().map(|cookie| cookie.as_ref().to_vec());
                            edns.cookie = server;
                        }
                        AllOptData::Other(other) if other.code().to_int() == UNKNOWN_OPTION => {
                            edns.has_unknown = true;
                        }
                        _ => {}
                    }
                }
                edns
            }),
        })
    }

    /// Whether all is well with it.
    pub fn is_ok(&self) -> bool {
        self.rcode == Rcode::NoError as u16
    }

    /// The RCODE by its mnemonic.
    pub fn rcode_text(&self) -> String {
        let known = Rcode::ALL
            .into_iter()
            .find(|code| *code as u16 == self.rcode);
        known.map_or_else(
            || format!("RCODE {}", self.rcode),
            |code| code.as_str().to_owned(),
        )
    }

    /// The records of the answer at a name, of a type.
    pub fn answers<'a>(
        &'a self,
        owner: &'a Name,
        rtype: RrType,
    ) -> impl Iterator<Item = &'a Record> {
        let is_it = move |record: &&Record| record.rtype == rtype && record.owner == *owner;
        self.answer.iter().filter(is_it)
    }

    /// The SOA record of the zone that answered: in the answer, or beside an answer that there is none.
    pub fn soa(&self) -> Option<&Record> {
        let mut records = self.answer.iter().chain(&self.authority);
        records.find(|record| record.rtype == RrType::SOA)
    }

    /// The addresses of these names in the additional section.
    pub fn glue(&self, names: &[Name]) -> Vec<(Name, IpAddr)> {
        let records = self.additional.iter();
        let of_names = records.filter(|record| names.contains(&record.owner));
        of_names
            .filter_map(|record| Some((record.owner.clone(), record.address()?)))
            .collect()
    }

    /// What the answer leads to, in order: its addresses, or the end of its aliases.
    pub fn leads_to(&self) -> BTreeSet<String> {
        let addresses = self.addresses();
        if !addresses.is_empty() {
            return addresses.iter().map(ToString::to_string).collect();
        }
        let is_alias = |record: &&Record| record.rtype == RrType::CNAME;
        let last = self.answer.iter().rfind(is_alias);
        last.and_then(Record::target)
            .iter()
            .map(Name::plain)
            .collect()
    }

    /// All addresses of the answer, in order.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<_> = self.answer.iter().filter_map(Record::address).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

/// Where the question is in a query, which has an OPT behind it or nothing.
fn question_of(query: &[u8]) -> Option<Range<usize>> {
    let mut at = HEADER_LEN;
    while let Some(len) = query.get(at).filter(|len| **len != 0) {
        at += 1 + usize::from(*len);
    }
    let end = at + 5;
    (end <= query.len()).then_some(HEADER_LEN..end)
}

/// The records of a section up to the first that cannot be read; none of an OPT.
fn records<E>(section: Result<RecordSection<'_, &[u8]>, E>) -> Vec<Record> {
    let mut records = Vec::new();
    for record in section.into_iter().flatten().map_while(Result::ok) {
        if record.rtype() == Rtype::OPT {
            continue;
        }
        let read = record.to_any_record::<AllRecordData<_, ParsedName<_>>>();
        let mut rdata = Vec::new();
        let is_read =
            read.is_ok_and(|record| record.data().compose_canonical_rdata(&mut rdata).is_ok());
        let owner = Name::from_wire(&record.owner().to_vec().as_slice().to_ascii_lowercase());
        let (true, Ok(owner)) = (is_read, owner) else {
            break;
        };
        records.push(Record {
            owner,
            rtype: RrType(record.rtype().to_int()),
            ttl: record.ttl().as_secs(),
            rdata,
        });
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2);
        let octet = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(octet).collect()
    }

    /// What Meridian answered for www.fine with a client subnet.
    const STEERED: &str = "123484000001000100000001037757770466496e45000001\
        0001c00c000100010000001e0004c612036500002904d000000000000b000800070001180a5a3f00";

    /// What NSD answered for the SOA of old, with a cookie.
    const COOKIE_OF_NSD: &str = "123484000001000100020003036f4c64000006\
        0001c00c0006000100000e100027036e7331c00c0a686f73746d6173746572c00c0000000600000e100000038400\
        093a800000012cc00c0002000100000e100002c021c00c0002000100000e100006036e7332c00cc0210001000100\
        000e100004c612020bc0620001000100000e100004c612030d000029100000000000001c000a00186d6572696469\
        616e010000006b09e497bd09b3adab1077ea";

    fn ask(name: &str, rtype: RrType, edns: Edns) -> Vec<u8> {
        Question::new(&Name::parse(name).unwrap(), rtype, edns).to_wire(0x1234)
    }

    #[test]
    fn questions_are_written_as_the_rfcs_have_them() {
        let subnet = Edns::of_subnet("90.63.0.0/24".parse().unwrap());
        for (asked, expected) in [
            (
                ask("www.fine", RrType::A, subnet),
                "123400000001000000000001037757770466496e45000001000100002904d000000000000b\
                 00080007000118005a3f00",
            ),
            (
                ask(
                    "old",
                    RrType::SOA,
                    Edns::with_option(COOKIE, &CLIENT_COOKIE),
                ),
                "123400000001000000000001036f4c64000006000100002904d000000000000c000a00086d\
                 6572696469616e",
            ),
            (
                ask("www.noglue", RrType::SOA, Edns::signed(PAYLOAD)),
                "12340000000100000000000103775777066e4f674c7545000006000100002904d0000080000000",
            ),
        ] {
            assert_eq!(asked, octets(expected), "{expected}");
        }
    }

    #[test]
    fn responses_are_read() {
        let asked = ask("www.fine", RrType::A, Edns::default());
        let reply = Reply::read(&octets(STEERED), &asked).unwrap();
        assert!(reply.is_ok() && reply.is_authoritative && reply.keeps_case);
        let address: IpAddr = "198.18.3.101".parse().unwrap();
        assert_eq!(reply.addresses(), [address]);
        let expected = SubnetEcho {
            subnet: "90.63.0.0/24".parse().unwrap(),
            scope: 10,
        };
        assert_eq!(reply.edns.unwrap().subnet, Some(expected));

        let asked = ask("old", RrType::SOA, Edns::default());
        let reply = Reply::read(&octets(COOKIE_OF_NSD), &asked).unwrap();
        let zone = Name::parse("old").unwrap();
        let soa = reply.answers(&zone, RrType::SOA).next().unwrap();
        assert_eq!(soa.serial(), Some(6));
        let cookie = reply.edns.unwrap().cookie.unwrap();
        assert_eq!(cookie, octets("010000006b09e497bd09b3adab1077ea"));
    }

    #[test]
    fn only_the_response_to_the_question_is_read() {
        let asked = ask("www.fine", RrType::A, Edns::default());
        let response = octets(STEERED);
        let changed = |at: usize, octet: u8| {
            let mut response = response.clone();
            response[at] = octet;
            Reply::read(&response, &asked)
        };
        for (row, at, octet) in [
            ("another id", 1, 0x35),
            ("no response", 2, 0x04),
            ("another name", 13, b'x'),
            ("another type", 23, 28),
            ("two questions", 5, 2),
            ("no question, and an answer", 5, 0),
        ] {
            assert_eq!(changed(at, octet), None, "{row}");
        }
        assert!(!changed(13, b'W').unwrap().keeps_case);
        let refusal = octets("123480010000000000000000");
        assert_eq!(
            Reply::read(&refusal, &asked).unwrap().rcode_text(),
            "FORMERR"
        );
        for len in 0..response.len() {
            // Cut anywhere, it is read in part or not at all.
            let _ = Reply::read(&response[..len], &asked);
        }
    }
}
