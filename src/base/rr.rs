//! Record vocabulary: types, classes, RCODEs, opcodes and the RRset.
//!
//! Numbers are IANA's; mnemonics are the registry's, and an unknown number has its RFC 3597 name
//! (`TYPE65280`, `CLASS3`).

use std::fmt;
use std::str::FromStr;

/// A record type, any 16-bit number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RrType(pub u16);

/// Declares the named types once: constants, and the table that reads and prints mnemonics.
macro_rules! rr_types {
    ($($name:ident = $number:literal $text:literal),+ $(,)?) => {
        #[expect(missing_docs, reason = "the mnemonics of the IANA registry explain themselves")]
        impl RrType {
            $(pub const $name: Self = Self($number);)+
        }

        const MNEMONICS: &[(u16, &str)] = &[$(($number, $text)),+];
    };
}

rr_types! {
    A = 1 "A", NS = 2 "NS", MD = 3 "MD", MF = 4 "MF", CNAME = 5 "CNAME", SOA = 6 "SOA", MB = 7 "MB",
    MG = 8 "MG", MR = 9 "MR", NULL = 10 "NULL", WKS = 11 "WKS", PTR = 12 "PTR", HINFO = 13 "HINFO",
    MINFO = 14 "MINFO", MX = 15 "MX", TXT = 16 "TXT", RP = 17 "RP", AFSDB = 18 "AFSDB",
    X25 = 19 "X25", ISDN = 20 "ISDN", RT = 21 "RT", NSAP = 22 "NSAP", NSAP_PTR = 23 "NSAP-PTR",
    SIG = 24 "SIG", KEY = 25 "KEY", PX = 26 "PX", GPOS = 27 "GPOS", AAAA = 28 "AAAA",
    LOC = 29 "LOC", NXT = 30 "NXT", EID = 31 "EID", NIMLOC = 32 "NIMLOC", SRV = 33 "SRV",
    ATMA = 34 "ATMA", NAPTR = 35 "NAPTR", KX = 36 "KX", CERT = 37 "CERT", A6 = 38 "A6",
    DNAME = 39 "DNAME", SINK = 40 "SINK", OPT = 41 "OPT", APL = 42 "APL", DS = 43 "DS",
    SSHFP = 44 "SSHFP", IPSECKEY = 45 "IPSECKEY", RRSIG = 46 "RRSIG", NSEC = 47 "NSEC",
    DNSKEY = 48 "DNSKEY", DHCID = 49 "DHCID", NSEC3 = 50 "NSEC3", NSEC3PARAM = 51 "NSEC3PARAM",
    TLSA = 52 "TLSA", SMIMEA = 53 "SMIMEA", HIP = 55 "HIP", NINFO = 56 "NINFO", RKEY = 57 "RKEY",
    TALINK = 58 "TALINK", CDS = 59 "CDS", CDNSKEY = 60 "CDNSKEY", OPENPGPKEY = 61 "OPENPGPKEY",
    CSYNC = 62 "CSYNC", ZONEMD = 63 "ZONEMD", SVCB = 64 "SVCB", HTTPS = 65 "HTTPS",
    DSYNC = 66 "DSYNC", HHIT = 67 "HHIT", BRID = 68 "BRID", SPF = 99 "SPF", UINFO = 100 "UINFO",
    UID = 101 "UID", GID = 102 "GID", UNSPEC = 103 "UNSPEC", NID = 104 "NID", L32 = 105 "L32",
    L64 = 106 "L64", LP = 107 "LP", EUI48 = 108 "EUI48", EUI64 = 109 "EUI64", NXNAME = 128 "NXNAME",
    TKEY = 249 "TKEY", TSIG = 250 "TSIG", IXFR = 251 "IXFR", AXFR = 252 "AXFR", MAILB = 253 "MAILB",
    MAILA = 254 "MAILA", ANY = 255 "ANY", URI = 256 "URI", CAA = 257 "CAA", AVC = 258 "AVC",
    DOA = 259 "DOA", AMTRELAY = 260 "AMTRELAY", RESINFO = 261 "RESINFO", WALLET = 262 "WALLET",
    CLA = 263 "CLA", IPN = 264 "IPN", TA = 32768 "TA", DLV = 32769 "DLV",
}

impl RrType {
    /// Whether the number is reserved for questions and messages (RFC 6895 s3.1), so that no zone
    /// can hold such records: OPT, and 128 to 255.
    pub fn is_meta(self) -> bool {
        self == Self::OPT || (128..=255).contains(&self.0)
    }
}

impl fmt::Display for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MNEMONICS.iter().find(|(number, _)| *number == self.0) {
            Some((_, text)) => f.write_str(text),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RrType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RrType {
    type Err = ();

    /// Reads a mnemonic or `TYPEn`, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        if let Some((number, _)) = MNEMONICS.iter().find(|(_, m)| m.eq_ignore_ascii_case(text)) {
            return Ok(Self(*number));
        }
        generic(text, "TYPE").map(Self).ok_or(())
    }
}

/// A class, any 16-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    /// The Internet.
    pub const IN: Self = Self(1);
    /// CHAOS, which holds `version.bind` and its kin.
    pub const CH: Self = Self(3);
    /// No class, in an update only (RFC 2136 s1.3).
    pub const NONE: Self = Self(254);
    /// Any class, in a question or an update only.
    pub const ANY: Self = Self(255);
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IN => f.write_str("IN"),
            Self::CH => f.write_str("CH"),
            Self::NONE => f.write_str("NONE"),
            Self::ANY => f.write_str("ANY"),
            Self(number) => write!(f, "CLASS{number}"),
        }
    }
}

/// Reads `KEYWORDn` with n up to 65535 (RFC 3597 s5).
fn generic(text: &str, keyword: &str) -> Option<u16> {
    let (head, digits) = text.split_at_checked(keyword.len())?;
    (head.eq_ignore_ascii_case(keyword) && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// A response code, with the extended ones that need an OPT (RFC 6891 s6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Rcode {
    /// No error.
    NoError = 0,
    /// The query could not be understood.
    FormErr = 1,
    /// The server failed.
    ServFail = 2,
    /// No such name.
    NxDomain = 3,
    /// The opcode is not implemented.
    NotImp = 4,
    /// Refused by policy, or not our zone.
    Refused = 5,
    /// A DNAME substitution gave too long a name (RFC 6672 s2.2), or a name exists that an update
    /// wants not to (RFC 2136 s2.2).
    YxDomain = 6,
    /// An RRset exists that an update wants not to.
    YxRrset = 7,
    /// An RRset that an update wants to exist does not.
    NxRrset = 8,
    /// Not authoritative, or not authorized (RFC 8945).
    NotAuth = 9,
    /// A name in an update is outside its zone.
    NotZone = 10,
    /// The EDNS version is not supported.
    BadVers = 16,
    /// The server cookie is bad (RFC 7873).
    BadCookie = 23,
}

impl Rcode {
    /// Every code that can be answered, in numeric order.
    pub const ALL: [Self; 13] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::YxDomain,
        Self::YxRrset,
        Self::NxRrset,
        Self::NotAuth,
        Self::NotZone,
        Self::BadVers,
        Self::BadCookie,
    ];

    /// The registry's mnemonic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::YxDomain => "YXDOMAIN",
            Self::YxRrset => "YXRRSET",
            Self::NxRrset => "NXRRSET",
            Self::NotAuth => "NOTAUTH",
            Self::NotZone => "NOTZONE",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
        }
    }

    /// The lower four bits, which stand in the header.
    pub fn low(self) -> u8 {
        (self as u16 & 0x0F) as u8
    }

    /// The upper eight bits, which stand in the OPT.
    pub fn high(self) -> u8 {
        (self as u16 >> 4) as u8
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An opcode, any 4-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode(pub u8);

impl Opcode {
    /// A standard query.
    pub const QUERY: Self = Self(0);
    /// A zone change notification (RFC 1996).
    pub const NOTIFY: Self = Self(4);
    /// A dynamic update (RFC 2136).
    pub const UPDATE: Self = Self(5);
}

/// All records of one owner and type; the TTL is one for all (RFC 2181 s5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrSet<'a> {
    /// The type.
    pub rtype: RrType,
    /// Seconds, at most 2^31 - 1.
    pub ttl: u32,
    /// Of each record RDLENGTH and RDATA.
    packed: &'a [u8],
}

impl<'a> RrSet<'a> {
    /// An RRset whose records are `packed`, each as [`Self::pack`] writes it: RDLENGTH and RDATA
    /// (RFC 1035 s3.2.1) with the names in it uncompressed. There is at least one, and no two are equal.
    pub fn new(rtype: RrType, ttl: u32, packed: &'a [u8]) -> Self {
        Self { rtype, ttl, packed }
    }

    /// Appends one record's RDATA, at most 65,535 octets, in the form of [`Self::new`].
    pub fn pack(rdata: &[u8], packed: &mut Vec<u8>) {
        let len = u16::try_from(rdata.len()).expect("RDATA has at most 65,535 octets");
        packed.extend(len.to_be_bytes());
        packed.extend_from_slice(rdata);
    }

    /// The RDATA of each record.
    pub fn rdatas(&self) -> Rdatas<'a> {
        Rdatas { rest: self.packed }
    }

    /// The RDATA of each record, from the `start`th on.
    pub fn rotated(&self, start: usize) -> impl Iterator<Item = &'a [u8]> {
        self.rdatas().skip(start).chain(self.rdatas().take(start))
    }
}

/// The RDATA of each record of an RRset.
#[derive(Clone, Debug)]
pub struct Rdatas<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Rdatas<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk()?;
        let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        self.rest = rest;
        Some(rdata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_rotated() {
        let mut packed = Vec::new();
        for rdata in [&b"a"[..], b"", b"ccc"] {
            RrSet::pack(rdata, &mut packed);
        }
        let set = RrSet::new(RrType::TXT, 0, &packed);
        for (start, expected) in [
            (0, [&b"a"[..], b"", b"ccc"]),
            (1, [b"", b"ccc", b"a"]),
            (2, [b"ccc", b"a", b""]),
            (3, [b"a", b"", b"ccc"]),
        ] {
            assert!(set.rotated(start).eq(expected), "{start}");
        }
    }

    #[test]
    fn types_read_what_they_print() {
        for number in 0..=u16::MAX {
            let rtype = RrType(number);
            assert_eq!(rtype.to_string().parse(), Ok(rtype));
        }
        assert_eq!("aaaa".parse(), Ok(RrType::AAAA));
        assert_eq!("type257".parse(), Ok(RrType::CAA));
        assert!("TYPE65536".parse::<RrType>().is_err());
        assert!("TYPE+1".parse::<RrType>().is_err());
        assert!("TYPE".parse::<RrType>().is_err());
    }

    #[test]
    fn extended_codes_split_over_header_and_opt() {
        assert_eq!((Rcode::BadVers.low(), Rcode::BadVers.high()), (0, 1));
        assert_eq!((Rcode::BadCookie.low(), Rcode::BadCookie.high()), (7, 1));
        assert_eq!((Rcode::Refused.low(), Rcode::Refused.high()), (5, 0));
    }
}
