//! The reader of each kind of field.

use crate::zone::lex::Fault;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::base64;
use crate::zone::rdata::fields::hex;
use crate::zone::rdata::fields::name;
use crate::zone::rdata::fields::number;
use crate::zone::rdata::fields::unescape;
use crate::zone::rdata::fields::v4;
use crate::zone::rdata::fields::v6;
use crate::zone::rdata::historic;
use crate::zone::rdata::layout::Field;
use crate::zone::rdata::layout::Kind;
use crate::zone::rdata::loc;
use crate::zone::rdata::special;
use crate::zone::rdata::svcb;
use crate::zone::rdata::text;

/// Reads one field of RDATA.
pub(super) fn read(field: Field, fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Field(kind, what) = field;
    match kind {
        Kind::A6 => historic::a6(fields, out),
        Kind::AmtRelay => special::amtrelay(fields, out),
        Kind::Apl => special::apl(fields, out),
        Kind::Base64 => base64(fields, what, out),
        Kind::Atma => historic::atma(fields, out),
        Kind::Base64OrDash if fields.is_next("-") => fields.word(what).map(drop),
        Kind::Base64OrDash => base64(fields, what, out),
        Kind::Base64OrNone if fields.has_more() => base64(fields, what, out),
        Kind::Base64OrNone => Ok(()),
        Kind::Eui(len) => special::eui(fields, len, out),
        Kind::Hash => text::hash(fields, what, out),
        Kind::Hex => hex(fields, what, out),
        Kind::Hip => special::hip(fields, out),
        Kind::IpsecKey => special::ipseckey(fields, out),
        Kind::KeyFlags => historic::key_flags(fields, what, out),
        Kind::Loc => loc::read(fields, out),
        Kind::Locator => special::locator(fields, what, out),
        Kind::Name => name(fields, what).map(|name| out.extend_from_slice(name.wire())),
        Kind::Nsap => historic::nsap(fields, out),
        Kind::NxtTypes => historic::nxt_types(fields, what, out),
        Kind::Period => text::period(fields, what, out),
        Kind::Salt => text::salt(fields, what, out),
        Kind::SvcParams => svcb::read(fields, out),
        Kind::Tag => text::tag(fields, what, out),
        Kind::Text => text::text(fields, what, out),
        Kind::TextOrNone if fields.has_more() => text::text(fields, what, out),
        Kind::TextOrNone => Ok(()),
        Kind::TextRest => {
            let token = fields.token(what)?;
            unescape(token, token.octets).map(|bytes| out.extend_from_slice(&bytes))
        }
        Kind::Texts => text::texts(fields, what, out),
        Kind::Time => text::time(fields, what).map(|t| out.extend_from_slice(&t.to_be_bytes())),
        Kind::Type => text::rtype(fields, what).map(|t| out.extend_from_slice(&t.0.to_be_bytes())),
        Kind::Types => text::types(fields, what, out),
        Kind::U8 => number(fields, what, 0xFF).map(|n| out.push(n as u8)),
        Kind::U8Or(known) => text::mnemonic(fields, what, known, 0xFF).map(|n| out.push(n as u8)),
        Kind::U16 => {
            number(fields, what, 0xFFFF).map(|n| out.extend_from_slice(&(n as u16).to_be_bytes()))
        }
        Kind::U16Or(known) => text::mnemonic(fields, what, known, 0xFFFF)
            .map(|n| out.extend_from_slice(&(n as u16).to_be_bytes())),
        Kind::U32 => {
            number(fields, what, u32::MAX).map(|n| out.extend_from_slice(&n.to_be_bytes()))
        }
        Kind::U64 => text::u64(fields, what, out),
        Kind::V4 => v4(fields, what).map(|a| out.extend_from_slice(&a.octets())),
        Kind::Wks => historic::wks(fields, out),
        Kind::V6 => v6(fields, what).map(|a| out.extend_from_slice(&a.octets())),
    }
}
