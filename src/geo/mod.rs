//! Floor 2: addresses to rank lists.

pub mod rules;
