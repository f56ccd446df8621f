//! From a vantage to a TCP connection with an endpoint, and what the ways to miss it mean.
//!
//! The kernel's word decides: a refusal or an unreachable host is about the endpoint; no free
//! socket, no such source address or no route at all is about this machine, and says nothing.

use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::UdpSocket;

use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::config::model::Egress;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::probe::Deadline;
use crate::probe::Missed;
use crate::probe::proxy;

/// Opens a connection to the endpoint as seen from the vantage.
pub(super) async fn connect(
    egress: &Egress,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<TcpStream, Missed> {
    match egress {
        Egress::Direct => dial(None, endpoint, deadline).await,
        Egress::HttpProxy { host, port } => {
            let mut stream = reach_proxy(host, *port, deadline).await?;
            proxy::http_connect(&mut stream, endpoint, deadline).await?;
            Ok(stream)
        }
        Egress::Socks5Proxy { host, port } => {
            let mut stream = reach_proxy(host, *port, deadline).await?;
            proxy::socks5_connect(&mut stream, endpoint, deadline).await?;
            Ok(stream)
        }
        Egress::Source(source) => dial(Some(*source), endpoint, deadline).await,
    }
}

async fn dial(
    source: Option<IpAddr>,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Result<TcpStream, Missed> {
    let socket = match endpoint {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| local("cannot open a socket", &error))?;
    if let Some(source) = source {
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| local(&format!("cannot send from {source}"), &error))?;
    }
    let connected = deadline.within(Phase::Connect, socket.connect(endpoint));
    let stream = connected
        .await?
        .map_err(|error| missed(&error, source, endpoint, deadline))?;
    // A request is one small write; it must not wait for anything.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// What a failed connect(2) says, and about whom.
fn missed(
    error: &io::Error,
    source: Option<IpAddr>,
    endpoint: SocketAddr,
    deadline: Deadline,
) -> Missed {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeFailure::Refused.into(),
        io::ErrorKind::ConnectionReset => ProbeFailure::Reset(Phase::Connect).into(),
        io::ErrorKind::HostUnreachable => ProbeFailure::Unreachable.into(),
        io::ErrorKind::NetworkUnreachable if has_route(source, endpoint) => {
            ProbeFailure::Unreachable.into()
        }
        io::ErrorKind::TimedOut => ProbeFailure::Timeout {
            after: deadline.timeout,
            phase: Phase::Connect,
        }
        .into(),
        _ => local("cannot connect", error).into(),
    }
}

/// Whether this machine knows a way to the endpoint. "Network unreachable" comes both from a router
/// far away, when the endpoint's network is withdrawn, and from our own routing table, when our
/// uplink is gone; connecting a UDP socket sends nothing and asks only the latter.
fn has_route(source: Option<IpAddr>, endpoint: SocketAddr) -> bool {
    let unspecified = match endpoint {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    UdpSocket::bind((source.unwrap_or(unspecified), 0))
        .and_then(|socket| socket.connect(endpoint))
        .is_ok()
}

fn local(what: &str, error: &io::Error) -> VantageFault {
    VantageFault::Local(format!("{what}: {error}").into())
}

async fn reach_proxy(host: &str, port: u16, deadline: Deadline) -> Result<TcpStream, VantageFault> {
    let fault =
        |why: String| VantageFault::Proxy(format!("cannot connect to {host}:{port}: {why}").into());
    match timeout_at(deadline.at, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(fault(error.to_string())),
        Err(_) => Err(fault(format!("timed out after {:?}", deadline.timeout))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_kernels_word_decides_whose_fault_it_is() {
        use io::ErrorKind;
        let near = SocketAddr::from(([127, 0, 0, 1], 80));
        let far = SocketAddr::from(([192, 0, 2, 1], 80));
        let loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for (kind, endpoint, label) in [
            (ErrorKind::ConnectionRefused, far, "refused"),
            (ErrorKind::ConnectionReset, far, "reset"),
            (ErrorKind::HostUnreachable, far, "unreachable"),
            (ErrorKind::TimedOut, far, "timeout"),
            // We know a way, so that it was a router who said it.
            (ErrorKind::NetworkUnreachable, near, "unreachable"),
            // From loopback there is no way out.
            (ErrorKind::NetworkUnreachable, far, "local"),
            (ErrorKind::PermissionDenied, far, "local"),
            (ErrorKind::AddrNotAvailable, far, "local"),
        ] {
            let deadline = Deadline::after(Duration::from_secs(4));
            let said = match missed(&kind.into(), loopback, endpoint, deadline) {
                Missed::Failure(failure) => failure.label(),
                Missed::NoEvidence(fault) => fault.label(),
            };
            assert_eq!(said, label, "{kind:?} at {endpoint}");
        }
    }
}
