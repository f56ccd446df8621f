//! `check`: the loader of `serve`, and its report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::base::date::Date;
use crate::base::diag::Report;
use crate::cli::out;
use crate::daemon::admin_token;
use crate::daemon::load;
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

/// Loads a plan for a command that serves nothing: everything, with the warnings of both steps.
pub fn load(config: &Path) -> Result<(Loaded, Report), Report> {
    let (process, mut warnings) = load::process_or_all_faults(config)?;
    admin_token::read(&process, &mut warnings);
    match Loader::new(process, 1).load(None, &Trigger::Asked) {
        Ok(loaded) if warnings.has_errors() => {
            warnings.append(loaded.report);
            Err(warnings)
        }
        Ok(loaded) => {
            warnings.append(loaded.report.clone());
            Ok((loaded, warnings))
        }
        Err(mut faults) => {
            faults.append(warnings);
            Err(faults)
        }
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
