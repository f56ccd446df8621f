//! Floor 1: MMDB files as such: reading and writing them, showing what one holds, and making the embedded country
//! database from a list of networks ([`country_db`]). `geo` turns what they say into tables.

pub mod countries;
pub mod country_db;
pub mod database;
pub mod info;
pub mod record;
pub mod writer;
