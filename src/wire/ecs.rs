//! The client subnet option (RFC 7871): whom a resolver asks for.
//!
//! A subnet is either whole or malformed; nothing is repaired. RFC 7871 s7.1.2 wants FORMERR for all of
//! these: an unknown family, a source length beyond the family's bits, more or fewer address octets
//! than that length needs, bits set beyond it, and (s6) a scope in a query. Family 0 stands for no
//! address at all and goes with length 0 only.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::base::prefix::Prefix;
use crate::base::prefix::mask32;
use crate::base::prefix::mask128;

/// The ECS of a query: family, address and SOURCE PREFIX-LENGTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    addr: Option<IpAddr>,
    source_len: u8,
}

impl ClientSubnet {
    /// Reads the option's data as sent in a query; `None` if it is malformed.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&[family0, family1, source_len, scope_len], sent) = data.split_first_chunk::<4>()?;
        if scope_len != 0 || sent.len() != n_octets(source_len) {
            return None;
        }
        let mut octets = [0; 16];
        octets.get_mut(..sent.len())?.copy_from_slice(sent);
        let addr = match u16::from_be_bytes([family0, family1]) {
            0 if source_len == 0 => None,
            1 if source_len <= 32 => {
                let addr = Ipv4Addr::from(*octets.first_chunk::<4>()?);
                (addr.to_bits() & !mask32(source_len) == 0).then_some(())?;
                Some(IpAddr::V4(addr))
            }
            2 if source_len <= 128 => {
                let addr = Ipv6Addr::from(octets);
                (addr.to_bits() & !mask128(source_len) == 0).then_some(())?;
                Some(IpAddr::V6(addr))
            }
            _ => return None,
        };
        Some(Self { addr, source_len })
    }

    /// The address family number: 1 for IPv4, 2 for IPv6, 0 for none.
    pub fn family(self) -> u16 {
        match self.addr {
            None => 0,
            Some(IpAddr::V4(_)) => 1,
            Some(IpAddr::V6(_)) => 2,
        }
    }

    /// The SOURCE PREFIX-LENGTH as sent.
    pub fn source_len(self) -> u8 {
        self.source_len
    }

    /// The address as sent, bits beyond the source length zero; `None` for family 0.
    pub fn addr(self) -> Option<IpAddr> {
        self.addr
    }

    /// The network that the client is in; `None` if the source length is 0, by which a client asks
    /// not to be located (RFC 7871 s7.1.2). An IPv4-mapped network comes out as IPv4.
    pub fn prefix(self) -> Option<Prefix> {
        let addr = self.addr.filter(|_| self.source_len > 0)?;
        Some(Prefix::cut(addr, self.source_len))
    }

    /// Counts a scope found for [`Self::prefix`] in this option's family: where that made IPv4 of an
    /// IPv4-mapped network, 96 bits come back.
    pub fn scope_len(self, len: u8) -> u8 {
        match self.addr {
            Some(IpAddr::V6(v6)) if self.source_len > 0 && v6.to_ipv4_mapped().is_some() => {
                len.saturating_add(96)
            }
            _ => len,
        }
    }

    /// Length of the option's data in octets.
    pub fn data_len(self) -> usize {
        n_octets(self.source_len).saturating_add(4)
    }

    /// Writes the option's data for a response: family, source length and address as in the query,
    /// with the given scope (RFC 7871 s7.2.1). Returns what was written of `buffer`.
    pub fn write(self, scope_len: u8, buffer: &mut [u8; 20]) -> &[u8] {
        let [family0, family1] = self.family().to_be_bytes();
        let octets = match self.addr {
            None => [0; 16],
            Some(IpAddr::V4(v4)) => {
                let [a, b, c, d] = v4.octets();
                [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            }
            Some(IpAddr::V6(v6)) => v6.octets(),
        };
        if let Some((head, tail)) = buffer.split_first_chunk_mut::<4>() {
            *head = [family0, family1, self.source_len, scope_len];
            tail.copy_from_slice(&octets);
        }
        buffer.get(..self.data_len()).unwrap_or_default()
    }
}

/// The number of octets that hold so many bits.
fn n_octets(source_len: u8) -> usize {
    usize::from(source_len.div_ceil(8))
}
