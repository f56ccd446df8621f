//! Opens the listening sockets: for each address one TCP listener and one UDP socket per thread.
//!
//! The first UDP socket of an address claims it alone and only then shares it (SO_REUSEPORT), so that a
//! port which another server holds is refused also when that server would share it. UDP and TCP of an
//! address have the same port, also where the kernel chose it. IPv6 sockets are IPv6 only: `[::]:53`
//! and `0.0.0.0:53` stand side by side, and no client appears under an IPv4-mapped address.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::num::NonZero;
use std::thread;

use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;
use tracing::warn;

use crate::base::transport::Transport;
use crate::transport::udp::RECEIVE_WAIT;
use crate::transport::udp::SEND_WAIT;
use crate::transport::udp_sys;
use crate::transport::xdp;
use crate::transport::xdp::Interface;

/// Why nothing is served. All are for the operator, on one line, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// An address cannot be listened on.
    #[error("cannot listen on {} {address}: {}", transport.as_str(), advice(*transport, *address, "[server] listen", cause))]
    Listen {
        /// UDP or TCP.
        transport: Transport,
        /// As configured, with the port that was taken for 0.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Two addresses of the list are or contain the same.
    #[error("cannot listen on {address}: {earlier} of [server] listen covers it; remove one")]
    Overlap {
        /// The later one.
        address: SocketAddr,
        /// The one before.
        earlier: SocketAddr,
    },
    /// A thread or task cannot be started, for want of memory, threads or open files.
    #[error(
        "cannot start {name}: {cause}; raise the limits of the process (`ulimit -a`, systemd: \
             `LimitNPROC=`, `TasksMax=`) or lower [server] workers"
    )]
    Start {
        /// Which one.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
}

impl TransportError {
    /// Whether an address cannot be listened on because the machine does not have it, which may change.
    pub(super) fn is_absent_address(&self) -> bool {
        matches!(self, Self::Listen { cause, .. } if is_absent(cause))
    }
}

/// Whether a socket cannot be bound because no interface has the address, or the kernel no such family.
pub fn is_absent(cause: &io::Error) -> bool {
    // ENODEV: the interface of a link-local address.
    let errnos = [libc::EADDRNOTAVAIL, libc::ENODEV, libc::EAFNOSUPPORT];
    cause
        .raw_os_error()
        .is_some_and(|errno| errnos.contains(&errno))
}

/// Sockets that are open and queue what arrives, with nobody to answer yet.
#[derive(Debug)]
pub struct Bound {
    /// In the order of the list.
    pub(super) listeners: Vec<Listener>,
    /// The addresses that the machine does not have yet.
    pub(super) absent: Vec<ListenAddress>,
    /// UDP sockets per address.
    workers: usize,
    /// The interfaces whose queries are taken before they reach the sockets.
    pub(super) xdp: Vec<Interface>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListenAddress {
    /// As configured.
    pub(super) address: SocketAddr,
    /// UDP sockets to open.
    pub(super) workers: usize,
    /// The counter shard of the first of them.
    pub(super) first_shard: usize,
}

/// The sockets of one address.
#[derive(Debug)]
pub(super) struct Listener {
    /// With its real port.
    pub(super) address: SocketAddr,
    /// The counter shard of the first UDP thread.
    pub(super) first_shard: usize,
    /// One per thread, sharing the port.
    pub(super) udp: Vec<UdpSocket>,
    /// Non-blocking.
    pub(super) tcp: TcpListener,
}

/// How many counter shards are needed: one per UDP thread, one that all TCP tasks share, and one per
/// receive queue of AF_XDP. Known before anything is opened: what fails to open leaves its shards empty.
pub fn n_shards(n_addresses: usize, workers: usize, xdp: &[Box<str>]) -> usize {
    workers_of(workers)
        .saturating_mul(n_addresses)
        .saturating_add(1)
        .saturating_add(xdp::n_threads(xdp))
}

/// UDP sockets per address, as configured; 0: one per core.
fn workers_of(workers: usize) -> usize {
    match workers {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        n => n,
    }
}

/// Opens UDP and TCP on each address, `workers` UDP sockets per address (0: one per core). Port 0 takes
/// one that is free for both. An address that the machine does not have is left for later, with a warning,
/// if there is another one to listen on.
pub fn bind(listen: &[SocketAddr], workers: usize) -> Result<Bound, TransportError> {
    let workers = workers_of(workers);
    let mut listeners: Vec<Listener> = Vec::with_capacity(listen.len());
    let mut absent: Vec<(ListenAddress, TransportError)> = Vec::new();
    for (nth, &address) in listen.iter().enumerate() {
        let mut earlier = (listeners.iter().map(|l| l.address))
            .chain(absent.iter().map(|(listen, _)| listen.address));
        if let Some(earlier) = earlier.find(|earlier| overlap(*earlier, address)) {
            return Err(TransportError::Overlap { address, earlier });
        }
        let listen = ListenAddress {
            address,
            workers,
            first_shard: nth * workers,
        };
        match listen.open() {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.is_absent_address() => absent.push((listen, error)),
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() && !absent.is_empty() {
        let (_, error) = absent.swap_remove(0);
        return Err(error);
    }
    for (_, error) in &absent {
        warn!(%error, "listening address is missing; using the others until it appears");
    }
    Ok(Bound {
        listeners,
        absent: absent.into_iter().map(|(listen, _)| listen).collect(),
        workers,
        xdp: Vec::new(),
    })
}

impl Bound {
    /// The addresses that are listened on, with their real ports, in the order given to [`bind`].
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|l| l.address).collect()
    }

    /// How many UDP threads there will be when all addresses are there; number i counts in shard i.
    pub fn n_udp_threads(&self) -> usize {
        self.workers * (self.listeners.len() + self.absent.len())
    }

    /// Takes UDP queries to the listening addresses by AF_XDP from these interfaces, as far as that can
    /// be had; a line in the log says for each what it got, or why not and what to do.
    #[must_use]
    pub fn with_xdp(mut self, interfaces: &[Box<str>]) -> Self {
        let mut addresses = self.addresses();
        addresses.extend(self.absent.iter().map(|absent| absent.address));
        self.xdp = xdp::open(interfaces, &addresses);
        self
    }
}

impl ListenAddress {
    pub(super) fn open(&self) -> Result<Listener, TransportError> {
        let mut tries_left = if self.address.port() == 0 {
            PORT_TRIES
        } else {
            1
        };
        loop {
            tries_left -= 1;
            match self.open_once() {
                Err(TransportError::Listen { cause, .. })
                    if cause.kind() == io::ErrorKind::AddrInUse && tries_left > 0 => {}
                result => return result,
            }
        }
    }

    fn open_once(&self) -> Result<Listener, TransportError> {
        let mut address = self.address;
        let fault = |transport, address| {
            move |cause| TransportError::Listen {
                transport,
                address,
                cause,
            }
        };
        let first = open_udp(address, Claim::Alone).map_err(fault(Transport::Udp, address))?;
        let local = first.local_addr().map_err(fault(Transport::Udp, address))?;
        address.set_port(local.port());
        let tcp = open_tcp(address).map_err(fault(Transport::Tcp, address))?;
        let mut udp = vec![first];
        while udp.len() < self.workers {
            let next = open_udp(address, Claim::Shared).map_err(fault(Transport::Udp, address))?;
            udp.push(next);
        }
        Ok(Listener {
            address,
            first_shard: self.first_shard,
            udp,
            tcp,
        })
    }
}

/// Whether a UDP socket may join others on its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nobody may have the port before; others may join later.
    Alone,
    /// It joins the sockets that share the port.
    Shared,
}

fn open_udp(address: SocketAddr, claim: Claim) -> io::Result<UdpSocket> {
    let socket = open(address, Type::DGRAM, Protocol::UDP)?;
    if claim == Claim::Shared {
        socket.set_reuse_port(true)?;
    }
    udp_sys::ignore_path_mtu(&socket, address.is_ipv6())?;
    if address.ip().is_unspecified() {
        udp_sys::enable_pktinfo(&socket, address.is_ipv6())?;
    }
    // The kernel cuts these to net.core.{r,w}mem_max; smaller buffers lose messages in bursts, no more.
    let _ = socket.set_recv_buffer_size(BUFFER_LEN);
    let _ = socket.set_send_buffer_size(BUFFER_LEN);
    socket.set_read_timeout(Some(RECEIVE_WAIT))?;
    socket.set_write_timeout(Some(SEND_WAIT))?;
    socket.bind(&address.into())?;
    if claim == Claim::Alone {
        socket.set_reuse_port(true)?;
    }
    Ok(socket.into())
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // So that a restart need not wait for old connections to leave TIME_WAIT; on Linux a port that is
    // listened on is still refused.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Whether both cannot be listened on at once.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a == b || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && same_address
}

/// What to do about an address that cannot be listened on: what is wrong, then the way out. `key` is
/// the setting that it was written to.
pub fn advice(transport: Transport, address: SocketAddr, key: &str, cause: &io::Error) -> String {
    let port = address.port();
    if let Some(libc::EMFILE | libc::ENFILE) = cause.raw_os_error() {
        return format!(
            "{cause}; raise the limit of open files (`ulimit -n`, systemd: `LimitNOFILE=`) \
             or lower [server] workers"
        );
    }
    if let Some(libc::EAFNOSUPPORT) = cause.raw_os_error() {
        return format!(
            "the kernel has no IPv6, or this service may not use it (systemd: \
             `RestrictAddressFamilies=`); change {key}"
        );
    }
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            let sockets = match transport {
                Transport::Udp => "-lunp",
                Transport::Tcp => "-ltnp",
            };
            format!(
                "address in use; stop the other server (`ss {sockets} sport = :{port}`) \
                 or change {key}"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface has this address; add it to one (`ip address`) or change {key}")
        }
        io::ErrorKind::PermissionDenied => format!(
            "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE \
             (systemd: `AmbientCapabilities=CAP_NET_BIND_SERVICE`), or change {key}"
        ),
        _ => format!("{cause}; change {key}"),
    }
}

/// How often a port that is free for UDP but not for TCP is given back for another one.
const PORT_TRIES: usize = 16;

/// A burst of some ten thousand messages: the kernel doubles this and counts about 768 octets for each.
const BUFFER_LEN: usize = 4 * 1024 * 1024;

/// Connections that wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 1024;
