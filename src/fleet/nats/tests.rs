//! Servers that are frozen, faulty or hostile, as far as a few lines of TCP can play them; those of the real
//! nats-server are in tests/integration.

use std::path::Path;

use prometheus::IntCounter;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::config::model::NatsServer;
use crate::fleet::link::Outgoing;

const INFO: &str = "INFO {\"server_id\":\"x\",\"max_payload\":1048576}\r\n";

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    outbox: Outbox,
    incoming: mpsc::Receiver<Incoming>,
    drops: Drops,
}

impl Node {
    /// A node that is to connect to these ports of the loopback.
    fn start(ports: &[u16], incoming_len: usize) -> Self {
        Self::with_role(ports, incoming_len, Role::NameServer)
    }

    fn with_role(ports: &[u16], incoming_len: usize, role: Role) -> Self {
        let server = |port: &u16| NatsServer {
            host: "127.0.0.1".into(),
            port: *port,
            is_tls: false,
            login: None,
        };
        let cluster = Cluster {
            nats: ports.iter().map(server).collect(),
            prefix: "m".into(),
            node: "ns1".into(),
            reporters: None,
            credentials_file: None,
            ca_file: None,
            identity: None,
        };
        let counter = |name| IntCounter::new(name, "help").expect("a name");
        let drops = Drops {
            lagged: counter("lagged"),
            oversized: counter("oversized"),
        };
        let (sender, incoming) = mpsc::channel(incoming_len);
        let outbox = Outbox::default();
        let read: ReadFile = |_: &Path| Err("not found".into());
        start(cluster, read, outbox.clone(), sender, drops.clone(), role);
        Self {
            outbox,
            incoming,
            drops,
        }
    }

    async fn next(&mut self) -> Incoming {
        let next = timeout(PATIENCE, self.incoming.recv()).await;
        next.expect("in time").expect("the task runs")
    }

    async fn reason(&mut self) -> String {
        match self.next().await {
            Incoming::Disconnected { reason } => reason.into(),
            other => panic!("{other:?}"),
        }
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Lets a node in as a server would, until it is subscribed; returns what it sent.
async fn welcome(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    stream.write_all(INFO.as_bytes()).await.expect("written");
    let mut sent = String::new();
    for _ in 0..2 {
        sent += &read_to(&mut stream, "PING\r\n").await;
        stream.write_all(b"PONG\r\n").await.expect("written");
    }
    (stream, sent)
}

async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(stream.read_u8().await.expect("more"));
    }
    String::from_utf8(text).expect("UTF-8")
}

#[tokio::test]
async fn nonsense_is_reported_once_and_tried_again() {
    for (sent, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n", "speaks no NATS"),
        ("-ERR\r\n", "speaks no NATS"),
        ("+OK\r\n", "speaks no NATS"),
        ("INFO {\r\n", "speaks no NATS"),
        ("MSG a 1 18446744073709551615\r\n", "speaks no NATS"),
        (&"x".repeat(70_000), "speaks no NATS"),
        ("", "closed the connection"),
        (
            "INFO {}\r\n-ERR 'Authorization Violation'\r\n",
            "asks for credentials",
        ),
        ("INFO {}\r\n-ERR 'a\x1b[1mb'\r\n", "reports `a[1mb`"),
        ("INFO {}\r\n", "closed the connection"),
        ("INFO {\"tls_required\":true}\r\n", "closed the connection"),
        ("INFO {\"tls_required\":true}\r\nPING\r\n", "speaks no NATS"),
    ] {
        let (listener, port) = listen().await;
        let mut node = Node::start(&[port], 8);
        let answer = sent.to_owned();
        let (attempted, mut attempts) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                let _ = attempted.send(());
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        let reason = node.reason().await;
        assert!(reason.contains(expected), "{sent:.60}: {reason}");
        assert!(reason.starts_with("nats://127.0.0.1:"), "{reason}");
        for _ in 0..3 {
            attempts.recv().await.expect("another attempt");
        }
        assert!(node.incoming.try_recv().is_err(), "said once");
    }
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (listener, port) = listen().await;
    let mut node = Node::start(&[port], 8);
    let (mut stream, sent) = welcome(&listener).await;
    for subscription in [
        "SUB m.report.* 0\r\n",
        "SUB m.override.* 1\r\n",
        "SUB m.sync 2\r\n",
    ] {
        assert!(sent.contains(subscription), "{sent}");
    }
    let (_, inbox) = sent.split_once("SUB m.inbox.ns1.").expect("an inbox");
    let (inbox, _) = inbox.split_once(" 3\r\n").expect("its number");
    let server = format!("nats://127.0.0.1:{port}").into();
    assert_eq!(node.next().await, Incoming::Connected { server });
    let messages = "MSG m.report.ns2 0 2\r\nhi\r\nMSG m.override.ns2 1 m.x 0\r\n\r\n\
        MSG m.sync 2 m.inbox.ns2.1 1\r\nx\r\nMSG m.inbox.ns1.7 3 1\r\ny\r\nMSG m.z 9 1\r\nz\r\nPING\r\n";
    stream
        .write_all(messages.as_bytes())
        .await
        .expect("written");
    for (kind, node_name, payload, reply) in [
        (Kind::Report, "ns2", "hi", None),
        (Kind::Override, "ns2", "", None),
        (Kind::Sync, "", "x", Some("m.inbox.ns2.1")),
        (Kind::Sync, "", "y", None),
    ] {
        let message = Incoming::Message {
            kind,
            node: node_name.into(),
            payload: payload.as_bytes().into(),
            reply: reply.map(Into::into),
        };
        assert_eq!(node.next().await, message);
    }
    node.outbox
        .push(Outgoing::Report(vec![b"a".to_vec(), b"b".to_vec()]));
    node.outbox.push(Outgoing::Override(b"c".to_vec()));
    node.outbox.push(Outgoing::Sync(b"d".to_vec()));
    node.outbox.push(Outgoing::Reply {
        to: "m.inbox.ns2.1".into(),
        payload: b"e".to_vec(),
    });
    let sent = read_to(&mut stream, "\r\ne\r\n").await;
    assert!(sent.contains("PONG\r\n"), "{sent}");
    let sent = sent
        .replace("PING\r\n", "")
        .replace("PONG\r\n", "")
        .replace(inbox, "X");
    let expected = "PUB m.report.ns1 1\r\na\r\nPUB m.report.ns1 1\r\nb\r\nPUB m.override.ns1 1\r\nc\r\n\
        PUB m.sync m.inbox.ns1.X 1\r\nd\r\nPUB m.inbox.ns2.1 1\r\ne\r\n";
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_vantage_sends_its_reports_and_nothing_else() {
    let (listener, port) = listen().await;
    let node = Node::with_role(&[port], 8, Role::Vantage);
    let (mut stream, sent) = welcome(&listener).await;
    assert!(sent.ends_with("SUB m.report.ns1 0\r\nPING\r\n"), "{sent}");
    assert_eq!(sent.matches("SUB ").count(), 1, "{sent}");
    node.outbox.push(Outgoing::Override(b"a".to_vec()));
    node.outbox.push(Outgoing::Sync(b"b".to_vec()));
    node.outbox.push(Outgoing::Changes(b"c".to_vec()));
    let sent = read_to(&mut stream, "\r\nc\r\n").await;
    assert_eq!(sent.replace("PING\r\n", ""), "PUB m.report.ns1 1\r\nc\r\n");
}

#[tokio::test]
async fn what_the_loop_cannot_take_is_dropped_and_counted() {
    let (listener, port) = listen().await;
    let mut node = Node::start(&[port], 2);
    let (mut stream, _) = welcome(&listener).await;
    for n in 0..10 {
        let message = format!("MSG m.report.ns2 0 1\r\n{n}\r\n");
        stream.write_all(message.as_bytes()).await.expect("written");
    }
    let len = protocol::MAX_PAYLOAD_LEN + 1;
    let mut oversized = format!("MSG m.report.ns2 0 {len}\r\n").into_bytes();
    oversized.resize(oversized.len() + len, b'x');
    oversized.extend(b"\r\nPING\r\n");
    stream.write_all(&oversized).await.expect("written");
    // Whatever came before the PING is dealt with when the PONG is there.
    while !read_to(&mut stream, "\r\n").await.contains("PONG") {}
    assert_eq!(
        (node.drops.lagged.get(), node.drops.oversized.get()),
        (9, 1)
    );
    assert!(matches!(node.next().await, Incoming::Connected { .. }));
    assert!(matches!(node.next().await, Incoming::Message { payload, .. } if payload == "0"));
}

#[tokio::test]
async fn the_next_server_is_tried_when_one_leaves_or_refuses() {
    let (closed, closed_port) = listen().await;
    drop(closed);
    let (first, first_port) = listen().await;
    let (second, second_port) = listen().await;
    let mut node = Node::start(&[closed_port, first_port, second_port], 8);
    let reason = node.reason().await;
    assert!(
        reason.contains("connection refused; is nats-server running"),
        "{reason}"
    );
    let (mut stream, _) = welcome(&first).await;
    let server = format!("nats://127.0.0.1:{first_port}").into();
    assert_eq!(node.next().await, Incoming::Connected { server });
    stream
        .write_all(b"INFO {\"ldm\":true}\r\n")
        .await
        .expect("written");
    let (_stream, _) = welcome(&second).await;
    assert!(node.reason().await.contains("shutting down"));
    let server = format!("nats://127.0.0.1:{second_port}").into();
    assert_eq!(node.next().await, Incoming::Connected { server });
}

#[tokio::test]
async fn a_server_that_takes_nothing_costs_old_messages_only() {
    let (listener, port) = listen().await;
    let mut node = Node::start(&[port], 8);
    let (stuck, _) = welcome(&listener).await;
    assert!(matches!(node.next().await, Incoming::Connected { .. }));
    // Far more than the buffers of both sockets hold.
    let outbox = node.outbox.clone();
    for n in 0..64_u8 {
        outbox.push(Outgoing::Override(vec![n; 1024 * 1024]));
    }
    outbox.push(Outgoing::Report(vec![b"old".to_vec()]));
    outbox.push(Outgoing::Report(vec![b"new".to_vec()]));
    assert!(node.reason().await.contains("no longer answers"));
    drop(stuck);
    let (mut stream, _) = welcome(&listener).await;
    assert!(matches!(node.next().await, Incoming::Connected { .. }));
    let mut sent = Vec::new();
    while !sent.ends_with(b"PUB m.report.ns1 3\r\nnew\r\n") {
        stream.read_buf(&mut sent).await.expect("more");
    }
    assert!(!sent.windows(5).any(|octets| octets == b"old\r\n"));
}

#[test]
fn attempts_are_delayed_by_a_second_at_most() {
    let ms = |failed, n_servers, random| {
        let attempts = Attempts {
            n_made: 0,
            n_failed: failed,
        };
        attempts.delay(n_servers, random).as_millis()
    };
    // (failed, servers, random, expected)
    for (failed, n_servers, random, expected) in [
        (0, 1, 255, 0),
        (1, 1, 255, 50),
        (1, 1, 0, 25),
        (2, 1, 255, 100),
        (6, 1, 255, 1000),
        (1_000_000, 1, 255, 1000),
        (1_000_000, 1, 0, 500),
        (1, 3, 255, 0),
        (2, 3, 255, 0),
        (3, 3, 255, 50),
        (4, 3, 255, 0),
        (6, 3, 255, 100),
    ] {
        assert_eq!(
            ms(failed, n_servers, random),
            expected,
            "{failed} of {n_servers}"
        );
    }
}
