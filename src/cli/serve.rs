//! `serve`: runs the server until a signal ends it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;

use crate::cli::EXIT_CONFIG;
use crate::cli::out;
use crate::daemon::hangup_sys;
use crate::daemon::log::Log;
use crate::daemon::serve;
use crate::daemon::serve::ServeError;

/// Runs the server.
pub fn run(config: &Path) -> Result<ExitCode> {
    hangup_sys::ignore();
    let log = Log::start().context("cannot start the logger")?;
    let result = serve::run(config, |_| {});
    // Log lines come before the error that ended it.
    drop(log);
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(ServeError::Config(report)) => {
            out::complain(&report.to_string());
            Ok(ExitCode::from(EXIT_CONFIG))
        }
        Err(error) => Err(error.into()),
    }
}
