//! `pools.toml`: which types of a steered name are chosen.

use crate::config::written::Item;
use crate::config::written::Table;
use crate::zone::SteeredTypes;

/// Reads the types of a steered name.
pub(super) fn types(table: &Table<'_>) -> SteeredTypes {
    SteeredTypes::Addresses {
        hints: table.read_or("hints", false, Item::boolean),
        txt: false,
    }
}
