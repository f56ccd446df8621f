//! Floor 2: addresses to rank lists.
//!
//! [`atlas::Atlas`] reads the databases once; [`rank_table::compile`] turns it and what the operator
//! wrote ([`rules::Spec`]) into a [`rank_table::RankTable`]: for each address the ranked pools. So does
//! [`by_latency::compile`] where [`measured::Measured`] round-trip times rank them. All
//! stand on [`table::PrefixTable`], and so does [`answer_table::AnswerTable`], what the answers of the moment make of it.
//! [`overlay::overlay`] counts the addresses of several tables at once.

pub mod answer_table;
pub mod atlas;
pub mod by_latency;
mod distance;
mod fit;
pub mod majority;
pub mod measured;
pub mod overlay;
mod range_index;
mod ranges;
pub mod rank;
pub mod rank_table;
pub mod rules;
pub mod table;
mod v4_lines;
mod v6_blocks;

#[cfg(test)]
pub(crate) mod fixture;
