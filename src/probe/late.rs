//! Probes that start later than planned: counted, and warned of now and then.

use std::sync::Mutex;
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::time::Instant;
use tracing::warn;

use crate::base::lock::lock;

/// Later than this, a failure may show later than promised: half of the second that the promise leaves.
const TOLERATED: Duration = Duration::from_millis(500);

/// The shortest time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Counts late probes.
#[derive(Debug)]
pub(super) struct LateLog {
    /// By pool.
    counter: IntCounterVec,
    unreported: Mutex<Unreported>,
}

/// What has not been warned of yet.
#[derive(Debug, Default)]
struct Unreported {
    n: u64,
    latest: Duration,
    warned: Option<Instant>,
}

impl LateLog {
    /// Counts in `counter`, which has the one label pool.
    pub(super) fn new(counter: IntCounterVec) -> Self {
        Self {
            counter,
            unreported: Mutex::default(),
        }
    }

    /// Notes that a probe of a pool started this much later than planned.
    pub(super) fn started(&self, pool: &str, late_by: Duration) {
        if late_by <= TOLERATED {
            return;
        }
        self.counter.with_label_values(&[pool]).inc();
        let mut unreported = lock(&self.unreported);
        unreported.n += 1;
        unreported.latest = unreported.latest.max(late_by);
        let is_recent = |warned: Instant| warned.elapsed() < WARNING_INTERVAL;
        if unreported.warned.is_some_and(is_recent) {
            return;
        }
        let (probes, late_by) = (unreported.n, unreported.latest);
        *unreported = Unreported {
            warned: Some(Instant::now()),
            ..Unreported::default()
        };
        drop(unreported);
        warn!(
            probes,
            ?late_by,
            pool,
            "probes start late, failures are detected late: raise the limit of open files or \
             the interval, or give the process more CPU"
        );
    }
}
