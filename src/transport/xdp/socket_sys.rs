//! One AF_XDP socket: frames that are shared with the kernel, and the four rings that pass them on.
//!
//! A frame is at any time in one place: in the fill ring, waiting for a packet; in the receive ring,
//! holding one; with us; in the send ring; or in the completion ring, sent. [`XdpSocket::answer`] takes
//! frames from the receive ring, lends each to a closure that turns the packet in it into its reply, and
//! puts it into the send ring, or back into the fill ring. No packet is copied here, and no frame
//! outlives the closure's borrow. Each ring has room for all frames that can come to it, so that none is
//! ever full. Linux only.

#![expect(
    unsafe_code,
    reason = "AF_XDP is memory shared with the kernel, which no safe wrapper knows"
)]

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::time::Duration;

use libc::c_int;
use libc::xdp_desc;
use libc::xdp_ring_offset;
use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;

use crate::state::counters::XdpStatistic;
use crate::transport::responder::PREFETCH_DISTANCE;
use crate::transport::xdp::pod_sys::Pod;
use crate::transport::xdp::ring_sys::Mapping;
use crate::transport::xdp::ring_sys::Ring;

/// Octets of a frame, the least that the kernel takes.
const FRAME_LEN: usize = 2048;

/// The longest packet that is received: the kernel keeps 256 octets of a frame for itself.
pub(in crate::transport) const PACKET_LEN: u16 = (FRAME_LEN - 256) as u16;

/// Frames of a socket, 4 MiB. As many queries can wait as arrive in some milliseconds at the highest
/// rate that a thread answers, which is longer than a thread that has work is kept from its core.
const N_FRAMES: u32 = 2048;

/// Octets of all frames.
const FRAMES_LEN: usize = N_FRAMES as usize * FRAME_LEN;

/// How many frames may be on their way out. With the other half, queries are received while a device
/// sends nothing, so that it is the replies that are given up and counted.
const N_SENDING: u32 = N_FRAMES / 2;

/// Whether frames are in the network card's own reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum Copying {
    /// The kernel copies every packet.
    Copy,
    /// The driver moves packets by itself.
    ZeroCopy,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Answered {
    /// Packets that were taken from the receive ring.
    pub(in crate::transport) n_received: usize,
    /// Replies that were given up because too many are on their way.
    pub(in crate::transport) n_unsent: usize,
}

/// A socket on one receive queue of an interface.
pub(in crate::transport) struct XdpSocket {
    socket: Socket,
    frames: Mapping,
    fill: Ring<u64>,
    completion: Ring<u64>,
    received: Ring<xdp_desc>,
    sending: Ring<xdp_desc>,
    n_in_flight: u32,
}

impl XdpSocket {
    /// Opens a socket with its frames and rings, and binds it. It receives nothing before it stands in
    /// the map that a program on the interface redirects to. The error comes with what was tried.
    pub(in crate::transport) fn open(
        interface: u32,
        queue: u32,
        forced: Option<Copying>,
    ) -> Result<Self, (&'static str, io::Error)> {
        let at = |step| move |cause| (step, cause);
        let socket = Socket::new(Domain::from(libc::AF_XDP), Type::RAW, None)
            .map_err(at("open an AF_XDP socket"))?;
        let fd = socket.as_fd();
        let frames = Mapping::anonymous(FRAMES_LEN).map_err(at("take memory for its frames"))?;
        let memory = libc::xdp_umem_reg {
            addr: frames.address.as_ptr().expose_provenance() as u64,
            len: frames.len as u64,
            chunk_size: FRAME_LEN as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set_option(fd, libc::XDP_UMEM_REG, &memory).map_err(at("share its frames"))?;
        let rings = at("make its rings");
        for (option, n) in [
            (libc::XDP_UMEM_FILL_RING, N_FRAMES),
            (libc::XDP_UMEM_COMPLETION_RING, N_SENDING),
            (libc::XDP_RX_RING, N_FRAMES),
            (libc::XDP_TX_RING, N_SENDING),
        ] {
            set_option(fd, option, &n).map_err(rings)?;
        }
        let offsets = ring_offsets(fd).map_err(rings)?;
        let fill_at = libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t;
        let completion_at = libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t;
        let mut opened = Self {
            fill: Ring::map(fd, &offsets.fr, fill_at, N_FRAMES).map_err(rings)?,
            completion: Ring::map(fd, &offsets.cr, completion_at, N_SENDING).map_err(rings)?,
            received: Ring::map(fd, &offsets.rx, libc::XDP_PGOFF_RX_RING, N_FRAMES)
                .map_err(rings)?,
            sending: Ring::map(fd, &offsets.tx, libc::XDP_PGOFF_TX_RING, N_SENDING)
                .map_err(rings)?,
            socket,
            frames,
            n_in_flight: 0,
        };
        for frame in 0..u64::from(N_FRAMES) {
            opened.fill.push(frame * FRAME_LEN as u64);
        }
        opened.fill.publish();
        opened
            .bind(interface, queue, forced)
            .map_err(at("bind to a queue"))?;
        Ok(opened)
    }

    fn bind(&self, interface: u32, queue: u32, forced: Option<Copying>) -> io::Result<()> {
        let forced = match forced {
            // The kernel tries without copies first.
            None => 0,
            Some(Copying::Copy) => libc::XDP_COPY,
            Some(Copying::ZeroCopy) => libc::XDP_ZEROCOPY,
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: forced | libc::XDP_USE_NEED_WAKEUP,
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: the storage holds and aligns any address, and the length is that of what is written.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, len| {
                storage.cast::<libc::sockaddr_xdp>().write(address);
                *len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
                Ok(())
            })
        }?;
        self.socket.bind(&address)
    }

    /// How its packets are moved.
    pub(in crate::transport) fn copying(&self) -> io::Result<Copying> {
        let mut options = libc::xdp_options { flags: 0 };
        option(self.as_fd(), libc::XDP_OPTIONS, &mut options)?;
        Ok(match options.flags & libc::XDP_OPTIONS_ZEROCOPY {
            0 => Copying::Copy,
            _ => Copying::ZeroCopy,
        })
    }

    /// What the kernel has counted of the socket's packets since it was opened.
    pub(in crate::transport) fn statistics(&self) -> io::Result<[(XdpStatistic, u64); 3]> {
        let mut statistics = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        option(self.as_fd(), libc::XDP_STATISTICS, &mut statistics)?;
        Ok([
            (XdpStatistic::Dropped, statistics.rx_dropped),
            (
                XdpStatistic::FillRingEmpty,
                statistics.rx_fill_ring_empty_descs,
            ),
            (XdpStatistic::RingFull, statistics.rx_ring_full),
        ])
    }

    /// Waits until a packet is there, at most for `timeout`, and returns whether one is. Gets on with
    /// sending meanwhile, as far as the kernel needs to be asked to.
    pub(in crate::transport) fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        if self.received.has_more() {
            return Ok(true);
        }
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: one `pollfd`, exclusively borrowed across the call.
        let n = unsafe { libc::poll(&raw mut poll, 1, timeout) };
        self.reclaim();
        match n {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(self.received.has_more()),
        }
    }

    /// Whether replies are still on their way out.
    pub(in crate::transport) fn is_sending(&self) -> bool {
        self.n_in_flight > 0
    }

    /// Asks the kernel how the interface is: `ENETDOWN` while it is down, `ENXIO` when it has gone.
    pub(in crate::transport) fn check(&self) -> io::Result<()> {
        self.request_sending()
    }

    /// Lends each received packet, at most `limit`, to `answer`: the frame from the packet's first octet
    /// on, and the packet's length. It leaves a reply there and returns its length, 0 for none. The
    /// replies are sent at the end.
    pub(in crate::transport) fn answer(
        &mut self,
        limit: usize,
        mut answer: impl FnMut(&mut [u8], usize, &[u8]) -> usize,
    ) -> Answered {
        let mut n_received = 0;
        let mut n_unsent = 0;
        while n_received < limit
            && let Some(mut packet) = self.received.pop()
        {
            n_received += 1;
            let later = self.received.peek(PREFETCH_DISTANCE as u32 - 1);
            debug_assert!(
                later.is_none_or(|later| frame_of(later.addr) != frame_of(packet.addr)),
                "the kernel has put a frame into the receive ring twice"
            );
            // SAFETY: the frame is inside the mapping. It is in the receive ring, so the kernel does not
            // touch it, it is another one than that of `packet`, and the slice is gone before an entry is
            // put into another ring.
            let later = later.map_or(&[][..], |later| unsafe {
                let frame = &*frame(&self.frames, later.addr);
                frame.get(..later.len as usize).unwrap_or_default()
            });
            // SAFETY: the frame is inside the mapping. It came from the receive ring, so the kernel does
            // not touch it before it is put into another, and the slice is gone by then.
            let frame = unsafe { &mut *frame(&self.frames, packet.addr) };
            let len = answer(frame, packet.len as usize, later).min(frame.len());
            if len > 0 && self.n_in_flight < N_SENDING {
                packet.len = len as u32;
                packet.options = 0;
                self.sending.push(packet);
                self.n_in_flight += 1;
            } else {
                n_unsent += usize::from(len > 0);
                self.fill.push(packet.addr);
            }
        }
        self.received.release();
        self.fill.publish();
        self.sending.publish();
        self.send();
        self.reclaim();
        Answered {
            n_received,
            n_unsent,
        }
    }

    /// Has the kernel send until it has taken everything, or takes no more. It takes some 32 packets at
    /// a call where it copies them.
    fn send(&self) {
        let mut n_left = self.sending.n_entries();
        while n_left > 0 && self.sending.needs_wakeup() {
            // A full device queue: the next call goes on. An interface that is down: likewise.
            let _ = self.request_sending();
            let n_before = n_left;
            n_left = self.sending.n_entries();
            if n_left == n_before {
                return;
            }
        }
    }

    fn request_sending(&self) -> io::Result<()> {
        // SAFETY: without data and address, there is nothing that the pointers have to be valid for.
        let result = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                ptr::null(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null(),
                0,
            )
        };
        match result {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Puts frames that were sent back into the fill ring.
    fn reclaim(&mut self) {
        while let Some(frame) = self.completion.pop() {
            self.n_in_flight = self.n_in_flight.saturating_sub(1);
            self.fill.push(frame);
        }
        self.completion.release();
        self.fill.publish();
    }
}

impl fmt::Debug for XdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XdpSocket")
            .field("socket", &self.socket)
            .field("n_in_flight", &self.n_in_flight)
            .finish_non_exhaustive()
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The octets from an address of the frames' memory to the end of its frame; none for an address beyond.
/// The pointer is valid as long as the mapping.
fn frame(frames: &Mapping, address: u64) -> *mut [u8] {
    let start = usize::try_from(address)
        .unwrap_or(usize::MAX)
        .min(frames.len);
    let end = frames.len.min((start | (FRAME_LEN - 1)) + 1);
    let first = frames.address.as_ptr().wrapping_add(start);
    ptr::slice_from_raw_parts_mut(first, end - start)
}

/// The number of the frame that an address is in.
fn frame_of(address: u64) -> u64 {
    address / FRAME_LEN as u64
}

fn ring_offsets(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    const NONE: xdp_ring_offset = xdp_ring_offset {
        producer: 0,
        consumer: 0,
        desc: 0,
        flags: 0,
    };
    let mut offsets = libc::xdp_mmap_offsets {
        rx: NONE,
        tx: NONE,
        fr: NONE,
        cr: NONE,
    };
    option(socket, libc::XDP_MMAP_OFFSETS, &mut offsets)?;
    Ok(offsets)
}

/// Reads a socket option.
fn option<T: Pod>(socket: BorrowedFd<'_>, name: c_int, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let value: *mut T = value;
    // SAFETY: the value is exclusively borrowed across the call, its size is given, and it may have any octets.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            name,
            value.cast(),
            &raw mut len,
        )
    };
    match result {
        0 if len as usize == size_of::<T>() => Ok(()),
        // A kernel before 5.4 has smaller structures.
        0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_option<T: Pod>(socket: BorrowedFd<'_>, name: c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    // SAFETY: the value lives across the call, all of it is initialised, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_XDP,
            name,
            value.cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_frame_ends_where_the_next_begins() {
        let frames = Mapping::anonymous(FRAMES_LEN).unwrap();
        let end = FRAMES_LEN as u64;
        for (address, len) in [
            (0, 2048),
            (256, 1792),
            (2047, 1),
            (2048 + 300, 1748),
            (end - 1, 1),
            (end, 0),
            (u64::MAX, 0),
        ] {
            // SAFETY: it is inside the mapping, which no kernel or other thread writes.
            let frame = unsafe { &mut *frame(&frames, address) };
            assert_eq!(frame.len(), len, "{address}");
            frame.fill(7);
        }
    }
}
