//! Watches whether the machine has the listening addresses, and listens on those that it gets only later.
//!
//! A socket outlives its address: while no interface has it, the kernel delivers nothing and reports no
//! error, and once one has it again, queries arrive as before. So there is nothing to do but to log it. The
//! kernel is asked every second, by binding another socket to the address.

use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;

use tokio::time::interval;
use tracing::info;
use tracing::warn;

use crate::transport::bind::ListenAddress;
use crate::transport::bind::is_absent;
use crate::transport::responder::Responder;
use crate::transport::starter::Starter;
use crate::transport::stop::stopped;

/// How often is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the addresses of `listening` and those of `absent`, which it listens on as soon as they are there,
/// until the listeners stop.
pub(super) async fn watch<U: Responder, T: Responder>(
    listening: Vec<SocketAddr>,
    absent: Vec<ListenAddress>,
    starter: Starter<U, T>,
) {
    let mut watches: Vec<AddressWatch> = listening.into_iter().map(AddressWatch::new).collect();
    let mut absent: Vec<AbsentWatch> = absent.into_iter().map(AbsentWatch::new).collect();
    let mut looks = interval(LOOK_INTERVAL);
    let mut stop = starter.stop.clone();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stopped(&mut stop) => return,
        }
        for watch in &mut watches {
            watch.look();
        }
        absent.retain_mut(|absent| match absent.look(&starter) {
            Some(address) => {
                watches.push(AddressWatch::new(address));
                false
            }
            None => true,
        });
    }
}

/// An address that is not listened on yet.
#[derive(Debug)]
struct AbsentWatch {
    listen: ListenAddress,
    is_logged: bool,
}

impl AbsentWatch {
    fn new(listen: ListenAddress) -> Self {
        Self {
            listen,
            is_logged: false,
        }
    }

    /// Listens on the address if it is there by now, and returns it with its real port.
    fn look<U: Responder, T: Responder>(&mut self, starter: &Starter<U, T>) -> Option<SocketAddr> {
        let listener = match self.listen.open() {
            Ok(listener) => listener,
            Err(error) => {
                if !error.is_absent_address() && !self.is_logged {
                    warn!(%error, "listening address is there but cannot be used; retrying (further errors suppressed)");
                    self.is_logged = true;
                }
                return None;
            }
        };
        let address = listener.address;
        match starter.start(listener) {
            Ok(()) => info!(%address, "listening address has appeared"),
            Err(error) => {
                warn!(%address, %error, "listening address has appeared but cannot be served");
            }
        }
        Some(address)
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

    /// Asks the kernel, and logs what has changed.
    fn look(&mut self) {
        let address = self.address;
        match self.note(is_here(address)) {
            Some(true) => info!(%address, "listening address is back"),
            Some(false) => warn!(
                %address,
                "listening address has gone, nothing arrives there until an interface has it again"
            ),
            None => {}
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
        Err(error) if is_absent(&error) => Some(false),
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
