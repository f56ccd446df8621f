//! UDP datagrams in Ethernet frames: reads a query's headers and turns them round for its reply.
//!
//! Only what `program.rs` lets through is read: Ethernet without a tag, IPv4 without options
//! or IPv6 without extension headers, whole packets. What the kernel would drop before a socket saw it is
//! nothing here either: wrong lengths and checksums (RFC 768, RFC 1071, RFC 8200 s8.1), and sources that
//! no packet can be sent to. A reply leaves with the addresses, ports and MAC addresses swapped, in one
//! packet that nobody may fragment (RFC 9715 s3.1), and with its checksums. Pure: no sockets.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::ops::Range;

use crate::base::prefix::Family;

/// Octets of an Ethernet header without a VLAN tag.
pub(in crate::transport) const ETHERNET_LEN: usize = 14;
/// Octets of an IPv4 header without options.
pub(in crate::transport) const IPV4_LEN: usize = 20;
/// Octets of an IPv6 header without extension headers.
pub(in crate::transport) const IPV6_LEN: usize = 40;
/// Octets of a UDP header.
pub(in crate::transport) const UDP_LEN: usize = 8;

/// The EtherType of IPv4.
pub(in crate::transport) const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// The EtherType of IPv6.
pub(in crate::transport) const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// The protocol number of UDP.
pub(in crate::transport) const UDP: u8 = 17;
/// The first octet of an IPv4 header without options.
pub(in crate::transport) const IPV4_PLAIN: u8 = 0x45;
/// All of an IPv4 header's fragment field but DF: a whole packet has none of these bits.
pub(in crate::transport) const IPV4_FRAGMENT: u16 = 0xbfff;

/// "Don't fragment".
const IPV4_DF: [u8; 2] = [0x40, 0x00];

/// What Linux sends UDP with.
const HOP_LIMIT: u8 = 64;

/// A datagram in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Datagram {
    /// Who sent it.
    pub(in crate::transport) source: SocketAddr,
    /// Where it was sent to.
    pub(in crate::transport) local: SocketAddr,
    /// Where in the frame its payload is.
    pub(in crate::transport) payload: Range<usize>,
    family: Family,
}

/// Reads the headers of a frame; `None` is for what a socket would not have received.
pub(in crate::transport) fn parse(frame: &[u8]) -> Option<Datagram> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET_LEN>()?;
    let [.., a, b] = *ethernet;
    let family = match [a, b] {
        ETHERTYPE_IPV4 => Family::V4,
        ETHERTYPE_IPV6 => Family::V6,
        _ => return None,
    };
    let segment = match family {
        Family::V4 => ipv4_segment(packet)?,
        Family::V6 => ipv6_segment(packet)?,
    };
    let header = segment.first_chunk::<UDP_LEN>()?;
    let [p, q, r, s, l, m, c, d] = *header;
    let len = usize::from(u16::from_be_bytes([l, m]));
    let udp = segment.get(..len).filter(|_| len >= UDP_LEN)?;
    let addresses = packet.get(Layout::of(family).addresses_in_packet())?;
    let is_intact = match u16::from_be_bytes([c, d]) {
        // RFC 8200 s8.1: over IPv6 there must be one.
        0 => family == Family::V4,
        checksum => {
            let pseudo = pseudo_header(addresses, len);
            // Between virtual machines and containers, packets arrive with what the sending kernel
            // left for its network card to do: the sum of the pseudo-header.
            fold(pseudo.wrapping_add(sum(udp))) == 0xffff || fold(pseudo) == checksum
        }
    };
    let (source, destination) = addresses.split_at_checked(addresses.len() / 2)?;
    let ip = address(source).filter(|ip| is_intact && is_host(*ip))?;
    let start = Layout::of(family).udp_at + UDP_LEN;
    Some(Datagram {
        source: SocketAddr::new(ip, u16::from_be_bytes([p, q])),
        local: SocketAddr::new(address(destination)?, u16::from_be_bytes([r, s])),
        payload: start..start + (len - UDP_LEN),
        family,
    })
}

/// Where the payload of a frame is if it is a datagram at all, which is not looked at; empty else.
pub(in crate::transport) fn likely_payload(frame: &[u8]) -> &[u8] {
    let family = match frame.get(ETHERNET_LEN - 2..ETHERNET_LEN) {
        Some(ethertype) if *ethertype == ETHERTYPE_IPV6 => Family::V6,
        _ => Family::V4,
    };
    let start = Layout::of(family).udp_at + UDP_LEN;
    frame.get(start..).unwrap_or_default()
}

/// Makes the frame that `datagram` was read from the frame of its reply, whose payload of `len` octets
/// stands where the datagram's began. Returns the length of the frame; `None` if it is none that could
/// be sent.
pub(in crate::transport) fn reply(
    frame: &mut [u8],
    datagram: &Datagram,
    len: usize,
) -> Option<usize> {
    let layout = Layout::of(datagram.family);
    let frame = frame.get_mut(..datagram.payload.start.checked_add(len)?)?;
    let frame_len = frame.len();
    let (ethernet, packet) = frame.split_first_chunk_mut::<ETHERNET_LEN>()?;
    swap_halves(ethernet.first_chunk_mut::<12>()?);
    let packet_len = u16::try_from(packet.len()).ok()?;
    swap_halves(packet.get_mut(layout.addresses_in_packet())?);
    let (ip, udp) = packet.split_at_mut_checked(layout.udp_at - ETHERNET_LEN)?;
    let udp_len = udp.len();
    let udp_octets = u16::try_from(udp_len).ok()?.to_be_bytes();
    let fixed = ip.split_at_mut_checked(layout.addresses_in_packet().start)?;
    match datagram.family {
        Family::V4 => {
            let header = fixed.0.first_chunk_mut::<12>()?;
            let [a, b] = packet_len.to_be_bytes();
            let [d, f] = IPV4_DF;
            // RFC 6864 s4.1: a packet that is never fragmented needs no identification.
            *header = [IPV4_PLAIN, 0, a, b, 0, 0, d, f, HOP_LIMIT, UDP, 0, 0];
            let checksum = !fold(sum(header).wrapping_add(sum(fixed.1)));
            put(ip, 10, checksum.to_be_bytes())?;
        }
        Family::V6 => {
            let [a, b] = udp_octets;
            *fixed.0.first_chunk_mut::<8>()? = [0x60, 0, 0, 0, a, b, UDP, HOP_LIMIT];
        }
    }
    swap_halves(udp.first_chunk_mut::<4>()?);
    put(udp, 4, udp_octets)?;
    put(udp, 6, [0, 0])?;
    let addresses = ip.get(layout.addresses_in_packet())?;
    let checksum = !fold(pseudo_header(addresses, udp_len).wrapping_add(sum(udp)));
    // Zero would say that there is none; all ones is the same number (RFC 768).
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    put(udp, 6, checksum.to_be_bytes())?;
    Some(frame_len)
}

/// Where things are in a frame.
#[derive(Clone, Copy)]
struct Layout {
    addresses_at: usize,
    udp_at: usize,
}

impl Layout {
    const fn of(family: Family) -> Self {
        match family {
            Family::V4 => Self {
                addresses_at: ETHERNET_LEN + 12,
                udp_at: ETHERNET_LEN + IPV4_LEN,
            },
            Family::V6 => Self {
                addresses_at: ETHERNET_LEN + 8,
                udp_at: ETHERNET_LEN + IPV6_LEN,
            },
        }
    }

    /// Source, then destination; in either family they end the header.
    const fn addresses_in_packet(self) -> Range<usize> {
        self.addresses_at - ETHERNET_LEN..self.udp_at - ETHERNET_LEN
    }
}

/// What an IPv4 packet carries.
fn ipv4_segment(packet: &[u8]) -> Option<&[u8]> {
    let header = packet.first_chunk::<IPV4_LEN>()?;
    let [version, _, l, m, _, _, d, f, _, protocol, ..] = *header;
    let is_whole = u16::from_be_bytes([d, f]) & IPV4_FRAGMENT == 0;
    let is_ours = version == IPV4_PLAIN && is_whole && protocol == UDP;
    let len = usize::from(u16::from_be_bytes([l, m]));
    (is_ours && fold(sum(header)) == 0xffff).then_some(())?;
    packet.get(IPV4_LEN..len)
}

/// What an IPv6 packet carries.
fn ipv6_segment(packet: &[u8]) -> Option<&[u8]> {
    let (header, payload) = packet.split_first_chunk::<IPV6_LEN>()?;
    let [version, _, _, _, l, m, next_header, ..] = *header;
    (version >> 4 == 6 && next_header == UDP).then_some(())?;
    payload.get(..usize::from(u16::from_be_bytes([l, m])))
}

/// An address of either family.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Whether it can be one host's address on a wire; the kernel takes packets from no other (RFC 1122
/// s3.2.1.3, RFC 4291 s2.5, s2.7).
pub(in crate::transport) fn is_host(address: IpAddr) -> bool {
    let is_odd = match address {
        IpAddr::V4(v4) => v4 == Ipv4Addr::BROADCAST || v4.octets().first() == Some(&0),
        IpAddr::V6(v6) => v6 == Ipv6Addr::UNSPECIFIED || v6.to_ipv4_mapped().is_some(),
    };
    !is_odd && !address.is_multicast() && !address.is_loopback()
}

fn put(bytes: &mut [u8], at: usize, value: [u8; 2]) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

fn swap_halves(bytes: &mut [u8]) {
    let (left, right) = bytes.split_at_mut(bytes.len() / 2);
    left.swap_with_slice(right);
}

/// The sum of the pseudo-header, which is the same for both families and directions.
fn pseudo_header(addresses: &[u8], udp_len: usize) -> u64 {
    sum(addresses)
        .wrapping_add(UDP.into())
        .wrapping_add(udp_len as u64)
}

/// The sum of 32-bit words, which folds to that of 16-bit words (RFC 1071 s2). A packet has too few of
/// them to overflow.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let words = words.iter().chain([&last]);
    words.fold(0, |sum: u64, word| {
        sum.wrapping_add(u32::from_be_bytes(*word).into())
    })
}

/// A sum in ones' complement of 16 bits.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;
    use crate::transport::xdp::fixture;

    fn payload_of<'a>(frame: &'a [u8], datagram: &Datagram) -> &'a [u8] {
        &frame[datagram.payload.clone()]
    }

    #[test]
    fn queries_are_read_in_both_families() {
        for (family, source, at) in [
            (Family::V4, "198.51.100.7:40000", 42),
            (Family::V6, "[2001:db8::7]:40000", 62),
        ] {
            for payload in [&b""[..], b"q", b"query", &[7; 1232]] {
                let mut frame = fixture::query(family, payload);
                let datagram = parse(&frame).unwrap();
                assert_eq!(datagram.source, source.parse().unwrap());
                assert_eq!(datagram.payload, at..at + payload.len());
                assert_eq!(likely_payload(&frame), payload);
                // A short packet is padded to the least length of a frame.
                frame.resize(frame.len() + 18, 0xee);
                assert_eq!(parse(&frame), Some(datagram.clone()));
                assert_eq!(payload_of(&frame, &datagram), payload);
            }
        }
    }

    #[test]
    fn the_reply_to_a_query_is_exactly_this() {
        let mut frame = fixture::query(Family::V4, b"query");
        let datagram = parse(&frame).unwrap();
        frame[42..44].copy_from_slice(b"ok");
        assert_eq!(reply(&mut frame, &datagram, 2), Some(44));
        let expected = [
            0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x00, // Ethernet
            0x45, 0, 0, 30, 0, 0, 0x40, 0, 64, 17, 0x4e, 0x93, // whole, 64 hops
            192, 0, 2, 1, 198, 51, 100, 7, // from us to the client
            0, 53, 0x9c, 0x40, 0, 10, 0x07, 0xbd, // UDP
            b'o', b'k',
        ];
        assert_eq!(frame[..44], expected);
    }

    #[test]
    fn checksums_are_verified_or_left_to_the_network_card() {
        for family in Family::ALL {
            let frame = fixture::query(family, b"query");
            let udp_at = frame.len() - 5 - UDP_LEN;
            let checksum_at = udp_at + 6;
            let put = |sum: u16| {
                let mut frame = frame.clone();
                frame[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
                parse(&frame).is_some()
            };
            let sum = u16::from_be_bytes([frame[checksum_at], frame[checksum_at + 1]]);
            let source = parse(&frame).unwrap().source.ip();
            let destination = match family {
                Family::V4 => "192.0.2.1",
                Family::V6 => "2001:db8:1::1",
            };
            let pseudo = fixture::pseudo(source, destination.parse().unwrap(), 13);
            for (sum, is_taken) in [
                (sum, true),
                (sum ^ 1, false),
                (!fixture::checksum(&[&pseudo]), true),
                (0, family == Family::V4),
            ] {
                assert_eq!(put(sum), is_taken, "{family:?} {sum:04x}");
            }
        }
        let mut frame = fixture::query(Family::V4, b"query");
        frame[24] ^= 1;
        assert_eq!(parse(&frame), None, "the header's");
    }

    #[test]
    fn what_no_socket_would_receive_is_nothing() {
        let v4 = fixture::query(Family::V4, b"query");
        let v6 = fixture::query(Family::V6, b"query");
        for (what, frame, at, octets) in [
            ("VLAN", &v4, 12, &[0x81, 0x00][..]),
            ("ARP", &v4, 12, &[0x08, 0x06]),
            ("the other family", &v4, 12, &[0x86, 0xdd]),
            ("the other family", &v6, 12, &[0x08, 0x00]),
            ("version 5", &v4, 14, &[0x55]),
            ("options", &v4, 14, &[0x46]),
            ("a short header", &v4, 14, &[0x44]),
            ("longer than the frame", &v4, 16, &[0, 34]),
            ("shorter than its header", &v4, 16, &[0, 19]),
            ("shorter than UDP's", &v4, 16, &[0, 27]),
            ("a first fragment", &v4, 20, &[0x20, 0]),
            ("a later fragment", &v4, 20, &[0, 1]),
            ("the reserved bit", &v4, 20, &[0x80, 0]),
            ("TCP", &v4, 23, &[6]),
            ("from nowhere", &v4, 26, &[0, 0, 0, 0]),
            ("from this network", &v4, 26, &[0, 1, 2, 3]),
            ("from the loopback", &v4, 26, &[127, 0, 0, 1]),
            ("from a group", &v4, 26, &[224, 0, 0, 1]),
            ("from all", &v4, 26, &[255, 255, 255, 255]),
            ("UDP longer than the packet", &v4, 38, &[0, 14]),
            ("UDP shorter than its header", &v4, 38, &[0, 7]),
            ("version 4", &v6, 14, &[0x45]),
            ("longer than the frame", &v6, 18, &[0, 14]),
            ("shorter than UDP's header", &v6, 18, &[0, 7]),
            ("hop-by-hop options", &v6, 20, &[0]),
            ("a fragment", &v6, 20, &[44]),
            ("UDP longer than the packet", &v6, 58, &[0, 14]),
            ("a jumbogram", &v6, 58, &[0, 0]),
        ] {
            let mut frame = fixture::with(frame, at, octets);
            // Nothing but the fault is to be seen.
            let udp_at = if frame[12] == 8 { 34 } else { 54 };
            if what.starts_with("from") {
                frame[udp_at + 6..udp_at + 8].fill(0);
            }
            assert_eq!(parse(&frame), None, "{what}");
        }
        for from in ["::", "::1", "ff02::1", "::ffff:192.0.2.9"] {
            let source = SocketAddr::new(from.parse().unwrap(), 40000);
            let frame = fixture::frame(source, "[2001:db8::1]:53".parse().unwrap(), b"query");
            assert_eq!(parse(&frame), None, "{from}");
        }
    }

    #[test]
    fn a_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
        let frame = fixture::query(Family::V6, &[0, 0]);
        let datagram = parse(&frame).unwrap();
        let zeros = (0..=u16::MAX).filter(|word| {
            let mut frame = frame.clone();
            frame[62..].copy_from_slice(&word.to_be_bytes());
            reply(&mut frame, &datagram, 2).unwrap();
            assert_ne!(frame[60..62], [0, 0]);
            frame[60..62] == [0xff, 0xff]
        });
        assert_eq!(zeros.count(), 1);
    }

    #[test]
    fn a_reply_that_no_frame_holds_is_none() {
        for family in Family::ALL {
            let mut frame = fixture::query(family, b"query");
            let datagram = parse(&frame).unwrap();
            for len in [6, 65_535, usize::MAX] {
                assert_eq!(reply(&mut frame, &datagram, len), None);
            }
            let mut long = frame.clone();
            long.resize(70_000, 0);
            assert_eq!(reply(&mut long, &datagram, 65_600), None);
        }
    }

    proptest! {
        /// The client, parsing what it gets, sees its query's addresses swapped, and valid checksums.
        #[test]
        fn replies_go_back_and_are_intact(
            is_ipv6 in any::<bool>(),
            query in vec(any::<u8>(), 0..600),
            answer in vec(any::<u8>(), 0..1400),
        ) {
            let family = Family::ALL[usize::from(is_ipv6)];
            let before = fixture::query(family, &query);
            let mut frame = before.clone();
            frame.resize(1600, 0);
            let datagram = parse(&frame).unwrap();
            prop_assert_eq!(payload_of(&frame, &datagram), &query[..]);
            let at = datagram.payload.start;
            frame[at..at + answer.len()].copy_from_slice(&answer);
            let len = reply(&mut frame, &datagram, answer.len()).unwrap();
            frame.truncate(len);
            prop_assert_eq!(&frame[..6], &fixture::CLIENT_MAC);
            prop_assert_eq!(&frame[6..12], &fixture::SERVER_MAC);
            let half = if is_ipv6 { 16 } else { 4 };
            let addresses = at - UDP_LEN - 2 * half;
            let (source, destination) = before[addresses..].split_at(half);
            prop_assert_eq!(&frame[addresses..addresses + half], &destination[..half]);
            prop_assert_eq!(&frame[addresses + half..addresses + 2 * half], source);
            let ports = at - UDP_LEN;
            prop_assert_eq!(&frame[ports..ports + 2], &before[ports + 2..ports + 4]);
            prop_assert_eq!(&frame[ports + 2..ports + 4], &before[ports..ports + 2]);
            let udp_len = UDP_LEN + answer.len();
            let mut pseudo = frame[addresses..addresses + 2 * half].to_vec();
            pseudo.extend([0, UDP]);
            pseudo.extend((udp_len as u16).to_be_bytes());
            prop_assert_eq!(fixture::checksum(&[&pseudo, &frame[ports..]]), 0);
            if !is_ipv6 {
                prop_assert_eq!(fixture::checksum(&[&frame[14..34]]), 0);
            }
            let read = parse(&frame).unwrap();
            prop_assert_eq!(payload_of(&frame, &read), &answer[..]);
        }

        /// However a frame is cut or changed, nothing outside of it is read, and what is replied to is
        /// in it.
        #[test]
        fn no_frame_makes_the_reader_panic(
            is_ipv6 in any::<bool>(),
            cut in 0..120_usize,
            changes in vec((0..80_usize, any::<u8>()), 0..4),
            len in 0..200_usize,
        ) {
            let family = Family::ALL[usize::from(is_ipv6)];
            let mut frame = fixture::query(family, &[0; 50]);
            frame.truncate(cut);
            for (at, value) in changes {
                if let Some(octet) = frame.get_mut(at) {
                    *octet = value;
                }
            }
            if let Some(datagram) = parse(&frame) {
                prop_assert!(datagram.payload.end <= frame.len());
                let fits = datagram.payload.start + len <= frame.len();
                let replied = reply(&mut frame, &datagram, len);
                prop_assert_eq!(replied.is_some(), fits);
            }
        }

        #[test]
        fn no_octets_make_the_reader_panic(frame in vec(any::<u8>(), 0..100)) {
            parse(&frame);
        }

        #[test]
        fn sums_are_those_of_the_rfc(octets in vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(!fold(sum(&octets)), fixture::checksum(&[&octets]));
        }
    }
}
