//! A fleet of real processes around a real nats-server: overrides and verdicts that are shared, and what goes on
//! when it is not there.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::world;
use crate::nats_server::NatsServer;
use crate::nats_server::is_installed;

const APP: &str = "app.example.com.";

/// A nats-server with the users and permissions of deploy/nats.
fn nats_server(folder: &TempDir) -> NatsServer {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/users.conf");
    fs::copy(users, folder.path().join("users.conf")).expect("copied");
    NatsServer::start(
        folder.path(),
        "listen: 127.0.0.1:PORT\ninclude users.conf\n",
    )
}

/// The files of a node that connects as `user`.
fn node(name: &str, user: &str, pools: &str, nats: &NatsServer) -> Folder {
    let folder = Folder::usual(pools, "");
    let mut text = fs::read_to_string(folder.path("meridian.toml")).expect("text");
    let port = nats.port;
    text += &format!(
        "[cluster]\nnats = [\"nats://{user}:{user}secret@127.0.0.1:{port}\"]\nnode = \"{name}\"\n"
    );
    folder.write("meridian.toml", text);
    folder
}

/// A call that changes something; the status.
fn change(server: &Server, method: &str, pool: &str, body: &str) -> u16 {
    let headers = "Authorization: Bearer s3cret-of-16-octets\r\nContent-Type: application/json\r\n";
    let path = format!("/api/v1/overrides/{pool}");
    http_with(server.admin, method, &path, headers, body).0
}

/// Waits until both name servers hear one another.
fn meet(one: &Server, two: &Server) {
    one.wait_for_log("fleet: node reports node=ns2");
    two.wait_for_log("fleet: node reports node=ns1");
}

#[test]
fn a_drain_typed_on_one_name_server_is_in_force_on_all() {
    if !is_installed() {
        return;
    }
    let files = tempfile::tempdir().expect("a temporary folder");
    let mut nats = nats_server(&files);
    let backends = Backends::start(92, 4);
    let pools = world(92, backends.port);
    let start = |name: &str| node(name, name, &pools, &nats).serve().ready();
    let servers = [start("ns1"), start("ns2")];
    let [one, two] = &servers;
    meet(one, two);
    let all_move_to = |address: &str| {
        for server in &servers {
            server.moves_to(APP, FRANCE, address);
        }
    };
    all_move_to("127.0.92.2");

    // Cleared where it was not set.
    assert_eq!(change(one, "PUT", "eu", r#"{"state":"drain"}"#), 200);
    all_move_to("127.0.92.1");
    assert!(matches!(change(two, "DELETE", "eu", ""), 200 | 204));
    all_move_to("127.0.92.2");
    // It ends by itself, on both.
    assert_eq!(
        change(two, "PUT", "eu", r#"{"state":"drain","for":"2s"}"#),
        200
    );
    all_move_to("127.0.92.1");
    all_move_to("127.0.92.2");
    // So does what both see.
    backends.set(2, Mood::Unavailable);
    all_move_to("127.0.92.1");
    backends.set(2, Mood::Ready);
    all_move_to("127.0.92.2");

    // Apart, each goes on with what it has; what was typed meanwhile meets when they do.
    nats.kill();
    for server in &servers {
        server.wait_for_log("no connection to NATS");
    }
    assert_eq!(change(one, "PUT", "eu", r#"{"state":"drain"}"#), 200);
    assert_eq!(change(two, "PUT", "jp", r#"{"state":"drain"}"#), 200);
    one.moves_to(APP, FRANCE, "127.0.92.1");
    two.moves_to(APP, JAPAN, "127.0.92.1");
    two.moves_to(APP, FRANCE, "127.0.92.2");
    one.moves_to(APP, JAPAN, "127.0.92.3");
    nats.restart();
    one.moves_to(APP, JAPAN, "127.0.92.1");
    two.moves_to(APP, FRANCE, "127.0.92.1");
    assert!(!one.log().contains("secret") && !two.log().contains("secret"));
}

/// The pools that are drilled by what a server says.
fn drilled(server: &Server) -> Vec<String> {
    let status = http(server.admin, "GET", "/api/v1/status").1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let pools = status["pools"].as_array().expect("pools").iter();
    let drilled = pools.filter(|pool| pool["override"]["state"] == "drill");
    drilled.map(|pool| pool["name"].to_string()).collect()
}

#[test]
fn two_name_servers_drill_one_pool_at_a_time() {
    if !is_installed() {
        return;
    }
    let files = tempfile::tempdir().expect("a temporary folder");
    let nats = nats_server(&files);
    let backends = Backends::start(99, 4);
    let pools = world(99, backends.port);
    let start = |name: &str| node(name, name, &pools, &nats).serve().ready();
    let (one, two) = (start("ns1"), start("ns2"));
    meet(&one, &two);
    // None begins before its node has been connected for a while.
    let order = |server: &Server, pool: &str| {
        change(server, "PUT", pool, r#"{"state":"drill","for":"1h"}"#)
    };
    for (server, pool) in [(&one, "eu"), (&two, "jp")] {
        eventually("a drill that begins", || {
            (order(server, pool) == 200).then_some(())
        });
        assert!(matches!(change(server, "DELETE", pool, ""), 200 | 204));
        for server in [&one, &two] {
            eventually("no drill", || drilled(server).is_empty().then_some(()));
        }
    }
    for _ in 0..3 {
        let codes = thread::scope(|scope| {
            let eu = scope.spawn(|| order(&one, "eu"));
            [order(&two, "jp"), eu.join().expect("no panic")]
        });
        assert!(codes.contains(&200), "{codes:?}");
        // Of two that begin before either is heard of, one ends.
        let left = eventually("one drill, the same on both", || {
            let (here, there) = (drilled(&one), drilled(&two));
            (here.len() == 1 && here == there).then_some(here)
        });
        assert_eq!([order(&one, "us"), order(&two, "us")], [409, 409]);
        assert_eq!((drilled(&one), drilled(&two)), (left.clone(), left));
        for pool in ["eu", "jp"] {
            assert!(matches!(change(&one, "DELETE", pool, ""), 200 | 204));
        }
        for server in [&one, &two] {
            eventually("no drill", || drilled(server).is_empty().then_some(()));
        }
    }
}

/// The value of a metric.
fn metric(server: &Server, name: &str) -> Option<f64> {
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let prefix = format!("{name} ");
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&prefix))?;
    value.parse().ok()
}

#[test]
fn the_report_of_a_vantage_counts() {
    if !is_installed() {
        return;
    }
    let files = tempfile::tempdir().expect("a temporary folder");
    let nats = nats_server(&files);
    let backends = Backends::start(93, 4);
    let pools = world(93, backends.port).replace("interval =", "quorum = \"all\"\ninterval =");
    let server = node("ns1", "ns1", &pools, &nats).serve().ready();
    let vantage = node("tokyo", "tokyo", &pools, &nats).vantage().ready();
    let seen_by = |vantage: &str| {
        let name = format!(
            "meridian_vantage_endpoint_up{{endpoint=\"127.0.93.2\",pool=\"eu\",vantage=\"{vantage}\"}}"
        );
        metric(&server, &name)
    };
    eventually("the vantage reports", || {
        (seen_by("tokyo") == Some(1.0)).then_some(())
    });
    // Its last word is up, so that all do not say down.
    vantage.signal("-STOP");
    backends.set(2, Mood::Unavailable);
    eventually("the server sees it", || {
        (seen_by("ns1") == Some(0.0)).then_some(())
    });
    server.moves_to(APP, FRANCE, "127.0.93.2");
    assert_eq!(seen_by("tokyo"), Some(1.0));
    vantage.signal("-CONT");
    server.moves_to(APP, FRANCE, "127.0.93.1");
    assert!(
        !vantage.log().contains("refuses a subject"),
        "{}",
        vantage.log()
    );
}

#[test]
fn a_node_that_speaks_for_another_is_refused_by_the_server_and_says_so() {
    if !is_installed() {
        return;
    }
    let files = tempfile::tempdir().expect("a temporary folder");
    let nats = nats_server(&files);
    let pools = world(94, 1);
    let honest = node("ns1", "ns1", &pools, &nats).serve();
    let forger = node("ns1", "tokyo", &pools, &nats).serve();
    forger.wait_for_log("the NATS server refuses a subject");
    forger.wait_for_log("Permissions Violation for Publish to \\\"meridian.report.ns1\\\"");
    assert!(!honest.log().contains("uses the name"), "{}", honest.log());
}

/// Without its fleet a name server starts and answers at once.
#[test]
fn a_fleet_that_is_not_there_delays_nothing() {
    let backends = Backends::start(95, 4);
    let folder = Folder::usual(&world(95, backends.port), "");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("text");
    let nowhere = "[cluster]\nnats = [\"nats://nats.invalid:4222\", \"nats://127.0.0.1:1\"]\nnode = \"ns1\"\n";
    folder.write("meridian.toml", format!("{text}{nowhere}"));
    let server = folder.serve().ready();
    server.moves_to(APP, FRANCE, "127.0.95.2");
    server.wait_for_log("connection refused; is nats-server running");
    // A change of what cannot change is named.
    let text = text + &nowhere.replace("ns1", "ns2");
    server.folder.write("meridian.toml", text);
    server.wait_for_log("`[cluster]` has changed: restart to apply");
}
