//! `Sight`: whether a vantage still sees anything of an address family.
//!
//! When the uplink of a vantage fails, every endpoint falls silent within one interval, one after
//! another, and each looks dead. So a verdict of down for want of any response is held until the
//! vantage has had contact with some endpoint after the first of those failures: then the others were
//! there, and it was the endpoint. With no contact, all pools lost at once, the vantage is *blind* and
//! does not vote for the family. After `blind_max` that all are down is taken for the truth. Where the vantage
//! has a witness of the family, that takes the place of both: contact with it is contact, and there is no
//! such end while it is gone.
//!
//! When an endpoint answers that had failed together with one of another pool, or that was down before all of
//! them failed, the vantage has *regained* its sight: those failures, and those of probes that began before, were its
//! own and are void.
//!
//! A probe for which there is no route says nothing about its endpoint, but counts as lost contact here.
//! As long as there is none to anything, blindness does not end.
//!
//! Contact is any response at all (`ProbeFailure::is_contact`). Losing a single pool is never
//! blindness: there is nothing to compare it with.

use std::time::Duration;

/// What one vantage sees of one family. Times are those of the health table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// The latest contact with any endpoint, or when the table was made.
    contact: Duration,
    /// The latest contact with any endpoint or witness.
    reached: Duration,
    /// The first failure without contact since then.
    lost: Option<Duration>,
    /// When it last saw again after it had lost two pools at once.
    regained: Duration,
    /// When every endpoint that it had contact with was found to be lost; `None`: not so.
    pub(super) blind_since: Option<Duration>,
    /// Whether any verdict is held.
    pub(super) has_held: bool,
}

impl Sight {
    /// Takes contact with an endpoint; whether the vantage was blind.
    pub(super) fn reached(&mut self, now: Duration) -> bool {
        self.contact = now;
        self.witnessed(now)
    }

    /// Takes contact with a witness; whether the vantage was blind.
    pub(super) fn witnessed(&mut self, now: Duration) -> bool {
        self.reached = now;
        self.lost = None;
        self.blind_since.take().is_some()
    }

    /// Notes that the failures before now were the vantage's own.
    pub(super) fn regained(&mut self, now: Duration) {
        self.regained = now;
    }

    /// Whether a probe that began then began before the vantage saw again.
    pub(super) fn was_lost_at(&self, start: Duration) -> bool {
        start < self.regained
    }

    /// Takes a failure without contact.
    pub(super) fn missed(&mut self, now: Duration) {
        self.lost.get_or_insert(now);
    }

    /// Takes a probe that had no way out. One that never had contact has lost none: it may lack the
    /// family.
    pub(super) fn unsent(&mut self, now: Duration) {
        if self.contact > Duration::ZERO {
            self.missed(now);
        }
    }

    /// Whether every endpoint that it had contact with is lost.
    pub(super) fn is_blind(&self) -> bool {
        self.blind_since.is_some()
    }

    /// When the vantage last had contact with any endpoint.
    pub(super) fn contact(&self) -> Duration {
        self.contact
    }

    /// Whether nothing has answered since some failure, and not yet for so long that it is believed.
    pub(super) fn is_in_doubt(&self, now: Duration, blind_max: Duration) -> bool {
        self.lost
            .is_some_and(|lost| now.saturating_sub(lost) < blind_max)
    }

    /// Whether something has answered after an endpoint began to fail.
    pub(super) fn was_reached_after(&self, failing_since: Duration) -> bool {
        self.reached > failing_since
    }
}
