//! Floor 3: what the operator wrote and what it means.
//!
//! Two pure functions turn the text of the two files into the [`model`]. A file is taken whole or
//! refused whole, and one run finds all of its faults. What can be read of a refused file comes back as
//! the error: good for nothing but to check the other files in the same run.
//!
//! On the way, `syntax` checks the text, `document` keeps positions and faults, `written` walks the
//! tables with the keys of `keys` and reads values in the forms of `units`, `names` are what operators
//! call their tables, and the `resolve` files say what they mean together.

use std::path::Path;
use std::sync::Arc;

use crate::base::diag::Report;
use crate::config::model::Pools;
use crate::config::model::Process;
use crate::config::safety::Safety;

pub mod check_address;
pub mod defaults;
mod document;
pub mod drill;
pub mod geoip_update;
mod keys;
pub mod kubernetes;
pub mod model;
mod name_pattern;
mod names;
mod owners;
pub mod query_log;
pub mod reach;
pub mod regions;
mod resolve_alias;
mod resolve_cluster;
mod resolve_drill;
mod resolve_geoip_update;
mod resolve_kubernetes;
mod resolve_match;
mod resolve_monitors;
mod resolve_pools;
mod resolve_process;
mod resolve_query_log;
mod resolve_steer;
mod resolve_transfer;
mod resolve_types;
mod resolve_update;
mod resolve_webhook;
pub mod rights;
pub mod safety;
mod syntax;
pub mod units;
mod written;

#[cfg(test)]
mod tests;

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Its name as the operator would write it.
    pub file: Arc<str>,
    /// The folder that relative paths in it start from.
    pub dir: &'a Path,
    /// Its content.
    pub text: &'a str,
}

/// What depends on the machine and the command.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The host name, for `[health] vantage`.
    pub host_name: String,
    /// Whether it serves DNS, and so should have zones.
    pub serves_dns: bool,
}

/// Reads `meridian.toml`. Whether its paths exist is for others.
///
/// # Errors
/// After a fault, which is reported: with defaults for what is faulty.
pub fn process(
    source: &Source<'_>,
    defaults: &Defaults,
    report: &mut Report,
) -> Result<Process, Box<Process>> {
    written::read(source, keys::PROCESS_FILE, report, |top| {
        resolve_process::process(top, defaults)
    })
    .map_err(Box::new)
}

/// Reads `pools.toml`. Whether its names lie in a zone is for others.
///
/// # Errors
/// After a fault, which is reported: with the steered names, and whatever else could be read of them.
pub fn pools(source: &Source<'_>, safety: &Safety, report: &mut Report) -> Result<Pools, Pools> {
    written::read(source, keys::POOLS_FILE, report, |top| {
        resolve_pools::pools(top, safety)
    })
}
