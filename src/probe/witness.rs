//! Witnesses: whether a vantage's network is well, from places that are up when it is.
//!
//! Each witness is asked from each vantage, through its own way out, every few seconds; and at once when the
//! vantage has just lost contact with an endpoint, since its verdict waits for the answer. A TCP connection
//! that opens is all that is wanted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::base::prefix::Family;
use crate::config::model::Egress;
use crate::config::model::Process;
use crate::health::observation::WitnessObservation;
use crate::probe::OVERDUE;
use crate::probe::connect::Proxies;
use crate::probe::connect::connect;
use crate::probe::deadline::Deadline;
use crate::probe::reaches;

/// How often a witness is asked.
const INTERVAL: Duration = Duration::from_secs(5);

/// When it is asked again after it was asked out of turn: other endpoints may have failed meanwhile.
const RECHECK: Duration = Duration::from_secs(1);

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A witness and a vantage that asks it.
#[derive(Clone, Debug, PartialEq)]
pub struct WitnessPair {
    /// The vantage's name.
    pub vantage: Arc<str>,
    /// The witness.
    pub witness: SocketAddr,
    /// How the vantage's connections leave this machine.
    pub egress: Egress,
}

/// Every witness with every vantage that can reach its family.
pub fn witness_pairs(process: &Process) -> Vec<WitnessPair> {
    let mut pairs = Vec::new();
    for vantage in &process.vantages {
        let name: Arc<str> = Arc::from(&*vantage.name);
        let witnesses = process.witnesses.iter();
        for witness in witnesses.filter(|witness| reaches(&vantage.egress, witness.ip())) {
            pairs.push(WitnessPair {
                vantage: Arc::clone(&name),
                witness: *witness,
                egress: vantage.egress.clone(),
            });
        }
    }
    pairs
}

/// Asks witnesses until it is dropped.
pub(super) struct Witnesses {
    proxies: Proxies,
    reports: mpsc::Sender<WitnessObservation>,
    running: Vec<Running>,
}

struct Running {
    pair: WitnessPair,
    hurry: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What has the witnesses of a vantage and family asked now.
pub(super) type Hurries = HashMap<(Arc<str>, Family), Vec<Arc<Notify>>>;

impl Witnesses {
    /// None yet; results go to `reports`.
    pub(super) fn new(proxies: Proxies, reports: mpsc::Sender<WitnessObservation>) -> Self {
        Self {
            proxies,
            reports,
            running: Vec::new(),
        }
    }

    /// Asks these from now on, and no others. Runs inside a tokio runtime.
    pub(super) fn replace(&mut self, pairs: Vec<WitnessPair>) {
        let mut before = std::mem::take(&mut self.running);
        for pair in pairs {
            let known = before.iter().position(|running| running.pair == pair);
            let running = match known {
                Some(at) => before.swap_remove(at),
                None => self.start(pair),
            };
            self.running.push(running);
        }
    }

    /// What has those that are asked hurry.
    pub(super) fn hurries(&self) -> Hurries {
        let mut hurries = Hurries::new();
        for Running { pair, hurry, .. } in &self.running {
            let key = (Arc::clone(&pair.vantage), Family::of(pair.witness.ip()));
            hurries.entry(key).or_default().push(Arc::clone(hurry));
        }
        hurries
    }

    fn start(&self, pair: WitnessPair) -> Running {
        let hurry = Arc::new(Notify::new());
        let task = tokio::spawn(ask_forever(
            pair.clone(),
            self.proxies.clone(),
            Arc::clone(&hurry),
            self.reports.clone(),
        ));
        Running { pair, hurry, task }
    }
}

/// Ends when nobody listens any more.
async fn ask_forever(
    pair: WitnessPair,
    proxies: Proxies,
    hurry: Arc<Notify>,
    reports: mpsc::Sender<WitnessObservation>,
) {
    let mut due = Instant::now();
    loop {
        let gap = tokio::select! {
            () = sleep_until(due) => INTERVAL,
            () = hurry.notified() => RECHECK,
        };
        due = Instant::now() + gap;
        let deadline = Deadline::after(TIMEOUT);
        let result = connect(&pair.egress, pair.witness, &proxies, deadline).await;
        let is_reached = result.is_ok();
        // Who was suspended meanwhile has learnt nothing.
        if !is_reached && deadline.at.elapsed() > OVERDUE {
            continue;
        }
        let (vantage, witness) = (Arc::clone(&pair.vantage), pair.witness);
        tracing::debug!(%vantage, %witness, is_reached, "witness");
        let observation = WitnessObservation {
            vantage,
            witness,
            is_reached,
        };
        if reports.send(observation).await.is_err() {
            return;
        }
    }
}
