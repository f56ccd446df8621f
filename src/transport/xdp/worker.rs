//! AF_XDP: queries taken from an interface's receive queues and answered in their own frames, past the
//! kernel's network stack.
//!
//! A program on the interface (`program.rs`) sends queries to us to the socket of their queue, one
//! thread each; everything else goes to the kernel, where the usual sockets are open as well. So whatever
//! fails here costs speed and no answers: an interface that cannot be had is logged once and left to
//! them. Replies go back by the MAC address that the query came from: no route is looked up.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

use tracing::info;
use tracing::warn;

use crate::live::clock::now_ms;
use crate::state::counters::Dropped;
use crate::state::counters::Shard;
use crate::transport::responder::BatchResponder;
use crate::transport::responder::Responder;
use crate::transport::responder::datagram;
use crate::transport::stop::DRAIN_TIME;
use crate::transport::udp::RECEIVE_WAIT;
use crate::transport::xdp::bpf_sys;
use crate::transport::xdp::bpf_sys::Map;
use crate::transport::xdp::bpf_sys::MapKind;
use crate::transport::xdp::bpf_sys::Mode;
use crate::transport::xdp::interface_sys;
use crate::transport::xdp::interface_sys::Ethernet;
use crate::transport::xdp::packet;
use crate::transport::xdp::packet::Datagram;
use crate::transport::xdp::program;
use crate::transport::xdp::program::KEY_LEN;
use crate::transport::xdp::program::Key;
use crate::transport::xdp::program::Target;
use crate::transport::xdp::socket_sys::Copying;
use crate::transport::xdp::socket_sys::PACKET_LEN;
use crate::transport::xdp::socket_sys::XdpSocket;

/// Packets that are answered from one snapshot and then sent. The kernel sends some 32 at a call.
const BATCH: usize = 64;

/// How long a thread sleeps at most while replies wait for the device.
const SENDING_WAIT: Duration = Duration::from_millis(5);

/// How often the interface's addresses and the kernel's counters are looked at. Until then, queries to a new
/// address take the sockets.
const LOOK_EVERY_MS: u64 = 2_000;

/// Addresses and ports that the program knows at most; those beyond stay with the sockets.
const MAX_KEYS: u32 = 4096;

/// An interface whose queries come to us, with nobody to answer yet.
#[derive(Debug)]
pub(in crate::transport) struct Interface {
    queues: Vec<Queue>,
}

/// A receive queue of an interface.
#[derive(Debug)]
pub(in crate::transport) struct Queue {
    socket: XdpSocket,
    /// The longest frame that the interface sends, in octets.
    longest: usize,
    /// The first queue has it.
    interface_watch: Option<InterfaceWatch>,
    /// The last queue closes it, which takes the program off the interface.
    _link: Arc<OwnedFd>,
}

/// Why an interface is left to the sockets.
#[derive(Debug, thiserror::Error)]
enum XdpError {
    #[error("there is no such interface ({0}); see `ip link`")]
    Absent(io::Error),
    #[error("it is not an Ethernet interface; see `ip link`")]
    NotEthernet,
    #[error("cannot {step}: {cause}; {}", advice(cause))]
    Refused {
        step: &'static str,
        cause: io::Error,
    },
}

impl XdpError {
    fn at(step: &'static str) -> impl Fn(io::Error) -> Self + Copy {
        move |cause| Self::Refused { step, cause }
    }
}

/// What to do about a refusal.
fn advice(cause: &io::Error) -> &'static str {
    match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "it takes CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF (docs/xdp.md)"
        }
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            "raise the limit of locked memory (`ulimit -l`, systemd: `LimitMEMLOCK=`)"
        }
        Some(libc::EBUSY | libc::EEXIST) => {
            "another XDP program or socket has the interface (`ip link show`); stop it, or take off \
             what it left (`ip link set DEVICE xdp off`)"
        }
        Some(libc::EAFNOSUPPORT) => {
            "the kernel needs CONFIG_XDP_SOCKETS, and systemd AF_XDP and AF_NETLINK in \
             `RestrictAddressFamilies=`"
        }
        _ => "it takes Linux 5.11 or later and a driver that can do it (docs/xdp.md)",
    }
}

/// How many threads these interfaces take when all of them can be had.
pub fn n_threads(interfaces: &[Box<str>]) -> usize {
    let n_queues = interfaces
        .iter()
        .map(|name| interface_sys::n_receive_queues(name) as usize);
    n_queues.sum()
}

/// Opens the interfaces that can be had, and logs for each what it got or why not.
pub(in crate::transport) fn open(names: &[Box<str>], listen: &[SocketAddr]) -> Vec<Interface> {
    let mut interfaces = Vec::new();
    for name in names {
        match Interface::open(name, listen) {
            Ok(interface) => interfaces.push(interface),
            Err(error) => {
                warn!(
                    interface = %name, %error,
                    "AF_XDP unavailable on this interface; falling back to sockets"
                );
            }
        }
    }
    interfaces
}

impl Interface {
    fn open(name: &str, listen: &[SocketAddr]) -> Result<Self, XdpError> {
        let ethernet = Ethernet::find(name)
            .map_err(XdpError::Absent)?
            .ok_or(XdpError::NotEthernet)?;
        let n_queues = interface_sys::n_receive_queues(name).max(1);
        let maps = XdpError::at("make BPF maps");
        let sockets = Map::create(MapKind::Sockets, size_of::<u32>(), n_queues).map_err(maps)?;
        let map = Map::create(MapKind::Hash, KEY_LEN, MAX_KEYS).map_err(maps)?;
        let (link, mode) = attach(&ethernet, &map, &sockets)?;
        let link = Arc::new(link);
        let longest = packet::ETHERNET_LEN.saturating_add(ethernet.mtu);
        let mut queues = Vec::with_capacity(n_queues as usize);
        for queue in 0..n_queues {
            let socket = open_socket(ethernet.index, queue, mode)?;
            sockets
                .insert_socket(queue, socket.as_fd())
                .map_err(XdpError::at("direct queries to its socket"))?;
            queues.push(Queue {
                socket,
                longest,
                interface_watch: None,
                _link: Arc::clone(&link),
            });
        }
        let mut interface_watch = InterfaceWatch {
            interface: name.into(),
            is_down: false,
            map,
            listen: listen.into(),
            current: BTreeSet::new(),
            looked_ms: 0,
        };
        // Last of all, as nothing comes to the sockets before.
        interface_watch
            .follow_addresses()
            .map_err(XdpError::at("look at its addresses"))?;
        let copying = queues.first().map(|first| first.socket.copying());
        let mode = match (mode, copying) {
            (Mode::Generic, _) => "generic",
            (Mode::Native, Some(Ok(Copying::ZeroCopy))) => "native, zero-copy",
            (Mode::Native, _) => "native, copy",
        };
        let addresses = interface_watch.current.len();
        info!(
            interface = name,
            mode,
            queues = n_queues,
            addresses,
            "AF_XDP enabled"
        );
        if let Some(first) = queues.first_mut() {
            first.interface_watch = Some(interface_watch);
        }
        Ok(Self { queues })
    }

    /// Its queues, each for a thread of its own.
    pub(in crate::transport) fn into_queues(self) -> Vec<Queue> {
        self.queues
    }
}

/// Puts the program on the interface: in the driver, else behind it.
fn attach(ethernet: &Ethernet, keys: &Map, sockets: &Map) -> Result<(OwnedFd, Mode), XdpError> {
    let program = program::assemble(&Target {
        mac: ethernet.mac,
        longest: PACKET_LEN,
        keys: keys.as_fd().as_raw_fd(),
        sockets: sockets.as_fd().as_raw_fd(),
    });
    let program = bpf_sys::load(&program).map_err(XdpError::at("load its BPF program"))?;
    let attach = |mode| {
        bpf_sys::attach(program.as_fd(), ethernet.index, mode)
            .map(|link| (link, mode))
            .map_err(XdpError::at("attach its BPF program"))
    };
    // An interface that is taken or forbidden is so in both modes; the error of the second is returned.
    attach(Mode::Native).or_else(|_| attach(Mode::Generic))
}

fn open_socket(interface: u32, queue: u32, mode: Mode) -> Result<XdpSocket, XdpError> {
    // Zero-copy needs the program in the driver. Some drivers refuse it in ways that keep the kernel
    // from copying instead, which has to be asked for then.
    let native = match mode {
        Mode::Native => XdpSocket::open(interface, queue, None).ok(),
        Mode::Generic => None,
    };
    let socket = native.map_or_else(
        || XdpSocket::open(interface, queue, Some(Copying::Copy)),
        Ok,
    );
    socket.map_err(|(step, cause)| XdpError::Refused { step, cause })
}

/// What is done once for all queues of an interface: logging its state, and giving the program the addresses
/// and ports that are ours.
#[derive(Debug)]
struct InterfaceWatch {
    interface: Box<str>,
    is_down: bool,
    map: Map,
    listen: Box<[SocketAddr]>,
    /// What is in the map.
    current: BTreeSet<Key>,
    looked_ms: u64,
}

impl InterfaceWatch {
    /// Logs a change of the interface's state, as returned by [`XdpSocket::check`].
    fn log(&mut self, check: &io::Result<()>) {
        let interface = &*self.interface;
        match check.as_ref().map_err(io::Error::raw_os_error) {
            Err(Some(libc::ENXIO)) => {
                warn!(
                    interface,
                    "interface removed; falling back to sockets until a restart"
                );
            }
            Err(Some(libc::ENETDOWN)) if !self.is_down => {
                warn!(interface, "interface is down");
                self.is_down = true;
            }
            Ok(()) if self.is_down => {
                info!(interface, "interface is up again");
                self.is_down = false;
            }
            _ => {}
        }
    }

    /// Brings the program's map up to the interface's addresses, now and then.
    fn follow_addresses_at(&mut self, now_ms: u64) {
        if now_ms.abs_diff(self.looked_ms) >= LOOK_EVERY_MS {
            self.looked_ms = now_ms;
            // Without memory for it, the next look will do.
            let _ = self.follow_addresses();
        }
    }

    fn follow_addresses(&mut self) -> io::Result<()> {
        let local = interface_sys::addresses(&self.interface)?;
        let wanted = answered(&self.listen, &local);
        self.current
            .retain(|key| wanted.contains(key) || self.map.remove(key).is_err());
        for key in wanted {
            // With too many for the map, the rest stays with the sockets.
            if !self.current.contains(&key) && self.map.insert(&key, 1).is_ok() {
                self.current.insert(key);
            }
        }
        Ok(())
    }
}

/// What is answered of `local` addresses: those that are listened on, by themselves or by the wildcard
/// of their family. An address that is listened on but not local is none that packets are sent to here.
fn answered(listen: &[SocketAddr], local: &[IpAddr]) -> BTreeSet<Key> {
    let ports = |address: &IpAddr| {
        let address = *address;
        let is_listened = move |listener: &&SocketAddr| {
            let ip = listener.ip();
            ip == address || (ip.is_unspecified() && ip.is_ipv4() == address.is_ipv4())
        };
        let listeners = listen.iter().filter(is_listened);
        listeners.map(move |listener| program::key(address, listener.port()))
    };
    let hosts = local.iter().filter(|address| packet::is_host(**address));
    hosts.flat_map(ports).collect()
}

/// One receive queue and who answers there.
#[derive(Debug)]
pub(in crate::transport) struct XdpWorker<A> {
    queue: Queue,
    /// The query, while its frame is overwritten with the reply.
    message: Box<[u8; PACKET_LEN as usize]>,
    responder: A,
    /// When the kernel's counters were last read.
    counted_ms: u64,
}

impl<A: Responder> XdpWorker<A> {
    /// `responder` is this thread's own.
    pub(in crate::transport) fn new(queue: Queue, responder: A) -> Self {
        Self {
            queue,
            message: Box::new([0; PACKET_LEN as usize]),
            responder,
            counted_ms: 0,
        }
    }

    /// Answers until `stop` is set, then what has been received; ends when the interface has gone.
    pub(in crate::transport) fn run(mut self, counters: &Shard, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            let wait = match self.queue.socket.is_sending() {
                true => SENDING_WAIT,
                false => RECEIVE_WAIT,
            };
            match self.queue.socket.wait(wait) {
                Ok(true) => _ = self.answer(counters),
                Ok(false) | Err(_) => {
                    // Looks for a new snapshot, so that a replaced one is not kept for want of queries.
                    drop(self.responder.batch());
                    if !self.is_there() {
                        return;
                    }
                }
            }
            let now_ms = now_ms();
            if now_ms.abs_diff(self.counted_ms) >= LOOK_EVERY_MS {
                self.counted_ms = now_ms;
                self.count_losses(counters);
            }
            if let Some(interface_watch) = &mut self.queue.interface_watch {
                interface_watch.follow_addresses_at(now_ms);
            }
        }
        let end = Instant::now() + DRAIN_TIME;
        while Instant::now() < end && self.answer(counters) > 0 {}
    }

    /// Answers a batch and returns how many packets it had.
    fn answer(&mut self, counters: &Shard) -> usize {
        let mut responder = self.responder.batch();
        let now_ms = now_ms();
        let message = &mut *self.message;
        let longest = self.queue.longest;
        let answered = self.queue.socket.answer(BATCH, |frame, len, later| {
            responder.prefetch(packet::likely_payload(later));
            respond(frame, len, longest, message, |packet, message, reply| {
                let Some(arrival) = datagram(packet.source, now_ms, counters) else {
                    return 0;
                };
                counters.came_by_xdp();
                let len = responder.answer(arrival, message, reply);
                let response = reply.get(..len).unwrap_or_default();
                responder.record(arrival, packet.source, message, response, || packet.local);
                len
            })
        });
        for _ in 0..answered.n_unsent {
            counters.dropped(Dropped::Send);
        }
        answered.n_received
    }

    /// Passes on what the kernel has counted.
    fn count_losses(&self, counters: &Shard) {
        if let Ok(statistics) = self.queue.socket.statistics() {
            for (statistic, n) in statistics {
                counters.set_xdp_statistic(statistic, n);
            }
        }
    }

    /// Whether the interface still exists.
    fn is_there(&mut self) -> bool {
        let check = self.queue.socket.check();
        if let Some(interface_watch) = &mut self.queue.interface_watch {
            interface_watch.log(&check);
        }
        !matches!(check, Err(error) if error.raw_os_error() == Some(libc::ENXIO))
    }
}

/// Turns the packet of `len` octets at the start of `frame` into its reply, at most `longest` octets, and
/// returns the reply's length, 0 for silence. `message` is room for the query.
fn respond(
    frame: &mut [u8],
    len: usize,
    longest: usize,
    message: &mut [u8],
    answer: impl FnOnce(&Datagram, &[u8], &mut [u8]) -> usize,
) -> usize {
    let respond = || {
        let datagram = packet::parse(frame.get(..len)?)?;
        let query = frame.get(datagram.payload.clone())?;
        let message = message.get_mut(..query.len())?;
        message.copy_from_slice(query);
        let room = frame.len().min(longest);
        let reply = frame.get_mut(datagram.payload.start..room)?;
        match answer(&datagram, message, reply).min(reply.len()) {
            0 => None,
            len => packet::reply(frame, &datagram, len),
        }
    };
    respond().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prefix::Family;
    use crate::transport::xdp::fixture;

    fn keys(keys: &[&str]) -> BTreeSet<Key> {
        let key = |text: &&str| {
            let address: SocketAddr = text.parse().unwrap();
            program::key(address.ip(), address.port())
        };
        keys.iter().map(key).collect()
    }

    #[test]
    fn local_addresses_are_answered_where_they_are_listened_on() {
        let local = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "127.0.0.1", "::1"];
        let local = local.map(|address| address.parse().unwrap());
        for (listen, expected) in [
            (&["192.0.2.1:53"][..], &["192.0.2.1:53"][..]),
            (&["192.0.2.9:53", "[2001:db8::9]:53"], &[]),
            (&["0.0.0.0:53"], &["192.0.2.1:53", "192.0.2.2:53"]),
            (&["[::]:53"], &["[2001:db8::1]:53"]),
            (
                &["192.0.2.2:53", "192.0.2.2:5300", "[::]:5353"],
                &["192.0.2.2:53", "192.0.2.2:5300", "[2001:db8::1]:5353"],
            ),
            (&["127.0.0.1:53", "[::1]:53"], &[]),
            (&[], &[]),
        ] {
            let addresses: Vec<SocketAddr> = listen.iter().map(|a| a.parse().unwrap()).collect();
            assert_eq!(answered(&addresses, &local), keys(expected), "{listen:?}");
        }
    }

    /// What becomes of a query in a frame of 1,700 octets: the reply's length, and how much room for its
    /// payload there was.
    fn responded(family: Family, longest: usize, reply_len: usize) -> (usize, usize) {
        let mut frame = fixture::query(family, b"query");
        let len = frame.len();
        frame.resize(1700, 0xee);
        let mut room = 0;
        let mut message = [0; PACKET_LEN as usize];
        let sent = respond(
            &mut frame,
            len,
            longest,
            &mut message,
            |datagram, query, reply| {
                assert_eq!((datagram.source.port(), query), (40000, &b"query"[..]));
                room = reply.len();
                reply_len
            },
        );
        (sent, room)
    }

    #[test]
    fn replies_fit_the_frame_and_the_interface() {
        for (family, headers) in [(Family::V4, 42), (Family::V6, 62)] {
            assert_eq!(
                responded(family, 1514, 100),
                (headers + 100, 1514 - headers)
            );
            assert_eq!(
                responded(family, 9014, 100),
                (headers + 100, 1700 - headers)
            );
            assert_eq!(responded(family, 1514, 0), (0, 1514 - headers), "silence");
            assert_eq!(
                responded(family, 1514, 9999).0,
                1514,
                "more than there was room for"
            );
            assert_eq!(responded(family, 40, 100), (0, 0), "no room at all");
        }
    }

    #[test]
    fn what_is_no_query_is_met_with_silence() {
        let answer = |_: &Datagram, _: &[u8], _: &mut [u8]| panic!("there is nothing to answer");
        let mut frame = fixture::query(Family::V4, b"query");
        frame[24] ^= 1;
        let len = frame.len();
        let mut message = [0; PACKET_LEN as usize];
        assert_eq!(respond(&mut frame, len, 1514, &mut message, answer), 0);
        assert_eq!(respond(&mut frame, len + 1, 1514, &mut message, answer), 0);
        assert_eq!(respond(&mut [], 0, 1514, &mut message, answer), 0);
    }

    #[test]
    fn interfaces_that_cannot_be_had_are_told_with_what_to_do() {
        let told = |name| Interface::open(name, &[]).unwrap_err().to_string();
        assert!(told("nowhere0").contains("no such interface"));
        assert!(told("lo").contains("not an Ethernet interface"));
        assert_eq!(n_threads(&["nowhere0".into()]), 0);
        for (errno, word) in [
            (libc::EPERM, "CAP_BPF"),
            (libc::ENOBUFS, "LimitMEMLOCK"),
            (libc::EBUSY, "another XDP program"),
            (libc::EAFNOSUPPORT, "RestrictAddressFamilies"),
            (libc::EINVAL, "Linux 5.11"),
        ] {
            let error = XdpError::at("try")(io::Error::from_raw_os_error(errno));
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
