//! Other endpoints: carries out what `members` asks for.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::daemon::control::Control;
use crate::daemon::control::event::log;
use crate::daemon::control::evidence;
use crate::daemon::control::finished::WaitsForSave;
use crate::daemon::control::finished::acknowledge;
use crate::daemon::control::members::AfterSource;
use crate::discovery::Resolved;
use crate::live::request::ChangeError;
use crate::live::request::EndpointsChange;
use crate::live::request::SetEndpoints;
use crate::probe::pairs;
use crate::state::plan::Plan;

impl Control {
    /// Takes what resolving host names gave.
    pub(super) fn resolved(&mut self, resolved: &[Resolved]) {
        let started = Instant::now();
        let plan = Arc::clone(&self.publish.served().plan);
        let unix = self.live.clock.now().unix();
        let after = self.members.resolved(resolved, &plan.config, unix);
        self.follow_sources(&after, None, started);
    }

    /// Sets the endpoints of a pool; `reply` gets the result once it is saved.
    pub(super) fn set_endpoints(
        &mut self,
        asked: &SetEndpoints,
        reply: oneshot::Sender<Result<EndpointsChange, ChangeError>>,
    ) {
        let started = Instant::now();
        let plan = Arc::clone(&self.publish.served().plan);
        let unix = self.live.clock.now().unix();
        match self.members.set(asked, &plan.config, unix) {
            Ok((change, after)) => {
                self.follow_sources(&after, Some(acknowledge(reply, change)), started);
            }
            Err(refused) => {
                let _ = reply.send(Err(refused));
            }
        }
    }

    /// Logs, publishes, probes and saves what a source has changed; `waiting` is answered when it is saved.
    fn follow_sources(
        &mut self,
        after: &AfterSource,
        waiting: Option<WaitsForSave>,
        started: Instant,
    ) {
        log(&after.events);
        if after.is_changed {
            let plan = Arc::clone(&self.publish.served().plan);
            self.list_members(&plan);
            self.publish(started);
            self.probe(&plan);
            self.progress.write().is_ready = self.evidence.is_ready();
        }
        self.save_changes(after.save, waiting);
    }

    /// Has the evidence go on with the endpoints of now.
    pub(super) fn list_members(&mut self, plan: &Plan) {
        let members = self.members.now();
        let health_table = evidence::health_table(plan, members);
        self.evidence.adopt(members.clone(), health_table);
    }

    /// Probes the endpoints of now.
    pub(super) fn probe(&mut self, plan: &Plan) {
        let vantages = &plan.config.process.vantages;
        let pairs = pairs(&plan.config.pools, self.members.now(), vantages);
        self.prober.replace(pairs);
    }
}
