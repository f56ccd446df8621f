//! Fields in words: mnemonics, times, strings, and lists of types.
//!
//! A reader takes the tokens it needs from [`Fields`] and appends the wire form, or reports what it
//! expected in the place of what it found.

use crate::base::date::Date;
use crate::base::digits;
use crate::base::rr::RrType;
use crate::zone::lex::Fault;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::bad;
use crate::zone::rdata::fields::decimal;
use crate::zone::rdata::fields::unescape;
use crate::zone::rdata::mnemonics::Mnemonics;

/// The longest character string (RFC 1035 s3.3).
const MAX_TEXT_LEN: usize = 255;

/// A number or one of some mnemonics.
pub(super) fn mnemonic(
    fields: &mut Fields<'_>,
    what: &str,
    known: Mnemonics,
    max: u32,
) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    find(known, token.text())
        .map(u32::from)
        .or_else(|| decimal(token.text()).filter(|n| *n <= max))
        .ok_or_else(|| {
            let expected = format!("a mnemonic or a number from 0 to {max}");
            bad(token, what, &expected)
        })
}

/// The number of a mnemonic.
pub(super) fn find(known: Mnemonics, word: &str) -> Option<u16> {
    let named = known.iter().find(|(_, m)| m.eq_ignore_ascii_case(word));
    named.map(|(number, _)| *number)
}

/// A number of eight octets.
pub(super) fn u64(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let number = token.text().parse::<u64>().ok();
    let is_plain = token.octets.iter().all(u8::is_ascii_digit);
    let number = number.filter(|_| is_plain).ok_or_else(|| {
        let expected = format!("a number from 0 to {}", u64::MAX);
        bad(token, what, &expected)
    })?;
    out.extend_from_slice(&number.to_be_bytes());
    Ok(())
}

pub(super) fn rtype(fields: &mut Fields<'_>, what: &str) -> Result<RrType, Fault> {
    let token = fields.word(what)?;
    token
        .text()
        .parse()
        .map_err(|()| bad(token, what, "a record type such as `AAAA`"))
}

/// Seconds: a plain number, or numbers with the units `w d h m s` such as `1h30m`.
pub(in crate::zone) fn ttl(text: &str) -> Option<u32> {
    if let Some(seconds) = decimal(text) {
        return Some(seconds);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let seconds: u64 = match tail.bytes().next()?.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total = seconds
            .checked_mul(u64::from(decimal(digits)?))?
            .checked_add(total)?;
        rest = tail.split_at(1).1;
    }
    u32::try_from(total).ok()
}

pub(super) fn period(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let seconds = ttl(token.text()).ok_or_else(|| {
        bad(
            token,
            what,
            "seconds, or a time such as `1h30m`, below 2^32 s",
        )
    })?;
    out.extend_from_slice(&seconds.to_be_bytes());
    Ok(())
}

/// A time as `YYYYMMDDHHmmSS` in UTC or in seconds since 1970, modulo 2^32 (RFC 4034 s3.1.5).
pub(super) fn time(fields: &mut Fields<'_>, what: &str) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    let expected = "a time such as 20260731000000 or seconds since 1970";
    if token.text().len() != 14 {
        return decimal(token.text()).ok_or_else(|| bad(token, what, expected));
    }
    let part = |from: usize, to: usize| {
        let digits = token.text().get(from..to);
        digits.and_then(decimal)
    };
    let seconds = || {
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
        let day = Date::from_civil(year as u16, month as u8, day as u8)?;
        let in_range = hour < 24 && minute < 60 && second <= 60;
        in_range.then(|| day.epoch() + u64::from((hour * 60 + minute) * 60 + second))
    };
    seconds()
        .map(|seconds| seconds as u32)
        .ok_or_else(|| bad(token, what, expected))
}

/// A character string, with its length octet.
pub(super) fn text(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.token(what)?;
    let bytes = unescape(token, token.octets)?;
    if bytes.len() > MAX_TEXT_LEN {
        let message = format!(
            "{what} of {} octets, expected strings of at most 255; split it into several",
            bytes.len()
        );
        return Err(Fault::new(token.spot, message));
    }
    out.push(bytes.len() as u8);
    out.extend_from_slice(&bytes);
    Ok(())
}

pub(super) fn texts(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    text(fields, what, out)?;
    while fields.has_more() {
        text(fields, what, out)?;
    }
    Ok(())
}

pub(super) fn tag(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.token(what)?;
    let tag = token.octets;
    if tag.len() > MAX_TEXT_LEN || !tag.iter().all(u8::is_ascii_alphanumeric) {
        return Err(bad(token, what, "letters and digits, such as `issue`"));
    }
    out.push(tag.len() as u8);
    out.extend_from_slice(tag);
    Ok(())
}

pub(super) fn salt(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let octets = if token.octets == b"-" {
        Some(Vec::new())
    } else {
        digits::hex(token.text()).filter(|octets| octets.len() <= MAX_TEXT_LEN)
    };
    let octets = octets.ok_or_else(|| bad(token, what, "hexadecimal digits or `-`"))?;
    out.push(octets.len() as u8);
    out.extend_from_slice(&octets);
    Ok(())
}

pub(super) fn hash(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let octets = digits::base32hex(token.text())
        .filter(|octets| (1..=MAX_TEXT_LEN).contains(&octets.len()))
        .ok_or_else(|| bad(token, what, "Base32hex without padding"))?;
    out.push(octets.len() as u8);
    out.extend_from_slice(&octets);
    Ok(())
}

/// Types, as windows of a bitmap (RFC 4034 s4.1.2).
pub(super) fn types(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut listed = Vec::new();
    while fields.has_more() {
        listed.push(rtype(fields, what)?.0);
    }
    listed.sort_unstable();
    for window in listed.chunk_by(|a, b| a >> 8 == b >> 8) {
        let low: Vec<u16> = window.iter().map(|number| number & 0xFF).collect();
        let bitmap = bitmap(&low);
        out.push((window[0] >> 8) as u8);
        out.push(bitmap.len() as u8);
        out.extend_from_slice(&bitmap);
    }
    Ok(())
}

/// A bitmap in which these bits are set, the first of an octet being its highest, up to the last octet
/// that is not zero.
pub(super) fn bitmap(bits: &[u16]) -> Vec<u8> {
    let len = bits
        .iter()
        .max()
        .map_or(0, |last| usize::from(last / 8) + 1);
    let mut bitmap = vec![0; len];
    for bit in bits {
        bitmap[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    bitmap
}
