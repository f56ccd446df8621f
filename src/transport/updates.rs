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

use crate::base::qname::QName;
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
        let zones = &snapshot.plan.zones;
        let zone = zone_of(message).filter(|zone| zones.zone_at(&QName::from_name(zone)).is_some());
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::base::name::Name;
    use crate::base::transport::Transport;
    use crate::engine;
    use crate::live::meters::Meters;
    use crate::state::evidence::Evidence;
    use crate::state::fixture;
    use crate::state::plan::Plan;
    use crate::wire::tsig::Algorithm;
    use crate::wire::tsig::Key;
    use crate::wire::tsig::Keyring;
    use crate::wire::tsig::Signer;

    const ZONE: &str = "$TTL 300\n@ SOA ns h 1 1 1 1 1\n@ NS ns.x.\n";

    const PROCESS: &str = "state_dir = \"state\"\n[[tsig_key]]\nname = \"key\"\n\
         secret_file = \"key\"\n[[update]]\nkey = \"key\"\nzones = [\"z\"]\n";

    const NOW_MS: u64 = 1_700_000_000_000;

    fn key() -> Key {
        let name = Name::parse("key").expect("a name");
        Key::new(name, Algorithm::Sha256, b"not so secret at all")
    }

    fn snapshot() -> Snapshot {
        let atlas = fixture::embedded_atlas();
        let plan = Plan {
            keyring: Keyring::new(vec![key()]),
            ..fixture::plan(PROCESS, "", &[("z", ZONE)], atlas)
        };
        Snapshot::build(Arc::new(plan), &Evidence::default(), 1, None)
    }

    /// An update that adds `a.z. A 192.0.2.1`.
    fn message() -> Vec<u8> {
        let mut message = b"\0\x01\x28\0\0\x01\0\0\0\x01\0\0\x01z\0\0\x06\0\x01\
            \x01a\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01"
            .to_vec();
        let len = message.len();
        message.resize(len + key().record_len(), 0);
        let mut signer = Signer::of_request(&Arc::new(key()));
        signer.sign(&mut message, len, NOW_MS / 1000).expect("room");
        message
    }

    #[tokio::test]
    async fn one_update_too_many_is_answered_at_once() {
        let (requests, mut requested) = mpsc::channel(1);
        let counters = Arc::new(Counters::new(1));
        let counter = Meters::new().updates;
        let updates = Updates::new(
            requests,
            Handle::current(),
            Arc::clone(&counters),
            counter.clone(),
        );
        let updates = Arc::new(updates);
        let snapshot = snapshot();
        let mut scratch = Scratch::new(counters, 0);
        let arrival = Arrival {
            src: [192, 0, 2, 9].into(),
            transport: Transport::Tcp,
            now_ms: NOW_MS,
        };
        let message = message();
        let mut begin = || updates.begin(&snapshot, &mut scratch, arrival, &message);
        let mut in_flight: Vec<InFlight> = (0..MAX_IN_FLIGHT)
            .map(|n| begin().unwrap_or_else(|| panic!("a place for update {n}")))
            .collect();
        assert!(begin().is_none(), "no place is left");
        let mut out = vec![0; 512];
        let outcome = engine::answer(&snapshot, &mut scratch, arrival, &message, &mut out);
        let response = outcome.response.expect("a response");
        assert_eq!(response.rcode, Rcode::ServFail);

        // A place is free again once its update is answered.
        let first = in_flight.pop().expect("one of many");
        let answering = tokio::spawn(async move {
            let mut out = vec![0; 512];
            (first.answer(&mut out).await, out)
        });
        let Some(Request::Update { order, reply }) = requested.recv().await else {
            panic!("an update for the control loop");
        };
        assert_eq!(order.apex.to_string(), "z.");
        reply.send(Ok(())).expect("somebody waits");
        let (len, out) = answering.await.expect("no panic");
        assert!(len > 12 && out[3] & 15 == 0);
        let n_done = counter.with_label_values(&["z", "NOERROR"]).get();
        assert_eq!(n_done, 1);
        let begun = updates.begin(&snapshot, &mut scratch, arrival, &message);
        assert!(begun.is_some());
    }
}
