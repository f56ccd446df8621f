//! The listeners over loopback, with an echo in the place of the engine.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tokio::runtime;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::base::transport::Transport;
use crate::engine::Arrival;
use crate::live::meters::Meters;
use crate::querylog::Recorders;
use crate::state::counters::Counters;
use crate::state::counters::Dropped;
use crate::state::fixture::empty_snapshot;
use crate::state::publish::Publisher;
use crate::transport::Bound;
use crate::transport::Serving;
use crate::transport::Settings;
use crate::transport::TcpLimits;
use crate::transport::TransportError;
use crate::transport::Updates;
use crate::transport::bind;
use crate::transport::bind::ListenAddress;
use crate::transport::bind::is_absent;
use crate::transport::n_shards;
use crate::transport::responder::BatchResponder;
use crate::transport::responder::Responder;

/// Answers with the message itself; silent when it begins with `!`.
pub(super) struct Echo;

impl Responder for Echo {
    fn batch(&mut self) -> impl BatchResponder {
        |_: Arrival, message: &[u8], out: &mut [u8]| {
            if message.first() == Some(&b'!') {
                return 0;
            }
            out[..message.len()].copy_from_slice(message);
            message.len()
        }
    }
}

pub(super) const LIMITS: TcpLimits = TcpLimits {
    idle_timeout: Duration::from_secs(10),
    max_connections: 100,
    max_connections_per_client: 100,
};

/// A server of echoes, with its runtime.
struct Server {
    addresses: Vec<SocketAddr>,
    counters: Arc<Counters>,
    serving: Serving,
    runtime: Runtime,
}

impl Server {
    fn start(listen: &str) -> Self {
        Self::serve(open(listen), LIMITS)
    }

    fn serve(bound: Bound, limits: TcpLimits) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let addresses = bound.addresses();
        let counters = Arc::new(Counters::new(bound.n_udp_threads() + 1));
        let serving = bound
            .serve_with(|_| Echo, || Echo, &counters, limits, runtime.handle())
            .unwrap();
        Self {
            addresses,
            counters,
            serving,
            runtime,
        }
    }

    fn stop(self) {
        self.runtime.block_on(self.serving.stop(PATIENCE));
    }
}

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(listen: &str) -> Bound {
    bind(&[listen.parse().unwrap()], 2).unwrap()
}

fn udp_client(local: &str, server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(local).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket
}

fn tcp_client(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// From an address of our own choice.
fn tcp_client_from(local: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::new(Ipv4Addr::from(local).into(), 0).into())
        .unwrap();
    socket.connect(&server.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Answers with the number of its thread.
struct Teller(usize);

impl Responder for Teller {
    fn batch(&mut self) -> impl BatchResponder {
        |_: Arrival, _: &[u8], out: &mut [u8]| {
            out[0] = self.0 as u8;
            1
        }
    }
}

/// As long as a header at least, and different for each number.
fn message(n: usize) -> Vec<u8> {
    format!("query number {n}").into_bytes()
}

pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap();
    [&len.to_be_bytes()[..], message].concat()
}

fn framed_messages(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| framed(&message(i))).collect()
}

fn is_echoing(stream: &mut TcpStream) -> bool {
    let query = framed(&message(1));
    let mut reply = vec![0; query.len()];
    stream.write_all(&query).is_ok() && stream.read_exact(&mut reply).is_ok() && reply == query
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn every_datagram_of_a_burst_is_answered() {
    for (listen, local) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:0", "[::1]:0")] {
        let server = Server::start(listen);
        let clients: Vec<_> = (0..8)
            .map(|_| udp_client(local, server.addresses[0]))
            .collect();
        for (c, client) in clients.iter().enumerate() {
            for n in 0..60 {
                client.send(&message(c * 1000 + n)).unwrap();
            }
        }
        for (c, client) in clients.iter().enumerate() {
            for n in 0..60 {
                let mut reply = [0; 100];
                let len = client.recv(&mut reply).unwrap();
                assert_eq!(reply[..len], message(c * 1000 + n));
            }
        }
        server.stop();
    }
}

#[test]
fn clients_are_spread_over_the_threads() {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let listen = ["127.0.0.1:0", "[::1]:0"].map(|a| a.parse().unwrap());
    let bound = bind(&listen, 2).unwrap();
    let addresses = bound.addresses();
    let counters = Arc::new(Counters::new(bound.n_udp_threads() + 1));
    let serving = bound
        .serve_with(Teller, || Echo, &counters, LIMITS, runtime.handle())
        .unwrap();
    let mut n_answers = [0; 4];
    for (client, server) in ["127.0.0.1:0", "[::1]:0"].into_iter().zip(addresses) {
        // The kernel chooses by a hash of the client's port: all 50 on one of two is out of the question.
        for _ in 0..50 {
            let client = udp_client(client, server);
            client.send(b"who is there").unwrap();
            let mut reply = [0; 2];
            assert_eq!(client.recv(&mut reply).unwrap(), 1);
            n_answers[usize::from(reply[0])] += 1;
        }
    }
    assert!(n_answers.iter().all(|n| *n > 0), "{n_answers:?}");
    runtime.block_on(serving.stop(PATIENCE));
}

#[test]
fn datagrams_of_any_length_are_answered_up_to_the_room() {
    let server = Server::start("127.0.0.1:0");
    let client = udp_client("127.0.0.1:0", server.addresses[0]);
    let mut reply = [0; 9000];
    for (len, expected) in [(1, 1), (512, 512), (4096, 4096), (4097, 4096), (9000, 4096)] {
        client.send(&vec![7; len]).unwrap();
        assert_eq!(client.recv(&mut reply).unwrap(), expected, "of {len}");
        assert_eq!(reply[..expected], vec![7; expected]);
    }
    server.stop();
}

#[test]
fn wildcard_listeners_answer_from_the_address_asked() {
    for (listen, local, asked) in [
        ("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2"),
        ("0.0.0.0:0", "127.0.0.9:0", "127.0.0.5"),
        ("[::]:0", "[::1]:0", "::1"),
    ] {
        let server = Server::start(listen);
        let asked = SocketAddr::new(asked.parse().unwrap(), server.addresses[0].port());
        // Not connected, so that a reply from elsewhere would arrive, too.
        let client = UdpSocket::bind(local).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for n in 0..3 {
            client.send_to(&message(n), asked).unwrap();
            let mut reply = [0; 100];
            let (len, from) = client.recv_from(&mut reply).unwrap();
            assert_eq!((&reply[..len], from), (&message(n)[..], asked));
        }
        server.stop();
    }
}

#[test]
fn both_families_listen_side_by_side_on_one_port() {
    // The port that is free in one family may be taken in the other, but hardly ten times.
    let both = (0..10).find_map(|_| {
        let four = open("0.0.0.0:0");
        let six = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), four.addresses()[0].port());
        bind(&[six], 1).ok().map(|six| (four, six))
    });
    let (four, six) = both.unwrap();
    assert_eq!(four.addresses()[0].port(), six.addresses()[0].port());
    assert_eq!(four.n_udp_threads(), 2);
    assert_eq!(n_shards(1, 2, &[]), 3);
}

#[test]
fn silence_sends_nothing() {
    let server = Server::start("127.0.0.1:0");
    let client = udp_client("127.0.0.1:0", server.addresses[0]);
    let mut stream = tcp_client(server.addresses[0]);
    let mut reply = [0; 100];
    for quiet in ["!", "! not a word of this"] {
        client.send(quiet.as_bytes()).unwrap();
        client.send(b"aloud").unwrap();
        assert_eq!(client.recv(&mut reply).unwrap(), 5);
    }
    stream.write_all(&framed(b"! not a word of this")).unwrap();
    assert!(is_echoing(&mut stream));
    server.stop();
}

#[test]
fn a_busy_udp_port_is_refused_with_what_to_do() {
    for shares in [false, true] {
        let holder = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        holder.set_reuse_port(shares).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        holder.bind(&any.into()).unwrap();
        let held = holder.local_addr().unwrap().as_socket().unwrap();
        let port = held.port();
        assert_eq!(
            bind(&[held], 2).unwrap_err().to_string(),
            format!(
                "cannot listen on udp {held}: address in use; stop the other server \
                 (`ss -lunp sport = :{port}`) or change [server] listen"
            )
        );
    }
}

#[test]
fn a_busy_tcp_port_is_refused_with_what_to_do() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap();
    let port = held.port();
    assert_eq!(
        bind(&[held], 2).unwrap_err().to_string(),
        format!(
            "cannot listen on tcp {held}: address in use; stop the other server \
             (`ss -ltnp sport = :{port}`) or change [server] listen"
        )
    );
}

#[test]
fn other_faults_say_what_to_do() {
    let foreign = bind(&["192.0.2.1:0".parse().unwrap()], 1).unwrap_err();
    assert_eq!(
        foreign.to_string(),
        "cannot listen on udp 192.0.2.1:0: no interface has this address; \
         add it to one (`ip address`) or change [server] listen"
    );
    let port = open("127.0.0.1:0").addresses()[0].port();
    let twice = ["0.0.0.0", "127.0.0.1"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    assert_eq!(
        bind(&twice, 1).unwrap_err().to_string(),
        format!(
            "cannot listen on 127.0.0.1:{port}: 0.0.0.0:{port} of [server] listen covers it; \
             remove one"
        )
    );
    let starved = TransportError::Listen {
        transport: Transport::Udp,
        address: ([192, 0, 2, 1], 53).into(),
        cause: io::Error::from_raw_os_error(libc::EMFILE),
    };
    let advice = starved.to_string();
    assert!(advice.contains("`ulimit -n`") && advice.ends_with("or lower [server] workers"));
}

#[test]
fn addresses_that_the_machine_lacks_are_left_for_later() {
    let open = |listen: &[&str]| {
        let listen: Vec<SocketAddr> = listen.iter().map(|a| a.parse().unwrap()).collect();
        bind(&listen, 2)
    };
    let bound = open(&["240.0.0.1:53", "127.0.0.1:0", "[2001:db8::1]:53"]).unwrap();
    let absent: Vec<_> = bound.absent.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(absent, ["240.0.0.1:53", "[2001:db8::1]:53"]);
    assert_eq!((bound.addresses().len(), bound.n_udp_threads()), (1, 6));
    assert_eq!(n_shards(3, 2, &[]), 7);
    assert_eq!(bound.listeners[0].first_shard, 2);
    let none = open(&["240.0.0.1:53", "240.0.0.2:53"])
        .unwrap_err()
        .to_string();
    assert!(none.starts_with("cannot listen on udp 240.0.0.1:53: no interface"));
    let twice = open(&["240.0.0.1:53", "127.0.0.1:0", "240.0.0.1:53"]).unwrap_err();
    assert!(matches!(twice, TransportError::Overlap { .. }), "{twice}");
    for (errno, expected) in [
        (libc::EADDRNOTAVAIL, true),
        (libc::ENODEV, true),
        (libc::EAFNOSUPPORT, true),
        (libc::EADDRINUSE, false),
        (libc::EACCES, false),
        (libc::EMFILE, false),
    ] {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(is_absent(&error), expected, "{error}");
    }
}

#[test]
fn an_address_that_appears_is_listened_on() {
    let mut bound = open("127.0.0.1:0");
    // The same port of another address: hardly ever taken.
    let late = SocketAddr::new([127, 0, 0, 2].into(), bound.addresses()[0].port());
    bound.absent.push(ListenAddress {
        address: late,
        workers: 2,
        first_shard: 2,
    });
    let server = Server::serve(bound, LIMITS);
    let client = udp_client("127.0.0.1:0", late);
    let start = Instant::now();
    let mut reply = [0; 9];
    // Refused until somebody listens.
    while client.send(b"hello").is_err() || client.recv(&mut reply).is_err() {
        assert!(start.elapsed() < PATIENCE, "nobody listens");
        thread::yield_now();
    }
    assert!(is_echoing(&mut tcp_client(late)));
    server.stop();
    assert!(TcpStream::connect(late).is_err());
}

#[test]
fn pipelined_queries_are_answered_in_order() {
    let server = Server::start("127.0.0.1:0");
    let mut stream = tcp_client(server.addresses[0]);
    let queries = framed_messages(1000);
    stream.write_all(&queries).unwrap();
    let mut replies = vec![0; queries.len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(replies, queries);
    server.stop();
}

#[test]
fn the_longest_messages_pass_over_tcp() {
    let server = Server::start("127.0.0.1:0");
    let mut stream = tcp_client(server.addresses[0]);
    let query = framed(&vec![7; usize::from(u16::MAX)]);
    let mut writer = stream.try_clone().unwrap();
    let queries = query.repeat(20);
    let copy = queries.clone();
    let writing = thread::spawn(move || writer.write_all(&copy).unwrap());
    let mut replies = vec![0; queries.len()];
    stream.read_exact(&mut replies).unwrap();
    writing.join().unwrap();
    assert_eq!(replies, queries);
    server.stop();
}

#[test]
fn queries_that_come_octet_by_octet_are_answered() {
    let server = Server::start("[::1]:0");
    let mut stream = tcp_client(server.addresses[0]);
    stream.set_nodelay(true).unwrap();
    let queries = framed_messages(3);
    for octet in &queries {
        stream.write_all(&[*octet]).unwrap();
    }
    let mut replies = vec![0; queries.len()];
    stream.read_exact(&mut replies).unwrap();
    assert_eq!(replies, queries);
    server.stop();
}

#[test]
fn a_client_that_has_closed_its_side_gets_all_answers() {
    let server = Server::start("127.0.0.1:0");
    let mut stream = tcp_client(server.addresses[0]);
    let queries = framed_messages(300);
    stream.write_all(&queries).unwrap();
    stream.write_all(&[0, 50, 1, 2]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).unwrap();
    assert_eq!(replies, queries);
    server.stop();
}

#[test]
fn a_length_below_a_header_ends_the_connection() {
    let server = Server::start("127.0.0.1:0");
    for (n, len) in [0_u8, 1, 11].into_iter().enumerate() {
        let mut stream = tcp_client(server.addresses[0]);
        assert!(is_echoing(&mut stream));
        stream.write_all(&[0, len]).unwrap();
        assert!(is_closed(&mut stream), "length {len}");
        assert_eq!(server.counters.dropped(Dropped::Short), n as u64 + 1);
    }
    server.stop();
}

#[test]
fn connections_are_limited_in_all_and_per_client() {
    let limits = TcpLimits {
        max_connections: 3,
        max_connections_per_client: 2,
        ..LIMITS
    };
    let server = Server::serve(open("127.0.0.1:0"), limits);
    let address = server.addresses[0];
    let connect = |from| tcp_client_from([127, 0, 0, from], address);
    let mut first = connect(1);
    let mut second = connect(1);
    assert!(is_echoing(&mut first) && is_echoing(&mut second));
    assert!(is_closed(&mut connect(1)));
    let mut third = connect(2);
    assert!(is_echoing(&mut third));
    // The first has been idle for longest.
    let mut fourth = connect(3);
    assert!(is_echoing(&mut fourth));
    assert!(is_closed(&mut first));
    assert!([second, third, fourth].iter_mut().all(is_echoing));
    let dropped = |reason| server.counters.dropped(reason);
    assert_eq!(dropped(Dropped::ClientConnectionLimit), 1);
    assert_eq!(dropped(Dropped::ConnectionLimit), 1);
    server.stop();
}

#[test]
fn stopping_answers_the_datagrams_that_were_received() {
    let bound = open("127.0.0.1:0");
    let clients: Vec<_> = (0..4)
        .map(|_| udp_client("127.0.0.1:0", bound.addresses()[0]))
        .collect();
    for client in &clients {
        for n in 0..100 {
            client.send(&message(n)).unwrap();
        }
    }
    Server::serve(bound, LIMITS).stop();
    for client in &clients {
        client.set_nonblocking(true).unwrap();
        for n in 0..100 {
            let mut reply = [0; 100];
            let len = client.recv(&mut reply).unwrap();
            assert_eq!(reply[..len], message(n));
        }
    }
}

#[test]
fn stopping_answers_the_streams_that_were_received() {
    let bound = open("127.0.0.1:0");
    let address = bound.addresses()[0];
    let queries = framed_messages(1000);
    let mut early = tcp_client(address);
    early.write_all(&queries).unwrap();
    let server = Server::serve(bound, LIMITS);
    let mut idle = tcp_client(address);
    assert!(is_echoing(&mut idle));
    server.stop();
    let mut replies = Vec::new();
    early.read_to_end(&mut replies).unwrap();
    assert_eq!(replies, queries);
    assert!(is_closed(&mut idle));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn stopping_ends_while_queries_keep_coming() {
    let server = Server::start("127.0.0.1:0");
    let address = server.addresses[0];
    let pump = |mut send: Box<dyn FnMut() -> bool + Send>| {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let pumping = thread::spawn(move || while !over.load(Relaxed) && send() {});
        (is_over, pumping)
    };
    let client = udp_client("127.0.0.1:0", address);
    let mut stream = tcp_client(address);
    assert!(is_echoing(&mut stream));
    let pumps = [
        // Refused once the server is gone, which is no reason to stop.
        pump(Box::new(move || {
            let _ = client.send(b"more");
            true
        })),
        pump(Box::new(move || is_echoing(&mut stream))),
    ];
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < PATIENCE / 2);
    for (is_over, pumping) in pumps {
        is_over.store(true, Relaxed);
        pumping.join().unwrap();
    }
}

#[test]
fn dropping_stops_too() {
    let server = Server::start("127.0.0.1:0");
    let mut stream = tcp_client(server.addresses[0]);
    assert!(is_echoing(&mut stream));
    drop(server.serving);
    assert!(is_closed(&mut stream));
}

#[test]
fn the_engine_is_asked_over_both_transports() {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let bound = open("127.0.0.1:0");
    let address = bound.addresses()[0];
    let counters = Arc::new(Counters::new(bound.n_udp_threads() + 1));
    let publisher = Publisher::new(empty_snapshot());
    let serving = bound
        .serve(
            &publisher.reader(),
            &counters,
            Settings {
                limiter: None,
                limits: LIMITS,
                updates: Updates::new(
                    mpsc::channel(1).0,
                    runtime.handle().clone(),
                    Arc::clone(&counters),
                    Meters::new().updates,
                ),
                recorders: Recorders::default(),
            },
            runtime.handle(),
        )
        .unwrap();
    // A root query for NS; the snapshot has no zone, whatever is said about that.
    let query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
    let client = udp_client("127.0.0.1:0", address);
    client.send(query).unwrap();
    let mut stream = tcp_client(address);
    stream.write_all(&framed(query)).unwrap();
    runtime.block_on(serving.stop(PATIENCE));
    assert_eq!(counters.queries(Transport::Udp), 1);
    assert_eq!(counters.queries(Transport::Tcp), 1);
}
