//! Limits TCP connections, in all and per client.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::base::lock::lock;
use crate::state::counters::Dropped;
use crate::state::counters::Shard;

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

/// Limits the connections, in all and per client. When there are as many as there may be, the one that
/// has been idle for longest makes room for a new one, so that idle connections, of however many clients,
/// keep nobody out.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    max: usize,
    max_per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// By last use, which is a number that grows: the first has been idle for longest.
    by_use: BTreeMap<u64, Connection>,
    n_by_client: HashMap<IpAddr, usize>,
    next_use: u64,
}

#[derive(Debug)]
struct Connection {
    client: IpAddr,
    evicted: Arc<Notify>,
}

/// The right to hold one connection; dropping it gives it back.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    last_use: u64,
    evicted: Arc<Notify>,
}

impl ConnectionLimiter {
    pub(super) fn new(limits: &TcpLimits) -> Arc<Self> {
        Arc::new(Self {
            max: limits.max_connections,
            max_per_client: limits.max_connections_per_client,
            open: Mutex::default(),
        })
    }

    /// A permit for a connection from `src`, unless its client has as many as it may have. What gives
    /// way, the new connection or an idle one, is counted.
    pub(super) fn admit(
        self: &Arc<Self>,
        src: IpAddr,
        counters: &Shard,
    ) -> Option<ConnectionPermit> {
        let client = client_of(src);
        let mut open = lock(&self.open);
        if open.n_by_client.get(&client).copied().unwrap_or(0) >= self.max_per_client {
            counters.dropped(Dropped::ClientConnectionLimit);
            return None;
        }
        if open.by_use.len() >= self.max {
            open.evict_idlest();
            counters.dropped(Dropped::ConnectionLimit);
        }
        *open.n_by_client.entry(client).or_default() += 1;
        let evicted = Arc::new(Notify::new());
        let last_use = open.insert(Connection {
            client,
            evicted: Arc::clone(&evicted),
        });
        Some(ConnectionPermit {
            limiter: Arc::clone(self),
            last_use,
            evicted,
        })
    }
}

impl Open {
    /// Makes a connection the last used, and returns the number of this use.
    fn insert(&mut self, connection: Connection) -> u64 {
        let this_use = self.next_use;
        self.next_use += 1;
        self.by_use.insert(this_use, connection);
        this_use
    }

    fn evict_idlest(&mut self) {
        if let Some((_, connection)) = self.by_use.pop_first() {
            self.forget(connection.client);
            connection.evicted.notify_one();
        }
    }

    /// Counts one connection less of a client.
    fn forget(&mut self, client: IpAddr) {
        if let Entry::Occupied(mut n) = self.n_by_client.entry(client) {
            *n.get_mut() -= 1;
            if *n.get() == 0 {
                n.remove();
            }
        }
    }
}

impl ConnectionPermit {
    /// Notes that the connection has just been of use.
    pub(super) fn mark_used(&mut self) {
        let mut open = lock(&self.limiter.open);
        if let Some(connection) = open.by_use.remove(&self.last_use) {
            self.last_use = open.insert(connection);
        }
    }

    /// Completes when the connection has to make room for another.
    pub(super) fn evicted(&self) -> impl Future<Output = ()> + use<> {
        let evicted = Arc::clone(&self.evicted);
        async move { evicted.notified().await }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.limiter.open);
        // One that was evicted is not there any more.
        if let Some(connection) = open.by_use.remove(&self.last_use) {
            open.forget(connection.client);
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
    use std::pin::pin;
    use std::task::Context;
    use std::task::Waker;

    use super::*;
    use crate::state::counters::Counters;
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

    fn limiter(max: usize, max_per_client: usize) -> Arc<ConnectionLimiter> {
        ConnectionLimiter::new(&TcpLimits {
            max_connections: max,
            max_connections_per_client: max_per_client,
            ..LIMITS
        })
    }

    fn client(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn is_evicted(permit: &ConnectionPermit) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(permit.evicted()).poll(&mut context).is_ready()
    }

    #[test]
    fn when_full_the_idlest_connection_makes_room() {
        let counters = Counters::new(1);
        let limiter = limiter(3, 3);
        let admit = |n| limiter.admit(client(n), counters.shard(0)).unwrap();
        let mut first = admit(1);
        let (second, third) = (admit(1), admit(2));
        first.mark_used();
        let fourth = admit(3);
        assert!(is_evicted(&second), "the first has been used since");
        assert!(![&first, &third, &fourth].into_iter().any(is_evicted));
        // It takes part no longer, whatever its task still does.
        let mut second = second;
        second.mark_used();
        drop(second);
        let fifth = admit(3);
        assert!(is_evicted(&third));
        assert!(![&first, &fourth, &fifth].into_iter().any(is_evicted));
        assert_eq!(counters.dropped(Dropped::ConnectionLimit), 2);
    }

    #[test]
    fn a_client_with_too_many_connections_evicts_nobody() {
        let counters = Counters::new(1);
        let limiter = limiter(3, 2);
        let admit = |n| limiter.admit(client(n), counters.shard(0));
        let mut permits: Vec<_> = [1, 1, 2].map(|n| admit(n).unwrap()).into();
        assert!(admit(1).is_none());
        assert!(!permits.iter().any(is_evicted));
        assert_eq!(counters.dropped(Dropped::ClientConnectionLimit), 1);
        permits.remove(0);
        assert!(admit(1).is_some(), "a place has become free");
    }

    #[test]
    fn nothing_is_kept_of_clients_that_have_gone() {
        let counters = Counters::new(1);
        let limiter = limiter(2, 2);
        let mut evicted = Vec::new();
        for n in 0..10 {
            let pair = [n, n].map(|n| limiter.admit(client(n), counters.shard(0)).unwrap());
            evicted.extend(pair);
        }
        assert_eq!(lock(&limiter.open).by_use.len(), 2);
        assert_eq!(lock(&limiter.open).n_by_client.len(), 1);
        drop(evicted);
        let open = lock(&limiter.open);
        assert_eq!((open.by_use.len(), open.n_by_client.len()), (0, 0));
    }
}
