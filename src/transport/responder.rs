//! What the listeners ask: the engine with the current snapshot. Tests put an echo in its place, so that
//! a listener is tested without a zone.
//!
//! The snapshot is taken once per batch: all messages of a batch are answered from one generation, and a
//! zone transfer that is asked for in it begins with the same.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::transport::Transport;
use crate::engine;
use crate::engine::Arrival;
use crate::engine::Prefetcher;
use crate::engine::Scratch;
use crate::engine::transfer::Transfer;
use crate::state::counters::Dropped;
use crate::state::counters::Shard;
use crate::state::publish::CachedReader;
use crate::state::publish::SnapshotReader;
use crate::state::snapshot::Snapshot;
use crate::transport::refusal_log::RefusalLog;
use crate::transport::updates::InFlight;
use crate::transport::updates::Updates;
use crate::wire::update::is_update;

/// How many messages ahead memory is prefetched: far enough that it has arrived when the message is answered.
pub(super) const PREFETCH_DISTANCE: usize = 4;

/// What answers: the engine, or an echo in tests.
pub(super) trait Responder: Send + 'static {
    /// What answers one batch, all of it from one snapshot.
    fn batch(&mut self) -> impl BatchResponder;
}

/// What answers one batch.
pub(super) trait BatchResponder {
    /// Answers a message into the room for the reply, and returns the reply's length, 0 for silence.
    fn answer(&mut self, arrival: Arrival, message: &[u8], reply: &mut [u8]) -> usize;

    /// Prefetches the memory that a message later in the batch will need.
    fn prefetch(&self, _message: &[u8]) {}

    /// The update that a message asks for; `None` if it is to be answered like any other.
    fn update(&mut self, _arrival: Arrival, _message: &[u8]) -> Option<InFlight> {
        None
    }

    /// The zone transfer that a message over TCP asks for; `None` if it is to be answered like any
    /// other.
    fn transfer(&mut self, _arrival: Arrival, _message: &[u8]) -> Option<Transfer> {
        None
    }
}

impl<F: FnMut(Arrival, &[u8], &mut [u8]) -> usize> BatchResponder for F {
    fn answer(&mut self, arrival: Arrival, message: &[u8], reply: &mut [u8]) -> usize {
        self(arrival, message, reply)
    }
}

/// How a datagram came, or `None` for source port 0: nothing can be sent there, and only a forger sends
/// from it.
pub(super) fn datagram(source: SocketAddr, now_ms: u64, counters: &Shard) -> Option<Arrival> {
    if source.port() == 0 {
        counters.dropped(Dropped::SourcePort);
        return None;
    }
    Some(Arrival {
        src: source.ip(),
        transport: Transport::Udp,
        now_ms,
    })
}

/// The engine on a UDP thread, which looks for a new snapshot often and so may hold on to one.
pub(super) struct UdpResponder {
    /// Owned by this thread.
    pub(super) reader: CachedReader,
    /// Owned by this thread.
    pub(super) scratch: Scratch,
    /// Shared by all.
    pub(super) refusal_log: Arc<RefusalLog>,
    /// Shared by all.
    pub(super) updates: Arc<Updates>,
}

impl Responder for UdpResponder {
    fn batch(&mut self) -> impl BatchResponder {
        let snapshot = self.reader.current();
        UdpBatchResponder {
            snapshot,
            prefetcher: Prefetcher::of(snapshot, &self.scratch),
            scratch: &mut self.scratch,
            refusal_log: &self.refusal_log,
            updates: &self.updates,
        }
    }
}

struct UdpBatchResponder<'a> {
    snapshot: &'a Snapshot,
    prefetcher: Prefetcher<'a>,
    scratch: &'a mut Scratch,
    refusal_log: &'a RefusalLog,
    updates: &'a Arc<Updates>,
}

impl BatchResponder for UdpBatchResponder<'_> {
    fn answer(&mut self, arrival: Arrival, message: &[u8], reply: &mut [u8]) -> usize {
        answer(
            self.snapshot,
            self.scratch,
            self.refusal_log,
            self.updates,
            arrival,
            message,
            reply,
        )
    }

    fn update(&mut self, arrival: Arrival, message: &[u8]) -> Option<InFlight> {
        (self.updates).begin(self.snapshot, self.scratch, arrival, message)
    }

    fn prefetch(&self, message: &[u8]) {
        self.prefetcher.prefetch(message);
    }
}

/// The engine for TCP, where hours may pass between two batches: it never keeps a replaced snapshot.
pub(super) struct TcpResponder {
    /// Where each batch takes its snapshot.
    pub(super) snapshots: SnapshotReader,
    /// Owned by this responder.
    pub(super) scratch: Scratch,
    /// Shared by all.
    pub(super) refusal_log: Arc<RefusalLog>,
    /// Shared by all.
    pub(super) updates: Arc<Updates>,
}

impl Responder for TcpResponder {
    fn batch(&mut self) -> impl BatchResponder {
        TcpBatchResponder {
            snapshot: self.snapshots.current(),
            scratch: &mut self.scratch,
            refusal_log: &self.refusal_log,
            updates: &self.updates,
        }
    }
}

struct TcpBatchResponder<'a> {
    snapshot: Arc<Snapshot>,
    scratch: &'a mut Scratch,
    refusal_log: &'a RefusalLog,
    updates: &'a Arc<Updates>,
}

impl BatchResponder for TcpBatchResponder<'_> {
    fn answer(&mut self, arrival: Arrival, message: &[u8], reply: &mut [u8]) -> usize {
        answer(
            &self.snapshot,
            self.scratch,
            self.refusal_log,
            self.updates,
            arrival,
            message,
            reply,
        )
    }

    fn update(&mut self, arrival: Arrival, message: &[u8]) -> Option<InFlight> {
        (self.updates).begin(&self.snapshot, self.scratch, arrival, message)
    }

    fn transfer(&mut self, arrival: Arrival, message: &[u8]) -> Option<Transfer> {
        Transfer::begin(&self.snapshot, self.scratch, arrival, message)
    }
}

/// Answers a message and logs what an operator should hear of.
fn answer(
    snapshot: &Snapshot,
    scratch: &mut Scratch,
    refusal_log: &RefusalLog,
    updates: &Updates,
    arrival: Arrival,
    message: &[u8],
    reply: &mut [u8],
) -> usize {
    let outcome = engine::answer(snapshot, scratch, arrival, message, reply);
    if let Some(refusal) = outcome.refusal {
        refusal_log.log(arrival.src, refusal);
    }
    if is_update(message)
        && let Ok(response) = outcome.response
    {
        updates.count_refused(snapshot, message, response.rcode);
    }
    outcome.response_len()
}
