//! Questions as people ask them, read from text: for the command line and the HTTP API alike.

use std::net::IpAddr;

use crate::base::name::Name;
use crate::base::name::NameError;
use crate::base::prefix::Prefix;
use crate::base::rr::RrType;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name.
    pub name: Name,
    /// The type.
    pub qtype: RrType,
    /// Who asks.
    pub client: Asker,
}

/// Who asks: a client behind a resolver that sends ECS, or a resolver that does not.
#[derive(Clone, Copy, Debug)]
pub enum Asker {
    /// The resolver's own address decides.
    Resolver(IpAddr),
    /// The client subnet decides, where ECS is enabled.
    Subnet(Prefix),
}

impl Asker {
    /// The packet's source, and the client subnet in it. Behind a subnet, the source is its first address.
    pub(super) fn source(self) -> (IpAddr, Option<Prefix>) {
        match self {
            Self::Resolver(addr) => (addr, None),
            Self::Subnet(prefix) => (prefix.addr(), Some(prefix)),
        }
    }
}

/// Why a text is no part of a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// The client is neither an address nor a subnet.
    #[error(
        "`{0}` is no client, expected an address such as `192.0.2.1` for a resolver or a subnet \
         such as `192.0.2.0/24` for its client"
    )]
    Client(String),
    /// The name is none.
    #[error("`{text}` is no name: {fault}, expected one such as `app.example.com`")]
    Name {
        /// As written.
        text: String,
        /// What is wrong with it.
        fault: NameError,
    },
    /// The type is not known.
    #[error("`{0}` is no record type, expected one such as `A`, `AAAA`, `MX` or `TYPE65280`")]
    Type(String),
}

impl Question {
    /// Reads a name, a type (`A` where none is given) and a client: `ADDR` is a resolver without ECS,
    /// `ADDR/LEN` a client subnet, cut to its length as `dig +subnet` does; none means `peer`.
    ///
    /// # Errors
    /// The first text that cannot be read.
    pub fn parse(
        name: &str,
        qtype: Option<&str>,
        client: Option<&str>,
        peer: IpAddr,
    ) -> Result<Self, QuestionError> {
        let text = name.to_owned();
        let name = Name::parse(name).map_err(|fault| QuestionError::Name { text, fault })?;
        let qtype = match qtype {
            Some(text) => text
                .parse()
                .map_err(|()| QuestionError::Type(text.to_owned()))?,
            None => RrType::A,
        };
        let client = match client {
            Some(text) => asker(text).ok_or_else(|| QuestionError::Client(text.to_owned()))?,
            None => Asker::Resolver(peer.to_canonical()),
        };
        Ok(Self {
            name,
            qtype,
            client,
        })
    }
}

fn asker(text: &str) -> Option<Asker> {
    let Some((addr, len)) = text.split_once('/') else {
        return Some(Asker::Resolver(text.parse::<IpAddr>().ok()?.to_canonical()));
    };
    let addr: IpAddr = addr.parse().ok()?;
    let max = if addr.is_ipv4() { 32 } else { 128 };
    let is_plain = len.bytes().all(|byte| byte.is_ascii_digit());
    let len: u8 = len.parse().ok().filter(|len| is_plain && *len <= max)?;
    Some(Asker::Subnet(Prefix::cut(addr, len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, qtype: Option<&str>, client: Option<&str>) -> Result<String, String> {
        let peer = "::ffff:198.51.100.7".parse().expect("an address");
        match Question::parse(name, qtype, client, peer) {
            Ok(q) => Ok(format!("{} {} {:?}", q.name, q.qtype, q.client)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_is_left_out_has_a_meaning() {
        for (qtype, client, meaning) in [
            (None, None, "a.example. A Resolver(198.51.100.7)"),
            (
                Some("aaaa"),
                Some("2001:db8::1"),
                "a.example. AAAA Resolver(2001:db8::1)",
            ),
            (
                Some("TYPE1"),
                Some("192.0.2.77/24"),
                "a.example. A Subnet(192.0.2.0/24)",
            ),
            (
                None,
                Some("2001:db8:1:2::/48"),
                "a.example. A Subnet(2001:db8:1::/48)",
            ),
            (None, Some("0.0.0.0/0"), "a.example. A Subnet(0.0.0.0/0)"),
            (
                None,
                Some("::ffff:192.0.2.1"),
                "a.example. A Resolver(192.0.2.1)",
            ),
        ] {
            assert_eq!(read("a.example", qtype, client).as_deref(), Ok(meaning));
        }
    }

    #[test]
    fn what_cannot_be_read_is_repeated_with_what_was_expected() {
        for (name, qtype, client, start) in [
            (
                "a..b",
                None,
                None,
                "`a..b` is no name: empty label, expected",
            ),
            ("", None, None, "`` is no name: empty label"),
            ("a", Some("AAAAA"), None, "`AAAAA` is no record type"),
            ("a", Some(""), None, "`` is no record type"),
            ("a", None, Some("192.0.2"), "`192.0.2` is no client"),
            (
                "a",
                None,
                Some("192.0.2.0/33"),
                "`192.0.2.0/33` is no client",
            ),
            (
                "a",
                None,
                Some("192.0.2.0/+8"),
                "`192.0.2.0/+8` is no client",
            ),
            ("a", None, Some("192.0.2.0/"), "`192.0.2.0/` is no client"),
            ("a", None, Some("example.com"), "`example.com` is no client"),
        ] {
            let error = read(name, qtype, client).expect_err(start);
            assert!(error.starts_with(start), "{error}");
        }
    }
}
