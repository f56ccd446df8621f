//! Floor 7: the process.
//!
//! [`serve::run`] starts everything in order and stops it in reverse; [`control`] is the one loop that
//! owns health, overrides and plan and publishes snapshots; [`load`] is the only code that opens the
//! operator's files.

pub mod control;
pub mod files;
pub mod load;
pub mod log;
mod memory_sys;
mod notify;
pub mod pages;
pub mod random;
mod retire;
pub mod saved;
mod secrets;
pub mod serve;
