//! Tells when a listening address leaves the machine, and when it is back.
//!
//! A socket outlives its address: while no interface has it, the kernel delivers nothing and reports no
//! error, and once one has it again, queries arrive as before. So there is nothing to do but to say
//! so. The kernel is asked every second, by binding another socket to the address.

use std::io;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;
use tracing::info;
use tracing::warn;

use crate::transport::stop::stopped;

/// How often is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Logs what becomes of the addresses until `stop`.
pub(super) async fn watch(listen: Vec<SocketAddr>, mut stop: watch::Receiver<bool>) {
    let mut listeners: Vec<AddressWatch> = listen.into_iter().map(AddressWatch::new).collect();
    let mut looks = interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stopped(&mut stop) => return,
        }
        for listener in &mut listeners {
            let address = listener.address;
            match listener.note(is_here(address)) {
                Some(true) => info!(%address, "listening address is back"),
                Some(false) => warn!(
                    %address,
                    "listening address has gone, nothing arrives there until an interface has it again"
                ),
                None => {}
            }
        }
    }
}

/// Whether an interface has an address, as last seen.
#[derive(Debug)]
struct AddressWatch {
    address: SocketAddr,
    is_here: bool,
}

impl AddressWatch {
    /// It has just been listened on.
    fn new(address: SocketAddr) -> Self {
        Self {
            address,
            is_here: true,
        }
    }

    /// Takes a look's result, `None` if it has none, and gives it back if it is news.
    fn note(&mut self, is_here: Option<bool>) -> Option<bool> {
        let news = is_here.filter(|is_here| *is_here != self.is_here)?;
        self.is_here = news;
        Some(news)
    }
}

/// Whether an interface has the address; a wildcard is everywhere. `None` if the kernel does not say,
/// as for want of open files.
fn is_here(mut address: SocketAddr) -> Option<bool> {
    address.set_port(0);
    match UdpSocket::bind(address) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Some(false),
        // The interface of a link-local address.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_told_once() {
        let mut watch = AddressWatch::new(([192, 0, 2, 1], 53).into());
        for (look, news) in [
            (Some(true), None),
            (Some(false), Some(false)),
            (Some(false), None),
            (None, None),
            (Some(false), None),
            (Some(true), Some(true)),
            (None, None),
            (Some(true), None),
        ] {
            assert_eq!(watch.note(look), news, "{look:?}");
        }
    }

    #[test]
    fn the_kernel_knows_which_addresses_are_here() {
        for (address, here) in [
            ("127.0.0.1:53", Some(true)),
            ("0.0.0.0:53", Some(true)),
            // 240/4 can be no interface's.
            ("240.0.0.1:53", Some(false)),
            ("[fe80::1%4294967295]:53", Some(false)),
        ] {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }
}
