//! What is no longer served, freed where nobody waits for it.
//!
//! The last to let go of a snapshot would be a thread that answers: it looks for a new one when it has
//! messages again. Freeing a large zone takes many milliseconds, in which it would answer nothing. So
//! a replaced snapshot is held until all of these have seen the next one, and freed in the background.
//! What took its place moves to huge pages then, unless it has been replaced as well: in a second of
//! many flips, only the last is worth the work.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::daemon::memory::memory_sys;
use crate::daemon::memory::pages;
use crate::state::publish::Publisher;
use crate::state::snapshot::Snapshot;

/// Threads look for a new snapshot with each batch, at least four times a second.
const HOLD: Duration = Duration::from_secs(1);

/// Publishes a snapshot and retires the one before.
pub(crate) fn replace(publisher: &Publisher, next: Arc<Snapshot>) {
    let before = publisher.current();
    let is_reload = !Arc::ptr_eq(&before.plan, &next.plan);
    let generation = next.generation;
    publisher.publish(next);
    let snapshots = publisher.reader();
    tokio::spawn(async move {
        sleep(HOLD).await;
        // Ends with the process at the latest.
        let _ = spawn_blocking(move || {
            drop(before);
            // What a flip frees, the next one needs again.
            let is_quiet = snapshots.current().generation == generation;
            if is_reload || is_quiet {
                memory_sys::return_free_pages();
            }
            if is_quiet {
                pages::join();
            }
        })
        .await;
    });
}
