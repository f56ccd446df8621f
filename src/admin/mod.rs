//! Floor 6: HTTP for people and machines.
//!
//! Reads go straight to what is shared ([`Live`]); whatever changes something is a [`Request`] to the
//! one loop that owns it, so that nothing here publishes or judges.

pub mod api;
pub mod auth;
pub mod clock;
pub mod json;
pub mod meters;
pub mod metrics;
pub mod page;
pub mod process;
pub mod server;
#[cfg(test)]
mod tests;

pub use server::serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::admin::clock::Clock;
use crate::base::diag::Report;
use crate::health::board::Board;
use crate::health::overrides::Override;
use crate::health::overrides::Overrides;
use crate::state::counters::Counters;
use crate::state::publish::Publisher;

/// What the control loop shows to readers. Locks are held for a copy or a glance, never over I/O.
#[derive(Debug)]
pub struct Live {
    /// What is served.
    pub publisher: Publisher,
    /// The answer path's counters.
    pub counters: Arc<Counters>,
    /// What is known of every endpoint.
    pub board: RwLock<Board>,
    /// What operators said.
    pub overrides: RwLock<Overrides>,
    /// How the latest reload went.
    pub last_reload: RwLock<LastReload>,
    /// The meters that the control loop moves.
    pub meters: meters::Meters,
    /// Set once zones, database and the first round of probes are in.
    pub is_ready: AtomicBool,
    /// When the process started, in Unix seconds.
    pub started: u64,
    /// What the board's times are measured by.
    pub clock: Clock,
    /// Where the process listens.
    pub addresses: Addresses,
}

/// Where a running server can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// HTTP.
    pub admin: Option<SocketAddr>,
}

/// How the latest load of the operator's files went.
#[derive(Clone, Debug, Default)]
pub struct LastReload {
    /// When, in Unix seconds.
    pub at: u64,
    /// Whether it was refused and the state before is served on.
    pub refused: bool,
    /// What it found: the faults if refused, else warnings.
    pub report: Report,
}

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
