//! The service parameters of SVCB and HTTPS (RFC 9460 s2.1, s7, s8; RFC 9461 dohpath; RFC 9540 ohttp).
//!
//! They are written in any order and stored by ascending key, each at most once.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::zone::lex::Fault;
use crate::zone::lex::Token;
use crate::zone::rdata::text::Fields;
use crate::zone::rdata::text::base64_digits;
use crate::zone::rdata::text::decimal;
use crate::zone::rdata::text::unescape;

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
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
            twice[1].token.text
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

/// Checks what one parameter says of the others: RFC 9460 s7.1.1 and s8.
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
                let message = format!("mandatory parameter `{name}` is not there");
                return Err(Fault::new(param.token.spot, message));
            }
        }
    }
    Ok(())
}

/// Reads `key`, `key=value` or `key="value"`.
fn param<'a>(fields: &mut Fields<'a>) -> Result<Param<'a>, Fault> {
    let token = fields.word("a parameter")?;
    let (name, mut raw) = match token.text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (token.text, None),
    };
    if raw == Some("")
        && let Some(next) = fields.peek()
        && next.quoted
        && next.glued
    {
        raw = Some(fields.token("a value")?.text);
    }
    let Some(key) = key(name) else {
        let message = format!(
            "unknown parameter `{name}`, expected one of {} or `keyN`",
            KEYS.join(", ")
        );
        return Err(Fault::new(token.spot, message));
    };
    let raw = raw.map(|raw| unescape(token, raw)).transpose()?;
    let value = value(key, raw.as_deref(), name.starts_with("key"));
    match value {
        Ok(value) => Ok(Param { key, value, token }),
        Err(expected) => {
            let message = format!("bad value of `{name}`, expected {expected}");
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

/// The wire form of a value, or what was expected instead.
fn value(key: u16, raw: Option<&[u8]>, generic: bool) -> Result<Vec<u8>, &'static str> {
    let text = raw
        .and_then(|raw| std::str::from_utf8(raw).ok())
        .unwrap_or("");
    let items = || text.split(',');
    let value = match key {
        _ if generic => raw.unwrap_or(&[]).to_vec(),
        MANDATORY => return mandatory(text).ok_or("a list of other keys, each once"),
        ALPN => return alpn(raw.unwrap_or(&[])).ok_or("protocols such as `h2,h3`"),
        NO_DEFAULT_ALPN | OHTTP if raw.is_none() => Vec::new(),
        NO_DEFAULT_ALPN | OHTTP => return Err("no value"),
        PORT => match text.parse::<u16>() {
            Ok(port) if text.starts_with(|c: char| c.is_ascii_digit()) => port.to_be_bytes().into(),
            _ => return Err("a number from 0 to 65535"),
        },
        IPV4HINT => {
            let addresses: Option<Vec<[u8; 4]>> = items()
                .map(|a| a.parse::<Ipv4Addr>().ok().map(|a| a.octets()))
                .collect();
            addresses
                .ok_or("IPv4 addresses such as `192.0.2.1,192.0.2.2`")?
                .concat()
        }
        IPV6HINT => {
            let addresses: Option<Vec<[u8; 16]>> = items()
                .map(|a| a.parse::<Ipv6Addr>().ok().map(|a| a.octets()))
                .collect();
            addresses
                .ok_or("IPv6 addresses such as `2001:db8::1`")?
                .concat()
        }
        ECH => match base64_digits(text) {
            Some(ech) if !ech.is_empty() => ech,
            _ => return Err("Base64 with its `=` padding"),
        },
        _ => match raw {
            Some(raw) if !raw.is_empty() => raw.to_vec(),
            _ => return Err("a value"),
        },
    };
    if value.len() > usize::from(u16::MAX) {
        return Err("at most 65535 octets");
    }
    Ok(value)
}

fn mandatory(text: &str) -> Option<Vec<u8>> {
    let mut keys: Vec<u16> = text.split(',').map(key).collect::<Option<_>>()?;
    keys.sort_unstable();
    let repeated = keys.windows(2).any(|pair| pair[0] == pair[1]);
    let valid = !repeated && !keys.contains(&MANDATORY);
    valid.then(|| keys.iter().flat_map(|key| key.to_be_bytes()).collect())
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
        out.push(u8::try_from(item.len()).ok().filter(|len| *len > 0)?);
        out.extend_from_slice(&item);
    }
    Some(out)
}
