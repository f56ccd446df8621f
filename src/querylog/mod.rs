//! What is logged of queries: dnstap and the decision log. Shares floor 6 with `live`.
//!
//! An answering thread has a [`Recorder`]. It decides which messages are sampled before it copies anything, and
//! puts copies of those into rings of bounded size (`ring.rs`), without a lock, an allocation or a system call. A
//! thread per log reads the rings and does everything else. A log that cannot be written, or not fast enough, costs
//! records, which are counted, and never an answer.

mod counters;
mod decisions;
mod dnstap;
mod frame_streams;
pub mod line;
mod log_file;
mod message;
mod ring;
mod sampler;
#[cfg(test)]
mod tests;

pub use self::counters::AllCounters;
pub use self::counters::Counters;
pub use self::message::Exchange;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use prometheus::IntCounter;

use crate::config::model::Process;
use crate::engine::Outcome;
use crate::querylog::decisions::DecisionWriter;
use crate::querylog::decisions::Steering;
use crate::querylog::dnstap::DnstapSender;
use crate::querylog::ring::Hub;
use crate::querylog::ring::Producer;
use crate::querylog::ring::Reader;
use crate::querylog::sampler::Sampler;
use crate::state::publish::SnapshotReader;
use crate::state::snapshot::Snapshot;
use crate::wire::update::is_update;

/// The running logs, for their owner.
#[derive(Debug)]
pub struct QueryLog {
    recorders: Recorders,
    is_moved: Arc<AtomicBool>,
    /// Each writer has the other end, which is closed when it has ended.
    ended: Vec<Receiver<()>>,
}

impl QueryLog {
    /// Starts what the configuration asks for.
    ///
    /// # Errors
    /// If there are no threads to be had.
    pub fn start(
        process: &Process,
        snapshots: &SnapshotReader,
        counters: &AllCounters,
    ) -> io::Result<Self> {
        let mut log = Self::off();
        if let Some(dnstap) = process.dnstap.clone() {
            let hub = Hub::new();
            log.recorders.dnstap = Some(Tap {
                hub: Arc::clone(&hub),
                sample: dnstap.sample,
                dropped: counters.dnstap.dropped.clone(),
            });
            let (snapshots, counters) = (snapshots.clone(), counters.dnstap.clone());
            log.spawn("dnstap", move || {
                let reader = Reader::new(hub);
                DnstapSender::new(reader, dnstap.reader, &dnstap.identity, snapshots, counters)
                    .run();
            })?;
        }
        if let Some(decisions) = process.decisions.clone() {
            let hub = Hub::new();
            log.recorders.decisions = Some(Tap {
                hub: Arc::clone(&hub),
                sample: decisions.sample,
                dropped: counters.decisions.dropped.clone(),
            });
            let (is_moved, counters) = (Arc::clone(&log.is_moved), counters.decisions.clone());
            log.spawn("decisions", move || {
                let reader = Reader::new(hub);
                DecisionWriter::new(reader, &decisions.file, is_moved, counters).run();
            })?;
        }
        Ok(log)
    }

    /// Without any log.
    pub fn off() -> Self {
        Self {
            recorders: Recorders::default(),
            is_moved: Arc::default(),
            ended: Vec::new(),
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (running, ended) = mpsc::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                run();
                drop(running);
            })?;
        self.ended.push(ended);
        Ok(())
    }

    /// What makes the recorders.
    pub fn recorders(&self) -> &Recorders {
        &self.recorders
    }

    /// Has the decision log's file opened anew, for who moved it away.
    pub fn reopen(&self) {
        self.is_moved.store(true, Relaxed);
        if let Some(tap) = &self.recorders.decisions {
            tap.hub.wake();
        }
    }

    /// Has what was recorded written, when no more is recorded; waits for it, but not for longer than `deadline`.
    pub fn stop(self, deadline: Duration) {
        if let Some(tap) = &self.recorders.dnstap {
            tap.hub.stop();
        }
        if let Some(tap) = &self.recorders.decisions {
            tap.hub.stop();
        }
        let end = Instant::now() + deadline;
        for ended in self.ended {
            // Nothing is ever sent: either the other end is closed, or it takes too long.
            let _ = ended.recv_timeout(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// One log, as its recorders see it.
#[derive(Debug)]
struct Tap<H> {
    hub: Arc<Hub<H>>,
    sample: f64,
    dropped: IntCounter,
}

impl<H> Clone for Tap<H> {
    fn clone(&self) -> Self {
        Self {
            hub: Arc::clone(&self.hub),
            sample: self.sample,
            dropped: self.dropped.clone(),
        }
    }
}

impl<H> Tap<H> {
    fn channel(&self) -> Channel<H> {
        Channel {
            sampler: Sampler::new(self.sample),
            producer: self.hub.producer(),
            dropped: self.dropped.clone(),
        }
    }
}

/// Makes a recorder for each answering thread or task.
#[derive(Clone, Debug, Default)]
pub struct Recorders {
    dnstap: Option<Tap<Exchange>>,
    decisions: Option<Tap<Steering>>,
}

impl Recorders {
    /// A recorder; `None` if nothing is logged.
    pub fn recorder(&self) -> Option<Recorder> {
        if self.dnstap.is_none() && self.decisions.is_none() {
            return None;
        }
        Some(Recorder {
            dnstap: self.dnstap.as_ref().map(Tap::channel),
            decisions: self.decisions.as_ref().map(Tap::channel),
        })
    }
}

/// What one answering thread or task has of one log.
#[derive(Debug)]
struct Channel<H> {
    sampler: Sampler,
    producer: Producer<H>,
    dropped: IntCounter,
}

/// What one answering thread or task records with.
#[derive(Debug)]
pub struct Recorder {
    dnstap: Option<Channel<Exchange>>,
    decisions: Option<Channel<Steering>>,
}

impl Recorder {
    /// Records a message and what became of it; `response` is empty for silence. `exchange` is called only if the
    /// message is sampled.
    pub fn record(
        &mut self,
        snapshot: &Arc<Snapshot>,
        outcome: &Outcome,
        now_ms: u64,
        message: &[u8],
        response: &[u8],
        exchange: impl FnOnce() -> Exchange,
    ) {
        if let Some(channel) = &mut self.dnstap
            && channel.sampler.takes()
            && !is_update(message)
            && !channel.producer.push(exchange(), message, response)
        {
            channel.dropped.inc_by(1 + u64::from(!response.is_empty()));
        }
        if let Some(channel) = &mut self.decisions
            && let Some(steered) = outcome.steered
            && channel.sampler.takes()
        {
            let snapshot = Arc::clone(snapshot);
            let steering = Steering {
                snapshot,
                steered,
                now_ms,
            };
            if !channel.producer.push(steering, &[], response) {
                channel.dropped.inc();
            }
        }
    }
}
