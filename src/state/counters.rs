//! Counters of the answer path: one shard per thread, summed when they are scraped.
//!
//! A shard is written by one thread only and aligned to its own cache lines, so that counting costs a
//! plain add: shared counters cost ten times as much at four threads.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::rr::Rcode;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A message on a stream.
    Tcp,
}

impl Transport {
    /// All, in index order.
    pub const ALL: [Self; 2] = [Self::Udp, Self::Tcp];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Why something that arrived got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The client has as many TCP connections as one may have.
    ClientConnectionLimit,
    /// There are as many TCP connections as there may be.
    ConnectionLimit,
    /// The message was a response.
    Response,
    /// The answer could not be sent.
    Send,
    /// Fewer octets than a header has.
    Short,
}

impl Dropped {
    /// All, in index order.
    pub const ALL: [Self; 5] = [
        Self::ClientConnectionLimit,
        Self::ConnectionLimit,
        Self::Response,
        Self::Send,
        Self::Short,
    ];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientConnectionLimit => "client_connection_limit",
            Self::ConnectionLimit => "connection_limit",
            Self::Response => "response",
            Self::Send => "send",
            Self::Short => "short",
        }
    }
}

/// One thread's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    queries: [AtomicU64; Transport::ALL.len()],
    responses: [AtomicU64; Rcode::ALL.len()],
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Shard {
    /// Counts a message that arrived.
    pub fn query(&self, transport: Transport) {
        self.queries[transport as usize].fetch_add(1, Relaxed);
    }

    /// Counts a response by its code.
    pub fn response(&self, rcode: Rcode) {
        if let Some(ix) = Rcode::ALL.iter().position(|r| *r == rcode) {
            self.responses[ix].fetch_add(1, Relaxed);
        }
    }

    /// Counts something that got no answer.
    pub fn dropped(&self, reason: Dropped) {
        self.dropped[reason as usize].fetch_add(1, Relaxed);
    }
}

/// All shards.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[Shard]>,
}

impl Counters {
    /// One shard per answering thread, at least one.
    pub fn new(n_shards: usize) -> Self {
        Self {
            shards: (0..n_shards.max(1)).map(|_| Shard::default()).collect(),
        }
    }

    /// A thread's own shard; more threads than shards share.
    pub fn shard(&self, ix: usize) -> &Shard {
        &self.shards[ix % self.shards.len()]
    }

    /// Messages that arrived over a transport.
    pub fn queries(&self, transport: Transport) -> u64 {
        self.shards
            .iter()
            .map(|s| s.queries[transport as usize].load(Relaxed))
            .sum()
    }

    /// Responses with a code.
    pub fn responses(&self, rcode: Rcode) -> u64 {
        let ix = Rcode::ALL.iter().position(|r| *r == rcode);
        ix.map_or(0, |ix| {
            self.shards
                .iter()
                .map(|s| s.responses[ix].load(Relaxed))
                .sum()
        })
    }

    /// Things that got no answer for a reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.shards
            .iter()
            .map(|s| s.dropped[reason as usize].load(Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let counters = Counters::new(2);
        counters.shard(0).query(Transport::Udp);
        counters.shard(1).query(Transport::Udp);
        counters.shard(2).query(Transport::Tcp);
        counters.shard(0).response(Rcode::BadVers);
        counters.shard(1).dropped(Dropped::Short);
        assert_eq!(counters.queries(Transport::Udp), 2);
        assert_eq!(counters.queries(Transport::Tcp), 1);
        assert_eq!(counters.responses(Rcode::BadVers), 1);
        assert_eq!(counters.dropped(Dropped::Short), 1);
        assert_eq!(counters.dropped(Dropped::Send), 0);
    }

    #[test]
    fn labels_stand_at_their_index() {
        for (ix, transport) in Transport::ALL.into_iter().enumerate() {
            assert_eq!(transport as usize, ix);
        }
        for (ix, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, ix);
        }
    }
}
