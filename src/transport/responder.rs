//! What the listeners ask: the engine with the current snapshot. Tests put an echo in its place, so that
//! a listener is tested without a zone.
//!
//! The snapshot is taken once per batch: all messages of a batch are answered from one generation, and a
//! zone transfer that is asked for in it begins with the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::transport::Transport;
use crate::engine;
use crate::engine::Arrival;
use crate::engine::Prefetcher;
use crate::engine::Scratch;
use crate::engine::transfer::Transfer;
use crate::live::clock::since_1970;
use crate::querylog::Exchange;
use crate::querylog::Recorder;
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

    /// Records the message that was answered last, for dnstap and the decision log; `reply` is empty for silence,
    /// and `local` says where the message was sent to.
    fn record(
        &mut self,
        _arrival: Arrival,
        _source: SocketAddr,
        _message: &[u8],
        _reply: &[u8],
        _local: impl FnOnce() -> SocketAddr,
    ) {
    }

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
    /// Owned by this thread.
    pub(super) recorder: Option<Recorder>,
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
            recorder: self.recorder.as_mut(),
            refusal_log: &self.refusal_log,
            updates: &self.updates,
        }
    }
}

struct UdpBatchResponder<'a> {
    snapshot: &'a Arc<Snapshot>,
    prefetcher: Prefetcher<'a>,
    scratch: &'a mut Scratch,
    recorder: Option<&'a mut Recorder>,
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

    fn record(
        &mut self,
        arrival: Arrival,
        source: SocketAddr,
        message: &[u8],
        reply: &[u8],
        local: impl FnOnce() -> SocketAddr,
    ) {
        if let Some(recorder) = &mut self.recorder {
            let (outcome, now_ms) = (self.scratch.outcome(), arrival.now_ms);
            recorder.record(self.snapshot, outcome, now_ms, message, reply, || {
                exchange(arrival, source, local())
            });
        }
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
    /// Owned by this responder.
    pub(super) recorder: Option<Recorder>,
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
            recorder: self.recorder.as_mut(),
            refusal_log: &self.refusal_log,
            updates: &self.updates,
        }
    }
}

struct TcpBatchResponder<'a> {
    snapshot: Arc<Snapshot>,
    scratch: &'a mut Scratch,
    recorder: Option<&'a mut Recorder>,
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

    fn record(
        &mut self,
        arrival: Arrival,
        source: SocketAddr,
        message: &[u8],
        reply: &[u8],
        local: impl FnOnce() -> SocketAddr,
    ) {
        if let Some(recorder) = &mut self.recorder {
            let (outcome, now_ms) = (self.scratch.outcome(), arrival.now_ms);
            recorder.record(&self.snapshot, outcome, now_ms, message, reply, || {
                exchange(arrival, source, local())
            });
        }
    }

    fn update(&mut self, arrival: Arrival, message: &[u8]) -> Option<InFlight> {
        (self.updates).begin(&self.snapshot, self.scratch, arrival, message)
    }

    fn transfer(&mut self, arrival: Arrival, message: &[u8]) -> Option<Transfer> {
        Transfer::begin(&self.snapshot, self.scratch, arrival, message)
    }
}

/// A message that has just been answered.
fn exchange(arrival: Arrival, source: SocketAddr, local: SocketAddr) -> Exchange {
    Exchange {
        source,
        local,
        transport: arrival.transport,
        query_time: Duration::from_millis(arrival.now_ms),
        response_time: since_1970(),
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
