//! The clock: the one place below the daemon where time is read.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::health::observation::Moment;

/// Both clocks, the monotonic one counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Now by both clocks.
    pub fn now(&self) -> Moment {
        Moment {
            elapsed: self.elapsed(),
            unix_ms: now_ms(),
        }
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The time since 1970; none for a clock that stands before.
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The same in seconds.
pub fn unix() -> u64 {
    since_1970().as_secs()
}

/// The same in milliseconds.
pub fn now_ms() -> u64 {
    since_1970().as_millis().try_into().unwrap_or(u64::MAX)
}
