//! The operators' overrides: set, cleared, begun and expired.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::base::ix::PoolIx;
use crate::daemon::control::Control;
use crate::daemon::control::event::Event;
use crate::daemon::control::event::log;
use crate::daemon::control::evidence::Effects;
use crate::daemon::control::evidence::Evidence;
use crate::daemon::control::finished::acknowledge;
use crate::health::observation::Moment;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::live::request::ChangeError;
use crate::state::plan::Plan;
use crate::state::snapshot::Snapshot;

/// Who gets whether something has changed, once that is published and on disk.
type Reply = oneshot::Sender<Result<bool, ChangeError>>;

impl Control {
    /// Sets an override; `by` is the name of the token.
    pub(super) fn set_override(
        &mut self,
        pool: Box<str>,
        override_: Override,
        is_forced: bool,
        by: &str,
        reply: Reply,
    ) {
        let (started, now) = (Instant::now(), self.live.clock.now());
        let (state, served) = (override_.state, self.publish.served());
        let effects = (self.evidence).set_override(&pool, override_, is_forced, by, served, now);
        match effects {
            Ok(effects) => self.carry_out(effects, Some(acknowledge(reply, true)), started),
            Err(refused) => {
                let refusal = Event::OverrideRefused {
                    pool,
                    state,
                    by: by.into(),
                    fault: refused.to_string().into(),
                };
                log(&self.live.events, &[refusal]);
                let _ = reply.send(Err(refused));
            }
        }
    }

    /// Clears an override, if there is one.
    pub(super) fn clear_override(&mut self, pool: &str, by: &str, reply: Reply) {
        let (started, now) = (Instant::now(), self.live.clock.now());
        match self.evidence.clear_override(pool, by, now) {
            Some(effects) => {
                self.carry_out(effects, Some(acknowledge(reply, true)), started);
            }
            None => {
                let _ = reply.send(Ok(false));
            }
        }
    }
}

impl Evidence {
    /// Sets an override; `by` is the name of the token. A drain that leaves clients without a usable pool must be forced.
    pub fn set_override(
        &mut self,
        pool: &str,
        override_: Override,
        is_forced: bool,
        by: &str,
        served: &Snapshot,
        now: Moment,
    ) -> Result<Effects, ChangeError> {
        let mut pools = served.plan.config.pools.pools.iter();
        if override_.state == Forced::Drill
            && let Some(ix) = pools.position(|other| *other.name == *pool)
        {
            return self.begin_drill(PoolIx::new(ix), override_, by, served, now);
        }
        if override_.state == Forced::Drain
            && !is_forced
            && let Some(ix) = pools.position(|other| *other.name == *pool)
            && let Some(stranded) = served.stranded_without(PoolIx::new(ix))
        {
            return Err(ChangeError::Strands(stranded.to_string().into()));
        }
        let mut effects = Effects::default();
        effects.overridden(Event::OverrideSet {
            pool: pool.into(),
            state: override_.state,
            reason: override_.reason.clone(),
            begins_in: override_
                .begins
                .map(|begins| begins.saturating_sub(now.unix())),
            seconds: override_.until.map(|until| {
                until.saturating_sub(override_.begins.unwrap_or_default().max(now.unix()))
            }),
            by: by.into(),
        });
        let node = self.node();
        let register = self.overrides.write().set(pool, override_, &node, now);
        effects.outgoing = self.written(&register, now);
        Ok(effects)
    }

    /// Clears an override; `None` if there is none.
    pub fn clear_override(&mut self, pool: &str, by: &str, now: Moment) -> Option<Effects> {
        let node = self.node();
        let register = self.overrides.write().clear(pool, &node, now)?;
        let mut effects = Effects::default();
        effects.overridden(Event::OverrideCleared {
            pool: pool.into(),
            by: by.into(),
        });
        effects.outgoing = self.written(&register, now);
        Some(effects)
    }

    /// The overrides of pools that are not configured.
    pub fn orphaned(&self, plan: &Plan) -> Vec<Event> {
        let pools = plan.config.pools.pools.iter().map(|pool| &*pool.name);
        let overrides = self.overrides.read();
        let event = |(pool, override_): (&str, &Override)| Event::OverrideOrphaned {
            pool: pool.into(),
            state: override_.state,
        };
        overrides.orphaned(pools).map(event).collect()
    }

    /// Begins and ends what is due.
    pub(super) fn go_on_with_overrides(&mut self, now: Moment, effects: &mut Effects) {
        let mut overrides = self.overrides.write();
        let (begun, expired) = (overrides.begin(now.unix()), overrides.expire(now.unix()));
        drop(overrides);
        for pool in begun {
            effects.overridden(Event::OverrideBegun { pool });
        }
        for pool in expired {
            let register = self.overrides.read();
            let register = register.register(&pool);
            let value = register.and_then(|register| register.value.as_ref());
            if value.is_some_and(|override_| override_.state == Forced::Drill) {
                self.ramps.was_out(&pool);
            }
            effects.overridden(Event::OverrideExpired { pool });
        }
    }
}
