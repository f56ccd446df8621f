//! Floor 2: addresses to rank lists.
//!
//! [`mmdb::Atlas`] reads the databases once; [`compile::compile`] turns it and what the operator
//! wrote ([`rules::Spec`]) into a [`compile::GeoTable`]: for each address the ranked pools. Both
//! stand on [`table::PrefixTable`], and so does [`today::Today`], what the answers of the moment make of it.

mod blocks;
pub mod build;
pub mod compile;
pub mod countries;
mod flat;
mod guide;
pub mod info;
mod lines;
pub mod majority;
pub mod mmdb;
pub mod rank;
pub mod rules;
pub mod table;
pub mod today;
pub mod writer;

#[cfg(test)]
mod fixture;
