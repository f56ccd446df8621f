//! `RecentFailures`: how often an endpoint has failed lately at one vantage, in a row or not.

use std::collections::VecDeque;
use std::time::Duration;

use crate::health::monitor::FailureWindow;

/// The times of the latest failures, oldest first: never more than the window asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RecentFailures(VecDeque<Duration>);

impl RecentFailures {
    /// Takes a failure.
    pub(super) fn add(&mut self, now: Duration, window: FailureWindow) {
        if self.0.len() >= window.failures.get() as usize {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// Forgets the failures from a time on.
    pub(super) fn void_since(&mut self, start: Duration) {
        self.0.retain(|at| *at < start);
    }

    /// Whether the window now holds as many failures as call an endpoint down.
    pub(super) fn is_full(&self, now: Duration, window: FailureWindow) -> bool {
        self.n_within(now, window) >= window.failures.get()
    }

    /// How many failures the window now holds.
    pub(super) fn n_within(&self, now: Duration, window: FailureWindow) -> u32 {
        let of_window = |at: &&Duration| now.saturating_sub(**at) <= window.length;
        // Never more are kept than the window asks for.
        self.0.iter().rev().take_while(of_window).count() as u32
    }
}
