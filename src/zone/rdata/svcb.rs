//! The service parameters of SVCB and HTTPS (RFC 9460 s2.1, s7, s8; RFC 9461 dohpath; RFC 9540 ohttp).
//!
//! They are written in any order and stored by ascending key, each at most once.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::base::digits;
use crate::wire::svcb::IPV4HINT;
use crate::wire::svcb::IPV6HINT;
use crate::zone::lex::Fault;
use crate::zone::lex::Token;
use crate::zone::rdata::fields::Fields;
use crate::zone::rdata::fields::decimal;
use crate::zone::rdata::fields::unescape;
use crate::zone::rdata::items::are_items;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const ECH: u16 = 5;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;

/// The registry's names, by key.
const KEYS: [&str; 9] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
    "ohttp",
];

struct Param<'a> {
    key: u16,
    value: Vec<u8>,
    token: Token<'a>,
}

/// Reads all parameters that are left.
pub(super) fn read(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut params = Vec::new();
    while fields.has_more() {
        params.push(param(fields)?);
    }
    params.sort_by_key(|param| param.key);
    if let Some(twice) = params.windows(2).find(|pair| pair[0].key == pair[1].key) {
        let message = format!(
            "parameter `{}` twice, expected each key once",
            twice[1].token.excerpt()
        );
        return Err(Fault::new(twice[1].token.spot, message));
    }
    check_together(&params)?;
    for Param { key, value, .. } in &params {
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    }
    Ok(())
}

/// Checks what one parameter requires of the others: RFC 9460 s7.1.1 and s8.
fn check_together(params: &[Param<'_>]) -> Result<(), Fault> {
    let has = |key| params.iter().any(|param| param.key == key);
    for param in params {
        if param.key == NO_DEFAULT_ALPN && !has(ALPN) {
            let message = "`no-default-alpn` without `alpn`, expected both";
            return Err(Fault::new(param.token.spot, message));
        }
        if param.key == MANDATORY {
            let (keys, _) = param.value.as_chunks::<2>();
            let absent = |key: &&[u8; 2]| !has(u16::from_be_bytes(**key));
            if let Some(key) = keys.iter().find(absent) {
                let name = key_name(u16::from_be_bytes(*key));
                let message = format!("mandatory parameter `{name}` is missing");
                return Err(Fault::new(param.token.spot, message));
            }
        }
    }
    Ok(())
}

/// Reads `key`, `key=value` or `key="value"`.
fn param<'a>(fields: &mut Fields<'a>) -> Result<Param<'a>, Fault> {
    let token = fields.word("a parameter")?;
    let mut parts = token.octets.splitn(2, |octet| *octet == b'=');
    let name = Token {
        octets: parts.next().unwrap_or_default(),
        ..token
    };
    let mut raw = parts.next();
    if raw == Some(b"")
        && let Some(next) = fields.peek()
        && next.quoted
        && next.glued
    {
        raw = Some(fields.token("a value")?.octets);
    }
    let Some(key) = key(name.text()) else {
        let message = format!(
            "unknown parameter `{}`, expected one of {} or `keyN`",
            name.excerpt(),
            KEYS.join(", ")
        );
        return Err(Fault::new(token.spot, message));
    };
    let raw = raw.map(|raw| unescape(token, raw)).transpose()?;
    let value = value(key, raw.as_deref(), name.octets.starts_with(b"key"));
    match value {
        Ok(value) => Ok(Param { key, value, token }),
        Err(expected) => {
            let message = format!("bad value of `{}`, expected {expected}", name.excerpt());
            Err(Fault::new(token.spot, message))
        }
    }
}

fn key(name: &str) -> Option<u16> {
    let known = KEYS.iter().position(|known| *known == name);
    known.map(|at| at as u16).or_else(|| {
        let number = decimal(name.strip_prefix("key")?)?;
        // Key 65535 is reserved as invalid (RFC 9460 s14.3.2).
        u16::try_from(number)
            .ok()
            .filter(|number| *number != u16::MAX)
    })
}

fn key_name(key: u16) -> String {
    KEYS.get(usize::from(key))
        .map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// Whether a value in wire form is one that its key can have (RFC 9460 s7 and s8).
pub(super) fn is_valid(key: u16, value: &[u8]) -> bool {
    match key {
        MANDATORY => {
            let (keys, rest) = value.as_chunks::<2>();
            let ascending = keys.windows(2).all(|pair| pair[0] < pair[1]);
            rest.is_empty() && !keys.is_empty() && ascending && keys[0] != [0, 0]
        }
        ALPN => {
            let item_len = |rest: &[u8]| {
                rest.first()
                    .filter(|len| **len > 0)
                    .map(|len| 1 + usize::from(*len))
            };
            !value.is_empty() && are_items(value, item_len)
        }
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => !value.is_empty() && value.len().is_multiple_of(4),
        IPV6HINT => !value.is_empty() && value.len().is_multiple_of(16),
        ECH | DOHPATH => !value.is_empty(),
        _ => true,
    }
}

/// The wire form of a value; the error is what was expected.
fn value(key: u16, raw: Option<&[u8]>, generic: bool) -> Result<Vec<u8>, &'static str> {
    let text = raw.and_then(|raw| std::str::from_utf8(raw).ok());
    let text = text.unwrap_or("");
    let octets = raw.unwrap_or(&[]);
    let (value, expected) = match key {
        _ if generic => (
            Some(octets.to_vec()),
            "the octets of one that its key can have",
        ),
        MANDATORY => (mandatory(text), "a list of other keys, each once"),
        ALPN => (alpn(octets), "protocols such as `h2,h3`"),
        NO_DEFAULT_ALPN | OHTTP => (raw.is_none().then(Vec::new), "none"),
        PORT => {
            let port = decimal(text).and_then(|port| u16::try_from(port).ok());
            (
                port.map(|port| port.to_be_bytes().into()),
                "a number from 0 to 65535",
            )
        }
        IPV4HINT => {
            let octets = |a: &str| Some(a.parse::<Ipv4Addr>().ok()?.octets());
            let addresses: Option<Vec<_>> = text.split(',').map(octets).collect();
            (
                addresses.map(|a| a.concat()),
                "IPv4 addresses such as `192.0.2.1,192.0.2.2`",
            )
        }
        IPV6HINT => {
            let octets = |a: &str| Some(a.parse::<Ipv6Addr>().ok()?.octets());
            let addresses: Option<Vec<_>> = text.split(',').map(octets).collect();
            (
                addresses.map(|a| a.concat()),
                "IPv6 addresses such as `2001:db8::1`",
            )
        }
        ECH => (digits::base64(text), "Base64 with its `=` padding"),
        _ => (
            Some(octets.to_vec()),
            "one of at most 65535 octets, not empty",
        ),
    };
    let fits = |value: &Vec<u8>| value.len() <= usize::from(u16::MAX) && is_valid(key, value);
    value.filter(fits).ok_or(expected)
}

fn mandatory(text: &str) -> Option<Vec<u8>> {
    let mut keys: Vec<u16> = text.split(',').map(key).collect::<Option<_>>()?;
    keys.sort_unstable();
    Some(keys.iter().flat_map(|key| key.to_be_bytes()).collect())
}

/// Protocol identifiers, each with a length octet; `\,` and `\\` stand for themselves in an item,
/// after the escapes of the string are gone (RFC 9460 A.1).
fn alpn(raw: &[u8]) -> Option<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(bytes.next()?),
            _ => items.last_mut()?.push(byte),
        }
    }
    let mut out = Vec::new();
    for item in items {
        out.push(u8::try_from(item.len()).ok()?);
        out.extend_from_slice(&item);
    }
    Some(out)
}
