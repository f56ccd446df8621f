//! Binding a socket to a source address without claiming a local port.
//!
//! bind(2) with port 0 takes a port at once, for this address as a whole: some 28,000 probes later, with
//! those in TIME_WAIT, there is none left. With `IP_BIND_ADDRESS_NO_PORT` (Linux 4.2) connect(2)
//! chooses the port when the other end is known, so that one port serves many endpoints.
#![expect(unsafe_code, reason = "socket2 and rustix have no such socket option")]

use std::ffi::c_int;
use std::io;
use std::mem::size_of;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

/// Has the next bind(2) of this socket, to port 0, choose the address alone. The option is the IP
/// level's for IPv6 sockets as well.
///
/// # Errors
/// If the kernel does not know the option.
pub(super) fn bind_without_port(socket: &impl AsFd) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel reads as many octets as
    // it is given, which are those of `on`, and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
