//! Vantages in their printed form: their own state, and what each says of an endpoint.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::health::load::Load;
use crate::health::recent_latencies::RecentLatencies;
use crate::health::report;
use crate::health::view::RegionView;
use crate::health::view::VantageSummary;
use crate::health::view::VantageView;

/// The state of one vantage.
#[derive(Debug, Serialize, Deserialize)]
pub struct VantageState {
    /// Its name.
    pub name: String,
    /// Whether it is one of this process.
    pub local: bool,
    /// Seconds since its latest evidence about any endpoint, or since the start; null: it probes nothing.
    pub report_age_seconds: Option<f64>,
    /// Whether that is too long.
    pub silent: bool,
    /// Since when it has lost contact with all IPv4 endpoints; null: it has not.
    pub ipv4_blind_since: Option<u64>,
    /// The same for IPv6.
    pub ipv6_blind_since: Option<u64>,
    /// How many endpoints it calls down because they flap.
    pub suppressed: usize,
    /// Its witnesses; empty for one of another machine.
    pub witnesses: Vec<Witness>,
}

/// A witness of a vantage.
#[derive(Debug, Serialize, Deserialize)]
pub struct Witness {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether the latest attempt reached it.
    pub reached: bool,
}

impl VantageState {
    /// The families in which it is blind, and since when.
    pub fn blind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let families = [
            ("IPv4", self.ipv4_blind_since),
            ("IPv6", self.ipv6_blind_since),
        ];
        let families = families.into_iter();
        families.filter_map(|(family, since)| Some((family, since?)))
    }

    /// How many of its witnesses it reaches.
    pub fn n_reached(&self) -> usize {
        let witnesses = self.witnesses.iter();
        witnesses.filter(|witness| witness.reached).count()
    }
}

/// The state of a vantage in its printed form; `None`: it probes nothing.
pub fn vantage_state(
    name: &str,
    is_local: bool,
    summary: Option<&VantageSummary<'_>>,
    suppressed: usize,
) -> VantageState {
    let blind = summary
        .map(|summary| summary.blind_since)
        .unwrap_or_default();
    let witnesses = summary.map_or(&[][..], |summary| &summary.witnesses);
    let witness = |(address, reached): &(SocketAddr, bool)| Witness {
        address: *address,
        reached: *reached,
    };
    VantageState {
        name: name.into(),
        local: is_local,
        report_age_seconds: summary.map(|summary| tenths(summary.report_age)),
        silent: summary.is_some_and(|summary| summary.is_silent),
        ipv4_blind_since: blind.v4,
        ipv6_blind_since: blind.v6,
        suppressed,
        witnesses: witnesses.iter().map(witness).collect(),
    }
}

/// Seconds with one digit after the point.
fn tenths(age: Duration) -> f64 {
    (age.as_secs_f64() * 10.0).round() / 10.0
}

/// Milliseconds with two digits after the point.
pub(super) fn ms(us: u32) -> f64 {
    (f64::from(us) / 10.0).round() / 100.0
}

/// What one vantage says of an endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Vantage {
    /// Its name.
    pub name: String,
    /// Its verdict.
    pub verdict: String,
    /// Since when.
    pub since: Option<u64>,
    /// Whether it takes part in the vote.
    pub fresh: bool,
    /// Whether it has lost contact with everything of the endpoint's family.
    #[serde(default)]
    pub blind: bool,
    /// When its suppression for flapping is expected to end; null: it is not suppressed.
    #[serde(default)]
    pub suppressed_until: Option<u64>,
    /// The load that the endpoint reported to it, 1 at full utilisation; null: none that is fresh.
    #[serde(default)]
    pub load: Option<f64>,
    /// How long its latest successful probe took, in milliseconds; null: none since the start.
    #[serde(default)]
    pub latency_ms: Option<f64>,
    /// How long the latest ones took.
    #[serde(skip)]
    pub latencies: RecentLatencies,
    /// Seconds since its latest evidence.
    pub report_age_seconds: Option<f64>,
    /// Its latest failure, also after recovery.
    pub last_failure: Option<Note>,
    /// Why its latest probe was no evidence.
    pub no_evidence: Option<Note>,
}

/// What the vantages of one region say of an endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Region {
    /// Their names.
    pub vantages: Vec<String>,
    /// The verdict for the clients near them.
    pub health: String,
}

/// A reason and its time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// In words.
    pub reason: String,
    /// When.
    pub at: u64,
}

/// What a region says, in its printed form.
pub fn region(view: &RegionView<'_>) -> Region {
    Region {
        vantages: view.vantages.iter().map(ToString::to_string).collect(),
        health: view.health.to_string(),
    }
}

/// What a vantage says, in its printed form.
pub fn vantage(view: &VantageView<'_>) -> Vantage {
    let note = |note: &report::Note| Note {
        reason: note.reason.to_string(),
        at: note.at,
    };
    Vantage {
        name: view.name.to_string(),
        verdict: view.streak.verdict.to_string(),
        since: view.streak.since,
        fresh: view.is_fresh,
        blind: view.is_blind,
        suppressed_until: view.suppressed_until,
        load: view.load.map(Load::ratio),
        latency_ms: view.streak.latencies.iter().last().map(ms),
        latencies: view.streak.latencies,
        report_age_seconds: view.report_age.map(tenths),
        last_failure: view.streak.last_failure.as_ref().map(note),
        no_evidence: view.streak.no_evidence.as_ref().map(note),
    }
}
