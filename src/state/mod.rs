//! Floor 4: what is served.
//!
//! [`plan::Plan`] is compiled from files, [`build`] joins it with [`evidence`] into a
//! [`snapshot::Snapshot`], [`publish`] hands that to the answering threads.

pub mod alias;
pub mod answers;
pub mod build;
pub mod changes;
pub mod correspondence;
pub mod counters;
pub mod country_counters;
pub mod demand;
pub mod derive;
pub mod drill;
pub mod drill_checks;
pub mod evidence;
pub mod external;
pub mod guard;
pub mod horizon;
pub mod membership;
mod multivalue;
pub mod object;
pub mod plan;
pub mod publish;
pub mod ramp;
pub mod resolved;
pub mod served;
pub mod snapshot;
pub mod source;
pub mod sources;
pub mod spills;
pub mod stranded;
pub mod targets;
mod ttl;
mod view;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
