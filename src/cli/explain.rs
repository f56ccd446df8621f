//! `explain`: why a client gets its answer.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use crate::cli::check;
use crate::cli::out;
use crate::state::build::Evidence;
use crate::state::snapshot::Snapshot;

/// What is asked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The name
    name: String,
}

/// Explains.
pub fn run(config: &Path, options: Options) -> Result<ExitCode> {
    let loaded = match check::load(config) {
        Ok((loaded, _)) => loaded,
        Err(report) => {
            out::complain(&report.to_string());
            return Ok(ExitCode::from(crate::cli::EXIT_CONFIG));
        }
    };
    let snapshot = Snapshot::build(Arc::new(loaded.plan), &Evidence::default(), 1, None);
    let _ = (snapshot, options);
    Ok(ExitCode::SUCCESS)
}
