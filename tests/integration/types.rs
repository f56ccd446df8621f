//! Other types than A and AAAA that are chosen for the client, as other programs read them.

use std::path::Path;
use std::process::Command;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Server;
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
        let copied = printed(program, &server, &["example.com", "AXFR", "+onesoa"]);
        assert!(copied.contains(&europe[0]), "{program:?} {copied:#?}");
    }
}
