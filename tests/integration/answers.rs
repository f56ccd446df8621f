//! Static data and the protocol's edges.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::Folder;
use crate::harness::Reply;
use crate::harness::exchange;
use crate::harness::exchange_tcp;
use crate::harness::query;
use crate::harness::still_world;

#[test]
fn zones_are_answered_as_the_rfcs_say() {
    let server = Folder::usual("", "").serve();
    let ask = |name, rtype| server.ask(name, rtype, None);

    let reply = ask("mail.example.com.", RecordType::MX);
    assert!(reply.message.metadata.authoritative);
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["mail.example.com. MX 10 mx.example.com."]
    );
    assert_eq!(
        Reply::texts(&reply.message.additionals),
        ["mx.example.com. A 192.0.2.25"]
    );

    let reply = ask("nope.example.com.", RecordType::A);
    assert_eq!(reply.rcode(), ResponseCode::NXDomain);
    assert_eq!(
        (
            reply.message.authorities.len(),
            reply.message.authorities[0].ttl
        ),
        (1, 300)
    );
    let reply = ask("b.c.example.com.", RecordType::A);
    assert_eq!(
        (reply.rcode(), reply.message.answers.len()),
        (ResponseCode::NoError, 0)
    );
    assert_eq!(reply.message.authorities[0].record_type(), RecordType::SOA);

    let reply = ask("deep.down.sub.example.com.", RecordType::A);
    assert!(!reply.message.metadata.authoritative);
    assert_eq!(
        Reply::texts(&reply.message.authorities),
        ["sub.example.com. NS ns.sub.example.com."]
    );
    assert_eq!(
        Reply::texts(&reply.message.additionals),
        ["ns.sub.example.com. A 192.0.2.99"]
    );
}

#[test]
fn wildcards_and_aliases_are_followed_inside_the_zone() {
    let server = Folder::usual("", "").serve();
    let ask = |name, rtype| server.ask(name, rtype, None);

    let reply = ask("x.y.wild.example.com.", RecordType::TXT);
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["x.y.wild.example.com. TXT any"]
    );
    let reply = ask("x.old.example.com.", RecordType::A);
    let texts = Reply::texts(&reply.message.answers);
    // hickory has no text form for DNAME.
    assert!(texts[0].starts_with("old.example.com. DNAME "), "{texts:?}");
    assert_eq!(
        texts[1..],
        [
            "x.old.example.com. CNAME x.new.example.com.",
            "x.new.example.com. A 192.0.2.77",
        ]
    );
    let reply = ask("alias.example.com.", RecordType::A);
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["alias.example.com. CNAME target.example.net."]
    );
    assert_eq!(
        ask("example.net.", RecordType::A).rcode(),
        ResponseCode::Refused
    );
    let any = ask("example.com.", RecordType::ANY).message.answers;
    assert!(!any.is_empty(), "RFC 8482: one RRset");
    assert!(
        any.iter()
            .all(|record| record.record_type() == any[0].record_type())
    );
    assert_eq!(
        ask("example.com.", RecordType::AXFR).rcode(),
        ResponseCode::Refused
    );
}

#[test]
fn malformed_messages_get_an_error_or_nothing_and_no_log_line() {
    let server = Folder::usual("", "").serve();
    let good = query("example.com.", RecordType::SOA, None);
    let status = |bytes: &[u8]| exchange(server.dns, bytes).rcode();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(
        status(&with(2, 0x28)),
        ResponseCode::NotImp,
        "opcode UPDATE"
    );
    assert_eq!(status(&with(5, 0)), ResponseCode::FormErr, "no question");
    assert_eq!(status(&with(5, 2)), ResponseCode::FormErr, "two questions");
    assert_eq!(
        status(&good[..20]),
        ResponseCode::FormErr,
        "a question cut off"
    );
    // Dropped: a response, and less than a header. The next good query is answered at once.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(&with(2, 0x80), server.dns).expect("sent");
    socket.send_to(&good[..11], server.dns).expect("sent");
    socket.send_to(&good, server.dns).expect("sent");
    socket
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .expect("a timeout");
    let mut buffer = [0; 512];
    let len = socket.recv(&mut buffer).expect("the good query's response");
    assert!(len > good.len());
    assert_eq!(
        server
            .log()
            .lines()
            .filter(|line| !line.contains(" WARN "))
            .count(),
        1
    );
}

#[test]
fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let folder = Folder::usual("", "");
    let strings: String = (0..40)
        .map(|n| format!("many TXT \"{}{n}\"\n", "x".repeat(60)))
        .collect();
    folder.write(
        "zones/example.com.zone",
        format!("{}{strings}", crate::harness::ZONE),
    );
    let server = folder.serve();
    let many = query("many.example.com.", RecordType::TXT, None);
    let reply = exchange(server.dns, &many);
    assert!(reply.message.metadata.truncation);
    assert!(reply.bytes.len() <= 1232 && reply.message.answers.is_empty());
    let replies = exchange_tcp(server.dns, &vec![many; 50]);
    assert!(
        replies
            .iter()
            .all(|reply| reply.message.answers.len() == 40)
    );
}

#[test]
fn identity_is_told_as_configured() {
    let folder = Folder::usual("", "nsid = \"ns1.test\"\nversion = \"\"");
    let server = folder.serve();
    let chaos = |name: &[u8]| {
        let mut message = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0".to_vec();
        message.extend_from_slice(name);
        message.extend_from_slice(b"\0\x10\0\x03");
        exchange(server.dns, &message)
    };
    let reply = chaos(b"\x02id\x06server\0");
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["id.server. TXT ns1.test"]
    );
    assert_eq!(
        chaos(b"\x07version\x04bind\0").rcode(),
        ResponseCode::Refused
    );
    let mut nsid = query("example.com.", RecordType::SOA, None);
    // An empty NSID option at the end of the OPT, whose RDLENGTH stands in front of it.
    let len = nsid.len();
    nsid[len - 1] += 4;
    nsid.extend_from_slice(&[0, 3, 0, 0]);
    let bytes = exchange(server.dns, &nsid).bytes;
    assert!(
        bytes
            .windows(12)
            .any(|window| window == b"\0\x03\0\x08ns1.test")
    );
}

#[test]
fn wildcard_listeners_answer_from_the_address_asked() {
    let folder = Folder::usual(&still_world(20), "");
    let text = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    folder.write(
        "meridian.toml",
        text.replacen("127.0.0.1:0", "0.0.0.0:0", 1),
    );
    let server = folder.serve();
    for address in ["127.0.0.2", "127.0.0.9"] {
        let asked = (
            address.parse::<std::net::IpAddr>().expect("address"),
            server.dns.port(),
        );
        // A connected socket takes nothing from elsewhere.
        let reply = exchange(asked.into(), &query("example.com.", RecordType::NS, None));
        assert_eq!(reply.message.answers.len(), 2);
    }
}
