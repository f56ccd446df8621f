//! The sources of pools in JSON: who names their endpoints, and how that goes.

use serde::Deserialize;
use serde::Serialize;

use crate::config::model;
use crate::state::evidence::PoolNow;
use crate::state::source::SourceId;
use crate::state::source::SourceState;
use crate::state::sources::Sources;

/// What names endpoints of a pool.
#[derive(Debug, Serialize, Deserialize)]
pub struct Source {
    /// `api`, `host` or `kubernetes`.
    pub kind: String,
    /// The host name; `api`; cluster, kind, namespace and name of the object.
    pub name: String,
    /// Whether it has named endpoints, or said that there are none, and does not fail now.
    pub up: bool,
    /// Since when it names these endpoints; null: it has named none yet.
    pub since: Option<u64>,
    /// The token that set them; null unless the API did.
    pub by: Option<String>,
    /// Raised by each change.
    pub revision: u64,
    /// When it last answered.
    pub last_success: Option<u64>,
    /// How many endpoints it names.
    pub endpoints: usize,
    /// Why it fails now; the last endpoints are kept.
    pub error: Option<String>,
    /// How many addresses of its latest answer are not taken.
    pub refused: usize,
    /// Why, of the first.
    pub refused_reason: Option<String>,
}

/// Whether it has answered and does not fail now.
pub fn is_up(state: &SourceState) -> bool {
    state.since.is_some() && state.fault.is_none()
}

/// What a pool's sources say.
#[derive(Debug, Serialize, Deserialize)]
pub struct Membership {
    /// Why it has no endpoints; null: it has some.
    pub reason: Option<String>,
    /// What names its endpoints, besides the addresses in its file.
    pub sources: Vec<Source>,
}

/// The sources of a pool, each with what is known of it.
pub fn of<'a>(
    sources: &'a Sources,
    pool: &'a model::Pool,
) -> impl Iterator<Item = (&'a SourceId, &'a SourceState)> {
    // What was set stays on record when a pool goes back to its file.
    let is_named = |id: &SourceId| *id != SourceId::Api || pool.source == model::PoolSource::Api;
    sources.of(&pool.name).filter(move |(id, _)| is_named(id))
}

/// What the sources of a pool say, in its printed form.
pub fn membership(sources: &Sources, pool: &model::Pool, now: &PoolNow) -> Membership {
    let printed = |(id, state): (&SourceId, &SourceState)| Source {
        kind: id.kind().into(),
        name: id.to_string(),
        up: is_up(state),
        since: state.since,
        by: state.by.as_deref().map(Into::into),
        revision: state.revision,
        last_success: state.last_success,
        endpoints: state.named.endpoints.len(),
        error: state.fault.as_deref().map(Into::into),
        refused: state.refused.as_ref().map_or(0, |refused| refused.n),
        refused_reason: state
            .refused
            .as_ref()
            .map(|refused| refused.reason.to_string()),
    };
    let is_empty = now.endpoints.is_empty();
    Membership {
        reason: is_empty.then(|| sources.why_empty(pool)),
        sources: of(sources, pool).map(printed).collect(),
    }
}
