//! What the control loop logs and records: one value for each kind of event, made by the state machines
//! and written by the loop. It is one thing: a row for each kind.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::error;
use tracing::warn;

use crate::admin::time::Utc;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::base::health::Health;
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::config::model::Endpoint;
use crate::daemon::load::UpdateRefused;
use crate::daemon::load::ZoneUpdated;
use crate::fleet::roster::FleetChange;
use crate::health::load::Load;
use crate::health::overrides::Forced;
use crate::health::overrides::Override;
use crate::health::vantage::VantageChange;
use crate::live::RolledBack;
use crate::live::events::Draft;
use crate::live::events::EventLog;
use crate::live::events::event;
use crate::live::fleet::Connection;
use crate::state::changes::Changes;
use crate::state::demand::Moved;
use crate::state::drill::DrillChange;
use crate::state::drill::DrillResult;
use crate::state::drill::Outcome;
use crate::state::resolved::Refused;
use crate::state::source::Named;
use crate::state::source::SourceChange;
use crate::state::source::SourceEvent;
use crate::state::targets::TargetChange;
use crate::state::targets::TargetEvent;

/// The most faults and warnings of a reload that are logged; all of them are on the status page.
const MAX_LOGGED: usize = 20;

/// The message for a state folder that cannot be written to.
const NOT_SAVED: &str = "state cannot be saved, trying again every few seconds: verdicts and \
     overrides would not survive a restart";

/// The message for files that cannot be read to their end.
const FILES_HANG: &str = "reading the files has not ended for half a minute: edits and reloads wait; \
     check the disk that they are on";

/// The message for an override without a pool.
const ORPHANED: &str = "override of a pool that does not exist: it would hold if one of that name \
     came; `meridian undrain` clears it";

/// What decides whether a pool serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolCause {
    /// It has no endpoints.
    NoEndpoints,
    /// An operator's override.
    Override,
    /// How many of its endpoints are up.
    Endpoints,
}

impl PoolCause {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoints => "no endpoints",
            Self::Override => "override",
            Self::Endpoints => "endpoints",
        }
    }
}

/// Something that an operator reads in the log.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "fields are named as in the log line")]
pub enum Event {
    /// An endpoint's verdict became down.
    EndpointDown {
        pool: Arc<str>,
        endpoint: IpAddr,
        /// The vantage whose report decided.
        vantage: Arc<str>,
        /// Why its latest probe failed.
        reason: Box<str>,
        /// What it was before.
        before: Health,
    },
    /// An endpoint's verdict became up after it had been down.
    EndpointUp {
        pool: Arc<str>,
        endpoint: IpAddr,
        /// The vantage whose report decided; `None`: old reports no longer count.
        vantage: Option<Arc<str>>,
    },
    /// The vantages of a region have come to say something else of an endpoint.
    EndpointInRegion {
        pool: Arc<str>,
        endpoint: IpAddr,
        /// Their names.
        vantages: Box<str>,
        /// What they say; `None`: none of them has a vote.
        health: Option<Health>,
    },
    /// A pool no longer serves a family: too few endpoints are up.
    PoolDown {
        pool: Box<str>,
        family: Family,
        /// How many of its endpoints of that family are up, and how many it has.
        n_up: usize,
        n: usize,
        /// How many must be.
        n_needed: usize,
        /// What decided.
        cause: PoolCause,
    },
    /// A pool serves a family again.
    PoolUp {
        pool: Box<str>,
        family: Family,
        /// What decided.
        cause: PoolCause,
    },
    /// A pool that probes brought back takes another share of its clients.
    PoolAdmits {
        pool: Box<str>,
        family: Family,
        percent: f64,
    },
    /// A pool is above its mark: clients go to their next pool.
    SpillBegins {
        pool: Box<str>,
        load: Option<Load>,
        mark: Load,
    },
    /// A pool takes all of its clients again.
    SpillEnds { pool: Box<str> },
    /// A pool is above its mark, and no pool takes its clients.
    SpillFull {
        pool: Box<str>,
        load: Option<Load>,
        mark: Load,
    },
    /// Some pool takes them again, or it is below its mark.
    SpillRoom { pool: Box<str> },
    /// More of a name's pools are down than `max_down` allows: its probes are ignored.
    MaxDownExceeded { name: String, family: Family },
    /// They no longer are.
    MaxDownEnded { name: String, family: Family },
    /// A probe of a pool failed while it was getting its clients back.
    RampStartsOver { pool: Arc<str>, family: Family },
    /// A vantage stopped or began to report, or to see.
    Vantage(VantageChange),
    /// Something about another machine of the fleet.
    Fleet(FleetChange),
    /// The connection to the message bus came or went.
    FleetConnection(Connection),
    /// The first round of probes is in.
    Ready,
    /// An operator set an override.
    OverrideSet {
        pool: Box<str>,
        state: Forced,
        reason: Box<str>,
        /// How long until it begins; `None`: it has begun.
        begins_in: Option<u64>,
        /// How long it holds; `None`: until it is cleared.
        seconds: Option<u64>,
        /// The token that set it.
        by: Box<str>,
    },
    /// An operator cleared an override.
    OverrideCleared { pool: Box<str>, by: Box<str> },
    /// An override was refused.
    OverrideRefused {
        pool: Box<str>,
        state: Forced,
        by: Box<str>,
        /// Why.
        fault: Box<str>,
    },
    /// An override is of a pool that is not configured.
    OverrideOrphaned { pool: Box<str>, state: Forced },
    /// An override came from another machine; `None`: it was cleared there.
    OverrideHeard {
        pool: Box<str>,
        node: Box<str>,
        override_: Option<Override>,
    },
    /// A planned override has begun.
    OverrideBegun { pool: Box<str> },
    /// An override has expired.
    OverrideExpired { pool: Box<str> },
    /// A drill has begun, ended, or waits.
    Drill(DrillChange),
    /// An ownership record of external-dns cannot be in the zone.
    OwnershipNotAnswered { owner: Name, reason: &'static str },
    /// What names endpoints of a pool names others, fails, or answers again.
    Source(SourceEvent),
    /// The target of an alias has other addresses, cannot be resolved, or can be again.
    Target(TargetEvent),
    /// The state could not be written.
    StateNotSaved { error: Box<str> },
    /// The state could be written again.
    StateSavedAgain,
    /// A file changes all the time.
    FileRestless { path: PathBuf },
    /// Looking at files, or reading them, does not end.
    FilesHang,
    /// It has ended.
    FilesAnswer,
    /// A reload was accepted, or a rollback carried out, with these warnings.
    Reloaded {
        generation: u64,
        zones: usize,
        pools: usize,
        /// What differs from what was served before.
        changes: Box<Changes>,
        /// The kept configuration that is served now; `None`: the files on disk are.
        rolled_back: Option<RolledBack>,
        report: Report,
    },
    /// A rollback was refused.
    RollbackRefused { report: Report },
    /// A reload was refused.
    ReloadRefused { report: Report },
    /// A zone was changed by dynamic updates.
    ZoneUpdated(ZoneUpdated),
    /// A client's dynamic update was refused.
    UpdateRefused(UpdateRefused),
}

impl Event {
    /// Writes the log line and describes the same for the record.
    #[expect(clippy::too_many_lines, reason = "a row per event")]
    fn log(&self) -> Draft {
        match self {
            Self::EndpointDown {
                pool,
                endpoint,
                vantage,
                reason,
                before,
            } => event!(
                warn,
                EndpointDown,
                [pool, endpoint, vantage, reason],
                [before = before.as_str(), after = Health::Down.as_str()],
                "endpoint is down"
            ),
            Self::EndpointUp {
                pool,
                endpoint,
                vantage,
            } => {
                let vantage = vantage.as_deref().unwrap_or("none: old reports expired");
                event!(
                    info,
                    EndpointUp,
                    [pool, endpoint, vantage],
                    [before = Health::Down.as_str(), after = Health::Up.as_str()],
                    "endpoint is up"
                )
            }
            Self::EndpointInRegion {
                pool,
                endpoint,
                vantages,
                health,
            } => match health {
                Some(Health::Down) => event!(
                    warn,
                    EndpointRegionDown,
                    [pool, endpoint],
                    [vantages = &**vantages],
                    "endpoint is down for clients near these vantages"
                ),
                Some(_) => event!(
                    info,
                    EndpointRegionUp,
                    [pool, endpoint],
                    [vantages = &**vantages],
                    "endpoint is up for clients near these vantages"
                ),
                None => event!(
                    info,
                    EndpointRegionUnjudged,
                    [pool, endpoint],
                    [vantages = &**vantages],
                    "none of these vantages has a vote: all others judge for the clients near them"
                ),
            },
            Self::PoolDown {
                pool,
                family,
                n_up,
                n,
                n_needed,
                cause,
            } => event!(
                warn,
                PoolDown,
                [pool, family],
                [
                    up = *n_up as u64,
                    of = *n as u64,
                    needed = *n_needed as u64,
                    cause = cause.as_str()
                ],
                "pool is down"
            ),
            Self::PoolUp {
                pool,
                family,
                cause,
            } => event!(
                info,
                PoolUp,
                [pool, family],
                [cause = cause.as_str()],
                "pool is up"
            ),
            Self::PoolAdmits {
                pool,
                family,
                percent,
            } => event!(
                info,
                PoolShare,
                [pool, family],
                [percent = *percent],
                "pool takes this share of its clients"
            ),
            Self::SpillBegins { pool, load, mark } => event!(
                warn,
                SpillBegan,
                [pool, mark],
                [load = shown(*load)],
                "pool is above its spill mark: clients go to their next pool"
            ),
            Self::SpillEnds { pool } => {
                event!(
                    info,
                    SpillEnded,
                    [pool],
                    [],
                    "pool takes all of its clients again"
                )
            }
            Self::SpillFull { pool, load, mark } => event!(
                error,
                SpillFull,
                [pool, mark],
                [load = shown(*load)],
                "pool is above its spill mark and no other pool takes its clients: they stay, as if \
                 there were no marks; add capacity"
            ),
            Self::SpillRoom { pool } => event!(
                info,
                SpillRoom,
                [pool],
                [],
                "another pool takes clients of this pool again"
            ),
            Self::MaxDownExceeded { name, family } => event!(
                error,
                MaxDownExceeded,
                [family],
                [name = &**name],
                "more pools are down than [safety] max_down allows: the probes of this name are \
                 ignored; check the monitors and this machine's network"
            ),
            Self::MaxDownEnded { name, family } => event!(
                info,
                MaxDownEnded,
                [family],
                [name = &**name],
                "no more pools are down than [safety] max_down allows: the probes of this name count again"
            ),
            Self::RampStartsOver { pool, family } => event!(
                warn,
                RampRestarted,
                [pool, family],
                [],
                "a probe failed while the pool was getting its clients back: its ramp starts over"
            ),
            Self::Vantage(change) => log_vantage(change),
            Self::Fleet(change) => log_fleet(change),
            Self::FleetConnection(connection) => match (&connection.server, &connection.reason) {
                (Some(server), _) => {
                    event!(info, FleetConnected, [server], [], "connected to NATS")
                }
                (None, reason) => event!(
                    warn,
                    FleetDisconnected,
                    [],
                    [reason = reason.as_deref()],
                    "no connection to NATS: going on with this machine's own probes and the \
                     overrides that it has"
                ),
            },
            Self::Ready => event!(
                info,
                Ready,
                [],
                [],
                "ready: the first round of probes has finished"
            ),
            Self::OverrideSet {
                pool,
                state,
                reason,
                begins_in: None,
                seconds,
                by,
            } => event!(
                info,
                OverrideSet,
                [pool],
                [
                    percent = state.percent().map(u64::from),
                    state = state.as_str(),
                    reason = &**reason,
                    seconds = *seconds,
                    by = &**by
                ],
                "override set"
            ),
            Self::OverrideSet {
                pool,
                state,
                reason,
                begins_in,
                seconds,
                by,
            } => event!(
                info,
                OverridePlanned,
                [pool],
                [
                    percent = state.percent().map(u64::from),
                    state = state.as_str(),
                    reason = &**reason,
                    begins_in = *begins_in,
                    seconds = *seconds,
                    by = &**by
                ],
                "override planned: it begins later"
            ),
            Self::OverrideCleared { pool, by } => {
                event!(
                    info,
                    OverrideCleared,
                    [pool],
                    [by = &**by],
                    "override cleared"
                )
            }
            Self::OverrideRefused {
                pool,
                state,
                by,
                fault,
            } => event!(
                warn,
                OverrideRefused,
                [pool],
                [state = state.as_str(), by = &**by, reason = &**fault],
                "override refused"
            ),
            Self::OverrideOrphaned { pool, state } => {
                event!(
                    warn,
                    OverrideOrphaned,
                    [pool],
                    [state = state.as_str()],
                    ORPHANED
                )
            }
            Self::OverrideHeard {
                pool,
                node,
                override_: Some(override_),
            } => event!(
                info,
                OverrideHeard,
                [pool, node, reason = override_.reason],
                [state = override_.state.as_str()],
                "override set on another node"
            ),
            Self::OverrideHeard { pool, node, .. } => event!(
                info,
                OverrideEndedElsewhere,
                [pool, node],
                [],
                "override ended by another node"
            ),
            Self::OverrideBegun { pool } => {
                event!(info, OverrideBegun, [pool], [], "planned override begins")
            }
            Self::OverrideExpired { pool } => {
                event!(info, OverrideExpired, [pool], [], "override expired")
            }
            Self::Drill(change) => log_drill(change),
            Self::OwnershipNotAnswered { owner, reason } => event!(
                warn,
                OwnershipNotAnswered,
                [owner],
                [reason = *reason],
                "ownership record of external-dns is kept, but not in the zone"
            ),
            Self::Source(event) => log_source(event),
            Self::Target(event) => log_target(event),
            Self::StateNotSaved { error } => event!(warn, StateNotSaved, [error], [], NOT_SAVED),
            Self::StateSavedAgain => event!(info, StateSaved, [], [], "state can be saved again"),
            Self::FileRestless { path } => event!(
                warn,
                FileRestless,
                [path = path.display()],
                [],
                "file changes all the time: the content that it had before is used until it holds \
                 still for a second"
            ),
            Self::FilesHang => event!(warn, FilesHang, [], [], FILES_HANG),
            Self::FilesAnswer => event!(info, FilesRecovered, [], [], "files can be read again"),
            Self::Reloaded {
                generation,
                zones,
                pools,
                changes,
                rolled_back: None,
                report,
            } => {
                let draft = event!(
                    info,
                    Reloaded,
                    [changes],
                    [
                        generation = *generation,
                        zones = *zones as u64,
                        pools = *pools as u64
                    ],
                    "reloaded"
                );
                let draft = draft.with("zones_added", &some(&changes.zones.added));
                let draft = draft.with("zones_removed", &some(&changes.zones.removed));
                let draft = draft.with("zones_changed", &some(&changes.zones.changed));
                let draft = draft.with("names_added", &some(&changes.names.added));
                let draft = draft.with("names_removed", &some(&changes.names.removed));
                let draft = draft.with("names_changed", &some(&changes.names.changed));
                let draft = draft.with("pools_added", &some(&changes.pools.added));
                let draft = draft.with("pools_removed", &some(&changes.pools.removed));
                let draft = draft.with("pools_changed", &some(&changes.pools.changed));
                draft.with("warnings", &log_report(report))
            }
            Self::Reloaded {
                generation,
                changes,
                rolled_back:
                    Some(RolledBack {
                        digest,
                        accepted,
                        by,
                        ..
                    }),
                report,
                ..
            } => {
                let draft = event!(
                    warn,
                    RolledBack,
                    [digest, accepted = Utc(*accepted), by, changes],
                    [generation = *generation],
                    "rolled back: a kept configuration is served until the files on disk change or a \
                     reload is asked for"
                );
                draft.with("warnings", &log_report(report))
            }
            Self::RollbackRefused { report } => {
                let draft = event!(
                    error,
                    RollbackRefused,
                    [],
                    [],
                    "rollback refused; still serving the same configuration"
                );
                draft.with("report", &log_report(report))
            }
            Self::ZoneUpdated(ZoneUpdated {
                apex,
                serial,
                n_updates,
                n_removed,
                n_added,
            }) => event!(
                info,
                ZoneUpdated,
                [zone = apex],
                [
                    serial = u64::from(*serial),
                    updates = *n_updates as u64,
                    removed = *n_removed as u64,
                    added = *n_added as u64
                ],
                "zone updated"
            ),
            Self::UpdateRefused(UpdateRefused {
                zone,
                key,
                client,
                reason,
            }) => event!(
                warn,
                UpdateRefused,
                [zone, key, client],
                [reason = &**reason],
                "update refused"
            ),
            Self::ReloadRefused { report } => {
                let draft = event!(
                    error,
                    ReloadRefused,
                    [],
                    [faults = report.n_errors() as u64],
                    "reload refused; still serving the previous configuration"
                );
                draft.with("report", &log_report(report))
            }
        }
    }
}

/// A load in the log.
fn shown(load: Option<Load>) -> String {
    load.map_or("unknown".into(), |load| load.to_string())
}

/// Logs events and records them, in their order.
pub(super) fn log(log: &EventLog, events: &[Event]) {
    for event in events {
        log.push(event.log());
    }
}

/// Logs the first faults and warnings, faults before warnings, and returns these lines; `None` without
/// any.
pub(in crate::daemon) fn log_report(report: &Report) -> Option<Vec<Box<str>>> {
    let mut sorted = report.sorted();
    sorted.sort_by_key(|diagnostic| diagnostic.severity);
    sorted.truncate(MAX_LOGGED);
    for diagnostic in &sorted {
        match diagnostic.severity {
            Severity::Error => error!("{diagnostic}"),
            Severity::Warning => warn!("{diagnostic}"),
        }
    }
    let lines = sorted
        .iter()
        .map(|diagnostic| diagnostic.to_string().into());
    (!sorted.is_empty()).then(|| lines.collect())
}

fn log_fleet(change: &FleetChange) -> Draft {
    match change {
        FleetChange::Reports { node } => {
            event!(info, NodeReports, [node], [], "fleet: node reports")
        }
        FleetChange::Lost { node } => event!(
            warn,
            NodeLost,
            [node],
            [],
            "fleet: node does not report: its vantages have no vote, check the machine and its NATS server"
        ),
        FleetChange::Differs { node, what } => event!(
            warn,
            NodeDiffers,
            [node],
            [what = what.as_str()],
            "fleet: node differs from this one, see `meridian status --fleet`"
        ),
        FleetChange::Agrees { node, what } => event!(
            info,
            NodeAgrees,
            [node],
            [what = what.as_str()],
            "fleet: node agrees with this one again"
        ),
        FleetChange::Duplicate { node, is_own: true } => event!(
            error,
            NodeDuplicate,
            [node],
            [],
            "fleet: another machine uses the name of this one: give each its own [cluster] node"
        ),
        FleetChange::Duplicate { node, .. } => event!(
            error,
            NodeDuplicate,
            [node],
            [],
            "fleet: two machines use one name, only the one that started last counts: give each its own \
             [cluster] node"
        ),
    }
}

fn log_source(event: &SourceEvent) -> Draft {
    let (pool, source) = (&event.pool, &event.source);
    match &event.what {
        SourceChange::Endpoints { by, before, after } => {
            let (before, after) = (listed(before), listed(after));
            let by = by.as_deref();
            event!(
                info,
                EndpointsChanged,
                [pool, source],
                [by, before, after],
                "endpoints changed"
            )
        }
        SourceChange::Fails(reason) => event!(
            warn,
            SourceFailed,
            [pool, source, reason],
            [],
            "source of endpoints fails: the last good endpoints are kept"
        ),
        SourceChange::Answers => event!(
            info,
            SourceRecovered,
            [pool, source],
            [],
            "source of endpoints answers again"
        ),
        SourceChange::Refuses(Refused { n, reason }) => event!(
            warn,
            SourceRefused,
            [pool, source, reason],
            [n = *n as u64],
            "addresses refused: they are neither probed nor answered"
        ),
    }
}

/// Endpoints and host names for a log line.
fn listed(named: &Named) -> String {
    let text = |endpoint: &Endpoint| {
        let mut text = endpoint.address.to_string();
        if endpoint.weight != 1 {
            text += &format!("*{}", endpoint.weight);
        }
        if let Some(check) = endpoint.check {
            text += &format!("(check {check})");
        }
        text
    };
    let all = named.endpoints.iter().map(text);
    let all = all.chain(named.hosts.iter().map(ToString::to_string));
    joined(all, named.endpoints.len() + named.hosts.len())
}

/// The first of so many texts, and how many more there are.
fn joined(texts: impl Iterator<Item = String>, n: usize) -> String {
    let listed: Vec<_> = texts.take(MAX_LOGGED).collect();
    let n_more = n - listed.len();
    match (listed.is_empty(), n_more) {
        (true, _) => "none".into(),
        (false, 0) => listed.join(" "),
        (false, _) => format!("{} and {n_more} more", listed.join(" ")),
    }
}

/// The first names, if there are any.
fn some(names: &[String]) -> Option<Vec<Box<str>>> {
    let listed = names.iter().take(MAX_LOGGED).map(|name| (&**name).into());
    (!names.is_empty()).then(|| listed.collect())
}

fn log_target(event: &TargetEvent) -> Draft {
    let target = &event.target;
    match &event.what {
        TargetChange::Addresses(addresses) => {
            let addresses = joined(addresses.iter().map(ToString::to_string), addresses.len());
            event!(
                info,
                TargetChanged,
                [target, addresses],
                [],
                "target of an alias has other addresses"
            )
        }
        TargetChange::Fails(reason) => event!(
            warn,
            TargetFailed,
            [target, reason],
            [],
            "target of an alias cannot be resolved: its last addresses, if any, are kept"
        ),
        TargetChange::Answers => event!(
            info,
            TargetRecovered,
            [target],
            [],
            "target of an alias is resolved again"
        ),
        TargetChange::Refuses(Refused { n, reason }) => event!(
            warn,
            TargetRefused,
            [target, reason],
            [n = *n as u64],
            "addresses of an alias's target refused: they are not answered"
        ),
    }
}

#[expect(clippy::too_many_lines, reason = "a row per change")]
fn log_vantage(change: &VantageChange) -> Draft {
    match change {
        VantageChange::Blind {
            vantage,
            family,
            n_witnesses: 0,
        } => event!(
            warn,
            VantageBlind,
            [vantage, family],
            [],
            "vantage lost contact with all pools at once: check its uplink (this machine's network, its \
             proxy or source address); its verdicts do not count for up to [health] blind_max"
        ),
        VantageChange::Blind {
            vantage,
            family,
            n_witnesses,
        } => event!(
            warn,
            VantageBlind,
            [vantage, family],
            [witnesses = *n_witnesses as u64],
            "vantage lost contact with all pools at once and reaches no witness: check its uplink (this \
             machine's network, its proxy or source address); its verdicts do not count until it \
             reaches one or a pool"
        ),
        VantageChange::WitnessUseless { vantage, witness } => event!(
            warn,
            WitnessUseless,
            [vantage, witness],
            [],
            "witness was never reached from this vantage, and counts as not named: check its address and \
             that it accepts TCP connections, or take it out of [health] witness"
        ),
        VantageChange::Believed { vantage, family } => event!(
            warn,
            VantageBelieved,
            [vantage, family],
            [],
            "vantage had no contact for [health] blind_max: it is believed, and all its endpoints count as \
             down; check its uplink, and name a [health] witness to have it tell one from the other"
        ),
        VantageChange::Sees { vantage, family } => {
            event!(
                info,
                VantageSees,
                [vantage, family],
                [],
                "vantage has contact again"
            )
        }
        VantageChange::Suppressed {
            vantage,
            target,
            until,
        } => event!(
            warn,
            EndpointSuppressed,
            [
                pool = target.pool,
                endpoint = target.address,
                vantage,
                until = Utc(*until)
            ],
            [],
            "endpoint flaps and is suppressed: it stays down at this vantage until it has been stable for \
             a while (`damping` of its monitor)"
        ),
        VantageChange::Reused { vantage, target } => event!(
            info,
            EndpointReused,
            [pool = target.pool, endpoint = target.address, vantage],
            [],
            "endpoint has been stable and is no longer suppressed"
        ),
        VantageChange::Silent { vantage, age } => event!(
            warn,
            VantageSilent,
            [vantage],
            [seconds = age.as_secs()],
            "vantage does not report: it has no vote, check its proxy or source address"
        ),
        VantageChange::Reports { vantage } => {
            event!(info, VantageReports, [vantage], [], "vantage reports again")
        }
    }
}

fn log_drill(change: &DrillChange) -> Draft {
    match change {
        DrillChange::Begun {
            pool,
            by,
            reason,
            seconds,
            moved,
        } => event!(
            info,
            DrillBegan,
            [pool, by, reason],
            [seconds = *seconds, clients = share(moved)],
            "drill begins: the pool is out for practice"
        ),
        DrillChange::Ended { pool, outcome } => log_outcome(pool, outcome),
        DrillChange::EndedHere { pool, node, reason } => event!(
            warn,
            DrillAborted,
            [pool, node, reason],
            [],
            "drill of another node is ended: the pool comes back at once"
        ),
        DrillChange::Postponed {
            pool,
            reason,
            latest,
        } => event!(
            info,
            DrillPostponed,
            [pool, reason, latest = Utc(*latest)],
            [],
            "drill is due and waits"
        ),
    }
}

fn log_outcome(pool: &str, outcome: &Outcome) -> Draft {
    let (reason, clients) = (&outcome.reason, share(&outcome.moved));
    let seconds = outcome.ended.saturating_sub(outcome.begun);
    let loads = outcome.loads.iter().map(|change| {
        let (before, most) = (shown(change.before), shown(change.most));
        format!("{}: {before} before, {most} at most", change.pool)
    });
    let loads = loads.collect::<Vec<_>>().join("; ");
    match outcome.result {
        DrillResult::Completed => event!(
            info,
            DrillCompleted,
            [pool],
            [seconds, clients, loads],
            "drill is over: the pool comes back"
        ),
        DrillResult::Aborted => event!(
            warn,
            DrillAborted,
            [pool, reason],
            [seconds, clients, loads],
            "drill is ended early: the pool comes back at once"
        ),
        DrillResult::Skipped => event!(
            warn,
            DrillSkipped,
            [pool, reason],
            [],
            "drill is skipped: its window ended before the pool could be taken out"
        ),
    }
}

/// The clients that had a pool, of those that ask for its names.
fn share(moved: &Moved) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    moved.share.map_or("unknown".into(), percent)
}
