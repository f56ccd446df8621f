//! `Deadline` and `Missed`: until when a probe may take, and how one ends that is no success.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::health::failure::Phase;
use crate::health::failure::ProbeFailure;
use crate::health::failure::VantageFault;

/// Why a probe is no success.
#[derive(Debug)]
pub(super) enum Missed {
    /// The endpoint's doing.
    Failure(ProbeFailure),
    /// Ours, or the proxy's.
    NoEvidence(VantageFault),
}

impl From<ProbeFailure> for Missed {
    fn from(failure: ProbeFailure) -> Self {
        Self::Failure(failure)
    }
}

impl From<VantageFault> for Missed {
    fn from(fault: VantageFault) -> Self {
        Self::NoEvidence(fault)
    }
}

/// When a probe must be over: one point in time for all its steps, so that no peer can stretch it by
/// sending slowly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) timeout: Duration,
}

impl Deadline {
    /// So long from now.
    pub(super) fn after(timeout: Duration) -> Self {
        Self {
            at: Instant::now() + timeout,
            timeout,
        }
    }

    /// Runs one step; a step that does not end in time is the endpoint's failure.
    pub(super) async fn within<T>(
        self,
        phase: Phase,
        step: impl Future<Output = T>,
    ) -> Result<T, ProbeFailure> {
        let late = || ProbeFailure::Timeout {
            after: self.timeout,
            phase,
        };
        timeout_at(self.at, step).await.map_err(|_| late())
    }
}
