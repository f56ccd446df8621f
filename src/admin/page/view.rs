//! What the page is made of.

use std::sync::Arc;

use serde::Deserialize;

use crate::admin::coverage::Coverage;
use crate::admin::json::Status;
use crate::admin::rates::Rates;
use crate::live::events::Record;

/// The parameters of the page; an empty one counts as left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choice {
    /// Only pools whose name has this in it, or that are in this state.
    pub pool: String,
    /// The steered name that the map is of.
    pub name: String,
}

/// What the page shows.
#[derive(Debug)]
pub struct View {
    /// The running process.
    pub status: Status,
    /// How often pools are answered.
    pub rates: Rates,
    /// Which pools serve the clients of the name that the map is of; `None`: not counted yet.
    pub coverage: Option<Arc<Coverage>>,
    /// What has happened lately, oldest first.
    pub events: Vec<Arc<Record>>,
    /// What the reader wants to see of it.
    pub choice: Choice,
}
