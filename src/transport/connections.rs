//! Limits TCP connections, in all and per client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::base::lock::lock;
use crate::state::counters::Dropped;

/// `[server] tcp_*` and `max_tcp_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// How long a connection may stay without a complete query, and how long a client may take to
    /// accept answers.
    pub idle_timeout: Duration,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections from one client: an IPv4 address, or an IPv6 /64, which one host owns in whole.
    pub max_connections_per_client: usize,
}

/// Counts the open connections, in all and per client.
#[derive(Debug, Default)]
pub(super) struct ConnectionLimiter {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    n: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The right to hold one connection; dropping it gives it back.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    client: IpAddr,
}

impl ConnectionPermit {
    /// A permit for a connection from `src`, or the limit that it would exceed.
    pub(super) fn acquire(
        limiter: &Arc<ConnectionLimiter>,
        src: IpAddr,
        limits: &TcpLimits,
    ) -> Result<Self, Dropped> {
        let client = client_of(src);
        let mut taken = lock(&limiter.taken);
        if taken.n >= limits.max_connections {
            return Err(Dropped::ConnectionLimit);
        }
        let n_of_client = taken.by_client.get(&client).copied().unwrap_or(0);
        if n_of_client >= limits.max_connections_per_client {
            return Err(Dropped::ClientConnectionLimit);
        }
        taken.by_client.insert(client, n_of_client + 1);
        taken.n += 1;
        Ok(Self {
            limiter: Arc::clone(limiter),
            client,
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = lock(&self.limiter.taken);
        taken.n -= 1;
        if let Entry::Occupied(mut n_of_client) = taken.by_client.entry(self.client) {
            *n_of_client.get_mut() -= 1;
            if *n_of_client.get() == 0 {
                n_of_client.remove();
            }
        }
    }
}

/// Whom a connection is counted for.
fn client_of(src: IpAddr) -> IpAddr {
    match src {
        IpAddr::V4(_) => src,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (!0 << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tests::LIMITS;

    #[test]
    fn clients_are_ipv4_addresses_and_ipv6_64s() {
        for (src, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let [src, client]: [IpAddr; 2] = [src, client].map(|a| a.parse().unwrap());
            assert_eq!(client_of(src), client);
        }
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_gone() {
        let limiter = Arc::default();
        for n in 0..10 {
            let pair = [n, n].map(|n| {
                ConnectionPermit::acquire(&limiter, [192, 0, 2, n].into(), &LIMITS).unwrap()
            });
            assert_eq!(lock(&limiter.taken).n, 2);
            drop(pair);
        }
        let taken = lock(&limiter.taken);
        assert_eq!((taken.n, taken.by_client.len()), (0, 0));
    }
}
