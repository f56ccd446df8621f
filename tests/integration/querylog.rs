//! dnstap and the decision log, read back.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::PATIENCE;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::exchange;
use crate::harness::exchange_tcp;
use crate::harness::http;
use crate::harness::query;
use crate::harness::still_world;
use crate::secondaries::free_address;
use crate::secondaries::program;

/// The usual files with these tables in `meridian.toml`, and perhaps other addresses to listen on.
fn folder(block: u8, listen: &str, tables: &str) -> Folder {
    let folder = Folder::usual(&still_world(block), "");
    let text = fs::read_to_string(folder.path("meridian.toml")).expect("a file");
    let text = text.replace(
        "\"127.0.0.1:0\"]\nworkers",
        &format!("{listen}]\nnsid = \"ns-test\"\nworkers"),
    );
    folder.write("meridian.toml", format!("{text}{tables}"));
    folder
}

const LOOPBACK: &str = "\"127.0.0.1:0\"";

/// All addresses that the server answers on.
fn addresses(server: &Server) -> Vec<SocketAddr> {
    let log = server.log();
    let (_, rest) = log.split_once("dns=\"").expect("a field");
    let (list, _) = rest.split_once('"').expect("a value");
    let address = |text: &str| text.trim_matches(',').parse().expect("an address");
    list.split_whitespace().map(address).collect()
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect("the metric").parse().expect("a number")
}

/// The fields of a protobuf message by number: a number, or octets.
fn fields(mut octets: &[u8]) -> HashMap<u64, (u64, Vec<u8>)> {
    fn varint(octets: &mut &[u8]) -> u64 {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let octet = octets.split_off_first().expect("an octet");
            number |= u64::from(octet & 0x7F) << shift;
            if octet & 0x80 == 0 {
                break;
            }
        }
        number
    }
    let mut fields = HashMap::new();
    while !octets.is_empty() {
        let key = varint(&mut octets);
        let value = match key & 7 {
            0 => (varint(&mut octets), Vec::new()),
            2 => {
                let len = varint(&mut octets) as usize;
                (0, octets.split_off(..len).expect("octets").to_vec())
            }
            5 => {
                let number = octets.split_off(..4).expect("four octets");
                let number = u32::from_le_bytes(number.try_into().expect("four"));
                (number.into(), Vec::new())
            }
            other => unreachable!("wire type {other}"),
        };
        assert!(fields.insert(key >> 3, value).is_none(), "a field twice");
    }
    fields
}

/// A dnstap message, read by its field numbers in `dnstap.proto`.
struct Tapped(HashMap<u64, (u64, Vec<u8>)>);

impl Tapped {
    fn read(frame: &[u8]) -> Self {
        let dnstap = fields(frame);
        assert_eq!(dnstap[&1].1, b"ns-test", "identity: the NSID");
        assert!(dnstap[&2].1.starts_with(b"meridian "), "version");
        assert_eq!(dnstap[&15].0, 1, "type MESSAGE");
        Self(fields(&dnstap[&14].1))
    }

    fn number(&self, field: u64) -> u64 {
        self.0[&field].0
    }

    fn octets(&self, field: u64) -> &[u8] {
        &self.0[&field].1
    }

    fn address(&self, address: u64, port: u64) -> SocketAddr {
        let octets = self.octets(address);
        let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        let v6 = || <[u8; 16]>::try_from(octets).map(IpAddr::from);
        let ip = v4.or_else(|_| v6()).expect("an address");
        SocketAddr::new(ip, self.number(port) as u16)
    }
}

/// The reader's side of a stream: the handshake, then each frame as it comes, until STOP or the end.
fn receive(mut stream: impl Read + Write, frames: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    const TYPE: &[u8] = b"\0\0\0\x01\0\0\0\x16protobuf:dnstap.Dnstap";
    let control = |stream: &mut dyn Read, kind: u8, rest: &[u8]| {
        let mut frame = vec![0; 12 + rest.len()];
        stream.read_exact(&mut frame)?;
        assert_eq!((frame[11], &frame[12..]), (kind, rest));
        io::Result::Ok(())
    };
    control(&mut stream, 4, TYPE)?;
    stream.write_all(&[&[0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 1], TYPE].concat())?;
    control(&mut stream, 2, TYPE)?;
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        if frame.is_empty() {
            let mut stop = [0; 8];
            stream.read_exact(&mut stop)?;
            assert_eq!(stop, [0, 0, 0, 4, 0, 0, 0, 3]);
            return stream.write_all(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5]);
        }
        stream.read_exact(&mut frame)?;
        if frames.send(frame).is_err() {
            return Ok(());
        }
    }
}

/// Reads one connection to a Unix socket.
fn reader(listener: UnixListener) -> Receiver<Vec<u8>> {
    let (send, frames) = mpsc::channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let _ = receive(stream, &send);
    });
    frames
}

fn next(frames: &Receiver<Vec<u8>>) -> Tapped {
    Tapped::read(&frames.recv_timeout(PATIENCE).expect("a frame"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row per transport")]
fn dnstap_has_what_crossed_the_wire() {
    for (nth, listen) in ["\"127.0.0.1:0\", \"[::1]:0\"", "\"0.0.0.0:0\", \"[::]:0\""]
        .iter()
        .enumerate()
    {
        let tables = "[dnstap]\nsocket = \"tap\"\n";
        let folder = folder(75 + nth as u8, listen, tables);
        let frames = reader(UnixListener::bind(folder.path("tap")).expect("a socket"));
        let server = folder.serve();
        server.wait_for_log("dnstap reader connected");
        for address in addresses(&server) {
            let ip: IpAddr = match address.ip() {
                IpAddr::V4(_) => [127, 0, 0, 1].into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            let address = SocketAddr::new(ip, address.port());
            for is_tcp in [false, true] {
                let asked = query("app.example.com.", RecordType::A, Some(FRANCE));
                let reply = match is_tcp {
                    false => exchange(address, &asked),
                    true => exchange_tcp(address, std::slice::from_ref(&asked)).remove(0),
                };
                let (query, response) = (next(&frames), next(&frames));
                let what = format!("{address} tcp: {is_tcp}");
                assert_eq!((query.number(1), response.number(1)), (1, 2), "{what}");
                assert_eq!(query.octets(10), asked, "{what}");
                assert_eq!(response.octets(14), reply.bytes, "{what}");
                for half in [&query, &response] {
                    assert_eq!(half.number(2), if ip.is_ipv4() { 1 } else { 2 }, "{what}");
                    assert_eq!(half.number(3), 1 + u64::from(is_tcp), "{what}");
                    assert_eq!(half.address(4, 6).ip(), ip, "{what}");
                    assert_eq!(half.address(5, 7), address, "{what}");
                    assert_eq!(half.octets(11), b"\x07example\x03com\0", "{what}");
                }
                let time = |seconds, nanos| (response.number(seconds), response.number(nanos));
                assert!(time(8, 9) <= time(12, 13), "{what}");
                assert!(time(8, 9) > (1_700_000_000, 0), "{what}");
            }
        }
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = addresses(&server)[0].port();
        udp.send_to(b"too short", ("127.0.0.1", port))
            .expect("sent");
        let silent = next(&frames);
        assert_eq!(
            (silent.number(1), silent.octets(10)),
            (1, &b"too short"[..])
        );
        assert!(!silent.0.contains_key(&11), "no zone");
        assert_eq!(
            silent.number(6),
            u64::from(udp.local_addr().expect("bound").port())
        );
        // At the end everything is written, and the reader is told so.
        exchange(
            SocketAddr::from(([127, 0, 0, 1], port)),
            &query("mx.example.com.", RecordType::A, None),
        );
        server.signal("-TERM");
        assert_eq!((next(&frames).number(1), next(&frames).number(1)), (1, 2));
        assert!(frames.recv_timeout(PATIENCE).is_err(), "STOP");
        assert_eq!(server.ended().0, Some(0));
    }
}

/// What a program prints about a file.
fn printed(program: &Path, arguments: &[&str], folder: &Folder) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder.path(""))
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn debians_readers_read_dnstap() {
    let (Some(capture), Some(read)) = (program("fstrm_capture"), program("dnstap-read")) else {
        return;
    };
    let port = free_address().port().to_string();
    let tcp = format!("tcp:127.0.0.1:{port}");
    for (block, socket, arguments) in [
        (77, "tap", &["-u", "tap"][..]),
        (78, &*tcp, &["-a", "127.0.0.1", "-p", &port]),
    ] {
        let tables = format!("[dnstap]\nsocket = \"{socket}\"\n");
        let folder = folder(block, "\"127.0.0.1:0\", \"[::1]:0\"", &tables);
        let usual = ["-t", "protobuf:dnstap.Dnstap", "-w", "captured"];
        let mut capturing = Command::new(&capture)
            .args([&usual[..], arguments].concat())
            .current_dir(folder.path(""))
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let server = folder.serve();
        server.wait_for_log("dnstap reader connected");
        for address in addresses(&server) {
            let asked = query("app.example.com.", RecordType::A, Some(JAPAN));
            exchange(address, &asked);
            exchange_tcp(address, &[asked]);
        }
        eventually("all messages to be sent", || {
            (metric(&server, "meridian_dnstap_messages_total") == 8).then_some(())
        });
        server.signal("-TERM");
        let (_, folder, _) = server.ended();
        // Has it write out what it holds, and end.
        let pid = capturing.id().to_string();
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill runs");
        capturing.wait().expect("a child");
        let yaml = printed(&read, &["-y", "captured"], &folder);
        for (text, n) in [
            ("type: AUTH_QUERY", 4),
            ("type: AUTH_RESPONSE", 4),
            ("socket_protocol: UDP", 4),
            ("socket_protocol: TCP", 4),
            ("socket_family: INET\n", 4),
            ("socket_family: INET6", 4),
            ("    status: NOERROR", 8),
            ("app.example.com. IN A", 8),
            (&format!("IN A 127.0.{block}.3'"), 4),
        ] {
            assert_eq!(yaml.matches(text).count(), n, "`{text}` in:\n{yaml}");
        }
        if let Some(ldns) = program("dnstap-ldns") {
            let text = printed(&ldns, &["-r", "captured"], &folder);
            assert_eq!(
                text.matches("\"app.example.com.\" IN A").count(),
                8,
                "{text}"
            );
        }
    }
}

#[test]
fn a_dnstap_reader_that_stops_or_goes_costs_messages_and_no_answers() {
    let folder = folder(79, LOOPBACK, "[dnstap]\nsocket = \"tap\"\n");
    let server = folder.serve();
    server.wait_for_log("dnstap reader cannot be reached");
    let asked = query("app.example.com.", RecordType::A, Some(FRANCE));
    let ask = || exchange(server.dns, &asked);
    let listen = || reader(UnixListener::bind(server.folder.path("tap")).expect("a socket"));
    ask();
    let frames = listen();
    // What was asked before waits for it.
    assert_eq!((next(&frames).number(1), next(&frames).number(1)), (1, 2));
    drop(frames);
    ask();
    server.wait_for_log("dnstap reader lost");
    fs::remove_file(server.folder.path("tap")).expect("removed");
    ask();
    let frames = listen();
    assert_eq!((next(&frames).number(1), next(&frames).number(1)), (1, 2));
    drop(frames);
    server.signal("-TERM");
    assert_eq!(server.ended().0, Some(0));
}

/// The lines of a decision log, when one has this in it.
fn lines(path: &Path, last: &str) -> Vec<Value> {
    eventually("the lines", || {
        let text = fs::read_to_string(path).ok()?;
        (text.contains(last) && text.ends_with('\n')).then_some(text)
    })
    .lines()
    .map(|line| serde_json::from_str(line).expect("JSON"))
    .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row per decision")]
fn decisions_say_who_got_what_and_why() {
    let folder = folder(
        80,
        LOOPBACK,
        "[decisions]\nfile = \"log/decisions.jsonl\"\nsample = 1.0\n",
    );
    let server = folder.serve();
    server.wait_for_log("decision log cannot be written");
    eventually("a decision that is dropped", || {
        server.ask("app.example.com.", RecordType::A, None);
        (metric(&server, "meridian_decisions_dropped_total") > 0).then_some(())
    });
    fs::create_dir(server.folder.path("log")).expect("a folder");
    let path = server.folder.path("log/decisions.jsonl");
    eventually("a decision that is written", || {
        server.ask("app.example.com.", RecordType::A, None);
        (fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0)).then_some(())
    });
    server.wait_for_log("decision log is written again");
    // logrotate moves the file away and sends SIGHUP.
    fs::rename(&path, server.folder.path("log/decisions.1")).expect("moved");
    server.signal("-HUP");
    eventually("a new file", || path.exists().then_some(()));
    let n = server.ask("APP.example.com.", RecordType::A, Some("90.63.7.0/24"));
    let ttl = n.message.answers[0].ttl;
    server.ask("www.example.com.", RecordType::A, None);
    server.ask("app.example.com.", RecordType::AAAA, Some(JAPAN));
    server.ask("mx.example.com.", RecordType::A, Some(JAPAN));
    let mut lines = lines(&path, "AAAA");
    // Of those before that were yet to be written.
    lines.retain(|line| line["client"] != "127.0.0.0/24" || line["name"] != "app.example.com");
    assert_eq!(lines.len(), 3, "static names are none: {lines:?}");
    let fields = |line: &Value, names: &[&str]| {
        names
            .iter()
            .map(|name| line[name].clone())
            .collect::<Vec<_>>()
    };
    let names = [
        "name", "type", "client", "source", "country", "pool", "rank", "why", "rcode", "ttl",
    ];
    assert_eq!(
        Value::Array(fields(&lines[0], &names)),
        serde_json::json!([
            "app.example.com",
            "A",
            "90.63.7.0/24",
            "ecs",
            "FR",
            "eu",
            1,
            "up",
            "NOERROR",
            ttl
        ])
    );
    assert_eq!(lines[0]["scope"], n.scope().expect("a scope"));
    let generation = lines[0]["generation"].as_u64().expect("a number");
    assert!(generation >= 1 && generation <= metric(&server, "meridian_table_generation"));
    assert_eq!(
        lines[1]["client"], "127.0.0.0/24",
        "a resolver's address is cut"
    );
    assert_eq!(
        lines[1]["name"], "www.example.com",
        "the name asked for, not where it leads"
    );
    assert_eq!(
        (&lines[1]["source"], &lines[1]["scope"]),
        (&"resolver".into(), &Value::Null)
    );
    assert_eq!(
        (&lines[2]["pool"], &lines[2]["why"]),
        (&Value::Null, &"no_address".into())
    );
    // Somebody moves it away without a word.
    fs::remove_file(&path).expect("removed");
    eventually("a file again", || {
        server.ask("app.example.com.", RecordType::A, None);
        path.exists().then_some(())
    });
    server.signal("-TERM");
    assert_eq!(server.ended().0, Some(0));
}
