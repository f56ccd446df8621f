//! What a server that strangers can reach must bear: afterwards it answers at once, and has grown no
//! more than its limits allow.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::slice;
use std::time::Duration;

use hickory_proto::rr::RecordType;
use socket2::Domain;
use socket2::Socket;
use socket2::Type;

use crate::harness::Folder;
use crate::harness::Server;
use crate::harness::eventually;
use crate::harness::exchange_tcp;
use crate::harness::http;
use crate::harness::query;
use crate::messages::rows;

/// A small generator (xorshift*, Vigna 2016), the same for every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize
    }
}

/// Resident memory in KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let field = line.and_then(|line| line.split_whitespace().next());
    field.and_then(|n| n.parse().ok()).expect("a size")
}

fn n_files(server: &Server) -> usize {
    let files = fs::read_dir(format!("/proc/{}/fd", server.pid()));
    files.expect("its files").count()
}

fn answers(server: &Server) {
    let addresses = || {
        server
            .ask("ns1.example.com.", RecordType::A, None)
            .addresses()
    };
    assert_eq!(addresses().len(), 1);
}

fn metric(server: &Server, name: &str) -> u64 {
    let (_, metrics) = http(server.admin, "GET", "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

fn connect(server: SocketAddr) -> TcpStream {
    TcpStream::connect(server).expect("a connection")
}

#[test]
fn garbage_over_udp_costs_nothing_that_stays() {
    let server = Folder::usual("", "").serve();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server.dns).expect("a route");
    let mut draw = Draw(7);
    let sound: Vec<Vec<u8>> = rows().into_iter().map(|(_, bytes)| bytes).collect();
    let mut buffer = [0; 4096];
    socket.set_nonblocking(true).expect("an option");
    let before = resident(&server);
    for n in 0..30_000 {
        let mut bytes = match n % 3 {
            0 => (0..draw.next() % 200).map(|_| draw.next() as u8).collect(),
            _ => sound[draw.next() % sound.len()].clone(),
        };
        for _ in 0..n % 4 {
            if !bytes.is_empty() {
                let at = draw.next() % bytes.len();
                bytes[at] = draw.next() as u8;
            }
        }
        let _ = socket.send(&bytes);
        while socket.recv(&mut buffer).is_ok() {}
        // No more is sent than the smallest receive buffer holds before the server is known to follow.
        if n % 64 == 0 {
            answers(&server);
        }
    }
    answers(&server);
    let grown = resident(&server).saturating_sub(before);
    assert!(grown < 8 * 1024, "grew by {grown} KiB");
}

#[test]
fn idle_and_slow_clients_keep_to_the_connection_limits() {
    let limits = "max_tcp_connections = 200\nmax_tcp_connections_per_client = 100\n\
         tcp_idle_timeout = \"1s\"\n";
    let server = Folder::usual("", limits).serve();
    let (files, before) = (n_files(&server), resident(&server));
    let mut silent: Vec<TcpStream> = (0..150).map(|_| connect(server.dns)).collect();
    eventually("the client's limit", || {
        let n = metric(
            &server,
            "meridian_dropped_total{reason=\"client_connection_limit\"}",
        );
        (n >= 50).then_some(())
    });
    answers(&server);
    // An octet now and then keeps no connection open for longer.
    let message = query("ns1.example.com.", RecordType::A, None);
    for octet in message.iter().take(20) {
        silent
            .iter_mut()
            .for_each(|stream| _ = stream.write_all(&[*octet]));
    }
    eventually("the idle timeout", || {
        (n_files(&server) <= files + 2).then_some(())
    });
    drop(silent);
    assert_eq!(exchange_tcp(server.dns, &[message]).len(), 1);
    assert!(resident(&server) < before + 16 * 1024);
}

/// From one of the loopback's addresses.
fn connect_from(client: u8, server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let local = SocketAddr::from(([127, 0, 7, client], 0));
    socket.bind(&local.into()).expect("an address");
    socket.connect(&server.into()).expect("a connection");
    socket.into()
}

#[test]
fn idle_connections_of_many_clients_keep_nobody_out() {
    let limits = "max_tcp_connections = 64\nmax_tcp_connections_per_client = 8\n\
         tcp_idle_timeout = \"60s\"\n";
    let server = Folder::usual("", limits).serve();
    let idle: Vec<TcpStream> = (0..64)
        .map(|n| connect_from(1 + n / 8, server.dns))
        .collect();
    let message = query("ns1.example.com.", RecordType::A, None);
    for n in 1..=3 {
        assert_eq!(exchange_tcp(server.dns, slice::from_ref(&message)).len(), 1);
        // Each has closed one of the idle ones, or taken the place that the one before has left.
        let dropped = metric(
            &server,
            "meridian_dropped_total{reason=\"connection_limit\"}",
        );
        assert!((1..=n).contains(&dropped), "{dropped}");
    }
    drop(idle);
}

#[test]
fn who_pipelines_without_reading_is_stopped_and_cut_off() {
    let server = Folder::usual("", "tcp_idle_timeout = \"1s\"\n").serve();
    let (files, before) = (n_files(&server), resident(&server));
    let message = query("ns1.example.com.", RecordType::A, None);
    let frame = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
    let frames = frame.repeat(1000);
    let greedy: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = connect(server.dns);
            let patience = Some(Duration::from_millis(100));
            stream.set_write_timeout(patience).expect("an option");
            // As much as the buffers on the way take.
            while stream.write_all(&frames).is_ok() {}
            stream
        })
        .collect();
    answers(&server);
    assert_eq!(exchange_tcp(server.dns, &[message]).len(), 1);
    assert!(resident(&server) < before + 16 * 1024);
    eventually("the end of the greedy", || {
        (n_files(&server) <= files + 2).then_some(())
    });
    drop(greedy);
}
