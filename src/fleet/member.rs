//! A member: what this machine sends to the fleet, and when. No clock and no I/O.
//!
//! The full state goes out every interval, so that whatever was lost heals by itself; changes go out at once.
//! Overrides are registers that all machines merge; where digests show that they differ, all of them are
//! sent, and those that hold newer ones reply with them.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;

use crate::fleet::link::Incoming;
use crate::fleet::link::Kind;
use crate::fleet::link::Outgoing;
use crate::fleet::record::Body;
use crate::fleet::record::Boot;
use crate::fleet::record::Report;
use crate::fleet::record::Writer;
use crate::fleet::roster::FleetChange;
use crate::fleet::roster::MAX_SKEW;
use crate::fleet::roster::Roster;
use crate::fleet::roster::Settings;
use crate::health::health_table::Flip;
use crate::health::health_table::HealthTable;
use crate::health::observation::Moment;
use crate::health::overrides::Overrides;
use crate::health::overrides::Register;
use crate::live::fleet::Connection;
use crate::live::fleet::Digests;
use crate::live::fleet::FleetView;
use crate::live::fleet::NodeView;
use crate::live::fleet::What;
use crate::state::drill_checks::Fleet;
use crate::state::spills::PoolShares;

/// How often the full state is sent, unless a monitor's interval is shorter …
const INTERVAL: Duration = Duration::from_secs(5);

/// … but never more often than this.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// A machine that has just come follows the others for so long before it may lead: it would impose shares of long ago.
const LEAD_AFTER: Duration = Duration::from_secs(10);

/// How often the same reason for having no connection is reported.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// The state.
#[derive(Debug)]
pub struct Member {
    node: Box<str>,
    roster: Roster,
    writer: Writer,
    connection: Connection,
    reported: ReportedConnection,
    plan: Plan,
    /// When the full state is sent next.
    next_report: Duration,
    refused: RefusedOverrides,
    /// Whether it judges by all reports and holds overrides, so that others can compare theirs with its own.
    is_comparable: bool,
    /// The shares of pools that this machine has.
    shares: PoolShares,
    /// Since when it has a connection.
    connected: Option<Duration>,
}

/// What a member must know of the plan.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The names of the pools.
    pub pools: BTreeSet<Box<str>>,
    /// The shortest interval of a monitor; `None`: there is no monitor.
    pub shortest_interval: Option<Duration>,
    /// The hash of `pools.toml` and the zones; `None`: not compared.
    pub configuration: Option<u64>,
    /// The hash of the database's type, date and size; `None`: there is none.
    pub database: Option<u64>,
}

/// Overrides of other machines that were not taken.
#[derive(Clone, Copy, Debug, Default)]
struct RefusedOverrides {
    clock: u64,
    unknown_pool: u64,
}

/// What follows from a message.
#[derive(Debug, Default)]
pub struct Heard {
    /// Changes of endpoints' health.
    pub flips: Vec<Flip>,
    /// The registers of other machines that were taken.
    pub merged: Vec<Register>,
    /// What to send.
    pub outgoing: Vec<Outgoing>,
    /// The connection, if it came or went and that is to be logged.
    pub connection: Option<Connection>,
}

impl Member {
    /// One that has heard of nobody yet.
    pub fn new(settings: Settings, boot: Boot) -> Self {
        let node = settings.node.clone();
        Self {
            writer: Writer::new(&node, boot),
            roster: Roster::new(settings, boot),
            node,
            connection: Connection::default(),
            reported: ReportedConnection::default(),
            plan: Plan::default(),
            next_report: Duration::ZERO,
            refused: RefusedOverrides::default(),
            is_comparable: true,
            shares: PoolShares::new(),
            connected: None,
        }
    }

    /// The same for a vantage alone, which hears no reports and no overrides: it has nothing to compare.
    #[must_use]
    pub fn reporting_only(self) -> Self {
        Self {
            is_comparable: false,
            ..self
        }
    }

    /// This machine's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Goes on with a new plan.
    pub fn follow(&mut self, plan: Plan) {
        self.plan = plan;
        self.next_report = Duration::ZERO;
    }

    /// Takes what came from the message bus.
    pub fn hear(
        &mut self,
        incoming: &Incoming,
        health_table: &mut HealthTable,
        overrides: &mut Overrides,
        now: Moment,
    ) -> Heard {
        let mut heard = Heard::default();
        match incoming {
            Incoming::Connected { server } => {
                heard.connection = self.connection(Some(server.clone()), None, now);
                self.connected = Some(now.elapsed);
                let digests = self.digests(health_table, overrides);
                heard.outgoing.push(self.report(health_table, digests, now));
                heard.outgoing.extend(self.sync(overrides, now));
            }
            Incoming::Disconnected { reason } => {
                self.connected = None;
                heard.connection = self.connection(None, Some(reason.clone()), now);
            }
            Incoming::Message {
                kind,
                node,
                payload,
                reply,
            } => {
                let Some(message) = self.roster.accept(*kind, node, payload, now) else {
                    return heard;
                };
                match message.body {
                    Body::Report(report) => {
                        let (flips, ignored) = health_table.hear(&report.vantages, now);
                        heard.flips = flips;
                        self.roster.ignored(&message.node, ignored);
                    }
                    Body::Registers(registers) => {
                        if let (Kind::Sync, Some(to)) = (kind, reply) {
                            heard.outgoing = self.reply(to, &registers, overrides, now);
                        }
                        heard.merged = self.merge(registers, overrides, now);
                    }
                }
            }
        }
        heard
    }

    /// Takes the shares of pools that this machine has, to be sent with the next report.
    pub fn share(&mut self, shares: PoolShares) {
        self.shares = shares;
    }

    /// The shares of the machine that leads; `None`: this one does.
    pub fn led(&self, now: Moment) -> Option<PoolShares> {
        self.connected?;
        let own_name = self.may_lead(now).then_some(&*self.node);
        self.roster.leading(own_name, now)
    }

    /// The fleet as drills need to know it. The first machine by name that reports and holds overrides begins those of
    /// the configuration.
    pub fn of_drills(&self, now: Moment) -> Fleet {
        let reporting = self.roster.nodes(now).filter(|node| !node.is_lost);
        let reporting: Vec<NodeView> = reporting.collect();
        let mut rivals = reporting.iter();
        let mut rivals = rivals
            .by_ref()
            .filter(|node| node.digests.of(What::Overrides).is_some());
        let is_connected = self.may_lead(now);
        Fleet {
            is_connected,
            is_leading: is_connected && rivals.all(|node| *self.node < *node.name),
            nodes: reporting.into_iter().map(|node| node.name).collect(),
        }
    }

    fn may_lead(&self, now: Moment) -> bool {
        let connected = self.connected;
        self.is_comparable && connected.is_some_and(|since| now.elapsed >= since + LEAD_AFTER)
    }

    /// Notes the state of the connection; returns it if it is to be logged.
    fn connection(
        &mut self,
        server: Option<Box<str>>,
        reason: Option<Box<str>>,
        now: Moment,
    ) -> Option<Connection> {
        let since = match self.connection.server.is_some() == server.is_some() {
            true if self.connection.since > 0 => self.connection.since,
            _ => now.unix(),
        };
        self.connection = Connection {
            server,
            reason,
            since,
        };
        let is_news = self.reported.is_news(&self.connection.reason, now);
        is_news.then(|| self.connection.clone())
    }

    fn merge(
        &mut self,
        registers: Vec<Register>,
        overrides: &mut Overrides,
        now: Moment,
    ) -> Vec<Register> {
        let skew = u64::try_from(MAX_SKEW.as_millis()).unwrap_or(u64::MAX);
        let mut merged = Vec::new();
        for register in registers {
            if !self.plan.pools.contains(&register.pool) {
                self.refused.unknown_pool += 1;
            } else if register.stamp.ms > now.unix_ms.saturating_add(skew) {
                self.refused.clock += 1;
            } else if overrides.merge(register.clone(), now.unix()) {
                merged.push(register);
            }
        }
        merged
    }

    /// What another machine lacks, to be sent to it.
    fn reply(
        &mut self,
        to: &str,
        theirs: &[Register],
        overrides: &Overrides,
        now: Moment,
    ) -> Vec<Outgoing> {
        let is_newer = |register: &&Register| {
            let mut same = theirs.iter().filter(|other| other.pool == register.pool);
            same.all(|other| other.stamp < register.stamp)
        };
        let mut newer = overrides.registers().filter(is_newer).peekable();
        if newer.peek().is_none() {
            return Vec::new();
        }
        let messages = self.writer.registers(newer, now.unix_ms).into_iter();
        let reply = messages.map(|payload| Outgoing::Reply {
            to: to.into(),
            payload,
        });
        reply.collect()
    }

    /// Sends what is due, and looks for machines that are lost or differ. To be called every second.
    pub fn tick(
        &mut self,
        health_table: &mut HealthTable,
        overrides: &Overrides,
        now: Moment,
    ) -> Vec<Outgoing> {
        let digests = self.digests(health_table, overrides);
        let is_sync_due = self.roster.tick(&digests, now);
        let mut outgoing = Vec::new();
        if self.connection.server.is_some() {
            if now.elapsed >= self.next_report {
                outgoing.push(self.report(health_table, digests, now));
            }
            if is_sync_due {
                outgoing.extend(self.sync(overrides, now));
            }
        }
        outgoing
    }

    /// Sends verdicts that have changed.
    pub fn changes(
        &mut self,
        health_table: &mut HealthTable,
        overrides: &Overrides,
        now: Moment,
    ) -> Vec<Outgoing> {
        let vantages = health_table.take_unreported();
        if vantages.is_empty() || self.connection.server.is_none() {
            return Vec::new();
        }
        let report = Report {
            version: env!("CARGO_PKG_VERSION").into(),
            digests: self.digests(health_table, overrides),
            vantages,
            shares: PoolShares::new(),
        };
        let parts = self.writer.report(&report, now.unix_ms).into_iter();
        parts.map(Outgoing::Changes).collect()
    }

    /// Sends a register that an operator has written.
    pub fn written(&mut self, register: &Register, now: Moment) -> Vec<Outgoing> {
        if self.connection.server.is_none() {
            return Vec::new();
        }
        let messages = self.writer.registers([register].into_iter(), now.unix_ms);
        messages.into_iter().map(Outgoing::Override).collect()
    }

    /// The full state.
    fn report(
        &mut self,
        health_table: &mut HealthTable,
        digests: Digests,
        now: Moment,
    ) -> Outgoing {
        let shortest = self.plan.shortest_interval.unwrap_or(INTERVAL);
        self.next_report = now.elapsed + shortest.clamp(MIN_INTERVAL, INTERVAL);
        health_table.take_unreported();
        let report = Report {
            version: env!("CARGO_PKG_VERSION").into(),
            digests,
            vantages: health_table.report(),
            shares: match self.may_lead(now) {
                true => self.shares.clone(),
                false => PoolShares::new(),
            },
        };
        Outgoing::Report(self.writer.report(&report, now.unix_ms))
    }

    /// All registers: the first message asks for those of the others.
    fn sync(&mut self, overrides: &Overrides, now: Moment) -> Vec<Outgoing> {
        self.roster.synced(now);
        let messages = self.writer.registers(overrides.registers(), now.unix_ms);
        let mut messages = messages.into_iter();
        let asking = messages.next().map(Outgoing::Sync).into_iter();
        asking.chain(messages.map(Outgoing::Override)).collect()
    }

    fn digests(&self, health_table: &HealthTable, overrides: &Overrides) -> Digests {
        if !self.is_comparable {
            return Digests::default();
        }
        Digests::from_fn(|what| match what {
            What::Configuration => self.plan.configuration,
            What::Database => self.plan.database,
            What::Overrides => Some(overrides.digest(|pool| self.plan.pools.contains(pool))),
            What::Verdicts => Some(health_table.digest()),
        })
    }

    /// What has happened to the fleet since the last call.
    pub fn take_changes(&mut self) -> Vec<FleetChange> {
        self.roster.take_changes()
    }

    /// The fleet, for readers.
    pub fn view(
        &self,
        health_table: &HealthTable,
        overrides: &Overrides,
        now: Moment,
    ) -> FleetView {
        let dropped = self.roster.dropped();
        FleetView {
            node: self.node.clone(),
            digests: self.digests(health_table, overrides),
            connection: self.connection.clone(),
            nodes: self.roster.nodes(now).collect(),
            is_name_taken: self.roster.is_name_taken(),
            dropped: dropped.map(|(reason, n)| (reason.as_str(), n)).collect(),
            refused_overrides: vec![
                ("clock", self.refused.clock),
                ("unknown_pool", self.refused.unknown_pool),
            ],
        }
    }
}

/// What was reported of the connection, so that one that comes and goes fills no log.
#[derive(Debug, Default)]
struct ReportedConnection {
    /// Why there is no connection, or that there is one, in the latest report; `None`: there was no report yet.
    latest: Option<Option<Box<str>>>,
    /// When each reason was reported.
    reasons: HashMap<Box<str>, Duration>,
}

impl ReportedConnection {
    /// Whether a state is to be reported now: it is another than in the latest report, and its reason was in none
    /// for a while.
    fn is_news(&mut self, reason: &Option<Box<str>>, now: Moment) -> bool {
        if self.latest.as_ref() == Some(reason) {
            return false;
        }
        self.reasons
            .retain(|_, at| now.elapsed.saturating_sub(*at) < REPEAT_INTERVAL);
        if let Some(reason) = reason {
            if self.reasons.contains_key(reason) {
                return false;
            }
            self.reasons.insert(reason.clone(), now.elapsed);
        }
        self.latest = Some(reason.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::IpAddr;
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::base::health::Health;
    use crate::health::failure::ProbeFailure;
    use crate::health::health_table::Limits;
    use crate::health::monitor::Monitor;
    use crate::health::monitor::MonitorKind;
    use crate::health::monitor::Quorum;
    use crate::health::monitor::QuorumScope;
    use crate::health::monitor::Unproven;
    use crate::health::observation::Observation;
    use crate::health::observation::ProbeResult;
    use crate::health::observation::Target;
    use crate::health::overrides::Forced;
    use crate::health::overrides::Override;

    const START: u64 = 1_700_000_000;

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: Duration::from_secs(seconds),
            unix_ms: (START + seconds) * 1_000,
        }
    }

    /// A machine with one endpoint, which it probes itself.
    struct Machine {
        member: Member,
        health_table: HealthTable,
        overrides: Overrides,
        target: Arc<Target>,
    }

    impl Machine {
        fn new(node: &str) -> Self {
            let one = NonZeroU32::new(1).expect("not zero");
            let monitor = Monitor {
                name: "ready".into(),
                kind: MonitorKind::Tcp,
                port: 80,
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(4),
                failure_threshold: one,
                success_threshold: one,
                failures_in_window: None,
                damping: None,
                quorum: Quorum::Majority,
                quorum_scope: QuorumScope::Global,
                unproven: Unproven::Behind,
            };
            let target = Arc::new(Target::new(
                "us".into(),
                IpAddr::from([192, 0, 2, 1]),
                Arc::new(monitor),
                true,
            ));
            let settings = Settings {
                node: node.into(),
                reporters: None,
                report_max_age: Duration::from_secs(30),
            };
            let boot = Boot {
                started_ms: START * 1_000,
                random: 1,
            };
            let limits = Limits {
                report_max_age: Duration::from_secs(30),
                blind_max: Duration::from_secs(30),
            };
            let mut member = Member::new(settings, boot);
            member.follow(Plan {
                pools: ["us".into(), "eu".into()].into(),
                shortest_interval: Some(Duration::from_secs(5)),
                configuration: Some(1),
                database: None,
            });
            Self {
                member,
                health_table: HealthTable::new([(Arc::clone(&target), node.into())], limits),
                overrides: Overrides::default(),
                target,
            }
        }

        fn hear(&mut self, incoming: &Incoming, now: Moment) -> Heard {
            let (table, overrides) = (&mut self.health_table, &mut self.overrides);
            self.member.hear(incoming, table, overrides, now)
        }

        fn connect(&mut self, now: Moment) -> Vec<Outgoing> {
            let server = "nats".into();
            self.hear(&Incoming::Connected { server }, now).outgoing
        }

        fn probe(&mut self, result: ProbeResult, now: Moment) -> Vec<Outgoing> {
            let observation = Observation {
                target: Arc::clone(&self.target),
                vantage: self.member.node().into(),
                result,
                took: Duration::from_millis(1),
                load: None,
            };
            self.health_table.observe(&observation, now);
            self.member
                .changes(&mut self.health_table, &self.overrides, now)
        }

        fn tick(&mut self, now: Moment) -> Vec<Outgoing> {
            self.health_table.tick(now);
            self.member
                .tick(&mut self.health_table, &self.overrides, now)
        }

        fn health(&self) -> Health {
            self.health_table.health("us", self.target.address)
        }
    }

    /// Delivers what one of two machines sends, and what the other replies.
    fn deliver(machines: &mut [Machine; 2], from: usize, sent: Vec<Outgoing>, now: Moment) {
        let mut waiting: VecDeque<_> = sent.into_iter().map(|message| (from, message)).collect();
        while let Some((from, message)) = waiting.pop_front() {
            let node: Box<str> = machines[from].member.node().into();
            let (kind, node, payloads, reply) = match message {
                Outgoing::Report(parts) => (Kind::Report, node, parts, None),
                Outgoing::Changes(part) => (Kind::Report, node, vec![part], None),
                Outgoing::Override(payload) => (Kind::Override, node, vec![payload], None),
                Outgoing::Sync(payload) => {
                    (Kind::Sync, "".into(), vec![payload], Some("inbox".into()))
                }
                Outgoing::Reply { payload, .. } => (Kind::Sync, "".into(), vec![payload], None),
            };
            for payload in payloads {
                let incoming = Incoming::Message {
                    kind,
                    node: node.clone(),
                    payload: payload.into(),
                    reply: reply.clone(),
                };
                let heard = machines[1 - from].hear(&incoming, now);
                waiting.extend(
                    heard
                        .outgoing
                        .into_iter()
                        .map(|message| (1 - from, message)),
                );
                // Everybody hears its own messages as well, and ignores them.
                machines[from].hear(&incoming, now);
            }
        }
    }

    fn drain(until: Option<u64>) -> Override {
        Override {
            state: Forced::Drain,
            since: START,
            begins: None,
            until,
            reason: "maintenance".into(),
        }
    }

    #[test]
    fn two_machines_judge_together() {
        let mut machines = ["a", "b"].map(Machine::new);
        for n in [0, 1] {
            let sent = machines[n].connect(at(10));
            deliver(&mut machines, n, sent, at(10));
            let sent = machines[n].probe(ProbeResult::Success, at(11));
            deliver(&mut machines, n, sent, at(11));
        }
        let failure = || ProbeResult::Failure(ProbeFailure::Protocol("not HTTP".into()));
        let sent = machines[0].probe(failure(), at(12));
        assert_eq!(sent.len(), 1, "at once");
        deliver(&mut machines, 0, sent, at(12));
        assert_eq!(
            machines.each_ref().map(Machine::health),
            [Health::Up; 2],
            "one of two"
        );
        let sent = machines[1].probe(failure(), at(13));
        deliver(&mut machines, 1, sent, at(13));
        assert_eq!(machines.each_ref().map(Machine::health), [Health::Down; 2]);
        for s in 14..=20 {
            for n in [0, 1] {
                let sent = machines[n].tick(at(s));
                deliver(&mut machines, n, sent, at(s));
            }
        }
        for machine in &machines {
            let view = machine
                .member
                .view(&machine.health_table, &machine.overrides, at(20));
            assert!(view.dropped.iter().all(|(_, n)| *n == 0), "{view:?}");
            assert_eq!(view.nodes[0].digests, view.digests);
        }
    }

    #[test]
    fn a_connection_that_comes_and_goes_is_logged_once_a_minute() {
        let mut machine = Machine::new("a");
        let connected = Incoming::Connected {
            server: "nats".into(),
        };
        let lost = |reason: &str| Incoming::Disconnected {
            reason: reason.into(),
        };
        for (s, incoming, is_logged) in [
            (0, lost("refused"), true),
            (1, lost("refused"), false),
            (2, connected.clone(), true),
            (3, lost("closed"), true),
            (4, connected.clone(), true),
            (5, lost("closed"), false),
            (6, connected.clone(), false),
            (7, lost("refused"), false),
            (8, connected.clone(), false),
            (62, lost("closed"), false),
            (63, lost("closed"), true),
            (64, connected.clone(), true),
        ] {
            let heard = machine.hear(&incoming, at(s));
            assert_eq!(heard.connection.is_some(), is_logged, "after {s} s");
            let is_connected = machine.member.connection.server.is_some();
            assert_eq!(is_connected, incoming == connected, "after {s} s");
        }
    }

    #[test]
    fn the_full_state_goes_out_every_interval_while_there_is_a_connection() {
        let mut machine = Machine::new("a");
        let sent: Vec<_> = (0..10).map(|s| machine.tick(at(s)).len()).collect();
        assert_eq!(sent, [0; 10]);
        assert_eq!(machine.connect(at(10)).len(), 2, "a report and a sync");
        let due: Vec<_> = (10..25)
            .filter(|s| !machine.tick(at(*s)).is_empty())
            .collect();
        assert_eq!(due, [15, 20]);
    }

    #[test]
    fn overrides_made_while_apart_meet_after_the_heal() {
        let mut machines = ["a", "b"].map(Machine::new);
        for (n, pool) in ["us", "eu"].into_iter().enumerate() {
            let register = machines[n]
                .overrides
                .set(pool, drain(None), ["a", "b"][n], at(1));
            assert!(
                machines[n].member.written(&register, at(1)).is_empty(),
                "not connected"
            );
        }
        let _ = machines[0].connect(at(2));
        // One sync is enough: the reply has what the asking machine lacks.
        let sent = machines[1].connect(at(3));
        deliver(&mut machines, 1, sent, at(3));
        let all = |machine: &Machine| machine.overrides.registers().cloned().collect::<Vec<_>>();
        assert_eq!(all(&machines[0]).len(), 2);
        assert_eq!(all(&machines[0]), all(&machines[1]));
        // A message that is lost: digests show it, and they meet again within two intervals.
        let _ = machines[0].overrides.clear("us", "a", at(4));
        for s in 4..=14 {
            for n in [0, 1] {
                let sent = machines[n].tick(at(s));
                deliver(&mut machines, n, sent, at(s));
            }
        }
        assert_eq!(all(&machines[0]), all(&machines[1]));
        assert_eq!(machines[1].overrides.of("us"), None);
    }

    #[test]
    fn overrides_of_unknown_pools_and_of_the_future_are_not_taken() {
        let mut machines = ["a", "b"].map(Machine::new);
        let _ = [0, 1].map(|n| machines[n].connect(at(1)));
        for (pool, written_at) in [("elsewhere", 2), ("us", 8)] {
            let register = machines[0]
                .overrides
                .set(pool, drain(None), "a", at(written_at));
            let sent = machines[0].member.written(&register, at(2));
            deliver(&mut machines, 0, sent, at(2));
        }
        let Machine {
            member,
            health_table,
            overrides,
            ..
        } = &machines[1];
        assert_eq!(overrides.registers().count(), 0);
        let view = member.view(health_table, overrides, at(2));
        assert_eq!(view.refused_overrides, [("clock", 1), ("unknown_pool", 1)]);
    }
}
