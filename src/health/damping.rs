//! Flap damping after RFC 2439: an endpoint that goes down again and again stays down until it has been
//! stable for a while.
//!
//! Each change of a vantage's verdict to down adds 1 to the endpoint's *penalty* there (the RFC's figure of
//! merit), which halves with each half-life. Above `suppress` the endpoint is suppressed: the vantage says
//! down, whatever its probes say. They are counted on, so that an endpoint that goes on flapping stays
//! suppressed, and once the penalty is below `reuse` the verdict is what they say then. The penalty never
//! exceeds [`Damping::ceiling`], so that it takes at most [`MAX_HOLD_DOWN`] half-lives from the last change
//! to down.
//!
//! What that promises: in any span of time T, one vantage changes its verdict to down at most
//! `(suppress + 1) × (1 + ln 2 × T / half_life)` times. For a penalty of at most suppress + 1 decays by no
//! more than ln 2 × (suppress + 1) a half-life, and what the changes add must decay.

use std::time::Duration;

use crate::health::monitor::Damping;
use crate::health::observation::Moment;
use crate::health::report::SavedFlaps;

/// The longest suppression after the last change to down, in half-lives.
pub const MAX_HOLD_DOWN: i32 = 4;

/// A penalty that is as good as none.
const NEGLIGIBLE: f64 = 0.01;

impl Damping {
    /// The most that a penalty grows to.
    pub fn ceiling(&self) -> f64 {
        self.reuse * f64::from(MAX_HOLD_DOWN).exp2()
    }

    /// What is left of a penalty after a time.
    fn decayed(&self, penalty: f64, time: Duration) -> f64 {
        penalty * (-time.div_duration_f64(self.half_life)).exp2()
    }
}

/// How much one endpoint has flapped at one vantage. Times are those of the health table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Flaps {
    /// The penalty as it was at that time.
    penalty: f64,
    at: Duration,
    is_suppressed: bool,
}

impl Flaps {
    /// Goes on from the last run of the process; the penalty has decayed meanwhile.
    pub(super) fn resume(saved: &SavedFlaps, damping: &Damping, now: Moment) -> Self {
        let gap = Duration::from_secs(now.unix().saturating_sub(saved.at));
        let penalty = saved.penalty.clamp(0.0, damping.ceiling());
        Self {
            penalty: damping.decayed(penalty, gap),
            at: now.elapsed,
            is_suppressed: saved.is_suppressed,
        }
    }

    /// What is worth saving, if anything is.
    pub(super) fn saved(&self, damping: &Damping, now: Moment) -> Option<SavedFlaps> {
        let penalty = self.penalty(damping, now.elapsed);
        (penalty >= NEGLIGIBLE).then(|| SavedFlaps {
            penalty,
            at: now.unix(),
            is_suppressed: self.is_suppressed,
        })
    }

    /// Counts a change to down.
    pub(super) fn add(&mut self, damping: &Damping, now: Duration) {
        self.penalty = (self.penalty(damping, now) + 1.0).min(damping.ceiling());
        self.at = now;
        self.is_suppressed |= self.penalty > damping.suppress;
    }

    /// Ends the suppression where the penalty is low enough, or nothing is damped any more; whether it did.
    pub(super) fn end(&mut self, damping: Option<&Damping>, now: Duration) -> bool {
        let is_over = damping.is_none_or(|damping| self.penalty(damping, now) < damping.reuse);
        is_over && std::mem::take(&mut self.is_suppressed)
    }

    /// The penalty at a time.
    pub(super) fn penalty(&self, damping: &Damping, now: Duration) -> f64 {
        damping.decayed(self.penalty, now.saturating_sub(self.at))
    }

    /// How long the suppression still takes if nothing changes to down meanwhile.
    pub(super) fn remaining(&self, damping: &Damping, now: Duration) -> Duration {
        let half_lives = (self.penalty(damping, now) / damping.reuse).log2().max(0.0);
        damping.half_life.mul_f64(half_lives)
    }

    /// Whether the endpoint is suppressed.
    pub(super) fn is_suppressed(&self) -> bool {
        self.is_suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAMPING: Damping = Damping {
        half_life: Duration::from_secs(300),
        suppress: 3.0,
        reuse: 1.0,
    };

    /// As in RFC 2439 s4.2: what is added decays exponentially, suppression begins above one mark and ends
    /// below a lower one, and the ceiling bounds it.
    #[test]
    fn the_figure_of_merit_decays_and_has_two_marks_and_a_ceiling() {
        for (what, changes, at, penalty, is_suppressed) in [
            ("none", &[][..], 100, 0.0, false),
            ("one", &[0], 0, 1.0, false),
            ("one, a half-life later", &[0], 300, 0.5, false),
            ("one a half-life", &[0, 300, 600], 600, 1.75, false),
            ("three at once", &[0, 0, 0], 0, 3.0, false),
            ("four at once", &[0, 0, 0, 0], 0, 4.0, true),
            ("below suppress again", &[0, 0, 0, 0], 300, 2.0, true),
            ("just not below reuse", &[0, 0, 0, 0], 600, 1.0, true),
            ("below reuse", &[0, 0, 0, 0], 601, 0.997_692, false),
            (
                "after it, counted from there",
                &[0, 0, 0, 0, 900],
                900,
                1.5,
                false,
            ),
            ("at the ceiling", &[0; 100], 0, 16.0, true),
            ("four half-lives later", &[0; 100], 1_200, 1.0, true),
            ("and a second", &[0; 100], 1_201, 0.997_692, false),
        ] {
            let mut flaps = Flaps::default();
            for second in 0..=at {
                let now = Duration::from_secs(second);
                flaps.end(Some(&DAMPING), now);
                for _ in changes.iter().filter(|change| **change == second) {
                    flaps.add(&DAMPING, now);
                }
            }
            let now = Duration::from_secs(at);
            let found = flaps.penalty(&DAMPING, now);
            assert!((found - penalty).abs() < 1e-6, "{what}: {found}");
            assert_eq!(flaps.is_suppressed(), is_suppressed, "{what}");
            if is_suppressed {
                let remaining = flaps.remaining(&DAMPING, now).as_secs_f64();
                let expected = 300.0 * penalty.log2();
                assert!((remaining - expected).abs() < 1e-3, "{what}: {remaining}");
            }
        }
    }
}
