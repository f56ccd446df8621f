//! Requests to the control loop, which alone can carry them out.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::base::diag::Report;
use crate::census::Difference;
use crate::config::model::Endpoint;
use crate::engine::update::Order;
use crate::health::overrides::Override;
use crate::live::RolledBack;
use crate::state::changes::Changes;
use crate::state::drill_checks::Obstacle;
use crate::state::external::RecordChanges;
use crate::zone::update::Refused;

/// Something that only the control loop can do.
#[derive(Debug)]
pub enum Request {
    /// Clear an override.
    ClearOverride {
        /// The pool's name.
        pool: Box<str>,
        /// The token's name.
        by: Arc<str>,
        /// Gets whether there was one, once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, ChangeError>>,
    },
    /// Compare what is served with what the files would give.
    Compare {
        /// Another `meridian.toml`; `None`: the files of this process, as they are now.
        config: Option<PathBuf>,
        /// Gets the difference, or the faults of the files.
        reply: oneshot::Sender<Result<Arc<Comparison>, Report>>,
    },
    /// Read all files again.
    Reload {
        /// Whether they are taken whatever they move.
        is_forced: bool,
        /// Gets the result, or the faults for which the reload was refused.
        reply: oneshot::Sender<Result<Reloaded, Report>>,
    },
    /// Serve the configuration of before the one that is served.
    RollBack {
        /// The token's name.
        by: Arc<str>,
        /// Gets the result, or why nothing has changed.
        reply: oneshot::Sender<Result<Reloaded, Report>>,
    },
    /// Change a zone.
    Update {
        /// What is to be changed.
        order: Box<Order>,
        /// Gets the result, once the change is published and on disk.
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    /// Change what external-dns manages.
    ChangeRecords {
        /// What is to be changed.
        changes: RecordChanges,
        /// The token's name.
        by: Arc<str>,
        /// Gets the result, once the change is published and on disk.
        reply: oneshot::Sender<Result<(), ChangeError>>,
    },
    /// Set the endpoints of a pool.
    SetEndpoints {
        /// Which, and how.
        asked: SetEndpoints,
        /// Gets what that changes, once it is published and on disk.
        reply: oneshot::Sender<Result<EndpointsChange, ChangeError>>,
    },
    /// Set an override.
    SetOverride {
        /// The pool's name; must be one that is served.
        pool: Box<str>,
        /// The override.
        override_: Override,
        /// Whether a drain may leave clients without a pool.
        is_forced: bool,
        /// The token's name.
        by: Arc<str>,
        /// Gets `true` once the change is published and on disk.
        reply: oneshot::Sender<Result<bool, ChangeError>>,
    },
}

/// What a reload or a rollback has done.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// Warnings.
    pub report: Report,
    /// What it changed.
    pub changes: Changes,
    /// The kept configuration that is served now; `None`: the files on disk are.
    pub rolled_back: Option<RolledBack>,
}

/// What files would change.
#[derive(Debug)]
pub struct Comparison {
    /// What would change.
    pub difference: Difference,
    /// What a reload without force would be refused for.
    pub refused: Report,
    /// What a reload would warn of.
    pub warnings: Report,
}

/// The endpoints of a pool, as the holder of a token sets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetEndpoints {
    /// The pool's name.
    pub pool: Box<str>,
    /// Its endpoints; their addresses differ.
    pub endpoints: Arc<[Endpoint]>,
    /// The token's name.
    pub by: Arc<str>,
    /// The revisions of which one must be the current one; `None`: whatever it is.
    pub if_match: Option<Vec<u64>>,
    /// Whether nothing is to change.
    pub is_dry_run: bool,
}

/// What setting endpoints changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointsChange {
    /// The endpoints of before.
    pub before: Arc<[Endpoint]>,
    /// The endpoints that were set.
    pub after: Arc<[Endpoint]>,
    /// The revision of the pool's endpoints now.
    pub revision: u64,
}

/// Why a change is not in force, or not for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Its parts do not fit one another, or what is there.
    #[error("{0}")]
    Conflicting(Box<str>),
    /// It is in force, but not on disk: it would not survive a restart.
    #[error("in force, but not saved: {0}; it would not survive a restart")]
    NotSaved(Box<str>),
    /// The pool's endpoints do not come from the API.
    #[error(
        "the endpoints of this pool come from its file; only pools with `source = \"api\"` take them here"
    )]
    NotSettable,
    /// Somebody else has changed it meanwhile.
    #[error("changed meanwhile: the revision is now \"{0}\"")]
    Outdated(u64),
    /// Something speaks against taking the pool out for practice.
    #[error("not drilled: {0}")]
    NotDrilled(Obstacle),
    /// It would leave clients without a pool.
    #[error("not drained: {0}; `force` drains it anyway")]
    Strands(Box<str>),
}

/// How requests reach the control loop.
pub type Requests = mpsc::Sender<Request>;
