//! Counters of the answer path: one shard per thread, summed when they are scraped.
//!
//! A shard is written by one thread only and aligned to its own cache lines, so that counting costs a
//! plain add: shared counters cost ten times as much at four threads. Only the last one is for all
//! that have none of their own, and is added to in one step that nobody can come between.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::base::ix::PoolIx;
use crate::base::ix::SteeredIx;
use crate::base::rr::Rcode;
use crate::base::transport::Transport;
use crate::config::model::Pools;
use crate::config::model::Steered;
use crate::state::correspondence::Correspondence;
use crate::steer::AllDown;

/// Why something that arrived got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The client has as many TCP connections as one may have.
    ClientConnectionLimit,
    /// A TCP connection that was idle, closed for a new one because there were as many as there may be.
    ConnectionLimit,
    /// The client prefix had its share of such responses.
    RateLimit,
    /// The message was a response.
    Response,
    /// The answer could not be sent.
    Send,
    /// Fewer octets than a header has.
    Short,
    /// The packet came from port 0, where nothing can be sent.
    SourcePort,
}

impl Dropped {
    /// All, in index order.
    pub const ALL: [Self; 7] = [
        Self::ClientConnectionLimit,
        Self::ConnectionLimit,
        Self::RateLimit,
        Self::Response,
        Self::Send,
        Self::Short,
        Self::SourcePort,
    ];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientConnectionLimit => "client_connection_limit",
            Self::ConnectionLimit => "connection_limit",
            Self::RateLimit => "rate_limit",
            Self::Response => "response",
            Self::Send => "send",
            Self::Short => "short",
            Self::SourcePort => "source_port",
        }
    }
}

/// What became of a zone transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transferred {
    /// The connection ended before it did.
    Broken,
    /// All of it was taken.
    Done,
    /// It was not for the client.
    Refused,
}

impl Transferred {
    /// All, in index order.
    pub const ALL: [Self; 3] = [Self::Broken, Self::Done, Self::Refused];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// What the kernel counts of an AF_XDP socket's packets (`XDP_STATISTICS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpStatistic {
    /// Packets that were dropped for want of a frame, or for their length.
    Dropped,
    /// How often there was no frame in the fill ring.
    FillRingEmpty,
    /// Packets that were dropped because the receive ring was full.
    RingFull,
}

impl XdpStatistic {
    /// All, in index order.
    pub const ALL: [Self; 3] = [Self::Dropped, Self::FillRingEmpty, Self::RingFull];

    /// The metric label: the kernel's own name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "rx_dropped",
            Self::FillRingEmpty => "rx_fill_ring_empty_descs",
            Self::RingFull => "rx_ring_full",
        }
    }
}

/// The last shard, however many there are: the one that several threads may count in.
pub const SHARED_SHARD: usize = usize::MAX;

/// One thread's counters, or those of several if it is the last of all.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    is_shared: bool,
    queries: [AtomicU64; Transport::ALL.len()],
    xdp: AtomicU64,
    xdp_statistics: [AtomicU64; XdpStatistic::ALL.len()],
    responses: [AtomicU64; Rcode::ALL.len()],
    dropped: [AtomicU64; Dropped::ALL.len()],
    transfers: [AtomicU64; Transferred::ALL.len()],
}

impl Shard {
    /// Counts a message that arrived.
    pub fn query(&self, transport: Transport) {
        self.add(&self.queries[transport as usize]);
    }

    /// Counts a datagram that came by AF_XDP; its message is counted as well, as one over UDP.
    pub fn came_by_xdp(&self) {
        self.add(&self.xdp);
    }

    /// Takes over what the kernel has counted of the thread's AF_XDP socket.
    pub fn set_xdp_statistic(&self, statistic: XdpStatistic, n: u64) {
        self.xdp_statistics[statistic as usize].store(n, Relaxed);
    }

    /// Counts a response by its code.
    pub fn response(&self, rcode: Rcode) {
        if let Some(ix) = Rcode::ALL.iter().position(|r| *r == rcode) {
            self.add(&self.responses[ix]);
        }
    }

    /// Counts a zone transfer.
    pub fn transfer(&self, result: Transferred) {
        self.add(&self.transfers[result as usize]);
    }

    /// Counts something that got no answer.
    pub fn dropped(&self, reason: Dropped) {
        self.add(&self.dropped[reason as usize]);
    }

    fn add(&self, counter: &AtomicU64) {
        add_one(counter, self.is_shared);
    }
}

/// Adds to a counter, which nobody else may do at the same time unless it `is_shared`: a sum and a store
/// take a cycle, an addition that is proof against others twenty.
pub(super) fn add_one(counter: &AtomicU64, is_shared: bool) {
    if is_shared {
        counter.fetch_add(1, Relaxed);
    } else {
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// All shards.
#[derive(Debug)]
pub struct Counters {
    shards: Box<[Shard]>,
}

impl Counters {
    /// One shard per answering thread and one for all others, which is the last.
    pub fn new(n_shards: usize) -> Self {
        let last = n_shards.max(1) - 1;
        let shard = |ix| Shard {
            is_shared: ix == last,
            ..Shard::default()
        };
        Self {
            shards: (0..=last).map(shard).collect(),
        }
    }

    /// A thread's own shard; the last is for any number of threads, and stands for those beyond it.
    pub fn shard(&self, ix: usize) -> &Shard {
        &self.shards[ix.min(self.shards.len() - 1)]
    }

    /// Messages that arrived over a transport.
    pub fn queries(&self, transport: Transport) -> u64 {
        self.shards
            .iter()
            .map(|s| s.queries[transport as usize].load(Relaxed))
            .sum()
    }

    /// Datagrams that came by AF_XDP; all of them are among the messages over UDP.
    pub fn xdp_queries(&self) -> u64 {
        self.shards.iter().map(|s| s.xdp.load(Relaxed)).sum()
    }

    /// What the kernel has counted of all AF_XDP sockets.
    pub fn xdp_statistic(&self, statistic: XdpStatistic) -> u64 {
        self.shards
            .iter()
            .map(|s| s.xdp_statistics[statistic as usize].load(Relaxed))
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

    /// Zone transfers with a result.
    pub fn transfers(&self, result: Transferred) -> u64 {
        self.shards
            .iter()
            .map(|s| s.transfers[result as usize].load(Relaxed))
            .sum()
    }

    /// Things that got no answer for a reason.
    pub fn dropped(&self, reason: Dropped) -> u64 {
        self.shards
            .iter()
            .map(|s| s.dropped[reason as usize].load(Relaxed))
            .sum()
    }
}

/// `answers_total`: answers by steered name and pool, counted like [`Counters`] in shards.
///
/// The slots belong to one configuration; a new one takes over the totals of the pairs it still has.
#[derive(Debug)]
pub struct AnswerCounters {
    /// By `SteeredIx`.
    owners: Vec<Box<str>>,
    /// Where each name's slots start, by `SteeredIx`, and where the last one's end.
    starts: Vec<u32>,
    /// The pool of each slot; ascending within a name.
    slots: Vec<PoolIx>,
    /// By `PoolIx`.
    pool_names: Vec<Box<str>>,
    /// The first one begins with the totals of the configuration before.
    shards: Box<[Box<[AtomicU64]>]>,
}

impl AnswerCounters {
    /// Slots for every pool that each name can answer with.
    pub fn new(pools: &Pools, n_shards: usize, before: Option<(&Self, &Correspondence)>) -> Self {
        let (mut starts, mut slots) = (vec![0], Vec::new());
        for steered in &pools.steered {
            slots.extend(pools_of(steered));
            starts.push(slots.len() as u32);
        }
        let shard = || slots.iter().map(|_| AtomicU64::new(0)).collect();
        let shards = (0..n_shards.max(1)).map(|_| shard()).collect();
        let counters = Self {
            owners: pools
                .steered
                .iter()
                .map(|s| s.owner.plain().into())
                .collect(),
            starts,
            slots,
            pool_names: pools.pools.iter().map(|pool| pool.name.clone()).collect(),
            shards,
        };
        if let Some((before, correspondence)) = before {
            counters.take_over(before, correspondence);
        }
        counters
    }

    fn take_over(&self, before: &Self, correspondence: &Correspondence) {
        for at in 0..self.owners.len() {
            let Some(old) = correspondence.steered(SteeredIx::new(at)) else {
                continue;
            };
            for slot in self.slots_of(at) {
                let old_pool = correspondence.pool(self.slots[slot]);
                if let Some(old_slot) = old_pool.and_then(|pool| before.slot(old, pool)) {
                    let total = before.total((before.start(old) + old_slot) as usize);
                    self.shards[0][slot].store(total, Relaxed);
                }
            }
        }
    }

    /// Where the slots of a name start.
    pub fn start(&self, steered: SteeredIx) -> u32 {
        self.starts[steered.index()]
    }

    /// The slot of a pool counted from its name's first, the same for all names that can answer with
    /// the same pools; `None` for a pool the name cannot answer with.
    pub fn slot(&self, steered: SteeredIx, pool: PoolIx) -> Option<u32> {
        let slot = self.slots[self.slots_of(steered.index())].binary_search(&pool);
        u32::try_from(slot.ok()?).ok()
    }

    /// Counts one answer in a slot, counted from the first of all.
    pub fn count(&self, shard: usize, slot: u32) {
        let last = self.shards.len() - 1;
        let counters = self.shards.get(shard.min(last));
        if let Some(counter) = counters.and_then(|counters| counters.get(slot as usize)) {
            add_one(counter, shard >= last);
        }
    }

    fn slots_of(&self, name: usize) -> Range<usize> {
        self.starts[name] as usize..self.starts[name + 1] as usize
    }

    /// The slots of a name, each with its pool.
    pub fn pools_of(&self, name: usize) -> impl Iterator<Item = (usize, PoolIx)> + Clone {
        self.slots_of(name).map(|slot| (slot, self.slots[slot]))
    }

    /// The totals of all slots.
    pub fn by_slot(&self) -> impl Iterator<Item = u64> {
        (0..self.slots.len()).map(|slot| self.total(slot))
    }

    /// The number of pairs that are counted.
    pub fn n_pairs(&self) -> usize {
        self.slots.len()
    }

    /// The totals as (steered name, pool, answers).
    pub fn totals(&self) -> impl Iterator<Item = ((&str, &str), u64)> {
        let names = self.owners.iter().enumerate();
        names.flat_map(move |(at, owner)| {
            self.slots_of(at).map(move |slot| {
                let pool = &self.pool_names[self.slots[slot].index()];
                ((&**owner, &**pool), self.total(slot))
            })
        })
    }

    fn total(&self, slot: usize) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard[slot].load(Relaxed))
            .sum()
    }
}

/// Every pool that a name can answer with, in ascending order.
pub fn pools_of(steered: &Steered) -> Vec<PoolIx> {
    let of_rules = steered.rules.iter().flat_map(|rule| &rule.pools);
    let fallbacks = steered
        .all_down_policies()
        .filter_map(|policy| match policy {
            AllDown::Fallback(pool) => Some(pool),
            _ => None,
        });
    let all = steered.pools.iter().chain(of_rules).copied();
    let mut pools: Vec<PoolIx> = all.chain(fallbacks).collect();
    pools.sort_unstable();
    pools.dedup();
    pools
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
        counters.shard(SHARED_SHARD).query(Transport::Tcp);
        counters.shard(0).response(Rcode::BadVers);
        counters.shard(1).dropped(Dropped::Short);
        assert_eq!(counters.queries(Transport::Udp), 2);
        assert_eq!(counters.queries(Transport::Tcp), 2);
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
