//! The process.

pub mod files;
pub mod load;
