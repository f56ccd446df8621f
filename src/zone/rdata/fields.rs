//! The tokens of one entry, and what many kinds of fields are read with: numbers, addresses, names,
//! escapes, hexadecimal and Base64.

use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::base::digits;
use crate::base::name::Name;
use crate::zone::lex::Fault;
use crate::zone::lex::Spot;
use crate::zone::lex::Token;

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
        first.is_some_and(|token| !token.quoted && token.octets == word.as_bytes())
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
            let message = format!("unexpected string \"{}\", expected {what}", token.excerpt());
            return Err(Fault::new(token.spot, message));
        }
        Ok(token)
    }

    /// Takes all words that are left, written together; at least one.
    pub(super) fn joined(&mut self, what: &str) -> Result<(String, Spot), Fault> {
        let first = self.word(what)?;
        let mut joined = first.text().to_owned();
        while self.has_more() {
            joined.push_str(self.word(what)?.text());
        }
        Ok((joined, first.spot))
    }

    /// Checks that nothing is left.
    pub(in crate::zone) fn finish(&self) -> Result<(), Fault> {
        self.tokens.first().map_or(Ok(()), |token| {
            let message = format!(
                "unexpected `{}`, expected the entry to end",
                token.excerpt()
            );
            Err(Fault::new(token.spot, message))
        })
    }
}

/// What is wrong with a token that is no `what`.
pub(super) fn bad(token: Token<'_>, what: &str, expected: &str) -> Fault {
    let message = format!("bad {what} `{}`, expected {expected}", token.excerpt());
    Fault::new(token.spot, message)
}

/// A decimal number without a sign.
pub(super) fn decimal(text: &str) -> Option<u32> {
    (text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A number of at most `max`.
pub(super) fn number(fields: &mut Fields<'_>, what: &str, max: u32) -> Result<u32, Fault> {
    let token = fields.word(what)?;
    decimal(token.text())
        .filter(|n| *n <= max)
        .ok_or_else(|| bad(token, what, &format!("a number from 0 to {max}")))
}

/// An IPv4 address.
pub(super) fn v4(fields: &mut Fields<'_>, what: &str) -> Result<Ipv4Addr, Fault> {
    let token = fields.word(what)?;
    let expected = "an IPv4 address such as 192.0.2.1";
    token.text().parse().map_err(|_| bad(token, what, expected))
}

/// An IPv6 address.
pub(super) fn v6(fields: &mut Fields<'_>, what: &str) -> Result<Ipv6Addr, Fault> {
    let token = fields.word(what)?;
    let expected = "an IPv6 address such as 2001:db8::1";
    token.text().parse().map_err(|_| bad(token, what, expected))
}

/// A domain name; a relative one is continued by the origin.
pub(in crate::zone) fn name(fields: &mut Fields<'_>, what: &str) -> Result<Name, Fault> {
    let token = fields.word(what)?;
    parse_name(token, fields.origin, what)
}

/// The name at the start of an entry, which may stand in quotes, as in BIND.
pub(in crate::zone) fn owner(fields: &mut Fields<'_>) -> Result<Name, Fault> {
    let token = fields.token("an owner")?;
    parse_name(token, fields.origin, "owner")
}

fn parse_name(token: Token<'_>, origin: &Name, what: &str) -> Result<Name, Fault> {
    Name::parse_relative(token.octets, origin)
        .map_err(|error| bad(token, what, &format!("a domain name: {error}")))
}

/// Takes the escapes out: `\DDD` and `\X` (RFC 1035 s5.1); `token` is what a fault points at.
pub(super) fn unescape(token: Token<'_>, text: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
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

/// Hexadecimal in all tokens that are left.
pub(super) fn hex(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (text, spot) = fields.joined(what)?;
    let Some(octets) = digits::hex(&text) else {
        let message = format!("bad {what}, expected an even number of hexadecimal digits");
        return Err(Fault::new(spot, message));
    };
    out.extend_from_slice(&octets);
    Ok(())
}

/// Base64 in all tokens that are left.
pub(super) fn base64(fields: &mut Fields<'_>, what: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (text, spot) = fields.joined(what)?;
    let Some(octets) = digits::base64(&text) else {
        let message = format!("bad {what}, expected Base64 with its `=` padding");
        return Err(Fault::new(spot, message));
    };
    out.extend_from_slice(&octets);
    Ok(())
}
