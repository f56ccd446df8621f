//! From a vantage to a TCP connection with an endpoint, and what the ways to miss it mean.
//!
//! The kernel's error decides: a refusal or an unreachable host is about the endpoint; no free
//! socket, no such source address or no route at all is about this machine, and says nothing.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::base::lock::lock;
use crate::config::model::Egress;
use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;
use crate::probe::deadline::Deadline;
use crate::probe::deadline::Missed;
use crate::probe::proxy;
use crate::probe::proxy::Opened;
use crate::probe::resolve::Resolver;
use crate::probe::source_sys::bind_without_port;

/// What is known of the proxies of all vantages; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Proxies {
    resolver: Resolver,
    opened: Arc<Mutex<OpenedByProxy>>,
}

/// By host and port. They are the operator's, and few.
type OpenedByProxy = HashMap<(Box<str>, u16), Arc<Opened>>;

impl Proxies {
    /// Nothing known; names are looked up by the system's resolver.
    pub(super) fn new() -> Self {
        Self {
            resolver: Resolver::system(),
            opened: Arc::default(),
        }
    }

    /// In which families a proxy has opened connections.
    pub(super) fn opened(&self, host: &str, port: u16) -> Arc<Opened> {
        let mut opened = lock(&self.opened);
        Arc::clone(opened.entry((host.into(), port)).or_default())
    }

    /// Opens a connection to a proxy. Each of its addresses gets an equal part of the time that is
    /// left, so that one which drops packets leaves some for the others.
    async fn reach(
        &self,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<TcpStream, VantageFault> {
        let fault = |why: &dyn Display| {
            VantageFault::Proxy(format!("cannot connect to {host}:{port}: {why}").into())
        };
        let addresses = self.resolver.addresses(host, deadline.at).await;
        let addresses = addresses.map_err(|why| fault(&why))?;
        let mut why = fault(&"it has no address");
        for (tried, address) in (0..).zip(addresses.iter()) {
            let now = Instant::now();
            let part =
                deadline.at.saturating_duration_since(now) / (addresses.len() as u32 - tried);
            match timeout_at(now + part, TcpStream::connect((*address, port))).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => why = fault(&error),
                Err(_) => why = fault(&format!("timed out after {:?}", deadline.timeout)),
            }
        }
        Err(why)
    }
}

/// Opens a connection to the endpoint as seen from the vantage.
pub(super) async fn connect(
    egress: &Egress,
    endpoint: SocketAddr,
    proxies: &Proxies,
    deadline: Deadline,
) -> Result<TcpStream, Missed> {
    match egress {
        Egress::Direct => dial(None, endpoint, deadline).await,
        Egress::HttpProxy { host, port } => {
            let mut stream = proxies.reach(host, *port, deadline).await?;
            let opened = proxies.opened(host, *port);
            proxy::http_connect(&mut stream, endpoint, &opened, deadline).await?;
            Ok(stream)
        }
        Egress::Socks5Proxy { host, port } => {
            let mut stream = proxies.reach(host, *port, deadline).await?;
            let opened = proxies.opened(host, *port);
            proxy::socks5_connect(&mut stream, endpoint, &opened, deadline).await?;
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
        // Without the option, bind takes a port by itself, as it did before Linux 4.2.
        let _ = bind_without_port(&socket);
        let bound = socket.bind(SocketAddr::new(source, 0));
        bound.map_err(|error| local(&format!("cannot send from {source}"), &error))?;
    }
    let connected = deadline.within(Phase::Connect, socket.connect(endpoint));
    let stream = connected
        .await?
        .map_err(|error| missed(&error, source, endpoint, deadline))?;
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
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
            if has_route(source, endpoint) =>
        {
            ProbeFailure::Unreachable.into()
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            VantageFault::NoRoute(format!("cannot connect: {error}").into()).into()
        }
        io::ErrorKind::TimedOut => ProbeFailure::Timeout {
            after: deadline.timeout,
            phase: Phase::Connect,
        }
        .into(),
        _ => local("cannot connect", error).into(),
    }
}

/// Whether this machine knows a way to the endpoint. "Unreachable" comes from a router far away or a
/// neighbour that does not answer, when the endpoint is gone, and from our own routing table, when our
/// uplink is gone or never had the address family; connecting a UDP socket sends nothing and asks only
/// the latter.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_kernels_error_decides_whose_failure_it_is() {
        use io::ErrorKind;
        let near = SocketAddr::from(([127, 0, 0, 1], 80));
        let far = SocketAddr::from(([192, 0, 2, 1], 80));
        let loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for (kind, endpoint, label) in [
            (ErrorKind::ConnectionRefused, far, "refused"),
            (ErrorKind::ConnectionReset, far, "reset"),
            (ErrorKind::TimedOut, far, "timeout"),
            // We know a way, so that the error came from a router or a neighbour's silence.
            (ErrorKind::HostUnreachable, near, "unreachable"),
            (ErrorKind::NetworkUnreachable, near, "unreachable"),
            // From loopback there is no way out.
            (ErrorKind::HostUnreachable, far, "local"),
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
