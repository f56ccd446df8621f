//! `RunTime`: time in which this process runs.
//!
//! Where calls come later than the one per second that is planned (a process that was stopped, or a machine
//! that was moved), the excess does not count: nobody's silence during such a gap does.

use std::time::Duration;

/// The longest time between two calls that counts in full: a tick per second, and some delay.
const MAX_STEP: Duration = Duration::from_millis(1500);

/// Counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunTime {
    /// The time of the latest call, and how much of it does not count.
    latest: Duration,
    skipped: Duration,
}

impl RunTime {
    /// The run time at a moment, by the monotonic clock.
    pub fn at(&self, elapsed: Duration) -> Duration {
        let step = elapsed.saturating_sub(self.latest);
        let skipped = self.skipped + step.saturating_sub(MAX_STEP);
        elapsed.saturating_sub(skipped)
    }

    /// Goes on to a moment; returns the run time then. To be called every second.
    pub fn advance(&mut self, elapsed: Duration) -> Duration {
        let then = self.at(elapsed);
        self.latest = self.latest.max(elapsed);
        self.skipped = self.latest.saturating_sub(then);
        then
    }

    /// The run time at the latest call.
    pub fn latest(&self) -> Duration {
        self.latest.saturating_sub(self.skipped)
    }
}
