//! The twelve bytes in front of every DNS message (RFC 1035 s4.1.1, RFC 4035 for AD and CD).
//!
//! Of a query's flags a response repeats the opcode and RD. CD is cleared, as RFC 4035 s3.1.6 wants of
//! an authoritative answer, NSD and Knot likewise. RA and AD are always 0: we neither recurse nor
//! validate.

use crate::base::rr::Opcode;
use crate::base::rr::Rcode;

/// Length of the header in octets, and the offset of the first question's name.
pub const HEADER_LEN: usize = 12;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;
const RCODE: u16 = 0x000F;

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Chosen by the client, repeated in the response.
    pub id: u16,
    /// Opcode, RCODE and single bits.
    pub flags: Flags,
    /// Entries in question, answer, authority and additional section.
    pub counts: [u16; 4],
}

impl Header {
    /// Splits a message into its header and the rest; `None` if it is shorter than a header.
    pub fn split(message: &[u8]) -> Option<(Self, &[u8])> {
        let (&[i0, i1, f0, f1, q0, q1, a0, a1, n0, n1, r0, r1], body) =
            message.split_first_chunk::<HEADER_LEN>()?;
        let header = Self {
            id: u16::from_be_bytes([i0, i1]),
            flags: Flags(u16::from_be_bytes([f0, f1])),
            counts: [[q0, q1], [a0, a1], [n0, n1], [r0, r1]].map(u16::from_be_bytes),
        };
        Some((header, body))
    }

    /// The wire form.
    pub fn to_wire(self) -> [u8; HEADER_LEN] {
        let [i0, i1] = self.id.to_be_bytes();
        let [f0, f1] = self.flags.0.to_be_bytes();
        let [[q0, q1], [a0, a1], [n0, n1], [r0, r1]] = self.counts.map(u16::to_be_bytes);
        [i0, i1, f0, f1, q0, q1, a0, a1, n0, n1, r0, r1]
    }
}

/// The second pair of octets: QR, opcode, AA, TC, RD, RA, Z, AD, CD and RCODE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// Whether the message is a response (QR).
    pub fn is_response(self) -> bool {
        self.0 & QR != 0
    }

    /// What kind of message this is.
    pub fn opcode(self) -> Opcode {
        let [high, _] = (self.0 & OPCODE).to_be_bytes();
        Opcode(high >> 3)
    }

    /// Whether recursion is desired (RD).
    pub fn recursion_desired(self) -> bool {
        self.0 & RD != 0
    }

    /// Whether checking is disabled (CD).
    pub fn checking_disabled(self) -> bool {
        self.0 & CD != 0
    }

    /// What a response to a query with these flags starts from: QR, the query's opcode and RD.
    pub fn to_response(self) -> Self {
        Self(QR | self.0 & (OPCODE | RD))
    }

    /// The same with the answer marked as authoritative (AA).
    pub fn with_authoritative(self) -> Self {
        Self(self.0 | AA)
    }

    /// The same without that mark.
    pub fn without_authoritative(self) -> Self {
        Self(self.0 & !AA)
    }

    /// The same with the message marked as truncated (TC).
    pub fn with_truncated(self) -> Self {
        Self(self.0 | TC)
    }

    /// The same with the low four bits of an RCODE; the others stand in the OPT.
    pub fn with_rcode(self, rcode: Rcode) -> Self {
        Self(self.0 & !RCODE | u16::from(rcode.low()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_a_round_trip() {
        let wire = *b"\x12\x34\x56\x78\x00\x01\x00\x02\x03\x04\xff\xff";
        let (header, body) = Header::split(&wire).expect("twelve bytes");
        assert_eq!(header.id, 0x1234);
        assert_eq!(header.counts, [1, 2, 0x0304, 0xffff]);
        assert_eq!((header.to_wire(), body), (wire, &b""[..]));
        assert_eq!(Header::split(&wire[..11]), None);
    }

    #[test]
    fn responses_repeat_opcode_and_rd_alone() {
        for (query, response) in [
            (0x0000, 0x8000),
            (0x0100, 0x8100),
            (0x0010, 0x8000),
            (0x2000, 0xa000),
            (0x7fff, 0xf900),
        ] {
            assert_eq!(Flags(query).to_response(), Flags(response), "{query:#06x}");
        }
        assert_eq!(Flags(0x2800).opcode(), Opcode(5));
        assert_eq!(Flags(0x87ff).opcode(), Opcode::QUERY);
    }

    #[test]
    fn the_low_bits_of_the_rcode_replace_what_was_there() {
        let flags = Flags(0x8005).with_authoritative().with_truncated();
        assert_eq!(flags.with_rcode(Rcode::NxDomain), Flags(0x8603));
        assert_eq!(flags.with_rcode(Rcode::BadVers), Flags(0x8600));
        assert_eq!(flags.with_rcode(Rcode::BadCookie), Flags(0x8607));
    }
}
