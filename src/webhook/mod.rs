//! Floor 7: events sent to `[[webhook]]`s.
//!
//! Each has a task of its own, which reads the event log as it can: nothing waits for a webhook. Events come
//! in order; one that cannot be delivered is tried again, with growing pauses, until it is too old.

mod delivery;
mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::AbortHandle;

use crate::config::model::Webhook;
use crate::live::events::EventLog;
use crate::live::meters::Meters;
use crate::webhook::delivery::Delivery;
use crate::webhook::delivery::ReadFile;

/// The webhooks that events are sent to.
pub struct Webhooks {
    log: Arc<EventLog>,
    meters: Meters,
    read: ReadFile,
    running: HashMap<Box<str>, Running>,
    /// Where those begin that are there from the start: with the events of this run.
    start: u64,
}

struct Running {
    webhook: Webhook,
    /// The number of the last event that is delivered, or is not to be.
    done: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Webhooks {
    /// None yet.
    pub fn new(log: Arc<EventLog>, meters: Meters, read: ReadFile) -> Self {
        Self {
            start: *log.follow().borrow(),
            log,
            meters,
            read,
            running: HashMap::new(),
        }
    }

    /// Sends events to these from now on, as a machine of this name; one that has changed goes on where it
    /// was.
    pub fn follow(&mut self, webhooks: &[Webhook], node: &str) {
        let (kept, ended): (HashMap<_, _>, _) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(_, running)| webhooks.contains(&running.webhook));
        self.running = kept;
        let ended: HashMap<Box<str>, Running> = ended;
        for running in ended.values() {
            running.task.abort();
        }
        for webhook in webhooks {
            if self.running.contains_key(&webhook.name) {
                continue;
            }
            let before = ended
                .get(&webhook.name)
                .map(|running| Arc::clone(&running.done));
            let done = before.unwrap_or_else(|| Arc::new(AtomicU64::new(self.start)));
            let delivery = Delivery::new(
                &self.log,
                &self.meters,
                webhook.clone(),
                node,
                self.read,
                &done,
            );
            let task = tokio::spawn(delivery.run()).abort_handle();
            let running = Running {
                webhook: webhook.clone(),
                done,
                task,
            };
            self.running.insert(webhook.name.clone(), running);
        }
        for (name, _) in ended
            .iter()
            .filter(|(name, _)| !self.running.contains_key(*name))
        {
            self.meters.forget_webhook(name);
        }
        // Those that come by a reload begin with it.
        self.start = *self.log.follow().borrow();
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.task.abort();
        }
    }
}
