//! What can happen that an operator reads of: one word for each kind of event.

use crate::base::word;
use crate::base::word::UnknownWord;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $word:literal,)+) => {
        /// The kind of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl EventKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// As written in configuration, events and metrics.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }
        }
    };
}

kinds! {
    /// The process serves.
    Started = "started",
    /// The process was asked to end.
    Stopping = "stopping",
    /// The first round of probes is in.
    Ready = "ready",
    /// An endpoint's verdict became down.
    EndpointDown = "endpoint_down",
    /// An endpoint's verdict became up after it had been down.
    EndpointUp = "endpoint_up",
    /// An endpoint came to be down for the clients of a region.
    EndpointRegionDown = "endpoint_region_down",
    /// An endpoint came to be up for the clients of a region.
    EndpointRegionUp = "endpoint_region_up",
    /// No vantage of a region has a vote on an endpoint any longer.
    EndpointRegionUnjudged = "endpoint_region_unjudged",
    /// An endpoint flaps: it is held down at a vantage.
    EndpointSuppressed = "endpoint_suppressed",
    /// It no longer flaps.
    EndpointReused = "endpoint_reused",
    /// A pool no longer serves a family.
    PoolDown = "pool_down",
    /// A pool serves a family again.
    PoolUp = "pool_up",
    /// A pool that probes brought back takes another share of its clients.
    PoolShare = "pool_share",
    /// A probe failed during that: the ramp begins again.
    RampRestarted = "ramp_restarted",
    /// A pool is above its spill mark.
    SpillBegan = "spill_began",
    /// A pool takes all of its clients again.
    SpillEnded = "spill_ended",
    /// A pool is above its spill mark, and no other takes its clients.
    SpillFull = "spill_full",
    /// Some other pool takes them again.
    SpillRoom = "spill_room",
    /// More pools of a name are down than `max_down` allows.
    MaxDownExceeded = "max_down_exceeded",
    /// They no longer are.
    MaxDownEnded = "max_down_ended",
    /// A vantage lost contact with everything at once.
    VantageBlind = "vantage_blind",
    /// A vantage without contact is believed after all.
    VantageBelieved = "vantage_believed",
    /// A vantage has contact again.
    VantageSees = "vantage_sees",
    /// A vantage does not report.
    VantageSilent = "vantage_silent",
    /// A vantage reports again.
    VantageReports = "vantage_reports",
    /// A witness was never reached.
    WitnessUseless = "witness_useless",
    /// Another machine of the fleet reports.
    NodeReports = "node_reports",
    /// Another machine of the fleet does not report.
    NodeLost = "node_lost",
    /// Another machine of the fleet has other settings or data.
    NodeDiffers = "node_differs",
    /// It has the same again.
    NodeAgrees = "node_agrees",
    /// Two machines of the fleet use one name.
    NodeDuplicate = "node_duplicate",
    /// The connection to the message bus is there.
    FleetConnected = "fleet_connected",
    /// The connection to the message bus is lost.
    FleetDisconnected = "fleet_disconnected",
    /// An operator set an override.
    OverrideSet = "override_set",
    /// An operator set an override that begins later.
    OverridePlanned = "override_planned",
    /// An override was refused.
    OverrideRefused = "override_refused",
    /// A planned override has begun.
    OverrideBegun = "override_begun",
    /// An operator cleared an override.
    OverrideCleared = "override_cleared",
    /// An override has expired.
    OverrideExpired = "override_expired",
    /// An override was set on another machine.
    OverrideHeard = "override_heard",
    /// An override was ended on another machine.
    OverrideEndedElsewhere = "override_ended_elsewhere",
    /// An override is of a pool that does not exist.
    OverrideOrphaned = "override_orphaned",
    /// A pool was taken out for practice.
    DrillBegan = "drill_began",
    /// A drill ended when its time was over.
    DrillCompleted = "drill_completed",
    /// A drill was ended early.
    DrillAborted = "drill_aborted",
    /// A drill is due and may not begin yet.
    DrillPostponed = "drill_postponed",
    /// A drill did not begin in its window.
    DrillSkipped = "drill_skipped",
    /// A pool's endpoints were changed by what names them.
    EndpointsChanged = "endpoints_changed",
    /// What names a pool's endpoints fails.
    SourceFailed = "source_failed",
    /// It answers again.
    SourceRecovered = "source_recovered",
    /// It named addresses that no endpoint can have.
    SourceRefused = "source_refused",
    /// The target of an alias has other addresses.
    TargetChanged = "target_changed",
    /// The target of an alias cannot be resolved.
    TargetFailed = "target_failed",
    /// It can be again.
    TargetRecovered = "target_recovered",
    /// It has addresses that are not answered.
    TargetRefused = "target_refused",
    /// A reload was accepted.
    Reloaded = "reloaded",
    /// A reload was refused.
    ReloadRefused = "reload_refused",
    /// A kept configuration is served instead of the files on disk.
    RolledBack = "rolled_back",
    /// A rollback was refused.
    RollbackRefused = "rollback_refused",
    /// A file changes all the time.
    FileRestless = "file_restless",
    /// Reading files does not end.
    FilesHang = "files_hang",
    /// Files can be read again.
    FilesRecovered = "files_recovered",
    /// A zone was changed by dynamic updates.
    ZoneUpdated = "zone_updated",
    /// A dynamic update was refused.
    UpdateRefused = "update_refused",
    /// An ownership record of external-dns is not in its zone.
    OwnershipNotAnswered = "ownership_not_answered",
    /// A newer GeoIP database was fetched and is in force.
    GeoIpUpdated = "geoip_updated",
    /// A newer GeoIP database was fetched, and the reload with it was refused.
    GeoIpUpdateRefused = "geoip_update_refused",
    /// A GeoIP database cannot be fetched.
    GeoIpUpdateFailed = "geoip_update_failed",
    /// It can be again.
    GeoIpUpdateRecovered = "geoip_update_recovered",
    /// State cannot be written.
    StateNotSaved = "state_not_saved",
    /// State can be written again.
    StateSaved = "state_saved",
    /// Events cannot be written.
    EventsNotSaved = "events_not_saved",
    /// Events can be written again.
    EventsSaved = "events_saved",
    /// Events are not delivered to a webhook.
    WebhookFailed = "webhook_failed",
    /// Events for a webhook were dropped.
    WebhookDropped = "webhook_dropped",
    /// Events are delivered to it again.
    WebhookRecovered = "webhook_recovered",
}

impl EventKind {
    /// Reads it back.
    ///
    /// # Errors
    /// If there is no such kind.
    pub fn parse(word: &str) -> Result<Self, UnknownWord> {
        word::parse(Self::ALL.iter().copied(), Self::as_str, word)
    }
}
