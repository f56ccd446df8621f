//! TTLs from state: they fall before a pool can change, and no answer outlives its promise.

use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::rr::RecordType;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::world;

const APP: &str = "app.example.com.";
const BEARER: &str = "Authorization: Bearer s3cret-of-16-octets\r\n";
const PATH: &str = "/api/v1/overrides/eu";

/// The most that an answer outlives a change by.
const MIN: u32 = 1;

/// Asks until the client gets another pool; returns the TTLs before, each once for each time that it changed.
///
/// # Panics
/// If an answer of before lives on for more than [`MIN`] behind the first one of the other pool.
fn until_it_moves(server: &Server, from: [u8; 4]) -> Vec<u32> {
    let (mut ttls, mut latest_end) = (Vec::new(), None);
    eventually("the other pool", || {
        let asked = Instant::now();
        let reply = server.ask(APP, RecordType::A, Some(FRANCE));
        if reply.addresses() != [IpAddr::from(from)] {
            return Some(());
        }
        let ttl = reply.message.answers[0].ttl;
        latest_end = latest_end.max(Some(asked + Duration::from_secs(ttl.into())));
        if ttls.last() != Some(&ttl) {
            ttls.push(ttl);
        }
        None
    });
    let end = latest_end.expect("an answer of before");
    let outlives = end.saturating_duration_since(Instant::now());
    let most = Duration::from_secs(MIN.into());
    assert!(outlives <= most, "by {outlives:?} after {ttls:?}");
    ttls
}

fn serve(backends: &Backends, block: u8) -> Server {
    let pools = world(block, backends.port).replace("_threshold = 2", "_threshold = 20");
    let range = format!("ttl = {{ min = \"{MIN}s\", max = \"60s\" }}\n");
    Folder::usual(&(pools + &range), "").serve().ready()
}

#[test]
fn ttls_fall_before_a_pool_fails() {
    let backends = Backends::start(96, 4);
    let server = serve(&backends, 96);
    let eu = [127, 0, 96, 2];
    // Nineteen intervals of 180 ms.
    let ttl_is = |wanted: u32| {
        eventually(&format!("a TTL of {wanted}"), || {
            let reply = server.ask(APP, RecordType::A, Some(FRANCE));
            (reply.message.answers[0].ttl == wanted).then_some(())
        });
    };
    ttl_is(3);
    backends.set(2, Mood::Unavailable);
    let ttls = until_it_moves(&server, eu);
    assert_eq!(ttls, [3, 2, 1]);
    // A pool that is down may come up.
    let reply = server.ask(APP, RecordType::A, Some(FRANCE));
    assert_eq!(reply.message.answers[0].ttl, 3);
    backends.set(2, Mood::Ready);
    let ttls = until_it_moves(&server, [127, 0, 96, 1]);
    assert_eq!(ttls, [3, 2, 1]);
    ttl_is(3);
}

#[test]
fn a_planned_drain_begins_when_caches_have_run_out() {
    let backends = Backends::start(97, 4);
    let server = serve(&backends, 97);
    let eu = [127, 0, 97, 2];
    let order = |body: &str| {
        let (code, answer) = http_with(server.admin, "PUT", PATH, BEARER, body);
        assert_eq!(code, 200, "{answer}");
        answer
    };
    let explained = || {
        let path = format!("/api/v1/explain?name=app.example.com&client={FRANCE}");
        http(server.admin, "GET", &path).1
    };
    // Taken back before it begins.
    let answer = order(r#"{"state":"drain","in":"1h","for":"1h"}"#);
    assert!(answer.contains("\"begins\":1"), "{answer}");
    server.wait_for_log("override planned: it begins later");
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    assert!(
        status.contains("\"planned_override\":{\"state\":\"drain\""),
        "{status}"
    );
    assert!(explained().contains("; drain in "), "{}", explained());
    assert_eq!(server.steer(APP, FRANCE), [IpAddr::from(eu)]);
    let (code, _) = http_with(server.admin, "DELETE", PATH, BEARER, "");
    assert_eq!(code, 200);

    order(r#"{"state":"drain","in":"4s","for":"3s"}"#);
    let ttls = until_it_moves(&server, eu);
    assert_eq!(ttls.last(), Some(&MIN), "{ttls:?}");
    assert!(ttls.is_sorted_by(|one, next| one > next), "{ttls:?}");
    server.wait_for_log("planned override begins");
    // It ends by itself, and TTLs fall before that as well.
    let ttls = until_it_moves(&server, [127, 0, 97, 1]);
    assert_eq!(ttls.last(), Some(&MIN), "{ttls:?}");
    server.wait_for_log("override expired");

    // Over a restart.
    order(r#"{"state":"drain","in":"3s"}"#);
    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    let server = folder.serve().ready();
    server.moves_to(APP, FRANCE, "127.0.97.1");
}
