//! Dynamic updates: what follows once the loader has carried them out.

use std::sync::Arc;
use std::time::Instant;

use crate::base::rr::Rcode;
use crate::daemon::control::Control;
use crate::daemon::control::event::Event;
use crate::daemon::control::event::log;
use crate::daemon::control::finished::WaitsForSave;
use crate::daemon::control::finished::WaitsForUpdate;
use crate::daemon::control::ownership::OwnershipChange;
use crate::daemon::control::ownership::not_answered;
use crate::daemon::load::Updated;
use crate::live::request::ChangeError;
use crate::zone::update::Refused;

impl Control {
    /// Serves zones that were updated, and reports to those who wait.
    pub(super) fn updated(&mut self, updated: Updated, waiting: Vec<WaitsForUpdate>) {
        let started = Instant::now();
        if let Some(plan) = updated.plan {
            let plan = Arc::new(plan);
            let evidence = self.evidence.of(&plan);
            let published = self.publish.adopt(Arc::clone(&plan), &evidence);
            self.serve(published);
            self.published(started);
            self.notifier.notify(&plan);
            let events = updated.zones.into_iter().map(Event::ZoneUpdated);
            log(&self.live.events, &events.collect::<Vec<_>>());
        }
        let refused = updated.refused.into_iter().map(Event::UpdateRefused);
        log(&self.live.events, &refused.collect::<Vec<_>>());
        let mut fault = None;
        for (waiting, result) in waiting.into_iter().zip(updated.results) {
            match waiting {
                // Nobody may be waiting any more.
                WaitsForUpdate::Client(reply) => drop(reply.send(result)),
                WaitsForUpdate::Ownership(change, waiting) => {
                    self.ownership_updated(&change, waiting, result, &mut fault);
                }
            }
        }
    }

    /// An owner's records are in the zone, or not; `fault` is what happened to those before.
    fn ownership_updated(
        &mut self,
        change: &OwnershipChange,
        waiting: Option<WaitsForSave>,
        result: Result<(), Refused>,
        fault: &mut Option<&'static str>,
    ) {
        match result {
            Ok(()) => {
                let OwnershipChange { owner, removed } = change;
                let mut sources = self.members.sources_mut();
                for text in removed {
                    sources.published.remove(owner, text);
                }
                drop(sources);
                self.save_changes(!removed.is_empty(), None);
            }
            Err(refused) if refused.rcode == Rcode::ServFail => *fault = Some(refused.reason),
            Err(refused) => log(
                &self.live.events,
                &[not_answered(change.owner.clone(), refused.reason)],
            ),
        }
        if let Some(waiting) = waiting {
            match fault.take() {
                None => self.save_changes(true, Some(waiting)),
                Some(reason) => waiting(Err(ChangeError::NotSaved(reason.into()))),
            }
        }
    }
}
