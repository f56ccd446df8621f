//! Floor 1: measured round-trip times, as files hold them. [`read`] makes a [`table::Table`] of a latency table,
//! `docs/latency.md` describes the file. `geo` turns tables into rank lists. [`import`] and [`aggregate`] make such a file
//! from what others measure.

pub mod aggregate;
pub mod import;
pub mod key;
pub mod read;
pub mod table;
pub mod time;
