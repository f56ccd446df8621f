//! Fields of types that are hardly in use any more and have a notation of their own: A6, ATMA, the flags
//! of KEY, NSAP, NXT and WKS.

use std::net::Ipv6Addr;

use crate::base::digits;
use crate::zone::lex::Fault;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::bad;
use crate::zone::rdata::fields::decimal;
use crate::zone::rdata::fields::name;
use crate::zone::rdata::fields::number;
use crate::zone::rdata::fields::v4;
use crate::zone::rdata::fields::v6;
use crate::zone::rdata::mnemonics;
use crate::zone::rdata::text;

/// `PREFIX-LENGTH [SUFFIX] [PREFIX-NAME]`: the suffix unless the prefix is the whole address, the name
/// unless there is no prefix (RFC 2874 s3.1).
pub(super) fn a6(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let prefix_len = number(fields, "prefix length", 128)?;
    out.push(prefix_len as u8);
    if prefix_len < 128 {
        let suffix = v6(fields, "address suffix")?.to_bits() & (u128::MAX >> prefix_len);
        let octets = Ipv6Addr::from_bits(suffix).octets();
        out.extend_from_slice(&octets[(prefix_len / 8) as usize..]);
    }
    if prefix_len > 0 {
        out.extend_from_slice(name(fields, "prefix name")?.wire());
    }
    Ok(())
}

/// An address in E.164, as `+` and digits, or one of an ATM end system, in hexadecimal with dots
/// anywhere; the first octet is its format (ATM Name System, s5).
pub(super) fn atma(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word("address")?;
    let (format, address) = match token.text().strip_prefix('+') {
        Some(digits) => {
            let are_digits = digits.bytes().all(|b| b.is_ascii_digit());
            (1, are_digits.then(|| digits.as_bytes().to_vec()))
        }
        None => (0, digits::hex(&token.text().replace('.', ""))),
    };
    let address = address
        .filter(|address| !address.is_empty())
        .ok_or_else(|| bad(token, "address", "`+` and digits, or hexadecimal digits"))?;
    out.push(format);
    out.extend_from_slice(&address);
    Ok(())
}

/// Flags of a KEY: a number, or mnemonics with `|` between (RFC 2535 s7.1).
pub(super) fn key_flags(
    fields: &mut Fields<'_>,
    what: &str,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let named = || {
        let words = token.text().split('|');
        words
            .map(|word| text::find(mnemonics::KEY_FLAGS, word))
            .try_fold(0, |flags, flag| Some(flags | flag?))
    };
    let flags = decimal(token.text())
        .and_then(|flags| u16::try_from(flags).ok())
        .or_else(named)
        .ok_or_else(|| bad(token, what, "mnemonics or a number from 0 to 65535"))?;
    out.extend_from_slice(&flags.to_be_bytes());
    Ok(())
}

/// `0x` and hexadecimal digits, with dots anywhere (RFC 1706 s5).
pub(super) fn nsap(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word("address")?;
    let digits = token
        .text()
        .strip_prefix("0x")
        .or(token.text().strip_prefix("0X"));
    let octets = digits
        .and_then(|text| digits::hex(&text.replace('.', "")))
        .filter(|octets| !octets.is_empty())
        .ok_or_else(|| bad(token, "address", "`0x` and pairs of hexadecimal digits"))?;
    out.extend_from_slice(&octets);
    Ok(())
}

/// Types from 1 to 127, as one bitmap (RFC 2535 s5.2).
pub(super) fn nxt_types(
    fields: &mut Fields<'_>,
    what: &str,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let mut types = Vec::new();
    while fields.has_more() {
        let spot = fields.spot();
        let rtype = text::rtype(fields, what)?;
        if !(1..128).contains(&rtype.0) {
            let message = format!("bad {what} {rtype}, expected one from 1 to 127");
            return Err(Fault::new(spot, message));
        }
        types.push(rtype.0);
    }
    out.extend(text::bitmap(&types));
    Ok(())
}

/// `ADDRESS PROTOCOL [SERVICE]...`: protocol and services as numbers or names (RFC 1035 s3.4.2).
pub(super) fn wks(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let address = v4(fields, "address")?;
    let protocol = text::mnemonic(fields, "protocol", mnemonics::PROTOCOLS, 0xFF)?;
    let mut ports = Vec::new();
    while fields.has_more() {
        let port = text::mnemonic(fields, "service", mnemonics::SERVICES, 0xFFFF)?;
        ports.push(port as u16);
    }
    out.extend_from_slice(&address.octets());
    out.push(protocol as u8);
    out.extend(text::bitmap(&ports));
    Ok(())
}
