//! Datagrams by the batch: `recvmmsg`, `sendmmsg` and packet information behind a safe [`Batch`].
//!
//! A batch owns its buffers and the structures full of pointers that the kernel wants, all allocated
//! once; the pointers are written anew for each call, so that none is used beyond the borrow that it
//! came from. Linux only.
//!
//! On a wildcard listener each message comes with the address that it was sent to (`IP_PKTINFO`, RFC
//! 3542 s6 for IPv6), and its reply takes the same control message back, which makes the kernel send
//! from that address.

#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and control messages have no safe wrapper"
)]

use std::fmt;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::SocketAddrV6;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::ptr;

use libc::c_int;
use libc::c_uint;

use crate::base::prefetch_sys::LINE_LEN;
use crate::transport::responder::PREFETCH_DISTANCE;

/// Messages per system call. Measured on loopback, 32 and 64 are equal and both beat one at a time;
/// 64 halves the calls when a burst has piled up.
pub(super) const BATCH: usize = 64;

/// Messages per system call while they come singly, so that the headers of 64 are not written to receive
/// one.
const NARROW_BATCH: usize = 8;

/// Octets of a message and of a reply. The largest payload that may be configured is 4,096, and a
/// query longer than that is cut and found malformed.
pub(super) const MESSAGE_LEN: usize = 4096;

/// Octets from one message to the next: one cache line more than a message, because messages a power of
/// two apart would all compete for the same few places in the processor's cache.
const STRIDE: usize = MESSAGE_LEN + LINE_LEN;

/// Room for one control message: `in6_pktinfo` needs 40 octets.
const CONTROL_LEN: usize = 64;

/// Whether [`Batch::receive`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until there is a message, or the socket's read timeout is over.
    ForOne,
    /// Not at all.
    No,
}

/// Up to [`BATCH`] received messages and their replies.
pub(super) struct Batch {
    metas: Box<[RecvMeta]>,
    /// How many octets each message has.
    lens: Box<[usize]>,
    /// [`STRIDE`] octets each.
    messages: Box<[u8]>,
    /// The replies, one behind the other: as many octets at most as messages have.
    replies: Box<[u8]>,
    /// The kernel's arguments for one call; mean nothing between calls.
    headers: Box<[libc::mmsghdr]>,
    /// The same.
    vectors: Box<[libc::iovec]>,
    n_received: usize,
    /// Whether the socket passes the local address of each message.
    with_local: bool,
}

impl Batch {
    /// Allocates everything that a batch ever needs. `with_local` is for sockets that
    /// [`enable_pktinfo`] was called on.
    pub(super) fn new(with_local: bool) -> Self {
        Self {
            metas: (0..BATCH).map(|_| RecvMeta::empty()).collect(),
            lens: vec![0; BATCH].into(),
            messages: vec![0; BATCH * STRIDE].into(),
            replies: vec![0; BATCH * STRIDE].into(),
            headers: vec![EMPTY_HEADER; BATCH].into(),
            vectors: vec![EMPTY_VECTOR; BATCH].into(),
            n_received: 0,
            with_local,
        }
    }

    /// Receives what there is, at most a batch, and forgets the batch before; returns how many
    /// messages. Never allocates.
    pub(super) fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        let n_wanted = match self.n_received {
            ..NARROW_BATCH => NARROW_BATCH,
            NARROW_BATCH.. => BATCH,
        };
        self.n_received = 0;
        let slots = self
            .metas
            .iter_mut()
            .zip(self.messages.chunks_exact_mut(STRIDE));
        let headers = self.headers.iter_mut().zip(&mut self.vectors);
        for ((header, vector), (meta, message)) in headers.zip(slots).take(n_wanted) {
            meta.sock_addr_len = SOCK_ADDR_LEN;
            meta.control_len = if self.with_local { CONTROL_LEN } else { 0 };
            let (message, _) = message.split_at_mut(MESSAGE_LEN);
            meta.fill_header(&mut header.msg_hdr, vector, message);
        }
        let flags = match wait {
            Wait::ForOne => libc::MSG_WAITFORONE,
            Wait::No => libc::MSG_DONTWAIT,
        };
        // SAFETY: each of the first `n_wanted` headers, of which there are BATCH, has just been made to
        // point to its own vector, name and control buffer, and the vector to its own message, all with
        // their true lengths, exclusively borrowed by this function and not touched through another
        // path before the call returns. A null timeout is allowed.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                n_wanted as c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        let received = self.metas.iter_mut().zip(&mut self.lens);
        for ((meta, len), header) in received.zip(&self.headers).take(n) {
            *len = header.msg_len as usize;
            meta.sock_addr_len = header.msg_hdr.msg_namelen;
            if self.with_local {
                meta.control_len = header.msg_hdr.msg_controllen as _;
                meta.clear_ifindex();
            }
        }
        self.n_received = n;
        Ok(n)
    }

    /// Calls `answer` with where each message came from, its source, its octets, the octets of one that comes [`PREFETCH_DISTANCE`]
    /// messages later (empty at the end) and room for the reply, in order; it returns the reply's length, 0
    /// for silence.
    pub(super) fn answer(
        &mut self,
        mut answer: impl FnMut(&RecvMeta, SocketAddr, &[u8], &[u8], &mut [u8]) -> usize,
    ) {
        let lens = self.lens.get(..self.n_received).unwrap_or_default();
        let message = |nth: usize| {
            let octets = self.messages.get(nth * STRIDE..)?;
            octets.get(..*lens.get(nth)?)
        };
        let metas = self.metas.iter_mut().take(self.n_received);
        let mut room = &mut *self.replies;
        for (nth, meta) in metas.enumerate() {
            let [message, later] =
                [nth, nth + PREFETCH_DISTANCE].map(|nth| message(nth).unwrap_or_default());
            meta.reply_len = match (meta.source(), room.get_mut(..MESSAGE_LEN)) {
                (Some(source), Some(reply)) => {
                    answer(meta, source, message, later, reply).min(reply.len())
                }
                _ => 0,
            };
            let taken = meta.reply_room();
            room = room.get_mut(taken..).unwrap_or_default();
        }
    }

    /// Sends the replies, each to where its message came from, and returns how many could not be
    /// sent. A reply that the kernel refuses (a firewall, no route, too long) costs nobody but its
    /// client; when the device takes nothing for the socket's write timeout, the rest of the batch is
    /// given up, so that a stalled device cannot hold the thread for longer.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let mut n_replies = 0;
        let mut replies = &mut *self.replies;
        let metas = self.metas.iter_mut().take(self.n_received);
        let mut headers = self.headers.iter_mut().zip(&mut self.vectors);
        for meta in metas.filter(|meta| meta.reply_len > 0) {
            let Some(((header, vector), reply)) = headers
                .next()
                .zip(replies.split_off_mut(..meta.reply_room()))
            else {
                break;
            };
            let (reply, _) = reply.split_at_mut(meta.reply_len);
            meta.reply_len = 0;
            meta.fill_header(&mut header.msg_hdr, vector, reply);
            n_replies += 1;
        }
        let mut rest = self.headers.get_mut(..n_replies).unwrap_or_default();
        let mut n_unsent = 0;
        while !rest.is_empty() {
            // SAFETY: as in `receive`, headers point to vectors, addresses, control buffers and messages that are
            // exclusively borrowed by this function; the first `n_replies` headers are filled in and `rest` is the
            // part of them that is left.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as c_uint,
                    0,
                )
            };
            let n_done = match usize::try_from(sent) {
                Ok(n_sent) if n_sent > 0 => n_sent,
                _ => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => 0,
                    io::ErrorKind::WouldBlock => return n_unsent + rest.len(),
                    _ => {
                        n_unsent += 1;
                        1
                    }
                },
            };
            rest = rest.get_mut(n_done..).unwrap_or_default();
        }
        n_unsent
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("n_received", &self.n_received)
            .field("with_local", &self.with_local)
            .finish_non_exhaustive()
    }
}

/// Metadata of one received message: its source, the local address that it was sent to, and the length of
/// its reply.
#[derive(Clone)]
pub(super) struct RecvMeta {
    sock_addr: SockAddr,
    sock_addr_len: libc::socklen_t,
    reply_len: usize,
    control_len: usize,
    control: ControlBuf,
}

/// Room and alignment for either family's socket address.
#[derive(Clone)]
#[repr(C, align(8))]
struct SockAddr([u8; size_of::<libc::sockaddr_in6>()]);

/// Control messages start with a `cmsghdr`, which is aligned like a `usize`.
#[derive(Clone)]
#[repr(C, align(8))]
struct ControlBuf([u8; CONTROL_LEN]);

impl RecvMeta {
    fn empty() -> Self {
        Self {
            sock_addr: SockAddr([0; _]),
            sock_addr_len: 0,
            reply_len: 0,
            control_len: 0,
            control: ControlBuf([0; CONTROL_LEN]),
        }
    }

    /// What the reply takes of the room for replies, in octets.
    fn reply_room(&self) -> usize {
        self.reply_len.next_multiple_of(LINE_LEN)
    }

    /// Fills in a message header for either direction.
    fn fill_header(
        &mut self,
        header: &mut libc::msghdr,
        vector: &mut libc::iovec,
        message: &mut [u8],
    ) {
        vector.iov_base = message.as_mut_ptr().cast();
        vector.iov_len = message.len();
        header.msg_iov = vector;
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut self.sock_addr).cast();
        header.msg_namelen = self.sock_addr_len;
        // Without a length it is not looked at.
        header.msg_control = (&raw mut self.control).cast();
        header.msg_controllen = self.control_len as _;
    }

    /// Sends one message back to where the received one came from, unless the device takes nothing now.
    pub(super) fn send(mut self, socket: &UdpSocket, message: &mut [u8]) -> io::Result<()> {
        let mut header = EMPTY_HEADER.msg_hdr;
        let mut vector = EMPTY_VECTOR;
        self.fill_header(&mut header, &mut vector, message);
        // SAFETY: the header has just been made to point to the vector, the address, the control buffer and,
        // through the vector, the message, with their true lengths; all live across the call.
        let n = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        match n {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Where the message came from.
    fn source(&self) -> Option<SocketAddr> {
        let name = &raw const self.sock_addr;
        // SAFETY: a `SockAddr` holds and aligns either family's address, all of its octets are initialised, and
        // every bit pattern is a `sockaddr_in6`, which starts with the family as all addresses do.
        let family = unsafe { (*name.cast::<libc::sockaddr_in6>()).sin6_family };
        match c_int::from(family) {
            libc::AF_INET => {
                // SAFETY: a `SockAddr` is aligned for and longer than a `sockaddr_in`, and any octets are one.
                let name = unsafe { name.cast::<libc::sockaddr_in>().read() };
                let address = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
                let port = u16::from_be(name.sin_port);
                Some(SocketAddrV4::new(address, port).into())
            }
            libc::AF_INET6 => {
                // SAFETY: a `SockAddr` is aligned for and as long as a `sockaddr_in6`, and any octets are one.
                let name = unsafe { name.cast::<libc::sockaddr_in6>().read() };
                let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
                let port = u16::from_be(name.sin6_port);
                Some(SocketAddrV6::new(address, port, 0, name.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// The local address that the message was sent to, where the socket passes it.
    pub(super) fn local(&self) -> Option<IpAddr> {
        let mut header = EMPTY_HEADER.msg_hdr;
        header.msg_control = (&raw const self.control).cast_mut().cast();
        header.msg_controllen = self.control_len.min(CONTROL_LEN) as _;
        // SAFETY: the header describes our aligned and initialised control buffer, which is only read.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        if first.is_null() {
            return None;
        }
        // SAFETY: not null, so the buffer holds at least a `cmsghdr`.
        let kind = unsafe { ((*first).cmsg_level, (*first).cmsg_type) };
        // SAFETY: the data begins inside the buffer, one `cmsghdr` after its start.
        let data = unsafe { libc::CMSG_DATA(first) };
        match kind {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: a header and an `in_pktinfo` fit into CONTROL_LEN octets, all initialised.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into())
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: a header and an `in6_pktinfo` fit into CONTROL_LEN octets, all initialised.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
            }
            _ => None,
        }
    }

    /// Makes the packet information that came with the message fit for its reply: the address stays,
    /// the interface goes, so that the routing table chooses it, which with asymmetric routes need not
    /// be the one that the message came by. Link-local addresses mean nothing without theirs.
    fn clear_ifindex(&mut self) {
        let mut header = EMPTY_HEADER.msg_hdr;
        header.msg_control = (&raw mut self.control).cast();
        header.msg_controllen = self.control_len.min(CONTROL_LEN) as _;
        // SAFETY: the header describes our aligned and initialised control buffer.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        if first.is_null() {
            return;
        }
        // SAFETY: not null, so the buffer holds at least a `cmsghdr`.
        let kind = unsafe { ((*first).cmsg_level, (*first).cmsg_type) };
        // SAFETY: the data begins inside the buffer, one `cmsghdr` after its start.
        let data = unsafe { libc::CMSG_DATA(first) };
        match kind {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = data.cast::<libc::in_pktinfo>();
                // SAFETY: a header and an `in_pktinfo` fit into CONTROL_LEN octets, all initialised.
                let mut value = unsafe { info.read_unaligned() };
                if !Ipv4Addr::from(u32::from_be(value.ipi_spec_dst.s_addr)).is_link_local() {
                    value.ipi_ifindex = 0;
                }
                // SAFETY: as for reading; the pointer comes from an exclusive borrow.
                unsafe { info.write_unaligned(value) };
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = data.cast::<libc::in6_pktinfo>();
                // SAFETY: a header and an `in6_pktinfo` fit into CONTROL_LEN octets, all initialised.
                let mut value = unsafe { info.read_unaligned() };
                if !Ipv6Addr::from(value.ipi6_addr.s6_addr).is_unicast_link_local() {
                    value.ipi6_ifindex = 0;
                }
                // SAFETY: as for reading; the pointer comes from an exclusive borrow.
                unsafe { info.write_unaligned(value) };
            }
            _ => {}
        }
    }
}

/// Has the kernel pass the local address of each message (`IP_PKTINFO`, `IPV6_RECVPKTINFO`).
pub(super) fn enable_pktinfo(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Has the kernel take no part in path MTU discovery: no DF bit, and no belief in ICMP messages about
/// a smaller path, which anybody can forge to have answers fragmented and then poisoned (RFC 9715
/// s3.1).
pub(super) fn ignore_path_mtu(socket: &impl AsFd, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        let (name, value) = (libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT);
        set_option(socket, libc::IPPROTO_IPV6, name, value)
    } else {
        let (name, value) = (libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
        set_option(socket, libc::IPPROTO_IP, name, value)
    }
}

fn set_option(socket: &impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: `value` is an initialised integer that lives across the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

const SOCK_ADDR_LEN: libc::socklen_t = size_of::<SockAddr>() as libc::socklen_t;

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

// SAFETY: plain C structures of integers and pointers, for which all zeros is a value.
const EMPTY_HEADER: libc::mmsghdr = unsafe { mem::zeroed() };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        socket
    }

    fn received(batch: &mut Batch) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut messages = Vec::new();
        batch.answer(|_, source, message, _, _| {
            messages.push((source, message.to_vec()));
            0
        });
        messages
    }

    #[test]
    fn a_batch_holds_messages_in_order_with_their_sources() {
        let server = socket("127.0.0.1:0");
        let clients = [socket("127.0.0.1:0"), socket("127.0.0.2:0")];
        let mut expected = Vec::new();
        for n in 0..2 * BATCH {
            let client = &clients[n % 2];
            let message = vec![n as u8; n];
            client
                .send_to(&message, server.local_addr().unwrap())
                .unwrap();
            expected.push((client.local_addr().unwrap(), message));
        }
        let mut batch = Batch::new(false);
        let mut arrived = Vec::new();
        for n_expected in [NARROW_BATCH, BATCH, BATCH - NARROW_BATCH] {
            let n = batch.receive(&server, Wait::ForOne).unwrap();
            assert_eq!(n, n_expected);
            arrived.extend(received(&mut batch));
        }
        assert_eq!(arrived, expected);
        let empty = batch.receive(&server, Wait::No).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(received(&mut batch), []);
    }

    #[test]
    fn ipv6_sources_keep_their_address_and_port() {
        let (server, client) = (socket("[::1]:0"), socket("[::1]:0"));
        client.send_to(b"6", server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new(false);
        batch.receive(&server, Wait::ForOne).unwrap();
        let expected = (client.local_addr().unwrap(), b"6".to_vec());
        assert_eq!(received(&mut batch), [expected]);
    }

    /// What becomes of packet information.
    fn freed<T: Copy>(level: c_int, kind: c_int, info: T) -> T {
        let mut meta = RecvMeta::empty();
        let mut header = EMPTY_HEADER.msg_hdr;
        header.msg_control = (&raw mut meta.control).cast();
        header.msg_controllen = CONTROL_LEN as _;
        // SAFETY: the control buffer is aligned and has room for a header and either information.
        let data = unsafe {
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<T>() as c_uint) as _;
            (*first).cmsg_level = level;
            (*first).cmsg_type = kind;
            let data = libc::CMSG_DATA(first).cast::<T>();
            data.write_unaligned(info);
            data
        };
        let offset = data.addr() - (&raw const meta.control).addr();
        meta.control_len = CONTROL_LEN;
        meta.clear_ifindex();
        // SAFETY: the value written above, or the one that took its place.
        unsafe {
            let control = (&raw const meta.control).cast::<u8>();
            control.add(offset).cast::<T>().read_unaligned()
        }
    }

    #[test]
    fn replies_are_bound_to_an_interface_only_for_link_local_addresses() {
        for (asked, expected) in [("192.0.2.1", 0), ("169.254.1.2", 7), ("127.0.0.2", 0)] {
            let address: Ipv4Addr = asked.parse().unwrap();
            let s_addr = u32::from(address).to_be();
            let info = libc::in_pktinfo {
                ipi_ifindex: 7,
                ipi_spec_dst: libc::in_addr { s_addr },
                ipi_addr: libc::in_addr { s_addr },
            };
            let info = freed(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            let found = (info.ipi_ifindex, info.ipi_spec_dst.s_addr);
            assert_eq!(found, (expected, s_addr), "{asked}");
        }
        for (asked, expected) in [("2001:db8::1", 0), ("fe80::1", 7), ("::1", 0)] {
            let address: Ipv6Addr = asked.parse().unwrap();
            let s6_addr = address.octets();
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr },
                ipi6_ifindex: 7,
            };
            let info = freed(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            let found = (info.ipi6_ifindex, info.ipi6_addr.s6_addr);
            assert_eq!(found, (expected, s6_addr), "{asked}");
        }
    }

    #[test]
    fn replies_that_the_kernel_refuses_are_counted_and_passed_over() {
        let (server, client) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let mut batch = Batch::new(false);
        // Through a socket of the other family, nothing can be sent to an IPv4 address.
        let wrong = socket("[::1]:0");
        for n in 0..3 {
            client.send_to(&[n], server.local_addr().unwrap()).unwrap();
        }
        let mut n_left = 3;
        while n_left > 0 {
            let n = batch.receive(&server, Wait::ForOne).unwrap();
            batch.answer(|_, _, _, _, reply| reply.len().min(9));
            assert_eq!(batch.send(&wrong), n);
            // What was sent or given up is not sent again.
            assert_eq!(batch.send(&server), 0);
            n_left -= n;
        }
        client.set_nonblocking(true).unwrap();
        let nothing = client.recv(&mut [0; 9]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}
