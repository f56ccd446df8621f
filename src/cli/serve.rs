//! `serve`: runs the server until a signal ends it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::EXIT_CONFIG;
use crate::cli::out;
use crate::daemon::log;
use crate::daemon::serve;
use crate::daemon::serve::ServeError;

/// Runs the server.
pub fn run(config: &Path) -> Result<ExitCode> {
    log::init();
    match serve::run(config, |_| {}) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(ServeError::Config(report)) => {
            out::complain(&report.to_string());
            Ok(ExitCode::from(EXIT_CONFIG))
        }
        Err(error) => Err(error.into()),
    }
}
