//! The readers: what each kind of field looks like in a master file.
//!
//! A reader takes the tokens it needs from [`Fields`], appends the wire form, and otherwise says what
//! it expected in the place of what it found.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::base::name::Name;
use crate::base::rr::RrType;
use crate::zone::lex::Fault;
use crate::zone::lex::Spot;
use crate::zone::lex::Token;
use crate::zone::rdata::layout::Field;
use crate::zone::rdata::layout::Kind;
use crate::zone::rdata::loc;
use crate::zone::rdata::special;
use crate::zone::rdata::svcb;

/// The longest character string (RFC 1035 s3.3).
const MAX_TEXT_LEN: usize = 255;

const HEX: &[u8] = b"0123456789ABCDEF";
const BASE32HEX: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The tokens of an entry that are not read yet.
pub(in crate::zone) struct Fields<'a> {
    tokens: &'a [Token<'a>],
    end: Spot,
    /// What relative names are continued by.
    pub(in crate::zone) origin: &'a Name,
}

impl<'a> Fields<'a> {
    pub(in crate::zone) fn new(tokens: &'a [Token<'a>], end: Spot, origin: &'a Name) -> Self {
        Self {
            tokens,
            end,
            origin,
        }
    }

    /// Whether anything is left.
    pub(in crate::zone) fn has_more(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Where the next token is or would be.
    pub(in crate::zone) fn spot(&self) -> Spot {
        self.tokens.first().map_or(self.end, |token| token.spot)
    }

    /// Whether the next token is this very word, not in quotes.
    pub(in crate::zone) fn is_next(&self, word: &str) -> bool {
        let first = self.tokens.first();
        first.is_some_and(|token| !token.quoted && token.text == word)
    }

    /// The next token without taking it.
    pub(in crate::zone) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.first().copied()
    }

    /// Takes the next token, quoted or not.
    pub(in crate::zone) fn token(&mut self, what: &str) -> Result<Token<'a>, Fault> {
        let Some((first, rest)) = self.tokens.split_first() else {
            let message = format!("the entry ends here, expected {what}");
            return Err(Fault::new(self.end, message));
        };
        self.tokens = rest;
        Ok(*first)
    }

    /// Takes the next token, which must not be quoted.
    pub(in crate::zone) fn word(&mut self, what: &str) -> Result<Token<'a>, Fault> {
        let token = self.token(what)?;
        if token.quoted {
            let message = format!("unexpected string \"{}\", expected {what}", token.text);
            return Err(Fault::new(token.spot, message));
        }
        Ok(token)
    }

    /// Takes all words that are left, written together; at least one.
    fn joined(&mut self, what: &str) -> Result<(String, Spot), Fault> {
        let first = self.word(what)?;
        let mut joined = first.text.to_owned();
        while self.has_more() {
            joined.push_str(self.word(what)?.text);
        }
        Ok((joined, first.spot))
    }

    /// Checks that nothing is left.
    pub(in crate::zone) fn finish(&self) -> Result<(), Fault> {
        self.tokens.first().map_or(Ok(()), |token| {
            let message = format!("unexpected `{}`, expected the entry to end", token.text);
            Err(Fault::new(token.spot, message))
        })
    }
}

/// Reads one field of RDATA.
pub(super) fn read(field: Field, fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Field(kind, what) = field;
    match kind {
        Kind::Algorithm => mnemonic(fields, what, ALGORITHMS, 0xFF).map(|n| out.push(n as u8)),
        Kind::Apl => special::apl(fields, out),
        Kind::Base64 => base64(fields, what, out),
        Kind::Base64OrNone if fields.has_more() => base64(fields, what, out),
        Kind::Base64OrNone => Ok(()),
        Kind::CertType => mnemonic(fields, what, CERT_TYPES, 0xFFFF)
            .map(|n| out.extend_from_slice(&(n as u16).to_be_bytes())),
        Kind::Eui(len) => special::eui(fields, len, out),
        Kind::Hash => hash(fields, what, out),
        Kind::Hex => hex(fields, what, out),
        Kind::Hip => special::hip(fields, out),
        Kind::IpsecKey => special::ipseckey(fields, out),
        Kind::Loc => loc::read(fields, out),
        Kind::Name => name(fields, what).map(|name| out.extend_from_slice(name.wire())),
        Kind::Period => period(fields, what, out),
        Kind::Salt => salt(fields, what, out),
        Kind::SvcParams => svcb::read(fields, out),
        Kind::Tag => tag(fields, what, out),
        Kind::Text => text(fields, what, out),
        Kind::TextRest => {
            let token = fields.token(what)?;
            unescape(token, token.text).map(|bytes| out.extend_from_slice(&bytes))
        }
        Kind::Texts => texts(fields, what, out),
        Kind::Time => time(fields, what).map(|t| out.extend_from_slice(&t.to_be_bytes())),
        Kind::Type => rtype(fields, what).map(|t| out.extend_from_slice(&t.0.to_be_bytes())),
        Kind::Types => types(fields, what, out),
        Kind::U8 => number(fields, what, 0xFF).map(|n| out.push(n as u8)),
        Kind::U16 => {
            number(fields, what, 0xFFFF).map(|n| out.extend_from_slice(&(n as u16).to_be_bytes()))
        }
        Kind::U32 => {
            number(fields, what, u32::MAX).map(|n| out.extend_from_slice(&n.to_be_bytes()))
        }
        Kind::V4 => v4(fields, what).map(|a| out.extend_from_slice(&a.octets())),
        Kind::V6 => v6(fields, what).map(|a| out.extend_from_slice(&a.octets())),
    }
}

fn bad(token: Token<'_>, what: &str, expected: &str) -> Fault {
    let message = format!("bad {what} `{}`, expected {expected}", token.text);
    Fault::new(token.spot, message)
}

/// A decimal number without a sign.
pub(super) fn decimal(text: &str) -> Option<u32> {
    (text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

pub(super) fn number(fields: &mut Fields<'_>, what: &str, max: u32) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    decimal(token.text)
        .filter(|n| *n <= max)
        .ok_or_else(|| bad(token, what, &format!("a number from 0 to {max}")))
}

pub(super) fn v4(fields: &mut Fields<'_>, what: &str) -> Result<Ipv4Addr, Fault> {
    let token = fields.word(what)?;
    let expected = "an IPv4 address such as 192.0.2.1";
    token.text.parse().map_err(|_| bad(token, what, expected))
}

pub(super) fn v6(fields: &mut Fields<'_>, what: &str) -> Result<Ipv6Addr, Fault> {
    let token = fields.word(what)?;
    let expected = "an IPv6 address such as 2001:db8::1";
    token.text.parse().map_err(|_| bad(token, what, expected))
}

/// A domain name; a relative one is continued by the origin.
pub(in crate::zone) fn name(fields: &mut Fields<'_>, what: &str) -> Result<Name, Fault> {
    let token = fields.word(what)?;
    Name::parse_relative(token.text, fields.origin)
        .map_err(|error| bad(token, what, &format!("a domain name: {error}")))
}

/// A number or one of some mnemonics.
fn mnemonic(
    fields: &mut Fields<'_>,
    what: &str,
    known: &[(u16, &str)],
    max: u32,
) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    let named = known
        .iter()
        .find(|(_, m)| m.eq_ignore_ascii_case(token.text));
    named
        .map(|(number, _)| u32::from(*number))
        .or_else(|| decimal(token.text).filter(|n| *n <= max))
        .ok_or_else(|| {
            bad(
                token,
                what,
                &format!("a mnemonic or a number from 0 to {max}"),
            )
        })
}

fn rtype(fields: &mut Fields<'_>, what: &str) -> Result<RrType, Fault> {
    let token = fields.word(what)?;
    token
        .text
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

fn period(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let seconds = ttl(token.text).ok_or_else(|| {
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
fn time(fields: &mut Fields<'_>, what: &str) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    let expected = "a time such as 20260731000000 or seconds since 1970";
    if token.text.len() != 14 {
        return decimal(token.text).ok_or_else(|| bad(token, what, expected));
    }
    let part = |from: usize, to: usize| {
        let digits = token.text.get(from..to);
        digits.and_then(decimal).map(i64::from)
    };
    let seconds = || {
        let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
        let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
        let in_range = year >= 1970
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        // Days since 1970 by the calendar that starts in March, so that leap days come last.
        let march_year = if month <= 2 { year - 1 } else { year };
        let march_month = (month + 9) % 12;
        let leap_days = march_year / 4 - march_year / 100 + march_year / 400;
        let days = march_year * 365 + leap_days + (march_month * 306 + 5) / 10 + day - 719_469;
        in_range.then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
    };
    seconds()
        .map(|s| (s & 0xFFFF_FFFF) as u32)
        .ok_or_else(|| bad(token, what, expected))
}

/// Takes the escapes out: `\DDD` and `\X` (RFC 1035 s5.1); `token` is what a fault points at.
pub(super) fn unescape(token: Token<'_>, text: &str) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escaped = match *tail {
            [a @ b'0'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                rest = tail.split_at(3).1;
                let value = [a, b, c]
                    .iter()
                    .fold(0, |n, d| n * 10 + u32::from(d - b'0'));
                u8::try_from(value).ok()
            }
            [digit, ..] if digit.is_ascii_digit() => None,
            [character, ..] => {
                rest = tail.split_at(1).1;
                Some(character)
            }
            [] => None,
        };
        let expected = r"`\` and three digits up to 255, or `\` and one character";
        out.push(escaped.ok_or_else(|| bad(token, "escape in", expected))?);
    }
    Ok(out)
}

/// A character string, with its length octet.
pub(super) fn text(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.token(what)?;
    let bytes = unescape(token, token.text)?;
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

fn texts(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    text(fields, what, out)?;
    while fields.has_more() {
        text(fields, what, out)?;
    }
    Ok(())
}

fn tag(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let tag = token.text.as_bytes();
    if tag.len() > MAX_TEXT_LEN || !tag.iter().all(u8::is_ascii_alphanumeric) {
        return Err(bad(token, what, "letters and digits, such as `issue`"));
    }
    out.push(tag.len() as u8);
    out.extend_from_slice(tag);
    Ok(())
}

/// Decodes text of `bits` per digit, most significant first; `None` if a character is no digit or
/// the digits end inside an octet with bits that are not zero.
fn digits(alphabet: &[u8], bits: u32, text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * bits as usize / 8);
    let (mut buffer, mut filled) = (0u32, 0);
    for byte in text.bytes() {
        let value = alphabet.iter().position(|digit| *digit == byte)?;
        buffer = buffer << bits | value as u32;
        filled += bits;
        if filled >= 8 {
            filled -= 8;
            out.push((buffer >> filled) as u8);
            buffer &= (1 << filled) - 1;
        }
    }
    (buffer == 0 && filled < bits).then_some(out)
}

/// Decodes hexadecimal digits, an even number of them.
pub(super) fn hex_digits(text: &str) -> Option<Vec<u8>> {
    digits(HEX, 4, &text.to_ascii_uppercase()).filter(|_| text.len().is_multiple_of(2))
}

pub(super) fn hex(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (text, spot) = fields.joined(what)?;
    let Some(octets) = hex_digits(&text) else {
        let message = format!("bad {what}, expected an even number of hexadecimal digits");
        return Err(Fault::new(spot, message));
    };
    out.extend_from_slice(&octets);
    Ok(())
}

/// Decodes Base64 with its padding (RFC 4648 s4).
pub(super) fn base64_digits(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    let padded = text.len().is_multiple_of(4) && text.len() - unpadded.len() <= 2;
    padded.then(|| digits(BASE64, 6, unpadded)).flatten()
}

pub(super) fn base64(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (text, spot) = fields.joined(what)?;
    let Some(octets) = base64_digits(&text) else {
        let message = format!("bad {what}, expected Base64 with its `=` padding");
        return Err(Fault::new(spot, message));
    };
    out.extend_from_slice(&octets);
    Ok(())
}

fn salt(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let octets = if token.text == "-" {
        Some(Vec::new())
    } else {
        hex_digits(token.text).filter(|octets| octets.len() <= MAX_TEXT_LEN)
    };
    let octets = octets.ok_or_else(|| bad(token, what, "hexadecimal digits or `-`"))?;
    out.push(octets.len() as u8);
    out.extend_from_slice(&octets);
    Ok(())
}

fn hash(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let token = fields.word(what)?;
    let octets = digits(BASE32HEX, 5, &token.text.to_ascii_uppercase())
        .filter(|octets| (1..=MAX_TEXT_LEN).contains(&octets.len()))
        .ok_or_else(|| bad(token, what, "Base32hex without padding"))?;
    out.push(octets.len() as u8);
    out.extend_from_slice(&octets);
    Ok(())
}

/// Types, as windows of a bitmap (RFC 4034 s4.1.2).
fn types(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut listed = Vec::new();
    while fields.has_more() {
        listed.push(rtype(fields, what)?.0);
    }
    listed.sort_unstable();
    for window in listed.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bitmap = [0u8; 32];
        let mut len = 0;
        for number in window {
            let low = usize::from(number & 0xFF);
            bitmap[low / 8] |= 0x80 >> (low % 8);
            len = low / 8 + 1;
        }
        out.push((window[0] >> 8) as u8);
        out.push(len as u8);
        out.extend_from_slice(&bitmap[..len]);
    }
    Ok(())
}

/// DNSSEC algorithms by the mnemonics of the IANA registry.
pub(super) const ALGORITHMS: &[(u16, &str)] = &[
    (1, "RSAMD5"),
    (2, "DH"),
    (3, "DSA"),
    (5, "RSASHA1"),
    (6, "DSA-NSEC3-SHA1"),
    (7, "RSASHA1-NSEC3-SHA1"),
    (8, "RSASHA256"),
    (10, "RSASHA512"),
    (12, "ECC-GOST"),
    (13, "ECDSAP256SHA256"),
    (14, "ECDSAP384SHA384"),
    (15, "ED25519"),
    (16, "ED448"),
    (252, "INDIRECT"),
    (253, "PRIVATEDNS"),
    (254, "PRIVATEOID"),
];

/// Certificate types (RFC 4398 s2.1).
const CERT_TYPES: &[(u16, &str)] = &[
    (1, "PKIX"),
    (2, "SPKI"),
    (3, "PGP"),
    (4, "IPKIX"),
    (5, "ISPKI"),
    (6, "IPGP"),
    (7, "ACPKIX"),
    (8, "IACPKIX"),
    (253, "URI"),
    (254, "OID"),
];
