//! The client subnet option (RFC 7871): whom a resolver asks for.
//!
//! A subnet is either whole or malformed; nothing is repaired. RFC 7871 s6 wants FORMERR for all of
//! these: an unknown family, a source length beyond the family's bits, more or fewer address octets
//! than that length needs, bits set beyond it, and a scope in a query. Family 0 stands for no
//! address at all and goes with length 0 only.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use crate::base::prefix::Family;
use crate::base::prefix::Prefix;
use crate::base::prefix::mask128;

/// The ECS of a query: family, address and SOURCE PREFIX-LENGTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    /// `None` for family 0.
    family: Option<Family>,
    source_len: u8,
    /// The address, left-aligned, with zeros beyond the source length.
    bits: u128,
}

impl ClientSubnet {
    /// Reads the option's data as sent in a query; `None` if it is malformed.
    // Inlined, or the subnet is returned through memory in other pieces than it is read in.
    #[inline]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&[family0, family1, source_len, scope_len], sent) = data.split_first_chunk::<4>()?;
        let (family, max_len) = match u16::from_be_bytes([family0, family1]) {
            0 => (None, 0),
            1 => (Some(Family::V4), 32),
            2 => (Some(Family::V6), 128),
            _ => return None,
        };
        if scope_len != 0 || source_len > max_len || sent.len() != n_octets(source_len) {
            return None;
        }
        let bits = left_aligned(sent)?;
        if bits & !mask128(source_len) != 0 {
            return None;
        }
        Some(Self {
            family,
            source_len,
            bits,
        })
    }

    /// The address family number: 1 for IPv4, 2 for IPv6, 0 for none.
    pub fn family(self) -> u16 {
        match self.family {
            None => 0,
            Some(Family::V4) => 1,
            Some(Family::V6) => 2,
        }
    }

    /// The SOURCE PREFIX-LENGTH as sent.
    pub fn source_len(self) -> u8 {
        self.source_len
    }

    /// The address as sent, bits beyond the source length zero; `None` for family 0.
    pub fn addr(self) -> Option<IpAddr> {
        Some(self.family?.address(self.bits))
    }

    /// The network that the client is in; `None` if the source length is 0, by which a client asks
    /// not to be located (RFC 7871 s7.1.2). An IPv4-mapped network comes out as IPv4.
    pub fn prefix(self) -> Option<Prefix> {
        let addr = self.addr().filter(|_| self.source_len > 0)?;
        Some(Prefix::cut(addr, self.source_len))
    }

    /// Counts a scope found for [`Self::prefix`] in this option's family: where that made IPv4 of an
    /// IPv4-mapped network, 96 bits come back.
    pub fn scope_len(self, len: u8) -> u8 {
        let is_mapped = self.family == Some(Family::V6) && self.bits >> 32 == 0xFFFF;
        match is_mapped && self.source_len > 0 {
            true => len.saturating_add(96),
            false => len,
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
        if let Some((head, tail)) = buffer.split_first_chunk_mut::<4>() {
            *head = [family0, family1, self.source_len, scope_len];
            tail.copy_from_slice(&self.bits.to_be_bytes());
        }
        buffer.get(..self.data_len()).unwrap_or_default()
    }
}

/// The first octets of an address as a number; `None` for more than 16.
///
/// The lengths of /24 and /56, which nearly all have, are put together in registers: sixteen octets
/// cannot be read from memory before a copy of three into them has got there.
fn left_aligned(octets: &[u8]) -> Option<u128> {
    Some(match *octets {
        [a, b, c] => u128::from(u32::from_be_bytes([a, b, c, 0])) << 96,
        [a, b, c, d, e, f, g] => u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, 0])) << 64,
        _ => {
            let mut all = [0; 16];
            all.get_mut(..octets.len())?.copy_from_slice(octets);
            u128::from_be_bytes(all)
        }
    })
}

/// The number of octets that hold so many bits.
fn n_octets(source_len: u8) -> usize {
    usize::from(source_len.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Option data: family, lengths, and the first octets of `addr`.
    fn data(family: u16, source_len: u8, scope_len: u8, addr: &[u8]) -> Vec<u8> {
        [&family.to_be_bytes()[..], &[source_len, scope_len], addr].concat()
    }

    /// All ones up to `len` bits, in as many octets as those take.
    fn ones(len: u8) -> Vec<u8> {
        let mut octets = vec![0xFF; n_octets(len)];
        if !len.is_multiple_of(8) {
            *octets.last_mut().expect("not empty") = 0xFF << (8 - len % 8);
        }
        octets
    }

    #[test]
    fn every_boundary_of_both_families_is_taken_and_written_back() {
        let v4 = [0, 1, 7, 8, 9, 15, 16, 23, 24, 25, 31, 32].map(|len| (1, len));
        let v6 = [0, 1, 7, 8, 9, 48, 55, 56, 57, 63, 64, 65, 127, 128].map(|len| (2, len));
        for (family, len) in v4.into_iter().chain(v6) {
            let sent = data(family, len, 0, &ones(len));
            let subnet = ClientSubnet::parse(&sent).expect("well-formed");
            assert_eq!((subnet.family(), subnet.source_len()), (family, len));
            assert_eq!(subnet.prefix().map(Prefix::len), (len > 0).then_some(len));
            let mut buffer = [0xAA; 20];
            assert_eq!(
                subnet.write(17, &mut buffer),
                data(family, len, 17, &ones(len))
            );
            assert_eq!(subnet.data_len(), sent.len());

            let mut longer = sent.clone();
            longer.push(0);
            assert_eq!(ClientSubnet::parse(&longer), None, "surplus octet, /{len}");
            if len > 0 {
                let shorter = &sent[..sent.len() - 1];
                assert_eq!(ClientSubnet::parse(shorter), None, "missing octet, /{len}");
            }
            if !len.is_multiple_of(8) {
                let mut surplus_bit = sent.clone();
                *surplus_bit.last_mut().expect("not empty") |= 0x80 >> (len % 8);
                assert_eq!(ClientSubnet::parse(&surplus_bit), None, "bit beyond /{len}");
                *surplus_bit.last_mut().expect("not empty") = sent[sent.len() - 1] | 1;
                assert_eq!(ClientSubnet::parse(&surplus_bit), None, "last bit, /{len}");
            }
            let scoped = data(family, len, 1, &ones(len));
            assert_eq!(
                ClientSubnet::parse(&scoped),
                None,
                "scope in a query, /{len}"
            );
        }
    }

    #[test]
    fn malformed_subnets_are_refused() {
        for (data, what) in [
            (vec![], "nothing"),
            (vec![0, 1, 0], "three octets"),
            (data(1, 33, 0, &[255, 255, 255, 255, 128]), "v4 /33"),
            (data(1, 255, 0, &[0; 32]), "v4 /255"),
            (data(2, 129, 0, &[0; 17]), "v6 /129"),
            (data(2, 255, 0, &[0; 32]), "v6 /255"),
            (data(0, 8, 0, &[0]), "no family, /8"),
            (data(0, 0, 0, &[0]), "no family, an octet"),
            (data(0, 0, 1, &[]), "no family, a scope"),
            (data(3, 0, 0, &[]), "family 3"),
            (data(0x0101, 0, 0, &[]), "family 257"),
        ] {
            assert_eq!(ClientSubnet::parse(&data), None, "{what}");
        }
    }

    #[test]
    fn family_zero_is_a_subnet_without_a_prefix() {
        let subnet = ClientSubnet::parse(&[0; 4]).expect("well-formed");
        assert_eq!((subnet.addr(), subnet.prefix()), (None, None));
        assert_eq!(subnet.write(0, &mut [0xAA; 20]), [0; 4]);
    }

    #[test]
    fn mapped_networks_are_ipv4_inside_and_ipv6_outside() {
        let mapped = [[0; 10].as_slice(), &[0xFF, 0xFF, 192, 0, 2]].concat();
        let subnet = ClientSubnet::parse(&data(2, 120, 0, &mapped)).expect("well-formed");
        assert_eq!(subnet.prefix(), "192.0.2.0/24".parse().ok());
        assert_eq!((subnet.family(), subnet.scope_len(22)), (2, 118));
        let plain = ClientSubnet::parse(&data(2, 32, 0, &[32, 1, 13, 184])).expect("well-formed");
        assert_eq!(plain.scope_len(22), 22);
    }
}
