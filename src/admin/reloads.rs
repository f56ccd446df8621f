//! How loads of the files went: what a reload or a rollback answers, and what status says of the latest.

use std::fmt;
use std::fmt::Display;

use serde::Deserialize;
use serde::Serialize;

use crate::admin::time::Utc;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::live;
use crate::live::Live;
use crate::live::request;
use crate::state::changes;

/// What `POST /api/v1/reload` and `POST /api/v1/rollback` answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// What is odd about the files, as `FILE:LINE:COLUMN: …`.
    pub warnings: Vec<String>,
    /// What differs from what was served before, in one line.
    pub summary: String,
    /// The same, one by one.
    pub changed: Changes,
    /// The kept configuration that is served now; null: the files on disk are.
    pub rolled_back: Option<RolledBack>,
}

/// What differs from what was served before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Changes {
    /// Zones by apex.
    pub zones: ChangedNames,
    /// Steered names and aliases by owner.
    pub names: ChangedNames,
    /// Pools.
    pub pools: ChangedNames,
    /// Monitors.
    pub monitors: ChangedNames,
    /// What databases and the latency table are now, where they are others.
    pub databases: Vec<String>,
    /// Tables and keys of meridian.toml.
    pub settings: Vec<String>,
}

/// Things of one kind.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangedNames {
    /// Those that were not there.
    pub added: Vec<String>,
    /// Those that are no longer there.
    pub removed: Vec<String>,
    /// Those that are others.
    pub changed: Vec<String>,
}

/// A kept configuration that is served instead of the files on disk.
#[derive(Debug, Serialize, Deserialize)]
pub struct RolledBack {
    /// The SHA-256 of its files.
    pub digest: String,
    /// When it was accepted.
    pub accepted: u64,
    /// Since when it is served again.
    pub since: u64,
    /// The token of who asked for it.
    pub by: String,
}

impl Display for RolledBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            digest,
            accepted,
            since,
            by,
        } = self;
        let (accepted, since) = (Utc(*accepted), Utc(*since));
        write!(
            f,
            "Rolled back by {by} at {since}: the files on disk are not served, but configuration {digest} of \
             {accepted}"
        )
    }
}

/// How the latest load of the files went.
#[derive(Debug, Serialize, Deserialize)]
pub struct LastReload {
    /// When.
    pub at: u64,
    /// Whether the files were refused.
    pub refused: bool,
    /// What is wrong with them, as `FILE:LINE:COLUMN: …`.
    pub faults: Vec<String>,
    /// What is odd about them.
    pub warnings: Vec<String>,
    /// The kept configuration that is served instead of the files on disk; null: these are.
    #[serde(default)]
    pub rolled_back: Option<RolledBack>,
}

/// The lines of a report of one severity.
pub fn lines(report: &Report, severity: Severity) -> Vec<String> {
    let of_kind = report
        .sorted()
        .into_iter()
        .filter(|d| d.severity == severity);
    of_kind.map(ToString::to_string).collect()
}

/// How the latest load of the files went.
pub fn last_reload(live: &Live) -> LastReload {
    let reload = live.last_reload.read();
    LastReload {
        at: reload.at,
        refused: reload.refused,
        faults: lines(&reload.report, Severity::Error),
        warnings: lines(&reload.report, Severity::Warning),
        rolled_back: reload.rolled_back.as_ref().map(rolled_back),
    }
}

/// The result of a reload or a rollback.
pub fn reloaded(reloaded: &request::Reloaded) -> Reloaded {
    let changes = &reloaded.changes;
    Reloaded {
        warnings: lines(&reloaded.report, Severity::Warning),
        summary: changes.to_string(),
        changed: Changes {
            zones: names(&changes.zones),
            names: names(&changes.names),
            pools: names(&changes.pools),
            monitors: names(&changes.monitors),
            databases: changes.databases.clone(),
            settings: changes.settings.iter().map(ToString::to_string).collect(),
        },
        rolled_back: reloaded.rolled_back.as_ref().map(rolled_back),
    }
}

fn names(names: &changes::ChangedNames) -> ChangedNames {
    ChangedNames {
        added: names.added.clone(),
        removed: names.removed.clone(),
        changed: names.changed.clone(),
    }
}

/// What is served instead of the files on disk.
fn rolled_back(rolled_back: &live::RolledBack) -> RolledBack {
    RolledBack {
        digest: rolled_back.digest.to_string(),
        accepted: rolled_back.accepted,
        since: rolled_back.since,
        by: rolled_back.by.to_string(),
    }
}
