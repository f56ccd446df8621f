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
            let is_in_force = overrides.of(&register.pool).is_some();
            if is_in_force || pools_before.contains(&register.pool) {
                effects.overridden(Event::OverrideHeard {
                    pool: register.pool,
                    node: register.stamp.node,
                    override_: register.value.filter(|_| is_in_force),
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
