//! Requests to the control loop, which alone can carry them out.

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::health::overrides::Override;

/// Something that only the control loop can do.
#[derive(Debug)]
pub enum Request {
    /// Clear an override.
    ClearOverride {
        /// The pool's name.
        pool: Box<str>,
        /// Gets whether there was one, once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, NotSaved>>,
    },
    /// Read all files again.
    Reload {
        /// Gets the warnings, or the faults for which the reload was refused.
        reply: oneshot::Sender<Result<Report, Report>>,
    },
    /// Set an override.
    SetOverride {
        /// The pool's name; must be one that is served.
        pool: Box<str>,
        /// The override.
        override_: Override,
        /// Gets `true` once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, NotSaved>>,
    },
}

/// A change is in force, but not on disk: it would not survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in force, but not saved: {0}; it would not survive a restart")]
pub struct NotSaved(pub Box<str>);

/// How requests reach the control loop.
pub type Requests = mpsc::Sender<Request>;
