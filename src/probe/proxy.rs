//! The proxy's part of a connection: HTTP CONNECT (RFC 9110 s9.3.6) and SOCKS5 (RFC 1928).
//!
//! Both are written by hand, because hyper-util's connectors do not report which reply a proxy gave,
//! and that decides whose failure it is; docs/health.md has the table. Up to the greeting everything
//! is the proxy's. After it, "I cannot reach it" is evidence about the endpoint, in whatever way the
//! proxy says so: OpenSSH closes the connection. "I do not serve you", and what is no complete reply,
//! is evidence about the proxy alone. Silence counts against the endpoint: the proxy has accepted
//! us and is, as a rule, itself waiting for an endpoint that drops packets.
//!
//! A proxy without IPv6 gives the same replies for every IPv6 endpoint as for a dead one. What could
//! mean that is no evidence until the proxy has opened a connection in the family.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::base::per_family::PerFamily;
use crate::base::prefix::Family;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::ProxyReply;
use crate::health::failure::VantageFault;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;

/// The longest CONNECT response that is read, interim responses included.
const MAX_HEAD: usize = 8 * 1024;

/// The families in which a proxy has opened a connection.
pub(super) type Opened = PerFamily<AtomicBool>;

/// What a proxy's reply means.
#[derive(Debug, PartialEq)]
enum Reply {
    /// The connection to the endpoint is open.
    Open,
    /// The endpoint cannot be reached.
    Failed(ProbeFailure),
    /// The proxy's network has no way there: to the endpoint, or to anything of its family.
    NoNetwork(ProbeFailure),
    /// It did not work; a proxy without IPv6 says the same of every IPv6 endpoint.
    Vague(ProbeFailure),
    /// The proxy does not serve us.
    Fault(Box<str>),
}

impl Reply {
    /// Whose failure it is.
    fn judge(self, family: Family, opened: &Opened) -> Result<(), Missed> {
        let has_opened = opened[family].load(Relaxed);
        let unproven = |failure: ProbeFailure| {
            let what = format!("has not opened any {family} connection yet: {failure}");
            Err(fault(what).into())
        };
        match self {
            Self::Open => {
                opened[family].store(true, Relaxed);
                Ok(())
            }
            Self::NoNetwork(failure) if !has_opened => unproven(failure),
            Self::Vague(failure) if !has_opened && family == Family::V6 => unproven(failure),
            Self::Failed(failure) | Self::NoNetwork(failure) | Self::Vague(failure) => {
                Err(failure.into())
            }
            Self::Fault(what) => Err(VantageFault::Proxy(what).into()),
        }
    }
}

/// Asks an HTTP proxy for a tunnel to the endpoint.
pub(super) async fn http_connect(
    stream: &mut TcpStream,
    endpoint: SocketAddr,
    opened: &Opened,
    deadline: Deadline,
) -> Result<(), Missed> {
    let request = format!("CONNECT {endpoint} HTTP/1.1\r\nHost: {endpoint}\r\n\r\n");
    let first = first_octet(stream, request.as_bytes(), deadline).await?;
    // RFC 9110 has a status for each way to fail: who says nothing has failed itself.
    let first = first.ok_or_else(|| fault("closes the connection without an answer"))?;
    let response = timeout_at(deadline.at, read_status(stream, first));
    let status = response
        .await
        .map_err(|_| fault("does not end its answer"))??;
    connect_status(status).judge(Family::of(endpoint.ip()), opened)
}

/// What the final status of a CONNECT means.
fn connect_status(status: u16) -> Reply {
    let failure = ProbeFailure::Proxied(ProxyReply::Status(status));
    match status {
        200..=299 => Reply::Open,
        // Bad gateway; Squid and Envoy answer a refused connection with 503, tinyproxy with 500.
        500 | 502 | 503 => Reply::Vague(failure),
        // The proxy has waited for the endpoint in vain.
        504 => Reply::Failed(failure),
        status => Reply::Fault(format!("refuses to connect with status {status}").into()),
    }
}

/// Reads up to the empty line of the final response (RFC 9110 s15.2: there may be interim ones before
/// it) and returns its status. What follows the head would be the endpoint's, which in TLS and HTTP
/// speaks only when spoken to.
async fn read_status(stream: &mut TcpStream, first: u8) -> Result<u16, VantageFault> {
    let mut response = vec![first];
    let mut start = 0;
    loop {
        let head = &response[start..];
        if !is_http(head) {
            return Err(fault("does not speak HTTP/1"));
        }
        if let Some(len) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            match status(head) {
                Some(100..=199) => start += len + 4,
                Some(status) => return Ok(status),
                None => return Err(fault("does not speak HTTP/1")),
            }
            continue;
        }
        if response.len() >= MAX_HEAD {
            return Err(fault("does not end its answer"));
        }
        match stream.read_buf(&mut response).await {
            Ok(0) => return Err(fault("closes the connection in the middle of its answer")),
            Ok(_) => {}
            Err(error) => return Err(fault(format!("breaks off: {}", error.kind()))),
        }
    }
}

/// Whether a response that may not be here in full can still become one of HTTP/1.
fn is_http(head: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    let len = head.len().min(VERSION.len());
    head[..len] == VERSION[..len]
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
    opened: &Opened,
    deadline: Deadline,
) -> Result<(), Missed> {
    let greeting = async {
        stream.write_all(&[5, 1, 0]).await?;
        let mut method = [0; 2];
        stream.read_exact(&mut method).await?;
        Ok::<_, io::Error>(method)
    };
    match timeout_at(deadline.at, greeting).await {
        Ok(Ok([5, 0])) => {}
        Ok(Ok([5, _])) => return Err(fault("asks for authentication").into()),
        Ok(Ok(_)) => return Err(fault("does not speak SOCKS5").into()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(fault("closes the connection without an answer").into());
        }
        Ok(Err(error)) => return Err(fault(format!("breaks off: {}", error.kind())).into()),
        Err(_) => return Err(fault("does not answer").into()),
    }
    let first = first_octet(stream, &socks5_request(endpoint), deadline).await?;
    let reply = match first {
        Some(5) => match timeout_at(deadline.at, read_reply(stream)).await {
            Ok(Ok(code)) => socks5_reply(code),
            Ok(Err(_)) | Err(_) => Reply::Fault("gives no complete SOCKS5 reply".into()),
        },
        Some(_) => Reply::Fault("gives a reply that is not SOCKS5".into()),
        None => Reply::Vague(ProbeFailure::Proxied(ProxyReply::Closed)),
    };
    reply.judge(Family::of(endpoint.ip()), opened)
}

/// A request to connect (RFC 1928 s4).
fn socks5_request(endpoint: SocketAddr) -> Vec<u8> {
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
    request
}

/// What the code of a reply means (RFC 1928 s6).
fn socks5_reply(code: u8) -> Reply {
    match code {
        0 => Reply::Open,
        // General failure: what simple servers say of everything.
        1 => Reply::Vague(ProbeFailure::Proxied(ProxyReply::Socks5(code))),
        3 => Reply::NoNetwork(ProbeFailure::Unreachable),
        // Host unreachable, and the TTL that expired on the way.
        4 | 6 => Reply::Failed(ProbeFailure::Unreachable),
        5 => Reply::Failed(ProbeFailure::Refused),
        // Not allowed by its rules, command or address type not supported, unassigned.
        code => Reply::Fault(format!("refuses to connect with SOCKS5 reply {code}").into()),
    }
}

/// Reads a SOCKS5 reply behind its version and returns the code; the address in it is passed over.
async fn read_reply(stream: &mut TcpStream) -> io::Result<u8> {
    let code = stream.read_u8().await?;
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

/// Sends a request to connect and waits for the first octet of the reply; `None` if the proxy closes
/// or resets the connection instead.
async fn first_octet(
    stream: &mut TcpStream,
    request: &[u8],
    deadline: Deadline,
) -> Result<Option<u8>, ProbeFailure> {
    let reply = async {
        stream.write_all(request).await.ok()?;
        stream.read_u8().await.ok()
    };
    deadline.within(Phase::Connect, reply).await
}

fn fault(what: impl Into<Box<str>>) -> VantageFault {
    VantageFault::Proxy(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reply counts as in a family, before and after the proxy opened a connection in it.
    fn counts(reply: impl Fn() -> Reply, family: Family) -> [&'static str; 2] {
        [false, true].map(|has_opened| {
            let opened = Opened::default();
            opened[family].store(has_opened, Relaxed);
            match reply().judge(family, &opened) {
                Ok(()) => "open",
                Err(Missed::Failure(failure)) => failure.label(),
                Err(Missed::NoEvidence(fault)) => fault.label(),
            }
        })
    }

    #[test]
    fn each_socks5_reply_is_the_endpoints_or_the_proxys() {
        let unreachable = ["unreachable"; 2];
        let (open, refused, proxy) = (["open"; 2], ["refused"; 2], ["proxy"; 2]);
        let once_opened = ["proxy", "unreachable"];
        for (code, meaning, v4, v6) in [
            (0, "succeeded", open, open),
            (1, "general failure", unreachable, once_opened),
            (2, "not allowed by ruleset", proxy, proxy),
            (3, "network unreachable", once_opened, once_opened),
            (4, "host unreachable", unreachable, unreachable),
            (5, "connection refused", refused, refused),
            (6, "TTL expired", unreachable, unreachable),
            (7, "command not supported", proxy, proxy),
            (8, "address type not supported", proxy, proxy),
            (9, "unassigned", proxy, proxy),
            (255, "unassigned", proxy, proxy),
        ] {
            let reply = || socks5_reply(code);
            assert_eq!(counts(reply, Family::V4), v4, "{code}, {meaning}, IPv4");
            assert_eq!(counts(reply, Family::V6), v6, "{code}, {meaning}, IPv6");
        }
    }

    #[test]
    fn each_connect_status_is_the_endpoints_or_the_proxys() {
        let unreachable = ["unreachable"; 2];
        let (open, proxy) = (["open"; 2], ["proxy"; 2]);
        let once_opened = ["proxy", "unreachable"];
        for (status, v4, v6) in [
            (200, open, open),
            (204, open, open),
            (301, proxy, proxy),
            (400, proxy, proxy),
            (401, proxy, proxy),
            (403, proxy, proxy),
            (404, proxy, proxy),
            (405, proxy, proxy),
            (407, proxy, proxy),
            (408, proxy, proxy),
            (429, proxy, proxy),
            (500, unreachable, once_opened),
            (501, proxy, proxy),
            (502, unreachable, once_opened),
            (503, unreachable, once_opened),
            (504, unreachable, unreachable),
            (505, proxy, proxy),
            (511, proxy, proxy),
        ] {
            let reply = || connect_status(status);
            assert_eq!(counts(reply, Family::V4), v4, "{status}, IPv4");
            assert_eq!(counts(reply, Family::V6), v6, "{status}, IPv6");
        }
    }
}
