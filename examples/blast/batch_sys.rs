//! `recvmmsg` and `sendmmsg` as thinly as they can be had: all structures are laid out once, and the same
//! buffers are received into and sent from. Nothing of the server's own sockets is used, so that the
//! echo is a measure for them.

#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and sched_setaffinity have no safe wrapper"
)]

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

/// Octets of a message.
pub const MESSAGE_LEN: usize = 1024;

/// Messages with the addresses they came from, in one place for both directions.
pub struct Batch {
    messages: Box<[[u8; MESSAGE_LEN]]>,
    names: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// Whether replies need the address; a connected socket's do not.
    with_names: bool,
}

impl Batch {
    /// Room for `n` messages.
    pub fn new(n: usize, with_names: bool) -> Self {
        // SAFETY: plain C structures of integers and pointers, for which all zeros is a value.
        let (name, vector, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut batch = Self {
            messages: vec![[0; MESSAGE_LEN]; n].into_boxed_slice(),
            names: vec![name; n].into_boxed_slice(),
            vectors: vec![vector; n].into_boxed_slice(),
            headers: vec![header; n].into_boxed_slice(),
            with_names,
        };
        for ix in 0..n {
            let header = &mut batch.headers[ix].msg_hdr;
            header.msg_iov = &raw mut batch.vectors[ix];
            header.msg_iovlen = 1;
            if with_names {
                header.msg_name = (&raw mut batch.names[ix]).cast();
            }
            batch.vectors[ix].iov_base = batch.messages[ix].as_mut_ptr().cast();
        }
        batch
    }

    /// Messages that it has room for.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Receives what there is, after waiting for the first one if it `waits`; how many came.
    pub fn receive(&mut self, socket: &UdpSocket, waits: bool) -> io::Result<usize> {
        for (vector, header) in self.vectors.iter_mut().zip(&mut self.headers) {
            vector.iov_len = MESSAGE_LEN;
            if self.with_names {
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            }
        }
        let flags = if waits {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        // SAFETY: every header points to a vector, a message and a name in this batch's own boxes, which
        // neither move nor are touched by others during the call; lengths are true.
        let n = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as _,
                flags as _,
                ptr::null_mut(),
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// The message received in place `ix`.
    pub fn message(&self, ix: usize) -> &[u8] {
        let len = self.headers[ix].msg_len as usize;
        &self.messages[ix][..len.min(MESSAGE_LEN)]
    }

    /// Turns the message received in place `ix` into a response that claims an answer, longer by
    /// `grow` octets.
    pub fn respond(&mut self, ix: usize, grow: usize) {
        let len = self.headers[ix].msg_len as usize;
        self.messages[ix][2] |= 0x80;
        self.messages[ix][7] = 1;
        self.vectors[ix].iov_len = (len + grow).min(MESSAGE_LEN);
    }

    /// Puts a message into place `ix`, with an ID of its own.
    pub fn put(&mut self, ix: usize, message: &[u8], id: u16) {
        self.messages[ix][..message.len()].copy_from_slice(message);
        self.messages[ix][..2].copy_from_slice(&id.to_be_bytes());
        self.vectors[ix].iov_len = message.len();
    }

    /// Sends the first `n` messages; how many the kernel took.
    pub fn send(&mut self, socket: &UdpSocket, n: usize) -> io::Result<usize> {
        let headers = &mut self.headers[..n];
        // SAFETY: as in `receive`; the vectors' lengths are at most the messages'.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as _,
                0,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Which sockets have something to receive.
pub struct Readiness {
    polled: Vec<libc::pollfd>,
}

impl Readiness {
    /// For these sockets.
    pub fn of<'a>(sockets: impl Iterator<Item = &'a UdpSocket>) -> Self {
        let polled = sockets
            .map(|socket| libc::pollfd {
                fd: socket.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        Self { polled }
    }

    /// Waits up to `timeout_ms` milliseconds for a socket to become ready.
    pub fn wait(&mut self, timeout_ms: i32) {
        // SAFETY: an array of that length, exclusively borrowed.
        unsafe {
            libc::poll(self.polled.as_mut_ptr(), self.polled.len() as _, timeout_ms);
        }
    }

    /// Whether socket `ix` was ready.
    pub fn is_ready(&self, ix: usize) -> bool {
        self.polled[ix].revents != 0
    }
}

/// Keeps the calling thread on one core.
pub fn stay_on(core: usize) -> io::Result<()> {
    // SAFETY: a plain bit set, for which all zeros is a value; CPU_SET checks its bounds.
    let result = unsafe {
        let mut cores: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut cores);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cores)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
