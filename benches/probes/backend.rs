//! The other end of `run`: an HTTP server for checkers, and a bare client as their floor.
//!
//! `probe_backend serve PORT` answers every request on every address of this machine, all of 127.0.0.0/8
//! included, with status 200 and closes the connection. Requests for `/_served` are answered with the
//! number of those served before; after `/_fail` the others get status 503, after `/_recover` 200 again.
//!
//! `probe_backend bare PORT` probes it without pause with blocking sockets and the system calls that a
//! probe cannot do without: `socket`, `connect`, `write`, `read`, `close`.
#![expect(clippy::print_stderr, reason = "a tool that talks to people")]
#![expect(unsafe_code, reason = "socket2 has no TCP_DEFER_ACCEPT")]

use std::env;
use std::ffi::c_int;
use std::io;
use std::io::Read;
use std::io::Write;
use std::mem::size_of;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;

/// Connections that may wait at one listener; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65_535;

/// Listeners, each with a thread and a queue of its own: together they hold more connections than any
/// checker opens at once. A full queue would drop SYNs, and the checker would be blamed for waiting.
const LISTENERS: usize = 8;

/// What the threads share.
#[derive(Default)]
struct Shared {
    n_served: AtomicU64,
    is_failing: AtomicBool,
}

/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections that the bare client has open at once, so that it seldom waits.
const BATCH: usize = 32;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [mode, port] = arguments[..] else {
        return Err(usage());
    };
    let port = port.parse().map_err(|_| usage())?;
    match mode {
        "serve" => serve(port),
        "bare" => bare(port),
        _ => Err(usage()),
    }
}

fn usage() -> io::Error {
    io::Error::other("usage: probe_backend serve|bare PORT")
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    defer_accept(&socket)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Has `accept` return connections whose request has arrived, so that one thread without a poller serves
/// them all.
fn defer_accept(socket: &Socket) -> io::Result<()> {
    let seconds: c_int = 1;
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel reads as many octets as it is
    // given, which are those of `seconds`, and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Answers until it is killed.
fn serve(port: u16) -> io::Result<()> {
    let shared = Shared::default();
    let listeners = (0..LISTENERS).map(|_| listen(port));
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let threads = listeners.iter().map(|listener| {
            let shared = &shared;
            scope.spawn(move || answer(listener, shared))
        });
        let threads: Vec<_> = threads.collect();
        let mut ends = threads.into_iter().map(|thread| thread.join());
        ends.try_for_each(|end| end.expect("no thread panics"))
    })
}

/// Answers one connection after the other.
fn answer(listener: &TcpListener, shared: &Shared) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = [0; 1024];
        // A client that gives up has no answer to get.
        let Ok(path) = request(&mut stream, &mut buffer) else {
            continue;
        };
        let (status, body) = match path {
            b"/_fail" | b"/_recover" => {
                shared.is_failing.store(path == b"/_fail", Relaxed);
                ("200 OK", String::new())
            }
            b"/_served" => ("200 OK", shared.n_served.load(Relaxed).to_string()),
            _ => {
                shared.n_served.fetch_add(1, Relaxed);
                let status = match shared.is_failing.load(Relaxed) {
                    true => "503 Service Unavailable",
                    false => "200 OK",
                };
                (status, "ready".into())
            }
        };
        let length = body.len();
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let _ = stream.write_all(response.as_bytes());
    }
}

/// Reads a request's head; returns its path.
fn request<'a>(stream: &mut TcpStream, buffer: &'a mut [u8; 1024]) -> io::Result<&'a [u8]> {
    let mut len = 0;
    while !buffer[..len].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[len..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => len += n,
        }
    }
    let path = buffer[..len].split(|octet| *octet == b' ').nth(1);
    path.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Probes until it is killed.
fn bare(port: u16) -> io::Result<()> {
    let request =
        format!("GET /ready HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let mut streams = Vec::with_capacity(BATCH);
    let mut endpoints = (0..10_000u32).cycle();
    loop {
        for number in endpoints.by_ref().take(BATCH) {
            let address = Ipv4Addr::from_bits(0x7F01_0000 + number);
            let mut stream = TcpStream::connect((address, port))?;
            stream.write_all(request.as_bytes())?;
            streams.push(stream);
        }
        for mut stream in streams.drain(..) {
            let mut response = [0; 1024];
            let len = stream.read(&mut response)?;
            if !response[..len].starts_with(b"HTTP/1.1 200 ") {
                eprintln!("the backend answers something else than 200");
            }
        }
    }
}
