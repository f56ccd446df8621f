//! What blocking threads have done for the control loop, and who waits for it.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::daemon::control::event::log;
use crate::daemon::control::ownership::OwnershipChange;
use crate::daemon::control::persist::AfterWrite;
use crate::daemon::control::publish::Merged;
use crate::daemon::control::work::Done;
use crate::daemon::files::FileSet;
use crate::live::events::EventLog;
use crate::live::request::ChangeError;
use crate::live::request::Reloaded;
use crate::zone::update::Refused;

/// Something that a blocking thread has finished.
pub(super) enum Finished {
    /// The files as they are on disk now.
    Looked(FileSet),
    /// What the loader has done.
    Worked(Done<WaitsForUpdate>),
    /// State was written, or not, in so much time.
    Saved(Result<(), Box<str>>, Duration),
    /// Merged tables.
    Merged(Merged),
}

/// Who waits for a reload.
pub(super) type WaitsForReload = oneshot::Sender<Result<Reloaded, Report>>;

/// Gives the result of a reload to who waits for it.
pub(super) fn answer_reload(waiting: Vec<WaitsForReload>, result: &Result<Reloaded, Report>) {
    for waiting in waiting {
        // Nobody may be waiting any more.
        let _ = waiting.send(result.clone());
    }
}

/// Who waits until a zone is updated.
pub(super) enum WaitsForUpdate {
    /// Who asked for it by a DNS message.
    Client(oneshot::Sender<Result<(), Refused>>),
    /// The ownership records of an owner, and who waits until these and all before them are in the zones.
    Ownership(OwnershipChange, Option<WaitsForSave>),
}

/// Who waits until a change is on disk: called with whether it is.
pub(super) type WaitsForSave = Box<dyn FnOnce(Result<(), ChangeError>) + Send>;

/// Sends `value` once a change is on disk.
pub(super) fn acknowledge<T: Send + 'static>(
    reply: oneshot::Sender<Result<T, ChangeError>>,
    value: T,
) -> WaitsForSave {
    Box::new(move |saved| {
        // Nobody may be waiting any more.
        let _ = reply.send(saved.map(|()| value));
    })
}

/// Reports the result of a write to those who waited for it, and to the log.
pub(super) fn answer(events: &EventLog, finished: AfterWrite<WaitsForSave>) {
    log(events, finished.event.as_slice());
    for waiting in finished.waiting {
        waiting(finished.result.clone().map_err(ChangeError::NotSaved));
    }
}
