//! `Witness`: a place that can be reached when the network of this machine is well, and what one vantage knows
//! of it.
//!
//! A witness takes the doubt away in which a vantage is that has lost its endpoints. If it is reached after
//! they failed, they are down. If it was gone with them and is back, the failures meanwhile were the vantage's.
//! One that was never reached proves nothing, and counts as not named.

use std::net::SocketAddr;
use std::time::Duration;

/// For so long a witness may be out of reach from the start before the operator is warned.
const NEVER_REACHED: Duration = Duration::from_secs(60);

/// What one vantage knows of one witness. Times are those of the health table.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) address: SocketAddr,
    /// Since when it is named.
    pub(super) since: Duration,
    /// Whether it was ever reached.
    is_proven: bool,
    /// When it was first missed since it was last reached.
    lost: Option<Duration>,
    is_warned: bool,
}

impl Witness {
    /// One of which nothing is known.
    pub(super) fn new(address: SocketAddr, since: Duration) -> Self {
        Self {
            address,
            since,
            is_proven: false,
            lost: None,
            is_warned: false,
        }
    }

    /// Takes that it was reached.
    pub(super) fn reached(&mut self) {
        self.is_proven = true;
        self.lost = None;
    }

    /// Since when it is missed; `None` if it was reached at the latest attempt.
    pub(super) fn lost(&self) -> Option<Duration> {
        self.lost
    }

    /// Takes that it was not reached.
    pub(super) fn missed(&mut self, now: Duration) {
        self.lost.get_or_insert(now);
    }

    /// Whether it was ever reached, so that missing it says something.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether it was reached at the latest attempt.
    pub(super) fn is_reached(&self) -> bool {
        self.is_proven && self.lost.is_none()
    }

    /// Notices, once, that it is never reached.
    pub(super) fn is_useless(&mut self, now: Duration) -> bool {
        let is_useless = !self.is_proven && now.saturating_sub(self.since) >= NEVER_REACHED;
        is_useless && !std::mem::replace(&mut self.is_warned, true)
    }
}
