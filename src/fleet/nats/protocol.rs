//! The client protocol of core NATS: lines that end in CR LF, and payloads whose length the line announces
//! (docs.nats.io, "Client Protocol").
//!
//! The peer is not trusted: no line and no payload is kept beyond its limit, and whatever is no NATS is an
//! [`Malformed`]. Messages without headers only, which is what CONNECT asks for.

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use serde_json::Value;
use serde_json::json;

/// Octets of a line; INFO lists all servers of a cluster and all their addresses.
const MAX_LINE_LEN: usize = 64 * 1024;

/// Octets of a payload, the default limit of nats-server. Whatever is longer is skipped as it arrives.
pub(super) const MAX_PAYLOAD_LEN: usize = 1024 * 1024;

/// What a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Says what the server is, first and when that changes.
    Info(Info),
    /// A message.
    Message(Message),
    /// A message that is too long and was skipped.
    Oversized(Header),
    /// Asks for a PONG.
    Ping,
    /// The reply to a PING.
    Pong,
    /// The reply to anything, in verbose mode.
    Ok,
    /// What the server objects to.
    Error(Box<str>),
}

/// What of INFO matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// Whether it takes connections by TLS only.
    pub(super) is_tls_required: bool,
    /// Whether it takes connections by TLS.
    pub(super) is_tls_available: bool,
    /// Octets of the longest payload that it takes.
    pub(super) max_payload: usize,
    /// What a key signs to prove itself.
    pub(super) nonce: Option<Box<str>>,
    /// Whether it will close all connections soon.
    pub(super) is_leaving: bool,
}

/// The line that announces a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The subject that it was published to.
    pub(super) subject: Box<str>,
    /// The subscription that it is delivered to.
    pub(super) sid: u64,
    /// Where a reply goes.
    pub(super) reply: Option<Box<str>>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// What was announced.
    pub(super) header: Header,
    /// Its content.
    pub(super) payload: Bytes,
}

/// A peer that speaks no NATS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads what a server sends, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// Octets of the buffer that hold no end of a line.
    n_searched: usize,
}

#[derive(Debug, Default)]
enum State {
    /// A line comes next.
    #[default]
    Line,
    /// The payload of this length, and CR LF.
    Payload(Header, usize),
    /// So many octets that nobody reads.
    Skip(u64),
}

impl Decoder {
    /// The next operation of what has arrived; `None` if more must arrive first.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Op>, Malformed> {
        loop {
            match std::mem::take(&mut self.state) {
                State::Line => {
                    let Some(line) = self.line(buffer)? else {
                        return Ok(None);
                    };
                    let line = std::str::from_utf8(&line).map_err(|_| Malformed)?;
                    match operation(line)? {
                        Line::Op(op) => return Ok(Some(op)),
                        Line::Message(header, len) => {
                            if let Ok(len) = usize::try_from(len)
                                && len <= MAX_PAYLOAD_LEN
                            {
                                self.state = State::Payload(header, len);
                                continue;
                            }
                            self.state = State::Skip(len.checked_add(2).ok_or(Malformed)?);
                            return Ok(Some(Op::Oversized(header)));
                        }
                    }
                }
                State::Payload(header, len) => {
                    if buffer.len() < len + 2 {
                        self.state = State::Payload(header, len);
                        return Ok(None);
                    }
                    let payload = buffer.split_to(len).freeze();
                    if buffer.split_to(2) != b"\r\n"[..] {
                        return Err(Malformed);
                    }
                    return Ok(Some(Op::Message(Message { header, payload })));
                }
                State::Skip(left) => {
                    let n =
                        usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                    buffer.advance(n);
                    let left = left - n as u64;
                    if left > 0 {
                        self.state = State::Skip(left);
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// A line without its end.
    fn line(&mut self, buffer: &mut BytesMut) -> Result<Option<BytesMut>, Malformed> {
        let end = buffer[self.n_searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(end) = end.map(|at| at + self.n_searched) else {
            self.n_searched = buffer.len();
            return if buffer.len() > MAX_LINE_LEN {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        self.n_searched = 0;
        let mut line = buffer.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        if line.len() > MAX_LINE_LEN {
            Err(Malformed)
        } else {
            Ok(Some(line))
        }
    }
}

/// What a line is.
enum Line {
    Op(Op),
    /// The announcement of a payload of so many octets.
    Message(Header, u64),
}

fn operation(line: &str) -> Result<Line, Malformed> {
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    Ok(Line::Op(match word {
        "MSG" => {
            let (header, len) = header(rest).ok_or(Malformed)?;
            return Ok(Line::Message(header, len));
        }
        "PING" => Op::Ping,
        "PONG" => Op::Pong,
        "+OK" => Op::Ok,
        "-ERR" => Op::Error(rest.trim().trim_matches('\'').into()),
        "INFO" => Op::Info(info(rest).ok_or(Malformed)?),
        _ => return Err(Malformed),
    }))
}

/// `SUBJECT SID [REPLY] LENGTH`.
fn header(text: &str) -> Option<(Header, u64)> {
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let (subject, sid, reply, len) = match *fields {
        [subject, sid, len] => (subject, sid, None, len),
        [subject, sid, reply, len] => (subject, sid, Some(reply.into()), len),
        _ => return None,
    };
    let header = Header {
        subject: subject.into(),
        sid: sid.parse().ok()?,
        reply,
    };
    Some((header, len.parse().ok()?))
}

fn info(text: &str) -> Option<Info> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return None;
    };
    let is_set = |key: &str| fields.get(key) == Some(&Value::Bool(true));
    Some(Info {
        is_tls_required: is_set("tls_required"),
        is_tls_available: is_set("tls_required") || is_set("tls_available"),
        max_payload: fields
            .get("max_payload")
            .and_then(Value::as_u64)
            .and_then(|len| usize::try_from(len).ok())
            .unwrap_or(MAX_PAYLOAD_LEN),
        nonce: fields.get("nonce").and_then(Value::as_str).map(Into::into),
        is_leaving: is_set("ldm"),
    })
}

/// As whom to connect.
#[derive(Clone, Debug, Default)]
pub(super) struct Identity {
    /// User and password.
    pub(super) login: Option<(Box<str>, Box<str>)>,
    /// A user's JWT, and the signature of the nonce by the user's key.
    pub(super) token: Option<(Box<str>, Box<str>)>,
}

impl Identity {
    /// Whether it identifies nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.login.is_none() && self.token.is_none()
    }
}

/// CONNECT: neither acknowledgements nor headers, and none of this connection's own messages.
pub(super) fn connect(out: &mut Vec<u8>, name: &str, is_tls: bool, identity: &Identity) {
    let mut options = json!({
        "verbose": false,
        "pedantic": false,
        "tls_required": is_tls,
        "name": name,
        "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": 1,
        "echo": false,
        "headers": false,
        "no_responders": false,
    });
    if let Some((user, password)) = &identity.login {
        options["user"] = (**user).into();
        options["pass"] = (**password).into();
    }
    if let Some((jwt, signature)) = &identity.token {
        options["jwt"] = (**jwt).into();
        options["sig"] = (**signature).into();
    }
    out.extend(format!("CONNECT {options}\r\n").as_bytes());
}

/// SUB.
pub(super) fn subscribe(out: &mut Vec<u8>, subject: &str, sid: u64) {
    out.extend(format!("SUB {subject} {sid}\r\n").as_bytes());
}

/// PUB.
pub(super) fn publish(out: &mut Vec<u8>, subject: &str, reply: Option<&str>, payload: &[u8]) {
    let len = payload.len();
    let line = match reply {
        Some(reply) => format!("PUB {subject} {reply} {len}\r\n"),
        None => format!("PUB {subject} {len}\r\n"),
    };
    out.extend(line.as_bytes());
    out.extend(payload);
    out.extend(b"\r\n");
}

/// PING.
pub(super) const PING: &[u8] = b"PING\r\n";

/// PONG.
pub(super) const PONG: &[u8] = b"PONG\r\n";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], piece: usize) -> (Vec<Op>, Result<usize, Malformed>) {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        let mut ops = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer) {
                    Ok(Some(op)) => ops.push(op),
                    Ok(None) => break,
                    Err(malformed) => return (ops, Err(malformed)),
                }
            }
            assert!(buffer.len() <= MAX_PAYLOAD_LEN + 2 + piece.len(), "bounded");
        }
        (ops, Ok(buffer.len()))
    }

    fn message(subject: &str, reply: Option<&str>, payload: &'static [u8]) -> Op {
        let header = Header {
            subject: subject.into(),
            sid: 7,
            reply: reply.map(Into::into),
        };
        let payload = Bytes::from_static(payload);
        Op::Message(Message { header, payload })
    }

    #[test]
    fn operations_are_read_in_any_pieces() {
        let bytes = b"INFO {\"tls_required\":true,\"nonce\":\"n\",\"ldm\":false,\"x\":[1]}\r\n+OK\r\nPING\r\n\
            PONG\n-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n-ERR\r\nMSG a.b 7 5\r\n\r\nab \r\n\
            MSG a.b 7 _INBOX.1 0\r\n\r\nMSG\ta.b  7  2\r\nhi\r\n";
        let info = Info {
            is_tls_required: true,
            is_tls_available: true,
            max_payload: MAX_PAYLOAD_LEN,
            nonce: Some("n".into()),
            ..Info::default()
        };
        let expected = [
            Op::Info(info),
            Op::Ok,
            Op::Ping,
            Op::Pong,
            Op::Error("Permissions Violation for Publish to \"a.b\"".into()),
            Op::Error("".into()),
            message("a.b", None, b"\r\nab "),
            message("a.b", Some("_INBOX.1"), b""),
            message("a.b", None, b"hi"),
        ];
        for piece in [1, 2, 3, 7, bytes.len()] {
            assert_eq!(decode(bytes, piece), (expected.to_vec(), Ok(0)), "{piece}");
        }
    }

    #[test]
    fn whatever_is_no_nats_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"\n",
            b" PING\r\n",
            b"ping\r\n",
            b"220 mail.example.com ESMTP\r\n",
            b"INFO\r\n",
            b"INFO []\r\n",
            b"INFO {\r\n",
            b"MSG a\r\n",
            b"MSG a 1 x\r\n",
            b"MSG a 1 -1\r\n",
            b"MSG a x 1\r\n",
            b"MSG a 1 b 1 c\r\n",
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 18446744073709551616\r\n",
            b"MSG a 1 1\r\nabc",
            b"HMSG a 1 12 12\r\n",
            b"\xff\xfe\r\n",
            &[b'x'; MAX_LINE_LEN + 1],
        ] {
            for piece in [1, bytes.len()] {
                assert_eq!(decode(bytes, piece), (vec![], Err(Malformed)), "{bytes:?}");
            }
        }
    }

    #[test]
    fn oversized_payloads_are_skipped_as_they_arrive() {
        let len = MAX_PAYLOAD_LEN + 1;
        let mut bytes = format!("MSG a.b 7 {len}\r\n").into_bytes();
        bytes.resize(bytes.len() + len, b'x');
        bytes.extend(b"\r\nMSG a.b 7 2\r\nhi\r\n");
        let (ops, rest) = decode(&bytes, 4096);
        let Some((Op::Oversized(header), rest_of_ops)) = ops.split_first() else {
            panic!("{} operations", ops.len());
        };
        assert_eq!(&*header.subject, "a.b");
        assert_eq!(
            (rest_of_ops, rest),
            (&[message("a.b", None, b"hi")][..], Ok(0))
        );
    }

    #[test]
    fn what_is_sent_is_what_the_protocol_asks_for() {
        let mut out = Vec::new();
        subscribe(&mut out, "m.report.*", 1);
        publish(&mut out, "m.report.a", None, b"hi");
        publish(&mut out, "m.sync", Some("m.inbox.a.1"), b"");
        let expected: &[u8] =
            b"SUB m.report.* 1\r\nPUB m.report.a 2\r\nhi\r\nPUB m.sync m.inbox.a.1 0\r\n\r\n";
        assert_eq!(out, expected);
        let identity = Identity {
            login: Some(("me".into(), "a\"b".into())),
            token: None,
        };
        let mut out = Vec::new();
        connect(&mut out, "ns1", true, &identity);
        let text = String::from_utf8(out).expect("UTF-8");
        let text = text.strip_prefix("CONNECT ").expect("a word");
        let options: Value = serde_json::from_str(text).expect("JSON");
        let of = |key: &str| options[key].clone();
        assert_eq!(
            (of("user"), of("pass"), of("jwt")),
            ("me".into(), "a\"b".into(), Value::Null)
        );
        assert_eq!((of("echo"), of("headers")), (false.into(), false.into()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1..50usize) {
            let _ = decode(&bytes, piece);
        }

        #[test]
        fn nothing_like_nats_makes_it_panic(
            lines in prop::collection::vec(
                "(MSG|-ERR|INFO|PING|\\+OK|HMSG) ?[a{}\" 0-9.]{0,24}\r?\n", 0..6
            ),
            piece in 1..50usize,
        ) {
            let bytes = lines.concat().into_bytes();
            // However it arrives, it is the same.
            prop_assert_eq!(decode(&bytes, piece), decode(&bytes, bytes.len()));
        }
    }
}
