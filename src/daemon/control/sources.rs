//! Other endpoints: carries out what `members` asks for.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::daemon::control::Control;
use crate::daemon::control::event::log;
use crate::daemon::control::evidence;
use crate::daemon::control::finished::WaitsForSave;
use crate::daemon::control::finished::WaitsForUpdate;
use crate::daemon::control::finished::acknowledge;
use crate::daemon::control::members::AfterSource;
use crate::daemon::control::ownership;
use crate::discovery::found::Found;
use crate::live::request::ChangeError;
use crate::live::request::EndpointsChange;
use crate::live::request::SetEndpoints;
use crate::probe::pairs;
use crate::state::external::RecordChanges;
use crate::state::plan::Plan;

impl Control {
    /// Takes what discovery has found.
    pub(super) fn found(&mut self, found: &[Found]) {
        let started = Instant::now();
        let plan = Arc::clone(&self.publish.served().plan);
        let unix = self.live.clock.now().unix();
        let after = self.members.found(found, &plan.config, unix);
        self.follow_sources(&after, None, started);
        // Objects name hosts, which are to be resolved from now on.
        if found
            .iter()
            .any(|found| matches!(found, Found::Object { .. }))
        {
            self.discover(&plan);
        }
    }

    /// Resolves the host names and watches the objects that the pools have now.
    pub(super) fn discover(&mut self, plan: &Plan) {
        let process = &plan.config.process;
        let discovery = &mut self.discovery;
        let mut hosts = self.members.hosts();
        hosts.extend(plan.aliases_outside().map(|alias| Arc::clone(&alias.host)));
        discovery.replace(&hosts, &process.resolve_servers);
        #[cfg(feature = "kubernetes")]
        discovery.watch(&self.members.objects(), &process.kubernetes);
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

    /// Changes what external-dns manages; `reply` gets the result once it is saved, and its ownership records
    /// are in the zones.
    pub(super) fn change_records(
        &mut self,
        changes: &RecordChanges,
        by: &str,
        reply: oneshot::Sender<Result<(), ChangeError>>,
    ) {
        let started = Instant::now();
        let plan = Arc::clone(&self.publish.served().plan);
        let unix = self.live.clock.now().unix();
        match (self.members).change_records(changes, by, &plan.config, unix) {
            Ok(after) => {
                self.follow_sources(&after, None, started);
                self.publish_ownership(Some(acknowledge(reply, ())));
            }
            Err(refused) => {
                let _ = reply.send(Err(refused));
            }
        }
    }

    /// Has the zones get the ownership records of now, and lose those of before. `waiting` is answered when that
    /// and all else is on disk.
    pub(super) fn publish_ownership(&mut self, waiting: Option<WaitsForSave>) {
        let plan = Arc::clone(&self.publish.served().plan);
        let (mut orders, events) = match self.state_dir() {
            Some(_) => ownership::orders(&mut self.members.sources_mut(), &plan.zones),
            None => Default::default(),
        };
        log(&self.live.events, &events);
        // Orders that come together are carried out together: the last result is the last of all.
        let Some((last, change)) = orders.pop() else {
            self.save_changes(waiting.is_some(), waiting);
            return;
        };
        for (order, change) in orders {
            self.work
                .update(order, WaitsForUpdate::Ownership(change, None));
        }
        self.work
            .update(last, WaitsForUpdate::Ownership(change, waiting));
    }

    /// Logs, publishes, probes and saves what a source has changed; `waiting` is answered when it is saved.
    fn follow_sources(
        &mut self,
        after: &AfterSource,
        waiting: Option<WaitsForSave>,
        started: Instant,
    ) {
        log(&self.live.events, &after.events);
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
