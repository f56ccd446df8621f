//! Floor 6: what the running process shares.
//!
//! The control loop holds the [`Owner`], the only handle that publishes and writes; everybody else has
//! [`Live`], which can only read. Whatever changes something is a [`request::Request`] to the loop.

pub mod clock;
pub mod downloads;
pub mod events;
pub mod fleet;
pub mod meters;
pub mod random;
pub mod request;
pub mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diag::Report;
use crate::health::health_table::HealthTable;
use crate::health::overrides::Overrides;
use crate::live::clock::Clock;
use crate::live::clock::unix;
use crate::live::downloads::Download;
use crate::live::events::EventLog;
use crate::live::events::Record;
use crate::live::fleet::FleetView;
use crate::live::meters::Meters;
use crate::live::shared::Owned;
use crate::live::shared::Shared;
use crate::state::counters::Counters;
use crate::state::drill::Drills;
use crate::state::publish::Publisher;
use crate::state::publish::SnapshotReader;
use crate::state::snapshot::Snapshot;
use crate::state::sources::Sources;

/// The state of the running process, for readers.
#[derive(Debug)]
pub struct Live {
    /// What is served.
    pub snapshots: SnapshotReader,
    /// The answer path's counters.
    pub counters: Arc<Counters>,
    /// What the vantages report of every endpoint.
    pub health_table: Shared<HealthTable>,
    /// The operators' overrides.
    pub overrides: Shared<Overrides>,
    /// The drills of pools.
    pub drills: Shared<Drills>,
    /// What names endpoints of the pools.
    pub sources: Shared<Sources>,
    /// The result of the latest reload.
    pub last_reload: Shared<LastReload>,
    /// How far the control loop is.
    pub progress: Shared<Progress>,
    /// The fleet; `None`: a single machine.
    pub fleet: Shared<Option<FleetView>>,
    /// The databases that are fetched.
    pub downloads: Shared<Vec<Download>>,
    /// What has happened.
    pub events: Arc<EventLog>,
    /// The meters that the control loop moves.
    pub meters: Meters,
    /// When the process started, in Unix seconds.
    pub started: u64,
    /// What the health table's times are measured by.
    pub clock: Clock,
    /// Where the process listens.
    pub addresses: Addresses,
}

/// The same state, for its one owner.
#[derive(Debug)]
pub struct Owner {
    /// Replaces what is served.
    pub publisher: Publisher,
    /// What the vantages report of every endpoint.
    pub health_table: Owned<HealthTable>,
    /// The operators' overrides.
    pub overrides: Owned<Overrides>,
    /// The drills of pools.
    pub drills: Owned<Drills>,
    /// What names endpoints of the pools.
    pub sources: Owned<Sources>,
    /// The result of the latest reload.
    pub last_reload: Owned<LastReload>,
    /// How far the control loop is.
    pub progress: Owned<Progress>,
    /// The fleet; `None`: a single machine.
    pub fleet: Owned<Option<FleetView>>,
    /// The databases that are fetched.
    pub downloads: Owned<Vec<Download>>,
}

/// What a process starts with.
#[derive(Debug)]
pub struct Start {
    /// What is served first.
    pub first: Snapshot,
    /// The answer path's counters.
    pub counters: Arc<Counters>,
    /// The endpoints, with the verdicts of the last run.
    pub health_table: HealthTable,
    /// The overrides of the last run.
    pub overrides: Overrides,
    /// The drills of the last run.
    pub drills: Drills,
    /// What named endpoints of the pools in the last run.
    pub sources: Sources,
    /// The result of the first load.
    pub last_reload: LastReload,
    /// What happened in the last run.
    pub events: Vec<Record>,
    /// The meters that the control loop moves.
    pub meters: Meters,
    /// What times are measured by.
    pub clock: Clock,
    /// Where the process listens.
    pub addresses: Addresses,
}

impl Live {
    /// Splits what a process starts with into the readers' handle and the owner's.
    pub fn start(start: Start) -> (Arc<Self>, Owner) {
        let owner = Owner {
            progress: Owned::new(Progress {
                is_ready: start.health_table.n_awaited() == 0,
                last_turn: start.clock.elapsed(),
            }),
            publisher: Publisher::new(start.first),
            health_table: Owned::new(start.health_table),
            overrides: Owned::new(start.overrides),
            drills: Owned::new(start.drills),
            sources: Owned::new(start.sources),
            last_reload: Owned::new(start.last_reload),
            fleet: Owned::default(),
            downloads: Owned::default(),
        };
        let live = Self {
            snapshots: owner.publisher.reader(),
            counters: start.counters,
            health_table: owner.health_table.share(),
            overrides: owner.overrides.share(),
            drills: owner.drills.share(),
            sources: owner.sources.share(),
            last_reload: owner.last_reload.share(),
            progress: owner.progress.share(),
            fleet: owner.fleet.share(),
            downloads: owner.downloads.share(),
            events: Arc::new(EventLog::resume(start.events, start.meters.events.clone())),
            meters: start.meters,
            started: unix(),
            clock: start.clock,
            addresses: start.addresses,
        };
        (Arc::new(live), owner)
    }
}

/// How far the control loop is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Whether zones, database and the first round of probes are in.
    pub is_ready: bool,
    /// When the loop last began to wait for events, by [`Live::clock`]. One that is older than a few
    /// seconds means that the loop hangs: it wakes at least once per second.
    pub last_turn: Duration,
}

/// Where a running server can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// HTTP.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    /// Whether queries are answered; not by a vantage, which only probes.
    pub fn serve_dns(&self) -> bool {
        !self.dns.is_empty()
    }
}

/// The result of the latest load of the operator's files.
#[derive(Clone, Debug, Default)]
pub struct LastReload {
    /// When, in Unix seconds.
    pub at: u64,
    /// Whether it was refused and the state before is served on.
    pub refused: bool,
    /// What it found: the faults if refused, else warnings.
    pub report: Report,
    /// The kept configuration that is served instead of the files on disk; `None`: these are.
    pub rolled_back: Option<RolledBack>,
}

/// A kept configuration that an operator went back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// The SHA-256 of its files, in hexadecimal.
    pub digest: Box<str>,
    /// When it was accepted, in Unix seconds.
    pub accepted: u64,
    /// When the operator went back to it, in Unix seconds.
    pub since: u64,
    /// The operator's token.
    pub by: Box<str>,
}
