//! `Queue`: the events that wait for one webhook, oldest first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::event_kind::EventKind;
use crate::live::events::EventLog;
use crate::live::events::MAX_EVENTS;
use crate::live::events::Record;
use crate::live::events::Value;

/// An event that could not be delivered for so long, in milliseconds, is dropped.
const MAX_AGE: u64 = 3_600_000;

/// Events in one delivery.
const MAX_BATCH: usize = 100;

/// What waits.
#[derive(Debug)]
pub(super) struct Queue {
    webhook: Box<str>,
    /// Empty: all.
    kinds: Vec<EventKind>,
    waiting: VecDeque<Arc<Record>>,
    /// The number of the last event that was considered.
    seen: u64,
}

impl Queue {
    /// Goes on after event `seen`.
    pub(super) fn new(webhook: Box<str>, kinds: Vec<EventKind>, seen: u64) -> Self {
        Self {
            webhook,
            kinds,
            waiting: VecDeque::new(),
            seen,
        }
    }

    /// Takes up what has happened since, and returns how many events are lost.
    pub(super) fn fill(&mut self, log: &EventLog) -> u64 {
        let new = log.since(self.seen);
        let mut n_lost = 0;
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            n_lost += first.seq.saturating_sub(self.seen + 1);
            self.seen = last.seq;
        }
        let wanted: Vec<_> = new
            .into_iter()
            .filter(|record| self.takes(record))
            .collect();
        self.waiting.extend(wanted);
        let n_over = self.waiting.len().saturating_sub(MAX_EVENTS);
        self.waiting.drain(..n_over);
        n_lost + n_over as u64
    }

    /// Drops what is too old, and returns how many these are.
    pub(super) fn expire(&mut self, now: u64) -> u64 {
        let is_old = |record: &Arc<Record>| now.saturating_sub(record.at) > MAX_AGE;
        // The clock may have been set back in between: the oldest decides.
        let n_old = self
            .waiting
            .iter()
            .take_while(|record| is_old(record))
            .count();
        self.waiting.drain(..n_old);
        n_old as u64
    }

    /// The next events to deliver.
    pub(super) fn batch(&self) -> Vec<Arc<Record>> {
        self.waiting.iter().take(MAX_BATCH).cloned().collect()
    }

    /// Everything up to this event is delivered, or is not to be.
    pub(super) fn done(&mut self, seq: u64) {
        let n_done = self
            .waiting
            .iter()
            .take_while(|record| record.seq <= seq)
            .count();
        self.waiting.drain(..n_done);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The number of the last event before those that wait.
    pub(super) fn before(&self) -> u64 {
        self.waiting
            .front()
            .map_or(self.seen, |record| record.seq - 1)
    }

    /// Whether it is one for this webhook: not that it failed itself, which would have no end.
    fn takes(&self, record: &Record) -> bool {
        let is_wanted =
            self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == record.kind);
        let is_own = record.kind.starts_with("webhook_")
            && record.fields.get("webhook") == Some(&Value::Text(self.webhook.clone()));
        is_wanted && !is_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::events::event;
    use crate::live::meters::Meters;

    fn log() -> EventLog {
        EventLog::resume(Vec::new(), Meters::new().events)
    }

    fn push(log: &EventLog, n: usize) {
        for _ in 0..n {
            log.push(event!(warn, PoolDown, [pool = "a"], [], "pool is down"));
            log.push(event!(info, PoolUp, [pool = "a"], [], "pool is up"));
        }
    }

    fn seqs(queue: &Queue) -> Vec<u64> {
        queue.batch().iter().map(|record| record.seq).collect()
    }

    #[test]
    fn events_of_the_wanted_kinds_wait_in_order() {
        let log = log();
        push(&log, 3);
        let mut queue = Queue::new("a".into(), vec![EventKind::PoolUp], 2);
        assert_eq!(queue.fill(&log), 0);
        assert_eq!((seqs(&queue), queue.before()), (vec![4, 6], 3));
        queue.done(4);
        push(&log, 1);
        assert_eq!(queue.fill(&log), 0);
        assert_eq!(seqs(&queue), [6, 8]);
        queue.done(8);
        assert_eq!((queue.len(), queue.before()), (0, 8));
    }

    #[test]
    fn a_webhook_is_not_sent_its_own_failures() {
        let log = log();
        for webhook in ["a", "b"] {
            log.push(event!(warn, WebhookFailed, [webhook], [], "fails"));
        }
        let mut queue = Queue::new("a".into(), Vec::new(), 0);
        queue.fill(&log);
        assert_eq!(seqs(&queue), [2]);
    }

    #[test]
    fn what_is_too_much_or_too_old_is_dropped_and_counted() {
        let log = log();
        let mut queue = Queue::new("a".into(), Vec::new(), 0);
        push(&log, 400);
        assert_eq!(queue.fill(&log), 0);
        push(&log, 400);
        assert_eq!((queue.fill(&log), queue.len()), (600, MAX_EVENTS));
        push(&log, 510);
        assert_eq!(queue.fill(&log), 20 + MAX_EVENTS as u64);
        assert_eq!(queue.batch().len(), MAX_BATCH);
        let first = queue.batch()[0].at;
        assert_eq!(queue.expire(first + MAX_AGE), 0);
        assert_eq!(queue.expire(first + MAX_AGE + 60_000), MAX_EVENTS as u64);
        assert_eq!((queue.len(), queue.before()), (0, 2620));
    }
}
