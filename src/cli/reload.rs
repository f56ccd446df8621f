//! `reload` and `rollback`: have the running server read its files again, or go back to what it served before.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::admin::reloads::Reloaded;
use crate::admin::time::Utc;
use crate::cli::out;
use crate::cli::remote;

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
    let reloaded: Reloaded = remote.post(path)?;
    warn(&reloaded);
    out::print(&format!("reloaded; changed: {}\n", reloaded.summary))?;
    Ok(ExitCode::SUCCESS)
}

/// Goes back to what was served before, and prints what that changed.
pub fn rollback(config: &Path, options: &RollbackOptions) -> Result<ExitCode> {
    let remote = options.server.remote(config)?;
    let reloaded: Reloaded = remote.post("/api/v1/rollback")?;
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

fn warn(reloaded: &Reloaded) {
    for warning in &reloaded.warnings {
        out::complain(warning);
    }
}
