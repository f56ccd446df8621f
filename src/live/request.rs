//! Requests to the control loop, which alone can carry them out.

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::engine::update::Order;
use crate::health::overrides::Override;
use crate::zone::update::Refused;

/// Something that only the control loop can do.
#[derive(Debug)]
pub enum Request {
    /// Clear an override.
    ClearOverride {
        /// The pool's name.
        pool: Box<str>,
        /// Gets whether there was one, once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, ChangeError>>,
    },
    /// Read all files again.
    Reload {
        /// Gets the warnings, or the faults for which the reload was refused.
        reply: oneshot::Sender<Result<Report, Report>>,
    },
    /// Change a zone.
    Update {
        /// What is to be changed.
        order: Box<Order>,
        /// Gets the result, once the change is published and on disk.
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    /// Set an override.
    SetOverride {
        /// The pool's name; must be one that is served.
        pool: Box<str>,
        /// The override.
        override_: Override,
        /// Whether a drain may leave clients without a pool.
        is_forced: bool,
        /// Gets `true` once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, ChangeError>>,
    },
}

/// Why a change is not in force, or not for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is in force, but not on disk: it would not survive a restart.
    #[error("in force, but not saved: {0}; it would not survive a restart")]
    NotSaved(Box<str>),
    /// It would leave clients without a pool.
    #[error("not drained: {0}; `force` drains it anyway")]
    Strands(Box<str>),
}

/// How requests reach the control loop.
pub type Requests = mpsc::Sender<Request>;
