//! MMDB files as such: writing them, showing what one holds, and making the embedded country database
//! from a list of networks ([`country_db`]). What a database says of an address is read in `geo`.

pub mod countries;
pub mod country_db;
pub mod info;
pub mod writer;
