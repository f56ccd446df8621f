//! Floor 7: HTTP for people and machines.
//!
//! Reads go straight to what is shared ([`Live`]); whatever changes something is a [`Request`] to the
//! one loop that owns it, so that nothing here publishes or judges.

pub mod api;
pub mod auth;
pub mod json;
pub mod metrics;
pub mod page;
pub mod process;
pub mod server;
#[cfg(test)]
mod tests;

pub use server::serve;
