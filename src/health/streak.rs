//! `Streak`: what one vantage makes of one endpoint.
//!
//! A verdict changes only after `threshold` consecutive identical results, or to down also where the
//! monitor's window holds too many failures; while it does, no successes make it up. A vantage without a verdict
//! of its own reads its results against the endpoint's health: where nothing is known, its first result
//! decides; where nothing bad is known, one success does; but an endpoint that is down (from the last
//! run, or by the other vantages) needs as many successes as any other.

use std::time::Duration;

use crate::base::health::Health;
use crate::health::damping::Flaps;
use crate::health::load::Load;
use crate::health::monitor::FailureWindow;
use crate::health::monitor::Monitor;
use crate::health::observation::LoadReading;
use crate::health::observation::Moment;
use crate::health::observation::ProbeResult;
use crate::health::recent_failures::RecentFailures;
use crate::health::recent_latencies::RecentLatencies;
use crate::health::report::Note;
use crate::health::report::SavedFlaps;
use crate::health::report::VerdictRecord;
use crate::health::sight::Sight;

/// The rise and fall of one endpoint at one vantage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Streak {
    /// The vantage's verdict; unknown until a threshold is reached for the first time, down while the
    /// endpoint is suppressed.
    pub verdict: Health,
    /// When the verdict was reached, in Unix seconds.
    pub since: Option<u64>,
    /// The latest failure, kept after recovery.
    pub last_failure: Option<Note>,
    /// Why the latest probe is no evidence; `None` if it is.
    pub no_evidence: Option<Note>,
    /// The verdict as it would be without damping.
    pub(super) undamped: Health,
    /// How much the endpoint has flapped.
    pub(super) flaps: Flaps,
    /// Up or down as the latest evidence says, unknown while there is none.
    latest: Health,
    /// The number of consecutive results that equal `latest`.
    run: u32,
    /// For `failures_in_window`; empty without.
    recent_failures: RecentFailures,
    /// The monotonic time at which the latest evidence came in, or the verdict was taken over from the last
    /// run.
    reported: Option<Duration>,
    /// How old that evidence was then; zero but for reports of other machines.
    reported_age: Duration,
    /// When the probe that is the latest evidence ended, in Unix milliseconds.
    probed_ms: Option<u64>,
    /// How long it took, in microseconds.
    latency_us: Option<u64>,
    /// How long the latest successful probes took; not carried over from the last run.
    pub latencies: RecentLatencies,
    /// The load that the endpoint reported to the latest probe that is evidence; a failure has none.
    load: Option<Load>,
    /// Whether the verdict has changed since the last report to other machines.
    pub(super) is_unreported: bool,
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

impl Streak {
    /// A streak that goes on from a verdict of the last run, with no run of results behind it; it votes
    /// from `reported` on as if it had just been confirmed, or waits for evidence if that is `None`.
    pub fn resume(record: &VerdictRecord, reported: Option<Duration>) -> Self {
        Self {
            verdict: record.verdict,
            undamped: record.verdict,
            since: record.since,
            last_failure: record.last_failure.clone(),
            probed_ms: record.probed_ms,
            latency_us: record.latency_us,
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
        Self {
            contact: self.contact,
            latencies: self.latencies,
            undamped: self.undamped,
            flaps: self.flaps,
            ..Self::resume(&self.record_of(), self.reported)
        }
    }

    /// Takes one result; `previous` is the endpoint's health before it. Returns the verdict that the
    /// results now call for, if it is another than before.
    pub fn record(
        &mut self,
        result: &ProbeResult,
        took: Duration,
        load: LoadReading,
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
        self.probed_ms = Some(now.unix_ms);
        self.latency_us = u64::try_from(took.as_micros()).ok();
        if let (Some(us), Health::Up) = (self.latency_us, says) {
            self.latencies.add(us);
        }
        self.load = load.and_then(Result::ok).filter(|_| says == Health::Up);
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
        (self.undamped != says && is_reached).then_some(says)
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

    /// Takes what another machine reports. Returns the age of its evidence if that is another than what was
    /// known: reports come in order, so it is newer, also where the other machine's clock was set back.
    pub(super) fn hear(&mut self, heard: &VerdictRecord, now: Moment) -> Option<Duration> {
        let known = (self.reported_age, self.reported, self.probed_ms);
        let age_before = self.report_age(now);
        *self = Self {
            latest: heard.latest,
            run: heard.run,
            load: heard.load,
            latencies: self.latencies,
            ..Self::resume(heard, None)
        };
        (self.reported_age, self.reported, self.probed_ms) = known;
        let probed = heard
            .probed_ms
            .filter(|heard| Some(*heard) != self.probed_ms)?;
        if let (Some(us), Health::Up) = (heard.latency_us, heard.latest) {
            self.latencies.add(us);
        }
        let age = Duration::from_millis(now.unix_ms.saturating_sub(probed));
        let age = age.min(age_before.unwrap_or(Duration::MAX));
        self.probed_ms = Some(probed);
        (self.reported, self.reported_age) = (Some(now.elapsed), age);
        Some(age)
    }

    /// The load that the endpoint reported, and how old that is.
    pub fn load(&self, now: Moment) -> Option<(Load, Duration)> {
        Some((self.load?, self.report_age(now)?))
    }

    /// What is reported of it, and saved.
    pub fn record_of(&self) -> VerdictRecord {
        VerdictRecord {
            verdict: self.verdict,
            since: self.since,
            latest: self.latest,
            run: self.run,
            last_failure: self.last_failure.clone(),
            latency_us: self.latency_us,
            probed_ms: self.probed_ms,
            load: self.load,
        }
    }

    /// Makes this the verdict, unless the endpoint is suppressed; whether it is from now on.
    pub fn decide(&mut self, verdict: Health, monitor: &Monitor, now: Moment) -> bool {
        let was_suppressed = self.flaps.is_suppressed();
        if let (Some(damping), Health::Down) = (&monitor.damping, verdict) {
            self.flaps.add(damping, now.elapsed);
        }
        (self.undamped, self.is_held) = (verdict, false);
        self.apply(now);
        self.is_unreported = true;
        self.flaps.is_suppressed() && !was_suppressed
    }

    /// Makes the verdict what the probes say where the suppression is over; whether it was until now.
    pub(super) fn reuse(&mut self, monitor: &Monitor, now: Moment) -> bool {
        let is_over = self.flaps.end(monitor.damping.as_ref(), now.elapsed);
        if is_over {
            self.apply(now);
            self.is_unreported = true;
        }
        is_over
    }

    /// When its suppression is expected to end, in Unix seconds; `None` if it is not suppressed.
    pub fn suppressed_until(&self, monitor: &Monitor, now: Moment) -> Option<u64> {
        let remaining = self.suppressed_for(monitor, now)?;
        Some(now.unix() + remaining.as_secs())
    }

    /// How long its suppression still takes at the least; `None` if it is not suppressed.
    pub(super) fn suppressed_for(&self, monitor: &Monitor, now: Moment) -> Option<Duration> {
        let damping = monitor.damping.as_ref()?;
        let is_suppressed = self.flaps.is_suppressed();
        is_suppressed.then(|| self.flaps.remaining(damping, now.elapsed))
    }

    /// How many results for a verdict have come in, of how many that it takes.
    pub(super) fn progress(
        &self,
        to: Health,
        monitor: &Monitor,
        previous: Health,
        now: Moment,
    ) -> (u32, u32) {
        let of = self.threshold(to, monitor, previous);
        let n = if self.latest == to { self.run } else { 0 };
        let window = monitor.failures_in_window;
        let of_window = window.filter(|_| to == Health::Down).map(|window| {
            let n = self.recent_failures.n_within(now.elapsed, window);
            (n, window.failures.get())
        });
        let runs = [Some((n, of)), of_window].into_iter().flatten();
        let nearest = runs.min_by_key(|(n, of)| of.saturating_sub(*n));
        nearest.map_or((n, of), |(n, of)| (n.min(of), of))
    }

    /// Whether its results call for a verdict already.
    pub(super) fn calls_for(&self, verdict: Health) -> bool {
        self.undamped == verdict || (self.is_held && verdict == Health::Down)
    }

    /// How much the endpoint has flapped, as it is saved; `None` where that is nothing, or not damped.
    pub(super) fn saved_flaps(&self, monitor: &Monitor, now: Moment) -> Option<SavedFlaps> {
        self.flaps.saved(monitor.damping.as_ref()?, now)
    }

    /// Goes on from how much the endpoint had flapped in the last run. Its penalty has decayed meanwhile.
    pub(super) fn resume_flaps(&mut self, saved: &SavedFlaps, monitor: &Monitor, now: Moment) {
        if let Some(damping) = &monitor.damping {
            self.flaps = Flaps::resume(saved, damping, now);
        }
    }

    fn apply(&mut self, now: Moment) {
        let verdict = if self.flaps.is_suppressed() {
            Health::Down
        } else {
            self.undamped
        };
        if std::mem::replace(&mut self.verdict, verdict) != verdict {
            self.since = Some(now.unix());
        }
    }

    /// Whether it has failed without contact, without a verdict yet, since the vantage last reached anything.
    pub(super) fn is_failing_since(&self, sight: &Sight) -> bool {
        let lost = self.lost.filter(|lost| !sight.was_reached_after(*lost));
        lost.is_some() && self.undamped != Health::Down
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

    /// The same, with the number of failures where it is the monitor's window that they fill.
    pub(super) fn cause(&self, monitor: &Monitor, now: Moment) -> Option<Box<str>> {
        let reason = &self.reason()?.reason;
        let is_run = self.run >= monitor.failure_threshold.get();
        let window = monitor.failures_in_window.filter(|window| {
            let is_full = self.recent_failures.is_full(now.elapsed, *window);
            self.no_evidence.is_none() && self.latest == Health::Down && !is_run && is_full
        });
        Some(match window {
            Some(FailureWindow { failures, length }) if failures.get() > 1 => {
                format!("{failures} failures in {length:?}, the latest: {reason}").into()
            }
            _ => reason.clone(),
        })
    }

    fn threshold(&self, says: Health, monitor: &Monitor, previous: Health) -> u32 {
        let before = match self.undamped {
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
            .map(|reported| now.elapsed.saturating_sub(reported) + self.reported_age)
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
