//! `[safety]`: which addresses may be endpoints, wherever they come from, and what faulty files may do.
//!
//! Addresses of the IANA special-purpose registries that no packet reaches, and so no endpoint can have,
//! are refused: "this network", the reserved class E, the discard prefix and their like. Loopback,
//! private, shared, benchmark and documentation networks are taken where an operator names an address: they
//! are what tests, examples and split-horizon servers use. Of the addresses that a host name resolves to they
//! are refused, save for documentation: whoever runs that zone would else have this server probe and answer
//! what stands beside it. `allow` lets networks in, `deny` refuses more of them, `allow` or not.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::base::prefix::Prefix;
use crate::base::special_purpose;
use crate::base::special_purpose::is_documentation;

/// `[safety]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Networks that hold no endpoints.
    pub deny: Vec<Prefix>,
    /// Networks that may, although they are special.
    pub allow: Vec<Prefix>,
    /// Whether a faulty zone keeps its last good content while the others change.
    pub isolate_zones: bool,
    /// What `serve` does when a file is faulty.
    pub on_faulty_start: OnFaultyStart,
    /// How many of a name's pools probes may take out.
    pub max_down: MaxDown,
    /// How many of a name's clients a reload may move.
    pub max_move: MaxMove,
}

/// How many of a name's pools probes may take out, in percent; beyond it they are ignored for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxDown(u8);

impl MaxDown {
    /// All of them.
    pub const OFF: Self = Self(100);

    /// Reads `off`, or `N%` with a number from 0 to 99.
    pub fn parse(text: &str) -> Option<Self> {
        percent(text).map(Self)
    }

    /// Whether these are too many of so many pools.
    pub fn is_exceeded(self, n_down: usize, n: usize) -> bool {
        n_down * 100 > n * usize::from(self.0)
    }
}

/// How many of a name's located clients of a family a reload may move away from their pool, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxMove(u8);

impl MaxMove {
    /// All of them.
    pub const OFF: Self = Self(100);

    /// Reads `off`, or `N%` with a number from 0 to 99.
    pub fn parse(text: &str) -> Option<Self> {
        percent(text).map(Self)
    }

    /// Whether these are too many of so many clients.
    pub fn is_exceeded(self, n_moved: f64, n: f64) -> bool {
        self != Self::OFF && n_moved * 100.0 > n * f64::from(self.0)
    }
}

impl fmt::Display for MaxMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// Reads `off`, which is 100, or `N%` with a number from 0 to 99.
fn percent(text: &str) -> Option<u8> {
    if text == "off" {
        return Some(100);
    }
    let digits = text.strip_suffix('%')?;
    let is_number = matches!(digits.len(), 1..=2) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// What `serve` does when a file is faulty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFaultyStart {
    /// It starts from the last good copy of all files, if there is one.
    LastGood,
    /// It does not start.
    Refuse,
}

impl Default for Safety {
    /// Link-local IPv4 is denied: cloud providers serve machines their credentials from there.
    fn default() -> Self {
        let link_local = IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0));
        Self {
            deny: vec![Prefix::cut(link_local, 16)],
            allow: Vec::new(),
            isolate_zones: false,
            on_faulty_start: OnFaultyStart::LastGood,
            max_down: MaxDown::OFF,
            max_move: MaxMove::OFF,
        }
    }
}

/// Why an address may be no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It lies in this special-purpose network, and a host name resolves to it.
    Internal(Prefix),
    /// No packet reaches it; the name of its block in the IANA registry.
    Special(&'static str),
    /// It lies in this network of `deny`.
    Denied(Prefix),
}

impl fmt::Display for Refusal {
    /// Goes on after "is ADDRESS, ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Special(block) => write!(
                f,
                "a special-purpose address ({block}) that no endpoint can have, expected another, or \
                 its network in `allow` of [safety] in meridian.toml"
            ),
            Self::Denied(network) => write!(
                f,
                "which `deny` of [safety] in meridian.toml refuses ({network}), expected another"
            ),
            Self::Internal(network) => write!(
                f,
                "a special-purpose address ({network}), expected another, or its network in `allow` of \
                 [safety] in meridian.toml"
            ),
        }
    }
}

impl Safety {
    /// Checks an address that an operator names.
    ///
    /// # Errors
    /// Why it may be no endpoint.
    pub fn check(&self, address: IpAddr) -> Result<(), Refusal> {
        let holds = |network: &&Prefix| network.contains(address);
        if let Some(network) = self.deny.iter().find(holds) {
            return Err(Refusal::Denied(*network));
        }
        match unreachable_block(address) {
            Some(block) if !self.allows(address) => Err(Refusal::Special(block)),
            _ => Ok(()),
        }
    }

    /// Checks an address that a host name resolves to.
    ///
    /// # Errors
    /// Why it may be no endpoint.
    pub fn check_found(&self, address: IpAddr) -> Result<(), Refusal> {
        self.check(address)?;
        let mut blocks = special_purpose::blocks().iter();
        let holds = |block: &&Prefix| block.contains(address) && !is_documentation(**block);
        match blocks.find(holds) {
            Some(block) if !self.allows(address) => Err(Refusal::Internal(*block)),
            _ => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }
}

/// A block of the registries: its first address, IPv4 as IPv4-mapped, its length, and its name if no
/// endpoint can have an address in it.
type Block = (u128, u8, Option<&'static str>);

const fn v4(first: [u8; 4], len: u8, name: Option<&'static str>) -> Block {
    let [a, b, c, d] = first;
    let first = Ipv4Addr::new(a, b, c, d).to_ipv6_mapped();
    (first.to_bits(), 96 + len, name)
}

const fn v6(first: [u16; 8], len: u8, name: Option<&'static str>) -> Block {
    let [a, b, c, d, e, f, g, h] = first;
    (Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), len, name)
}

/// Blocks of the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890, RFC 8190) whose
/// addresses are no destination, and the blocks inside them that are; the longest match decides.
const BLOCKS: &[Block] = &[
    v4([0, 0, 0, 0], 8, Some("this network, RFC 791")),
    v4(
        [192, 0, 0, 0],
        24,
        Some("IETF protocol assignments, RFC 6890"),
    ),
    v4([192, 0, 0, 0], 29, None),
    v4([192, 0, 0, 9], 32, None),
    v4([192, 0, 0, 10], 32, None),
    v4([224, 0, 0, 0], 4, Some("multicast, RFC 5771")),
    v4([240, 0, 0, 0], 4, Some("reserved, RFC 1112")),
    v6([0; 8], 96, Some("IPv4-compatible, RFC 4291")),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, None),
    v6(
        [0, 0, 0, 0, 0xFFFF, 0, 0, 0],
        96,
        Some("IPv4-translated, RFC 2765"),
    ),
    v6(
        [0x100, 0, 0, 0, 0, 0, 0, 0],
        64,
        Some("discard-only, RFC 6666"),
    ),
    v6(
        [0x100, 0, 0, 1, 0, 0, 0, 0],
        64,
        Some("dummy prefix, RFC 9780"),
    ),
    v6(
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        Some("IETF protocol assignments, RFC 2928"),
    ),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, None),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, None),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, None),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, None),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, None),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, None),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, None),
    v6(
        [0xFE80, 0, 0, 0, 0, 0, 0, 0],
        10,
        Some("link-local, RFC 4291"),
    ),
    v6(
        [0xFEC0, 0, 0, 0, 0, 0, 0, 0],
        10,
        Some("site-local, deprecated, RFC 3879"),
    ),
    v6(
        [0xFF00, 0, 0, 0, 0, 0, 0, 0],
        8,
        Some("multicast, RFC 4291"),
    ),
];

/// The name of the block that makes an address unfit for an endpoint.
fn unreachable_block(address: IpAddr) -> Option<&'static str> {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let holds = |(first, len, _): &&Block| (bits ^ first).leading_zeros() >= u32::from(*len);
    let longest = BLOCKS.iter().filter(holds).max_by_key(|(_, len, _)| *len);
    longest.and_then(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_that_no_packet_reaches_are_no_endpoints() {
        for text in [
            "0.0.0.1",
            "0.255.255.255",
            "192.0.0.8",
            "192.0.0.170",
            "192.0.0.255",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.254",
            "::2",
            "::192.0.2.1",
            "::ffff:0:192.0.2.1",
            "100::1",
            "100:0:0:1::1",
            "2001:5::1",
            "2001:10::1",
            "fe80::1",
            "fec0::1",
            "ff0e::1",
        ] {
            let found = Safety::default().check(address(text));
            assert!(matches!(found, Err(Refusal::Special(_))), "{text}");
        }
    }

    #[test]
    fn loopback_private_and_documentation_addresses_are_endpoints() {
        for text in [
            "1.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.0.9",
            "192.0.1.0",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "223.255.255.255",
            "::1",
            "64:ff9b::1",
            "64:ff9b:1::1",
            "100:0:0:2::1",
            "2001::1",
            "2001:1::1",
            "2001:200::1",
            "2001:db8::1",
            "2002::1",
            "3fff::1",
            "fd00::1",
        ] {
            assert_eq!(Safety::default().check(address(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn max_down_is_a_share_of_the_pools() {
        for (text, expected) in [
            ("off", Some(MaxDown::OFF)),
            ("0%", Some(MaxDown(0))),
            ("50%", Some(MaxDown(50))),
            ("99%", Some(MaxDown(99))),
            ("100%", None),
            ("50", None),
            ("%", None),
            ("+5%", None),
            ("", None),
        ] {
            assert_eq!(MaxDown::parse(text), expected, "{text}");
        }
        for (percent, n_down, n, expected) in [
            (50, 0, 0, false),
            (50, 1, 1, true),
            (50, 1, 2, false),
            (50, 1, 3, false),
            (50, 2, 3, true),
            (0, 1, 100, true),
            (99, 100, 100, true),
            (99, 99, 100, false),
            (100, 3, 3, false),
        ] {
            let is_exceeded = MaxDown(percent).is_exceeded(n_down, n);
            assert_eq!(is_exceeded, expected, "{percent} % of {n}: {n_down}");
        }
    }

    #[test]
    fn networks_are_denied_and_allowed_by_the_operator() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a network");
        let link_local = address("169.254.1.1");
        let denied = Err(Refusal::Denied(prefix("169.254.0.0/16")));
        assert_eq!(Safety::default().check(link_local), denied);
        let safety = Safety {
            deny: vec![prefix("10.0.0.0/8"), prefix("fd00::/8")],
            allow: vec![prefix("10.1.0.0/16"), prefix("240.0.0.0/4")],
            ..Safety::default()
        };
        for (text, is_taken) in [
            ("10.0.0.1", false),
            ("10.1.0.1", false),
            ("fd00::1", false),
            ("240.0.0.1", true),
            ("0.0.0.1", false),
            ("169.254.1.1", true),
        ] {
            assert_eq!(safety.check(address(text)).is_ok(), is_taken, "{text}");
        }
    }

    #[test]
    fn a_host_name_stands_for_no_address_behind_this_server() {
        let prefix = |text: &str| text.parse::<Prefix>().expect("a network");
        let allowing = Safety {
            allow: vec![
                prefix("127.0.0.0/8"),
                prefix("10.0.0.0/8"),
                prefix("0.0.0.0/0"),
            ],
            ..Safety::default()
        };
        for (text, is_taken, is_taken_if_allowed) in [
            ("9.9.9.9", true, true),
            ("192.0.2.1", true, true),
            ("2001:db8::1", true, true),
            ("2600::1", true, true),
            ("127.0.0.1", false, true),
            ("10.0.0.1", false, true),
            ("0.0.0.0", false, true),
            ("169.254.169.254", false, false),
            ("::1", false, false),
            ("::ffff:127.0.0.1", false, true),
            ("64:ff9b::7f00:1", false, false),
            ("fd00::1", false, false),
            ("fe80::1", false, false),
        ] {
            let address = address(text);
            let found = [Safety::default(), allowing.clone()]
                .map(|safety| safety.check_found(address).is_ok());
            assert_eq!(found, [is_taken, is_taken_if_allowed], "{text}");
        }
    }
}
