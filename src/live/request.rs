//! Requests to the control loop, which alone can carry them out.

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::health::overrides::Override;

/// Something that only the control loop can do.
#[derive(Debug)]
pub enum Request {
    /// Take an operator's word back; answers whether there was one.
    ClearOverride {
        /// The pool's name.
        pool: Box<str>,
        /// Gets the answer once the change is published.
        reply: oneshot::Sender<bool>,
    },
    /// Read all files again.
    Reload {
        /// Gets the warnings, or the faults for which the reload was refused.
        reply: oneshot::Sender<Result<Report, Report>>,
    },
    /// Say something about a pool.
    SetOverride {
        /// The pool's name; must be one that is served.
        pool: Box<str>,
        /// What is said.
        word: Override,
        /// Gets an answer once the change is published.
        reply: oneshot::Sender<()>,
    },
}

/// How requests reach the control loop.
pub type Requests = mpsc::Sender<Request>;
