//! `Prefix`: an IP network, and `Family`, the address family it belongs to.
//!
//! An IPv4-mapped IPv6 address is always held as IPv4, so that a client behind a dual-stack socket
//! is the client its packets say it is. Host bits are always zero, which makes equality of prefixes
//! equality of sets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::base::rr::RrType;

/// An address family; the order is that of the record types, A before AAAA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, asked for with type A.
    V4,
    /// IPv6, asked for with type AAAA.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address (IPv4-mapped addresses are IPv4).
    pub fn of(addr: IpAddr) -> Self {
        match addr.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The type of its address records.
    pub fn rtype(self) -> RrType {
        match self {
            Self::V4 => RrType::A,
            Self::V6 => RrType::AAAA,
        }
    }

    /// Address length in bits: 32 or 128.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of left-aligned bits.
    pub fn address(self, bits: u128) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(((bits >> 96) as u32).into()),
            Self::V6 => IpAddr::V6(bits.into()),
        }
    }

    /// The word used in metric labels and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An IP network: an address whose bits past `len` are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    family: Family,
    /// Left-aligned: an IPv4 address in the leading 32.
    bits: u128,
    len: u8,
}

/// Why a text is not a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The part before the slash is no address.
    #[error("not an IP address")]
    Address,
    /// The length is no number or longer than the address.
    #[error("prefix length out of range")]
    Length,
    /// Bits past the length are set, which is nearly always a typing error.
    #[error("address has bits set beyond its prefix length")]
    HostBits,
}

impl Prefix {
    /// Cuts an address to its first `len` bits; a longer `len` means the whole address.
    ///
    /// An IPv4-mapped address becomes IPv4 and its length counts from the IPv4 part.
    pub fn cut(addr: IpAddr, len: u8) -> Self {
        match addr {
            IpAddr::V4(v4) => Self::of_bits(Family::V4, u128::from(v4.to_bits()) << 96, len),
            IpAddr::V6(v6) => Self::cut_bits(Family::V6, v6.to_bits(), len),
        }
    }

    /// The same for an address of left-aligned bits.
    pub fn cut_bits(family: Family, bits: u128, len: u8) -> Self {
        match family == Family::V6 && bits >> 32 == 0xFFFF {
            true => Self::of_bits(Family::V4, bits << 96, len.saturating_sub(96)),
            false => Self::of_bits(family, bits, len),
        }
    }

    /// Cuts a left-aligned address of a family to its first `len` bits.
    pub fn of_bits(family: Family, bits: u128, len: u8) -> Self {
        let len = len.min(family.bits());
        Self {
            family,
            bits: bits & mask128(len),
            len,
        }
    }

    /// The prefix that holds this address alone.
    pub fn host(addr: IpAddr) -> Self {
        Self::cut(addr, 128)
    }

    /// The network address.
    pub fn addr(self) -> IpAddr {
        self.family.address(self.bits)
    }

    /// The network address with its bits left-aligned: an IPv4 address in the leading 32.
    pub fn bits(self) -> u128 {
        self.bits
    }

    /// The length in bits.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a length in bits, not a container's size"
    )]
    pub fn len(self) -> u8 {
        self.len
    }

    /// The address family.
    pub fn family(self) -> Family {
        self.family
    }

    /// This prefix cut to at most `len` bits.
    pub fn truncated(self, len: u8) -> Self {
        Self::of_bits(self.family, self.bits, self.len.min(len))
    }

    /// The prefix one bit shorter; `None` for the whole address space.
    pub fn parent(self) -> Option<Self> {
        let len = self.len.checked_sub(1)?;
        Some(self.truncated(len))
    }

    /// Whether an address of the same family lies inside.
    pub fn contains(self, addr: IpAddr) -> bool {
        let host = Self::host(addr);
        host.family == self.family && host.truncated(self.len) == self
    }

    /// Whether `other` is this prefix or lies inside it.
    pub fn covers(self, other: Self) -> bool {
        self.len <= other.len && other.family == self.family && other.truncated(self.len) == self
    }

    /// The IPv4 network inside an IPv6 one, and how many bits stand before it: of a 6to4 site (RFC 3056),
    /// and of an IPv4 host behind a translator with the well-known prefix (RFC 6052, RFC 7755).
    pub fn embedded_v4(self) -> Option<(Self, u8)> {
        let offset = self.v4_offset()?;
        let len = self.len.checked_sub(offset).filter(|len| *len > 0)?;
        Some((Self::of_bits(Family::V4, self.bits << offset, len), offset))
    }

    /// Whether all its addresses have an IPv4 address inside.
    pub fn embeds_v4(self) -> bool {
        self.v4_offset().is_some_and(|offset| self.len >= offset)
    }

    fn v4_offset(self) -> Option<u8> {
        match self.family {
            Family::V6 if self.bits >> 112 == 0x2002 => Some(16),
            Family::V6 if self.bits >> 32 == 0x64_FF9B << 64 => Some(96),
            _ => None,
        }
    }

    /// The highest address inside.
    pub fn last(self) -> IpAddr {
        self.family.address(self.bits | !mask128(self.len))
    }
}

/// The 32-bit mask of a prefix length (0 to 32).
pub fn mask32(len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(len.min(32)))
        .unwrap_or(0)
}

/// The 128-bit mask of a prefix length (0 to 128).
pub fn mask128(len: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(len.min(128)))
        .unwrap_or(0)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `ADDR` or `ADDR/LEN`; set host bits are refused.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (addr, len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| PrefixError::Address)?;
        let max = if addr.is_ipv4() { 32 } else { 128 };
        let len = match len {
            Some(len) => len
                .parse()
                .ok()
                .filter(|len| *len <= max)
                .ok_or(PrefixError::Length)?,
            None => max,
        };
        let prefix = Self::cut(addr, len);
        if prefix.addr() != addr.to_canonical() {
            return Err(PrefixError::HostBits);
        }
        Ok(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Prefix {
        text.parse().expect(text)
    }

    #[test]
    fn text_forms_are_read_and_faults_told_apart() {
        assert_eq!(p("192.0.2.0/24").to_string(), "192.0.2.0/24");
        assert_eq!(p("192.0.2.1").len(), 32);
        assert_eq!(p("2001:db8::/32").len(), 32);
        assert_eq!(p("::ffff:192.0.2.0/120"), p("192.0.2.0/24"));
        assert_eq!("192.0.2.1/24".parse::<Prefix>(), Err(PrefixError::HostBits));
        assert_eq!("192.0.2.0/33".parse::<Prefix>(), Err(PrefixError::Length));
        assert_eq!("192.0.2/24".parse::<Prefix>(), Err(PrefixError::Address));
    }

    #[test]
    fn containment_stays_inside_one_family() {
        assert!(p("0.0.0.0/0").contains("198.51.100.1".parse().expect("address")));
        assert!(!p("0.0.0.0/0").contains("2001:db8::1".parse().expect("address")));
        assert!(p("192.0.2.0/24").contains("::ffff:192.0.2.9".parse().expect("address")));
        assert!(p("192.0.2.0/24").covers(p("192.0.2.128/25")));
        assert!(!p("192.0.2.128/25").covers(p("192.0.2.0/24")));
    }

    #[test]
    fn ipv4_networks_are_found_inside_ipv6_ones() {
        for (outer, inner) in [
            ("2002:c000:200::/40", Some((p("192.0.2.0/24"), 16))),
            ("2002:c000:201::/48", Some((p("192.0.2.1/32"), 16))),
            ("2002:c000:201:1::/64", Some((p("192.0.2.1/32"), 16))),
            ("2002:c000::/17", Some((p("128.0.0.0/1"), 16))),
            ("2002::/16", None),
            ("2003:c000::/40", None),
            ("64:ff9b::c000:200/120", Some((p("192.0.2.0/24"), 96))),
            ("64:ff9b::/96", None),
            ("64:ff9b:1::c000:200/120", None),
            ("2001:0:c000:200::/64", None),
            ("32.2.0.0/16", None),
        ] {
            // Host bits in the way of a test's notation are cut.
            let (addr, len) = outer.split_once('/').expect(outer);
            let (addr, len) = (addr.parse().expect(outer), len.parse().expect(outer));
            assert_eq!(Prefix::cut(addr, len).embedded_v4(), inner, "{outer}");
        }
    }

    #[test]
    fn parent_and_last_follow_the_length() {
        assert_eq!(p("192.0.3.0/24").parent(), Some(p("192.0.2.0/23")));
        assert_eq!(p("::/0").parent(), None);
        assert_eq!(p("192.0.2.0/24").last().to_string(), "192.0.2.255");
        assert_eq!(
            p("2001:db8::/33").last().to_string(),
            "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"
        );
    }
}
