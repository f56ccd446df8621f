//! The fleet as this machine sees it, for readers: plain data that the control loop replaces every second.

use std::time::Duration;

use crate::health::report::Ignored;

/// What machines of a fleet compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `pools.toml` and the zones.
    Configuration,
    /// The MMDB.
    Database,
    /// The overrides of configured pools, with their stamps.
    Overrides,
    /// The health of every endpoint.
    Verdicts,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Configuration,
        Self::Database,
        Self::Overrides,
        Self::Verdicts,
    ];

    /// The word used in JSON and in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Database => "database",
            Self::Overrides => "overrides",
            Self::Verdicts => "verdicts",
        }
    }
}

/// A hash of each thing that is compared; `None` where a machine has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digests([Option<u64>; What::ALL.len()]);

impl Digests {
    /// Made from each thing.
    pub fn from_fn(digest: impl FnMut(What) -> Option<u64>) -> Self {
        Self(What::ALL.map(digest))
    }

    /// The hash of one thing.
    pub fn of(&self, what: What) -> Option<u64> {
        self.0[what as usize]
    }
}

/// The fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetView {
    /// This machine's name.
    pub node: Box<str>,
    /// What this machine has.
    pub digests: Digests,
    /// The connection to the message bus.
    pub connection: Connection,
    /// The other machines, by name.
    pub nodes: Vec<NodeView>,
    /// Whether another machine uses this one's name.
    pub is_name_taken: bool,
    /// Messages that were dropped, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Overrides of other machines that were not taken, by reason.
    pub refused_overrides: Vec<(&'static str, u64)>,
}

/// The connection to the message bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The server; `None`: not connected.
    pub server: Option<Box<str>>,
    /// Why it is not connected.
    pub reason: Option<Box<str>>,
    /// Since when, in Unix seconds.
    pub since: u64,
}

/// Another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: Box<str>,
    /// The release that it runs; empty until its first report.
    pub version: Box<str>,
    /// What it has.
    pub digests: Digests,
    /// When its latest message came, in Unix seconds.
    pub last_seen: u64,
    /// How long ago that was.
    pub age: Duration,
    /// Whether it has been silent for too long.
    pub is_lost: bool,
    /// Whether two machines use its name.
    pub is_duplicate: bool,
    /// What it has in another form than this machine, and since when, in Unix seconds.
    pub differs: Vec<(What, u64)>,
    /// The messages taken from it, by kind.
    pub messages: Vec<(&'static str, u64)>,
    /// The records of its reports that were ignored.
    pub ignored: Ignored,
}
