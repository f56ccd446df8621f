//! Asking one server one question, over UDP or TCP, with bounded patience.
//!
//! Whoever stays silent is asked again before that counts: a lost packet says nothing of a server.

use std::fmt;
use std::io;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::doctor::message::Question;
use crate::doctor::message::Reply;
use crate::live::random;

/// How long each datagram waits for its response.
const UDP_WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(3),
];

/// How long each connection may take, from its first packet to the whole response. The kernel repeats a lost SYN after
/// one second and three.
const TCP_WAITS: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(4)];

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// This machine has no route to the address.
    NoRoute,
    /// Nothing came, however often it was asked.
    Silent,
    /// Something else, in words.
    Other(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".into(),
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                "connection closed without an answer".into()
            }
            ErrorKind::HostUnreachable => "host unreachable".into(),
            ErrorKind::NetworkUnreachable => "network unreachable".into(),
            _ => error.to_string(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "no route from this machine",
            Self::Silent => "no answer",
            Self::Other(text) => text,
        })
    }
}

/// What became of a question.
pub type Asked = Result<Reply, Failure>;

/// Asks over UDP.
pub async fn udp(server: SocketAddr, question: &Question) -> Asked {
    patiently(&UDP_WAITS, || over_udp(server, question)).await
}

/// Asks over TCP.
pub async fn tcp(server: SocketAddr, question: &Question) -> Asked {
    patiently(&TCP_WAITS, || over_tcp(server, question)).await
}

async fn patiently<F: Future<Output = Asked>>(waits: &[Duration], ask: impl Fn() -> F) -> Asked {
    let mut last = Failure::Silent;
    for wait in waits {
        last = match timeout(*wait, ask()).await {
            Ok(Err(failure)) if failure != Failure::NoRoute => failure,
            Ok(asked) => return asked,
            Err(_) => Failure::Silent,
        };
    }
    Err(last)
}

/// Asks as a resolver does: over UDP, and over TCP if the answer is truncated.
pub async fn either(server: SocketAddr, question: &Question) -> Asked {
    match udp(server, question).await {
        Ok(reply) if reply.is_truncated => tcp(server, question).await.or(Ok(reply)),
        asked => asked,
    }
}

async fn over_udp(server: SocketAddr, question: &Question) -> Asked {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let routed = match UdpSocket::bind(local).await {
        // From here on the kernel takes nothing from anybody else. No packet leaves by this: what fails is the route.
        Ok(socket) => socket.connect(server).await.map(|()| socket),
        Err(error) => Err(error),
    };
    let Ok(socket) = routed else {
        return Err(Failure::NoRoute);
    };
    let query = question.to_wire(u16::from_be_bytes(random::octets()));
    socket.send(&query).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if let Some(reply) = Reply::read(&buffer[..len], &query) {
            return Ok(reply);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Question) -> Asked {
    let mut stream = TcpStream::connect(server).await?;
    let query = question.to_wire(u16::from_be_bytes(random::octets()));
    let len = (query.len() as u16).to_be_bytes();
    stream.write_all(&[&len[..], &query].concat()).await?;
    let len = stream.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Reply::read(&message, &query).ok_or_else(|| Failure::Other("the answer cannot be read".into()))
}
