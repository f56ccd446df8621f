//! The boundary between the control loop and the adapter to the message bus: messages as bytes, in both
//! directions, and the state of the connection.
//!
//! The bus is never trusted to be well. The control loop hands messages to an [`Outbox`] without waiting: a
//! bus that takes none costs the oldest of them, and every message is repeated later or asked for again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use prometheus::IntCounter;
use tokio::sync::Notify;

use crate::base::lock::lock;

/// The number of messages that may wait, beside one full state.
const MAX_WAITING: usize = 256;

/// What a message is about; also the middle token of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What the vantages of a node see.
    Report,
    /// Overrides that have changed.
    Override,
    /// All overrides of a node, which asks for those of the others.
    Sync,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Report, Self::Override, Self::Sync];

    /// The word used in subjects and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Override => "override",
            Self::Sync => "sync",
        }
    }
}

/// What comes from the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// There is a connection now, and it is subscribed.
    Connected {
        /// The server that it is to.
        server: Box<str>,
    },
    /// There is none any more, or none yet.
    Disconnected {
        /// Why, for an operator.
        reason: Box<str>,
    },
    /// A message, of this or another node.
    Message {
        /// What it is about.
        kind: Kind,
        /// The last token of its subject: who may write there. Empty for a reply, and for [`Kind::Sync`], whose
        /// subject all share.
        node: Box<str>,
        /// Its content.
        payload: Bytes,
        /// Where a reply goes, if one is asked for.
        reply: Option<Box<str>>,
    },
}

/// What goes to the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// The full state of this node's vantages, in parts; replaces all reports that wait.
    Report(Vec<Vec<u8>>),
    /// What has changed since the last report.
    Changes(Vec<u8>),
    /// Overrides that have changed.
    Override(Vec<u8>),
    /// All overrides of this node; replies carry those of the others.
    Sync(Vec<u8>),
    /// The reply to a [`Kind::Sync`].
    Reply {
        /// The subject.
        to: Box<str>,
        /// Its content.
        payload: Vec<u8>,
    },
}

/// Messages that wait for the bus: bounded, and the oldest is dropped for a new one. A handle: clones share the
/// messages.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<VecDeque<Outgoing>>,
    added: Notify,
    dropped: Option<IntCounter>,
}

impl Outbox {
    /// Counts the messages that are dropped because the bus did not take them in time.
    pub fn counting(dropped: IntCounter) -> Self {
        let shared = Shared {
            dropped: Some(dropped),
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Adds a message; never waits. What it supersedes, and the oldest where there are too many, is dropped.
    pub fn push(&self, message: Outgoing) {
        let mut waiting = lock(&self.shared.waiting);
        let before = waiting.len();
        match message {
            Outgoing::Report(_) => waiting.retain(|waiting| !is_report(waiting)),
            Outgoing::Sync(_) => waiting.retain(|waiting| !matches!(waiting, Outgoing::Sync(_))),
            Outgoing::Changes(_) | Outgoing::Override(_) | Outgoing::Reply { .. } => {}
        }
        if waiting.len() > MAX_WAITING {
            waiting.pop_front();
        }
        let dropped = before - waiting.len();
        waiting.push_back(message);
        drop(waiting);
        if let Some(counter) = &self.shared.dropped {
            counter.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
        }
        self.shared.added.notify_one();
    }

    /// Takes the oldest message, as soon as there is one. For one task at a time; cancel safe.
    pub async fn next(&self) -> Outgoing {
        loop {
            if let Some(message) = lock(&self.shared.waiting).pop_front() {
                return message;
            }
            self.shared.added.notified().await;
        }
    }
}

fn is_report(message: &Outgoing) -> bool {
    matches!(message, Outgoing::Report(_) | Outgoing::Changes(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "help").expect("a name")
    }

    #[tokio::test]
    async fn a_full_state_supersedes_the_reports_that_wait() {
        let dropped = counter();
        let outbox = Outbox::counting(dropped.clone());
        let report = |n| Outgoing::Report(vec![vec![n]]);
        outbox.push(report(1));
        outbox.push(Outgoing::Override(vec![2]));
        outbox.push(Outgoing::Changes(vec![3]));
        outbox.push(report(4));
        outbox.push(Outgoing::Changes(vec![5]));
        for expected in [
            Outgoing::Override(vec![2]),
            report(4),
            Outgoing::Changes(vec![5]),
        ] {
            assert_eq!(outbox.next().await, expected);
        }
        assert_eq!(dropped.get(), 2);
    }

    #[tokio::test]
    async fn the_oldest_is_dropped_for_a_new_one() {
        let dropped = counter();
        let outbox = Outbox::counting(dropped.clone());
        for n in 0..=u8::MAX {
            outbox.push(Outgoing::Changes(vec![n]));
        }
        outbox.push(Outgoing::Override(vec![]));
        assert_eq!(dropped.get(), 0);
        outbox.push(Outgoing::Override(vec![]));
        assert_eq!(dropped.get(), 1);
        assert_eq!(outbox.next().await, Outgoing::Changes(vec![1]));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let outbox = Outbox::default();
        let waiting = tokio::spawn({
            let outbox = outbox.clone();
            async move { outbox.next().await }
        });
        tokio::task::yield_now().await;
        outbox.push(Outgoing::Sync(vec![1]));
        assert_eq!(waiting.await.expect("no panic"), Outgoing::Sync(vec![1]));
    }
}
