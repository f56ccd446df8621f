//! What has happened: the latest events, numbered, for the API, the status page and webhooks.
//!
//! An event is described once, by `event!`, which writes the log line and returns the [`Draft`] of the
//! record. Its number and time are those of [`EventLog::push`].

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::RwLock;

use prometheus::IntCounterVec;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use tokio::sync::watch;

use crate::base::event_kind::EventKind;
use crate::base::lock;
use crate::live::clock::now_ms;

/// How many events are kept.
pub const MAX_EVENTS: usize = 1_000;

/// What the numbers go on by after a run that did not end in order: its last events may not be on disk,
/// and their numbers are not given twice.
const GAP: u64 = 1_000;

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Something is worse than it should be.
    Warning,
    /// Something needs an operator.
    Error,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number without a fraction.
    Whole(u64),
    /// A number.
    Real(f64),
    /// A word or sentence.
    Text(Box<str>),
    /// Several of them.
    List(Vec<Box<str>>),
}

/// The fields of an event, in order; an object in JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(Cow<'static, str>, Value)>);

/// An event before it is numbered.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What happened.
    pub kind: EventKind,
    /// How bad it is.
    pub severity: Severity,
    /// The same in words; with the fields the log line.
    pub message: Cow<'static, str>,
    /// The details.
    pub fields: Fields,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; each event has a higher one than those before it, also after a restart.
    pub seq: u64,
    /// When, in Unix milliseconds.
    pub at: u64,
    /// What happened; a word of [`EventKind`], or of an older release's.
    pub kind: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// The same in words.
    pub message: Cow<'static, str>,
    /// The details.
    pub fields: Fields,
}

/// The latest events. A push waits for a reader's copy of some pointers at most.
#[derive(Debug)]
pub struct EventLog {
    ring: RwLock<VecDeque<Arc<Record>>>,
    /// The number of the latest event.
    latest: watch::Sender<u64>,
    counts: IntCounterVec,
}

impl EventLog {
    /// Goes on after the events of the last run, oldest first; `counts` is by kind.
    pub fn resume(kept: Vec<Record>, counts: IntCounterVec) -> Self {
        let gap = kept.last().map_or(0, |last| {
            let is_orderly = last.kind == EventKind::Stopping.as_str();
            last.seq + if is_orderly { 0 } else { GAP }
        });
        // There from the start, so that an alert on a rise sees the first one.
        for kind in EventKind::ALL {
            counts.with_label_values(&[kind.as_str()]);
        }
        let n_old = kept.len().saturating_sub(MAX_EVENTS);
        Self {
            ring: RwLock::new(kept.into_iter().skip(n_old).map(Arc::new).collect()),
            latest: watch::Sender::new(gap),
            counts,
        }
    }

    /// Adds an event that happens now.
    pub fn push(&self, draft: Draft) {
        let kind = draft.kind.as_str();
        self.counts.with_label_values(&[kind]).inc();
        let mut ring = lock::write(&self.ring);
        let seq = *self.latest.borrow() + 1;
        if ring.len() >= MAX_EVENTS {
            ring.pop_front();
        }
        ring.push_back(Arc::new(Record {
            seq,
            at: now_ms(),
            kind: kind.into(),
            severity: draft.severity,
            message: draft.message,
            fields: draft.fields,
        }));
        // Under the lock: numbers are in the order of the ring.
        self.latest.send_replace(seq);
    }

    /// The events that are kept of those after `seq`, oldest first. A number that has not been given yet
    /// is of another run whose events are lost: all are after it.
    pub fn since(&self, seq: u64) -> Vec<Arc<Record>> {
        let ring = lock::read(&self.ring);
        let seq = if seq > *self.latest.borrow() { 0 } else { seq };
        let first = ring.partition_point(|record| record.seq <= seq);
        ring.range(first..).cloned().collect()
    }

    /// Changes with each event, to its number.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }
}

impl Draft {
    /// Adds a field that its log line does not have.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl ToValue) -> Self {
        self.fields = self.fields.with(name, value);
        self
    }
}

impl Fields {
    /// Adds one, unless it has no value.
    #[must_use]
    pub fn with<T: ToValue + ?Sized>(mut self, name: &'static str, value: &T) -> Self {
        let value = value.to_value();
        self.0.extend(value.map(|value| (name.into(), value)));
        self
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// What a field can be made of.
pub trait ToValue {
    /// The value; `None` is left out.
    fn to_value(&self) -> Option<Value>;
}

impl ToValue for u64 {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Whole(*self))
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Real(*self))
    }
}

impl ToValue for str {
    fn to_value(&self) -> Option<Value> {
        Some(Value::Text(self.into()))
    }
}

impl ToValue for String {
    fn to_value(&self) -> Option<Value> {
        self.as_str().to_value()
    }
}

impl ToValue for Vec<Box<str>> {
    fn to_value(&self) -> Option<Value> {
        Some(Value::List(self.clone()))
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Option<Value> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Real(n) => n.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::List(texts) => texts.join(", ").fmt(f),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    fields.push((name.into(), value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// Writes a log line and returns the [`Draft`] of the same event, with the same fields:
/// `event!(warn, PoolDown, [pool, family], [up = n_up as u64], "pool is down")`. The first fields are
/// written by [`Display`]; the second are numbers, texts in quotes, and what may be missing.
macro_rules! event {
    (
        $level:ident, $kind:ident,
        [$($name:ident $(= $name_value:expr)?),*],
        [$($plain:ident $(= $plain_value:expr)?),*],
        $message:expr $(,)?
    ) => {{
        $(let $name = $crate::live::events::event!(@value $name $(= $name_value)?).to_string();)*
        $($(let $plain = $plain_value;)?)*
        let fields = $crate::live::events::Fields::default()
            $(.with(stringify!($name), &$name))*
            $(.with(stringify!($plain), &$plain))*;
        tracing::$level!($($name = %$name,)* $($plain,)* "{}", $message);
        $crate::live::events::Draft {
            kind: $crate::base::event_kind::EventKind::$kind,
            severity: $crate::live::events::event!(@severity $level),
            message: $message.into(),
            fields,
        }
    }};
    (@value $name:ident) => { $name };
    (@value $name:ident = $value:expr) => { $value };
    (@severity info) => { $crate::live::events::Severity::Info };
    (@severity warn) => { $crate::live::events::Severity::Warning };
    (@severity error) => { $crate::live::events::Severity::Error };
}

pub(crate) use event;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::meters::Meters;

    fn log(kept: Vec<Record>) -> EventLog {
        EventLog::resume(kept, Meters::new().events)
    }

    fn push(log: &EventLog, pool: &str) {
        log.push(event!(
            warn,
            PoolDown,
            [pool],
            [up = 0_u64, of = None::<u64>],
            "pool is down"
        ));
    }

    fn seqs(records: &[Arc<Record>]) -> Vec<u64> {
        records.iter().map(|record| record.seq).collect()
    }

    fn kept(log: &EventLog) -> Vec<Record> {
        let all = log.since(0);
        all.iter().map(|record| Record::clone(record)).collect()
    }

    #[test]
    fn the_latest_thousand_are_kept_in_order() {
        let log = log(Vec::new());
        let mut follower = log.follow();
        assert_eq!(log.since(0), []);
        for n in 0..MAX_EVENTS + 5 {
            push(&log, &n.to_string());
        }
        let all = log.since(0);
        assert_eq!(all.len(), MAX_EVENTS);
        assert_eq!((all[0].seq, all[MAX_EVENTS - 1].seq), (6, 1005));
        assert_eq!(all[0].fields.get("pool"), Some(&Value::Text("5".into())));
        assert_eq!(seqs(&log.since(1003)), [1004, 1005]);
        assert_eq!(log.since(1005), []);
        assert_eq!(*follower.borrow_and_update(), 1005);
        let n = log.counts.with_label_values(&["pool_down"]).get();
        assert_eq!(n, 1005);
    }

    #[test]
    fn a_number_that_was_never_given_is_of_a_lost_run() {
        let log = log(Vec::new());
        push(&log, "a");
        push(&log, "b");
        assert_eq!(seqs(&log.since(3)), [1, 2]);
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        let first = log(Vec::new());
        push(&first, "a");
        let crashed = log(kept(&first));
        push(&crashed, "b");
        assert_eq!(seqs(&crashed.since(0)), [1, 1002], "2 may be lost");
        first.push(event!(info, Stopping, [], [], "stopping"));
        let stopped = log(kept(&first));
        assert_eq!(*stopped.follow().borrow(), 2);
        push(&stopped, "b");
        assert_eq!(seqs(&stopped.since(0)), [1, 2, 3]);
    }

    #[test]
    fn a_record_is_one_object_and_is_read_back() {
        let log = log(Vec::new());
        let draft = event!(
            info,
            PoolShare,
            [pool = "a", family = "IPv4"],
            [percent = 12.5, of = 3_u64],
            "pool takes this share of its clients"
        );
        log.push(draft.with("zones", &vec!["b".into(), "c".into()]));
        let record = &kept(&log)[0];
        let text = serde_json::to_string(record).expect("JSON");
        let expected = format!(
            r#"{{"seq":1,"at":{},"kind":"pool_share","severity":"info","message":"pool takes this share of its clients","fields":{{"pool":"a","family":"IPv4","percent":12.5,"of":3,"zones":["b","c"]}}}}"#,
            record.at
        );
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Record>(&text).expect("it"), *record);
    }
}
