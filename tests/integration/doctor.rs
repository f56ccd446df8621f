//! `meridian doctor` on a server behind something that breaks its messages, as middleboxes and old servers do.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::thread;

use serde_json::Value;

use crate::harness::FRANCE;
use crate::harness::Folder;
use crate::harness::JAPAN;
use crate::harness::read_framed;
use crate::harness::still_world;

/// What is done to a query, `None`: it is dropped, and to the response.
type Change = (fn(&[u8]) -> Option<Vec<u8>>, fn(&mut Vec<u8>));

fn as_it_is(query: &[u8]) -> Option<Vec<u8>> {
    Some(query.to_vec())
}

fn leave(_: &mut Vec<u8>) {}

/// Where the OPT of a query starts: behind its question.
fn opt_of(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

fn has_opt(query: &[u8]) -> bool {
    query[11] == 1
}

/// The code of the only option of a query's OPT.
fn option(query: &[u8]) -> Option<u16> {
    let options = query.get(opt_of(query) + 11..)?;
    Some(u16::from_be_bytes(*options.first_chunk()?))
}

/// The same without its options.
fn without_options(query: &[u8]) -> Vec<u8> {
    let mut query = query.to_vec();
    query.truncate(opt_of(&query) + 9);
    query.extend([0, 0]);
    query
}

/// Passes on what comes by UDP and TCP, changed; for as long as the test runs.
fn pass_on(server: SocketAddr, (query, response): Change) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = udp.local_addr().expect("an address");
        if let Ok(tcp) = TcpListener::bind(address) {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().expect("an address");
    thread::spawn(move || {
        let behind = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        behind.connect(server).expect("a route");
        let mut buffer = [0; 65_535];
        while let Ok((len, client)) = udp.recv_from(&mut buffer) {
            let Some(query) = query(&buffer[..len]) else {
                continue;
            };
            behind.send(&query).expect("sent");
            let len = behind.recv(&mut buffer).expect("a response");
            let mut message = buffer[..len].to_vec();
            response(&mut message);
            udp.send_to(&message, client).expect("sent");
        }
    });
    thread::spawn(move || {
        for client in tcp.incoming() {
            let mut client = client.expect("a connection");
            let mut behind = TcpStream::connect(server).expect("a connection");
            let mut asked = vec![0; 2];
            if client.read_exact(&mut asked).is_err() {
                continue;
            }
            asked.resize(2 + usize::from(u16::from_be_bytes([asked[0], asked[1]])), 0);
            client.read_exact(&mut asked[2..]).expect("a query");
            behind.write_all(&asked).expect("written");
            let message = read_framed(&mut behind);
            let len = (message.len() as u16).to_be_bytes();
            let _ = client.write_all(&[&len[..], &message].concat());
        }
    });
    address
}

/// The kinds of what is found, besides what is fine.
fn found(folder: &Folder, servers: &[SocketAddr]) -> Vec<String> {
    let mut arguments = vec![
        "doctor".to_owned(),
        "app.example.com".into(),
        "--json".into(),
    ];
    for (flag, values) in [
        (
            "--server",
            servers.iter().map(ToString::to_string).collect(),
        ),
        ("--subnet", vec![FRANCE.to_owned(), JAPAN.to_owned()]),
    ] {
        arguments.extend(
            values
                .into_iter()
                .flat_map(|value| [flag.to_owned(), value]),
        );
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = folder.meridian(&arguments);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = document["findings"].as_array().expect("findings");
    let kinds = findings
        .iter()
        .filter_map(|finding| finding["kind"].as_str());
    kinds.map(str::to_owned).collect()
}

/// What is broken, and what must be found.
const ROWS: &[(&str, Change, &[&str])] = &[
    ("nothing", (as_it_is, leave), &[]),
    (
        "queries with an OPT dropped",
        (|query| (!has_opt(query)).then(|| query.to_vec()), leave),
        &["no_edns"],
    ),
    (
        "queries without an OPT dropped",
        (|query| has_opt(query).then(|| query.to_vec()), leave),
        &["plain_dns"],
    ),
    (
        "queries with an unknown option dropped",
        (
            |query| (option(query) != Some(65_281)).then(|| query.to_vec()),
            leave,
        ),
        &["edns_option"],
    ),
    (
        "queries with a client subnet dropped",
        (
            |query| (option(query) != Some(8)).then(|| query.to_vec()),
            leave,
        ),
        &["ecs_silent"],
    ),
    (
        "client subnets stripped",
        (
            |query| match option(query) {
                Some(8) => Some(without_options(query)),
                _ => as_it_is(query),
            },
            leave,
        ),
        &["ecs_missing"],
    ),
    (
        "cookies stripped",
        (
            |query| match option(query) {
                Some(10) => Some(without_options(query)),
                _ => as_it_is(query),
            },
            leave,
        ),
        &["no_cookies"],
    ),
    (
        "scope 0 for everybody",
        (as_it_is, |response| {
            let subnet = [0, 8, 0, 7, 0, 1, 24];
            let at = response.windows(7).position(|found| found == subnet);
            if let Some(at) = at {
                response[at + 7] = 0;
            }
        }),
        &["ecs_scope"],
    ),
    (
        "names in lower case",
        (as_it_is, |response| {
            let end = opt_of(response) - 4;
            response[12..end].make_ascii_lowercase();
        }),
        &["case_changed"],
    ),
    (
        "version 100 taken for 0",
        (
            |query| {
                let mut query = query.to_vec();
                let at = opt_of(&query) + 6;
                if let Some(version) = query.get_mut(at) {
                    *version = 0;
                }
                Some(query)
            },
            leave,
        ),
        &["edns_version"],
    ),
];

#[test]
fn doctor_finds_what_breaks_messages() {
    let server = Folder::usual(&still_world(77), "").serve();
    let folder = Folder::new();
    thread::scope(|scope| {
        for (row, change, expected) in ROWS {
            let (server, folder) = (&server, &folder);
            scope.spawn(move || {
                let broken = pass_on(server.dns, *change);
                let mut kinds = found(folder, &[server.dns, broken]);
                // The one finding that is no matter of messages.
                kinds.retain(|kind| kind != "not_compared");
                assert_eq!(kinds, *expected, "{row}");
            });
        }
    });
}
