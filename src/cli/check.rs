//! `check`: the loader of `serve`, and its report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::cli::out;
use crate::daemon::admin_token;
use crate::daemon::load::Loaded;
use crate::daemon::load::Loader;
use crate::daemon::load::Trigger;

/// Loads everything and reports every fault.
pub fn run(config: &Path) -> Result<ExitCode> {
    match load(config) {
        Ok((loaded, warnings)) => {
            if !warnings.to_string().is_empty() {
                out::complain(&warnings.to_string());
            }
            out::print(&summary(&loaded))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(report) => {
            out::complain(&report.to_string());
            let n = report.n_errors();
            out::complain(&format!("{n} {}", if n == 1 { "fault" } else { "faults" }));
            Ok(ExitCode::FAILURE)
        }
    }
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
