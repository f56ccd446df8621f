//! Zone transfers over real sockets, with another implementation of TSIG at the client's end.

use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use domain::base::Message;
use domain::base::MessageBuilder;
use domain::base::Name;
use domain::base::iana::Opcode;
use domain::base::iana::Rcode;
use domain::base::iana::Rtype;
use domain::base::iana::TsigRcode;
use domain::rdata::Tsig;
use domain::rdata::ZoneRecordData;
use domain::rdata::tsig::Time48;
use domain::tsig::Algorithm;
use domain::tsig::ClientSequence;
use domain::tsig::Key;
use domain::tsig::KeyName;
use domain::tsig::ServerTransaction;

use crate::harness::Folder;
use crate::harness::PATIENCE;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::read_framed;

pub const POOLS: &str = "[pool.p]\nlocation = [1, 1]\nendpoints = [\"192.0.2.10\", \"2001:db8::10\"]\n\
     [steer.\"app.example.com\"]\npools = [\"p\"]\nttl = \"7s\"\n";

const SECRET: &[u8] = b"thirty-two octets of a secret...";
pub const SECRET_BASE64: &str = "dGhpcnR5LXR3byBvY3RldHMgb2YgYSBzZWNyZXQuLi4=\n";

fn key(name: &str, secret: &[u8]) -> Arc<Key> {
    let name = KeyName::from_str(name).expect("a name");
    Arc::new(Key::new(Algorithm::Sha256, secret, name, None, None).expect("a key"))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

/// A server with these tables behind `[server]`, and a key file.
fn server(tables: &str) -> Server {
    let folder = Folder::usual(POOLS, tables);
    folder.write("transfer.key", SECRET_BASE64);
    folder.serve()
}

const SIGNED: &str = "[[tsig_key]]\nname = \"transfer.key\"\nsecret_file = \"transfer.key\"\n\
     [[secondary]]\naddresses = [\"127.0.0.0/8\"]\nkey = \"transfer.key\"\n";

const OPEN: &str = "[[secondary]]\naddresses = [\"127.0.0.1\"]\n";

pub type Question = domain::base::message_builder::AdditionalBuilder<Vec<u8>>;

pub fn question(zone: &str, rtype: Rtype) -> Question {
    let mut question = MessageBuilder::new_vec().question();
    question.header_mut().set_id(0x4d21);
    let zone = Name::<Vec<u8>>::from_str(zone).expect("a name");
    question.push((zone, rtype)).expect("room");
    question.additional()
}

/// Connects and sends one message.
fn connect(server: SocketAddr, message: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let framed = [&(message.len() as u16).to_be_bytes(), message].concat();
    stream.write_all(&framed).expect("sent");
    stream
}

fn message(bytes: Vec<u8>) -> Message<Vec<u8>> {
    Message::from_octets(bytes).expect("a header")
}

/// The answer section in text; each record on a line.
pub fn records(message: &Message<Vec<u8>>) -> Vec<String> {
    let answer = message.answer().expect("an answer section");
    answer
        .limit_to::<ZoneRecordData<_, _>>()
        .map(|record| record.expect("a record").to_string())
        .collect()
}

/// A whole transfer: its records, and the messages that it took. Signed if there is a key.
pub fn transfer(server: SocketAddr, zone: &str, key: Option<Arc<Key>>) -> (Vec<String>, usize) {
    let mut question = question(zone, Rtype::AXFR);
    let mut sequence = key.map(|key| {
        ClientSequence::request(key, &mut question, Time48::from_u64(now())).expect("signed")
    });
    let mut stream = connect(server, &question.finish());
    let (mut all, mut n_messages) = (Vec::new(), 0);
    loop {
        let mut next = message(read_framed(&mut stream));
        if let Some(sequence) = &mut sequence {
            sequence
                .answer(&mut next, Time48::from_u64(now()))
                .expect("signed");
        }
        assert_eq!(next.header().rcode(), Rcode::NOERROR);
        assert_eq!(next.header_counts().qdcount(), u16::from(n_messages == 0));
        n_messages += 1;
        all.extend(records(&next));
        if all.len() > 1 && all.last() == all.first() {
            break;
        }
    }
    if let Some(sequence) = sequence {
        sequence.done().expect("the last message is signed");
    }
    (all, n_messages)
}

fn rcode_of(server: SocketAddr, message_bytes: &[u8]) -> Rcode {
    message(read_framed(&mut connect(server, message_bytes)))
        .header()
        .rcode()
}

#[test]
fn a_zone_leaves_whole_with_its_steered_names_as_plain_records() {
    let server = server(OPEN);
    let (records, n_messages) = transfer(server.dns, "example.com", None);
    assert_eq!(n_messages, 1);
    let has = |text: &str| {
        records
            .iter()
            .any(|record| record.split_whitespace().eq(text.split(' ')))
    };
    for wanted in [
        "app.example.com. 7 IN A 192.0.2.10",
        "app.example.com. 7 IN AAAA 2001:db8::10",
        "ns.sub.example.com. 3600 IN A 192.0.2.99",
        "*.wild.example.com. 3600 IN TXT \"any\"",
        "old.example.com. 3600 IN DNAME new.example.com.",
    ] {
        assert!(has(wanted), "{wanted} in {records:#?}");
    }
    // Every record of the file, the steered ones, and the SOA twice.
    let n_in_file = ZONE.lines().filter(|line| !line.starts_with('$')).count();
    assert_eq!(records.len(), n_in_file + 2 + 1);
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    assert!(metrics.contains("meridian_transfers_total{result=\"done\"} 1"));
}

#[test]
fn a_large_zone_takes_many_messages_and_each_is_signed() {
    let folder = Folder::usual(POOLS, SIGNED);
    folder.write("transfer.key", SECRET_BASE64);
    let mut zone = ZONE.to_owned();
    (0..20_000).for_each(|n| zone += &format!("host{n} TXT \"number {n}\" \"of many\"\n"));
    folder.write("zones/example.com.zone", &zone);
    let server = folder.serve();
    let (records, n_messages) =
        transfer(server.dns, "example.com", Some(key("transfer.key", SECRET)));
    assert!(n_messages > 20, "{n_messages}");
    let n_in_file = zone.lines().filter(|line| !line.starts_with('$')).count();
    assert_eq!(records.len(), n_in_file + 2 + 1);
    let mut unique = records[1..].to_vec();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), records.len() - 1, "no record twice");
    // Who does not read is cut off, and nobody else waits for it. Asked so often, what it gets is more
    // than any buffer on the way holds.
    let query = signed("example.com", Rtype::AXFR, SECRET, now());
    let mut silent = connect(server.dns, &query);
    let framed = [&(query.len() as u16).to_be_bytes(), &query[..]].concat();
    silent.write_all(&framed.repeat(50)).expect("sent");
    let key = key("transfer.key", SECRET);
    assert_eq!(transfer(server.dns, "example.com", Some(key)).1, n_messages);
    drop(silent);
    eventually("the broken transfer", || {
        let (_, metrics) = http(server.admin, "GET", "/metrics");
        metrics
            .contains("meridian_transfers_total{result=\"broken\"} 1")
            .then_some(())
    });
}

/// A signed question.
fn signed(zone: &str, rtype: Rtype, secret: &[u8], at: u64) -> Vec<u8> {
    let mut question = question(zone, rtype);
    let at = Time48::from_u64(at);
    ClientSequence::request(key("transfer.key", secret), &mut question, at).expect("signed");
    question.finish()
}

/// RCODE and TSIG error of a response.
fn errors_of(server: SocketAddr, query: &[u8]) -> (Rcode, Option<TsigRcode>) {
    let response = message(read_framed(&mut connect(server, query)));
    let additional = response.additional().expect("a section");
    let tsig = additional.limit_to::<Tsig<_, _>>().next();
    let error = tsig.map(|tsig| tsig.expect("a TSIG").data().error());
    (response.header().rcode(), error)
}

#[test]
fn who_may_not_copy_is_told_why_and_logged_once() {
    let server = server(SIGNED);
    let axfr = |zone: &str| question(zone, Rtype::AXFR).finish();
    assert_eq!(
        rcode_of(server.dns, &axfr("example.com")),
        Rcode::REFUSED,
        "unsigned"
    );
    assert_eq!(
        rcode_of(server.dns, &axfr("sub.example.com")),
        Rcode::NOTAUTH
    );
    assert_eq!(rcode_of(server.dns, &axfr("example.net")), Rcode::NOTAUTH);
    let refused = |code| (Rcode::NOTAUTH, Some(code));
    for _ in 0..3 {
        let wrong = signed(
            "example.com",
            Rtype::AXFR,
            b"a wrong secret of 32 octets.....",
            now(),
        );
        assert_eq!(errors_of(server.dns, &wrong), refused(TsigRcode::BADSIG));
        let late = signed("example.com", Rtype::AXFR, SECRET, now() - 1000);
        assert_eq!(errors_of(server.dns, &late), refused(TsigRcode::BADTIME));
        let mut unknown = question("example.com", Rtype::AXFR);
        let at = Time48::from_u64(now());
        ClientSequence::request(key("no.key", SECRET), &mut unknown, at).expect("signed");
        assert_eq!(
            errors_of(server.dns, &unknown.finish()),
            refused(TsigRcode::BADKEY)
        );
    }
    for reason in [
        "no [[secondary]] allows it",
        "wrong TSIG signature",
        "unknown TSIG key",
        "another time",
    ] {
        server.wait_for_log(reason);
        let log = server.log();
        assert_eq!(log.matches(reason).count(), 1, "{reason} in {log}");
    }
}

#[test]
fn other_queries_with_a_good_signature_are_answered_signed() {
    let server = server(SIGNED);
    for rtype in [Rtype::SOA, Rtype::A, Rtype::ANY] {
        let mut question = question("example.com", rtype);
        let at = Time48::from_u64(now());
        let key = key("transfer.key", SECRET);
        let client =
            domain::tsig::ClientTransaction::request(key, &mut question, at).expect("signed");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.connect(server.dns).expect("a route");
        socket.send(&question.finish()).expect("sent");
        let mut buffer = vec![0; 4096];
        let len = socket.recv(&mut buffer).expect("a response");
        assert!(len <= 512);
        let mut response = message(buffer[..len].to_vec());
        client
            .answer(&mut response, Time48::from_u64(now()))
            .expect("signed");
        assert_eq!(response.header().rcode(), Rcode::NOERROR);
    }
}

/// An IXFR question from a client that has this serial.
fn ixfr(serial: u32) -> Vec<u8> {
    let mut bytes = question("example.com", Rtype::IXFR).finish();
    bytes[9] = 1;
    bytes.extend_from_slice(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0");
    bytes.extend_from_slice(&serial.to_be_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes
}

#[test]
fn ixfr_gets_the_zone_or_the_news_that_there_is_none() {
    let server = server(OPEN);
    let answers = |serial| {
        let first = message(read_framed(&mut connect(server.dns, &ixfr(serial))));
        assert!(first.header().aa());
        records(&first)
    };
    assert!(answers(6).len() > 10, "the zone");
    for serial in [7, 8] {
        let answers = answers(serial);
        assert_eq!(answers.len(), 1);
        assert!(answers[0].contains("SOA"), "{answers:?}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let ask = |query: &[u8]| {
        socket.send_to(query, server.dns).expect("sent");
        let mut buffer = vec![0; 4096];
        let len = socket.recv(&mut buffer).expect("a response");
        message(buffer[..len].to_vec())
    };
    assert_eq!(records(&ask(&ixfr(6))).len(), 1);
    let axfr = ask(&question("example.com", Rtype::AXFR).finish());
    assert_eq!(axfr.header().rcode(), Rcode::FORMERR);
}

#[test]
fn what_is_asked_behind_a_transfer_is_answered_behind_it() {
    let server = server(OPEN);
    let mut stream = connect(server.dns, &question("example.com", Rtype::AXFR).finish());
    let soa = question("example.com", Rtype::SOA).finish();
    let framed = [&(soa.len() as u16).to_be_bytes(), &soa[..]].concat();
    stream.write_all(&framed).expect("sent");
    assert!(records(&message(read_framed(&mut stream))).len() > 10);
    assert_eq!(read_framed(&mut stream)[..2], soa[..2]);
}

#[test]
fn secondaries_are_told_of_new_serials_until_they_answer() {
    let secondary = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    secondary
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout");
    let target = secondary.local_addr().expect("an address");
    let server = server(&format!("{SIGNED}notify = [\"{target}\"]\n"));
    let mut buffer = vec![0; 4096];
    let mut receive = || {
        let (len, from) = secondary.recv_from(&mut buffer).expect("a NOTIFY");
        (message(buffer[..len].to_vec()), from)
    };
    let answer = |mut notify: Message<Vec<u8>>, from: SocketAddr| {
        assert_eq!(notify.header().opcode(), Opcode::NOTIFY);
        let store = key("transfer.key", SECRET);
        let at = Time48::from_u64(now());
        let server = ServerTransaction::request(&store, &mut notify, at).expect("signed");
        let mut answer = MessageBuilder::new_vec()
            .start_answer(&notify, Rcode::NOERROR)
            .expect("room")
            .additional();
        server
            .expect("signed")
            .answer(&mut answer, at)
            .expect("room");
        secondary.send_to(&answer.finish(), from).expect("sent");
    };
    // The first is lost on the way; it comes again.
    let (first, _) = receive();
    let (again, from) = receive();
    assert_eq!(
        first.sole_question().expect("one"),
        again.sole_question().expect("one")
    );
    answer(again, from);
    server.wait_for_log("secondary notified");

    let newer = ZONE.replace("hostmaster 7 ", "hostmaster 8 ");
    server.folder.write("zones/example.com.zone", &newer);
    let (notify, from) = receive();
    answer(notify, from);
    eventually("the second answer", || {
        (server.log().matches("secondary notified").count() == 2).then_some(())
    });

    let same_serial = newer + "more A 192.0.2.1\n";
    server.folder.write("zones/example.com.zone", same_serial);
    server.wait_for_log("SOA serial 8 did not");
    // Secondaries stay at 8, also when the zone is edited once more.
    for serial in [5, 6] {
        let older = ZONE.replace("hostmaster 7 ", &format!("hostmaster {serial} "));
        server.folder.write("zones/example.com.zone", older);
        let warning = format!("SOA serial {serial} is not newer than 8");
        server.wait_for_log(&warning);
        let (_, status) = http(server.admin, "GET", "/api/v1/status");
        assert!(status.contains(&warning), "{status}");
    }
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    assert!(metrics.contains("meridian_notifies_total{result=\"answered\"} 2"));
}

#[test]
fn faults_of_keys_and_secondaries_have_their_places() {
    let folder = Folder::usual(
        POOLS,
        "[[tsig_key]]\nname = \"a.key\"\nsecret_file = \"a.secret\"\n\
         [[tsig_key]]\nname = \"b.key\"\nsecret_file = \"b.secret\"\n\
         [[secondary]]\naddresses = [\"127.0.0.1\"]\nzones = [\"example.com\", \"example.net\"]\n",
    );
    folder.write("a.secret", "AAAA\n");
    folder.write("b.secret", "not base64 at all, 32 octets or so");
    let refused = folder.meridian(&["check"]);
    let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
    for wanted in [
        "a.secret:1:1: is no secret, expected at least 16 octets in base64",
        "b.secret:1:1: is no secret",
        "`example.net.` is none of the zones, expected one of them",
        "3 faults",
    ] {
        assert!(stderr.contains(wanted), "{wanted} in {stderr}");
    }
}
