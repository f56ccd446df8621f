//! Events: what happened can be told from them alone, also after a restart, and a webhook gets them.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use crate::harness::Backends;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::Mood;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::http;
use crate::harness::http_with;
use crate::harness::still_world;
use crate::harness::world;

const APP: &str = "app.example.com";

fn events(server: &Server, query: &str) -> Vec<Value> {
    let (status, body) = http(server.admin, "GET", &format!("/api/v1/events{query}"));
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["events"].as_array().expect("events").clone()
}

/// Waits for an event of a kind after event number `since`.
fn wait_for(server: &Server, kind: &str, since: u64) -> Value {
    let query = format!("?since={since}&kind={kind}&limit=1");
    eventually(kind, || events(server, &query).pop())
}

fn latest(server: &Server) -> u64 {
    let (_, body) = http(server.admin, "GET", "/api/v1/events?limit=0");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    answer["latest"].as_u64().expect("a number")
}

fn call(server: &Server, method: &str, body: &str) {
    let bearer = "Authorization: Bearer s3cret-of-16-octets\r\n";
    let path = "/api/v1/overrides/eu";
    let answer = http_with(server.admin, method, path, bearer, body);
    assert_eq!(answer.0, 200, "{}", answer.1);
}

/// From the events alone: whether `eu` served IPv4 from some time on, and why.
fn story(events: &[Value]) -> Vec<(bool, String)> {
    let (mut is_down, mut is_drained, mut failure) = (false, false, String::new());
    let mut story: Vec<(bool, String)> = Vec::new();
    for event in events {
        let field = |name: &str| {
            event["fields"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        if field("pool") != "eu" {
            continue;
        }
        let kind = event["kind"].as_str().expect("a kind");
        let reason = match kind {
            "endpoint_down" => {
                failure = format!("{} at {}", field("reason"), field("vantage"));
                continue;
            }
            "pool_down" => {
                is_down = true;
                format!("{} down: {failure}", field("cause"))
            }
            "pool_up" => {
                is_down = false;
                "up".to_owned()
            }
            "override_set" => {
                is_drained = field("state") == "drain";
                format!("{}: {} by {}", field("state"), field("reason"), field("by"))
            }
            "override_cleared" => {
                is_drained = false;
                format!("cleared by {}", field("by"))
            }
            _ => continue,
        };
        let serves = !is_down && !is_drained;
        if story.last().is_none_or(|(before, _)| *before != serves) {
            story.push((serves, reason));
        }
    }
    story
}

#[test]
#[expect(clippy::too_many_lines, reason = "one incident from begin to end")]
fn an_incident_is_told_by_its_events_also_after_a_restart() {
    let backends = Backends::start(140, 4);
    let pools = world(140, backends.port);
    let vantage = "[health]\nvantage = \"here\"";
    let server = Folder::usual(&pools, vantage).serve().ready();
    let gets_eu = |yes: bool| {
        eventually("an answer", || {
            let eu = [IpAddr::from([127, 0, 140, 2])];
            (yes == (server.steer(APP, FRANCE) == eu)).then_some(())
        });
    };
    gets_eu(true);
    backends.set(2, Mood::Unavailable);
    gets_eu(false);
    backends.set(2, Mood::Ready);
    gets_eu(true);
    call(
        &server,
        "PUT",
        "{\"state\": \"drain\", \"reason\": \"new kernel\"}",
    );
    gets_eu(false);

    let edited = format!("{pools}ttl = \"7s\"\n");
    server.folder.write("pools.toml", &edited);
    let reloaded = wait_for(&server, "reloaded", 0);
    assert_eq!(reloaded["fields"]["names_changed"][0], APP);
    assert_eq!(reloaded["fields"]["pools_changed"], Value::Null);
    server
        .folder
        .write("pools.toml", edited.replace("[pool.br]", "[poool.br]"));
    let refused = wait_for(&server, "reload_refused", 0);
    let report = refused["fields"]["report"].to_string();
    assert!(report.contains("unknown table `poool`"), "{report}");
    server.folder.write("pools.toml", &edited);
    wait_for(
        &server,
        "reloaded",
        refused["seq"].as_u64().expect("a number"),
    );
    call(&server, "DELETE", "");
    gets_eu(true);

    let before = events(&server, "");
    let expected = [
        (
            false,
            "endpoints down: status 503, expected 200-399 at here",
        ),
        (true, "up"),
        (false, "drain: new kernel by token"),
        (true, "cleared by token"),
    ];
    let expected = expected.map(|(serves, reason)| (serves, reason.to_owned()));
    assert_eq!(story(&before), expected);

    server.signal("-TERM");
    let (_, folder, _) = server.ended();
    // A crash may have left half a line.
    let file = folder.path("state/events.jsonl");
    let mut torn = fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .expect("it is there");
    torn.write_all(b"{\"seq\":99999,\"at\"").expect("written");
    let server = folder.serve().ready();
    let after = events(&server, "");
    assert_eq!(after[..before.len()], before);
    assert_eq!(story(&after), expected);
    let kinds: Vec<&str> = after[before.len()..]
        .iter()
        .filter_map(|e| e["kind"].as_str())
        .collect();
    let at = kinds
        .iter()
        .position(|kind| *kind == "stopping")
        .expect("a stop");
    assert!(kinds[at..].contains(&"started"), "{kinds:?}");
    let seqs: Vec<u64> = after
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

/// A receiver that takes everything; its port, and the bodies that it got.
fn receiver() -> (u16, std::sync::mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, bodies) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut octets = Vec::new();
            let body = loop {
                let mut more = [0; 4096];
                let n = stream.read(&mut more).expect("a request");
                assert_ne!(n, 0, "it ended too early");
                octets.extend_from_slice(&more[..n]);
                let text = String::from_utf8_lossy(&octets);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                if let Some(body) = body.and_then(|body| serde_json::from_str::<Value>(body).ok()) {
                    break body;
                }
            };
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (port, bodies)
}

#[test]
fn a_webhook_gets_events_until_a_reload_takes_it_away() {
    let (port, bodies) = receiver();
    let webhook = format!(
        "[[webhook]]\nname = \"hook\"\nurl = \"http://127.0.0.1:{port}/\"\nsecret_file = \"secret\"\n\
         events = [\"started\", \"override_set\"]\n[health]\nvantage = \"here\""
    );
    let folder = Folder::usual(&still_world(141), &webhook);
    folder.write("secret", "no machine guesses this");
    let server = folder.serve().ready();
    let kind_of = |body: &Value| {
        body["events"][0]["kind"]
            .as_str()
            .expect("a kind")
            .to_owned()
    };
    let first = bodies.recv().expect("a delivery");
    assert_eq!(
        (kind_of(&first), &first["node"]),
        ("started".into(), &"here".into())
    );
    call(
        &server,
        "PUT",
        "{\"state\": \"drain\", \"reason\": \"new kernel\"}",
    );
    let second = bodies.recv().expect("a delivery");
    assert_eq!(kind_of(&second), "override_set");
    assert_eq!(second["events"][0]["fields"]["reason"], "new kernel");
    let metrics = || http(server.admin, "GET", "/metrics").1;
    let ok = "meridian_webhook_deliveries_total{result=\"ok\",webhook=\"hook\"} 2";
    eventually("two deliveries", || metrics().contains(ok).then_some(()));

    // A reload that cannot be: the webhook stays.
    server.folder.write("secret", "short");
    wait_for(&server, "reload_refused", 0);
    let since = latest(&server);
    let text = fs::read_to_string(server.folder.path("meridian.toml")).expect("a file");
    let (before, after) = text.split_once("[[webhook]]").expect("a webhook");
    let (_, after) = after.split_once("[health]").expect("what is behind it");
    server
        .folder
        .write("meridian.toml", format!("{before}[health]{after}"));
    wait_for(&server, "reloaded", since);
    assert!(!metrics().contains("webhook=\"hook\""));
}
