//! `reload` and `rollback`: have the running server read its files again, or go back to what it served before.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use anyhow::anyhow;

use crate::admin::reloads::Reloaded;
use crate::admin::time::Utc;
use crate::base::diag::one_line;
use crate::cli::out;
use crate::cli::remote;
use crate::cli::remote::Refusal;

/// Whether the server's limits count.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Reload even if more clients would move than `[safety] max_move` allows
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Which server.
#[derive(Debug, clap::Args)]
pub struct RollbackOptions {
    #[command(flatten)]
    server: remote::ServerOptions,
}

/// Has the files read again, and prints what that changed.
pub fn reload(config: &Path, options: &Options) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let path = match options.force {
        true => "/api/v1/reload?force=true",
        false => "/api/v1/reload",
    };
    let reloaded: Reloaded = remote.post(path).map_err(print_faults)?;
    warn(&reloaded);
    out::print(&format!("reloaded; changed: {}\n", reloaded.summary))?;
    Ok(ExitCode::SUCCESS)
}

/// Goes back to what was served before, and prints what that changed.
pub fn rollback(config: &Path, options: &RollbackOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let reloaded: Reloaded = remote.post("/api/v1/rollback").map_err(print_faults)?;
    warn(&reloaded);
    let accepted = reloaded.rolled_back.map_or(0, |to| to.accepted);
    out::print(&format!(
        "rolled back to the configuration of {}; changed: {}\nthe files on disk are not served until \
         they change or `meridian reload` is run\n",
        Utc(accepted),
        reloaded.summary
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the faults of a refusal, which are the result of the command; the rest is the error.
fn print_faults(error: anyhow::Error) -> anyhow::Error {
    let refusal = match error.downcast::<Refusal>() {
        Ok(refusal) => refusal,
        Err(error) => return error,
    };
    let faults = refusal.faults.iter();
    let text: String = faults
        .map(|fault| format!("{}\n", one_line(fault)))
        .collect();
    match out::print(&text) {
        Ok(()) => anyhow!("the server refused: {}", refusal.error),
        Err(error) => error.into(),
    }
}

fn warn(reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        out::complain(warning);
    }
}
