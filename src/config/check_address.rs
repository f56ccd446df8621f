//! `CheckAddress`: where an endpoint is probed, if not at the address that is answered.

use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::config::safety::Safety;

/// `check` of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckAddress {
    /// The address, never IPv4-mapped.
    pub ip: IpAddr,
    /// The port, in place of that of each monitor.
    pub port: Option<u16>,
}

impl CheckAddress {
    /// Checks that it can stand for this endpoint.
    ///
    /// # Errors
    /// Why not; goes on after "`check` ".
    pub fn check(self, endpoint: IpAddr, safety: &Safety) -> Result<(), String> {
        if self.ip.is_ipv4() != endpoint.is_ipv4() {
            let ip = self.ip;
            return Err(format!(
                "is {ip}, expected an address of the same family as {endpoint}"
            ));
        }
        let refusal = |refusal| format!("is {}, {refusal}", self.ip);
        safety.check(self.ip).map_err(refusal)
    }

    /// Where a monitor with this port probes.
    pub fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

impl fmt::Display for CheckAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}
