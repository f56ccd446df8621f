//! Floor 6: what the running process shares.
//!
//! The control loop writes it; everybody else reads.

pub mod clock;
pub mod meters;
pub mod random;
pub mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;

use crate::base::diag::Report;
use crate::health::health_table::HealthTable;
use crate::health::overrides::Overrides;
use crate::live::clock::Clock;
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
    pub health_table: RwLock<HealthTable>,
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
    /// What the health_table's times are measured by.
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
