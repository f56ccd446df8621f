//! What the targets share: snapshots to ask, and what every response must be.

#[path = "../../support/mod.rs"]
pub mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::LazyLock;

use domain::base::Message;
use domain::base::ParsedRecord;
use meridian::base::transport::Transport;
use meridian::daemon::load::embedded_atlas;
use meridian::engine::Arrival;
use meridian::engine::Scratch;
use meridian::engine::answer;
use meridian::geo::atlas::Atlas;
use meridian::state::counters::Counters;
use meridian::state::evidence::Evidence;
use meridian::state::snapshot::Snapshot;

/// A pool with more endpoints than an answer holds, and two that share their clients.
pub const POOLS: &str = r#"
[pool.us]
location = [45.60, -121.18]
endpoints = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]
[pool.eu]
location = [50.45, 3.82]
endpoints = ["192.0.2.10", "2001:db8::10"]
[pool.eu2]
location = [50.45, 3.82]
endpoints = ["192.0.2.11"]
[steer."app.example.com"]
pools = ["us", "eu", "eu2"]
answers = 2
[steer."*.any.example.com"]
policy = "weighted"
pools = ["us", "eu"]
"#;

/// A zone with one of everything.
pub const ZONE: &str = "$TTL 60
@ SOA ns h 1 1 1 1 1
@ NS ns
@ NS ns.sub
@ MX 10 app
ns A 192.0.2.1
ns AAAA 2001:db8::1
www CNAME app
loop CNAME loop2
loop2 CNAME loop
*.w MX 10 ns
big TXT \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
big TXT \"1123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
big TXT \"2123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
big TXT \"3123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
big TXT \"4123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"
sub NS ns.sub
ns.sub A 192.0.2.2
old DNAME new
x.new TYPE65280 \\# 3 010203
self DNAME self.self
svc HTTPS 1 . alpn=h2
_s._tcp SRV 1 2 3 ns
";

static ATLAS: LazyLock<Arc<Atlas>> =
    LazyLock::new(|| Arc::new(embedded_atlas().expect("the embedded database is sound")));

/// What answers zones from texts, as (origin, text).
pub fn snapshot(zones: &[(&str, &str)], pools: &str) -> Option<Snapshot> {
    let process =
        "[server]\nnsid = \"ns1\"\nversion = \"v\"\n[[secondary]]\naddresses = [\"127.0.0.1\"]\n";
    let plan = support::plan(process, pools, zones, Arc::clone(&ATLAS)).ok()?;
    Some(Snapshot::build(plan, &Evidence::default(), 1, None).with_merged_tables())
}

/// Asks one message; empty for silence.
pub fn ask(snapshot: &Snapshot, transport: Transport, message: &[u8]) -> Vec<u8> {
    let mut scratch = Scratch::new(Arc::new(Counters::new(1)), 0);
    let arrival = Arrival {
        src: IpAddr::from([127, 0, 0, 1]),
        transport,
        now_ms: 1_700_000_000_000,
    };
    let mut out = vec![0; 65_535];
    let len = answer(snapshot, &mut scratch, arrival, message, &mut out).response_len();
    out.truncate(len);
    out
}

/// Holds what is true of every response to any message.
pub fn check(transport: Transport, message: &[u8], response: &[u8]) {
    if response.is_empty() {
        assert!(
            message.len() < 12 || message[2] & 0x80 != 0,
            "only responses and less than headers get nothing"
        );
        return;
    }
    assert!(message[2] & 0x80 == 0, "no response is answered");
    assert_eq!(response[..2], message[..2], "the id");
    assert!(response[2] & 0x80 != 0, "QR");
    assert_eq!(response[2] & 0x79, message[2] & 0x79, "opcode and RD");
    assert_eq!(response[3] & 0xE0, 0, "RA, Z and AD");
    if transport == Transport::Udp {
        assert!(response.len() <= 1232, "{} octets over UDP", response.len());
    }
    walk(response);
}

/// Reads a message to its end with another implementation.
fn walk(response: &[u8]) {
    let message = Message::from_octets(response).expect("a header");
    let mut questions = message.question();
    for question in &mut questions {
        question.expect("a question");
    }
    let mut section = questions.answer().expect("an answer section");
    loop {
        for record in &mut section {
            let record: ParsedRecord<'_, &[u8]> = record.expect("a record");
            assert!(record.ttl().as_secs() <= 0x7FFF_FFFF || record.rtype().to_int() == 41);
        }
        let at = section.pos();
        match section.next_section().expect("the next section") {
            Some(next) => section = next,
            None => {
                assert_eq!(at, response.len(), "nothing behind the last record");
                return;
            }
        }
    }
}
