//! The adapter to NATS against the real nats-server: killed, frozen, with every kind of credentials, and with
//! the permissions of deploy/nats.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use meridian::config::model::Cluster;
use meridian::config::model::Login;
use meridian::config::model::NatsServer as Address;
use meridian::config::model::Password;
use meridian::fleet::link::Incoming;
use meridian::fleet::link::Kind;
use meridian::fleet::link::Outbox;
use meridian::fleet::link::Outgoing;
use meridian::fleet::nats;
use meridian::fleet::nats::Drops;
use meridian::fleet::nats::Role;
use prometheus::IntCounter;
use tempfile::TempDir;
use tempfile::tempdir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::PATIENCE;
use crate::harness::SLACK;
use crate::harness::eventually;
use crate::nats_server;
use crate::nats_server::Authority;
use crate::nats_server::NatsServer;
use crate::nats_server::Operator;
use crate::nats_server::is_installed;

/// As which node to connect, and how.
fn cluster(node: &str, url: &str) -> Cluster {
    let (scheme, address) = url.split_once("://").expect("a URL");
    let (host, port) = address.rsplit_once(':').expect("a port");
    Cluster {
        nats: vec![Address {
            host: host.into(),
            port: port.parse().expect("a port"),
            is_tls: scheme == "tls",
            login: None,
        }],
        prefix: "meridian".into(),
        node: node.into(),
        reporters: None,
        credentials_file: None,
        ca_file: None,
        identity: None,
    }
}

fn with_login(mut cluster: Cluster, user: &str, password: &str) -> Cluster {
    cluster.nats[0].login = Some(Login {
        user: user.into(),
        password: Password::new(password.into()),
    });
    cluster
}

struct Node<'a> {
    runtime: &'a Runtime,
    outbox: Outbox,
    unsent: IntCounter,
    incoming: mpsc::Receiver<Incoming>,
}

impl<'a> Node<'a> {
    fn start(runtime: &'a Runtime, cluster: Cluster) -> Self {
        Self::with_role(runtime, cluster, Role::NameServer)
    }

    fn with_role(runtime: &'a Runtime, cluster: Cluster, role: Role) -> Self {
        let counter = || IntCounter::new("x", "help").expect("a name");
        let drops = Drops {
            lagged: counter(),
            oversized: counter(),
        };
        let (sender, incoming) = mpsc::channel(64);
        let unsent = counter();
        let outbox = Outbox::counting(unsent.clone());
        let _inside = runtime.enter();
        let read = |path: &Path| fs::read(path).map_err(|error| error.to_string());
        nats::start(cluster, read, outbox.clone(), sender, drops, role);
        Self {
            runtime,
            outbox,
            unsent,
            incoming,
        }
    }

    fn next(&mut self) -> Incoming {
        let next = async { timeout(PATIENCE, self.incoming.recv()).await };
        let next = self.runtime.block_on(next);
        next.expect("in time").expect("the task runs")
    }

    /// Waits for a connection, past reasons for having none.
    fn connected(&mut self) -> &mut Self {
        while !matches!(self.next(), Incoming::Connected { .. }) {}
        self
    }

    /// The next reason for having no connection.
    fn reason(&mut self) -> String {
        loop {
            if let Incoming::Disconnected { reason } = self.next() {
                return reason.into();
            }
        }
    }

    fn report(&self, text: &str) {
        self.outbox.push(Outgoing::Report(vec![text.into()]));
    }

    /// Waits for a message, past others.
    fn hears(&mut self, kind: Kind, node: &str, text: &str) -> Option<Box<str>> {
        loop {
            if let Incoming::Message {
                kind: k,
                node: n,
                payload,
                reply,
            } = self.next()
                && (k, &*n, &*payload) == (kind, node, text.as_bytes())
            {
                return reply;
            }
        }
    }
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

fn folder() -> TempDir {
    tempdir().expect("a temporary folder")
}

#[test]
fn nodes_hear_one_another_also_after_the_server_was_killed() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let mut server = NatsServer::start(folder.path(), "listen: 127.0.0.1:PORT");
    let mut ns1 = Node::start(&runtime, cluster("ns1", &server.url()));
    let mut ns2 = Node::start(&runtime, cluster("ns2", &server.url()));
    ns1.connected();
    ns2.connected();
    for round in ["before", "after"] {
        ns1.report(round);
        assert_eq!(ns2.hears(Kind::Report, "ns1", round), None);
        ns2.outbox.push(Outgoing::Override(round.into()));
        assert_eq!(ns1.hears(Kind::Override, "ns2", round), None);
        ns1.outbox.push(Outgoing::Sync(round.into()));
        let to = ns2.hears(Kind::Sync, "", round).expect("an inbox");
        assert!(to.starts_with("meridian.inbox.ns1."), "{to}");
        let payload = format!("reply {round}");
        ns2.outbox.push(Outgoing::Reply {
            to,
            payload: payload.clone().into(),
        });
        assert_eq!(ns1.hears(Kind::Sync, "", &payload), None);
        if round == "before" {
            server.kill();
            for node in [&mut ns1, &mut ns2] {
                assert!(node.reason().contains("closed the connection"));
                assert!(node.reason().contains("is nats-server running"));
            }
            server.restart();
            ns1.connected();
            ns2.connected();
        }
    }
}

#[test]
fn a_frozen_server_is_left_and_what_is_newest_is_sent_after_the_thaw() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let server = NatsServer::start(folder.path(), "listen: 127.0.0.1:PORT");
    let mut ns1 = Node::start(&runtime, cluster("ns1", &server.url()));
    let mut ns2 = Node::start(&runtime, cluster("ns2", &server.url()));
    ns1.connected();
    ns2.connected();
    server.signal("-STOP");
    let frozen = std::time::Instant::now();
    for node in [&mut ns1, &mut ns2] {
        let reason = node.reason();
        assert!(reason.contains("no longer answers"), "{reason}");
    }
    assert!(
        frozen.elapsed() < Duration::from_secs(7) + SLACK,
        "{:?}",
        frozen.elapsed()
    );
    for n in 0..1_000 {
        ns1.report(&format!("old {n}"));
    }
    for node in [&mut ns1, &mut ns2] {
        let reason = node.reason();
        assert!(reason.contains("no answer in time"), "{reason}");
    }
    // The control loop sends its full state whenever there is a connection.
    ns1.report("new");
    server.signal("-CONT");
    ns2.connected();
    ns1.connected();
    ns1.report("newer");
    ns2.hears(Kind::Report, "ns1", "newer");
    // "new" may have been sent, or superseded as well.
    let n_superseded = ns1.unsent.get();
    assert!((1_000..=1_001).contains(&n_superseded), "{n_superseded}");
}

#[test]
fn credentials_that_are_wrong_or_missing_are_named_and_not_shown() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let config = "listen: 127.0.0.1:PORT\nauthorization { user: me, password: sesame }";
    let server = NatsServer::start(folder.path(), config);
    let node = || cluster("ns1", &server.url());
    let reason = Node::start(&runtime, with_login(node(), "me", "guess")).reason();
    assert!(
        reason.contains("refuses the credentials; check user"),
        "{reason}"
    );
    assert!(!reason.contains("guess"), "{reason}");
    let reason = Node::start(&runtime, node()).reason();
    assert!(
        reason.contains("asks for credentials; set user"),
        "{reason}"
    );
    Node::start(&runtime, with_login(node(), "me", "sesame")).connected();
    let mut missing = node();
    missing.credentials_file = Some("/no/such.creds".into());
    let reason = Node::start(&runtime, missing).reason();
    assert!(
        reason.contains("/no/such.creds, [cluster] credentials_file: "),
        "{reason}"
    );
}

#[test]
fn faults_of_tls_are_named() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let path = |name: &str| folder.path().join(name);
    let authority = Authority::new();
    fs::write(path("ca.pem"), &authority.pem).expect("a file");
    fs::write(path("other-ca.pem"), Authority::new().pem).expect("a file");
    authority.issue(folder.path(), "good", &["localhost"], false);
    authority.issue(folder.path(), "expired", &["localhost"], true);
    let start = |certificate: &str, more: &str| {
        let config = format!(
            "listen: 127.0.0.1:PORT\ntls {{ cert_file: {certificate}.pem, key_file: {certificate}.key {more} }}"
        );
        let config = config.replace("_file: ", &format!("_file: {}/", folder.path().display()));
        NatsServer::start(folder.path(), &config)
    };
    let node = |server: &NatsServer, host: &str, ca: &str| {
        let mut cluster = cluster("ns1", &format!("tls://{host}:{}", server.port));
        cluster.ca_file = Some(path(ca));
        cluster
    };
    let reason = |cluster: Cluster| Node::start(&runtime, cluster).reason();

    let good = start("good", "");
    Node::start(&runtime, node(&good, "localhost", "ca.pem")).connected();
    let unknown = reason(node(&good, "localhost", "other-ca.pem"));
    assert!(
        unknown.contains("signed by an unknown authority"),
        "{unknown}"
    );
    let name = reason(node(&good, "127.0.0.1", "ca.pem"));
    assert!(name.contains("is not for `127.0.0.1`"), "{name}");
    let missing = reason(node(&good, "localhost", "none.pem"));
    assert!(
        missing.contains("none.pem, [cluster] ca_file: "),
        "{missing}"
    );
    let expired = start("expired", "");
    let reason_ = reason(node(&expired, "localhost", "ca.pem"));
    assert!(
        reason_.contains("certificate has expired; renew it"),
        "{reason_}"
    );

    let mutual = start("good", ", ca_file: ca.pem, verify: true");
    let lacking = reason(node(&mutual, "localhost", "ca.pem"));
    assert!(
        lacking.contains("refuses this node's certificate"),
        "{lacking}"
    );
    let mut proven = node(&mutual, "localhost", "ca.pem");
    proven.identity = Some((path("good.pem"), path("good.key")));
    Node::start(&runtime, proven).connected();

    let plain = NatsServer::start(folder.path(), "listen: 127.0.0.1:PORT");
    let reason = reason(node(&plain, "localhost", "ca.pem"));
    assert!(reason.contains("offers no TLS"), "{reason}");
}

#[test]
fn a_creds_file_lets_in_where_an_operator_signs_the_users() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let (operator, stranger) = (Operator::new(), Operator::new());
    let server = NatsServer::start(folder.path(), &operator.config);
    let node = |name: &str, creds: &str| {
        let path = folder.path().join(name);
        fs::write(&path, creds).expect("a file");
        let mut cluster = cluster("ns1", &server.url());
        cluster.credentials_file = Some(path);
        Node::start(&runtime, cluster)
    };
    node("good.creds", &operator.creds).connected();
    let reason = node("stranger.creds", &stranger.creds).reason();
    assert!(reason.contains("refuses the credentials"), "{reason}");
    let reason = node("damaged.creds", &operator.creds.replace("SEED", "S")).reason();
    assert!(
        reason.contains("damaged.creds, [cluster] credentials_file: holds no user JWT"),
        "{reason}"
    );
}

/// A renewed certificate is trusted without a restart of the node.
#[test]
fn files_are_read_again_for_each_connection() {
    if !is_installed() {
        return;
    }
    let (folder, runtime) = (folder(), runtime());
    let path = |name: &str| folder.path().join(name);
    let (old, new) = (Authority::new(), Authority::new());
    fs::write(path("ca.pem"), &old.pem).expect("a file");
    new.issue(folder.path(), "new", &["localhost"], false);
    let config = "listen: 127.0.0.1:PORT\ntls { cert_file: DIR/new.pem, key_file: DIR/new.key }"
        .replace("DIR", &folder.path().display().to_string());
    let server = NatsServer::start(folder.path(), &config);
    let mut cluster = cluster("ns1", &format!("tls://localhost:{}", server.port));
    cluster.ca_file = Some(path("ca.pem"));
    let mut node = Node::start(&runtime, cluster);
    assert!(node.reason().contains("unknown authority"));
    fs::write(path("ca.pem"), &new.pem).expect("a file");
    node.connected();
}

/// The files of deploy/nats in a folder with certificates, and with these texts replaced.
fn deployed(replaced: &[(&str, &str)]) -> TempDir {
    let folder = folder();
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/nats");
    for entry in fs::read_dir(deploy).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut text = fs::read_to_string(&path).expect("UTF-8");
        for (old, new) in replaced {
            text = text.replace(old, new);
        }
        for name in ["ns1", "ns2", "hub", "ca"] {
            for end in ["pem", "key"] {
                let file = format!("\"{name}.{end}\"");
                let whole = format!("\"{}/{name}.{end}\"", folder.path().display());
                text = text.replace(&file, &whole);
            }
        }
        fs::write(folder.path().join(path.file_name().expect("a name")), text).expect("a file");
    }
    let authority = Authority::new();
    fs::write(folder.path().join("ca.pem"), &authority.pem).expect("a file");
    for name in ["ns1", "ns2", "hub"] {
        authority.issue(folder.path(), name, &["localhost", "127.0.0.1"], false);
    }
    folder
}

#[test]
fn the_examples_in_deploy_are_taken_by_nats_server() {
    if !is_installed() {
        return;
    }
    let folder = deployed(&[]);
    for name in ["pair-ns1", "pair-ns2", "single", "hub", "leaf-tokyo"] {
        let fault = nats_server::check(&folder.path().join(format!("{name}.conf")));
        assert_eq!(fault, "", "{name}");
    }
}

/// A client that speaks the protocol by hand, as one of the users of deploy/nats; returns what the server
/// answers until PONG.
fn raw(port: u16, user: &str, sent: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let connect = format!("{{\"user\":\"{user}\",\"pass\":\"{user}secret\",\"verbose\":false}}");
    write!(stream, "CONNECT {connect}\r\n{sent}PING\r\n").expect("sent");
    let mut text = String::new();
    let mut octets = [0; 4096];
    while !text.contains("PONG\r\n") {
        let n = stream.read(&mut octets).expect("an answer");
        assert!(n > 0, "{text}");
        text += &String::from_utf8_lossy(&octets[..n]);
    }
    text
}

/// The pair of deploy/nats, and the folders of its files.
struct Pair {
    one: NatsServer,
    two: NatsServer,
    _files: [TempDir; 2],
}

impl Pair {
    fn start() -> Self {
        eventually("two servers with ports that nobody else takes", || {
            let ports: [u16; 4] = std::array::from_fn(|_| nats_server::free_port());
            let files = [0, 1].map(|own| {
                deployed(&[
                    ("127.0.0.1:4222", &format!("127.0.0.1:{}", ports[own])),
                    ("0.0.0.0:6222", &format!("127.0.0.1:{}", ports[2 + own])),
                    ("ns1.example.com:6222", &format!("localhost:{}", ports[2])),
                    ("ns2.example.com:6222", &format!("localhost:{}", ports[3])),
                ])
            });
            let path = |own: usize, name: &str| files[own].path().join(name);
            // One authority for both.
            for name in ["ca.pem", "ns2.pem", "ns2.key"] {
                fs::copy(path(0, name), path(1, name)).expect("copied");
            }
            Some(Self {
                one: NatsServer::start_file(&path(0, "pair-ns1.conf"), ports[0])?,
                two: NatsServer::start_file(&path(1, "pair-ns2.conf"), ports[1])?,
                _files: files,
            })
        })
    }
}

/// A name server that connects to this server as the user of its name.
fn name_server<'a>(runtime: &'a Runtime, name: &str, server: &NatsServer) -> Node<'a> {
    let cluster = cluster(name, &server.url());
    let mut node = Node::start(runtime, with_login(cluster, name, &format!("{name}secret")));
    node.connected();
    node
}

/// What one name server sends reaches the other by the route, as soon as there is one.
#[test]
fn a_routed_pair_carries_reports_and_replies() {
    if !is_installed() {
        return;
    }
    let runtime = runtime();
    let mut pair = Pair::start();
    let mut ns1 = name_server(&runtime, "ns1", &pair.one);
    let mut ns2 = name_server(&runtime, "ns2", &pair.two);
    let hears = |from: &Node<'_>, to: &mut Node<'_>| loop {
        from.report("own");
        let next = async { timeout(Duration::from_millis(200), to.incoming.recv()).await };
        if let Ok(Some(Incoming::Message { .. })) = runtime.block_on(next) {
            return;
        }
    };
    hears(&ns1, &mut ns2);
    hears(&ns2, &mut ns1);
    ns1.outbox.push(Outgoing::Sync("all".into()));
    let to = ns2.hears(Kind::Sync, "", "all").expect("an inbox");
    for payload in ["mine", "and more"] {
        ns2.outbox.push(Outgoing::Reply {
            to: to.clone(),
            payload: payload.into(),
        });
        ns1.hears(Kind::Sync, "", payload);
    }
    // Without one nats-server the other name server keeps its own.
    pair.one.kill();
    ns1.reason();
    while let Ok(heard) = ns2.incoming.try_recv() {
        assert!(matches!(heard, Incoming::Message { .. }), "{heard:?}");
    }
    pair.one.restart();
    ns1.connected();
    hears(&ns1, &mut ns2);
}

/// Nobody may speak in another's name: the nats-server itself refuses that.
#[test]
fn permissions_refuse_what_is_forged() {
    if !is_installed() {
        return;
    }
    let folder = deployed(&[]);
    let server = NatsServer::start(
        folder.path(),
        "listen: 127.0.0.1:PORT\ninclude users.conf\n",
    );
    for (user, subject, is_allowed) in [
        ("ns1", "meridian.report.ns1", true),
        ("ns1", "meridian.report.ns2", false),
        ("ns1", "meridian.override.ns2", false),
        ("ns1", "meridian.inbox.ns2.1", false),
        ("tokyo", "meridian.report.tokyo", true),
        ("tokyo", "meridian.report.ns1", false),
        ("tokyo", "meridian.override.tokyo", false),
        ("tokyo", "meridian.sync", false),
    ] {
        let sent = format!("PUB {subject} 6\r\nforged\r\n");
        let answer = raw(server.port, user, &sent);
        let refusal = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'");
        assert_eq!(answer.contains(&refusal), !is_allowed, "{user}: {answer}");
    }
    for (user, subject, is_allowed) in [
        ("ns1", "meridian.inbox.ns2.*", false),
        ("ns1", "meridian.report.*", true),
        ("tokyo", "meridian.override.*", false),
        ("tokyo", "meridian.report.tokyo", true),
    ] {
        let answer = raw(server.port, user, &format!("SUB {subject} 1\r\n"));
        assert_eq!(answer.contains("-ERR"), !is_allowed, "{user}: {answer}");
    }
}

/// A vantage behind a leaf node is heard at the hub, which takes nothing but its own report from there.
#[test]
fn a_leaf_node_carries_its_vantages_report_and_no_other() {
    if !is_installed() {
        return;
    }
    let runtime = runtime();
    let (hub, leaf, _files) = eventually("a hub and a leaf on ports of their own", || {
        let ports: [u16; 3] = std::array::from_fn(|_| nats_server::free_port());
        let hub_files = deployed(&[
            ("127.0.0.1:4222", &format!("127.0.0.1:{}", ports[0])),
            ("0.0.0.0:7422", &format!("127.0.0.1:{}", ports[2])),
        ]);
        let url = format!("\"tls://tokyo:tokyosecret@localhost:{}\"", ports[2]);
        let leaf_files = deployed(&[
            ("127.0.0.1:4222", &format!("127.0.0.1:{}", ports[1])),
            ("$TOKYO_HUB_URL", &url),
        ]);
        let [of_hub, of_leaf] = [&hub_files, &leaf_files].map(TempDir::path);
        fs::copy(of_hub.join("ca.pem"), of_leaf.join("ca.pem")).expect("copied");
        let hub = NatsServer::start_file(&of_hub.join("hub.conf"), ports[0])?;
        let leaf = NatsServer::start_file(&of_leaf.join("leaf-tokyo.conf"), ports[1])?;
        Some((hub, leaf, [hub_files, leaf_files]))
    });
    let mut ns1 = name_server(&runtime, "ns1", &hub);
    let forged = "PUB meridian.report.ns2 6\r\nforged\r\nPUB meridian.override.ns1 6\r\nforged\r\n";
    let mut tokyo = Node::with_role(&runtime, cluster("tokyo", &leaf.url()), Role::Vantage);
    tokyo.connected();
    // The leaf's connection to the hub may come a moment later.
    let mut n_heard = 0;
    while n_heard < 5 {
        raw(leaf.port, "", forged);
        tokyo.report("own");
        let next = async { timeout(Duration::from_millis(200), ns1.incoming.recv()).await };
        match runtime.block_on(next) {
            Ok(Some(Incoming::Message { node, payload, .. })) => {
                assert_eq!((&*node, &*payload), ("tokyo", &b"own"[..]));
                n_heard += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
}
