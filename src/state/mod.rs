//! Floor 4: what is served.

pub mod counters;
pub mod publish;
pub mod snapshot;
