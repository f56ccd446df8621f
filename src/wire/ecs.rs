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

/// The option's code (RFC 7871 s6).
pub(super) const SUBNET: u16 = 8;

/// Octets of an option in front of the address: code, length, family and both prefix lengths.
const HEAD_LEN: usize = 8;

/// Octets of the longest option.
pub(super) const MAX_LEN: usize = HEAD_LEN + 16;

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
    /// Reads an option as sent in a query, with its code and length; `None` if it is malformed.
    // Inlined: returned through memory it would be stored in narrow pieces and loaded in a wide one, a
    // store-to-load forwarding stall (benches/answer.rs measures it).
    #[inline]
    pub fn parse(option: &[u8]) -> Option<Self> {
        let (head, sent) = option.split_first_chunk::<HEAD_LEN>()?;
        let &[_, _, _, _, family0, family1, source_len, scope_len] = head;
        let (family, max_len) = match u16::from_be_bytes([family0, family1]) {
            0 => (None, 0),
            1 => (Some(Family::V4), 32),
            2 => (Some(Family::V6), 128),
            _ => return None,
        };
        if scope_len != 0 || source_len > max_len || sent.len() != n_octets(source_len) {
            return None;
        }
        let bits = left_aligned(option)?;
        if bits & !mask128(source_len) != 0 {
            return None;
        }
        Some(Self {
            family,
            source_len,
            bits,
        })
    }

    /// The option for a query about clients in a network.
    pub fn of(prefix: Prefix) -> Self {
        Self {
            family: Some(prefix.family()),
            source_len: prefix.len(),
            bits: prefix.bits(),
        }
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
        let family = self.family.filter(|_| self.source_len > 0)?;
        Some(Prefix::cut_bits(family, self.bits, self.source_len))
    }

    /// Counts a scope found for [`Self::prefix`] in this option's family: where that made IPv4 of an
    /// IPv4-mapped network, 96 bits come back.
    pub fn scope_len(self, len: u8) -> u8 {
        let is_mapped = self.family == Some(Family::V6) && self.bits >> 32 == 0xFFFF;
        if is_mapped && self.source_len > 0 {
            len.saturating_add(96)
        } else {
            len
        }
    }

    /// Length of the option in octets, with its code and length.
    pub fn option_len(self) -> usize {
        n_octets(self.source_len).saturating_add(HEAD_LEN)
    }

    /// The option for a response, of which the first [`Self::option_len`] octets count: family, source length and
    /// address as in the query, with the given scope (RFC 7871 s7.2.1). With scope 0, the option of the query.
    pub fn to_wire(self, scope_len: u8) -> [u8; MAX_LEN] {
        let [code0, code1] = SUBNET.to_be_bytes();
        let [family0, family1] = self.family().to_be_bytes();
        let data_len = n_octets(self.source_len).saturating_add(4) as u8;
        let head = [
            code0,
            code1,
            0,
            data_len,
            family0,
            family1,
            self.source_len,
            scope_len,
        ];
        let mut wire = [0; MAX_LEN];
        if let Some((front, back)) = wire.split_first_chunk_mut() {
            *front = head;
            back.copy_from_slice(&self.bits.to_be_bytes());
        }
        wire
    }
}

/// The address of an option as a number; `None` if it has more than 16 octets.
///
/// Branch-free for up to eight address octets, so that mixed lengths (/24 and /56) mispredict nothing: the
/// last eight octets of the option are one load, and a shift drops what belongs to its head. A copy of
/// three octets into a buffer that is then loaded whole would be a store-to-load forwarding stall
/// (benches/answer.rs measures it).
fn left_aligned(option: &[u8]) -> Option<u128> {
    let octets = option.get(HEAD_LEN..)?;
    if octets.len() > 8 {
        let mut all = [0; 16];
        all.get_mut(..octets.len())?.copy_from_slice(octets);
        return Some(u128::from_be_bytes(all));
    }
    let last = u64::from_be_bytes(*option.last_chunk()?);
    let n_others = 64_u32.saturating_sub(8_u32.saturating_mul(octets.len() as u32));
    Some(u128::from(last.checked_shl(n_others).unwrap_or(0)) << 64)
}

/// The number of octets that hold so many bits.
fn n_octets(source_len: u8) -> usize {
    usize::from(source_len.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An option: family, lengths, and the first octets of `addr`.
    fn option(family: u16, source_len: u8, scope_len: u8, addr: &[u8]) -> Vec<u8> {
        let [family0, family1] = family.to_be_bytes();
        let len = addr.len() as u8 + 4;
        let head = [0, 8, 0, len, family0, family1, source_len, scope_len];
        [&head[..], addr].concat()
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
            let sent = option(family, len, 0, &ones(len));
            let subnet = ClientSubnet::parse(&sent).expect("well-formed");
            assert_eq!((subnet.family(), subnet.source_len()), (family, len));
            assert_eq!(subnet.prefix().map(Prefix::len), (len > 0).then_some(len));
            assert_eq!(
                subnet.to_wire(17)[..subnet.option_len()],
                option(family, len, 17, &ones(len))
            );

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
            let scoped = option(family, len, 1, &ones(len));
            assert_eq!(
                ClientSubnet::parse(&scoped),
                None,
                "scope in a query, /{len}"
            );
        }
    }

    #[test]
    fn malformed_subnets_are_refused() {
        for (sent, what) in [
            (vec![], "nothing"),
            (vec![0, 8, 0, 3, 0, 1, 0], "three octets"),
            (option(1, 33, 0, &[255, 255, 255, 255, 128]), "v4 /33"),
            (option(1, 255, 0, &[0; 32]), "v4 /255"),
            (option(2, 129, 0, &[0; 17]), "v6 /129"),
            (option(2, 255, 0, &[0; 32]), "v6 /255"),
            (option(0, 8, 0, &[0]), "no family, /8"),
            (option(0, 0, 0, &[0]), "no family, an octet"),
            (option(0, 0, 1, &[]), "no family, a scope"),
            (option(3, 0, 0, &[]), "family 3"),
            (option(0x0101, 0, 0, &[]), "family 257"),
        ] {
            assert_eq!(ClientSubnet::parse(&sent), None, "{what}");
        }
    }

    #[test]
    fn family_zero_is_a_subnet_without_a_prefix() {
        let subnet = ClientSubnet::parse(&option(0, 0, 0, &[])).expect("well-formed");
        assert_eq!((subnet.addr(), subnet.prefix()), (None, None));
        assert_eq!(
            subnet.to_wire(0)[..subnet.option_len()],
            option(0, 0, 0, &[])
        );
    }

    #[test]
    fn mapped_networks_are_ipv4_inside_and_ipv6_outside() {
        let mapped = [[0; 10].as_slice(), &[0xFF, 0xFF, 192, 0, 2]].concat();
        let subnet = ClientSubnet::parse(&option(2, 120, 0, &mapped)).expect("well-formed");
        assert_eq!(subnet.prefix(), "192.0.2.0/24".parse().ok());
        assert_eq!((subnet.family(), subnet.scope_len(22)), (2, 118));
        let plain = ClientSubnet::parse(&option(2, 32, 0, &[32, 1, 13, 184])).expect("well-formed");
        assert_eq!(plain.scope_len(22), 22);
    }
}
