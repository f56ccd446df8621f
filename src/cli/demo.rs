//! `demo`.

use std::process::ExitCode;

use anyhow::Result;

/// Runs the demo.
pub fn run() -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
