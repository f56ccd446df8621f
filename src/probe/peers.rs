//! The pairs that are probed, and which of them are asked at once when another one falls silent at the
//! same vantage.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::base::lock::lock;
use crate::base::prefix::Family;
use crate::probe::Pair;
use crate::probe::witness::Hurries;

/// How many endpoints are asked: one may have died in the same moment.
const N_ASKED: usize = 2;

/// How often a vantage asks at most. A large pool that dies must not have the others probed all the
/// time.
const PAUSE: Duration = Duration::from_millis(100);

/// A pair that is probed, as its task and others see it.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) pair: Arc<Pair>,
    /// Where its probes wait for their turn.
    pub(super) lane: ArcSwap<Semaphore>,
    /// Has the next probe start now.
    pub(super) hurry: Notify,
    /// Whether the latest evidence was contact with the endpoint.
    pub(super) is_reached: AtomicBool,
}

impl Probed {
    pub(super) fn new(pair: Pair, lane: Arc<Semaphore>) -> Self {
        Self {
            pair: Arc::new(pair),
            lane: ArcSwap::new(lane),
            hurry: Notify::new(),
            is_reached: AtomicBool::new(false),
        }
    }
}

/// All pairs by vantage and family.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<HashMap<(Arc<str>, Family), Group>>);

/// The pairs of one vantage and family.
#[derive(Debug, Default)]
struct Group {
    pairs: Vec<Arc<Probed>>,
    /// Has the vantage's witnesses asked now.
    witnesses: Vec<Arc<Notify>>,
    /// Where the next search begins.
    next: usize,
    asked: Option<Instant>,
}

impl Peers {
    /// Makes these all the pairs and witnesses there are.
    pub(super) fn replace(
        &self,
        probed: impl Iterator<Item = Arc<Probed>>,
        mut witnesses: Hurries,
    ) {
        let mut groups: HashMap<_, Group> = HashMap::new();
        for probed in probed {
            let group = groups.entry(key(&probed.pair)).or_default();
            group.pairs.push(probed);
        }
        for (key, group) in &mut groups {
            group.witnesses = witnesses.remove(key).unwrap_or_default();
        }
        *lock(&self.0) = groups;
    }

    /// Has some endpoints of other pools, and the witnesses, probed now by the vantage of this pair, whose endpoint has just
    /// fallen silent.
    pub(super) fn confirm(&self, silent: &Pair) {
        let mut groups = lock(&self.0);
        let Some(group) = groups.get_mut(&key(silent)) else {
            return;
        };
        if group.asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return;
        }
        group.asked = Some(Instant::now());
        group.witnesses.iter().for_each(|hurry| hurry.notify_one());
        let n = group.pairs.len();
        let mut n_asked = 0;
        for at in (0..n).map(|step| (group.next + step) % n) {
            let peer = &group.pairs[at];
            let is_other = peer.pair.target.pool != silent.target.pool;
            if is_other && peer.is_reached.load(Relaxed) {
                peer.hurry.notify_one();
                n_asked += 1;
            }
            if n_asked == N_ASKED {
                group.next = (at + 1) % n;
                break;
            }
        }
    }
}

fn key(pair: &Pair) -> (Arc<str>, Family) {
    let family = Family::of(pair.target.address);
    (Arc::clone(&pair.vantage), family)
}
