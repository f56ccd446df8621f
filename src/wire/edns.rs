//! The OPT record in and out (RFC 6891) with the options we know.
//!
//! Client subnet (RFC 7871), NSID (RFC 5001), cookies (RFC 7873), TCP keepalive (RFC 7828) and extended
//! errors (RFC 8914); all others are ignored. Of several options of one kind the first counts and the others are not looked
//! at: RFC 7873 s5.2 says so for cookies, BIND and Knot do so for client subnets.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::base::rr::RrType;
use crate::wire::cookie::Cookie;
use crate::wire::ecs::ClientSubnet;
use crate::wire::ecs::MAX_LEN;
use crate::wire::ecs::SUBNET;
use crate::wire::fault::Fault;

const NSID: u16 = 3;
const COOKIE: u16 = 10;
const TCP_KEEPALIVE: u16 = 11;
const EXTENDED_ERROR: u16 = 15;

/// An OPT without options: root owner, type, payload size, TTL and RDLENGTH.
const FIXED_LEN: usize = 11;
/// What every client takes over UDP, in octets: one without EDNS takes no more (RFC 1035 s4.2.1), and
/// smaller payload sizes mean this one (RFC 6891 s6.2.3).
pub const MIN_UDP_PAYLOAD: u16 = 512;
/// The DO bit (RFC 3225) in the lower half of the TTL.
const DNSSEC_OK: u16 = 0x8000;

/// What a query's OPT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP payload that the client takes; at least 512.
    pub udp_payload: u16,
    /// The EDNS version; above 0 the options have not been looked at, as their meaning is unknown.
    pub version: u8,
    /// Whether the client wants DNSSEC records (DO).
    pub dnssec_ok: bool,
    /// The client subnet.
    pub subnet: Option<ClientSubnet>,
    /// Whether the client asks for the server's identifier.
    pub nsid: bool,
    /// The cookie: 8 octets of the client's, or these and 8 to 32 of the server's.
    pub cookie: Option<&'a [u8]>,
    /// Whether the client asks how long a TCP connection may be idle. The option has no data then; one
    /// with data is ignored, as BIND does.
    pub tcp_keepalive: bool,
}

impl<'a> Edns<'a> {
    /// What an OPT's class and TTL say.
    pub(super) fn of(class: u16, ttl: [u8; 4]) -> Self {
        let [_, version, flags0, flags1] = ttl;
        Self {
            udp_payload: class.max(MIN_UDP_PAYLOAD),
            version,
            dnssec_ok: u16::from_be_bytes([flags0, flags1]) & DNSSEC_OK != 0,
            subnet: None,
            nsid: false,
            cookie: None,
            tcp_keepalive: false,
        }
    }

    /// Reads the options in an OPT's RDATA, each into its place.
    ///
    /// # Errors
    /// The fault of the first option that is not well-formed.
    pub(super) fn take_options(&mut self, rdata: &'a [u8]) -> Result<(), Fault> {
        let mut rest = if self.version == 0 { rdata } else { &[] };
        while !rest.is_empty() {
            let (code, option, next) = split_option(rest).ok_or(Fault::OptOption)?;
            let data = option.get(4..).unwrap_or_default();
            rest = next;
            match code {
                NSID => self.nsid = true,
                SUBNET if self.subnet.is_none() => {
                    let Some(subnet) = ClientSubnet::parse(option) else {
                        return Err(Fault::OptSubnet);
                    };
                    self.subnet = Some(subnet);
                }
                COOKIE if self.cookie.is_none() => {
                    let is_valid = matches!(data.len(), 8 | 16..=40);
                    self.cookie = Some(is_valid.then_some(data).ok_or(Fault::OptCookie)?);
                }
                TCP_KEEPALIVE => self.tcp_keepalive |= data.is_empty(),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Splits the first option off: its code, the whole of it, and what follows.
pub(super) fn split_option(rdata: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[code0, code1, len0, len1], _) = rdata.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([len0, len1]));
    let (option, rest) = rdata.split_at_checked(len.saturating_add(4))?;
    Some((u16::from_be_bytes([code0, code1]), option, rest))
}

/// The OPT of a response, version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    /// The largest UDP payload that we take.
    pub udp_payload: u16,
    /// The query's DO bit.
    pub dnssec_ok: bool,
    /// The query's subnet.
    pub subnet: Option<&'a ClientSubnet>,
    /// The scope of the answer, counted in the subnet's family; means nothing without a subnet.
    pub scope_len: u8,
    /// The server's identifier.
    pub nsid: Option<&'a [u8]>,
    /// Client and server cookie.
    pub cookie: Option<&'a Cookie>,
    /// How long a TCP connection may be idle, in units of 100 ms.
    pub tcp_keepalive: Option<u16>,
    /// Why the answer is what it is.
    pub extended_error: Option<ExtendedError<'a>>,
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError<'a> {
    /// The INFO-CODE of the IANA registry.
    pub code: u16,
    /// A sentence for people; may be empty.
    pub text: &'a str,
}

impl<'a> Opt<'a> {
    /// An OPT without options.
    pub fn new(udp_payload: u16) -> Self {
        Self {
            udp_payload,
            dnssec_ok: false,
            subnet: None,
            scope_len: 0,
            nsid: None,
            cookie: None,
            tcp_keepalive: None,
            extended_error: None,
        }
    }

    /// Length of the whole record in octets: what [`reserve`] must keep free for it.
    ///
    /// [`reserve`]: crate::wire::encode::Encoder::reserve
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        FIXED_LEN.saturating_add(self.options_len())
    }

    fn options_len(&self) -> usize {
        let subnet = self.subnet.map_or(0, |subnet| subnet.option_len());
        let error = self.extended_error.map(|error| error.text.len());
        let option = |len: Option<usize>| len.map_or(0, |len| len.saturating_add(4));
        subnet
            .saturating_add(option(self.nsid.map(<[u8]>::len)))
            .saturating_add(option(self.cookie.map(|cookie| cookie.len())))
            .saturating_add(option(self.tcp_keepalive.map(|_| 2)))
            .saturating_add(option(error.map(|text_len| text_len.saturating_add(2))))
    }

    /// Writes the record to the front of `out` with the high bits of the RCODE and returns its length;
    /// `None` if it does not fit, with `out` written in part.
    pub(super) fn write(&self, rcode_high: u8, mut out: &mut [u8]) -> Option<usize> {
        let options_len = self.options_len();
        let [type0, type1] = RrType::OPT.0.to_be_bytes();
        let [size0, size1] = self.udp_payload.to_be_bytes();
        let [flags0, flags1] = (if self.dnssec_ok { DNSSEC_OK } else { 0 }).to_be_bytes();
        let [len0, len1] = u16::try_from(options_len).ok()?.to_be_bytes();
        let fixed: [u8; FIXED_LEN] = [
            0, type0, type1, size0, size1, rcode_high, 0, flags0, flags1, len0, len1,
        ];
        let out = &mut out;
        put(out, &fixed)?;
        if let Some(subnet) = self.subnet {
            put_subnet(out, *subnet, self.scope_len)?;
        }
        if let Some(nsid) = self.nsid {
            put_option(out, NSID, &[], nsid)?;
        }
        if let Some(cookie) = self.cookie {
            put_option(out, COOKIE, &[], cookie)?;
        }
        if let Some(timeout) = self.tcp_keepalive {
            put_option(out, TCP_KEEPALIVE, &[], &timeout.to_be_bytes())?;
        }
        if let Some(ExtendedError { code, text }) = self.extended_error {
            put_option(out, EXTENDED_ERROR, &code.to_be_bytes(), text.as_bytes())?;
        }
        Some(FIXED_LEN.saturating_add(options_len))
    }
}

/// Appends a client subnet.
///
/// A copy of fixed length is one wide store instead of a call of `memcpy` with a length that differs from
/// query to query. So where there is room for the longest option, all of [`MAX_LEN`] octets are
/// written, up to 16 more than the option has: the next option overwrites them, or they stay behind the
/// end of the message and are never sent.
fn put_subnet(out: &mut &mut [u8], subnet: ClientSubnet, scope_len: u8) -> Option<()> {
    let wire = subnet.to_wire(scope_len);
    match out.first_chunk_mut::<MAX_LEN>() {
        Some(room) => {
            *room = wire;
            out.split_off_mut(..subnet.option_len())?;
            Some(())
        }
        None => put(out, wire.get(..subnet.option_len())?),
    }
}

/// Appends an option whose data is `head` followed by `tail`.
fn put_option(out: &mut &mut [u8], code: u16, head: &[u8], tail: &[u8]) -> Option<()> {
    let len = u16::try_from(head.len().saturating_add(tail.len())).ok()?;
    put(out, &code.to_be_bytes())?;
    put(out, &len.to_be_bytes())?;
    put(out, head)?;
    put(out, tail)
}

fn put(out: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    out.split_off_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(code: u16, data: &[u8]) -> Vec<u8> {
        let len = data.len() as u16;
        [&code.to_be_bytes(), &len.to_be_bytes(), data].concat()
    }

    fn read(class: u16, ttl: [u8; 4], rdata: &[u8]) -> Result<Edns<'_>, Fault> {
        let mut edns = Edns::of(class, ttl);
        edns.take_options(rdata)?;
        Ok(edns)
    }

    fn parse(rdata: &[u8]) -> Result<Edns<'_>, Fault> {
        read(1232, [0, 0, 0x80, 0], rdata)
    }

    #[test]
    fn the_fixed_part_is_read() {
        for (class, ttl, udp_payload, version, dnssec_ok) in [
            (4096, [0, 0, 0x80, 0], 4096, 0, true),
            (512, [0xFF, 0, 0x7F, 0xFF], 512, 0, false),
            (511, [0, 0, 0, 0], 512, 0, false),
            (0, [0, 1, 0xFF, 0xFF], 512, 1, true),
            (65535, [0, 255, 0, 0], 65535, 255, false),
        ] {
            let edns = read(class, ttl, &[]).expect("no options");
            assert_eq!((edns.udp_payload, edns.version), (udp_payload, version));
            assert_eq!(edns.dnssec_ok, dnssec_ok);
        }
    }

    #[test]
    fn options_are_read_and_unknown_ones_ignored() {
        let rdata = [
            option(12, &[0; 20]),
            option(NSID, b"surplus"),
            option(65001, &[]),
            option(TCP_KEEPALIVE, &[]),
            option(COOKIE, b"12345678"),
            option(SUBNET, &[0, 1, 24, 0, 192, 0, 2]),
        ]
        .concat();
        let edns = parse(&rdata).expect("well-formed");
        assert!(edns.nsid && edns.tcp_keepalive);
        let stated = option(TCP_KEEPALIVE, &[0, 100]);
        assert!(!parse(&stated).expect("ignored").tcp_keepalive);
        assert_eq!(edns.cookie, Some(&b"12345678"[..]));
        let prefix = edns.subnet.and_then(ClientSubnet::prefix);
        assert_eq!(prefix, "192.0.2.0/24".parse().ok());
    }

    #[test]
    fn malformed_options_are_told_apart() {
        let subnet = option(SUBNET, &[0, 1, 8, 0, 10]);
        for (rdata, fault) in [
            (vec![0], Fault::OptOption),
            (vec![0, 3, 0], Fault::OptOption),
            (vec![0, 3, 0, 1], Fault::OptOption),
            (
                [option(99, b"x"), vec![0, 99, 0xFF, 0xFF]].concat(),
                Fault::OptOption,
            ),
            (option(SUBNET, &[]), Fault::OptSubnet),
            (option(SUBNET, &[0, 1, 8, 0]), Fault::OptSubnet),
            ([subnet, vec![0, 3]].concat(), Fault::OptOption),
        ] {
            assert_eq!(parse(&rdata), Err(fault), "{rdata:?}");
        }
    }

    #[test]
    fn cookies_have_eight_or_sixteen_to_forty_octets() {
        for len in 0..=50 {
            let rdata = option(COOKIE, &vec![7; len]);
            let expected = if len == 8 || (16..=40).contains(&len) {
                Ok(Some(len))
            } else {
                Err(Fault::OptCookie)
            };
            let found = parse(&rdata).map(|edns| edns.cookie.map(<[u8]>::len));
            assert_eq!(found, expected, "{len} octets");
        }
    }

    #[test]
    fn of_options_of_one_kind_the_first_counts() {
        let rdata = [
            option(SUBNET, &[0, 1, 8, 0, 10]),
            option(COOKIE, b"12345678"),
            option(SUBNET, b"nonsense"),
            option(COOKIE, b"nonsense nonsense"),
            option(COOKIE, b""),
        ]
        .concat();
        let edns = parse(&rdata).expect("the first are well-formed");
        assert_eq!(
            edns.subnet.and_then(ClientSubnet::prefix),
            "10.0.0.0/8".parse().ok()
        );
        assert_eq!(edns.cookie, Some(&b"12345678"[..]));
    }

    #[test]
    fn options_of_another_version_are_not_judged() {
        let edns = read(512, [0, 1, 0, 0], b"\0\x08\xFF").expect("not looked at");
        assert_eq!((edns.version, edns.subnet), (1, None));
    }

    #[test]
    fn records_are_as_long_as_announced() {
        let subnet =
            ClientSubnet::parse(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]).expect("well-formed");
        let full = Opt {
            dnssec_ok: true,
            subnet: Some(&subnet),
            scope_len: 20,
            nsid: Some(b"ns1"),
            cookie: Some(b"123456781234567812345678"),
            tcp_keepalive: Some(100),
            extended_error: Some(ExtendedError {
                code: 22,
                text: "no pool",
            }),
            ..Opt::new(1232)
        };
        let expected = [
            &b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x41"[..],
            &option(SUBNET, &[0, 1, 24, 20, 192, 0, 2]),
            &option(NSID, b"ns1"),
            &option(COOKIE, b"123456781234567812345678"),
            &option(TCP_KEEPALIVE, &[0, 100]),
            &option(EXTENDED_ERROR, b"\0\x16no pool"),
        ]
        .concat();
        let mut out = [0; 100];
        assert_eq!(full.write(1, &mut out), Some(full.len()));
        assert_eq!(&out[..full.len()], expected);
        for room in 0..full.len() {
            assert_eq!(full.write(1, &mut out[..room]), None, "{room} octets");
        }
        let plain = Opt::new(512);
        assert_eq!(plain.write(0, &mut out), Some(11));
        assert_eq!(&out[..11], b"\0\0\x29\x02\0\0\0\0\0\0\0");
    }
}
