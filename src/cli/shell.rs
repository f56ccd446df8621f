//! `completions` and `man`: what shells and `man` read of the command line.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use anyhow::Result;
use clap::Command;
use clap_complete::Shell;

use crate::cli::out;

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct CompletionsOptions {
    /// The shell
    shell: Shell,
}

/// Where to.
#[derive(Debug, clap::Args)]
pub struct ManOptions {
    /// The folder for the pages; it must be there
    dir: PathBuf,
}

/// Prints the completions of a shell.
pub fn completions(command: &mut Command, options: &CompletionsOptions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, command, "meridian", &mut script);
    out::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a page for the program and one for each command.
pub fn man(command: Command, options: &ManOptions) -> Result<ExitCode> {
    let dir: &Path = &options.dir;
    clap_mangen::generate_to(command, dir)
        .with_context(|| format!("cannot write to {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
