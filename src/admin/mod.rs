//! Floor 7: HTTP for people and machines.
//!
//! Reads go straight to what is shared ([`crate::live::Live`]); whatever changes something is a request
//! ([`crate::live::request`]) to the one loop that owns it, so that nothing here publishes or judges.

pub mod api;
pub mod auth;
mod body;
pub mod census;
pub mod checks;
pub mod countries;
pub mod coverage;
mod details;
pub mod difference;
mod downloads;
mod drain;
mod drills;
mod endpoints;
mod events;
mod explain;
pub mod explanation;
mod failure;
pub mod fleet;
mod hosts;
pub mod json;
pub mod latency;
pub mod metrics;
mod overrides;
pub mod page;
pub mod preview;
pub mod process;
pub mod rates;
mod readiness;
pub mod reloads;
mod rendered;
pub mod server;
pub mod site;
pub mod sources;
pub mod spill;
mod steering;
#[cfg(test)]
mod tests;
pub mod time;
pub mod vantages;
mod webhook;
mod webhook_records;
