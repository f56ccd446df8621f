//! Evidence of a fleet: reports and overrides of other machines join this one's, and its own are sent.

use crate::daemon::control::event::Event;
use crate::daemon::control::evidence::Effects;
use crate::daemon::control::evidence::Evidence;
use crate::fleet::link::Incoming;
use crate::fleet::link::Kind;
use crate::fleet::link::Outgoing;
use crate::fleet::member;
use crate::fleet::member::Member;
use crate::health::observation::Moment;
use crate::health::overrides::Register;
use crate::live::fleet::FleetView;
use crate::live::shared::Owned;
use crate::state::plan::Plan;

impl Evidence {
    /// Becomes a member of a fleet; `view` is kept up to date.
    pub fn join(&mut self, member: Member, view: Owned<Option<FleetView>>) {
        self.fleet = Some(member);
        self.fleet_view = view;
    }

    /// Takes what came from the message bus.
    pub fn receive(&mut self, incoming: &Incoming, now: Moment) -> Effects {
        let mut effects = Effects::default();
        let Some(member) = &mut self.fleet else {
            return effects;
        };
        let (mut health_table, mut overrides) = (self.health_table.write(), self.overrides.write());
        let pools_before = match incoming {
            Incoming::Message {
                kind: Kind::Override | Kind::Sync,
                ..
            } => overrides.iter().map(|(pool, _)| pool.into()).collect(),
            _ => Vec::<Box<str>>::new(),
        };
        let heard = member.hear(incoming, &mut health_table, &mut overrides, now);
        for register in heard.merged {
            effects.save_overrides = true;
            let is_standing = overrides.standing(&register.pool).is_some();
            if is_standing || pools_before.contains(&register.pool) {
                effects.overridden(Event::OverrideHeard {
                    pool: register.pool,
                    node: register.stamp.node,
                    override_: register.value.filter(|_| is_standing),
                });
            }
        }
        drop((health_table, overrides));
        for flip in &heard.flips {
            effects.flipped(flip, self.urgency(flip));
        }
        effects.outgoing = heard.outgoing;
        effects
            .events
            .extend(heard.connection.map(Event::FleetConnection));
        self.log_fleet(&mut effects);
        effects
    }

    /// Goes on with a new plan, or the first one.
    pub fn follow(&mut self, plan: &Plan) {
        let Some(member) = &mut self.fleet else {
            return;
        };
        let config = &plan.config.pools;
        let intervals = config.monitors.iter().map(|monitor| monitor.interval);
        member.follow(member::Plan {
            pools: config.pools.iter().map(|pool| pool.name.clone()).collect(),
            shortest_interval: intervals.min(),
            configuration: plan.digest,
            database: plan.atlas.about().digest(),
        });
    }

    /// Sends what is due to the fleet, and looks for machines that are lost or differ.
    pub(super) fn tick_fleet(&mut self, now: Moment, effects: &mut Effects) {
        let changes = self.changes_for_fleet(now);
        let Some(member) = &mut self.fleet else {
            return;
        };
        effects.outgoing.extend(changes);
        let (mut health_table, overrides) = (self.health_table.write(), self.overrides.read());
        let due = member.tick(&mut health_table, &overrides, now);
        effects.outgoing.extend(due);
        *self.fleet_view.write() = Some(member.view(&health_table, &overrides, now));
        drop((health_table, overrides));
        self.log_fleet(effects);
    }

    /// Verdicts that have changed since the last report.
    pub(super) fn changes_for_fleet(&mut self, now: Moment) -> Vec<Outgoing> {
        let Some(member) = &mut self.fleet else {
            return Vec::new();
        };
        let (mut health_table, overrides) = (self.health_table.write(), self.overrides.read());
        member.changes(&mut health_table, &overrides, now)
    }

    /// A register that an operator has written here.
    pub(super) fn written(&mut self, register: &Register, now: Moment) -> Vec<Outgoing> {
        let fleet = self.fleet.as_mut();
        fleet.map_or_else(Vec::new, |member| member.written(register, now))
    }

    /// Who writes registers.
    pub(super) fn node(&self) -> Box<str> {
        let fleet = self.fleet.as_ref();
        fleet.map_or_else(Box::default, |member| member.node().into())
    }

    fn log_fleet(&mut self, effects: &mut Effects) {
        let changes = self.fleet.as_mut().map(|member| member.take_changes());
        let changes = changes.into_iter().flatten();
        effects.events.extend(changes.map(Event::Fleet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::evidence::Start;
    use crate::daemon::control::evidence::Urgency;
    use crate::daemon::control::evidence::health_table;
    use crate::fleet::record::Boot;
    use crate::fleet::roster::FleetChange;
    use crate::fleet::roster::Settings;
    use crate::health::overrides::Forced;
    use crate::health::overrides::Override;
    use crate::health::overrides::Overrides;
    use crate::state::fixture;
    use crate::state::membership::Membership;

    const POOLS: &str = "[pool.a]\nlocation = [0, 0]\nendpoints = ['10.0.0.1']\n\
         [pool.b]\nlocation = [0, 0]\nendpoints = ['10.0.0.2']\n";

    fn plan() -> Plan {
        let zones = [(
            "example.com",
            "$TTL 60\n@ SOA ns h 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n",
        )];
        fixture::plan("", POOLS, &zones, fixture::embedded_atlas())
    }

    fn at(seconds: u64) -> Moment {
        Moment {
            elapsed: std::time::Duration::from_secs(seconds),
            unix_ms: (1_000 + seconds) * 1_000,
        }
    }

    fn machine(plan: &Plan, node: &str) -> Evidence {
        let mut evidence = Evidence::new(
            Owned::new(health_table(plan, &Membership::default())),
            Owned::new(Overrides::default()),
            &Start::default(),
        );
        let settings = Settings {
            node: node.into(),
            reporters: None,
            report_max_age: std::time::Duration::from_secs(30),
        };
        let boot = Boot {
            started_ms: 1_000_000,
            random: 1,
        };
        evidence.join(Member::new(settings, boot), Owned::default());
        evidence.follow(plan);
        let server = "nats".into();
        evidence.receive(&Incoming::Connected { server }, at(0));
        evidence
    }

    fn message(kind: Kind, node: &str, payload: &[u8]) -> Incoming {
        Incoming::Message {
            kind,
            node: node.into(),
            payload: payload.to_vec().into(),
            reply: None,
        }
    }

    #[test]
    fn an_override_of_another_machine_is_served_saved_and_logged() {
        let plan = plan();
        let (mut here, mut there) = (machine(&plan, "here"), machine(&plan, "there"));
        let served = fixture::snapshot(self::plan(), &there.of(&plan));
        let drain = Override {
            state: Forced::Drain,
            since: 1_001,
            begins: None,
            until: Some(1_060),
            reason: "maintenance".into(),
        };
        let sent = |effects: Effects| match &effects.outgoing[..] {
            [Outgoing::Override(payload)] => payload.clone(),
            other => panic!("{other:?}"),
        };
        let set = there.set_override("a", drain.clone(), true, "ops", &served, at(1));
        let set = sent(set.expect("forced"));
        let heard = |override_| Event::OverrideHeard {
            pool: "a".into(),
            node: "there".into(),
            override_,
        };
        let effects = here.receive(&message(Kind::Override, "there", &set), at(1));
        assert_eq!(effects.publish, Urgency::Now);
        assert!(effects.save_overrides);
        let reports = Event::Fleet(FleetChange::Reports {
            node: "there".into(),
        });
        assert_eq!(effects.events, [heard(Some(drain)), reports]);
        assert_eq!(here.of(&plan).forced, [Some(Forced::Drain), None]);
        let again = here.receive(&message(Kind::Override, "there", &set), at(2));
        assert_eq!(again, Effects::default(), "replayed");

        let cleared = sent(
            there
                .clear_override("a", "ops", at(3))
                .expect("there is one"),
        );
        let effects = here.receive(&message(Kind::Override, "there", &cleared), at(3));
        assert_eq!(effects.events, [heard(None)]);
        assert_eq!(here.of(&plan).forced, [None, None]);
        assert!(here.clear_override("a", "ops", at(4)).is_none());
    }

    #[test]
    fn a_single_machine_sends_nothing() {
        let plan = plan();
        let mut evidence = Evidence::new(
            Owned::new(health_table(&plan, &Membership::default())),
            Owned::new(Overrides::default()),
            &Start::default(),
        );
        evidence.follow(&plan);
        assert_eq!(evidence.tick(at(1)), Effects::default());
        let incoming = message(Kind::Report, "there", b"{}");
        assert_eq!(evidence.receive(&incoming, at(1)), Effects::default());
    }

    #[test]
    fn readers_see_the_fleet() {
        let plan = plan();
        let mut evidence = machine(&plan, "here");
        let shared = evidence.fleet_view.share();
        assert!(shared.read().is_none());
        let report = evidence.tick(at(5)).outgoing;
        assert!(matches!(&report[..], [Outgoing::Report(_)]), "{report:?}");
        let view = shared.read().clone().expect("a member");
        assert_eq!(
            (&*view.node, view.connection.server.as_deref()),
            ("here", Some("nats"))
        );
    }
}
