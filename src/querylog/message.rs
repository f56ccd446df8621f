//! dnstap messages (<https://dnstap.info>, `dnstap.proto`): protobuf, of which the few fields that an authoritative
//! server fills in are written by hand.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::transport::Transport;

/// A message and its response, as they crossed the wire.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Who asked.
    pub source: SocketAddr,
    /// Where.
    pub local: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
    /// When the query's batch was received, since 1970.
    pub query_time: Duration,
    /// When it was answered, since 1970.
    pub response_time: Duration,
}

/// Which half of an exchange a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// `AUTH_QUERY`.
    Query,
    /// `AUTH_RESPONSE`.
    Response,
}

/// What is the same in all messages of a server, and memory to write them in.
#[derive(Debug)]
pub(super) struct MessageWriter {
    identity: Box<str>,
    message: Vec<u8>,
}

/// `Dnstap.identity`.
const IDENTITY: u32 = 1;
/// `Dnstap.version`.
const VERSION: u32 = 2;
/// `Dnstap.message`.
const MESSAGE: u32 = 14;
/// `Dnstap.type`, whose only value is 1: there is a message.
const TYPE: u32 = 15;

impl MessageWriter {
    /// For a server of this name.
    pub(super) fn new(identity: &str) -> Self {
        Self {
            identity: identity.into(),
            message: Vec::new(),
        }
    }

    /// Appends a `Dnstap` with one half of an exchange to `out`, without its length; `zone` is the apex of the
    /// query's zone in wire form.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        half: Half,
        exchange: &Exchange,
        zone: Option<&[u8]>,
        octets: &[u8],
    ) {
        self.message.clear();
        write_message(&mut self.message, half, exchange, zone, octets);
        put_octets(out, IDENTITY, self.identity.as_bytes());
        put_octets(out, VERSION, SOFTWARE.as_bytes());
        put_number(out, TYPE, 1);
        put_octets(out, MESSAGE, &self.message);
    }
}

const SOFTWARE: &str = concat!("meridian ", env!("CARGO_PKG_VERSION"));

/// Appends a `Message`.
fn write_message(
    out: &mut Vec<u8>,
    half: Half,
    exchange: &Exchange,
    zone: Option<&[u8]>,
    octets: &[u8],
) {
    let (source, local) = (exchange.source, exchange.local);
    // type: AUTH_QUERY or AUTH_RESPONSE.
    put_number(out, 1, half as u64 + 1);
    // socket_family: INET or INET6.
    put_number(out, 2, if source.is_ipv4() { 1 } else { 2 });
    // socket_protocol: UDP or TCP.
    put_number(
        out,
        3,
        match exchange.transport {
            Transport::Udp => 1,
            Transport::Tcp => 2,
        },
    );
    // query_address, response_address, query_port, response_port.
    put_address(out, 4, source.ip());
    put_address(out, 5, local.ip());
    put_number(out, 6, source.port().into());
    put_number(out, 7, local.port().into());
    // query_time_sec, query_time_nsec.
    put_number(out, 8, exchange.query_time.as_secs());
    put_fixed(out, 9, exchange.query_time.subsec_nanos());
    match half {
        // query_message.
        Half::Query => put_octets(out, 10, octets),
        Half::Response => {
            // response_time_sec, response_time_nsec, response_message.
            put_number(out, 12, exchange.response_time.as_secs());
            put_fixed(out, 13, exchange.response_time.subsec_nanos());
            put_octets(out, 14, octets);
        }
    }
    if let Some(zone) = zone {
        // query_zone.
        put_octets(out, 11, zone);
    }
}

fn put_address(out: &mut Vec<u8>, field: u32, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => put_octets(out, field, &v4.octets()),
        IpAddr::V6(v6) => put_octets(out, field, &v6.octets()),
    }
}

/// A field of wire type VARINT.
fn put_number(out: &mut Vec<u8>, field: u32, number: u64) {
    put_varint(out, (field << 3).into());
    put_varint(out, number);
}

/// A field of wire type I32.
fn put_fixed(out: &mut Vec<u8>, field: u32, number: u32) {
    put_varint(out, (field << 3 | 5).into());
    out.extend_from_slice(&number.to_le_bytes());
}

/// A field of wire type LEN.
fn put_octets(out: &mut Vec<u8>, field: u32, octets: &[u8]) {
    put_varint(out, (field << 3 | 2).into());
    put_varint(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_seven_bits_an_octet_least_first() {
        for (number, octets) in [
            (0, &[0][..]),
            (127, &[0x7F]),
            (128, &[0x80, 1]),
            (300, &[0xAC, 2]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(out, octets, "{number}");
        }
    }

    #[test]
    fn a_response_has_both_times_and_its_zone() {
        let exchange = Exchange {
            source: "192.0.2.1:4000".parse().unwrap(),
            local: "192.0.2.53:53".parse().unwrap(),
            transport: Transport::Tcp,
            query_time: Duration::new(300, 1),
            response_time: Duration::new(301, 2),
        };
        let mut out = Vec::new();
        write_message(&mut out, Half::Response, &exchange, Some(b"\x01a\0"), b"xy");
        let expected = [
            &[0x08, 2, 0x10, 1, 0x18, 2][..],
            &[0x22, 4, 192, 0, 2, 1, 0x2A, 4, 192, 0, 2, 53],
            &[0x30, 0xA0, 0x1F, 0x38, 53],
            &[0x40, 0xAC, 2, 0x4D, 1, 0, 0, 0],
            &[0x60, 0xAD, 2, 0x6D, 2, 0, 0, 0, 0x72, 2, b'x', b'y'],
            &[0x5A, 3, 1, b'a', 0],
        ];
        assert_eq!(out, expected.concat());
    }
}
