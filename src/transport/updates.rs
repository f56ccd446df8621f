//! Updates on their way: from a listener to the control loop, and the response back to the client.
//!
//! A listener answers batches from one snapshot and waits for nobody. An update waits for the next
//! snapshot and for the disk, so a task waits in the listener's place. How many there can be is bounded; the
//! next one is answered SERVFAIL.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::base::rr::Rcode;
use crate::engine::Arrival;
use crate::engine::Scratch;
use crate::engine::update::Pending;
use crate::live::clock::now_ms;
use crate::live::request::Request;
use crate::live::request::Requests;
use crate::state::counters::Counters;
use crate::state::counters::SHARED_SHARD;
use crate::state::snapshot::Snapshot;
use crate::wire::update::zone_of;
use crate::zone::update::Refused;

/// Updates that may be on their way at a time: each holds a message and a task.
const MAX_IN_FLIGHT: usize = 256;

/// How long an update may take; clients give up after some 20 seconds.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// The longest response over UDP, in octets.
const MAX_UDP_RESPONSE: usize = 4096;

const NOT_IN_TIME: Refused = Refused {
    rcode: Rcode::ServFail,
    reason: "the update takes too long; it may still be carried out",
};

const STOPPING: Refused = Refused {
    rcode: Rcode::ServFail,
    reason: "the server is stopping",
};

/// The way of updates to the control loop.
#[derive(Debug)]
pub struct Updates {
    requests: Requests,
    runtime: Handle,
    places: Arc<Semaphore>,
    counters: Arc<Counters>,
    /// `{zone,result}`.
    counter: IntCounterVec,
}

impl Updates {
    /// Counts the results of updates in `counter`, and their messages in `counters`. Tasks run on `runtime`.
    pub fn new(
        requests: Requests,
        runtime: Handle,
        counters: Arc<Counters>,
        counter: IntCounterVec,
    ) -> Self {
        Self {
            requests,
            runtime,
            places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            counters,
            counter,
        }
    }

    /// Takes the update that a message asks for; `None` if the engine is to say why not.
    pub(super) fn begin(
        self: &Arc<Self>,
        snapshot: &Snapshot,
        scratch: &mut Scratch,
        arrival: Arrival,
        message: &[u8],
    ) -> Option<InFlight> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let pending = Pending::begin(snapshot, scratch, arrival, message)?;
        self.counters.shard(SHARED_SHARD).query(arrival.transport);
        Some(InFlight {
            pending,
            updates: Arc::clone(self),
            _place: place,
        })
    }

    /// Counts an update that was answered at once; `zone` is empty for one that is not served.
    pub(super) fn count_refused(&self, snapshot: &Snapshot, message: &[u8], rcode: Rcode) {
        let apexes = snapshot.plan.zones.iter().map(|zone| zone.apex());
        let zone = zone_of(message).filter(|zone| apexes.into_iter().any(|apex| apex == zone));
        let zone = zone.map_or(String::new(), |zone| zone.plain().to_ascii_lowercase());
        self.counter
            .with_label_values(&[&*zone, rcode.as_str()])
            .inc();
    }
}

/// An update that has a place.
#[derive(Debug)]
pub(super) struct InFlight {
    pending: Pending,
    updates: Arc<Updates>,
    _place: OwnedSemaphorePermit,
}

impl InFlight {
    /// Has the update carried out, and writes the response into `out`; its length, 0 for silence.
    pub(super) async fn answer(self, out: &mut [u8]) -> usize {
        let Self {
            pending, updates, ..
        } = self;
        let zone = pending.order.apex.plain().to_ascii_lowercase();
        let (reply, result) = oneshot::channel();
        let request = Request::Update {
            order: Box::new(pending.order.clone()),
            reply,
        };
        let carried_out = async {
            updates.requests.send(request).await.map_err(|_| STOPPING)?;
            result.await.map_err(|_| STOPPING)?
        };
        let result = timeout(MAX_WAIT, carried_out).await;
        let result = result.unwrap_or(Err(NOT_IN_TIME));
        let (len, rcode) = pending.respond(result, out, now_ms());
        let labels = [&*zone, rcode.as_str()];
        updates.counter.with_label_values(&labels).inc();
        updates.counters.shard(SHARED_SHARD).response(rcode);
        len
    }

    /// Has the update carried out by a task, which then sends the response.
    pub(super) fn answer_later(self, send: impl FnOnce(&mut [u8]) + Send + 'static) {
        let runtime = self.updates.runtime.clone();
        runtime.spawn(async move {
            let mut out = vec![0; MAX_UDP_RESPONSE];
            let len = self.answer(&mut out).await;
            if len > 0 {
                send(out.get_mut(..len).unwrap_or_default());
            }
        });
    }
}
