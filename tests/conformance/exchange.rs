//! Many questions to one server: over UDP with a window and repeats, over TCP in batches on one
//! connection.
//!
//! Ids are given here: the position of the query, so that responses may come in any order.

use std::collections::BTreeMap;
use std::io;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::time::Duration;
use std::time::Instant;

/// Queries that are on their way at once: more than that could overrun a socket's buffer.
const WINDOW: usize = 50;

/// Queries that are written to a connection at once: many, because each batch may have to wait for a
/// delayed acknowledgement.
const BATCH: usize = 500;

/// How long nothing must have come until all that is missing is asked again.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How often a question is asked before the server counts as silent.
const TRIES: usize = 4;

/// How long a server may be silent before what it has not answered is asked again, and then before it
/// counts as silent: on a busy machine it may not have run for a while.
const SILENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];

/// The least that a socket can be told to wait.
const MOMENT: Duration = Duration::from_millis(1);

fn with_id(query: &[u8], at: usize) -> Vec<u8> {
    let mut query = query.to_vec();
    query[..2].copy_from_slice(&id(at).to_be_bytes());
    query
}

fn id(at: usize) -> u16 {
    at as u16
}

/// Asks over UDP; `None` where the server stays silent.
pub fn udp(server: SocketAddr, queries: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(server).expect("a route");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut responses = vec![None; queries.len()];
    let mut waiting: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut next, mut tries) = (0, 1);
    let mut buffer = vec![0; 65_535];
    while next < queries.len() || !waiting.is_empty() {
        while waiting.len() < WINDOW && next < queries.len() {
            send(&socket, &with_id(&queries[next], next));
            waiting.insert(id(next), next);
            next += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                let key = u16::from_be_bytes([buffer[0], buffer[1]]);
                if let Some(at) = waiting.remove(&key) {
                    responses[at] = Some(buffer[..len].to_vec());
                    tries = 1;
                }
            }
            Err(_) if tries < TRIES => {
                tries += 1;
                for at in waiting.values() {
                    send(&socket, &with_id(&queries[*at], *at));
                }
            }
            Err(_) => {
                waiting.clear();
                tries = 1;
            }
        }
    }
    responses
}

/// A datagram that cannot be sent is one that was lost.
fn send(socket: &UdpSocket, query: &[u8]) {
    let _ = socket.send(query);
}

/// Asks over TCP; `None` where the server stays silent or closes.
pub fn tcp(server: SocketAddr, queries: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let mut responses = vec![None; queries.len()];
    let mut missing: Vec<usize> = (0..queries.len()).collect();
    for _ in 0..TRIES {
        let mut stream = None;
        for batch in missing.chunks(BATCH) {
            // A server may close between batches, or after so many queries.
            if tcp_batch(&mut stream, server, queries, batch, &mut responses).is_err() {
                stream = None;
            }
        }
        missing.retain(|at| responses[*at].is_none());
    }
    responses
}

fn tcp_batch(
    stream: &mut Option<TcpStream>,
    server: SocketAddr,
    queries: &[Vec<u8>],
    batch: &[usize],
    responses: &mut [Option<Vec<u8>>],
) -> io::Result<()> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let fresh = TcpStream::connect(server)?;
            fresh.set_nodelay(true)?;
            fresh.set_read_timeout(Some(PATIENCE))?;
            stream.insert(fresh)
        }
    };
    let mut bytes = Vec::new();
    for at in batch {
        bytes.extend(framed(&with_id(&queries[*at], *at)));
    }
    stream.write_all(&bytes)?;
    let mut waiting: BTreeMap<u16, usize> = batch.iter().map(|at| (id(*at), *at)).collect();
    while !waiting.is_empty() {
        let response = read_framed(stream)?;
        let key = response.first_chunk().copied().map(u16::from_be_bytes);
        if let Some(at) = key.and_then(|key| waiting.remove(&key)) {
            responses[at] = Some(response);
        }
    }
    Ok(())
}

/// A message behind its length (RFC 1035 s4.2.2).
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Reads one message from a TCP stream.
pub fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// Sends one datagram, whatever is in it, and waits for one response.
pub fn once(server: SocketAddr, message: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.connect(server).ok()?;
    socket.set_read_timeout(Some(patience)).ok()?;
    send(&socket, message);
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).ok()?;
    buffer.truncate(len);
    Some(buffer)
}

/// Sends each message by itself, from its own port, and waits for all responses together; `None` is
/// silence, also when asked again, or over TCP the end of the connection.
pub fn singly(server: SocketAddr, messages: &[Vec<u8>], over_tcp: bool) -> Vec<Option<Vec<u8>>> {
    let mut responses = vec![None; messages.len()];
    for patience in SILENCE {
        let missing: Vec<usize> = (0..messages.len())
            .filter(|at| responses[*at].is_none())
            .collect();
        let asked: Vec<&[u8]> = missing.iter().map(|at| &messages[*at][..]).collect();
        let found = singly_once(server, &asked, over_tcp, patience);
        for (at, response) in missing.into_iter().zip(found) {
            responses[at] = response;
        }
    }
    responses
}

fn singly_once(
    server: SocketAddr,
    messages: &[&[u8]],
    over_tcp: bool,
    patience: Duration,
) -> Vec<Option<Vec<u8>>> {
    let deadline = Instant::now() + patience;
    let left = || {
        deadline
            .saturating_duration_since(Instant::now())
            .max(MOMENT)
    };
    if over_tcp {
        let streams: Vec<TcpStream> = messages
            .iter()
            .map(|message| {
                let mut stream = TcpStream::connect(server).expect("a connection");
                // A server may close at the first octet that it does not like.
                let _ = stream.write_all(&framed(message));
                stream
            })
            .collect();
        let read = |mut stream: TcpStream| {
            stream.set_read_timeout(Some(left())).ok()?;
            read_framed(&mut stream).ok()
        };
        return streams.into_iter().map(read).collect();
    }
    let sockets: Vec<UdpSocket> = messages
        .iter()
        .map(|message| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.connect(server).expect("a route");
            send(&socket, message);
            socket
        })
        .collect();
    let read = |socket: UdpSocket| {
        socket.set_read_timeout(Some(left())).ok()?;
        let mut buffer = vec![0; 65_535];
        let len = socket.recv(&mut buffer).ok()?;
        buffer.truncate(len);
        Some(buffer)
    };
    sockets.into_iter().map(read).collect()
}
