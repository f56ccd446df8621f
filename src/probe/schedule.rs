//! `Prober`: which probe when.
//!
//! One task per pair of endpoint and vantage sleeps, probes, reports, and sleeps again, so that a
//! pair never has two probes in flight; the runtime's timer wheel is the queue. A sleeping task holds
//! no connection state, which keeps ten thousand endpoints affordable.
//!
//! Timing keeps the operator's promise that a failure shows within `failure_threshold × interval +
//! timeout` and a second: intervals run from start to start, and jitter makes them longer only while
//! all is well, by half a second at most.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::health::monitor::Monitor;
use crate::health::observation::Observation;
use crate::health::observation::ProbeResult;
use crate::probe::Pair;
use crate::probe::probe;
use crate::probe::tls::Tls;

/// Probes in flight at once. Half of the usual limit of 1,024 open files; enough for 5,000 probes a
/// second at 100 ms each.
const MAX_IN_FLIGHT: usize = 512;

/// First probes are spread over this much, or the interval if that is shorter: soon enough for a
/// quick start, and no burst.
const FIRST_ROUND: Duration = Duration::from_secs(1);

/// The most that jitter adds to an interval.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// Probes all its pairs until it is dropped.
pub struct Prober {
    ask: Ask,
    permits: Arc<Semaphore>,
    reports: mpsc::Sender<Observation>,
    running: HashMap<Key, Running>,
}

/// How a pair is probed: a function, so that the schedule can be tested without a network.
type Ask = Arc<dyn Fn(Arc<Pair>) -> Asking + Send + Sync>;
type Asking = Pin<Box<dyn Future<Output = ProbeResult> + Send>>;

/// Pool, endpoint and vantage.
type Key = (Arc<str>, IpAddr, Arc<str>);

struct Running {
    pair: Arc<Pair>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    /// A prober without pairs, which reports to `reports`.
    pub fn new(tls: Tls, reports: mpsc::Sender<Observation>) -> Self {
        let ask = move |pair: Arc<Pair>| -> Asking {
            let tls = tls.clone();
            Box::pin(async move { probe(&pair.target, &pair.egress, &tls).await })
        };
        Self::with(Arc::new(ask), MAX_IN_FLIGHT, reports)
    }

    fn with(ask: Ask, max_in_flight: usize, reports: mpsc::Sender<Observation>) -> Self {
        Self {
            ask,
            permits: Arc::new(Semaphore::new(max_in_flight)),
            reports,
            running: HashMap::new(),
        }
    }

    /// Probes these pairs from now on, and no others. Unchanged pairs keep their schedule; probes of
    /// the others are cut off without a report. Runs inside a tokio runtime.
    pub fn replace(&mut self, pairs: Vec<Pair>) {
        let mut before = std::mem::take(&mut self.running);
        for pair in pairs {
            let target = &pair.target;
            let pool = Arc::clone(&target.pool);
            let key = (pool, target.address, Arc::clone(&pair.vantage));
            let kept = before.remove(&key).filter(|running| *running.pair == pair);
            let running = kept.unwrap_or_else(|| self.start(Arc::new(pair)));
            self.running.insert(key, running);
        }
    }

    fn start(&self, pair: Arc<Pair>) -> Running {
        let task = tokio::spawn(probe_forever(
            Arc::clone(&pair),
            Arc::clone(&self.ask),
            Arc::clone(&self.permits),
            self.reports.clone(),
        ));
        Running { pair, task }
    }
}

/// Ends when nobody listens any more.
async fn probe_forever(
    pair: Arc<Pair>,
    ask: Ask,
    permits: Arc<Semaphore>,
    reports: mpsc::Sender<Observation>,
) {
    let monitor = &pair.target.monitor;
    let mut n_good = 0;
    let mut due = Instant::now() + FIRST_ROUND.min(monitor.interval).mul_f64(random());
    loop {
        sleep_until(due).await;
        let Ok(permit) = permits.acquire().await else {
            return;
        };
        let started = Instant::now();
        let result = ask(Arc::clone(&pair)).await;
        drop(permit);
        let took = started.elapsed();
        tracing::debug!(
            pool = %pair.target.pool, endpoint = %pair.target.address, vantage = %pair.vantage,
            result = result.label(), ?took, "probe"
        );
        match result {
            ProbeResult::Failure(_) => n_good = 0,
            ProbeResult::NoEvidence(_) => {}
            ProbeResult::Success => n_good = monitor.success_threshold.get().min(n_good + 1),
        }
        due = started + gap(monitor, n_good, random());
        let observation = Observation {
            target: Arc::clone(&pair.target),
            vantage: Arc::clone(&pair.vantage),
            result,
            took,
        };
        if reports.send(observation).await.is_err() {
            return;
        }
    }
}

/// The time from the start of a probe to the start of the next, after `n_good` successes in a row;
/// `random` is from 0 to 1.
fn gap(monitor: &Monitor, n_good: u32, random: f64) -> Duration {
    let interval = monitor.interval;
    let shortest = interval - interval / 10;
    // While a verdict may be in the making, nothing is put off.
    let longest = if n_good >= monitor.success_threshold.get() {
        interval + (interval / 10).min(MAX_DELAY)
    } else {
        interval
    };
    shortest + (longest - shortest).mul_f64(random)
}

/// A number from 0 to 1 from the seeds that the standard library makes for hash maps: good enough to
/// spread load.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1u64 << 53) as f64
}
