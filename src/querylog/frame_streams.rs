//! Frame Streams, the framing of dnstap (<https://farsightsec.github.io/fstrm/>), as the side that sends over a
//! bidirectional connection.
//!
//! A data frame is its length and its octets; a length of 0 announces a control frame. The handshake is READY,
//! ACCEPT, START; at the end STOP is confirmed by FINISH. All numbers are 32 bits, big-endian.

use std::io;
use std::io::Read;
use std::io::Write;

/// What data frames hold.
const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The longest control frame that a reader may send (`FSTRM_CONTROL_FRAME_LENGTH_MAX`).
const MAX_CONTROL_LEN: u32 = 512;

const ACCEPT: u32 = 1;
const START: u32 = 2;
const STOP: u32 = 3;
const READY: u32 = 4;
const FINISH: u32 = 5;

/// The only field of control frames.
const FIELD_CONTENT_TYPE: u32 = 1;

/// Agrees with the reader on dnstap; data frames may follow.
///
/// # Errors
/// If the reader is none of dnstap, or the connection fails.
pub(super) fn start(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(READY, true))?;
    let (kind, types) = read_control(stream)?;
    if kind != ACCEPT || !accepts_dnstap(&types) {
        return Err(no_reader());
    }
    stream.write_all(&control(START, true))
}

/// Ends the stream, and waits until the reader has everything.
///
/// # Errors
/// If the connection fails first.
pub(super) fn stop(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&control(STOP, false))?;
    match read_control(stream)? {
        (FINISH, _) => Ok(()),
        _ => Err(no_reader()),
    }
}

/// A control frame.
fn control(kind: u32, has_type: bool) -> Vec<u8> {
    let mut frame = kind.to_be_bytes().to_vec();
    if has_type {
        frame.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        frame.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
        frame.extend_from_slice(CONTENT_TYPE);
    }
    let len = frame.len() as u32;
    [&[0; 4][..], &len.to_be_bytes(), &frame].concat()
}

/// The type of the reader's next frame, which must be a control frame, and its fields.
fn read_control(stream: &mut impl Read) -> io::Result<(u32, Vec<u8>)> {
    let escape = read_number(stream)?;
    let len = read_number(stream)?;
    if escape != 0 || !(4..=MAX_CONTROL_LEN).contains(&len) {
        return Err(no_reader());
    }
    let kind = read_number(stream)?;
    let mut fields = vec![0; len as usize - 4];
    stream.read_exact(&mut fields)?;
    Ok((kind, fields))
}

fn read_number(stream: &mut impl Read) -> io::Result<u32> {
    let mut octets = [0; 4];
    stream.read_exact(&mut octets)?;
    Ok(u32::from_be_bytes(octets))
}

/// Whether dnstap is among the content types of an ACCEPT; one without any accepts all.
fn accepts_dnstap(mut fields: &[u8]) -> bool {
    if fields.is_empty() {
        return true;
    }
    while let Some((head, rest)) = fields.split_first_chunk::<8>() {
        let [field, len] = [&head[..4], &head[4..]]
            .map(|octets| octets.iter().fold(0, |n, o| n << 8 | u32::from(*o)));
        let Some((value, rest)) = rest.split_at_checked(len as usize) else {
            return false;
        };
        if field == FIELD_CONTENT_TYPE && value == CONTENT_TYPE {
            return true;
        }
        fields = rest;
    }
    false
}

fn no_reader() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what listens there is no dnstap reader (Frame Streams, content type protobuf:dnstap.Dnstap)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the other side sends, and what was sent to it.
    struct Peer {
        sends: io::Cursor<Vec<u8>>,
        gets: Vec<u8>,
    }

    impl Peer {
        fn sending(octets: &[u8]) -> Self {
            Self {
                sends: io::Cursor::new(octets.to_vec()),
                gets: Vec::new(),
            }
        }
    }

    impl Read for Peer {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.sends.read(out)
        }
    }

    impl Write for Peer {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.gets.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An ACCEPT with these fields.
    fn accept(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let fields = fields.iter().map(|(field, value)| {
            [
                &field.to_be_bytes()[..],
                &(value.len() as u32).to_be_bytes(),
                value,
            ]
            .concat()
        });
        let body = [
            ACCEPT.to_be_bytes().to_vec(),
            fields.collect::<Vec<_>>().concat(),
        ]
        .concat();
        [&[0; 4][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    }

    #[test]
    fn only_a_reader_of_dnstap_is_sent_to() {
        let other: &[u8] = b"protobuf:other";
        let mut data = accept(&[]);
        data[3] = 1;
        let mut long = accept(&[]);
        long[6] = 3;
        for (sent, is_reader, what) in [
            (accept(&[(1, CONTENT_TYPE)]), true, "dnstap"),
            (
                accept(&[(1, other), (1, CONTENT_TYPE)]),
                true,
                "dnstap among others",
            ),
            (accept(&[]), true, "everything"),
            (accept(&[(1, other)]), false, "something else"),
            (accept(&[(2, CONTENT_TYPE)]), false, "another field"),
            (control(FINISH, false), false, "no ACCEPT"),
            (data, false, "a data frame"),
            (long, false, "a frame of 772 octets"),
            (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), false, "HTTP"),
            (
                accept(&[(1, CONTENT_TYPE)])[..20].to_vec(),
                false,
                "half a frame",
            ),
        ] {
            let mut peer = Peer::sending(&sent);
            assert_eq!(start(&mut peer).is_ok(), is_reader, "{what}");
            let ready = control(READY, true);
            let expected = match is_reader {
                true => [ready, control(START, true)].concat(),
                false => ready,
            };
            assert_eq!(peer.gets, expected, "{what}");
        }
    }

    #[test]
    fn the_end_waits_for_the_reader() {
        let mut peer = Peer::sending(&control(FINISH, false));
        stop(&mut peer).unwrap();
        assert_eq!(peer.gets, [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3]);
        assert!(stop(&mut Peer::sending(&[])).is_err());
    }
}
