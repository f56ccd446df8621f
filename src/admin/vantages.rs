//! Vantages in their printed form: what each says of an endpoint.

use serde::Deserialize;
use serde::Serialize;

use crate::health::report;
use crate::health::view::VantageView;

/// What one vantage says.
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
    /// Seconds since its latest evidence.
    pub report_age_seconds: Option<f64>,
    /// Its latest failure, also after recovery.
    pub last_failure: Option<Note>,
    /// Why its latest probe was no evidence.
    pub no_evidence: Option<Note>,
}

/// A reason and its time.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    /// In words.
    pub reason: String,
    /// When.
    pub at: u64,
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
        report_age_seconds: view
            .report_age
            .map(|age| (age.as_secs_f64() * 10.0).round() / 10.0),
        last_failure: view.streak.last_failure.as_ref().map(note),
        no_evidence: view.streak.no_evidence.as_ref().map(note),
    }
}
