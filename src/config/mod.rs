//! Floor 3: what the operator wrote and what it means.

pub mod model;
