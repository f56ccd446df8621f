//! `check`: the loader of `serve`, and its report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::base::diag::Severity;
use crate::cli::out;
use crate::daemon::admin_token;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;

/// How to report.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 also for warnings
    #[arg(long)]
    deny_warnings: bool,
}

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Checked {
    /// Whether `serve` would start with the files.
    ok: bool,
    faults: Vec<Found>,
    warnings: Vec<Found>,
}

/// One fault or warning.
#[derive(Debug, Serialize)]
struct Found {
    file: String,
    line: u32,
    column: u32,
    message: String,
}

impl Checked {
    fn of(report: &Report) -> Self {
        let of = |severity: Severity| -> Vec<Found> {
            let found = report.sorted().into_iter();
            let found = found.filter(|diagnostic| diagnostic.severity == severity);
            let found = found.map(|diagnostic| Found {
                file: diagnostic.place.file.to_string(),
                line: diagnostic.place.line,
                column: diagnostic.place.column,
                message: diagnostic.message.clone(),
            });
            found.collect()
        };
        Self {
            ok: !report.has_errors(),
            faults: of(Severity::Error),
            warnings: of(Severity::Warning),
        }
    }
}

/// Loads everything and reports every fault.
pub fn run(config: &Path, options: &Options) -> Result<ExitCode> {
    let loaded = load(config);
    let (Ok((_, report)) | Err(report)) = &loaded;
    let checked = Checked::of(report);
    let is_denied = !checked.ok || (options.deny_warnings && !checked.warnings.is_empty());
    if options.json {
        out::print(&format!("{}\n", serde_json::to_string_pretty(&checked)?))?;
    } else {
        print(&loaded)?;
    }
    Ok(match is_denied {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Reports for people.
fn print(loaded: &Result<(Loaded, Report), Report>) -> Result<()> {
    match loaded {
        Ok((loaded, warnings)) => {
            if !warnings.to_string().is_empty() {
                out::complain(&warnings.to_string());
            }
            out::print(&summary(loaded))?;
        }
        Err(report) => {
            out::complain(&report.to_string());
            let n = report.n_errors();
            out::complain(&format!("{n} {}", if n == 1 { "fault" } else { "faults" }));
        }
    }
    Ok(())
}

/// Loads a plan for a command that serves nothing: everything, with the warnings.
pub fn load(config: &Path) -> Result<(Loaded, Report), Report> {
    let mut loader = Loader::new(config, |_| 1);
    let result = loader.load(None, &Trigger::Asked);
    let (Ok(Loaded { report, .. }) | Err(report)) = &result;
    let mut report = report.clone();
    if let Some(process) = loader.process() {
        admin_token::read(process, &mut report);
    }
    match result {
        Ok(loaded) if !report.has_errors() => Ok((loaded, report)),
        _ => Err(report),
    }
}

/// What would be served, in a line.
fn summary(loaded: &Loaded) -> String {
    let plan = &loaded.plan;
    let about = plan.atlas.about();
    format!(
        "ok: {} zones, {} pools, {} steered names, {} of {}\n",
        plan.zones.iter().count(),
        plan.config.pools.pools.len(),
        plan.config.pools.steered.len(),
        about.database_type,
        Date::from_epoch(about.build_epoch),
    )
}
