//! `Streak`: what one vantage makes of one endpoint.
//!
//! A verdict changes only after `threshold` consecutive identical results, or to down also where the
//! monitor's window holds too many failures; while it does, no successes make it up. A vantage without a verdict
//! of its own reads its results against the endpoint's health: where nothing is known, its first result
//! decides; where nothing bad is known, one success does; but an endpoint that is down (from the last
//! run, or by the other vantages) needs as many successes as any other.

use std::time::Duration;

use crate::base::health::Health;
use crate::health::monitor::Monitor;
use crate::health::observation::Moment;
use crate::health::observation::ProbeResult;
use crate::health::recent_failures::RecentFailures;

/// The rise and fall of one endpoint at one vantage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The vantage's verdict; unknown until a threshold is reached for the first time.
    pub verdict: Health,
    /// When the verdict was reached, in Unix seconds.
    pub since: Option<u64>,
    /// The latest failure, kept after recovery.
    pub last_failure: Option<Note>,
    /// Why the latest probe is no evidence; `None` if it is.
    pub no_evidence: Option<Note>,
    /// Up or down as the latest evidence says, unknown while there is none.
    latest: Health,
    /// The number of consecutive results that equal `latest`.
    run: u32,
    /// For `failures_in_window`; empty without.
    recent_failures: RecentFailures,
    /// The monotonic time of the latest evidence, or of taking the verdict over from the last run.
    reported: Option<Duration>,
    /// Whether any probe has finished, with evidence or without.
    probed: bool,
    /// The latest contact with the endpoint; `None`: never had any, or not since it is down.
    pub(super) contact: Option<Duration>,
    /// When the first of the latest probes without contact came in, failed or without a route; `None`
    /// after contact.
    pub(super) lost: Option<Duration>,
    /// Whether it has failed often enough for down, and waits until the vantage is known to see.
    pub(super) is_held: bool,
}

/// A reason and when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A sentence without a final dot.
    pub reason: Box<str>,
    /// Unix seconds.
    pub at: u64,
}

impl Streak {
    /// A streak that goes on from a verdict of the last run; it votes from `reported` on as if it had
    /// just been confirmed, or waits for evidence if that is `None`.
    pub fn resume(
        verdict: Health,
        since: Option<u64>,
        last_failure: Option<Note>,
        reported: Option<Duration>,
    ) -> Self {
        Self {
            verdict,
            since,
            last_failure,
            reported,
            ..Self::default()
        }
    }

    /// One that has had contact with the endpoint at this time.
    pub(super) fn in_contact(contact: Duration) -> Self {
        Self {
            contact: Some(contact),
            ..Self::default()
        }
    }

    /// The same verdict with no run of results behind it, for a monitor that now asks otherwise.
    pub fn start_over(&self) -> Self {
        let last_failure = self.last_failure.clone();
        Self {
            contact: self.contact,
            ..Self::resume(self.verdict, self.since, last_failure, self.reported)
        }
    }

    /// Takes one result; `previous` is the endpoint's health before it. Returns the verdict that the
    /// results now call for, if it is another than before.
    pub fn record(
        &mut self,
        result: &ProbeResult,
        monitor: &Monitor,
        previous: Health,
        now: Moment,
    ) -> Option<Health> {
        self.probed = true;
        self.no_evidence = None;
        let says = match result {
            ProbeResult::Failure(failure) => {
                self.last_failure = Some(Note::new(failure, now));
                Health::Down
            }
            ProbeResult::NoEvidence(fault) => {
                // Neither continues nor breaks the run: it is as if the probe had not been sent.
                self.no_evidence = Some(Note::new(fault, now));
                if result.is_unsent() {
                    self.lost.get_or_insert(now.elapsed);
                }
                return None;
            }
            ProbeResult::Success => Health::Up,
        };
        self.reported = Some(now.elapsed);
        if result.contact() == Some(true) {
            self.contact = Some(now.elapsed);
            self.lost = None;
        } else {
            self.lost.get_or_insert(now.elapsed);
        }
        self.run = if self.latest == says {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.latest = says;
        self.is_held = false;
        let is_run = self.run >= self.threshold(says, monitor, previous);
        let is_reached = match (says, self.fills_window(says, monitor, now)) {
            (Health::Down, is_full) => is_run || is_full,
            (_, is_full) => is_run && !is_full,
        };
        (self.verdict != says && is_reached).then_some(says)
    }

    /// Whether the monitor's window holds too many failures, the latest result included.
    fn fills_window(&mut self, says: Health, monitor: &Monitor, now: Moment) -> bool {
        let Some(window) = monitor.failures_in_window else {
            return false;
        };
        if says == Health::Down {
            self.recent_failures.add(now.elapsed, window);
        }
        self.recent_failures.is_full(now.elapsed, window)
    }

    /// Makes this the verdict.
    pub fn decide(&mut self, verdict: Health, now: Moment) {
        self.verdict = verdict;
        self.since = Some(now.unix());
        self.is_held = false;
    }

    /// Forgets the failures without contact that have not made a verdict.
    pub(super) fn void(&mut self) {
        if let Some(lost) = self.lost.take() {
            self.recent_failures.void_since(lost);
        }
        (self.latest, self.run, self.is_held) = (Health::Unknown, 0, false);
    }

    /// Why the latest probe did not succeed.
    pub fn reason(&self) -> Option<&Note> {
        let failure = self.last_failure.as_ref();
        let failure = failure.filter(|_| self.latest == Health::Down);
        self.no_evidence.as_ref().or(failure)
    }

    fn threshold(&self, says: Health, monitor: &Monitor, previous: Health) -> u32 {
        let before = match self.verdict {
            Health::Unknown => previous,
            known => known,
        };
        match (says, before) {
            (Health::Up, Health::Down) => monitor.success_threshold.get(),
            (Health::Up, _) | (_, Health::Unknown) => 1,
            (_, _) => monitor.failure_threshold.get(),
        }
    }

    /// The time since the latest evidence; `None` if there is none.
    pub fn report_age(&self, now: Moment) -> Option<Duration> {
        self.reported
            .map(|reported| now.elapsed.saturating_sub(reported))
    }

    /// Whether the latest evidence is at most `max_age` old.
    pub fn is_fresh(&self, now: Moment, max_age: Duration) -> bool {
        self.report_age(now).is_some_and(|age| age <= max_age)
    }

    /// Whether any probe has finished, with evidence or without.
    pub fn is_probed(&self) -> bool {
        self.probed
    }
}

impl Note {
    fn new(reason: &impl ToString, now: Moment) -> Self {
        Self {
            reason: reason.to_string().into(),
            at: now.unix(),
        }
    }
}
