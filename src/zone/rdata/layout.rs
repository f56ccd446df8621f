//! The rows: which fields make up the RDATA of each type, with the RFC's names for them.

use crate::base::rr::RrType;
use crate::zone::rdata::mnemonics;
use crate::zone::rdata::mnemonics::Mnemonics;

/// How a field is written and stored. Kinds marked "rest" take all that is left and stand last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rest: everything of an A6, as its first field says which others there are (RFC 2874).
    A6,
    /// Rest: everything of an AMTRELAY, as its relay's form depends on a field before it (RFC 8777).
    AmtRelay,
    /// Rest: address prefixes (RFC 3123).
    Apl,
    /// An ATM address, `+` and digits or hexadecimal, with its format in an octet in front.
    Atma,
    /// Rest: Base64, at least one octet.
    Base64,
    /// Rest: Base64, or `-` for nothing.
    Base64OrDash,
    /// Rest: Base64 or nothing.
    Base64OrNone,
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
    /// Flags of a KEY, a number or mnemonics with `|` between, two octets (RFC 2535 s7.1).
    KeyFlags,
    /// Rest: coordinates (RFC 1876).
    Loc,
    /// Eight octets as `2001:0db8:1140:1000` (RFC 6742).
    Locator,
    /// A domain name.
    Name,
    /// An NSAP address, `0x` and hexadecimal with dots anywhere (RFC 1706 s5).
    Nsap,
    /// Rest: a bitmap of record types below 128 without windows (RFC 2535 s5.2).
    NxtTypes,
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
    /// Rest: a character string or nothing.
    TextOrNone,
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
    /// A number of one octet, or its mnemonic.
    U8Or(Mnemonics),
    /// A number of two octets.
    U16,
    /// A number of two octets, or its mnemonic.
    U16Or(Mnemonics),
    /// A number of four octets.
    U32,
    /// A number of eight octets.
    U64,
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// Rest: well-known services of a host (RFC 1035 s3.4.2).
    Wks,
}

/// A field: its kind, and its name for diagnostics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field(pub(super) Kind, pub(super) &'static str);

/// The fields of a type; `None` for types that are only ever written as `\# LENGTH HEX`.
#[expect(clippy::too_many_lines, reason = "one table, a row per type")]
pub(super) fn layout(rtype: RrType) -> Option<&'static [Field]> {
    macro_rules! row {
        ($($kind:ident $(($arg:expr))? $name:literal),+) => {
            &[$(Field(Kind::$kind $(($arg))?, $name)),+]
        };
    }
    Some(match rtype {
        RrType::A => row![V4 "address"],
        RrType::NS | RrType::MD | RrType::MF => row![Name "name server"],
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
        RrType::TXT
        | RrType::SPF
        | RrType::NINFO
        | RrType::AVC
        | RrType::RESINFO
        | RrType::WALLET
        | RrType::CLA => row![Texts "text"],
        RrType::WKS => row![Wks "services"],
        RrType::RP => row![Name "mailbox", Name "TXT name"],
        RrType::AFSDB => row![U16 "subtype", Name "host"],
        RrType::X25 => row![Text "PSDN address"],
        RrType::ISDN => row![Text "ISDN address", TextOrNone "subaddress"],
        RrType::RT => row![U16 "preference", Name "host"],
        RrType::NSAP => row![Nsap "address"],
        RrType::NSAP_PTR => row![Name "owner"],
        RrType::PX => row![U16 "preference", Name "RFC 822 domain", Name "X.400 domain"],
        RrType::GPOS => row![Text "longitude", Text "latitude", Text "altitude"],
        RrType::NXT => row![Name "next name", NxtTypes "type"],
        RrType::EID => row![Hex "endpoint identifier"],
        RrType::NIMLOC => row![Hex "locator"],
        RrType::ATMA => row![Atma "address"],
        RrType::A6 => row![A6 "address"],
        RrType::SINK => row![U8 "meaning", U8 "coding", U8 "subcoding", Base64OrNone "data"],
        RrType::TALINK => row![Name "previous name", Name "next name"],
        RrType::SIG | RrType::RRSIG => row![
            Type "type covered", U8Or(mnemonics::ALGORITHMS) "algorithm", U8 "labels",
            Period "original TTL", Time "expiration", Time "inception",
            U16 "key tag", Name "signer", Base64 "signature"
        ],
        RrType::KEY => row![
            KeyFlags "flags", U8Or(mnemonics::KEY_PROTOCOLS) "protocol",
            U8Or(mnemonics::ALGORITHMS) "algorithm", Base64OrNone "public key"
        ],
        RrType::RKEY => row![
            KeyFlags "flags", U8Or(mnemonics::KEY_PROTOCOLS) "protocol",
            U8Or(mnemonics::ALGORITHMS) "algorithm", Base64 "public key"
        ],
        RrType::DNSKEY | RrType::CDNSKEY => row![
            U16 "flags", U8Or(mnemonics::KEY_PROTOCOLS) "protocol",
            U8Or(mnemonics::ALGORITHMS) "algorithm", Base64OrNone "public key"
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
            U16Or(mnemonics::CERT_TYPES) "type", U16 "key tag",
            U8Or(mnemonics::ALGORITHMS) "algorithm", Base64 "certificate"
        ],
        RrType::DNAME => row![Name "target"],
        RrType::APL => row![Apl "prefix"],
        RrType::DS | RrType::CDS | RrType::DLV | RrType::TA => row![
            U16 "key tag", U8Or(mnemonics::ALGORITHMS) "algorithm",
            U8Or(mnemonics::DIGESTS) "digest type", Hex "digest"
        ],
        RrType::SSHFP => row![U8 "algorithm", U8 "fingerprint type", Hex "fingerprint"],
        RrType::IPSECKEY => row![IpsecKey "key"],
        RrType::NSEC => row![Name "next name", Types "type"],
        RrType::DHCID => row![Base64 "digest"],
        RrType::NSEC3 => row![
            U8Or(mnemonics::HASHES) "hash algorithm", U8 "flags", U16 "iterations", Salt "salt",
            Hash "next hashed owner", Types "type"
        ],
        RrType::NSEC3PARAM => row![
            U8Or(mnemonics::HASHES) "hash algorithm", U8 "flags", U16 "iterations", Salt "salt"
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
        RrType::DSYNC => row![
            Type "type", U8Or(mnemonics::SCHEMES) "scheme", U16 "port", Name "target"
        ],
        RrType::HHIT | RrType::BRID => row![Base64 "data"],
        RrType::NID => row![U16 "preference", Locator "node identifier"],
        RrType::L32 => row![U16 "preference", V4 "locator"],
        RrType::L64 => row![U16 "preference", Locator "locator"],
        RrType::LP => row![U16 "preference", Name "pointer"],
        RrType::EUI48 => row![Eui(6) "address"],
        RrType::EUI64 => row![Eui(8) "address"],
        RrType::URI => row![U16 "priority", U16 "weight", TextRest "target"],
        RrType::CAA => row![U8 "flags", Tag "tag", TextRest "value"],
        RrType::DOA => row![
            U32 "enterprise", U32 "type", U8 "location", Text "media type", Base64OrDash "data"
        ],
        RrType::AMTRELAY => row![AmtRelay "relay"],
        RrType::IPN => row![U64 "node number"],
        _ => return None,
    })
}
