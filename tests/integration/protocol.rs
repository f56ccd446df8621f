//! docs/protocol.md row by row: each odd message over UDP and TCP gets what the document says, and the
//! good query behind it is answered at once.

use std::collections::BTreeMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;

use crate::harness::Folder;
use crate::harness::PATIENCE;
use crate::harness::read_framed;
use crate::messages::QUESTION;
use crate::messages::message;
use crate::messages::rows;

/// The document's tables with three columns of answers: message → (over UDP, over TCP).
fn documented() -> BTreeMap<String, (String, String)> {
    include_str!("../../docs/protocol.md")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, message, _, udp, tcp, _] = cells[..] else {
                return None;
            };
            let is_row = !message.starts_with("---") && message != "message";
            let udp = udp.trim_matches('`').to_owned();
            let tcp = match tcp {
                "same" => udp.clone(),
                _ => tcp.trim_matches('`').to_owned(),
            };
            is_row.then(|| (message.to_owned(), (udp, tcp)))
        })
        .collect()
}

/// The good query that follows each odd message, told by its id.
fn good() -> Vec<u8> {
    let mut good = message(0, [1, 0, 0, 0], &[QUESTION]);
    good[..2].copy_from_slice(b"OK");
    good
}

fn is_good(response: &[u8]) -> bool {
    response.starts_with(b"OK\x84\0\0\x01\0\x01")
}

/// A response in the document's words.
fn words(response: &[u8]) -> String {
    let counts: Vec<u16> = (4..12)
        .step_by(2)
        .map(|at| u16::from_be_bytes([response[at], response[at + 1]]))
        .collect();
    let (flags0, flags1) = (response[2], response[3]);
    assert!(flags0 & 0x80 != 0, "QR");
    assert_eq!(&response[..2], &[0x12, 0x34], "the id");
    let opt = (counts[3] > 0).then(|| opt_of(response)).flatten();
    let high = opt.as_ref().map_or(0, |opt| opt.rcode_high);
    let rcode = match u16::from(high) << 4 | u16::from(flags1 & 15) {
        0 => "NOERROR",
        1 => "FORMERR",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        9 => "NOTAUTH",
        16 => "BADVERS",
        _ => "another RCODE",
    };
    let mut words = rcode.to_owned();
    for (bit, word) in [(0x04, " AA"), (0x02, " TC")] {
        words += if flags0 & bit == 0 { "" } else { word };
    }
    assert_eq!(flags1 & 0xe0, 0, "RA, Z and AD are never set");
    if response.len() == 12 {
        words += ", header only";
    } else if counts[0] == 0 {
        words += ", no question";
    }
    if response.windows(4).any(|w| w == b"\0\xfa\0\xff") {
        words += ", TSIG";
    }
    if let Some(opt) = opt {
        words += ", OPT";
        words += &opt.words;
    }
    words
}

struct OptSeen {
    rcode_high: u8,
    words: String,
}

/// The OPT at a response's end; those of this test hold no name that could be mistaken for it.
fn opt_of(response: &[u8]) -> Option<OptSeen> {
    let at = response
        .windows(5)
        .rposition(|w| w == b"\0\0\x29\x04\xd0")?;
    let opt = &response[at..];
    assert_eq!(opt[6], 0, "our EDNS version");
    let mut words = String::from(if opt[7] & 0x80 == 0 { "" } else { " DO" });
    let mut options = &opt[11..];
    let mut names = Vec::new();
    while let [code0, code1, len0, len1, rest @ ..] = options {
        let (data, next) = rest.split_at(usize::from(u16::from_be_bytes([*len0, *len1])));
        names.push(match u16::from_be_bytes([*code0, *code1]) {
            3 => "NSID".to_owned(),
            8 => format!("ECS scope {}", data[3]),
            10 => "cookie".to_owned(),
            11 => "keepalive".to_owned(),
            15 => format!("EDE {}", data[1]),
            other => format!("option {other}"),
        });
        options = next;
    }
    if !names.is_empty() {
        words += &format!(" ({})", names.join(", "));
    }
    Some(OptSeen {
        rcode_high: opt[5],
        words,
    })
}

/// What a message gets over UDP.
fn over_udp(server: SocketAddr, message: &[u8]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.connect(server).expect("a route");
    // One thread answers in the order of arrival: silence is when the second answer comes first.
    socket.send(message).expect("sent");
    socket.send(&good()).expect("sent");
    let mut buffer = [0; 4096];
    let mut receive = || {
        let len = socket.recv(&mut buffer).expect("a response");
        buffer[..len].to_vec()
    };
    let first = receive();
    if is_good(&first) {
        return "silence".into();
    }
    assert!(is_good(&receive()), "the good query is answered");
    words(&first)
}

/// What a message gets over TCP.
fn over_tcp(server: SocketAddr, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
    let both = [framed(message), framed(&good())].concat();
    stream.write_all(&both).expect("sent");
    let mut peeked = [0];
    if stream.peek(&mut peeked).is_ok_and(|n| n == 0) {
        return "closed".into();
    }
    let first = match stream.peek(&mut peeked) {
        Ok(_) => read_framed(&mut stream),
        Err(_) => return "closed".into(),
    };
    if is_good(&first) {
        return "silence".into();
    }
    assert!(
        is_good(&read_framed(&mut stream)),
        "the good query is answered"
    );
    words(&first)
}

#[test]
fn every_odd_message_gets_what_the_document_says() {
    let server = Folder::usual("", "nsid = \"ns1\"").serve();
    let mut documented = documented();
    let mut faults = String::new();
    for (name, bytes) in rows() {
        let got = (over_udp(server.dns, &bytes), over_tcp(server.dns, &bytes));
        let wanted = documented.remove(name).unwrap_or_default();
        if got != wanted {
            faults += &format!("{name}: got {got:?}, documented {wanted:?}\n");
        }
    }
    for name in documented.into_keys() {
        faults += &format!("{name}: documented, but there is no such message\n");
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn tcp_frames_may_come_in_any_pieces() {
    let server = Folder::usual("", "").serve();
    let framed = [&(good().len() as u16).to_be_bytes(), &good()[..]].concat();
    let mut stream = TcpStream::connect(server.dns).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("an option");
    for octet in &framed {
        stream.write_all(&[*octet]).expect("sent");
    }
    assert!(is_good(&read_framed(&mut stream)));
    // A frame that never ends gets nothing, and the client's end ends the connection.
    stream
        .write_all(&framed.repeat(3)[..framed.len() * 3 - 1])
        .expect("sent");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a half-close");
    assert!(is_good(&read_framed(&mut stream)));
    assert!(is_good(&read_framed(&mut stream)));
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}
