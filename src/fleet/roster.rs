//! The roster: which messages are accepted, and what is known of the other machines. No clock and no I/O.
//!
//! The message bus may repeat, reorder and delay messages, and its permissions may be missing. So a message
//! is dropped, and counted by reason, unless it is from a machine that may report, was sent lately, and
//! is newer than the one before it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fleet::link::Kind;
use crate::fleet::record;
use crate::fleet::record::Body;
use crate::fleet::record::Boot;
use crate::fleet::record::Message;
use crate::fleet::record::Unreadable;
use crate::health::observation::Moment;
use crate::health::report::Ignored;
use crate::health::run_time::RunTime;
use crate::live::fleet::Digests;
use crate::live::fleet::NodeView;
use crate::live::fleet::What;
use crate::state::spills::PoolShares;
use crate::steer::spread::Admission;

/// How far another machine's clock may be ahead of this one's.
pub const MAX_SKEW: Duration = Duration::from_secs(5);

/// A difference is shown when it has lasted so long: a report in flight is none.
const SETTLE: Duration = Duration::from_secs(10);

/// Overrides are compared in full when they have differed for so long, and again as often as this.
const SYNC_AFTER: Duration = Duration::from_millis(1500);
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// A machine that was silent for so long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The largest number of other machines.
const MAX_NODES: usize = 256;

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rejection {
    /// It was sent too long ago, or too far in the future: a clock is wrong, or the bus is late.
    Clock,
    /// Another process uses the name of its sender, and that is newer.
    DuplicateNode,
    /// Its content is not what it should be.
    Malformed,
    /// It is too long.
    Oversized,
    /// A newer one of its sender has come before.
    Replayed,
    /// Its sender has no right to the subject that it came on.
    Subject,
    /// There are too many machines.
    TooManyNodes,
    /// It has another version.
    UnknownVersion,
    /// Its sender is none of `reporters`.
    Unlisted,
}

impl Rejection {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Clock,
        Self::DuplicateNode,
        Self::Malformed,
        Self::Oversized,
        Self::Replayed,
        Self::Subject,
        Self::TooManyNodes,
        Self::UnknownVersion,
        Self::Unlisted,
    ];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::DuplicateNode => "duplicate_node",
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Replayed => "replayed",
            Self::Subject => "subject",
            Self::TooManyNodes => "too_many_nodes",
            Self::UnknownVersion => "unknown_version",
            Self::Unlisted => "unlisted",
        }
    }
}

/// Something about the fleet that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetChange {
    /// A machine is heard of, for the first time or again.
    Reports {
        /// Its name.
        node: Box<str>,
    },
    /// A machine is not heard of any more.
    Lost {
        /// Its name.
        node: Box<str>,
    },
    /// It has something in another form than this machine.
    Differs {
        /// Its name.
        node: Box<str>,
        /// In what.
        what: What,
    },
    /// It has the same again.
    Agrees {
        /// Its name.
        node: Box<str>,
        /// In what.
        what: What,
    },
    /// Two machines use one name.
    Duplicate {
        /// The name.
        node: Box<str>,
        /// Whether it is this machine's.
        is_own: bool,
    },
}

/// Who is who.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This machine's name.
    pub node: Box<str>,
    /// Who may report; `None`: whoever the message bus lets in.
    pub reporters: Option<Vec<Box<str>>>,
    /// A message that was sent longer ago is dropped, and a machine that was silent for longer is lost.
    pub report_max_age: Duration,
}

/// The state.
#[derive(Clone, Debug)]
pub struct Roster {
    settings: Settings,
    boot: Boot,
    time: RunTime,
    nodes: BTreeMap<Box<str>, Node>,
    changes: Vec<FleetChange>,
    dropped: [u64; Rejection::ALL.len()],
    /// When another machine last used this one's name.
    twin: Option<Duration>,
    /// When overrides were last compared in full.
    synced: Option<Duration>,
}

/// What is known of another machine.
#[derive(Clone, Debug)]
struct Node {
    boot: Boot,
    /// The latest sequence number, by kind.
    sequences: [u64; Kind::ALL.len()],
    messages: [u64; Kind::ALL.len()],
    version: Box<str>,
    digests: Digests,
    /// The shares of pools that it has, and when it last sent any.
    shares: BTreeMap<Box<str>, Admission>,
    shared: Option<Duration>,
    ignored: Ignored,
    /// The run time at its latest message, and that in Unix seconds.
    heard: Duration,
    last_seen: u64,
    is_lost: bool,
    /// When an older process of its name last sent something.
    twin: Option<Duration>,
    differs: [Option<Difference>; What::ALL.len()],
}

#[derive(Clone, Copy, Debug)]
struct Difference {
    since: Duration,
    since_unix: u64,
    is_shown: bool,
}

impl Roster {
    /// Nobody is known yet.
    pub fn new(settings: Settings, boot: Boot) -> Self {
        Self {
            settings,
            boot,
            time: RunTime::default(),
            nodes: BTreeMap::new(),
            changes: Vec::new(),
            dropped: [0; Rejection::ALL.len()],
            twin: None,
            synced: None,
        }
    }

    /// Takes a message that came on the subject of a machine, empty where that has none. `None`: it is not
    /// accepted, or an echo of this machine's own.
    pub fn accept(
        &mut self,
        kind: Kind,
        subject: &str,
        payload: &[u8],
        now: Moment,
    ) -> Option<Message> {
        match self.check(kind, subject, payload, now) {
            Ok(message) => message,
            Err(reason) => {
                self.dropped[reason as usize] += 1;
                None
            }
        }
    }

    fn check(
        &mut self,
        kind: Kind,
        subject: &str,
        payload: &[u8],
        now: Moment,
    ) -> Result<Option<Message>, Rejection> {
        let elapsed = self.time.advance(now.elapsed);
        let message = record::read(kind, payload)?;
        if !subject.is_empty() && *subject != *message.node {
            return Err(Rejection::Subject);
        }
        if message.node == self.settings.node {
            return self.hear_own_name(&message, elapsed);
        }
        let reporters = self.settings.reporters.as_ref();
        if reporters.is_some_and(|reporters| !reporters.contains(&message.node)) {
            return Err(Rejection::Unlisted);
        }
        let (sent, max_age) = (
            Duration::from_millis(message.sent_ms),
            self.settings.report_max_age,
        );
        let clock = Duration::from_millis(now.unix_ms);
        if sent > clock + MAX_SKEW || sent + max_age < clock {
            return Err(Rejection::Clock);
        }
        if !self.nodes.contains_key(&message.node) {
            if self.nodes.len() >= MAX_NODES {
                return Err(Rejection::TooManyNodes);
            }
            let node = message.node.clone();
            self.changes
                .push(FleetChange::Reports { node: node.clone() });
            self.nodes.insert(node, Node::new(message.boot));
        }
        let Some(node) = self.nodes.get_mut(&message.node) else {
            return Err(Rejection::TooManyNodes);
        };
        node.check_order(kind, &message, elapsed, max_age, &mut self.changes)?;
        if std::mem::take(&mut node.is_lost) {
            let node = message.node.clone();
            self.changes.push(FleetChange::Reports { node });
        }
        (node.heard, node.last_seen) = (elapsed, now.unix());
        node.messages[kind as usize] += 1;
        if let Body::Report(report) = &message.body {
            node.version.clone_from(&report.version);
            node.digests = report.digests;
            if !report.shares.is_empty() {
                node.shares.extend(report.shares.iter().cloned());
                node.shared = Some(elapsed);
            }
        }
        Ok(Some(message))
    }

    /// Tells an echo, also a late one of the process before, from another machine of the same name.
    fn hear_own_name(
        &mut self,
        message: &Message,
        now: Duration,
    ) -> Result<Option<Message>, Rejection> {
        if message.boot == self.boot || !message.outlives(self.boot) {
            return Ok(None);
        }
        if self.twin.replace(now).is_none() {
            let node = self.settings.node.clone();
            self.changes
                .push(FleetChange::Duplicate { node, is_own: true });
        }
        Err(Rejection::DuplicateNode)
    }

    /// The shares of the machine that leads: of those that have sent some lately the first by name, before
    /// `own_name` if that is given.
    pub fn leading(&self, own_name: Option<&str>, now: Moment) -> Option<PoolShares> {
        let now = self.time.at(now.elapsed);
        let is_fresh = |shared| now.saturating_sub(shared) <= self.settings.report_max_age;
        let mut nodes = self.nodes.iter();
        let (name, node) = nodes.find(|(_, node)| node.shared.is_some_and(is_fresh))?;
        let is_before = own_name.is_none_or(|own| **name < *own);
        is_before.then(|| node.shares.clone().into_iter().collect())
    }

    /// Counts the records of a machine's report that were ignored.
    pub fn ignored(&mut self, node: &str, ignored: Ignored) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.ignored.unknown_endpoint += ignored.unknown_endpoint;
            node.ignored.other_check += ignored.other_check;
            node.ignored.local_name += ignored.local_name;
        }
    }

    /// Looks for machines that are lost, and for differences; whether overrides are to be compared in full.
    /// To be called every second.
    pub fn tick(&mut self, own: &Digests, now: Moment) -> bool {
        let elapsed = self.time.advance(now.elapsed);
        let max_age = self.settings.report_max_age;
        self.nodes
            .retain(|_, node| elapsed.saturating_sub(node.heard) <= FORGET_AFTER);
        for (name, node) in &mut self.nodes {
            if !node.is_lost && elapsed.saturating_sub(node.heard) > max_age {
                node.is_lost = true;
                let node = name.clone();
                self.changes.push(FleetChange::Lost { node });
            }
            node.twin = node
                .twin
                .filter(|twin| elapsed.saturating_sub(*twin) <= max_age);
            for what in What::ALL {
                let is_shown = node.compare(what, own, elapsed, now.unix());
                let node = name.clone();
                self.changes.extend(is_shown.map(|is_shown| match is_shown {
                    true => FleetChange::Differs { node, what },
                    false => FleetChange::Agrees { node, what },
                }));
            }
        }
        self.twin = self
            .twin
            .filter(|twin| elapsed.saturating_sub(*twin) <= max_age);
        let is_due = self
            .synced
            .is_none_or(|synced| elapsed >= synced + SYNC_INTERVAL);
        let is_old = |difference: &Difference| elapsed >= difference.since + SYNC_AFTER;
        let mut differences = self.nodes.values();
        let differs = differences.any(|node| {
            node.differs[What::Overrides as usize]
                .as_ref()
                .is_some_and(is_old)
        });
        if is_due && differs {
            self.synced(now);
        }
        is_due && differs
    }

    /// Overrides are compared in full now.
    pub fn synced(&mut self, now: Moment) {
        self.synced = Some(self.time.at(now.elapsed));
    }

    /// What has happened since the last call.
    pub fn take_changes(&mut self) -> Vec<FleetChange> {
        std::mem::take(&mut self.changes)
    }

    /// The other machines, by name.
    pub fn nodes(&self, now: Moment) -> impl Iterator<Item = NodeView> {
        let elapsed = self.time.at(now.elapsed);
        self.nodes
            .iter()
            .map(move |(name, node)| node.view(name, elapsed))
    }

    /// Messages that were dropped, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (Rejection, u64)> {
        Rejection::ALL.into_iter().zip(self.dropped)
    }

    /// Whether another machine uses this one's name.
    pub fn is_name_taken(&self) -> bool {
        self.twin.is_some()
    }
}

impl From<Unreadable> for Rejection {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed => Self::Malformed,
            Unreadable::Oversized => Self::Oversized,
            Unreadable::UnknownVersion => Self::UnknownVersion,
        }
    }
}

impl Message {
    /// Whether it was sent when a process of the same name had been running for some time, whatever the
    /// clocks say.
    fn outlives(&self, boot: Boot) -> bool {
        let skew = u64::try_from(MAX_SKEW.as_millis()).unwrap_or(u64::MAX);
        self.sent_ms > boot.started_ms.saturating_add(skew)
    }
}

impl Node {
    fn new(boot: Boot) -> Self {
        Self {
            boot,
            sequences: [0; Kind::ALL.len()],
            messages: [0; Kind::ALL.len()],
            version: "".into(),
            digests: Digests::default(),
            shares: BTreeMap::new(),
            shared: None,
            ignored: Ignored::default(),
            heard: Duration::ZERO,
            last_seen: 0,
            is_lost: false,
            twin: None,
            differs: [None; What::ALL.len()],
        }
    }

    /// Sees whether a message is newer than those before it: of a later process, or of the same one with a
    /// higher number. An earlier process is believed again once the later one is lost.
    fn check_order(
        &mut self,
        kind: Kind,
        message: &Message,
        now: Duration,
        max_age: Duration,
        changes: &mut Vec<FleetChange>,
    ) -> Result<(), Rejection> {
        let is_silent = now.saturating_sub(self.heard) > max_age;
        if message.boot > self.boot || (message.boot != self.boot && is_silent) {
            self.boot = message.boot;
            self.sequences = [0; Kind::ALL.len()];
        }
        if message.boot < self.boot && message.outlives(self.boot) {
            if self.twin.replace(now).is_none() {
                let node = message.node.clone();
                changes.push(FleetChange::Duplicate {
                    node,
                    is_own: false,
                });
            }
            return Err(Rejection::DuplicateNode);
        }
        let latest = &mut self.sequences[kind as usize];
        if message.boot < self.boot || message.sequence <= *latest {
            return Err(Rejection::Replayed);
        }
        *latest = message.sequence;
        Ok(())
    }

    /// Compares one thing with this machine's; returns whether it differs if that is to be shown now.
    fn compare(&mut self, what: What, own: &Digests, now: Duration, unix: u64) -> Option<bool> {
        let pair = self.digests.of(what).zip(own.of(what));
        let difference = &mut self.differs[what as usize];
        if self.is_lost || pair.is_none_or(|(theirs, own)| theirs == own) {
            let was_shown = difference.take().is_some_and(|before| before.is_shown);
            return (was_shown && !self.is_lost).then_some(false);
        }
        let difference = difference.get_or_insert(Difference {
            since: now,
            since_unix: unix,
            is_shown: false,
        });
        let is_due = now >= difference.since + SETTLE;
        (is_due && !std::mem::replace(&mut difference.is_shown, is_due)).then_some(true)
    }

    fn view(&self, name: &str, now: Duration) -> NodeView {
        let differs = What::ALL.into_iter().zip(self.differs);
        let differs = differs.filter_map(|(what, difference)| {
            let difference = difference.filter(|difference| difference.is_shown)?;
            Some((what, difference.since_unix))
        });
        let messages = Kind::ALL.into_iter().zip(self.messages);
        NodeView {
            name: name.into(),
            version: self.version.clone(),
            digests: self.digests,
            last_seen: self.last_seen,
            age: now.saturating_sub(self.heard),
            is_lost: self.is_lost,
            is_duplicate: self.twin.is_some(),
            differs: differs.collect(),
            messages: messages.map(|(kind, n)| (kind.as_str(), n)).collect(),
            ignored: self.ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::Report;
    use crate::fleet::record::Writer;

    const START: u64 = 1_700_000_000_000;

    fn boot(started_ms: u64) -> Boot {
        Boot {
            started_ms,
            random: 1,
        }
    }

    /// So many milliseconds after both clocks began.
    fn at(ms: u64) -> Moment {
        Moment {
            elapsed: Duration::from_millis(ms),
            unix_ms: START + ms,
        }
    }

    fn roster() -> Roster {
        let settings = Settings {
            node: "a".into(),
            reporters: Some(vec!["a".into(), "b".into(), "c".into()]),
            report_max_age: Duration::from_secs(30),
        };
        Roster::new(settings, boot(START))
    }

    fn digests(configuration: u64, overrides: u64) -> Digests {
        Digests::from_fn(|what| match what {
            What::Configuration => Some(configuration),
            What::Overrides => Some(overrides),
            What::Database | What::Verdicts => None,
        })
    }

    fn message(writer: &mut Writer, digests: Digests, sent: u64) -> Vec<u8> {
        let report = Report {
            version: "0.1.0".into(),
            digests,
            vantages: Vec::new(),
            shares: PoolShares::new(),
        };
        writer.report(&report, START + sent).remove(0)
    }

    fn hello(node: &str, started: u64, sent: u64) -> Vec<u8> {
        let mut writer = Writer::new(node, boot(started));
        message(&mut writer, Digests::default(), sent)
    }

    fn n_dropped(roster: &Roster, reason: Rejection) -> u64 {
        roster
            .dropped()
            .find(|(r, _)| *r == reason)
            .expect("listed")
            .1
    }

    #[test]
    fn messages_are_dropped_and_counted_by_reason() {
        for (subject, payload, now, expected) in [
            ("b", hello("b", START, 100_000), 100_000, None),
            ("", hello("b", START, 100_000), 100_000, None),
            ("b", hello("b", START, 100_000), 95_000, None),
            (
                "b",
                hello("b", START, 100_000),
                94_999,
                Some(Rejection::Clock),
            ),
            ("b", hello("b", START, 100_000), 130_000, None),
            (
                "b",
                hello("b", START, 100_000),
                130_001,
                Some(Rejection::Clock),
            ),
            (
                "c",
                hello("b", START, 100_000),
                100_000,
                Some(Rejection::Subject),
            ),
            (
                "x",
                hello("x", START, 100_000),
                100_000,
                Some(Rejection::Unlisted),
            ),
            ("b", b"{}".to_vec(), 100_000, Some(Rejection::Malformed)),
            (
                "b",
                b"{\"v\":9}".to_vec(),
                100_000,
                Some(Rejection::UnknownVersion),
            ),
            (
                "b",
                vec![b' '; record::MAX_LEN + 1],
                100_000,
                Some(Rejection::Oversized),
            ),
            (
                "a",
                hello("a", START + 1, 100_000),
                100_000,
                Some(Rejection::DuplicateNode),
            ),
        ] {
            let mut roster = roster();
            let accepted = roster.accept(Kind::Report, subject, &payload, at(now));
            assert_eq!(accepted.is_some(), expected.is_none(), "{subject} {now}");
            for (reason, n) in roster.dropped() {
                assert_eq!(
                    n,
                    u64::from(Some(reason) == expected),
                    "{subject} {now} {reason:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_repeated_or_out_of_order_is_dropped() {
        let mut roster = roster();
        let mut writer = Writer::new("b", boot(START));
        let [one, two, three] = [1, 2, 3].map(|_| message(&mut writer, Digests::default(), 1_000));
        let mut accepts =
            |kind, payload: &[u8]| roster.accept(kind, "b", payload, at(1_000)).is_some();
        assert!(accepts(Kind::Report, &two));
        assert!(!accepts(Kind::Report, &two));
        assert!(!accepts(Kind::Report, &one));
        assert!(accepts(Kind::Report, &three));
        assert_eq!(n_dropped(&roster, Rejection::Replayed), 2);
        // A later process counts from one again, and the one before is over.
        let restarted = hello("b", START + 2_000, 2_500);
        assert!(
            roster
                .accept(Kind::Report, "b", &restarted, at(2_500))
                .is_some()
        );
        let late = message(&mut writer, Digests::default(), 1_900);
        assert!(roster.accept(Kind::Report, "b", &late, at(2_600)).is_none());
        assert_eq!(n_dropped(&roster, Rejection::Replayed), 3);
        assert!(roster.nodes(at(2_600)).all(|node| !node.is_duplicate));
    }

    #[test]
    fn two_machines_of_one_name_are_found_out() {
        let mut roster = roster();
        let (mut first, mut second) = (
            Writer::new("b", boot(START)),
            Writer::new("b", boot(START + 1)),
        );
        for second_ms in [0, 10_000, 20_000] {
            for writer in [&mut first, &mut second] {
                let payload = message(writer, Digests::default(), second_ms);
                roster.accept(Kind::Report, "b", &payload, at(second_ms));
            }
        }
        let duplicate = |node: &str, is_own| FleetChange::Duplicate {
            node: node.into(),
            is_own,
        };
        let seen = FleetChange::Reports { node: "b".into() };
        assert_eq!(roster.take_changes(), [seen, duplicate("b", false)]);
        assert_eq!(n_dropped(&roster, Rejection::DuplicateNode), 2);
        assert!(roster.nodes(at(20_000)).all(|node| node.is_duplicate));
        // The one that started last is gone: the other counts.
        let payload = message(&mut first, Digests::default(), 51_000);
        (21..=50).for_each(|s| {
            roster.tick(&Digests::default(), at(s * 1_000));
        });
        roster.tick(&Digests::default(), at(51_000));
        assert!(
            roster
                .accept(Kind::Report, "b", &payload, at(51_000))
                .is_some()
        );
        // This machine's own echo is none, nor that of its process before, however late.
        roster.take_changes();
        for (started, sent) in [(START, 60_000), (START - 60_000, 4_000)] {
            let echo = hello("a", started, sent);
            assert_eq!(roster.accept(Kind::Report, "a", &echo, at(60_000)), None);
        }
        assert!(!roster.is_name_taken());
        roster.accept(
            Kind::Report,
            "a",
            &hello("a", START - 60_000, 60_000),
            at(60_000),
        );
        assert!(roster.is_name_taken());
        assert_eq!(roster.take_changes(), [duplicate("a", true)]);
    }

    #[test]
    fn a_silent_node_is_lost_and_seen_again_but_not_over_a_freeze() {
        let mut roster = roster();
        let mut writer = Writer::new("b", boot(START));
        let mut hear = |roster: &mut Roster, ms| {
            let payload = message(&mut writer, Digests::default(), ms);
            roster.accept(Kind::Report, "b", &payload, at(ms));
            roster.take_changes()
        };
        let seen = [FleetChange::Reports { node: "b".into() }];
        assert_eq!(hear(&mut roster, 0), seen);
        // This process does not run for a minute: that is not the node's silence.
        roster.tick(&Digests::default(), at(60_000));
        assert_eq!(roster.take_changes(), []);
        for s in 61..=88 {
            roster.tick(&Digests::default(), at(s * 1_000));
        }
        assert_eq!(roster.take_changes(), []);
        roster.tick(&Digests::default(), at(89_000));
        assert_eq!(
            roster.take_changes(),
            [FleetChange::Lost { node: "b".into() }]
        );
        assert_eq!(hear(&mut roster, 90_000), seen);
    }

    #[test]
    fn differences_are_shown_once_they_last() {
        let mut roster = roster();
        let mut writer = Writer::new("b", boot(START));
        let mut hear = |roster: &mut Roster, digests, ms| {
            let payload = message(&mut writer, digests, ms);
            roster
                .accept(Kind::Report, "b", &payload, at(ms))
                .expect("accepted");
        };
        hear(&mut roster, digests(1, 1), 0);
        roster.take_changes();
        let own = digests(2, 1);
        let shown = |roster: &Roster, ms| {
            let mut nodes = roster.nodes(at(ms));
            nodes.next().expect("b").differs
        };
        for s in 0..10 {
            assert!(!roster.tick(&own, at(s * 1_000)));
            assert_eq!(roster.take_changes(), []);
        }
        roster.tick(&own, at(10_000));
        let (node, what) = ("b".into(), What::Configuration);
        assert_eq!(roster.take_changes(), [FleetChange::Differs { node, what }]);
        assert_eq!(shown(&roster, 10_000), [(what, START / 1_000)]);
        roster.tick(&digests(1, 1), at(11_000));
        let node = "b".into();
        assert_eq!(roster.take_changes(), [FleetChange::Agrees { node, what }]);
        assert_eq!(shown(&roster, 11_000), []);
        // One that is in flight does not matter.
        hear(&mut roster, digests(3, 1), 12_000);
        roster.tick(&digests(1, 1), at(12_000));
        hear(&mut roster, digests(1, 1), 13_000);
        roster.tick(&digests(1, 1), at(13_000));
        assert_eq!(roster.take_changes(), []);
    }

    #[test]
    fn differing_overrides_are_compared_in_full_every_few_seconds() {
        let mut roster = roster();
        let payload = message(&mut Writer::new("b", boot(START)), digests(1, 1), 0);
        roster
            .accept(Kind::Report, "b", &payload, at(0))
            .expect("accepted");
        let due = (0..14).filter(|s| roster.tick(&digests(1, 2), at(s * 1_000)));
        assert_eq!(due.collect::<Vec<_>>(), [2, 7, 12]);
        assert!(!roster.tick(&digests(1, 1), at(20_000)));
    }
}
