//! Backends that fail in every way, with queries running all the time.

use std::net::IpAddr;
use std::net::TcpListener;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::SLACK;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::http;
use crate::harness::query;
use crate::harness::world;

const APP: &str = "app.example.com.";

/// `failure_threshold × interval + timeout + 1 s`, as the contract bounds it.
const BOUND: Duration = Duration::from_millis(2 * 200 + 150 + 1_000);

#[test]
fn every_fault_moves_the_answer_in_time_and_loses_no_query() {
    let backends = Backends::start(40, 4);
    let server = Folder::usual(&world(40, backends.port), "").serve().ready();
    server.moves_to(APP, FRANCE, "127.0.40.2");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut n: u32 = 0;
            while !stop.load(SeqCst) {
                let reply = exchange(server.dns, &query(APP, RecordType::A, Some(FRANCE)));
                assert_eq!(reply.rcode(), ResponseCode::NoError);
                // Only ever the nearest pool or the next one.
                let near: [IpAddr; 2] = [[127, 0, 40, 2].into(), [127, 0, 40, 1].into()];
                assert!(matches!(reply.addresses()[..], [address] if near.contains(&address)));
                n += 1;
            }
            n
        });
        let faults = [
            (Mood::Unavailable, "status 503"),
            (Mood::Hangs, "timed out"),
            (Mood::Resets, "connection"),
        ];
        for (mood, reason) in faults {
            backends.set(2, mood);
            let since = Instant::now();
            server.moves_to(APP, FRANCE, "127.0.40.1");
            assert!(
                since.elapsed() < BOUND + SLACK,
                "{mood:?} took {:?}",
                since.elapsed()
            );
            let (_, status) = http(server.admin, "GET", "/api/v1/status");
            assert!(status.contains(reason), "{mood:?}: {status}");
            backends.set(2, Mood::Ready);
            server.moves_to(APP, FRANCE, "127.0.40.2");
        }
        stop.store(true, SeqCst);
        assert!(asking.join().expect("no wrong answer") > 100);
    });
}

#[test]
fn all_down_is_answered_as_the_name_says() {
    let backends = Backends::start(41, 4);
    let mut pools = world(41, backends.port);
    for (name, how) in [
        ("empty", "empty"),
        ("fail", "servfail"),
        ("back", "fallback"),
    ] {
        pools += &format!(
            "[steer.\"{name}.example.com\"]\npools = [\"us\", \"eu\"]\nall_down = \"{how}\"\n"
        );
    }
    pools += "fallback = \"jp\"\n";
    let server = Folder::usual(&pools, "").serve().ready();
    for at in 1..=4 {
        backends.set(at, Mood::Unavailable);
    }
    server.moves_to("back.example.com.", FRANCE, "127.0.41.3");
    server.moves_to(APP, FRANCE, "127.0.41.2");
    let ask = |name| server.ask(name, RecordType::A, Some(FRANCE));
    assert_eq!(ask("fail.example.com.").rcode(), ResponseCode::ServFail);
    let empty = ask("empty.example.com.");
    assert_eq!(
        (empty.rcode(), empty.message.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[test]
fn a_vantage_whose_proxy_is_gone_moves_nothing() {
    let backends = Backends::start(42, 4);
    // Nobody listens on port 1: the vantage learns nothing about any endpoint.
    let vantages = "[[vantage]]\nname = \"gone\"\nproxy = \"socks5h://127.0.0.1:1\"\n\
                    [[vantage]]\nname = \"source\"\nsource = \"127.0.0.3\"\n";
    let pools = world(42, backends.port).replacen("[pool", "quorum = \"any\"\n[pool", 1);
    let folder = Folder::usual(&pools, "");
    let text = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    folder.write("meridian.toml", text + vantages);
    let server = folder.serve().ready();
    let (_, status) = http(server.admin, "GET", "/api/v1/status");
    assert!(
        status.contains("\"gone\"") && status.contains("\"source\""),
        "{status}"
    );
    assert_eq!(server.steer(APP, FRANCE), [IpAddr::from([127, 0, 42, 2])]);
    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "127.0.42.1");
}

#[test]
fn a_witness_tells_a_dead_uplink_from_dead_pools() {
    let backends = Backends::start(43, 4);
    let witness = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = witness.local_addr().expect("an address");
    let pools = world(43, backends.port)
        + "[steer.\"fail.example.com\"]\npools = [\"us\", \"eu\"]\nall_down = \"servfail\"\n";
    let folder = Folder::usual(&pools, "");
    let text = std::fs::read_to_string(folder.path("meridian.toml")).expect("the file");
    let health = format!("[health]\nwitness = [\"{address}\"]\nblind_max = \"500ms\"\n");
    folder.write("meridian.toml", text + &health);
    let server = folder.serve().ready();
    witness.accept().expect("the witness is asked");
    server.moves_to(APP, FRANCE, "127.0.43.2");

    // The uplink goes: nothing answers, and the witness does not either.
    drop(witness);
    for at in 1..=4 {
        backends.set(at, Mood::Hangs);
    }
    server.wait_for_log("reaches no witness");
    let admin = server.admin;
    let (_, text) = http(admin, "GET", "/metrics");
    for (metric, value) in [
        ("meridian_vantage_blind{family=\"ipv4\",", 1),
        ("meridian_witness_reached{", 0),
    ] {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(metric)).expect(metric);
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
    let (_, page) = http(admin, "GET", "/");
    assert!(
        page.contains("blind for IPv4") && page.contains("<td>0 of 1</td>"),
        "{page}"
    );
    // Three times as long as it would be believed without a witness.
    let end = Instant::now() + Duration::from_millis(1_500);
    let fail = || server.ask("fail.example.com.", RecordType::A, Some(FRANCE));
    while Instant::now() < end {
        assert_eq!(fail().rcode(), ResponseCode::NoError);
        assert_eq!(server.steer(APP, FRANCE), [IpAddr::from([127, 0, 43, 2])]);
    }
    // It is back, and the pools are not.
    let witness = TcpListener::bind(address).expect("the same port");
    eventually("all are down", || {
        (fail().rcode() == ResponseCode::ServFail).then_some(())
    });
    server.wait_for_log("vantage has contact again");
    drop(witness);
    // A pool that answers is contact enough.
    for at in 1..=4 {
        backends.set(at, Mood::Ready);
    }
    server.moves_to(APP, FRANCE, "127.0.43.2");
    // A single pool that dies while the witness is gone still fails over.
    backends.set(2, Mood::Hangs);
    let since = Instant::now();
    server.moves_to(APP, FRANCE, "127.0.43.1");
    assert!(since.elapsed() < BOUND + SLACK, "{:?}", since.elapsed());
}

#[test]
fn an_endpoint_is_answered_at_one_address_and_checked_at_another() {
    let backends = Backends::start(44, 3);
    let port = backends.port;
    // Nobody listens at the port of the monitor.
    let pools = |of_eu: u8| {
        let mut text = world(44, 1);
        for (at, checked_at) in [(1, 1), (2, of_eu)] {
            text = text.replace(
                &format!("\"127.0.44.{at}\""),
                &format!(
                    "{{ address = \"192.0.2.{at}\", check = \"127.0.44.{checked_at}:{port}\" }}"
                ),
            );
        }
        text
    };
    let server = Folder::usual(&pools(2), "").serve().ready();
    server.moves_to(APP, FRANCE, "192.0.2.2");
    let admin = server.admin.to_string();
    let printed = server.folder.meridian(&["status", "--server", &admin]);
    let printed = String::from_utf8_lossy(&printed.stdout);
    let shown = format!("192.0.2.2 (checked at 127.0.44.2:{port})");
    assert!(printed.contains(&shown), "{printed}");

    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "192.0.2.1");
    server.wait_for_log(&format!("checked at 127.0.44.2:{port}"));
    backends.set(2, Mood::Ready);
    server.moves_to(APP, FRANCE, "192.0.2.2");

    // Another check address decides anew.
    backends.set(2, Mood::Unavailable);
    server.moves_to(APP, FRANCE, "192.0.2.1");
    server.folder.write("pools.toml", pools(3));
    server.moves_to(APP, FRANCE, "192.0.2.2");
}
