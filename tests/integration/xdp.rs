//! AF_XDP between two network namespaces with a virtual cable: what is answered this way, what is not,
//! and that nothing is lost whatever happens to process and interface.
//!
//! It takes root and iproute2. Without, the tests say so and pass, unless `MERIDIAN_REQUIRE_XDP` is
//! set. Each runs itself again inside a namespace of its own, where the client is.

use std::env;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::process;
use std::process::Command;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use crate::harness::BRAZIL;
use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::PATIENCE;
use crate::harness::Server;
use crate::harness::ZONE;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::exchange_tcp;
use crate::harness::http;
use crate::harness::query;
use crate::harness::still_world;

/// Holds the name of the server's namespace in the test that runs inside the client's.
const INSIDE: &str = "MERIDIAN_XDP_NAMESPACE";

/// The server's addresses on the cable; the client's end with 2.
const V4: &str = "198.18.0.1";
const V6: &str = "fd00:18::1";

/// Runs a scenario in two namespaces, or says why not.
fn between_namespaces(test: &str, scenario: impl FnOnce(&Cable)) {
    if let Ok(server) = env::var(INSIDE) {
        return scenario(&Cable { server });
    }
    let Some(namespaces) = Namespaces::new(test) else {
        let message = "AF_XDP needs root, iproute2 and CONFIG_XDP_SOCKETS";
        assert!(env::var_os("MERIDIAN_REQUIRE_XDP").is_none(), "{message}");
        eprintln!("{test} is passed over: {message}");
        return;
    };
    let output = Command::new("ip")
        .args(["netns", "exec", &namespaces.client])
        .arg(env::current_exe().expect("this test"))
        .args(["--exact", &format!("xdp::{test}"), "--nocapture"])
        .env(INSIDE, &namespaces.server)
        .output()
        .expect("ip runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Two namespaces, which end with this.
struct Namespaces {
    client: String,
    server: String,
}

impl Namespaces {
    fn new(test: &str) -> Option<Self> {
        let name = |end: &str| format!("meridian-{}-{test}-{end}", process::id());
        let namespaces = Self {
            client: name("client"),
            server: name("server"),
        };
        let is_made = ip(&["netns", "add", &namespaces.client])
            && ip(&["netns", "add", &namespaces.server])
            && Cable::plug(&namespaces.client, &namespaces.server)
            && Socket::new(Domain::from(libc::AF_XDP), Type::RAW, None).is_ok();
        is_made.then_some(namespaces)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.client]);
        ip(&["netns", "del", &self.server]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// The client's end of the cable, seen from inside its namespace.
struct Cable {
    server: String,
}

impl Cable {
    /// Lays the cable between two namespaces.
    fn plug(client: &str, server: &str) -> bool {
        let up = |namespace, device, end| {
            ip(&["-n", namespace, "link", "set", "lo", "up"])
                && ip(&["-n", namespace, "link", "set", device, "up"])
                && ip(&[
                    "-n",
                    namespace,
                    "addr",
                    "add",
                    &format!("198.18.0.{end}/24"),
                    "dev",
                    device,
                ])
                && ip(&[
                    "-n",
                    namespace,
                    "addr",
                    "add",
                    &format!("fd00:18::{end}/64"),
                    "dev",
                    device,
                    "nodad",
                ])
        };
        let pair = ["type", "veth", "peer", "name", "client0", "netns", client];
        ip(&[&["link", "add", "server0", "netns", server][..], &pair].concat())
            && up(client, "client0", 2)
            && up(server, "server0", 1)
    }

    /// `ip` in the server's namespace.
    fn ip(&self, arguments: &[&str]) {
        assert!(
            ip(&[&["-n", &self.server], arguments].concat()),
            "{arguments:?}"
        );
    }

    /// Whether a program is on the server's interface.
    fn has_program(&self) -> bool {
        let output = Command::new("ip")
            .args(["-n", &self.server, "link", "show", "server0"])
            .output()
            .expect("ip runs");
        String::from_utf8_lossy(&output.stdout).contains("xdp")
    }

    /// Starts a server at a port of both addresses, with more lines of `[server]`.
    fn serve(&self, port: u16, more: &str) -> Server {
        let folder = Folder::new();
        let big: String = (0..60)
            .map(|n| format!("big TXT \"text number {n}\"\n"))
            .collect();
        folder
            .write("zones/example.com.zone", format!("{ZONE}{big}"))
            .write("pools.toml", still_world(9))
            .write(
                "meridian.toml",
                format!(
                    "zones = \"zones\"\npools = \"pools.toml\"\n[server]\nworkers = 1\n\
                     listen = [\"{V4}:{port}\", \"[::]:{port}\"]\nnsid = \"here\"\n{more}\n\
                     [admin]\nlisten = \"{V4}:0\"\n"
                ),
            );
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.server,
            env!("CARGO_BIN_EXE_meridian"),
        ]);
        Server::start(folder, command)
    }
}

fn both(port: u16) -> [SocketAddr; 2] {
    [V4, V6].map(|address| SocketAddr::new(address.parse().expect("an address"), port))
}

/// How many messages came over UDP, and how many of them by AF_XDP.
fn counted(server: &Server) -> (u32, u32) {
    let (_, page) = http(server.admin, "GET", "/metrics");
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a metric").trim().parse().expect("a number")
    };
    (
        value("meridian_queries_total{transport=\"udp\"}"),
        value("meridian_xdp_queries_total"),
    )
}

/// Asks over UDP and tells whether AF_XDP answered.
fn is_taken(server: &Server, address: SocketAddr, query: &[u8]) -> bool {
    let before = counted(server);
    let reply = exchange(address, query);
    assert_eq!(reply.rcode(), ResponseCode::NoError);
    is_counted_as_taken(server, before)
}

/// Whether the one message since `before` came by AF_XDP. The page of metrics may be some moments old.
fn is_counted_as_taken(server: &Server, before: (u32, u32)) -> bool {
    let after = eventually("the message in the metrics", || {
        let after = counted(server);
        (after.0 > before.0).then_some(after)
    });
    assert_eq!(after.0, before.0 + 1, "one message arrived");
    after.1 > before.1
}

#[test]
fn answers_are_those_of_the_sockets() {
    between_namespaces("answers_are_those_of_the_sockets", |cable| {
        let bypass = cable.serve(53, "xdp = [\"server0\"]");
        bypass.wait_for_log("AF_XDP enabled");
        let sockets = cable.serve(5300, "");
        let mut queries = vec![
            query("mail.example.com.", RecordType::MX, None),
            query("nope.example.com.", RecordType::A, None),
            query("b.c.example.com.", RecordType::A, None),
            query("x.sub.example.com.", RecordType::A, None),
            query("big.example.com.", RecordType::TXT, None),
            query("example.org.", RecordType::A, None),
        ];
        for subnet in [FRANCE, JAPAN, BRAZIL, "2001:db8::/56", "0.0.0.0/0"] {
            queries.push(query("app.example.com.", RecordType::A, Some(subnet)));
            queries.push(query("www.example.com.", RecordType::A, Some(subnet)));
        }
        // Without EDNS and its limit, malformed, and of another opcode.
        let mut plain = query("big.example.com.", RecordType::TXT, None);
        plain.truncate(plain.len() - 11);
        plain[11] = 0;
        let mut status = plain.clone();
        status[2] |= 0x10;
        queries.extend([plain[..20].to_vec(), plain, status]);
        let mut n_truncated = 0;
        for query in &queries {
            for (by, over) in both(53).into_iter().zip(both(5300)) {
                let (by, over) = (exchange(by, query), exchange(over, query));
                assert_eq!(by.bytes, over.bytes, "{}", by.message);
                n_truncated += u32::from(by.message.metadata.truncation);
            }
        }
        assert_eq!(
            n_truncated, 4,
            "the long answer, in both families, with EDNS and without"
        );
        let n = 2 * queries.len() as u32;
        for (server, expected) in [(&bypass, (n, n)), (&sockets, (n, 0))] {
            eventually("all messages in the metrics", || {
                (counted(server) == expected).then_some(())
            });
        }
        for address in both(53) {
            let long = &exchange_tcp(address, &queries[4..5])[0];
            assert_eq!(long.message.answers.len(), 60);
        }
    });
}

#[test]
fn queries_that_find_no_room_are_counted() {
    between_namespaces("queries_that_find_no_room_are_counted", |cable| {
        let server = cable.serve(53, "xdp = [\"server0\"]");
        let [v4, _] = both(53);
        let question = query("mail.example.com.", RecordType::MX, None);
        assert!(is_taken(&server, v4, &question));
        // While the server stands still, one queue has room for 2,048 of them.
        server.signal("-STOP");
        let client = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        for _ in 0..10_000 {
            let _ = client.send_to(&question, v4);
        }
        server.signal("-CONT");
        eventually("the kernel's counters", || {
            let (_, page) = http(server.admin, "GET", "/metrics");
            let values = page.lines().filter_map(|line| {
                let rest = line.strip_prefix("meridian_xdp_statistics_total{statistic=")?;
                rest.split_once(' ')?.1.parse::<f64>().ok()
            });
            (values.sum::<f64>() > 0.0).then_some(())
        });
        assert_eq!(exchange(v4, &question).rcode(), ResponseCode::NoError);
    });
}

#[test]
fn what_is_not_plain_takes_the_sockets() {
    between_namespaces("what_is_not_plain_takes_the_sockets", |cable| {
        let more = "xdp = [\"server0\"]\nmax_udp_payload = 4096";
        let server = cable.serve(53, more);
        let question = query("mail.example.com.", RecordType::MX, None);
        for address in both(53) {
            assert!(is_taken(&server, address, &question));
        }
        // A query of 1,800 octets arrives in two fragments.
        let mut long = question.clone();
        let at = long.len() - 2;
        long[at..].copy_from_slice(&1740_u16.to_be_bytes());
        long.extend([0, 12, 6, 200]);
        long.resize(long.len() + 1736, 0);
        for address in both(53) {
            assert!(!is_taken(&server, address, &long));
        }
        assert!(!with_options(&server, &question));
        // An address is answered while it is this interface's.
        let other = SocketAddr::new("fd00:18::7".parse().expect("an address"), 53);
        cable.ip(&["addr", "add", "fd00:18::7/64", "dev", "server0", "nodad"]);
        eventually("a new address", || {
            is_taken(&server, other, &question).then_some(())
        });
        cable.ip(&[
            "link", "add", "other0", "type", "veth", "peer", "name", "other1",
        ]);
        cable.ip(&["link", "set", "other0", "up"]);
        cable.ip(&["link", "set", "other1", "up"]);
        assert!(ip(&["-6", "route", "add", "fd00:18::7/128", "via", V6]));
        cable.ip(&["addr", "del", "fd00:18::7/64", "dev", "server0"]);
        cable.ip(&["addr", "add", "fd00:18::7/128", "dev", "other0", "nodad"]);
        eventually("another interface's address", || {
            (!is_taken(&server, other, &question)).then_some(())
        });
        // Another port is another program's.
        let neighbour = cable.serve(5300, "");
        for address in both(5300) {
            assert!(!is_taken(&neighbour, address, &question));
        }
    });
}

/// Asks with an IPv4 header that has options, four times "no operation", and tells whether AF_XDP
/// answered.
fn with_options(server: &Server, query: &[u8]) -> bool {
    let client = UdpSocket::bind((Ipv4Addr::new(198, 18, 0, 2), 0)).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let port = client.local_addr().expect("an address").port();
    let udp_len = u16::try_from(8 + query.len()).expect("short");
    // The kernel fills in lengths, identification and the header's checksum; UDP's is left out.
    let mut packet = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend([198, 18, 0, 2, 198, 18, 0, 1, 1, 1, 1, 1]);
    for word in [port, 53, udp_len, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(query);
    let raw = Socket::new(
        Domain::IPV4,
        Type::RAW,
        Some(Protocol::from(libc::IPPROTO_RAW)),
    );
    let before = counted(server);
    let address: SocketAddr = (Ipv4Addr::new(198, 18, 0, 1), 53).into();
    raw.expect("a raw socket")
        .send_to(&packet, &address.into())
        .expect("sent");
    let mut reply = [0; 4096];
    let (_, source) = client.recv_from(&mut reply).expect("a response");
    assert_eq!(source, address);
    is_counted_as_taken(server, before)
}

#[test]
fn the_program_ends_with_the_process() {
    between_namespaces("the_program_ends_with_the_process", |cable| {
        for signal in ["-KILL", "-TERM"] {
            let server = cable.serve(53, "xdp = [\"server0\"]");
            assert!(cable.has_program());
            server.signal(signal);
            let (code, _, log) = server.ended();
            assert_eq!(code, (signal == "-TERM").then_some(0), "{log}");
            eventually("the program's end", || (!cable.has_program()).then_some(()));
        }
    });
}

#[test]
fn an_interface_may_go_down_and_away() {
    between_namespaces("an_interface_may_go_down_and_away", |cable| {
        let server = cable.serve(53, "xdp = [\"server0\"]");
        let question = query("mail.example.com.", RecordType::MX, None);
        let [v4, _] = both(53);
        assert!(is_taken(&server, v4, &question));
        cable.ip(&["link", "set", "server0", "down"]);
        server.wait_for_log("interface is down");
        cable.ip(&["link", "set", "server0", "up"]);
        server.wait_for_log("interface is up again");
        assert!(is_taken(&server, v4, &question));

        cable.ip(&["link", "set", "server0", "down"]);
        eventually("the second time", || {
            (server.log().matches("interface is down").count() == 2).then_some(())
        });
        cable.ip(&["link", "del", "server0"]);
        server.wait_for_log("interface removed");
        assert!(
            Cable::plug(&own_namespace(), &cable.server),
            "another cable"
        );
        assert!(!is_taken(&server, v4, &question), "the sockets answer");
        server.signal("-TERM");
        let (code, _, log) = server.ended();
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(log.matches("interface removed").count(), 1, "{log}");
    });
}

/// The name of the namespace that this process is in.
fn own_namespace() -> String {
    let output = Command::new("ip")
        .args(["netns", "identify", &process::id().to_string()])
        .output()
        .expect("ip runs");
    String::from_utf8(output.stdout)
        .expect("a name")
        .trim()
        .to_owned()
}

#[test]
fn interfaces_that_cannot_be_had_are_left_to_the_sockets() {
    let server = Folder::usual("", "xdp = [\"lo\", \"nowhere0\"]").serve();
    let reply = server.ask("mail.example.com.", RecordType::MX, None);
    assert_eq!(reply.message.answers.len(), 1);
    let log = server.log();
    let is_told = |interface: &str, why: &str| {
        let of = |line: &&str| line.contains(&format!("interface={interface}"));
        let lines: Vec<_> = log.lines().filter(of).collect();
        lines.len() == 1
            && lines[0].contains("AF_XDP unavailable on this interface")
            && lines[0].contains(why)
    };
    assert!(is_told("lo", "not an Ethernet interface"), "{log}");
    assert!(is_told("nowhere0", "no such interface"), "{log}");
}
