//! Other types than A and AAAA that are chosen for the client, as other programs read them.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Reply;
use crate::harness::Server;
use crate::resolver::Behaviour;
use crate::resolver::FakeResolver;
use crate::secondaries::program;

const POOLS: &str = r#"
[pool.europe]
location = [50.45, 3.82]
endpoints = ["192.0.2.20", "192.0.2.21", "2001:db8::20"]
[pool.asia]
location = [1.35, 103.82]
endpoints = ["192.0.2.30"]
[steer."svc.example.com"]
pools = ["europe", "asia"]
order = "fixed"
hints = true
"#;

const ZONE: &str = "$TTL 1h
@ SOA ns1 hostmaster 7 1h 15m 1w 5m
@ NS ns1
ns1 A 192.0.2.53
svc HTTPS 1 . alpn=h2,h3 port=8443 key9=x
";

fn serve() -> Server {
    let folder = Folder::usual(POOLS, "[[secondary]]\naddresses = [\"127.0.0.1\"]\n");
    folder.write("zones/example.com.zone", ZONE);
    folder.serve()
}

/// The records that `dig` or `kdig` prints, each as `OWNER TTL TYPE RDATA`.
fn printed(program: &Path, server: &Server, arguments: &[&str]) -> Vec<String> {
    let (address, port) = (server.dns.ip().to_string(), server.dns.port().to_string());
    let output = Command::new(program)
        .args([&*format!("@{address}"), "-p", &port, "+noall", "+answer"])
        .args(arguments)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let records = text
        .lines()
        .filter(|line| !line.starts_with(';') && !line.is_empty());
    let words = |line: &str| {
        let words: Vec<_> = line
            .split_whitespace()
            .filter(|word| *word != "IN")
            .collect();
        words.join(" ").replace('"', "")
    };
    records.map(words).collect()
}

#[test]
fn dig_and_kdig_read_the_hints() {
    let (Some(dig), Some(kdig)) = (program("dig"), program("kdig")) else {
        return;
    };
    let server = serve();
    let record = |hints: &str| {
        let front = "svc.example.com. 30 HTTPS 1 . alpn=h2,h3 port=8443";
        vec![format!("{front} {hints} key9=x")]
    };
    let europe = record("ipv4hint=192.0.2.20,192.0.2.21 ipv6hint=2001:db8::20");
    let asia = record("ipv4hint=192.0.2.30 ipv6hint=2001:db8::20");
    for program in [&dig, &kdig] {
        for (client, expected) in [(FRANCE, &europe), (JAPAN, &asia)] {
            let subnet = format!("+subnet={client}");
            let printed = printed(program, &server, &["svc.example.com", "HTTPS", &subnet]);
            assert_eq!(printed, *expected, "{program:?} {client}");
        }
        let copied = printed(program, &server, &["example.com", "AXFR"]);
        assert!(copied.contains(&europe[0]), "{program:?} {copied:#?}");
    }
}

#[test]
fn an_alias_has_the_addresses_of_a_target_elsewhere() {
    let resolver = FakeResolver::start();
    resolver.set_addresses("lb.example.net", "192.0.2.80 2001:db8::80");
    let pools = format!("{POOLS}[alias.\"example.com\"]\ntarget = \"lb.example.net\"\n");
    let settings = format!(
        "[resolve]\nservers = [\"{}\"]\n[[secondary]]\naddresses = [\"127.0.0.1\"]\n",
        resolver.address
    );
    let folder = Folder::usual(&pools, &settings);
    folder.write("zones/example.com.zone", ZONE);
    let server = folder.serve();
    server.moves_to("example.com.", FRANCE, "192.0.2.80");
    let reply = server.ask("example.com.", RecordType::AAAA, Some(JAPAN));
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["example.com. AAAA 2001:db8::80"]
    );
    // The target's TTL is 1 s, which is too short to resolve it as often.
    assert_eq!((reply.message.answers[0].ttl, reply.scope()), (5, Some(0)));
    let reply = server.ask("example.com.", RecordType::NS, None);
    assert_eq!(
        Reply::texts(&reply.message.answers),
        ["example.com. NS ns1.example.com."]
    );
    if let Some(dig) = program("dig") {
        let copied = printed(&dig, &server, &["example.com", "AXFR"]);
        let alias = "example.com. 5 A 192.0.2.80";
        assert!(copied.iter().any(|record| record == alias), "{copied:#?}");
    }

    resolver.set("lb.example.net", Behaviour::Fails(ResponseCode::ServFail));
    server.wait_for_log(
        "target of an alias cannot be resolved: its last addresses, if any, are kept",
    );
    assert_eq!(
        server.steer("example.com.", FRANCE),
        ["192.0.2.80".parse::<IpAddr>().expect("one")]
    );
    resolver.set_addresses("lb.example.net", "192.0.2.81");
    server.moves_to("example.com.", FRANCE, "192.0.2.81");
    let reply = server.ask("example.com.", RecordType::AAAA, None);
    assert!(reply.message.answers.is_empty());

    // A start needs no resolver.
    resolver.set("lb.example.net", Behaviour::Fails(ResponseCode::ServFail));
    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve();
    assert_eq!(
        server.steer("example.com.", FRANCE),
        ["192.0.2.81".parse::<IpAddr>().expect("one")]
    );
}
