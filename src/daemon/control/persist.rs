//! When state is written: changes that come close together in one write, one write at a time, and a
//! failed one again. No clock and no disk: times come in, writes go out as [`Write`].

use std::time::Duration;

use crate::daemon::control::event::Event;

/// Verdicts are written at most so often; each write costs time in proportion to their number.
const VERDICTS_INTERVAL: Duration = Duration::from_secs(1);

/// Writing verdicts takes at most one part in so many of the time …
const VERDICTS_DUTY: u32 = 20;

/// … unless that would be more than this: a disk that hung once is tried again.
const MAX_VERDICTS_INTERVAL: Duration = Duration::from_secs(60);

/// How long after a failed write the next is tried.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// After so long without an answer the disk hangs: nobody is kept waiting for it any longer.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// What is to be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// Overrides, and what the pools' sources named last: few, and acknowledged to who set them only when
    /// they are on disk.
    pub changes: bool,
    /// Verdicts.
    pub verdicts: bool,
}

/// What follows from a finished write, or one that does not finish.
#[derive(Debug, PartialEq)]
pub(super) struct AfterWrite<W> {
    /// Who waited for it.
    pub waiting: Vec<W>,
    /// Whether what they waited for is on disk, else why not.
    pub result: Result<(), Box<str>>,
    /// What to log.
    pub event: Option<Event>,
}

/// The state machine; `W` is somebody who waits until changes are on disk.
#[derive(Debug)]
pub(super) struct Persist<W> {
    dirty: Write,
    /// The write that runs, and since when.
    running: Option<(Write, Duration)>,
    /// Who waits for the write that runs.
    waiting: Vec<(Duration, W)>,
    /// Who waits for the one behind it.
    waiting_next: Vec<(Duration, W)>,
    verdicts_from: Duration,
    retry_from: Duration,
    has_failed: bool,
}

impl<W> Persist<W> {
    /// Nothing to write yet.
    pub(super) fn new() -> Self {
        Self {
            dirty: Write {
                changes: false,
                verdicts: false,
            },
            running: None,
            waiting: Vec::new(),
            waiting_next: Vec::new(),
            verdicts_from: Duration::ZERO,
            retry_from: Duration::ZERO,
            has_failed: false,
        }
    }

    /// Verdicts have changed.
    pub(super) fn verdicts_changed(&mut self) {
        self.dirty.verdicts = true;
    }

    /// Overrides or sources have changed; `waiting` is answered once they are on disk.
    pub(super) fn changed(&mut self, now: Duration, waiting: Option<W>) {
        self.dirty.changes = true;
        // An operator who waits does not wait for the next try as well.
        self.retry_from = self.retry_from.min(now);
        let waiting = waiting.map(|waiting| (now + MAX_WAIT, waiting));
        self.waiting_next.extend(waiting);
    }

    /// What to write now, if anything. [`Persist::finished`] must follow.
    pub(super) fn next(&mut self, now: Duration) -> Option<Write> {
        if self.running.is_some() || now < self.retry_from {
            return None;
        }
        let write = Write {
            changes: self.dirty.changes,
            verdicts: self.dirty.verdicts && now >= self.verdicts_from,
        };
        if write.changes {
            self.dirty.changes = false;
            self.waiting.append(&mut self.waiting_next);
        }
        self.dirty.verdicts &= !write.verdicts;
        let write = (write.changes || write.verdicts).then_some(write)?;
        self.running = Some((write, now));
        Some(write)
    }

    /// A write has ended, after it took so long.
    pub(super) fn finished(
        &mut self,
        now: Duration,
        took: Duration,
        result: Result<(), Box<str>>,
    ) -> AfterWrite<W> {
        if let Some((write, _)) = self.running.take() {
            if result.is_err() {
                self.dirty.changes |= write.changes;
                self.dirty.verdicts |= write.verdicts;
                self.retry_from = now + RETRY_INTERVAL;
            }
            if write.verdicts {
                let interval = took.saturating_mul(VERDICTS_DUTY);
                self.verdicts_from = now + interval.clamp(VERDICTS_INTERVAL, MAX_VERDICTS_INTERVAL);
            }
        }
        let had_failed = std::mem::replace(&mut self.has_failed, result.is_err());
        let event = match &result {
            Err(error) if !had_failed => Some(Event::StateNotSaved {
                error: error.clone(),
            }),
            Ok(()) if had_failed => Some(Event::StateSavedAgain),
            _ => None,
        };
        let waiting = self.waiting.drain(..).map(|(_, waiting)| waiting);
        AfterWrite {
            waiting: waiting.collect(),
            result,
            event,
        }
    }

    /// What follows if the disk hangs, for those who have waited too long. To be called every second.
    pub(super) fn overdue(&mut self, now: Duration) -> AfterWrite<W> {
        let all = self.waiting.extract_if(.., |(until, _)| *until <= now);
        let next = self.waiting_next.extract_if(.., |(until, _)| *until <= now);
        let waiting = all.chain(next).map(|(_, waiting)| waiting).collect();
        let error: Box<str> = "the disk does not answer".into();
        let hangs = self
            .running
            .is_some_and(|(_, since)| now >= since + MAX_WAIT);
        let is_new = hangs && !std::mem::replace(&mut self.has_failed, true);
        AfterWrite {
            waiting,
            event: is_new.then(|| Event::StateNotSaved {
                error: error.clone(),
            }),
            result: Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Write = Write {
        changes: true,
        verdicts: true,
    };
    const CHANGES: Write = Write {
        changes: true,
        verdicts: false,
    };
    const VERDICTS: Write = Write {
        changes: false,
        verdicts: true,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn changes_during_a_write_share_the_next_one() {
        let mut persist = Persist::new();
        assert_eq!(persist.next(ms(0)), None);
        persist.verdicts_changed();
        persist.changed(ms(0), Some("a"));
        assert_eq!(persist.next(ms(0)), Some(BOTH));
        for waiting in ["b", "c"] {
            persist.changed(ms(1), Some(waiting));
            assert_eq!(persist.next(ms(1)), None, "one write at a time");
        }
        assert_eq!(persist.finished(ms(2), ms(2), Ok(())).waiting, ["a"]);
        assert_eq!(persist.next(ms(2)), Some(CHANGES));
        assert_eq!(persist.finished(ms(4), ms(2), Ok(())).waiting, ["b", "c"]);
        assert_eq!(persist.next(ms(4)), None);
    }

    #[test]
    fn verdicts_are_not_written_all_the_time() {
        let mut persist = Persist::<()>::new();
        persist.verdicts_changed();
        assert_eq!(persist.next(ms(0)), Some(VERDICTS));
        persist.finished(ms(200), ms(200), Ok(()));
        persist.verdicts_changed();
        assert_eq!(persist.next(ms(4199)), None, "a write of 200 ms, 20 times");
        persist.changed(ms(4199), None);
        assert_eq!(persist.next(ms(4199)), Some(CHANGES), "never delayed");
        persist.finished(ms(4199), ms(0), Ok(()));
        assert_eq!(persist.next(ms(4200)), Some(VERDICTS));
        persist.finished(ms(50_000), ms(45_000), Ok(()));
        persist.verdicts_changed();
        assert_eq!(persist.next(ms(109_999)), None);
        assert_eq!(persist.next(ms(110_000)), Some(VERDICTS), "after a hang");
    }

    #[test]
    fn what_could_not_be_written_is_written_again() {
        let mut persist = Persist::new();
        persist.changed(ms(0), Some("a"));
        persist.verdicts_changed();
        assert_eq!(persist.next(ms(0)), Some(BOTH));
        let failed = persist.finished(ms(1), ms(1), Err("no space".into()));
        let error = "no space".into();
        assert_eq!(failed.event, Some(Event::StateNotSaved { error }));
        assert_eq!((failed.waiting, failed.result.is_err()), (vec!["a"], true));
        assert_eq!(persist.next(ms(5000)), None, "a pause");
        assert_eq!(persist.next(ms(5001)), Some(BOTH), "without another change");
        assert_eq!(
            persist.finished(ms(5002), ms(1), Err("x".into())).event,
            None
        );
        persist.changed(ms(5003), Some("b"));
        assert_eq!(persist.next(ms(5003)), Some(CHANGES), "somebody waits");
        let saved = persist.finished(ms(5004), ms(1), Ok(()));
        assert_eq!(saved.event, Some(Event::StateSavedAgain));
        assert_eq!(saved.waiting, ["b"]);
    }

    #[test]
    fn nobody_waits_for_ever_for_a_disk_that_hangs() {
        let mut persist = Persist::new();
        persist.changed(ms(0), Some("a"));
        assert_eq!(persist.next(ms(0)), Some(CHANGES));
        persist.changed(ms(500), Some("b"));
        let overdue = persist.overdue(ms(2999));
        assert_eq!((overdue.waiting, overdue.event), (vec![], None));
        let overdue = persist.overdue(ms(3000));
        let error = "the disk does not answer".into();
        assert_eq!(overdue.waiting, ["a"]);
        assert_eq!(overdue.event, Some(Event::StateNotSaved { error }));
        let overdue = persist.overdue(ms(3500));
        assert_eq!((overdue.waiting, overdue.event), (vec!["b"], None));
        let finished = persist.finished(ms(9000), ms(9000), Ok(()));
        assert!(finished.waiting.is_empty());
        assert_eq!(finished.event, Some(Event::StateSavedAgain));
        assert_eq!(persist.next(ms(9000)), Some(CHANGES), "what b had changed");
    }
}
