//! Frames for the tests of `packet.rs` and `program.rs`, made without the code under test.

use std::net::IpAddr;
use std::net::SocketAddr;

use crate::base::prefix::Family;
use crate::transport::xdp::packet::ETHERTYPE_IPV4;
use crate::transport::xdp::packet::IPV4_LEN;
use crate::transport::xdp::packet::UDP;
use crate::transport::xdp::packet::UDP_LEN;

pub(in crate::transport) const SERVER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
pub(in crate::transport) const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// RFC 1071, word by word.
pub(in crate::transport) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut octets = parts.concat();
    if octets.len() % 2 == 1 {
        octets.push(0);
    }
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// What a UDP checksum covers besides the datagram.
pub(in crate::transport) fn pseudo(source: IpAddr, destination: IpAddr, udp_len: usize) -> Vec<u8> {
    let mut octets = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(v4) => octets.extend(v4.octets()),
            IpAddr::V6(v6) => octets.extend(v6.octets()),
        }
    }
    octets.extend((udp_len as u32).to_be_bytes());
    octets.extend([0, 0, 0, UDP]);
    octets
}

/// A frame with a UDP datagram from `source` to `destination`.
pub(in crate::transport) fn frame(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
) -> Vec<u8> {
    let udp_len = UDP_LEN + payload.len();
    let mut udp = Vec::new();
    udp.extend(source.port().to_be_bytes());
    udp.extend(destination.port().to_be_bytes());
    udp.extend((udp_len as u16).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let pseudo = pseudo(source.ip(), destination.ip(), udp_len);
    let sum = match checksum(&[&pseudo, &udp]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = [SERVER_MAC, CLIENT_MAC].concat();
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend([8, 0]);
            let mut header = vec![0x45, 0];
            header.extend(((IPV4_LEN + udp_len) as u16).to_be_bytes());
            header.extend([0x12, 0x34, 0, 0, 57, UDP, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            frame.extend(header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frame.extend([0x86, 0xdd, 0x6a, 0xbc, 0xde, 0xf0]);
            frame.extend((udp_len as u16).to_be_bytes());
            frame.extend([UDP, 57]);
            frame.extend(source.octets());
            frame.extend(destination.octets());
        }
        _ => panic!("two families"),
    }
    frame.extend(udp);
    frame
}

/// From a client to port 53 of a server, in either family.
pub(in crate::transport) fn query(family: Family, payload: &[u8]) -> Vec<u8> {
    let [source, destination] = match family {
        Family::V4 => ["198.51.100.7:40000", "192.0.2.1:53"],
        Family::V6 => ["[2001:db8::7]:40000", "[2001:db8:1::1]:53"],
    };
    frame(
        source.parse().unwrap(),
        destination.parse().unwrap(),
        payload,
    )
}

/// Replaces octets and mends the checksum of an IPv4 header.
pub(in crate::transport) fn with(frame: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + octets.len()].copy_from_slice(octets);
    if frame[12..14] == ETHERTYPE_IPV4 {
        frame[24..26].fill(0);
        let sum = checksum(&[&frame[14..34]]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}
