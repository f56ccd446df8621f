//! `serve` and `vantage`: run until a signal ends them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;

use crate::cli::EXIT_CONFIG;
use crate::cli::out;
use crate::cli::out::Color;
use crate::daemon::hangup_sys;
use crate::daemon::log::Log;
use crate::daemon::serve;
use crate::daemon::serve::ServeError;
use crate::fleet::nats::Role;

/// Runs the process.
pub fn run(config: &Path, role: Role, color: Color) -> Result<ExitCode> {
    hangup_sys::ignore();
    let log = Log::start(color.on_stderr()).context("cannot start the logger")?;
    let result = serve::run(config, role, |_| {});
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
