//! The proxy's part of a connection: HTTP CONNECT (RFC 9110 s9.3.6) and SOCKS5 (RFC 1928).
//!
//! Both are written by hand, because hyper-util's connectors do not tell which answer a proxy gave,
//! and that is the point here. "I cannot reach it" is evidence about the endpoint. "I do not serve
//! you", nonsense, or a closed connection is evidence about the proxy alone. Silence after the
//! request to connect counts against the endpoint: the proxy has accepted us and is, as a rule,
//! itself waiting for an endpoint that drops packets.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::probe::Deadline;
use crate::probe::Missed;

/// The longest CONNECT response head that is read.
const MAX_HEAD: usize = 8 * 1024;

/// Asks an HTTP proxy for a tunnel to the endpoint.
pub(super) async fn http_connect(
    stream: &mut TcpStream,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<(), Missed> {
    let request = format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n\r\n");
    let reply = async {
        stream.write_all(request.as_bytes()).await?;
        read_head(stream).await
    };
    let head = deadline
        .within(Phase::Connect, reply)
        .await?
        .map_err(broken)?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        // 502 to 504 are the RFC's; tinyproxy says 500.
        Some(status @ (500 | 502..=504)) => Err(ProbeFailure::ProxyStatus(status).into()),
        Some(status) => Err(fault(format!("refuses to connect with status {status}")).into()),
        None => Err(fault("does not speak HTTP/1".to_owned()).into()),
    }
}

/// Reads up to the empty line. What follows it would be the endpoint's, which in TLS and HTTP
/// speaks only when spoken to.
async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

/// The number in `HTTP/1.x NNN …`.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let number = rest.get(2..5)?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Asks a SOCKS5 proxy, without authentication, for a connection to the endpoint.
pub(super) async fn socks5_connect(
    stream: &mut TcpStream,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<(), Missed> {
    let greeting = async {
        stream.write_all(&[5, 1, 0]).await?;
        let mut method = [0; 2];
        stream.read_exact(&mut method).await?;
        Ok(method)
    };
    match timeout_at(deadline.at, greeting).await {
        Ok(Ok([5, 0])) => {}
        Ok(Ok([5, _])) => return Err(fault("asks for authentication".to_owned()).into()),
        Ok(Ok(_)) => return Err(fault("does not speak SOCKS5".to_owned()).into()),
        Ok(Err(error)) => return Err(broken(error).into()),
        Err(_) => return Err(fault("does not answer".to_owned()).into()),
    }

    let mut request = vec![5, 1, 0];
    match endpoint {
        SocketAddr::V4(v4) => {
            request.push(1);
            request.extend(v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            request.push(4);
            request.extend(v6.ip().octets());
        }
    }
    request.extend(endpoint.port().to_be_bytes());
    let reply = async {
        stream.write_all(&request).await?;
        read_reply(stream).await
    };
    let code = deadline
        .within(Phase::Connect, reply)
        .await?
        .map_err(broken)?;
    match code {
        0 => Ok(()),
        // Network or host unreachable, and the TTL that ran out on the way.
        3 | 4 | 6 => Err(ProbeFailure::Unreachable.into()),
        5 => Err(ProbeFailure::Refused.into()),
        // General failure, not allowed, not supported, unassigned.
        code => Err(fault(format!("refuses to connect with SOCKS5 reply {code}")).into()),
    }
}

/// Reads a SOCKS5 reply (RFC 1928 s6) and returns its code; the address in it is passed over.
async fn read_reply(stream: &mut TcpStream) -> io::Result<u8> {
    let (version, code) = (stream.read_u8().await?, stream.read_u8().await?);
    if version != 5 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if code == 0 {
        let _reserved = stream.read_u8().await?;
        let address_len = match stream.read_u8().await? {
            1 => 4,
            3 => usize::from(stream.read_u8().await?),
            4 => 16,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let mut address_and_port = [0; 255 + 2];
        stream
            .read_exact(&mut address_and_port[..address_len + 2])
            .await?;
    }
    Ok(code)
}

fn fault(what: String) -> VantageFault {
    VantageFault::Proxy(what.into())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function in map_err"
)]
fn broken(error: io::Error) -> VantageFault {
    fault(match error.kind() {
        io::ErrorKind::InvalidData => "gives an answer that is not SOCKS5".to_owned(),
        io::ErrorKind::UnexpectedEof => "closes the connection without an answer".to_owned(),
        kind => format!("breaks off: {kind}"),
    })
}
