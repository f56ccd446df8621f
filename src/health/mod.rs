//! Health: from single probe results to one verdict per endpoint, without I/O.

pub mod monitor;
