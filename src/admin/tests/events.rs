//! `GET /api/v1/events`.

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::time::pause;

use super::*;
use crate::admin::site::MAX_FOLLOWERS;
use crate::live::events::event;

/// A running server with the events 1 to 5: down and up of two pools, and a reload that changed one.
async fn with_events() -> Running {
    let running = run(None).await;
    let log = &running.live.events;
    for pool in ["a", "b"] {
        log.push(event!(warn, PoolDown, [pool], [], "pool is down"));
        log.push(event!(info, PoolUp, [pool], [], "pool is up"));
    }
    let reloaded = event!(info, Reloaded, [], [], "reloaded");
    let reloaded = reloaded.with("pools_changed", &vec!["b".into(), "c".into()]);
    let reloaded = reloaded.with("names_changed", &vec!["a".into()]);
    log.push(reloaded);
    running
}

fn seqs(answer: &Answer) -> Vec<u64> {
    let json = answer.json();
    let events = json["events"].as_array().expect("events");
    let seqs = events.iter().map(|event| event["seq"].as_u64());
    seqs.map(|seq| seq.expect("a number")).collect()
}

#[tokio::test]
async fn events_are_chosen_by_number_kind_and_pool() {
    let running = with_events().await;
    for (query, expected) in [
        ("", &[1, 2, 3, 4, 5][..]),
        ("?since=3", &[4, 5]),
        ("?since=5", &[]),
        ("?since=99", &[1, 2, 3, 4, 5]),
        ("?limit=2", &[4, 5]),
        ("?since=0&limit=2", &[1, 2]),
        ("?limit=0", &[]),
        ("?kind=pool_down", &[1, 3]),
        ("?kind=pool_up,reloaded", &[2, 4, 5]),
        ("?pool=a", &[1, 2]),
        ("?pool=c", &[5]),
        ("?pool=b&kind=pool_up&since=&limit=", &[4]),
    ] {
        let answer = running.get(&format!("/api/v1/events{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(seqs(&answer), expected, "{query}");
        assert_eq!(answer.json()["latest"], 5, "{query}");
    }
    for query in [
        "since=x",
        "since=-1",
        "limit=1.5",
        "kind=pool",
        "sice=1",
        "follow=2",
        "follow=1&limit=1",
    ] {
        let answer = running.get(&format!("/api/v1/events?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["error"].is_string(), "{query}");
    }
}

/// A client that follows.
struct Following(BufReader<TcpStream>);

impl Following {
    async fn start(running: &Running, query: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(running.address)
            .await
            .expect("a connection");
        let mut stream = BufReader::new(stream);
        let request =
            format!("GET /api/v1/events?{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut following = Self(stream);
        let status = following.line().await;
        assert!(status.starts_with("HTTP/1.1 200"), "{status}");
        following
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.expect("a line");
        line
    }

    /// The next line that begins so.
    async fn next(&mut self, start: &str) -> String {
        loop {
            let line = self.line().await;
            assert_ne!(line, "", "closed");
            if line.starts_with(start) {
                return line.trim_end().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn followers_get_what_they_missed_and_what_comes() {
    let running = with_events().await;
    let cases = [
        ("follow=1&since=3", "", &["id: 4", "id: 5"][..]),
        ("follow=1", "Last-Event-ID: 4\r\n", &["id: 5"]),
        // The browser that comes back uses the address of before.
        ("follow=1&since=1", "Last-Event-ID: 4\r\n", &["id: 5"]),
        ("follow=1&since=0&kind=pool_down", "", &["id: 1", "id: 3"]),
        ("follow=1", "", &[]),
    ];
    let mut all = Vec::new();
    for (query, headers, missed) in cases {
        let mut following = Following::start(&running, query, headers).await;
        assert_eq!(following.next("retry").await, "retry: 3000", "{query}");
        for id in missed {
            assert_eq!(following.next("id").await, *id, "{query}");
        }
        all.push(following);
    }
    let pool = "a";
    (running.live.events).push(event!(warn, PoolDown, [pool], [], "pool is down"));
    for following in &mut all {
        assert_eq!(following.next("id").await, "id: 6");
        let data = following.next("data: ").await;
        let event: Value = serde_json::from_str(&data["data: ".len()..]).expect("JSON");
        assert_eq!(event["kind"], "pool_down");
        assert_eq!(event["fields"]["pool"], "a");
    }
    let garbled = running.call("GET", "/api/v1/events?follow=1", "Last-Event-ID: x\r\n", "");
    assert_eq!(garbled.await.status, 400);
}

#[tokio::test]
async fn followers_shut_nobody_out_and_have_no_deadline() {
    let running = with_events().await;
    let mut all = Vec::new();
    for _ in 0..MAX_FOLLOWERS {
        all.push(Following::start(&running, "follow=1", "").await);
    }
    let refused = running.get("/api/v1/events?follow=1").await;
    assert_eq!(refused.status, 503);
    // Others that do nothing make room for one another, not for these.
    let _idle = left_alone(&running, "GET / HTT", 70).await;
    assert_eq!(running.get("/healthz").await.status, 200);
    // Whoever leaves is noticed when something is sent.
    drop(all.pop());
    let pool = "a";
    while running
        .call("HEAD", "/api/v1/events?follow=1", "", "")
        .await
        .status
        == 503
    {
        (running.live.events).push(event!(warn, PoolDown, [pool], [], "pool is down"));
    }
    // From now on time passes whenever all wait.
    pause();
    for following in &mut all {
        for _ in 0..6 {
            following.next(":").await;
        }
    }
}

#[tokio::test]
async fn followers_do_not_hold_up_the_end() {
    let running = with_events().await;
    let mut following = Following::start(&running, "follow=1", "").await;
    following.next("retry").await;
    running.stop.send_replace(true);
    running.server.await.expect("it ends");
    while !following.line().await.is_empty() {}
}
