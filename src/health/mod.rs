//! Floor 2: from single probe results to one verdict per endpoint, without I/O and without a clock.
//!
//! A [`streak`] is what one vantage makes of one endpoint, [`quorum`] what the fresh vantages make of
//! it together, and the [`health_table`] holds both for all endpoints. Results come in as
//! [`observation::Observation`]s, in the words of [`failure`]. A [`vantage`] that reports nothing, or that
//! lost sight of everything at once, decides nothing. Vantages of other machines vote by their reports (`remote`). Health is evidence: a probe that says
//! nothing about the endpoint, or a vantage that falls silent, freezes and never kills.

mod blindness;
mod carry_over;
pub mod damping;
pub mod failure;
pub mod health_table;
pub mod horizon;
pub mod load;
pub mod monitor;
pub mod observation;
pub mod overrides;
mod pool_load;
pub mod quorum;
mod recent_failures;
pub mod recent_latencies;
pub mod regional;
mod remote;
pub mod report;
pub mod run_time;
mod sight;
pub mod streak;
pub mod vantage;
pub mod view;
mod witness;

#[cfg(test)]
mod tests;
