//! The rows: which fields make up the RDATA of each type, with the RFC's names for them.

use crate::base::rr::RrType;

/// How a field is written and stored. Kinds marked "rest" take all that is left and stand last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A DNSSEC algorithm, number or mnemonic, one octet (RFC 4034 A.1).
    Algorithm,
    /// Rest: address prefixes (RFC 3123).
    Apl,
    /// Rest: Base64, at least one octet.
    Base64,
    /// Rest: Base64 or nothing.
    Base64OrNone,
    /// A certificate type, number or mnemonic, two octets (RFC 4398 s2.1).
    CertType,
    /// Six or eight octets as `00-00-5e-00-53-2a` (RFC 7043).
    Eui(usize),
    /// Base32hex without padding, stored with a length octet (RFC 5155 s3.3).
    Hash,
    /// Rest: hexadecimal, at least one octet.
    Hex,
    /// Rest: host identity (RFC 8005).
    Hip,
    /// Rest: everything of an IPSECKEY, as its gateway's form depends on a field before it (RFC 4025).
    IpsecKey,
    /// Rest: coordinates (RFC 1876).
    Loc,
    /// A domain name.
    Name,
    /// Seconds, plain or with units (`1h30m`), four octets.
    Period,
    /// Hexadecimal or `-`, stored with a length octet (RFC 5155 s3.3).
    Salt,
    /// Rest: service parameters (RFC 9460 s2.1).
    SvcParams,
    /// A CAA tag: letters and digits, stored with a length octet (RFC 8659 s4.1).
    Tag,
    /// A character string of at most 255 octets.
    Text,
    /// Rest: one string without a length octet, of any length.
    TextRest,
    /// Rest: one character string or more.
    Texts,
    /// A time, as YYYYMMDDHHmmSS or in seconds, four octets (RFC 4034 s3.2).
    Time,
    /// A record type, two octets.
    Type,
    /// Rest: a bitmap of record types (RFC 4034 s4.1.2).
    Types,
    /// A number of one octet.
    U8,
    /// A number of two octets.
    U16,
    /// A number of four octets.
    U32,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
}

/// A field: its kind, and its name for diagnostics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field(pub(super) Kind, pub(super) &'static str);

/// The fields of a type; `None` for types that are only ever written as `\# LENGTH HEX`.
#[expect(clippy::too_many_lines, reason = "one table, a row per type")]
pub(super) fn layout(rtype: RrType) -> Option<&'static [Field]> {
    macro_rules! row {
        ($($kind:ident $(($arg:literal))? $name:literal),+) => {
            &[$(Field(Kind::$kind $(($arg))?, $name)),+]
        };
    }
    Some(match rtype {
        RrType::A => row![V4 "address"],
        RrType::NS => row![Name "name server"],
        RrType::CNAME => row![Name "canonical name"],
        RrType::SOA => row![
            Name "primary server", Name "mailbox", U32 "serial", Period "refresh",
            Period "retry", Period "expire", Period "minimum"
        ],
        RrType::MB | RrType::MG | RrType::MR => row![Name "mailbox"],
        RrType::PTR => row![Name "target"],
        RrType::HINFO => row![Text "CPU", Text "OS"],
        RrType::MINFO => row![Name "mailbox", Name "error mailbox"],
        RrType::MX => row![U16 "preference", Name "exchange"],
        RrType::TXT | RrType::SPF => row![Texts "text"],
        RrType::RP => row![Name "mailbox", Name "TXT name"],
        RrType::AFSDB => row![U16 "subtype", Name "host"],
        RrType::RT => row![U16 "preference", Name "host"],
        RrType::SIG | RrType::RRSIG => row![
            Type "type covered", Algorithm "algorithm", U8 "labels",
            Period "original TTL", Time "expiration", Time "inception",
            U16 "key tag", Name "signer", Base64 "signature"
        ],
        RrType::KEY | RrType::DNSKEY | RrType::CDNSKEY => row![
            U16 "flags", U8 "protocol", Algorithm "algorithm", Base64OrNone "public key"
        ],
        RrType::AAAA => row![V6 "address"],
        RrType::LOC => row![Loc "location"],
        RrType::SRV => row![
            U16 "priority", U16 "weight", U16 "port", Name "target"
        ],
        RrType::NAPTR => row![
            U16 "order", U16 "preference", Text "flags", Text "services",
            Text "regexp", Name "replacement"
        ],
        RrType::KX => row![U16 "preference", Name "exchanger"],
        RrType::CERT => row![
            CertType "type", U16 "key tag", Algorithm "algorithm", Base64 "certificate"
        ],
        RrType::DNAME => row![Name "target"],
        RrType::APL => row![Apl "prefix"],
        RrType::DS | RrType::CDS => row![
            U16 "key tag", Algorithm "algorithm", U8 "digest type", Hex "digest"
        ],
        RrType::SSHFP => row![U8 "algorithm", U8 "fingerprint type", Hex "fingerprint"],
        RrType::IPSECKEY => row![IpsecKey "key"],
        RrType::NSEC => row![Name "next name", Types "type"],
        RrType::DHCID => row![Base64 "digest"],
        RrType::NSEC3 => row![
            U8 "hash algorithm", U8 "flags", U16 "iterations", Salt "salt",
            Hash "next hashed owner", Types "type"
        ],
        RrType::NSEC3PARAM => row![
            U8 "hash algorithm", U8 "flags", U16 "iterations", Salt "salt"
        ],
        RrType::TLSA | RrType::SMIMEA => row![
            U8 "usage", U8 "selector", U8 "matching type", Hex "association data"
        ],
        RrType::HIP => row![Hip "host identity"],
        RrType::OPENPGPKEY => row![Base64 "key"],
        RrType::CSYNC => row![U32 "serial", U16 "flags", Types "type"],
        RrType::ZONEMD => row![
            U32 "serial", U8 "scheme", U8 "hash algorithm", Hex "digest"
        ],
        RrType::SVCB | RrType::HTTPS => row![
            U16 "priority", Name "target", SvcParams "parameter"
        ],
        RrType::EUI48 => row![Eui(6) "address"],
        RrType::EUI64 => row![Eui(8) "address"],
        RrType::URI => row![U16 "priority", U16 "weight", TextRest "target"],
        RrType::CAA => row![U8 "flags", Tag "tag", TextRest "value"],
        _ => return None,
    })
}
