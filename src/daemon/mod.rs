//! Floor 8: the process.
//!
//! [`serve::run`] starts everything in order and stops it in reverse; [`control`] is the one loop that
//! owns health, overrides and plan and publishes snapshots; [`load`] is the only code that opens the
//! operator's files.

mod admin_port;
pub mod admin_token;
pub mod announce;
mod answering;
pub mod control;
mod file_limit;
pub mod files;
mod fleet_link;
mod geoip_update;
pub mod hangup_sys;
pub mod kept;
pub mod load;
pub mod log;
pub mod log_format;
mod log_queue;
pub mod memory;
mod prober;
pub mod saved;
mod saved_downloads;
mod saved_drills;
pub mod saved_events;
pub mod saved_sources;
pub mod serve;
