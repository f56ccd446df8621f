//! Opens the admin port, also on an address that the machine does not have yet: a network for management
//! that comes up late, or never, keeps no query unanswered.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;
use tracing::warn;

use crate::transport;

/// Connections that may wait to be accepted: more than come while the thread that accepts them waits for a
/// core. The next one would be tried again only after a second.
const BACKLOG: i32 = 1024;

/// A listener that does not block.
///
/// # Errors
/// If the port is taken, or may not be opened.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if let Err(error) = socket.bind(&address.into()) {
        if !transport::is_absent(&error) {
            return Err(error);
        }
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
        socket.bind(&address.into())?;
        warn!(
            %address,
            "[admin] listen is an address that no interface has; calls are answered as soon as one has it"
        );
    }
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_missing_is_listened_on_and_a_port_that_is_taken_is_not() {
        let missing: SocketAddr = "192.0.2.99:0".parse().expect("an address");
        let listener = listen(missing).expect("a listener");
        let address = listener.local_addr().expect("an address");
        assert_eq!(address.ip(), missing.ip());
        assert_ne!(address.port(), 0);

        let taken = listen(([127, 0, 0, 1], 0).into()).expect("a listener");
        let error = listen(taken.local_addr().expect("an address"));
        let error = error.expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
